//! The commands: what is run in which order. Must never know how a server is started.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::Result;
use crate::process::{cargo, repository, run};
use crate::services::Services;
use crate::setup::{Purpose, install};

/// Seed of the fuzzer in the whole check: the same everywhere, so that a failure is nobody's bad luck.
const CHECK_SEED: &str = "20251122";
const CHECK_SECONDS: &str = "60";
/// The benchmark that needs AWS's SDK, and the feature that compiles it.
const SDK_BENCHMARK: &str = "dynamodb-decode";
const SDK_FEATURE: &str = "owlet-testkit/sdk-yardstick";

/// `cargo xtask services`.
pub fn serve() -> Result {
    let services = Services::start(&install(Purpose::Tests)?)?;
    for (name, value) in &services.environment {
        println!("export {name}='{value}'");
    }
    eprintln!("xtask: servers are up; Ctrl-C stops them");
    loop {
        std::thread::park();
    }
}

/// `cargo xtask test`.
pub fn test(arguments: &[String]) -> Result {
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let filter = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"));
    if let Some(unknown) = arguments
        .iter()
        .find(|argument| argument.starts_with("--") && *argument != "--quick")
    {
        return Err(format!("unknown option {unknown} of test"));
    }
    let tests_only = quick || filter.is_some();
    let services = step("servers", || Services::start(&install(Purpose::Tests)?))?;
    if !tests_only {
        step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
        step("clippy", || {
            run(cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]))
        })?;
    }
    step("tests", || {
        let mut tests = cargo();
        tests
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(filter)
            .env("TMPDIR", &services.temporary_files)
            .envs(services.environment.iter().cloned());
        run(&mut tests)
    })?;
    if tests_only {
        return Ok(());
    }
    step("fuzz-pushdown", || {
        let mut fuzzer = testkit(Profile::Dev);
        fuzzer.args([
            "fuzz-pushdown",
            "--seconds",
            CHECK_SECONDS,
            "--seed",
            CHECK_SEED,
        ]);
        run(fuzzer.envs(services.environment.iter().cloned()))
    })?;
    step("documents", || {
        run(testkit(Profile::Dev).args(["docs", "--check"]))
    })?;
    eprintln!("\nxtask: everything passed");
    Ok(())
}

/// `cargo xtask fuzz-pushdown`.
pub fn fuzz(arguments: &[String]) -> Result {
    let services = Services::start(&install(Purpose::Tests)?)?;
    build_dev()?;
    let mut fuzzer = testkit(Profile::Dev);
    run(fuzzer
        .arg("fuzz-pushdown")
        .args(arguments)
        .envs(services.environment.iter().cloned()))
}

/// `cargo xtask bench`.
pub fn bench(arguments: &[String]) -> Result {
    let services = Services::start(&install(Purpose::TestsAndBenchmarks)?)?;
    build_release(arguments)?;
    let mut bench = testkit(Profile::Release);
    run(bench
        .arg("bench")
        .args(arguments)
        .envs(services.environment.iter().cloned()))
}

/// The binaries for these benchmarks; AWS's SDK is compiled only when its benchmark is among them.
fn build_release(arguments: &[String]) -> Result {
    let mut names = arguments
        .iter()
        .take_while(|argument| !argument.starts_with("--"))
        .peekable();
    let needs_sdk = names.peek().is_none() || names.any(|name| name == SDK_BENCHMARK);
    let mut release = cargo();
    release.args(["build", "--release", "--workspace", "--bins"]);
    if needs_sdk {
        release.args(["--features", SDK_FEATURE]);
    }
    run(&mut release)
}

/// `cargo xtask docs`.
pub fn docs(arguments: &[String]) -> Result {
    build_dev()?;
    run(testkit(Profile::Dev).arg("docs").args(arguments))
}

#[derive(Clone, Copy)]
enum Profile {
    Dev,
    Release,
}

/// Builds with the same selection of crates as the tests: another one would build DataFusion again.
fn build_dev() -> Result {
    run(cargo().args(["test", "--workspace", "--no-run", "--quiet"]))
}

/// The testkit's binary. The tests have built it (cargo builds a package's binaries for its integration tests).
fn testkit(profile: Profile) -> Command {
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from);
    let mut command = Command::new(target.join(folder).join("owlet-testkit"));
    command.current_dir(repository());
    command
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("\nxtask: ── {name} ──");
    let started = Instant::now();
    let outcome = work();
    let verdict = if outcome.is_ok() { "done" } else { "FAILED" };
    eprintln!(
        "xtask: ── {name}: {verdict} after {:.0} s ──",
        started.elapsed().as_secs_f64()
    );
    outcome
}
