//! Where a result goes: the standard output, or a file that appears only when it is whole and is then as private as the
//! one it replaces.
//! Must never know a format.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::errors::{CliError, Result};

const BUFFER_BYTES: usize = 256 * 1024;

/// A file under a temporary name beside its target. Dropping it without [`Self::commit`] removes it.
#[derive(Debug)]
pub struct PendingFile {
    target: PathBuf,
    /// `None` when the target is written directly: a pipe, a device, or a file that is open already.
    temporary: Option<PathBuf>,
    committed: bool,
}

impl PendingFile {
    /// Creates the temporary file, and a writer to it.
    pub fn create(target: &Path) -> Result<(Self, Box<dyn Write + Send>)> {
        let failed = |error: &io::Error| CliError::output(target.display().to_string(), error);
        let existing = fs::metadata(target).ok();
        let directly = |writer| {
            let pending = Self {
                target: target.to_owned(),
                temporary: None,
                committed: false,
            };
            (pending, writer)
        };
        if let Some(stream) = existing.as_ref().and_then(standard_stream) {
            return Ok(directly(stream));
        }
        let is_special = existing
            .as_ref()
            .is_some_and(|metadata| !metadata.is_file());
        if is_special || names_descriptor(target) {
            let file = OpenOptions::new()
                // What was written to it before stays.
                .append(true)
                .open(target)
                .map_err(|error| failed(&error))?;
            return Ok(directly(buffered(file)));
        }
        // A link keeps pointing where it points: its target is replaced, not the link.
        let resolved = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let temporary = temporary_name(&resolved);
        let file = create(&temporary, existing.as_ref()).map_err(|error| failed(&error))?;
        // From here on the file is removed unless it is committed.
        let pending = Self {
            target: resolved,
            temporary: Some(temporary),
            committed: false,
        };
        if let Some(existing) = &existing {
            protect(&file, existing).map_err(|error| failed(&error))?;
        }
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

/// The standard output or error, when it is the file of this metadata: opening or replacing that would overwrite or lose
/// what else goes there.
#[cfg(unix)]
fn standard_stream(target: &Metadata) -> Option<Box<dyn Write + Send>> {
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::MetadataExt;

    let is_target = |stream: BorrowedFd<'_>| {
        let open = stream.try_clone_to_owned().map(File::from);
        open.and_then(|file| file.metadata())
            .is_ok_and(|open| (open.dev(), open.ino()) == (target.dev(), target.ino()))
    };
    if is_target(io::stdout().as_fd()) {
        return Some(standard_output());
    }
    if is_target(io::stderr().as_fd()) {
        return Some(Box::new(BufWriter::with_capacity(
            BUFFER_BYTES,
            io::stderr(),
        )));
    }
    None
}

#[cfg(not(unix))]
fn standard_stream(_: &Metadata) -> Option<Box<dyn Write + Send>> {
    None
}

/// Whether a path stands for a descriptor of a process (`/dev/stdout`, `/dev/fd/3`) and not for a file. Other folders
/// below `/dev`, such as `/dev/shm`, hold files.
fn names_descriptor(target: &Path) -> bool {
    let text = target.to_string_lossy();
    ["/dev/stdin", "/dev/stdout", "/dev/stderr"].contains(&text.as_ref())
        || text.starts_with("/dev/fd/")
        || (text.starts_with("/proc/") && text.contains("/fd/"))
}

/// Creates a file, at no moment readable for more people than the one it will replace.
#[cfg(unix)]
fn create(path: &Path, existing: Option<&Metadata>) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if existing.is_some() {
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _: Option<&Metadata>) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Gives the file the permissions of the one it will replace, and owner and group where the system allows it.
#[cfg(unix)]
fn protect(file: &File, existing: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let created = file.metadata()?;
    if created.uid() != existing.uid() {
        // Only the superuser may; others own what they write.
        let _ = fchown(file, Some(existing.uid()), None);
    }
    let keeps_group =
        created.gid() == existing.gid() || fchown(file, None, Some(existing.gid())).is_ok();
    let mode = existing.mode() & 0o777;
    let mode = match keeps_group {
        true => mode,
        // Another group gets no more than everybody.
        false => (mode & 0o707) | ((mode & 0o007) << 3),
    };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn protect(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
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
    fn a_file_stays_as_private_as_it_was() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};

        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a.csv");
        for mode in [0o600, 0o640, 0o400, 0o664] {
            let _ = fs::remove_file(&target);
            fs::write(&target, "old").expect("written");
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).expect("set");
            let before = fs::metadata(&target).expect("exists");

            let (pending, mut writer) = PendingFile::create(&target).expect("created");
            let temporary = pending.temporary.clone().expect("a regular file");
            let while_written = fs::metadata(temporary).expect("exists").mode();
            assert_eq!(while_written & 0o777, mode);
            writer.write_all(b"new").expect("written");
            drop(writer);
            pending.commit().expect("committed");

            let after = fs::metadata(&target).expect("exists");
            assert_eq!(after.mode(), before.mode());
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
            assert_eq!(fs::read_to_string(&target).expect("read"), "new");
        }
    }

    #[test]
    fn descriptors_are_told_from_files() {
        for path in [
            "/dev/stdout",
            "/dev/fd/3",
            "/proc/self/fd/1",
            "/proc/12/fd/4",
        ] {
            assert!(names_descriptor(Path::new(path)), "{path}");
        }
        for path in ["/dev/shm/a.csv", "/dev/stdout.csv", "out.csv", "dev/stdout"] {
            assert!(!names_descriptor(Path::new(path)), "{path}");
        }
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
