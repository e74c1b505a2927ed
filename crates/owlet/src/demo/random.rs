//! Random numbers that are the same everywhere and for ever: SplitMix64. Knows nothing of the shop.

/// A generator; equal seeds give equal numbers.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to and without 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `low` up to and without `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.fraction() * (high - low) as f64) as i64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Seconds of an event that takes this long on average, rarely much longer.
    pub fn waiting(&mut self, mean_seconds: f64) -> i64 {
        (-(1.0 - self.fraction()).ln() * mean_seconds) as i64
    }

    /// One of several, the first more often than the last.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let position = (self.fraction() * self.fraction() * choices.len() as f64) as usize;
        &choices[position.min(choices.len() - 1)]
    }

    /// One of several, all as often.
    pub fn any<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let position = (self.fraction() * choices.len() as f64) as usize;
        &choices[position.min(choices.len() - 1)]
    }
}
