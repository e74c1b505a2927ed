//! Where a result goes: the standard output, or a file that appears only when it is whole.
//! Must never know a format.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::errors::{CliError, Result};

const BUFFER_BYTES: usize = 256 * 1024;

/// A file under a temporary name beside its target. Dropping it without [`Self::commit`] removes it.
#[derive(Debug)]
pub struct PendingFile {
    target: PathBuf,
    /// `None` when the target is not a regular file (a pipe, a device) and is written directly.
    temporary: Option<PathBuf>,
    committed: bool,
}

impl PendingFile {
    /// Creates the temporary file, and a writer to it.
    pub fn create(target: &Path) -> Result<(Self, Box<dyn Write + Send>)> {
        let failed = |error: &io::Error| CliError::output(target.display().to_string(), error);
        // A link keeps pointing where it points: its target is replaced, not the link.
        let resolved = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let is_special = fs::metadata(&resolved).is_ok_and(|metadata| !metadata.is_file());
        if is_special {
            let file = OpenOptions::new()
                .write(true)
                .open(&resolved)
                .map_err(|error| failed(&error))?;
            let pending = Self {
                target: resolved,
                temporary: None,
                committed: false,
            };
            return Ok((pending, buffered(file)));
        }
        let temporary = temporary_name(&resolved);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|error| failed(&error))?;
        let pending = Self {
            target: resolved,
            temporary: Some(temporary),
            committed: false,
        };
        Ok((pending, buffered(file)))
    }

    /// Gives the finished file its name. The writer must have been flushed and dropped.
    pub fn commit(mut self) -> Result<()> {
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.target)
                .map_err(|error| CliError::output(self.target.display().to_string(), &error))?;
        }
        self.committed = true;
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if let (false, Some(temporary)) = (self.committed, &self.temporary) {
            // The query's own error is on its way to the user; a leftover file is the smaller evil.
            let _ = fs::remove_file(temporary);
        }
    }
}

fn buffered(file: File) -> Box<dyn Write + Send> {
    Box::new(BufWriter::with_capacity(BUFFER_BYTES, file))
}

/// The standard output as a writer of its own. Rust's handle flushes at line ends only when asked to write
/// little; large writes pass through.
pub fn standard_output() -> Box<dyn Write + Send> {
    Box::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))
}

fn temporary_name(target: &Path) -> PathBuf {
    let name = target
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    target.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_committed() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a.csv");
        fs::write(&target, "old").expect("written");

        let (pending, mut writer) = PendingFile::create(&target).expect("created");
        writer.write_all(b"half").expect("written");
        drop(writer);
        drop(pending);
        assert_eq!(fs::read_to_string(&target).expect("read"), "old");

        let (pending, mut writer) = PendingFile::create(&target).expect("created");
        writer.write_all(b"new").expect("written");
        writer.flush().expect("flushed");
        drop(writer);
        pending.commit().expect("committed");
        assert_eq!(fs::read_to_string(&target).expect("read"), "new");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("real.csv");
        let link = folder.path().join("link.csv");
        fs::write(&target, "old").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        let (pending, mut writer) = PendingFile::create(&link).expect("created");
        writer.write_all(b"new").expect("written");
        drop(writer);
        pending.commit().expect("committed");
        assert_eq!(fs::read_to_string(&target).expect("read"), "new");
        assert!(fs::symlink_metadata(&link).expect("exists").is_symlink());
    }
}
