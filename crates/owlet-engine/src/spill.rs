//! The folder for a process's spill files: removed when the engine ends, also by an error, while threads still compute;
//! what killed processes left behind is removed by the next ones. Must never know what is spilled.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

/// Begins the names of the folders.
const PREFIX: &str = "owlet-spill-";
/// The file in a folder that its process holds locked as long as it lives.
const LOCK: &str = "in-use";
/// A folder younger than this may be about to be locked.
const AGE_LEFT_ALONE: Duration = Duration::from_secs(600);

/// A folder of its own below one that is shared.
#[derive(Debug)]
pub struct SpillFolder {
    folder: TempDir,
    _lock: File,
}

impl SpillFolder {
    /// Creates it. Old ones that no process uses are removed in the background.
    pub fn create(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        let parent = parent.to_owned();
        // Nobody waits for it, and a folder it does not come to is there the next time.
        let _ = std::thread::Builder::new()
            .name("spill-clean-up".to_owned())
            .spawn(move || remove_left_over(&parent, AGE_LEFT_ALONE));
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Where spill files belong.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// Removes folders of processes that are gone. What cannot be looked at or removed belongs to somebody else.
fn remove_left_over(parent: &Path, least_age: Duration) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && is_left_over(&entry, least_age) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_left_over(entry: &fs::DirEntry, least_age: Duration) -> bool {
    // Of the entry itself: a link is not followed.
    let Ok(metadata) = entry.metadata() else {
        return false;
    };
    let age = metadata
        .modified()
        .ok()
        .and_then(|time| time.elapsed().ok());
    if !metadata.is_dir() || age.is_none_or(|age| age < least_age) {
        return false;
    }
    match File::open(entry.path().join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_end_with_their_process_and_others_are_left_alone() {
        let parent = tempfile::tempdir().expect("a folder");
        let used = SpillFolder::create(parent.path()).expect("created");
        let left = parent.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).expect("created");
        fs::write(left.join("spilled"), "x").expect("written");
        let foreign = parent.path().join("foreign");
        fs::create_dir(&foreign).expect("created");

        remove_left_over(parent.path(), AGE_LEFT_ALONE);
        assert!(left.exists(), "it is young");
        remove_left_over(parent.path(), Duration::ZERO);
        assert!(!left.exists());
        assert!(used.path().exists() && foreign.exists());

        fs::write(used.path().join("spilled"), "x").expect("written");
        let path = used.path();
        drop(used);
        assert!(!path.exists());
    }
}
