//! All columns of `lineitem` to Arrow, beside DuckDB's scanner, a plain binary COPY, and the limit: two of them that
//! share the table; the decoded values are compared with the server's by a checksum over every row.

use std::process::{Command, Stdio};
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use owlet_engine::{Engine, QueryOptions};

use super::report::{Measurement, Ratio, Report};
use super::{Options, duckdb, seconds_of};
use crate::Result;
use crate::environment::{PostgresDatabase, connect, required};
use crate::md5;
use crate::sources::{self, Catalogs};
use crate::tpch::{LINEITEM, load};

const PROMISED: f64 = 1.4;
const STATEMENT: &str = "SELECT * FROM pg.public.lineitem";

pub async fn run(options: &Options) -> Result<Report> {
    let database = PostgresDatabase::create("owlet_bench_scan").await?;
    let url = database.url();
    let client = database.connect().await?;
    load::postgres(&client, &[LINEITEM], options.scale_factor).await?;
    let engine = sources::engine(&Catalogs {
        postgres: Some(url.clone()),
        ..Catalogs::default()
    })?;
    let mut report = Report::new(
        "scan",
        format!(
            "PostgreSQL scan: `lineitem` SF {}, all columns to Arrow",
            options.scale_factor
        ),
    );

    let expected = server_checksum(&url).await?;
    let decoded = checksum(&engine, STATEMENT).await?;
    if decoded != expected {
        return Err(
            format!("decoded values differ: {decoded:?}, the server has {expected:?}").into(),
        );
    }
    let rows = expected.rows;
    report.notes.push(format!(
        "Checked before measuring: the MD5 of every one of the {rows} rows, all columns as text, computed by the server and from the decoded batches, adds up to the same sum."
    ));

    let whole = ["SELECT * FROM lineitem".to_owned()];
    let halves = halves(&client).await?;
    let (mut ours, mut duck) = (Vec::new(), Vec::new());
    let (mut copy, mut two_copies) = (Vec::new(), Vec::new());
    let mut versions = String::new();
    for _ in 0..options.rounds {
        ours.push(seconds(&engine, STATEMENT, rows).await?);
        let answer = duckdb(
            &[format!("pg={url}")],
            &["scan".to_owned(), "lineitem".to_owned()],
        )?;
        if answer["rows"].as_u64() != Some(rows) {
            return Err(format!("DuckDB read {} rows of {rows}", answer["rows"]).into());
        }
        duck.push(answer["seconds"].as_f64().ok_or("DuckDB gave no time")?);
        versions = format!("DuckDB {}", answer["duckdb"].as_str().unwrap_or("?"));
        copy.push(copy_seconds(&url, &whole)?);
        two_copies.push(copy_seconds(&url, &halves)?);
    }
    let measurements = [
        ("Owlet, 2 threads", ours),
        ("DuckDB postgres scanner, 2 threads", duck),
        ("psql binary COPY to /dev/null", copy),
        ("two psql, half the table each, to /dev/null", two_copies),
    ];
    for (contestant, seconds) in measurements {
        report
            .measurements
            .push(Measurement::new("scan", contestant, "s", seconds));
    }
    let best: Vec<f64> = report
        .measurements
        .iter()
        .map(|measurement| measurement.best)
        .collect();
    report
        .ratios
        .push(Ratio::new("DuckDB postgres scanner / Owlet", best[1] / best[0]).at_least(PROMISED));
    report
        .ratios
        .push(Ratio::new("psql binary COPY / Owlet", best[2] / best[0]).at_least(PROMISED));
    report.ratios.push(Ratio::new(
        "two psql that read and discard half the table each / Owlet",
        best[3] / best[0],
    ));
    let server = client.query_one("SHOW server_version", &[]).await?;
    report.notes.push(format!(
        "PostgreSQL {}, {versions}; times exclude starting an interpreter and attaching.",
        server.get::<_, String>(0)
    ));
    report.notes.push(format!(
        "Owlet decodes {:.0} thousand rows a second.",
        rows as f64 / best[0] / 1000.0
    ));
    drop(client);
    database.drop_database().await?;
    Ok(report)
}

/// Time in which the engine reads so many rows, from planning to the last batch.
pub(super) async fn seconds(engine: &Engine, statement: &str, rows: u64) -> Result<f64> {
    let started = Instant::now();
    let mut stream = engine
        .plan(statement, &QueryOptions::default())
        .await?
        .execute()?;
    let mut seen = 0;
    while let Some(batch) = stream.try_next().await? {
        seen += batch.num_rows() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    if seen == rows {
        Ok(seconds)
    } else {
        Err(format!("Owlet read {seen} rows of {rows}").into())
    }
}

/// The table cut in two by its pages.
async fn halves(client: &tokio_postgres::Client) -> Result<[String; 2]> {
    let middle: i64 = client
        .query_one(
            "SELECT pg_relation_size('lineitem') / current_setting('block_size')::bigint / 2",
            &[],
        )
        .await?
        .get(0);
    Ok(["<", ">="]
        .map(|side| format!("SELECT * FROM lineitem WHERE ctid {side} '({middle},0)'::tid")))
}

/// Time in which so many psql at once read their queries' rows and discard them.
fn copy_seconds(url: &str, queries: &[String]) -> Result<f64> {
    let psql = std::path::Path::new(&required("OWLET_TEST_POSTGRES_BIN")).join("psql");
    // So that the first round does not load the program from disk.
    seconds_of(Command::new(&psql).arg("--version"))?;
    let started = Instant::now();
    let running = queries
        .iter()
        .map(|query| {
            Command::new(&psql)
                .args([url, "-q", "-c"])
                .arg(format!("COPY ({query}) TO STDOUT (FORMAT BINARY)"))
                // Straight to /dev/null: a pipe to this process would be part of the measurement.
                .stdout(Stdio::null())
                .spawn()
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    for mut process in running {
        if !process.wait()?.success() {
            return Err("psql failed".into());
        }
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Rows, and the sum of the first 60 bits of the MD5 of each row's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) rows: u64,
    pub(super) sum: u128,
}

async fn server_checksum(url: &str) -> Result<Checksum> {
    let client = connect(url).await?;
    let columns: Vec<&str> = LINEITEM.columns.iter().map(|(name, _)| *name).collect();
    let sql = format!(
        "SELECT count(*)::text, sum(('x' || left(md5(concat_ws('|', {})), 15))::bit(60)::bigint)::text FROM lineitem",
        columns.join(", ")
    );
    let row = client.query_one(&sql, &[]).await?;
    Ok(Checksum {
        rows: row.get::<_, String>(0).parse()?,
        sum: row.get::<_, String>(1).parse()?,
    })
}

/// The checksum of the rows that the engine reads.
pub(super) async fn checksum(engine: &Engine, statement: &str) -> Result<Checksum> {
    let mut stream = engine
        .plan(statement, &QueryOptions::default())
        .await?
        .execute()?;
    let mut checksum = Checksum { rows: 0, sum: 0 };
    while let Some(batch) = stream.try_next().await? {
        add(&mut checksum, &batch)?;
    }
    Ok(checksum)
}

fn add(checksum: &mut Checksum, batch: &RecordBatch) -> Result<()> {
    use std::fmt::Write;
    let options = FormatOptions::default();
    let formatters = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()?;
    let mut line = String::new();
    for row in 0..batch.num_rows() {
        line.clear();
        for (index, formatter) in formatters.iter().enumerate() {
            if index > 0 {
                line.push('|');
            }
            write!(line, "{}", formatter.value(row))?;
        }
        let digest = md5::digest(line.as_bytes());
        let first = u64::from_be_bytes([
            digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
        ]);
        checksum.rows += 1;
        checksum.sum += u128::from(first >> 4);
    }
    Ok(())
}
