//! All columns of `lineitem` to Arrow, beside DuckDB's scanner and MariaDB's own client; the decoded values are
//! compared with the server's by a checksum over every row.

use std::process::{Command, Stdio};
use std::time::Instant;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use reqwest::Url;

use crate::Result;
use crate::bench::report::{Measurement, Ratio, Report};
use crate::bench::scan::{Checksum, checksum, seconds};
use crate::bench::{Options, duckdb};
use crate::environment::MysqlDatabase;
use crate::sources::{self, Catalogs};
use crate::tpch::{LINEITEM, load};

const PROMISED_DUCKDB: f64 = 3.0;
const PROMISED_CLIENT: f64 = 1.0;

pub async fn run(options: &Options) -> Result<Report> {
    let database = MysqlDatabase::create("owlet_bench_mysql_scan").await?;
    let mut conn = database.connect().await?;
    load::mysql(&mut conn, &[LINEITEM], options.scale_factor).await?;
    let engine = sources::engine(&Catalogs {
        mysql: Some(database.url()),
        ..Catalogs::default()
    })?;
    let mut report = Report::new(
        "mysql-scan",
        format!(
            "MariaDB scan: `lineitem` SF {}, all columns to Arrow",
            options.scale_factor
        ),
    );
    let statement = format!("SELECT * FROM my.{}.lineitem", database.name);
    let expected = server_checksum(&mut conn).await?;
    let decoded = checksum(&engine, &statement).await?;
    if decoded != expected {
        return Err(
            format!("decoded values differ: {decoded:?}, the server has {expected:?}").into(),
        );
    }
    let rows = expected.rows;
    report.notes.push(format!(
        "Checked before measuring: the MD5 of every one of the {rows} rows, all columns as text, computed by the server and from the decoded batches, adds up to the same sum."
    ));
    let (mut ours, mut duck, mut client) = (Vec::new(), Vec::new(), Vec::new());
    let mut version = String::new();
    for _ in 0..options.rounds {
        ours.push(seconds(&engine, &statement, rows).await?);
        let answer = duckdb(
            &[format!("my={}", database.url())],
            &["scan".to_owned(), "lineitem".to_owned()],
        )?;
        if answer["rows"].as_u64() != Some(rows) {
            return Err(format!("DuckDB read {} rows of {rows}", answer["rows"]).into());
        }
        duck.push(answer["seconds"].as_f64().ok_or("DuckDB gave no time")?);
        version = answer["duckdb"].as_str().unwrap_or("?").to_owned();
        client.push(client_seconds(&database)?);
    }
    let ours = Measurement::new("scan", "Owlet, 2 threads", "s", ours);
    let duck = Measurement::new("scan", "DuckDB mysql scanner, 2 threads", "s", duck);
    let client = Measurement::new("scan", "mariadb --quick to /dev/null", "s", client);
    report.ratios.extend([
        Ratio::new("DuckDB mysql scanner / Owlet", duck.best / ours.best).at_least(PROMISED_DUCKDB),
        Ratio::new("mariadb --quick / Owlet", client.best / ours.best).at_least(PROMISED_CLIENT),
    ]);
    let server: Option<String> = conn.query_first("SELECT version()").await?;
    report.notes.push(format!(
        "MariaDB {}, DuckDB {version}; times of Owlet and DuckDB exclude starting and attaching, that of the client is \
         from start to exit. Owlet decodes {:.0} thousand rows a second.",
        server.unwrap_or_default(),
        rows as f64 / ours.best / 1000.0
    ));
    report.measurements.extend([ours, duck, client]);
    drop(conn);
    database.drop_database().await?;
    Ok(report)
}

fn client_seconds(database: &MysqlDatabase) -> Result<f64> {
    let url: Url = database.url().parse()?;
    let started = Instant::now();
    let status = Command::new("mariadb")
        .args(["--no-defaults", "--protocol=tcp", "--quick"])
        .arg(format!("--host={}", url.host_str().unwrap_or("127.0.0.1")))
        .arg(format!("--port={}", url.port().unwrap_or(3306)))
        .arg(format!("--user={}", url.username()))
        // Not on the command line, where everybody can read it.
        .env("MYSQL_PWD", url.password().unwrap_or_default())
        .args(["-e", "SELECT * FROM lineitem", &database.name])
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(started.elapsed().as_secs_f64())
    } else {
        Err("the mariadb client failed".into())
    }
}

/// Rows, and the sum of the first 60 bits of the MD5 of each row's text.
async fn server_checksum(conn: &mut Conn) -> Result<Checksum> {
    let columns: Vec<&str> = LINEITEM.columns.iter().map(|(name, _)| *name).collect();
    let answer: Option<(u64, String)> = conn
        .query_first(format!(
            "SELECT count(*), cast(sum(cast(conv(left(md5(concat_ws('|', {})), 15), 16, 10) AS decimal(30))) AS char) \
             FROM lineitem",
            columns.join(", ")
        ))
        .await?;
    let (rows, sum) = answer.ok_or("the server gave no checksum")?;
    Ok(Checksum {
        rows,
        sum: sum.parse()?,
    })
}
