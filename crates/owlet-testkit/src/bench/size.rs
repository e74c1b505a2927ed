//! Size of the binary, and on request the time of a clean release build.

use std::process::Command;
use std::time::Instant;

use super::report::{Measurement, Report};
use super::{Options, owlet_binary, repository};
use crate::Result;

pub fn run(options: &Options) -> Result<Report> {
    let mut report = Report::new("size", "The `owlet` binary: size and clean build");
    let bytes = std::fs::metadata(owlet_binary()?)?.len();
    report.measurements.push(Measurement::new(
        "release binary",
        "owlet",
        "MB",
        vec![bytes as f64 / 1e6],
    ));
    if options.clean_build {
        let target = tempfile::tempdir()?;
        let started = Instant::now();
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--workspace", "--bin", "owlet"])
            .env("CARGO_TARGET_DIR", target.path())
            .current_dir(repository())
            .status()?;
        if !status.success() {
            return Err("the clean build failed".into());
        }
        let minutes = started.elapsed().as_secs_f64() / 60.0;
        report.measurements.push(Measurement::new(
            "clean release build",
            "cargo",
            "min",
            vec![minutes],
        ));
    } else {
        report.notes.push(
            "The clean build is measured by `cargo xtask bench size --clean-build`.".to_owned(),
        );
    }
    Ok(report)
}
