//! All columns of `lineitem` to Arrow, beside DuckDB's scanner and a plain binary COPY; the decoded values are
//! compared with the server's by a checksum over every row.

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

    let (mut ours, mut duck, mut copy) = (Vec::new(), Vec::new(), Vec::new());
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
        copy.push(copy_seconds(&url)?);
    }
    let measurements = [
        ("Owlet, 2 threads", ours),
        ("DuckDB postgres scanner, 2 threads", duck),
        ("psql binary COPY to /dev/null", copy),
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

fn copy_seconds(url: &str) -> Result<f64> {
    let psql = std::path::Path::new(&required("OWLET_TEST_POSTGRES_BIN")).join("psql");
    let copy = "COPY (SELECT * FROM lineitem) TO STDOUT (FORMAT BINARY)";
    // Straight to /dev/null: a pipe to this process would be part of the measurement.
    let status = |command: &mut Command| -> Result<f64> {
        let started = Instant::now();
        let status = command.stdout(Stdio::null()).status()?;
        if status.success() {
            Ok(started.elapsed().as_secs_f64())
        } else {
            Err("psql failed".into())
        }
    };
    seconds_of(Command::new(&psql).arg("--version"))?;
    status(Command::new(psql).args([url, "-q", "-c", copy]))
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
