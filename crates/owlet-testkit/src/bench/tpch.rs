//! TPC-H: 22 queries with all tables in one source, and with tables split over several kinds; every answer compared
//! with PostgreSQL's own; times beside DuckDB attached to the same servers.

use std::path::Path;
use std::time::Instant;

use owlet_engine::{Engine, QueryOptions};

use super::report::{Measurement, Ratio, Report};
use super::{Options, duckdb};
use crate::environment::{MysqlDatabase, PostgresDatabase};
use crate::native::{self, NativeAnswer};
use crate::tpch::layout::{Dataset, Layout, SPLIT_MYSQL, SPLIT_PARQUET};
use crate::tpch::{self, Query, Table};
use crate::{Result, run as engine_run};

/// Where our tables are, in the words of the report.
struct Ours {
    layout: Layout,
    place: &'static str,
}

/// DuckDB with sources attached, and where it finds a table.
struct Duck<'a> {
    place: &'static str,
    sources: Vec<String>,
    name: Box<dyn Fn(Table) -> String + 'a>,
}

/// Times of one contestant: rounds of every query.
struct Contestant {
    name: String,
    seconds: Vec<Vec<f64>>,
}

/// `tpch`: all in PostgreSQL, and split over three kinds of source.
pub async fn run(options: &Options) -> Result<Report> {
    let scale_factor = options.tpch_scale_factor;
    let database = PostgresDatabase::create("owlet_bench_tpch").await?;
    let folder = tempfile::tempdir()?;
    let dataset = Dataset::load(&database.url(), &prefix(), folder.path(), scale_factor).await?;
    let mut report = Report::new(
        "tpch",
        format!("TPC-H SF {scale_factor}: 22 queries, tables in PostgreSQL and split"),
    );
    let ours = [
        Ours {
            layout: Layout::Postgres,
            place: "all in PostgreSQL",
        },
        Ours {
            layout: Layout::Split,
            place: "split",
        },
    ];
    let duck = Duck {
        place: "on PostgreSQL",
        sources: vec![format!("pg={}", database.url())],
        name: Box::new(|table| table.name.to_owned()),
    };
    compete(
        options,
        &dataset,
        &database,
        &ours,
        &[&duck, &duck],
        &mut report,
    )
    .await?;
    report.notes.push(
        "Split: orders, lineitem, customer in PostgreSQL; supplier, nation, region in DynamoDB Local; part, partsupp \
         in Parquet. DuckDB reads no DynamoDB, so its numbers are those of the all-in-PostgreSQL layout."
            .to_owned(),
    );
    dataset.clean().await?;
    database.drop_database().await?;
    Ok(report)
}

/// `mysql-tpch`: all in MariaDB, and split over four kinds of source.
pub async fn run_mysql(options: &Options) -> Result<Report> {
    let scale_factor = options.tpch_scale_factor;
    let database = PostgresDatabase::create("owlet_bench_mysql_tpch").await?;
    let mysql = MysqlDatabase::create("owlet_bench_tpch").await?;
    let folder = tempfile::tempdir()?;
    let mut dataset =
        Dataset::load(&database.url(), &prefix(), folder.path(), scale_factor).await?;
    dataset.add_mysql(&mysql).await?;
    let mut report = Report::new(
        "mysql-tpch",
        format!("TPC-H SF {scale_factor}: 22 queries, tables in MariaDB and split four ways"),
    );
    let ours = [
        Ours {
            layout: Layout::Mysql,
            place: "all in MariaDB",
        },
        Ours {
            layout: Layout::SplitFour,
            place: "split four ways",
        },
    ];
    let together = Duck {
        place: "on MariaDB",
        sources: vec![format!("my={}", mysql.url())],
        name: Box::new(|table| table.name.to_owned()),
    };
    let split = Duck {
        place: "on PostgreSQL, MariaDB and Parquet",
        sources: vec![
            format!("pg={}", database.url()),
            format!("my={}", mysql.url()),
            format!("files=folder:{}", folder.path().display()),
        ],
        name: Box::new(|table| {
            if SPLIT_MYSQL.contains(&table) {
                format!("my.{}.{}", mysql.name, table.name)
            } else if SPLIT_PARQUET.contains(&table) {
                format!("files.main.{}", table.name)
            } else {
                format!("pg.public.{}", table.name)
            }
        }),
    };
    compete(
        options,
        &dataset,
        &database,
        &ours,
        &[&together, &split],
        &mut report,
    )
    .await?;
    report.notes.push(
        "Split four ways: lineitem in PostgreSQL; orders, customer in MariaDB; supplier, nation, region in DynamoDB Local; \
         part, partsupp in Parquet. DuckDB reads no DynamoDB: it finds those three tables in PostgreSQL."
            .to_owned(),
    );
    dataset.clean().await?;
    drop(split);
    mysql.drop_database().await?;
    database.drop_database().await?;
    Ok(report)
}

fn prefix() -> String {
    format!("bench_{}_", std::process::id())
}

/// All contestants take turns; `ducks` are the yardsticks of `ours`, one each.
async fn compete(
    options: &Options,
    dataset: &Dataset,
    database: &PostgresDatabase,
    ours: &[Ours],
    ducks: &[&Duck<'_>],
    report: &mut Report,
) -> Result<()> {
    let engine = dataset.engine()?;
    let client = database.connect().await?;
    let queries = tpch::queries(options.tpch_scale_factor);
    let folder = tempfile::tempdir()?;
    let mut distinct: Vec<(&Duck<'_>, Vec<String>)> = Vec::new();
    for duck in ducks {
        if !distinct.iter().any(|(known, _)| known.place == duck.place) {
            let number = distinct.len();
            let files = write_queries(&queries, duck, &folder.path().join(number.to_string()))?;
            distinct.push((duck, files));
        }
    }
    let contestant = |name: String| Contestant {
        name,
        seconds: vec![Vec::new(); queries.len()],
    };
    let mut ours_times: Vec<Contestant> = ours
        .iter()
        .map(|ours| contestant(format!("Owlet, {}", ours.place)))
        .collect();
    let mut duck_times: Vec<Contestant> = distinct
        .iter()
        .map(|(duck, _)| contestant(format!("DuckDB {}", duck.place)))
        .collect();
    let mut server = contestant("PostgreSQL itself".to_owned());
    let mut equal = vec![0; ours.len()];
    for round in 0..options.rounds {
        for ((duck, files), times) in distinct.iter().zip(&mut duck_times) {
            let answer = duckdb(&duck.sources, files)?;
            for (index, times) in times.seconds.iter_mut().enumerate() {
                times.extend(answer["seconds"][index].as_f64());
            }
        }
        for (index, query) in queries.iter().enumerate() {
            let started = Instant::now();
            let expected = native::postgres(&client, &query.sql).await?;
            server.seconds[index].push(started.elapsed().as_secs_f64());
            for (which, Ours { layout, place }) in ours.iter().enumerate() {
                match measure(&engine, dataset, *layout, query, &expected).await {
                    Ok(seconds) => {
                        ours_times[which].seconds[index].push(seconds);
                        equal[which] += usize::from(round == 0);
                    }
                    Err(error) => report
                        .notes
                        .push(format!("Query {} ({place}): {error}", query.number)),
                }
            }
        }
    }
    let all = queries.len() as f64;
    for (ours, equal) in ours.iter().zip(&equal) {
        report.ratios.push(
            Ratio::new(
                format!("answers equal to PostgreSQL's, {}", ours.place),
                f64::from(u32::try_from(*equal)?),
            )
            .at_least(all),
        );
    }
    for ((ours, times), duck) in ours.iter().zip(&ours_times).zip(ducks) {
        let yardstick = distinct
            .iter()
            .position(|(known, _)| known.place == duck.place)
            .map_or(f64::NAN, |position| total(&duck_times[position]));
        report.ratios.push(Ratio::new(
            format!("DuckDB {} / Owlet {} (sums)", duck.place, ours.place),
            yardstick / total(times),
        ));
    }
    let contestants: Vec<&Contestant> = ours_times
        .iter()
        .chain(&duck_times)
        .chain([&server])
        .collect();
    for (index, query) in queries.iter().enumerate() {
        for contestant in &contestants {
            report.measurements.push(Measurement::new(
                &format!("query {}", query.number),
                &contestant.name,
                "s",
                contestant.seconds[index].clone(),
            ));
        }
    }
    for contestant in contestants {
        report.measurements.push(Measurement::new(
            "all 22 (sum of best)",
            &contestant.name,
            "s",
            vec![total(contestant)],
        ));
    }
    Ok(())
}

/// Sum of the best times; not a number when a query never succeeded.
fn total(contestant: &Contestant) -> f64 {
    contestant
        .seconds
        .iter()
        .map(|rounds| Measurement::new("", "", "s", rounds.clone()).best)
        .sum()
}

fn write_queries(queries: &[Query], duck: &Duck<'_>, folder: &Path) -> Result<Vec<String>> {
    std::fs::create_dir_all(folder)?;
    let mut arguments = vec!["queries".to_owned()];
    for query in queries {
        let path = folder.join(format!("q{:02}.sql", query.number));
        std::fs::write(&path, query.with_table_names(&duck.name))?;
        arguments.push(path.display().to_string());
    }
    Ok(arguments)
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
