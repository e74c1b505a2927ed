//! Start to exit of the smallest query, beside two tools people know for being quick.

use std::path::PathBuf;
use std::process::Command;

use super::report::{Measurement, Ratio, Report};
use super::{Options, owlet_binary, seconds_of};
use crate::Result;
use crate::environment::required;

const RUNS: usize = 40;

/// Name, and how it is called.
type Contestant<'a> = (&'static str, Box<dyn Fn() -> Command + 'a>);

pub fn run(_options: &Options) -> Result<Report> {
    let owlet = owlet_binary()?;
    let duckdb = duckdb_binary()?;
    let folder = tempfile::tempdir()?;
    let mut report = Report::new("startup", "Start to exit: `SELECT 1`");
    let contestants: [Contestant<'_>; 3] = [
        (
            "owlet query",
            Box::new(|| command(&owlet, &["query", "SELECT 1"])),
        ),
        (
            "sqlite3 :memory:",
            Box::new(|| command(&PathBuf::from("sqlite3"), &[":memory:", "SELECT 1"])),
        ),
        (
            "duckdb -c",
            Box::new(|| command(&duckdb, &["-c", "SELECT 1"])),
        ),
    ];
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    for _ in 0..RUNS {
        for (index, (_, command)) in contestants.iter().enumerate() {
            times[index].push(seconds_of(command().current_dir(folder.path()))? * 1000.0);
        }
    }
    for ((contestant, _), times) in contestants.iter().zip(times) {
        report
            .measurements
            .push(Measurement::new("SELECT 1", contestant, "ms", times));
    }
    let median: Vec<f64> = report
        .measurements
        .iter()
        .map(|measurement| measurement.median)
        .collect();
    report.ratios.push(Ratio::new(
        "sqlite3 / owlet (medians)",
        median[1] / median[0],
    ));
    report.ratios.push(Ratio::new(
        "duckdb / owlet (medians)",
        median[2] / median[0],
    ));
    report.notes.push(format!(
        "{RUNS} runs each, taking turns, in an empty folder without a configuration file."
    ));
    Ok(report)
}

fn command(program: &PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("OWLET_CONFIG");
    command
}

/// The program itself: the script of its Python package would add an interpreter's start.
fn duckdb_binary() -> Result<PathBuf> {
    let ask = "import duckdb_cli, os; print(os.path.join(duckdb_cli.__path__[0], 'duckdb'))";
    let output = Command::new(required("OWLET_TEST_PYTHON"))
        .args(["-c", ask])
        .output()?;
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    if path.is_file() {
        Ok(path)
    } else {
        Err("the DuckDB command line is not installed".into())
    }
}
