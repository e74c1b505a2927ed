//! What finished scans taught about the cost of each kind of access to a table, in memory and beside the cached
//! columns on disk. Must never know plans or requests.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use owlet_connector::WorkRecorder;
use serde::{Deserialize, Serialize};

use super::access_kind::AccessKind;
use super::partition_sizes::{PartitionId, PartitionSize, PartitionSizes};
use crate::description::TableDescription;
use crate::plan::payload::Lesson;

/// Raised when the meaning of the file changes.
const FORMAT: u32 = 1;
/// Units that an estimate without experience weighs: few small reads change little.
const PRIOR_UNITS: f64 = 2.0;
/// Reads of partitions that it weighs: one partition says little about the size of others.
const PRIOR_PARTITIONS: f64 = 4.0;
/// Experience beyond this many scans is halved, so that a table that changes is learned anew.
const MOST_SCANS: f64 = 64.0;
/// The speed of a request is the average of about so many.
const MOST_REQUESTS: f64 = 10_000.0;
/// Most kinds of access remembered of a table.
const MOST_KINDS: usize = 64;
/// Most tables remembered.
const MOST_TABLES: usize = 1024;
/// Most scans whose splits are under way.
const MOST_SCANS_UNDER_WAY: usize = 1024;
/// Least time between two writes of a table's file.
const WRITE_EVERY: Duration = Duration::from_secs(20);
/// An estimate is never changed by more.
const MOST_FACTOR: f64 = 1000.0;

/// Experience with one table, by kind of access.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableExperience {
    kinds: BTreeMap<AccessKind, Experience>,
    #[serde(default)]
    partitions: PartitionSizes,
}

/// Sums over finished scans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Experience {
    scans: f64,
    estimated: f64,
    consumed: f64,
    requests: f64,
    seconds: f64,
}

/// What a part of a scan really took.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Taken {
    pub(crate) units: f64,
    pub(crate) requests: f64,
    /// Items the service read.
    pub(crate) items: f64,
    /// Of all requests, one after the other.
    pub(crate) seconds: f64,
    /// Partitions that were read from their first item to their last.
    pub(crate) partitions: Vec<(PartitionId, PartitionSize)>,
}

/// Identifies a table as it is now: one that was dropped and made again is another.
pub(crate) fn identity(table: &TableDescription) -> String {
    format!("{} {} {}", table.name, table.arn, table.created)
}

impl TableExperience {
    /// What to multiply an estimate with.
    pub(crate) fn factor(&self, access: &AccessKind) -> f64 {
        self.kinds
            .get(access)
            .map_or(1.0, |experience| experience.factor(access))
    }

    /// Measured seconds of a request.
    pub(crate) fn seconds_of_request(&self, access: &AccessKind) -> Option<f64> {
        let experience = self.kinds.get(access)?;
        (experience.requests >= 1.0).then(|| experience.seconds / experience.requests)
    }

    /// Size of a partition when it was last read whole.
    pub(crate) fn partition(&self, partition: PartitionId) -> Option<PartitionSize> {
        self.partitions.of(partition)
    }

    /// The experience for people, when it changes the estimate.
    pub(crate) fn text(&self, access: &AccessKind) -> Option<String> {
        let experience = self.kinds.get(access)?;
        let factor = experience.factor(access);
        ((factor - 1.0).abs() >= 0.01).then(|| {
            format!(
                "estimate multiplied by {factor:.2} after what {:.0} earlier reads of this kind consumed",
                experience.scans
            )
        })
    }

    fn add(&mut self, lesson: &Lesson, taken: Taken) {
        for (partition, size) in taken.partitions {
            self.partitions.remember(partition, size);
        }
        let access = &lesson.access;
        if self.kinds.len() >= MOST_KINDS && !self.kinds.contains_key(access) {
            let rarest = self
                .kinds
                .iter()
                .min_by(|left, right| left.1.scans.total_cmp(&right.1.scans))
                .map(|(kind, _)| kind.clone());
            if let Some(rarest) = rarest {
                self.kinds.remove(&rarest);
            }
        }
        let experience = self.kinds.entry(access.clone()).or_default();
        if let Some(estimated) = lesson.estimated {
            experience.scans += 1.0;
            experience.estimated += estimated;
            experience.consumed += taken.units;
        }
        experience.requests += taken.requests;
        experience.seconds += taken.seconds;
        if experience.scans > MOST_SCANS {
            for sum in [
                &mut experience.scans,
                &mut experience.estimated,
                &mut experience.consumed,
            ] {
                *sum /= 2.0;
            }
        }
        if experience.requests > MOST_REQUESTS {
            experience.seconds *= MOST_REQUESTS / experience.requests;
            experience.requests = MOST_REQUESTS;
        }
    }
}

impl Experience {
    fn factor(&self, access: &AccessKind) -> f64 {
        let prior = if access.reads_partitions() {
            PRIOR_UNITS + PRIOR_PARTITIONS * self.estimated / self.scans.max(1.0)
        } else {
            PRIOR_UNITS
        };
        let factor = (self.consumed + prior) / (self.estimated + prior);
        factor.clamp(1.0 / MOST_FACTOR, MOST_FACTOR)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    format: u32,
    address: String,
    table: String,
    experience: TableExperience,
}

/// The experience of one catalog.
#[derive(Debug)]
pub(crate) struct Learner {
    folder: Option<PathBuf>,
    tables: Mutex<HashMap<String, Known>>,
    under_way: Mutex<HashMap<usize, UnderWay>>,
}

#[derive(Debug, Default)]
struct Known {
    experience: TableExperience,
    written: Option<Instant>,
}

/// A scan of which some splits have ended.
#[derive(Debug)]
struct UnderWay {
    scan: Weak<WorkRecorder>,
    ended: usize,
    taken: Taken,
}

impl Learner {
    /// `folder` is the cache folder; `None` keeps experience in memory only.
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self {
            folder: folder.map(|folder| folder.join("dynamodb")),
            tables: Mutex::default(),
            under_way: Mutex::default(),
        }
    }

    /// The experience with a table.
    pub(crate) async fn experience(&self, address: &str, table: &str) -> TableExperience {
        if let Some(known) = lock(&self.tables).get(table) {
            return known.experience.clone();
        }
        let experience = self.load(address, table).await.unwrap_or_default();
        let mut tables = lock(&self.tables);
        if tables.len() >= MOST_TABLES {
            tables.clear();
        }
        let known = tables.entry(table.to_owned()).or_insert(Known {
            experience,
            written: None,
        });
        known.experience.clone()
    }

    /// One split of a scan was read to its end. Once all have, estimate and counters are compared.
    pub(crate) async fn ended(
        &self,
        address: &str,
        scan: &Arc<WorkRecorder>,
        lesson: &Lesson,
        taken: Taken,
    ) {
        let Some(total) = self.total(scan, lesson, taken) else {
            return;
        };
        self.experience(address, &lesson.table).await;
        let to_write = {
            let mut tables = lock(&self.tables);
            let Some(known) = tables.get_mut(&lesson.table) else {
                return;
            };
            known.experience.add(lesson, total);
            let is_due = known
                .written
                .is_none_or(|written| written.elapsed() >= WRITE_EVERY);
            is_due.then(|| {
                known.written = Some(Instant::now());
                known.experience.clone()
            })
        };
        if let (Some(experience), Some(folder)) = (to_write, &self.folder) {
            let path = file(folder, address, &lesson.table);
            let entry = Entry {
                format: FORMAT,
                address: address.to_owned(),
                table: lesson.table.clone(),
                experience,
            };
            if let Err(error) = write(folder, &path, &entry).await {
                tracing::warn!(path = %path.display(), %error, "what was learned could not be kept");
            }
        }
    }

    /// The sum over all splits of a scan once the last has ended.
    fn total(&self, scan: &Arc<WorkRecorder>, lesson: &Lesson, taken: Taken) -> Option<Taken> {
        if lesson.splits <= 1 {
            return Some(taken);
        }
        let mut under_way = lock(&self.under_way);
        if under_way.len() >= MOST_SCANS_UNDER_WAY {
            under_way.retain(|_, scan| scan.scan.strong_count() > 0);
        }
        let address = Arc::as_ptr(scan) as usize;
        let entry = under_way.entry(address).or_insert_with(|| UnderWay {
            scan: Arc::downgrade(scan),
            ended: 0,
            taken: Taken::default(),
        });
        if !std::ptr::eq(entry.scan.as_ptr(), Arc::as_ptr(scan)) || entry.scan.strong_count() == 0 {
            *entry = UnderWay {
                scan: Arc::downgrade(scan),
                ended: 0,
                taken: Taken::default(),
            };
        }
        entry.ended += 1;
        entry.taken.units += taken.units;
        entry.taken.requests += taken.requests;
        entry.taken.items += taken.items;
        entry.taken.seconds += taken.seconds;
        entry.taken.partitions.extend(taken.partitions);
        if entry.ended < lesson.splits {
            return None;
        }
        under_way.remove(&address).map(|entry| entry.taken)
    }

    /// The stored experience with this very table; a file that cannot be used is none.
    async fn load(&self, address: &str, table: &str) -> Option<TableExperience> {
        let path = file(self.folder.as_ref()?, address, table);
        let bytes = tokio::fs::read(&path).await.ok()?;
        let entry: Entry = match serde_json::from_slice(&bytes) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "ignoring a damaged file of learned costs");
                return None;
            }
        };
        let is_usable = entry.format == FORMAT && entry.address == address && entry.table == table;
        is_usable.then_some(entry.experience)
    }
}

/// A reader sees the old file or the new one, never half of one.
async fn write(folder: &Path, path: &Path, entry: &Entry) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let temporary = path.with_extension(format!(
        "{}-{:x}.tmp",
        std::process::id(),
        rand::random::<u32>()
    ));
    tokio::fs::write(&temporary, serde_json::to_vec(entry)?).await?;
    tokio::fs::rename(&temporary, path).await
}

fn file(folder: &Path, address: &str, table: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (address, table).hash(&mut hasher);
    let name = table.split(' ').next().unwrap_or_default();
    folder.join(format!("{name}-{:016x}.costs.json", hasher.finish()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use owlet_connector::{Budget, QueryWork, ScanDescription};

    use super::*;
    use crate::value::AttributeValue;

    fn lesson(estimated: f64, splits: usize) -> Lesson {
        Lesson {
            table: "orders arn 1".to_owned(),
            access: AccessKind::named("scan"),
            estimated: Some(estimated),
            splits,
        }
    }

    fn taken(units: f64) -> Taken {
        Taken {
            units,
            requests: 2.0,
            items: 10.0,
            seconds: 0.5,
            partitions: Vec::new(),
        }
    }

    fn scan() -> Arc<WorkRecorder> {
        QueryWork::new(Budget::default()).recorder(ScanDescription::default())
    }

    #[tokio::test]
    async fn experience_grows_survives_and_is_bounded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let learner = Learner::new(Some(folder.path()));
        let scan = scan();
        // Half a scan teaches nothing.
        learner
            .ended("a", &scan, &lesson(100.0, 2), taken(100.0))
            .await;
        let experience = learner.experience("a", "orders arn 1").await;
        assert_eq!(experience.factor(&AccessKind::named("scan")), 1.0);
        learner
            .ended("a", &scan, &lesson(100.0, 2), taken(100.0))
            .await;
        let experience = learner.experience("a", "orders arn 1").await;
        let factor = experience.factor(&AccessKind::named("scan"));
        assert!((1.8..2.0).contains(&factor), "{factor}");
        assert_eq!(
            experience.seconds_of_request(&AccessKind::named("scan")),
            Some(0.25)
        );
        assert!(experience.text(&AccessKind::named("scan")).is_some());
        assert_eq!(
            experience.factor(&AccessKind::of_partitions("partitions", None)),
            1.0
        );
        let again = Learner::new(Some(folder.path()));
        assert_eq!(again.experience("a", "orders arn 1").await, experience);
        for (address, table) in [("b", "orders arn 1"), ("a", "orders arn 2")] {
            let other = Learner::new(Some(folder.path()))
                .experience(address, table)
                .await;
            assert_eq!(other, TableExperience::default());
        }
        let mut experience = experience;
        for number in 0..1000 {
            let lesson = Lesson {
                access: AccessKind::named(format!("kind {}", number % 100)),
                ..lesson(1.0, 1)
            };
            experience.add(&lesson, taken(1.0));
        }
        assert!(experience.kinds.len() <= MOST_KINDS);
        assert!(
            experience
                .kinds
                .values()
                .all(|kind| kind.scans <= MOST_SCANS)
        );
    }

    #[tokio::test]
    async fn a_partition_read_whole_is_known_by_size() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let id = PartitionId::new(None, &AttributeValue::S("ann".to_owned()));
        let expected = PartitionSize {
            items: 10.0,
            bytes: 40_960.0,
        };
        let taken = Taken {
            partitions: vec![(id, expected)],
            ..taken(5.0)
        };
        let learner = Learner::new(Some(folder.path()));
        learner.ended("a", &scan(), &lesson(30.0, 1), taken).await;
        let again = Learner::new(Some(folder.path()));
        let size = again.experience("a", "orders arn 1").await.partition(id);
        assert_eq!(size, Some(expected));
    }

    #[test]
    fn one_partition_says_little_about_others() {
        let lesson = Lesson {
            access: AccessKind::of_partitions("partitions", None),
            ..lesson(10.0, 1)
        };
        let mut experience = TableExperience::default();
        experience.add(&lesson, taken(100.0));
        assert!(experience.factor(&lesson.access) < 3.0);
        for _ in 0..40 {
            experience.add(&lesson, taken(100.0));
        }
        assert!(experience.factor(&lesson.access) > 8.0);
        let known = Lesson {
            estimated: None,
            ..lesson.clone()
        };
        let before = experience.factor(&lesson.access);
        experience.add(&known, taken(1.0));
        assert_eq!(experience.factor(&lesson.access), before);
    }

    #[test]
    fn small_reads_change_little() {
        let mut experience = TableExperience::default();
        experience.add(&lesson(0.5, 1), taken(1.0));
        assert!(experience.factor(&AccessKind::named("scan")) < 1.25);
        for _ in 0..60 {
            experience.add(&lesson(0.5, 1), taken(1.0));
        }
        assert!(experience.factor(&AccessKind::named("scan")) > 1.6);
    }
}
