//! TPC-H: 22 queries with all tables in PostgreSQL, and with tables split over three kinds of source; every
//! answer compared with PostgreSQL's own; times beside DuckDB attached to the same PostgreSQL.

use std::time::Instant;

use owlet_engine::{Engine, QueryOptions};

use super::report::{Measurement, Ratio, Report};
use super::{Options, duckdb};
use crate::environment::PostgresDatabase;
use crate::native::{self, NativeAnswer};
use crate::tpch::layout::{Dataset, Layout};
use crate::tpch::{self, Query};
use crate::{Result, run as engine_run};

pub async fn run(options: &Options) -> Result<Report> {
    let scale_factor = options.tpch_scale_factor;
    let database = PostgresDatabase::create("owlet_bench_tpch").await?;
    let folder = tempfile::tempdir()?;
    let prefix = format!("bench_{}_", std::process::id());
    let dataset = Dataset::load(&database.url(), &prefix, folder.path(), scale_factor).await?;
    let engine = dataset.engine()?;
    let client = database.connect().await?;
    let queries = tpch::queries(scale_factor);
    let mut files = vec!["queries".to_owned()];
    for query in &queries {
        let path = folder.path().join(format!("q{:02}.sql", query.number));
        std::fs::write(&path, &query.sql)?;
        files.push(path.display().to_string());
    }
    let mut report = Report::new(
        "tpch",
        format!("TPC-H SF {scale_factor}: 22 queries, tables in PostgreSQL and split"),
    );
    let count = queries.len();
    let empty = || vec![Vec::new(); count];
    let (mut together, mut split, mut duck, mut server) = (empty(), empty(), empty(), empty());
    let mut equal = [0, 0];
    for round in 0..options.rounds {
        let duck_times = duckdb(&[format!("pg={}", database.url())], &files)?;
        for (index, query) in queries.iter().enumerate() {
            let started = Instant::now();
            let expected = native::postgres(&client, &query.sql).await?;
            server[index].push(started.elapsed().as_secs_f64());
            if let Some(seconds) = duck_times["seconds"][index].as_f64() {
                duck[index].push(seconds);
            }
            for (which, layout) in [Layout::Postgres, Layout::Split].into_iter().enumerate() {
                let times = if which == 0 {
                    &mut together[index]
                } else {
                    &mut split[index]
                };
                match measure(&engine, &dataset, layout, query, &expected).await {
                    Ok(seconds) => {
                        times.push(seconds);
                        equal[which] += usize::from(round == 0);
                    }
                    Err(error) => report
                        .notes
                        .push(format!("Query {} ({layout:?}): {error}", query.number)),
                }
            }
        }
    }
    let contestants = [
        ("Owlet, all in PostgreSQL", &together),
        ("Owlet, split", &split),
        ("DuckDB on PostgreSQL", &duck),
        ("PostgreSQL itself", &server),
    ];
    let mut totals = Vec::new();
    for (contestant, times) in contestants {
        let mut total = 0.0;
        for (query, rounds) in queries.iter().zip(times.iter()) {
            let measurement = Measurement::new(
                &format!("query {}", query.number),
                contestant,
                "s",
                rounds.clone(),
            );
            total += measurement.best;
            report.measurements.push(measurement);
        }
        totals.push(total);
    }
    report.measurements.sort_by_key(|measurement| {
        measurement
            .subject
            .trim_start_matches("query ")
            .parse::<usize>()
            .unwrap_or(usize::MAX)
    });
    for ((contestant, _), total) in contestants.iter().zip(&totals) {
        report.measurements.push(Measurement::new(
            "all 22 (sum of best)",
            contestant,
            "s",
            vec![*total],
        ));
    }
    let all = count as f64;
    report.ratios.push(
        Ratio::new(
            "answers equal to PostgreSQL's, all in PostgreSQL",
            equal[0] as f64,
        )
        .at_least(all),
    );
    report
        .ratios
        .push(Ratio::new("answers equal to PostgreSQL's, split", equal[1] as f64).at_least(all));
    report.ratios.push(Ratio::new(
        "DuckDB on PostgreSQL / Owlet all in PostgreSQL (sums)",
        totals[2] / totals[0],
    ));
    report.ratios.push(Ratio::new(
        "DuckDB on PostgreSQL / Owlet split (sums)",
        totals[2] / totals[1],
    ));
    report.notes.push(
        "Split: orders, lineitem, customer in PostgreSQL; supplier, nation, region in DynamoDB Local; part, partsupp \
         in Parquet. DuckDB reads no DynamoDB, so its numbers are those of the all-in-PostgreSQL layout."
            .to_owned(),
    );
    dataset.clean().await?;
    drop(client);
    database.drop_database().await?;
    Ok(report)
}

async fn measure(
    engine: &Engine,
    dataset: &Dataset,
    layout: Layout,
    query: &Query,
    expected: &NativeAnswer,
) -> Result<f64> {
    let sql = query.with_table_names(|table| dataset.name(layout, table));
    let started = Instant::now();
    let (answer, order) =
        engine_run::ordered_answer(engine, &sql, &QueryOptions::default()).await?;
    let seconds = started.elapsed().as_secs_f64();
    match answer.difference_to_native(expected, order) {
        None => Ok(seconds),
        Some(difference) => Err(format!("the answer differs: {difference}").into()),
    }
}
