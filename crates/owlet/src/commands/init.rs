//! `owlet init`: a commented `owlet.toml` to start from. Never overwrites.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use super::Context;
use crate::arguments::InitArguments;
use crate::config::FILE_NAME;
use crate::errors::{CliError, ExitStatus, Result};

/// The file people start from; a test keeps it in step with the settings.
pub const TEMPLATE: &str = include_str!("init.toml");

/// Runs the command.
pub fn run(arguments: &InitArguments, context: &Context) -> Result<ExitStatus> {
    let path = arguments.dir.join(FILE_NAME);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                return CliError::usage(
                    format!("{} exists already and stays as it is", path.display()),
                    "",
                );
            }
            CliError::output(path.display().to_string(), &error)
        })?;
    file.write_all(TEMPLATE.as_bytes())
        .map_err(|error| CliError::output(path.display().to_string(), &error))?;
    context.printer.note(&format!("wrote {}", path.display()));
    context.printer.note("next: remove the \"#: \" before what you need, then `owlet doctor`, `owlet tables`, `owlet shell`");
    Ok(ExitStatus::Success)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The template with every commented setting switched on must be a valid configuration.
    #[test]
    fn every_commented_setting_is_known() {
        let enabled: String = TEMPLATE
            .lines()
            .map(|line| {
                line.strip_prefix("#: ")
                    .or(line.strip_prefix("#:"))
                    .unwrap_or(line)
            })
            .map(|line| format!("{line}\n"))
            .collect::<String>()
            .replace("${file:", "$${file:");
        let config =
            crate::config::parse(Path::new("owlet.toml"), &enabled, &|_| Some("x".to_owned()));
        let config = config.unwrap_or_else(|error| panic!("{}", error.report()));
        assert_eq!(config.catalogs.len(), 6);
    }

    #[test]
    fn as_written_it_configures_nothing() {
        let config =
            crate::config::parse(Path::new("owlet.toml"), TEMPLATE, &|_| None).expect("valid");
        assert!(config.catalogs.is_empty());
    }
}
