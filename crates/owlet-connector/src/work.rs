//! What a query makes its sources do: counters while it runs, limits, and the report afterwards.
//! Must never know a source.

use std::ops::{AddAssign, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use serde::{Deserialize, Serialize};

use crate::error::{ConnectorError, Result};

/// Limits of one query over all its sources; `None` is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// DynamoDB read capacity units.
    pub max_rcu: Option<f64>,
    /// Bytes received from all sources.
    pub max_bytes: Option<u64>,
    /// Rows received from all sources.
    pub max_rows: Option<u64>,
}

/// What samples of a table have read to find its columns.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SampleWork {
    /// Requests sent.
    pub requests: u64,
    /// Items (rows) looked at.
    pub items: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// DynamoDB read capacity units consumed.
    pub capacity_units: f64,
}

impl AddAssign for SampleWork {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.items += other.items;
        self.bytes += other.bytes;
        self.capacity_units += other.capacity_units;
    }
}

impl Sub for SampleWork {
    type Output = Self;

    /// What has been added since `before`.
    fn sub(self, before: Self) -> Self {
        Self {
            requests: self.requests - before.requests,
            items: self.items - before.items,
            bytes: self.bytes - before.bytes,
            capacity_units: self.capacity_units - before.capacity_units,
        }
    }
}

/// Counters of a whole query. Cheap to share; connectors see only their [`WorkRecorder`].
#[derive(Debug)]
pub struct QueryWork {
    budget: Budget,
    started: Instant,
    started_at: SystemTime,
    total_rows: AtomicU64,
    total_bytes: AtomicU64,
    total_milli_rcu: AtomicU64,
    sources: Mutex<Vec<Arc<WorkRecorder>>>,
    waiting_for: Mutex<Option<String>>,
}

/// As long as it lives, the query waits; see [`QueryWork::wait_for`].
#[derive(Debug)]
pub struct Waiting<'a> {
    query: &'a QueryWork,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *lock(&self.query.waiting_for) = None;
    }
}

/// Counters of one scan (one source entry of the work report).
#[derive(Debug)]
pub struct WorkRecorder {
    query: Arc<QueryWork>,
    catalog: String,
    tables_of: Vec<String>,
    table: String,
    access: Mutex<String>,
    remote: Mutex<String>,
    rcu_estimated: Option<f64>,
    requests: AtomicU64,
    rows_read: AtomicU64,
    rows_returned: AtomicU64,
    nulled_values: AtomicU64,
    bytes: AtomicU64,
    milli_rcu: AtomicU64,
    counts_rcu: bool,
    first_poll: Mutex<Option<Instant>>,
    busy_until: Mutex<Option<Instant>>,
    /// Of the earliest and the latest snapshot the scan has read.
    snapshots: Mutex<Option<(SystemTime, SystemTime)>>,
}

/// The work report of a query; its JSON form is a contract (`owlet query --work`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkReport {
    /// Wall time since the query was submitted.
    pub elapsed_ms: f64,
    /// Rows of the result.
    pub rows: u64,
    /// Highest memory use of the process (resident set) seen during the query.
    pub peak_memory_bytes: u64,
    /// One entry a scan.
    pub sources: Vec<SourceWork>,
    /// Milliseconds between the earliest and the latest moment that the sources' rows show ([`SourceWork::as_of`],
    /// [`SourceWork::as_of_until`]); null when no source tells.
    #[serde(default)]
    pub skew_ms: Option<f64>,
}

/// What one scan made its source do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceWork {
    /// Name of the catalog that asked the source.
    pub catalog: String,
    /// Catalogs whose tables were read, where that is not `catalog` alone: catalogs of one server ask it as one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables_of: Vec<String>,
    /// Table or tables, e.g. `public.orders, public.customer`.
    pub table: String,
    /// Access path.
    pub access: String,
    /// What the source was asked.
    pub remote: String,
    /// Requests sent (statements, HTTP calls).
    pub requests: u64,
    /// Rows or items the source read to answer, where it tells (else equal to `rows_returned`).
    pub rows_read: u64,
    /// Rows received from the source.
    pub rows_returned: u64,
    /// Values that did not fit their column and became NULL, where the user chose that; absent when there were none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nulled_values: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// DynamoDB read capacity units estimated before; null for other sources.
    pub rcu_estimated: Option<f64>,
    /// DynamoDB read capacity units consumed; null for other sources.
    pub rcu_consumed: Option<f64>,
    /// From the first request to the last byte.
    pub ms: f64,
    /// All changes committed before this moment are seen (RFC 3339, by this machine's clock): just before the
    /// snapshot was taken, or for a source without snapshots the first request. Null when nothing was read.
    #[serde(default)]
    pub as_of: Option<String>,
    /// No change begun after this moment is seen: equal to `as_of` when all rows come from one snapshot, else the last
    /// snapshot, or for a source without snapshots the last answer.
    #[serde(default)]
    pub as_of_until: Option<String>,
}

impl WorkReport {
    /// The skew between these sources, for [`WorkReport::skew_ms`].
    pub fn skew_between(sources: &[SourceWork]) -> Option<f64> {
        let moment = |text: &String| DateTime::parse_from_rfc3339(text).ok();
        let earliest = sources
            .iter()
            .filter_map(|source| source.as_of.as_ref().and_then(moment))
            .min()?;
        let latest = sources
            .iter()
            .filter_map(|source| source.as_of_until.as_ref().and_then(moment))
            .max()?;
        let skew = latest.signed_duration_since(earliest);
        Some(skew.num_microseconds().unwrap_or(i64::MAX) as f64 / 1000.0)
    }
}

fn shown(moment: SystemTime) -> String {
    DateTime::<Utc>::from(moment).to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What a recorder is for.
#[derive(Debug, Clone, Default)]
pub struct ScanDescription {
    /// Name of the catalog that asks the source.
    pub catalog: String,
    /// Catalogs whose tables are read, where that is not `catalog` alone.
    pub tables_of: Vec<String>,
    /// Table or tables.
    pub table: String,
    /// Access path.
    pub access: String,
    /// What the source is asked.
    pub remote: String,
    /// Estimated RCU; `Some` marks a source that counts RCU.
    pub rcu_estimated: Option<f64>,
}

impl QueryWork {
    /// Starts counting now.
    pub fn new(budget: Budget) -> Arc<Self> {
        Arc::new(Self {
            budget,
            started: Instant::now(),
            started_at: SystemTime::now(),
            total_rows: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            total_milli_rcu: AtomicU64::new(0),
            sources: Mutex::new(Vec::new()),
            waiting_for: Mutex::new(None),
        })
    }

    /// Says what the query waits for, until the answer is dropped.
    pub fn wait_for(&self, reason: String) -> Waiting<'_> {
        *lock(&self.waiting_for) = Some(reason);
        Waiting { query: self }
    }

    /// What the query waits for before it may begin, for people; `None` while it works.
    pub fn waiting_for(&self) -> Option<String> {
        lock(&self.waiting_for).clone()
    }

    /// The limits.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Adds an entry for one scan.
    pub fn recorder(self: &Arc<Self>, scan: ScanDescription) -> Arc<WorkRecorder> {
        let recorder = Arc::new(WorkRecorder {
            query: Arc::clone(self),
            catalog: scan.catalog,
            tables_of: scan.tables_of,
            table: scan.table,
            access: Mutex::new(scan.access),
            remote: Mutex::new(scan.remote),
            counts_rcu: scan.rcu_estimated.is_some(),
            rcu_estimated: scan.rcu_estimated,
            requests: AtomicU64::new(0),
            rows_read: AtomicU64::new(0),
            rows_returned: AtomicU64::new(0),
            nulled_values: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            milli_rcu: AtomicU64::new(0),
            first_poll: Mutex::new(None),
            busy_until: Mutex::new(None),
            snapshots: Mutex::new(None),
        });
        lock(&self.sources).push(Arc::clone(&recorder));
        recorder
    }

    /// DynamoDB read capacity units consumed so far.
    pub fn rcu_consumed(&self) -> f64 {
        self.total_milli_rcu.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// Number of scans of this catalog that the query has planned so far.
    pub fn scans_of(&self, catalog: &str) -> usize {
        lock(&self.sources)
            .iter()
            .filter(|recorder| recorder.catalog == catalog)
            .count()
    }

    /// The entries so far; also valid while the query runs (progress).
    pub fn sources(&self) -> Vec<SourceWork> {
        lock(&self.sources)
            .iter()
            .map(|recorder| recorder.snapshot())
            .collect()
    }
}

impl WorkRecorder {
    /// The query this scan belongs to.
    pub fn query(&self) -> &Arc<QueryWork> {
        &self.query
    }

    /// Counts one request to the source.
    pub fn add_request(&self) {
        self.touch();
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts rows the source says it read to answer (e.g. DynamoDB's `ScannedCount`).
    pub fn add_rows_read(&self, rows: u64) {
        self.rows_read.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows received; an error when the query's row budget is used up.
    pub fn add_rows_returned(&self, rows: u64) -> Result<()> {
        self.touch();
        self.rows_returned.fetch_add(rows, Ordering::Relaxed);
        let total = self.query.total_rows.fetch_add(rows, Ordering::Relaxed) + rows;
        match self.query.budget.max_rows {
            Some(allowed) if total > allowed => Err(exceeded("max_rows", allowed, total)),
            _ => Ok(()),
        }
    }

    /// Counts values that did not fit their column and became NULL.
    pub fn add_nulled_values(&self, values: u64) {
        self.nulled_values.fetch_add(values, Ordering::Relaxed);
    }

    /// Counts payload bytes received; an error when the query's byte budget is used up.
    pub fn add_bytes(&self, bytes: u64) -> Result<()> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let total = self.query.total_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match self.query.budget.max_bytes {
            Some(allowed) if total > allowed => Err(exceeded("max_bytes", allowed, total)),
            _ => Ok(()),
        }
    }

    /// Counts consumed read capacity units; an error when the query's RCU budget is used up.
    pub fn add_rcu(&self, rcu: f64) -> Result<()> {
        let milli = (rcu * 1000.0).round() as u64;
        self.milli_rcu.fetch_add(milli, Ordering::Relaxed);
        let total = (self
            .query
            .total_milli_rcu
            .fetch_add(milli, Ordering::Relaxed)
            + milli) as f64
            / 1000.0;
        match self.query.budget.max_rcu {
            Some(allowed) if total > allowed => Err(exceeded("max_rcu", allowed, total)),
            _ => Ok(()),
        }
    }

    /// Read capacity units left in the query's budget.
    pub fn rcu_left(&self) -> Option<f64> {
        let used = self.query.rcu_consumed();
        self.query
            .budget
            .max_rcu
            .map(|allowed| (allowed - used).max(0.0))
    }

    /// Replaces access path and remote text once they are known (a dynamic filter may change both).
    pub fn set_access(&self, access: impl Into<String>, remote: impl Into<String>) {
        *lock(&self.access) = access.into();
        *lock(&self.remote) = remote.into();
    }

    /// Rows are read from a snapshot that was taken after this moment: take the time just before the snapshot is asked
    /// for. A scan that needs several snapshots says so for each.
    pub fn set_as_of(&self, moment: SystemTime) {
        let mut snapshots = lock(&self.snapshots);
        *snapshots = Some(match *snapshots {
            None => (moment, moment),
            Some((earliest, latest)) => (earliest.min(moment), latest.max(moment)),
        });
    }

    /// The moments the rows show: of the snapshots, else from the first request to the last answer.
    fn moments(&self) -> Option<(SystemTime, SystemTime)> {
        if let Some(snapshots) = *lock(&self.snapshots) {
            return Some(snapshots);
        }
        let wall = |instant: Instant| {
            self.query.started_at + instant.saturating_duration_since(self.query.started)
        };
        let first = (*lock(&self.first_poll))?;
        let last = (*lock(&self.busy_until))?;
        Some((wall(first), wall(last)))
    }

    /// The entry so far.
    pub fn snapshot(&self) -> SourceWork {
        let rows_returned = self.rows_returned.load(Ordering::Relaxed);
        let busy = match (*lock(&self.first_poll), *lock(&self.busy_until)) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64() * 1000.0,
            _ => 0.0,
        };
        let moments = self.moments();
        SourceWork {
            catalog: self.catalog.clone(),
            tables_of: self.tables_of.clone(),
            table: self.table.clone(),
            access: lock(&self.access).clone(),
            remote: lock(&self.remote).clone(),
            requests: self.requests.load(Ordering::Relaxed),
            rows_read: self.rows_read.load(Ordering::Relaxed).max(rows_returned),
            rows_returned,
            nulled_values: self.nulled_values.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            rcu_estimated: self.rcu_estimated,
            rcu_consumed: self
                .counts_rcu
                .then(|| self.milli_rcu.load(Ordering::Relaxed) as f64 / 1000.0),
            ms: busy,
            as_of: moments.map(|(earliest, _)| shown(earliest)),
            as_of_until: moments.map(|(_, latest)| shown(latest)),
        }
    }

    fn touch(&self) {
        let now = Instant::now();
        lock(&self.first_poll).get_or_insert(now);
        *lock(&self.busy_until) = Some(now);
    }
}

/// Serde hands over a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn exceeded(
    limit: &str,
    allowed: impl std::fmt::Display,
    used: impl std::fmt::Display,
) -> ConnectorError {
    ConnectorError::BudgetExceeded {
        limit: limit.to_owned(),
        allowed: allowed.to_string(),
        situation: format!("the query has used {used}"),
        hint: "narrow the query, or raise the limit".to_owned(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(query: &Arc<QueryWork>, catalog: &str) -> Arc<WorkRecorder> {
        query.recorder(ScanDescription {
            catalog: catalog.to_owned(),
            ..ScanDescription::default()
        })
    }

    #[test]
    fn the_report_says_as_of_when_and_how_far_apart() {
        let query = QueryWork::new(Budget::default());
        let (one, two, unread) = (scan(&query, "a"), scan(&query, "b"), scan(&query, "a"));
        assert_eq!((query.scans_of("a"), query.scans_of("b")), (2, 1));
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        one.set_as_of(at(1_000));
        one.set_as_of(at(1_000));
        two.set_as_of(at(1_002));
        two.set_as_of(at(1_001));
        assert_eq!(unread.snapshot().as_of, None);
        let sources = query.sources();
        assert_eq!(
            sources[0].as_of.as_deref(),
            Some("1970-01-01T00:16:40.000000Z")
        );
        assert_eq!(sources[0].as_of, sources[0].as_of_until);
        assert_ne!(sources[1].as_of, sources[1].as_of_until);
        assert_eq!(WorkReport::skew_between(&sources), Some(2000.0));
        assert_eq!(WorkReport::skew_between(&[]), None);
    }

    #[test]
    fn without_snapshots_the_time_of_reading_counts() {
        let query = QueryWork::new(Budget::default());
        let recorder = scan(&query, "a");
        recorder.add_request();
        std::thread::sleep(Duration::from_millis(20));
        recorder.add_rows_returned(1).expect("no limit");
        let skew = WorkReport::skew_between(&query.sources()).expect("read");
        assert!(skew >= 19.0, "{skew}");
    }
}
