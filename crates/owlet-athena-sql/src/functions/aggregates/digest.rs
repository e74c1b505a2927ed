//! A t-digest: quantiles of many numbers in little memory, exact while there are few. It must never know Arrow.

/// More gives finer quantiles and takes more memory.
const COMPRESSION: f64 = 200.0;
/// Numbers kept as they are until the digest is compressed.
const BUFFERED: usize = 2_000;

/// A mean and how much it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Centroid {
    pub(super) mean: f64,
    pub(super) weight: f64,
}

/// Quantiles of the numbers added.
#[derive(Debug, Clone, Default)]
pub(super) struct Digest {
    centroids: Vec<Centroid>,
    buffered: usize,
}

impl Digest {
    /// Adds a number. Weights that are not positive count for nothing.
    pub(super) fn add(&mut self, mean: f64, weight: f64) {
        if weight > 0.0 && weight.is_finite() && !mean.is_nan() {
            self.centroids.push(Centroid { mean, weight });
            self.buffered += 1;
            if self.buffered > BUFFERED {
                self.compress();
            }
        }
    }

    pub(super) fn centroids(&self) -> &[Centroid] {
        &self.centroids
    }

    pub(super) fn is_empty(&self) -> bool {
        self.centroids.is_empty()
    }

    fn sort(&mut self) {
        self.centroids
            .sort_by(|left, right| left.mean.total_cmp(&right.mean));
    }

    /// Merges neighbours: in the middle more into one, towards the ends fewer.
    fn compress(&mut self) {
        self.sort();
        self.buffered = 0;
        let total: f64 = self.centroids.iter().map(|centroid| centroid.weight).sum();
        let mut merged: Vec<Centroid> = Vec::with_capacity(self.centroids.len().min(BUFFERED));
        let mut before = 0.0;
        for next in self.centroids.drain(..) {
            let Some(last) = merged.last_mut() else {
                merged.push(next);
                continue;
            };
            let joined = last.weight + next.weight;
            let middle = (before + joined / 2.0) / total;
            let most = 4.0 * total * middle * (1.0 - middle) / COMPRESSION;
            if joined <= most {
                last.mean += (next.mean - last.mean) * next.weight / joined;
                last.weight = joined;
            } else {
                before += last.weight;
                merged.push(next);
            }
        }
        self.centroids = merged;
    }

    /// The number below which the share `quantile` of all weight lies. `None` over nothing.
    pub(super) fn quantile(&mut self, quantile: f64) -> Option<f64> {
        self.sort();
        let total: f64 = self.centroids.iter().map(|centroid| centroid.weight).sum();
        let target = quantile * total;
        let mut before = 0.0;
        let mut previous: Option<(f64, f64)> = None;
        for centroid in &self.centroids {
            let middle = before + centroid.weight / 2.0;
            before += centroid.weight;
            if before >= target {
                let inside = (centroid.weight > 1.0).then_some(previous).flatten();
                // Between two means the numbers are taken to lie evenly.
                return Some(match inside {
                    Some((mean, place)) if target < middle => {
                        mean + (centroid.mean - mean) * (target - place) / (middle - place)
                    }
                    _ => centroid.mean,
                });
            }
            previous = Some((centroid.mean, middle));
        }
        self.centroids.last().map(|centroid| centroid.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_are_exact() {
        let mut digest = Digest::default();
        [3.0, 1.0, 2.0]
            .into_iter()
            .for_each(|number| digest.add(number, 1.0));
        assert_eq!(
            [0.0, 0.3, 0.5, 0.9, 1.0].map(|q| digest.quantile(q)),
            [1.0, 1.0, 2.0, 3.0, 3.0].map(Some)
        );
        assert_eq!(Digest::default().quantile(0.5), None);
    }

    #[test]
    fn many_numbers_are_close() {
        let mut digest = Digest::default();
        // A fixed shuffle of 0 to 99 999.
        (0..100_000_u64).for_each(|number| digest.add(((number * 48_271) % 100_000) as f64, 1.0));
        for quantile in [0.01, 0.25, 0.5, 0.95, 0.999] {
            let found = digest.quantile(quantile).expect("not empty");
            assert!(
                (found - quantile * 100_000.0).abs() < 500.0,
                "{quantile}: {found}"
            );
        }
        assert!(digest.centroids().len() < 3 * BUFFERED);
    }
}
