//! The folder in which the Owlet processes of one user on one machine see each other. Must never hold data.

use std::path::PathBuf;

/// A folder of this name for the running processes: below `OWLET_RUNTIME_DIR`, else the session's runtime folder, else
/// the user's cache folder. `None` where the system has none of them.
pub fn of(name: &str) -> Option<PathBuf> {
    let configured = std::env::var_os("OWLET_RUNTIME_DIR").map(PathBuf::from);
    let folder = configured.or_else(|| {
        dirs::runtime_dir()
            .or_else(dirs::cache_dir)
            .map(|folder| folder.join("owlet"))
    })?;
    Some(folder.join(name))
}
