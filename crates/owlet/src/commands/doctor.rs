//! `owlet doctor`: asks every source at once how it is, and prints one line for each, with the fix.

use std::time::Duration;

use futures::future::join_all;
use owlet_connector::Health;
use owlet_engine::Engine;

use super::Context;
use crate::arguments::DoctorArguments;
use crate::errors::{ExitStatus, Result};
use crate::session::unknown_catalog;
use crate::units::{self, Period};

/// Runs the command. Exit code 1 when a source is not well.
pub async fn run(arguments: DoctorArguments, context: &Context) -> Result<ExitStatus> {
    let session = context.session()?;
    match &session.config.file {
        Some(file) => context
            .printer
            .result(&format!("ok    configuration  {}\n", file.display()))?,
        None => {
            context.printer.result(
                "warn  configuration  none; files can be queried by path; see `owlet init`\n",
            )?;
        }
    }
    let checks = chosen(&session.engine, &arguments.catalogs)?;
    let width = checks
        .iter()
        .map(|check| check.catalog.len())
        .max()
        .unwrap_or(0);
    let answers = join_all(
        checks
            .iter()
            .map(|check| ask(&session.engine, check, arguments.timeout.0)),
    )
    .await;
    let mut status = ExitStatus::Success;
    for (check, health) in checks.iter().zip(&answers) {
        if !health.healthy {
            status = ExitStatus::Failure;
        }
        context.printer.result(&line(check, health, width))?;
    }
    Ok(status)
}

struct Check {
    catalog: String,
    connector: &'static str,
}

fn chosen(engine: &Engine, wanted: &[String]) -> Result<Vec<Check>> {
    let all = engine.catalogs();
    for name in wanted {
        if !all
            .iter()
            .any(|catalog| catalog.name == name.to_lowercase())
        {
            return Err(unknown_catalog(engine, name));
        }
    }
    Ok(all
        .into_iter()
        .filter(|catalog| {
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|name| name.to_lowercase() == catalog.name)
        })
        .map(|catalog| Check {
            catalog: catalog.name,
            connector: catalog.kind,
        })
        .collect())
}

async fn ask(engine: &Engine, check: &Check, limit: Duration) -> Health {
    let Some(source) = engine.source(&check.catalog) else {
        return unwell("the catalog has gone", "");
    };
    match tokio::time::timeout(limit, source.connector().health()).await {
        Ok(health) => health,
        Err(_) => {
            let limit = Period(limit);
            unwell(
                &format!("no answer within {limit}"),
                "check the address and the network, or give it longer with --timeout",
            )
        }
    }
}

fn unwell(problem: &str, fix: &str) -> Health {
    Health {
        healthy: false,
        version: String::new(),
        rights: String::new(),
        latency: None,
        problem: problem.to_owned(),
        fix: fix.to_owned(),
    }
}

/// `ok    rds  postgres  15.4  read-only  1.2 ms`, with problem and fix behind where there is one.
fn line(check: &Check, health: &Health, width: usize) -> String {
    let word = match (health.healthy, health.problem.is_empty()) {
        (true, true) => "ok   ",
        (true, false) => "warn ",
        (false, _) => "fail ",
    };
    let mut parts = vec![
        format!("{word} {:width$}", check.catalog),
        format!("{:8}", check.connector),
    ];
    // The line begins with the catalog and ends with what to do, which errors say of themselves, too.
    let problem = health
        .problem
        .trim_start_matches(&format!("catalog {}: ", check.catalog))
        .trim_end_matches(&format!(" (hint: {})", health.fix));
    let latency = health
        .latency
        .map(|latency| units::milliseconds(latency.as_secs_f64() * 1000.0));
    parts.extend(
        [
            health.version.clone(),
            health.rights.clone(),
            latency.unwrap_or_default(),
            problem.to_owned(),
        ]
        .into_iter()
        .filter(|part| !part.is_empty()),
    );
    if !health.fix.is_empty() {
        parts.push(format!("(fix: {})", health.fix));
    }
    let text = parts.join("  ");
    // What libraries and servers say may have lines of its own.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    format!("{}\n", lines.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let check = Check {
            catalog: "rds".to_owned(),
            connector: "postgres",
        };
        let healthy = Health {
            healthy: true,
            version: "15.4".to_owned(),
            rights: "read-only".to_owned(),
            latency: Some(Duration::from_micros(1250)),
            problem: String::new(),
            fix: String::new(),
        };
        assert_eq!(
            line(&check, &healthy, 6),
            "ok    rds     postgres  15.4  read-only  1.2 ms\n"
        );
        assert_eq!(
            line(&check, &unwell("connection refused", "is it running?"), 3),
            "fail  rds  postgres  connection refused  (fix: is it running?)\n"
        );
    }

    #[test]
    fn a_problem_of_several_lines_stays_on_its_own() {
        let check = Check {
            catalog: "rds".to_owned(),
            connector: "postgres",
        };
        assert_eq!(
            line(&check, &unwell("no luck:\n  first\n\n  second", "try"), 3),
            "fail  rds  postgres  no luck: first second  (fix: try)\n"
        );
    }

    #[test]
    fn nothing_is_said_twice() {
        let check = Check {
            catalog: "lake".to_owned(),
            connector: "object",
        };
        let problem =
            "catalog lake: no permission on s3://b: AccessDenied (hint: ask for the right)";
        assert_eq!(
            line(&check, &unwell(problem, "ask for the right"), 4),
            "fail  lake  object    no permission on s3://b: AccessDenied  (fix: ask for the right)\n"
        );
    }
}
