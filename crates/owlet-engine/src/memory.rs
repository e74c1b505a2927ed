//! How much memory queries may use, and what follows from that for batches and sorts. Must never know plans.

use std::path::{Path, PathBuf};

use datafusion::config::{ConfigNonZeroUsize, ExecutionOptions};

/// Share of the machine's (or the container's) memory used when the configuration names none.
const DEFAULT_SHARE: f64 = 0.5;
/// Memory assumed when the machine does not tell.
const FALLBACK: u64 = 2 * 1024 * 1024 * 1024;
/// Rows of a batch where memory is no question: DataFusion's own number.
const MOST_BATCH_ROWS: u64 = 8192;
/// Fewer rows cost more than they save.
const LEAST_BATCH_ROWS: u64 = 64;
/// Memory of one partition for each row of a batch. Several sorts may merge at the same time, each of them four runs with
/// two batches and their copies: rows of more than a kilobyte fit in that.
const BYTES_FOR_BATCH_ROW: u64 = 128 * 1024;
/// What a sort keeps for merging from its beginning is at most this part of a partition's memory.
const MERGE_SHARE: u64 = 16;

/// The default limit in bytes.
pub fn default_limit() -> u64 {
    let limits = machine().into_iter().chain(containers());
    let available = limits.min().unwrap_or(FALLBACK);
    (available as f64 * DEFAULT_SHARE) as u64
}

/// Makes batches and what sorts reserve small enough that every partition can spill within the limit.
pub fn fit(options: &mut ExecutionOptions, limit: u64) {
    let partitions = options.target_partitions.max(1) as u64;
    let partition_memory = limit / partitions;
    let rows = (partition_memory / BYTES_FOR_BATCH_ROW).clamp(LEAST_BATCH_ROWS, MOST_BATCH_ROWS);
    let fewer = usize::try_from(rows).unwrap_or(usize::MAX);
    if let Ok(fewer) = ConfigNonZeroUsize::try_new(fewer) {
        options.batch_size = options.batch_size.min(fewer);
    }
    let for_merging = usize::try_from(partition_memory / MERGE_SHARE).unwrap_or(usize::MAX);
    let reserved = &mut options.sort_spill_reservation_bytes;
    *reserved = (*reserved).min(for_merging);
    let in_place = &mut options.sort_in_place_threshold_bytes;
    *in_place = (*in_place).min(for_merging / 2);
}

/// Spilled runs that a sort merges at a time: without a bound the first sort that comes to merging takes all that is free,
/// and those beside it fail. Where batches had to shrink, memory is dearer than reading the runs once more.
pub fn merged_runs(options: &ExecutionOptions) -> usize {
    const FEW: usize = 4;
    const USUAL: usize = 16;
    if (options.batch_size.get() as u64) < MOST_BATCH_ROWS {
        FEW
    } else {
        USUAL
    }
}

fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Limits of the control groups that this process is in (`memory.max` of version 2, `memory.limit_in_bytes` of
/// version 1; <https://docs.kernel.org/admin-guide/cgroup-v2.html>).
fn containers() -> Vec<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_files(&own)
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        // "max" is no limit.
        .filter_map(|text| text.trim().parse().ok())
        .collect()
}

/// The files with the limits of these groups and of those around them.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => (Path::new("/sys/fs/cgroup"), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (Path::new("/sys/fs/cgroup/memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(path.trim_start_matches('/'));
        let around = group.ancestors().map(|folder| root.join(folder).join(file));
        files.extend(around);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(limit: u64, partitions: usize) -> ExecutionOptions {
        let mut options = ExecutionOptions {
            target_partitions: partitions,
            ..ExecutionOptions::default()
        };
        fit(&mut options, limit);
        options
    }

    #[test]
    fn little_memory_makes_small_batches() {
        const MEGABYTE: u64 = 1024 * 1024;
        let usual = ExecutionOptions::default();
        let enough = fitted(8 * 1024 * MEGABYTE, 8);
        assert_eq!(enough.batch_size, usual.batch_size);
        assert_eq!(
            enough.sort_spill_reservation_bytes,
            usual.sort_spill_reservation_bytes
        );
        let little = fitted(64 * MEGABYTE, 2);
        assert_eq!(little.batch_size.get(), 256);
        assert!(merged_runs(&little) < merged_runs(&enough));
        assert_eq!(little.sort_spill_reservation_bytes, 2 * MEGABYTE as usize);
        assert_eq!(
            fitted(MEGABYTE, 64).batch_size.get() as u64,
            LEAST_BATCH_ROWS
        );
    }

    #[test]
    fn limits_of_containers_are_found() {
        let named = |groups: &str| -> Vec<String> {
            let files = limit_files(groups);
            files
                .iter()
                .map(|file| file.display().to_string())
                .collect()
        };
        assert_eq!(named("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
        assert_eq!(
            named("0::/system.slice/owlet.service\n"),
            [
                "/sys/fs/cgroup/system.slice/owlet.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            named("5:cpu,cpuacct:/a\n4:memory:/a\n"),
            [
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
    }
}
