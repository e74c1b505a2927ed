//! Benchmarks beside yardsticks on the same machine in the same run: contestants take turns, several rounds,
//! best and median. Results are JSON files, and a summary made from them.

mod dynamodb;
mod memory;
mod mysql;
mod report;
mod scan;
mod size;
mod startup;
mod tpch;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::Result;
use crate::environment::required;
pub use report::{Measurement, Report};

/// Name and what it measures, in the order of the summary.
const BENCHMARKS: &[&str] = &[
    "scan",
    "memory",
    "startup",
    "tpch",
    "dynamodb-decode",
    "dynamodb-scan",
    "dynamodb-join",
    "dynamodb-estimate",
    "dynamodb-look-up",
    "mysql-scan",
    "mysql-tpch",
    "mysql-join",
    "size",
];

/// What the benchmarks need to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only these; all when empty.
    pub names: Vec<String>,
    /// Also measure a clean release build (long).
    pub clean_build: bool,
    /// Rounds of every contestant.
    pub rounds: usize,
    /// Scale factor of `scan` and `memory`.
    pub scale_factor: f64,
    /// Scale factor of `tpch`.
    pub tpch_scale_factor: f64,
    /// Items of the DynamoDB tables of `dynamodb-…`.
    pub items: usize,
}

/// Runs benchmarks and writes `bench/results` (release builds only).
pub async fn run(options: &Options) -> Result<()> {
    if let Some(unknown) = options
        .names
        .iter()
        .find(|name| !BENCHMARKS.contains(&name.as_str()))
    {
        return Err(format!(
            "unknown benchmark {unknown}; there are {}",
            BENCHMARKS.join(", ")
        )
        .into());
    }
    // Numbers of an unoptimised build are for debugging the harness only.
    let results = repository().join(if cfg!(debug_assertions) {
        "bench/data/debug"
    } else {
        "bench/results"
    });
    std::fs::create_dir_all(&results)?;
    let is_wanted =
        |name: &str| options.names.is_empty() || options.names.iter().any(|wanted| wanted == name);
    for name in BENCHMARKS.iter().filter(|name| is_wanted(name)) {
        eprintln!("bench: ── {name} ──");
        let started = Instant::now();
        let report = match *name {
            "scan" => scan::run(options).await?,
            "memory" => memory::run(options).await?,
            "startup" => startup::run(options)?,
            "tpch" => tpch::run(options).await?,
            "dynamodb-decode" => dynamodb::decode(options).await?,
            "dynamodb-scan" => dynamodb::scan::run(options).await?,
            "dynamodb-join" => dynamodb::join::run(options).await?,
            "dynamodb-estimate" => dynamodb::estimate::run(options).await?,
            "dynamodb-look-up" => dynamodb::look_up::run(options).await?,
            "mysql-scan" => mysql::scan::run(options).await?,
            "mysql-tpch" => tpch::run_mysql(options).await?,
            "mysql-join" => mysql::join::run(options).await?,
            _ => size::run(options)?,
        };
        eprintln!(
            "bench: {name} took {:.0} s",
            started.elapsed().as_secs_f64()
        );
        report.write(&results)?;
    }
    if options.names.is_empty()
        || options
            .names
            .iter()
            .any(|name| name.starts_with("dynamodb-"))
    {
        dynamodb::clean().await?;
    }
    let summary = report::summary(&results, BENCHMARKS)?;
    std::fs::write(results.join("README.md"), &summary)?;
    println!("{summary}");
    Ok(())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The `owlet` binary of the same build as this program.
fn owlet_binary() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let binary = here.with_file_name("owlet");
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(format!("{} is not built", binary.display()).into())
    }
}

/// A configuration file for the binary with the PostgreSQL catalog `pg`.
fn write_configuration(folder: &Path, url: &str) -> Result<PathBuf> {
    let path = folder.join("owlet.toml");
    std::fs::write(
        &path,
        format!("[catalog.pg]\nconnector = \"postgres\"\nurl = \"{url}\"\n"),
    )?;
    Ok(path)
}

/// Seconds a command takes from start to exit; fails when it fails.
fn seconds_of(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    let output = command.output()?;
    let seconds = started.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(format!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(seconds)
}

/// DuckDB attached to sources (`name=URL`, see the script) through the script beside the results.
fn duckdb(sources: &[String], arguments: &[String]) -> Result<serde_json::Value> {
    let output = Command::new(required("OWLET_TEST_PYTHON"))
        .arg(repository().join("bench/duckdb_attached.py"))
        .arg(THREADS)
        .args(sources)
        .args(arguments)
        .output()?;
    if !output.status.success() {
        return Err(format!("DuckDB failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Every contestant may use this many threads.
const THREADS: &str = "2";
