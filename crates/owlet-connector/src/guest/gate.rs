//! The door of a catalog: when queries may begin, and how many may be inside at once. Must never know a source.
//!
//! A *query* counts, not its scans: all scans of one query in a catalog share its place. The engine asks the gates of
//! all catalogs of a query in the order of their names before the first source is read, so that two queries never
//! wait for each other's places.

use std::collections::hash_map::DefaultHasher;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::OpenHours;
use crate::error::{ConnectorError, Result};
use crate::work::QueryWork;

/// How often a place that another process holds is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a [`Gate`] is made from.
#[derive(Debug, Clone, Default)]
pub struct GateOptions {
    /// Queries inside at once; `None` is unlimited.
    pub max_concurrent_queries: Option<usize>,
    /// When queries may begin; `None` is always.
    pub hours: Option<OpenHours>,
    /// Folder in which the processes of this user on this machine share the places; `None`: each process counts
    /// for itself.
    pub shared_folder: Option<PathBuf>,
    /// What the limit is about, the same for all catalogs that mean the same server, e.g. `db.example.com:5432/shop`.
    pub source: String,
}

/// The door of one catalog.
#[derive(Debug)]
pub struct Gate {
    catalog: String,
    hours: Option<OpenHours>,
    places: Option<Places>,
}

#[derive(Debug)]
struct Places {
    number: usize,
    semaphore: Arc<Semaphore>,
    /// One file for each place; a lock on it is held as long as the query is inside, and ends with its process.
    files: Vec<PathBuf>,
}

/// A query's place; dropping it leaves.
#[derive(Debug)]
pub struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    _file: Option<File>,
}

impl Gate {
    /// A gate for the catalog of this name. Does no I/O.
    ///
    /// # Errors
    /// [`ConnectorError::Configuration`] when nobody could ever enter.
    pub fn new(catalog: &str, options: GateOptions) -> Result<Self> {
        if options.max_concurrent_queries == Some(0) {
            return Err(ConnectorError::Configuration {
                catalog: catalog.to_owned(),
                message: "max_concurrent_queries is 0".to_owned(),
                hint: "allow at least 1".to_owned(),
            });
        }
        let places = options.max_concurrent_queries.map(|number| Places {
            number,
            semaphore: Arc::new(Semaphore::new(number)),
            files: match &options.shared_folder {
                Some(folder) => (0..number)
                    .map(|place| place_file(folder, &options.source, place))
                    .collect(),
                None => Vec::new(),
            },
        });
        Ok(Self {
            catalog: catalog.to_owned(),
            hours: options.hours,
            places,
        })
    }

    /// An error with the next allowed time when the catalog is closed now. Connectors ask before they read metadata
    /// or plan; what has begun may end.
    ///
    /// # Errors
    /// [`ConnectorError::BudgetExceeded`].
    pub fn check_open(&self) -> Result<()> {
        let Some(hours) = &self.hours else {
            return Ok(());
        };
        let now = Utc::now();
        if hours.is_open(now) {
            return Ok(());
        }
        let next = match hours.next_opening(now) {
            Some(next) => format!("queries are allowed again from {} on", hours.shown(next)),
            None => "it does not open again".to_owned(),
        };
        Err(ConnectorError::BudgetExceeded {
            limit: format!("`allow` of catalog {}", self.catalog),
            allowed: format!("queries at \"{}\" only", hours.text()),
            situation: format!("and it is {}", hours.shown(now)),
            hint: next,
        })
    }

    /// Both count the same places: their catalogs mean the same server. A query that is inside one is inside both.
    pub fn shares_places_with(&self, other: &Self) -> bool {
        match (&self.places, &other.places) {
            (Some(one), Some(two)) => {
                !one.files.is_empty() && one.files.first() == two.files.first()
            }
            _ => false,
        }
    }

    /// How many queries may be inside at once; `None` is unlimited.
    pub fn limit(&self) -> Option<usize> {
        self.places.as_ref().map(|places| places.number)
    }

    /// Waits for a place, and says so in the query's counters ([`QueryWork::waiting_for`]).
    ///
    /// # Errors
    /// [`ConnectorError::BudgetExceeded`] when the catalog is closed, before or after the wait.
    pub async fn enter(&self, work: &QueryWork) -> Result<Place> {
        self.check_open()?;
        let Some(places) = &self.places else {
            return Ok(Place {
                _permit: None,
                _file: None,
            });
        };
        if let Some(place) = places.try_enter() {
            return Ok(place);
        }
        let reason = format!(
            "a place at catalog {}: {} of {} queries are running (max_concurrent_queries)",
            self.catalog, places.number, places.number
        );
        tracing::info!(catalog = self.catalog, "waiting for {reason}");
        let waiting = work.wait_for(reason);
        let place = places.enter().await;
        drop(waiting);
        self.check_open()?;
        place
    }
}

impl Places {
    fn try_enter(&self) -> Option<Place> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        self.lock_file(permit).ok()
    }

    async fn enter(&self) -> Result<Place> {
        let mut permit = Arc::clone(&self.semaphore)
            .acquire_owned()
            .await
            .map_err(|_| ConnectorError::Internal("the gate is closed".to_owned()))?;
        loop {
            match self.lock_file(permit) {
                Ok(place) => return Ok(place),
                Err(returned) => permit = returned,
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A file of a place that no other process holds; the permit comes back when there is none.
    fn lock_file(&self, permit: OwnedSemaphorePermit) -> Result<Place, OwnedSemaphorePermit> {
        if self.files.is_empty() {
            return Ok(Place {
                _permit: Some(permit),
                _file: None,
            });
        }
        let mut unusable = 0;
        for path in &self.files {
            match open(path).map(|file| (file.try_lock(), file)) {
                Ok((Ok(()), file)) => {
                    return Ok(Place {
                        _permit: Some(permit),
                        _file: Some(file),
                    });
                }
                Ok((Err(TryLockError::WouldBlock), _)) => {}
                Ok((Err(TryLockError::Error(error)), _)) | Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "a shared place cannot be used");
                    unusable += 1;
                }
            }
        }
        if unusable == self.files.len() {
            // Without a usable folder the limit holds for this process only, as documented.
            return Ok(Place {
                _permit: Some(permit),
                _file: None,
            });
        }
        Err(permit)
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

fn place_file(folder: &Path, source: &str, place: usize) -> PathBuf {
    // The hasher is the same in all processes of one Owlet version; a clash would only share a limit.
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    folder.join(format!("{:016x}.{place}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Budget;

    fn gate(options: GateOptions) -> Gate {
        Gate::new("shop", options).expect("valid")
    }

    #[tokio::test]
    async fn a_waiting_query_says_so() {
        let gate = Arc::new(gate(GateOptions {
            max_concurrent_queries: Some(1),
            ..GateOptions::default()
        }));
        let first = gate
            .enter(&QueryWork::new(Budget::default()))
            .await
            .expect("free");
        let work = QueryWork::new(Budget::default());
        let waiting = tokio::spawn({
            let (gate, work) = (Arc::clone(&gate), Arc::clone(&work));
            async move { gate.enter(&work).await }
        });
        while work.waiting_for().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let reason = work.waiting_for().expect("waiting");
        assert!(reason.contains("catalog shop: 1 of 1 queries"), "{reason}");
        drop(first);
        waiting.await.expect("task").expect("entered");
        assert_eq!(work.waiting_for(), None);
    }

    #[tokio::test]
    async fn gates_of_one_source_share_their_places() {
        let folder = tempfile::tempdir().expect("folder");
        let options = GateOptions {
            max_concurrent_queries: Some(2),
            shared_folder: Some(folder.path().join("places")),
            source: "db:5432/shop".to_owned(),
            ..GateOptions::default()
        };
        // Two gates stand for two processes: file locks belong to the open file.
        let (one, two) = (gate(options.clone()), gate(options.clone()));
        let other = gate(GateOptions {
            source: "db:5432/else".to_owned(),
            ..options
        });
        let work = QueryWork::new(Budget::default());
        let first = one.enter(&work).await.expect("free");
        let _second = two.enter(&work).await.expect("free");
        let full = tokio::time::timeout(Duration::from_millis(300), one.enter(&work)).await;
        assert!(full.is_err());
        other.enter(&work).await.expect("another source");
        drop(first);
        two.enter(&work).await.expect("free again");
    }

    #[tokio::test]
    async fn closed_hours_refuse_with_the_next_time() {
        // The month after the next is never now.
        let month = (chrono::Datelike::month(&Utc::now()) + 1) % 12 + 1;
        let hours = OpenHours::new(&[format!("30 4 1 {month} *")], Some("UTC")).expect("valid");
        let gate = gate(GateOptions {
            hours: Some(hours),
            ..GateOptions::default()
        });
        let error = gate
            .enter(&QueryWork::new(Budget::default()))
            .await
            .expect_err("closed");
        let text = error.to_string();
        assert!(
            text.contains("allowed again from") && text.contains("04:30 UTC"),
            "{text}"
        );
    }
}
