//! Everything that is not cargo: what the tests need, the whole check, the fuzzer, benchmarks and generated
//! documents. Must never link a crate of the house: it compiles in a second and runs their binaries.

mod process;
mod services;
mod setup;
mod steps;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  setup                                  install what tests and benchmarks need (apt, pip, npm); quick when present
  services                               start the servers the tests need, print `export …` lines, wait for Ctrl-C
  test [--quick] [FILTER]                setup, services, format, clippy, all tests, fuzzer (60 s), generated documents;
                                         --quick or a FILTER runs the tests only
  fuzz-pushdown [--seconds N] [--seed S] random queries: pushdown on = pushdown off = the source's own answer
  bench [NAME…] [--clean-build]          benchmarks against yardsticks; results in bench/results
  docs [--check]                         write (or compare) the tables in docs/connectors that come from code
  clean-services                         stop servers that a killed run left behind
";

/// Everything that can stop a command, as the sentence to print.
type Result<T = ()> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    match command.as_str() {
        "setup" => setup::install(setup::Purpose::TestsAndBenchmarks).map(drop),
        "services" => steps::serve(),
        "test" => steps::test(rest),
        "fuzz-pushdown" => steps::fuzz(rest),
        "bench" => steps::bench(rest),
        "docs" => steps::docs(rest),
        "clean-services" => services::clean(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        unknown => Err(format!("unknown command {unknown}\n\n{USAGE}")),
    }
}
