//! Running other programs: loud on failure, identity of the user, places. Must never know which programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// Runs a command to its end and fails with its command line when it fails.
pub fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|error| format!("cannot start {}: {error}", line(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed: {status}", line(command)))
    }
}

/// Standard output of a command, or `None` when it cannot be started or fails.
pub fn output(program: impl AsRef<Path>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(text)
}

/// The program is on the search path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The current user is root.
pub fn is_root() -> bool {
    output("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

/// A command that runs with root's rights: directly for root, through sudo otherwise.
pub fn privileged(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    // Through `env`, so that the caller's settings for a non-interactive apt survive sudo's clean-up.
    command.args(["--", "env", "DEBIAN_FRONTEND=noninteractive", program]);
    command
}

/// Root of the repository.
pub fn repository() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// Folder for downloaded tools; not tracked, survives `git clean` of sources but not `cargo clean`.
pub fn tools() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from)
        .join("xtask")
}

/// A cargo command that runs at the root of the repository.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository());
    // Set for xtask's own package by `cargo run`. Build scripts watch them (ring's does): leaked, everything above
    // would be built again whenever cargo is called directly the next time.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
