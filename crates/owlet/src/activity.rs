//! What the Owlet processes of this user do to their sources, told to each other by small files: one for each running
//! query, written while it runs. Must never hold data or statements with values.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use owlet_connector::{QueryWork, SourceWork};
use owlet_engine::Engine;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::shared_folder;

/// Queries that answer sooner are not shown.
const PATIENCE: Duration = Duration::from_millis(200);
const INTERVAL: Duration = Duration::from_millis(500);

/// A running query, as its process tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryActivity {
    /// Id of the process.
    pub process: u32,
    /// Time since the query's start.
    pub seconds: f64,
    /// What it waits for before it may begin.
    pub waiting_for: Option<String>,
    /// Its sources.
    pub sources: Vec<SourceActivity>,
}

/// What a query does to one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceActivity {
    /// Catalog.
    pub catalog: String,
    /// Its connector.
    pub connector: String,
    /// Connections of the process to it; null where there are none to count.
    pub connections: Option<usize>,
    /// Statements it works for.
    pub statements: Option<usize>,
    /// Rows received so far.
    pub rows: u64,
    /// Rows a second, of late.
    pub rows_per_second: f64,
    /// Bytes a second, of late.
    pub bytes_per_second: f64,
    /// Read capacity units a second, of late; null where none are counted.
    pub rcu_per_second: Option<f64>,
    /// Access paths and tables.
    pub doing: String,
}

/// Tells about a query until dropped.
#[derive(Debug)]
pub struct Announcement {
    task: JoinHandle<()>,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells about a query. Must be called inside the runtime.
pub fn announce(engine: Engine, work: Arc<QueryWork>) -> Announcement {
    Announcement {
        task: tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            let file = match StatusFile::create() {
                Ok(Some(file)) => file,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "this query is not shown by `owlet sources`");
                    return;
                }
            };
            let mut before: Option<(Instant, Totals)> = None;
            loop {
                let now = Instant::now();
                let totals = Totals::of(&work.sources());
                let activity = described(&engine, &work, &totals, before.as_ref(), now);
                if let Err(error) = file.write(&activity) {
                    tracing::debug!(%error, "the status file cannot be written");
                }
                before = Some((now, totals));
                tokio::time::sleep(INTERVAL).await;
            }
        }),
    }
}

/// Counters by catalog.
#[derive(Debug, Default)]
struct Totals(BTreeMap<String, Total>);

#[derive(Debug, Default, Clone)]
struct Total {
    rows: u64,
    bytes: u64,
    rcu: Option<f64>,
    doing: Vec<String>,
}

impl Totals {
    fn of(sources: &[SourceWork]) -> Self {
        let mut totals = Self::default();
        for source in sources {
            let total = totals.0.entry(source.catalog.clone()).or_default();
            total.rows += source.rows_returned;
            total.bytes += source.bytes;
            if let Some(rcu) = source.rcu_consumed {
                *total.rcu.get_or_insert(0.0) += rcu;
            }
            if source.requests > 0 {
                total
                    .doing
                    .push(format!("{} of {}", source.access, source.table));
            }
        }
        totals
    }
}

fn described(
    engine: &Engine,
    work: &QueryWork,
    totals: &Totals,
    before: Option<&(Instant, Totals)>,
    now: Instant,
) -> QueryActivity {
    let sources = totals
        .0
        .iter()
        .map(|(catalog, total)| {
            let connector = engine.source(catalog).map(|source| source.connector());
            let activity = connector
                .as_ref()
                .and_then(|connector| connector.activity());
            let (seconds, earlier) = match before {
                Some((then, totals)) => (
                    now.duration_since(*then).as_secs_f64(),
                    totals.0.get(catalog).cloned().unwrap_or_default(),
                ),
                None => (work.elapsed().as_secs_f64(), Total::default()),
            };
            let rate = |now: f64, then: f64| ((now - then) / seconds.max(0.001)).max(0.0).round();
            SourceActivity {
                catalog: catalog.clone(),
                connector: connector
                    .map(|connector| connector.kind().to_owned())
                    .unwrap_or_default(),
                connections: activity.map(|activity| activity.connections),
                statements: activity.map(|activity| activity.statements),
                rows: total.rows,
                rows_per_second: rate(total.rows as f64, earlier.rows as f64),
                bytes_per_second: rate(total.bytes as f64, earlier.bytes as f64),
                rcu_per_second: total.rcu.map(|rcu| {
                    let rate = (rcu - earlier.rcu.unwrap_or(0.0)) / seconds.max(0.001);
                    (rate.max(0.0) * 10.0).round() / 10.0
                }),
                doing: total.doing.join("; "),
            }
        })
        .collect();
    QueryActivity {
        process: std::process::id(),
        seconds: (work.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        waiting_for: work.waiting_for(),
        sources,
    }
}

/// The file of one query. Its companion is locked as long as the query runs: a file whose companion is not locked was
/// left behind by a process that was killed.
#[derive(Debug)]
struct StatusFile {
    path: PathBuf,
    companion: PathBuf,
    _lock: File,
}

impl StatusFile {
    /// `None` where processes have no place to meet.
    fn create() -> std::io::Result<Option<Self>> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let Some(folder) = shared_folder::of("status") else {
            return Ok(None);
        };
        std::fs::create_dir_all(&folder)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}.json", std::process::id()));
        let companion = path.with_extension("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&companion)?;
        lock.lock()?;
        Ok(Some(Self {
            path,
            companion,
            _lock: lock,
        }))
    }

    /// Replaces the content; readers see the old or the new one.
    fn write(&self, activity: &QueryActivity) -> std::io::Result<()> {
        let text = serde_json::to_vec(activity)?;
        let unfinished = self.path.with_extension("new");
        std::fs::write(&unfinished, text)?;
        std::fs::rename(&unfinished, &self.path)
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        remove(&self.path, &self.companion);
    }
}

fn remove(path: &Path, companion: &Path) {
    // Whoever comes first removes them; that they are gone is all that matters.
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_file(path.with_extension("new"));
    let _ = std::fs::remove_file(companion);
}

/// The queries that run now, by process. What killed processes have left behind is removed.
pub fn running() -> std::io::Result<Vec<QueryActivity>> {
    let Some(folder) = shared_folder::of("status") else {
        return Ok(Vec::new());
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|suffix| suffix != "json") {
            continue;
        }
        let companion = path.with_extension("lock");
        if !is_held(&companion) {
            remove(&path, &companion);
            continue;
        }
        // It may have ended since; and another version may write another form.
        if let Ok(text) = std::fs::read(&path)
            && let Ok(activity) = serde_json::from_slice::<QueryActivity>(&text)
        {
            found.push(activity);
        }
    }
    found.sort_by_key(|activity| activity.process);
    Ok(found)
}

fn is_held(companion: &Path) -> bool {
    match File::open(companion) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}
