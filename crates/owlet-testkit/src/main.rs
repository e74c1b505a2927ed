//! The testkit's own commands, run by `cargo xtask`.

use std::process::ExitCode;
use std::time::Duration;

use owlet_engine::{Pushdown, QueryOptions};
use owlet_testkit::fuzz::schema::Home;
use owlet_testkit::sources::{self, Catalogs};
use owlet_testkit::{Result, bench, docs, fuzz};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("owlet-testkit: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<ExitCode> {
    match arguments.first().map(String::as_str) {
        Some("fuzz-pushdown") => fuzz_pushdown(&arguments[1..]).await,
        Some("ask") => ask(&arguments[1..]).await,
        Some("bench") => run_bench(&arguments[1..]).await,
        Some("docs") => {
            let check = arguments.iter().any(|argument| argument == "--check");
            let folder =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors");
            docs::run(
                &folder,
                if check {
                    docs::Mode::Check
                } else {
                    docs::Mode::Write
                },
            )?;
            Ok(ExitCode::SUCCESS)
        }
        other => Err(format!("unknown command {other:?}: use `cargo xtask`").into()),
    }
}

async fn fuzz_pushdown(arguments: &[String]) -> Result<ExitCode> {
    let options = fuzz::Options {
        duration: Duration::from_secs(number(arguments, "--seconds")?.unwrap_or(60)),
        seed: number(arguments, "--seed")?.unwrap_or_else(rand::random),
        only_case: number(arguments, "--case")?,
        homes: homes(arguments)?,
        differences: usize::try_from(number(arguments, "--differences")?.unwrap_or(1))?,
    };
    eprintln!("fuzz-pushdown: seed {}", options.seed);
    let summary = fuzz::fuzz(&options).await?;
    println!(
        "fuzz-pushdown: seed {}: {} cases, {} queries, {} compared with the source's own answer, {} differences",
        options.seed,
        summary.cases,
        summary.queries,
        summary.with_source,
        summary.differences.len()
    );
    for (message, count) in &summary.failed {
        println!("  {count} failed in both modes: {message}");
    }
    Ok(if summary.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `ask SQL [POSTGRES-URL]`: the answer with and without pushdown, and the plan, to look at a finding of the fuzzer.
async fn ask(arguments: &[String]) -> Result<ExitCode> {
    let sql = arguments.first().ok_or("ask needs a statement")?;
    let engine = sources::engine(&Catalogs {
        postgres: arguments.get(1).cloned(),
        ..Catalogs::default()
    })?;
    for pushdown in [Pushdown::On, Pushdown::Off] {
        let options = QueryOptions {
            pushdown,
            ..QueryOptions::default()
        };
        match owlet_testkit::run::answer(&engine, sql, &options).await {
            Ok(answer) => println!("pushdown {pushdown:?}:\n{}", answer.to_text(100)),
            Err(error) => println!("pushdown {pushdown:?}: {error}"),
        }
    }
    match engine.plan(sql, &QueryOptions::default()).await {
        Ok(plan) => println!("{}", plan.explanation()),
        Err(error) => println!("no plan: {error}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Options of `bench`.
const BENCH_OPTIONS: [&str; 5] = [
    "--clean-build",
    "--rounds",
    "--scale",
    "--tpch-scale",
    "--items",
];

async fn run_bench(arguments: &[String]) -> Result<ExitCode> {
    // A mistake must not start benchmarks of half an hour.
    if let Some(unknown) = arguments
        .iter()
        .find(|argument| argument.starts_with('-') && !BENCH_OPTIONS.contains(&argument.as_str()))
    {
        return Err(format!(
            "bench has no option {unknown}; write names of benchmarks, then {}",
            BENCH_OPTIONS.join(", ")
        )
        .into());
    }
    let decimal = |name: &str, usual: f64| -> Result<f64> {
        match arguments.iter().position(|argument| argument == name) {
            Some(position) => Ok(arguments
                .get(position + 1)
                .ok_or_else(|| format!("{name} needs a number"))?
                .parse()?),
            None => Ok(usual),
        }
    };
    let options = bench::Options {
        names: arguments
            .iter()
            .take_while(|argument| !argument.starts_with("--"))
            .cloned()
            .collect(),
        clean_build: arguments.iter().any(|argument| argument == "--clean-build"),
        rounds: usize::try_from(number(arguments, "--rounds")?.unwrap_or(5))?,
        scale_factor: decimal("--scale", 1.0)?,
        tpch_scale_factor: decimal("--tpch-scale", 0.1)?,
        items: usize::try_from(number(arguments, "--items")?.unwrap_or(200_000))?,
    };
    bench::run(&options).await?;
    Ok(ExitCode::SUCCESS)
}

/// `--sources postgres,mysql,sqlite,dynamodb`; all without the option.
fn homes(arguments: &[String]) -> Result<Vec<Home>> {
    let Some(position) = arguments
        .iter()
        .position(|argument| argument == "--sources")
    else {
        return Ok(vec![
            Home::Postgres,
            Home::Mysql,
            Home::Sqlite,
            Home::DynamoDb,
        ]);
    };
    let names = arguments.get(position + 1).ok_or("--sources needs names")?;
    names
        .split(',')
        .map(|name| match name {
            "postgres" => Ok(Home::Postgres),
            "mysql" => Ok(Home::Mysql),
            "sqlite" => Ok(Home::Sqlite),
            "dynamodb" => Ok(Home::DynamoDb),
            other => Err(format!("unknown source {other}").into()),
        })
        .collect()
}

fn number(arguments: &[String], name: &str) -> Result<Option<u64>> {
    let Some(position) = arguments.iter().position(|argument| argument == name) else {
        return Ok(None);
    };
    let value = arguments
        .get(position + 1)
        .ok_or_else(|| format!("{name} needs a number"))?;
    Ok(Some(value.parse().map_err(|_| {
        format!("{name} needs a number, not {value}")
    })?))
}
