//! A small selection of a MariaDB table joined with a big PostgreSQL table by its indexed key: bytes on the wire
//! beside the table's bytes, and time beside DuckDB attached to the same servers.

use std::time::Instant;

use mysql_async::prelude::Queryable;
use owlet_engine::QueryOptions;
use reqwest::Url;

use super::wire::Relay;
use crate::Result;
use crate::answer::RowOrder;
use crate::bench::report::{Measurement, Ratio, Report};
use crate::bench::{Options, duckdb};
use crate::environment::{MysqlDatabase, PostgresDatabase};
use crate::native;
use crate::run as engine_run;
use crate::sources::{self, Catalogs};

/// Received bytes over the big table's bytes.
const PROMISED: f64 = 0.05;
/// Rows of the big table at scale 1.
const BIG_ROWS: f64 = 10_000_000.0;
const SELECTED: u64 = 1_000;
/// Rows of the MariaDB table for one that is selected.
const SMALL_ROWS_FOR_ONE: u64 = 50;

pub async fn run(options: &Options) -> Result<Report> {
    let big_rows = ((BIG_ROWS * options.scale_factor) as u64).max(2 * SELECTED);
    let postgres = PostgresDatabase::create("owlet_bench_mysql_join").await?;
    let mysql = MysqlDatabase::create("owlet_bench_join").await?;
    let client = postgres.connect().await?;
    client
        .batch_execute(&format!(
            "CREATE TABLE big AS SELECT n::bigint AS id, (n * 7919::bigint % 100000)::int AS amount, \
               md5(n::text) AS note FROM generate_series(1, {big_rows}) n; \
             ALTER TABLE big ADD PRIMARY KEY (id)"
        ))
        .await?;
    client.batch_execute("VACUUM ANALYZE big").await?;
    let small_rows = SELECTED * SMALL_ROWS_FOR_ONE;
    let mut conn = mysql.connect().await?;
    conn.query_drop(format!(
        "CREATE TABLE small (id bigint PRIMARY KEY, big_id bigint NOT NULL, kind varchar(10) NOT NULL) \
         SELECT seq AS id, 1 + seq * 104729 % {big_rows} AS big_id, \
           if(seq % {SMALL_ROWS_FOR_ONE} = 3, 'wanted', 'other') AS kind FROM seq_1_to_{small_rows}"
    ))
    .await?;
    conn.query_drop("ANALYZE TABLE small").await?;
    drop(conn);
    // The same rows where PostgreSQL can join them itself, for the answer to compare with.
    client
        .batch_execute(&format!(
            "CREATE TABLE small AS SELECT n::bigint AS id, 1 + n::bigint * 104729 % {big_rows} AS big_id, \
               CASE WHEN n % {SMALL_ROWS_FOR_ONE} = 3 THEN 'wanted' ELSE 'other' END AS kind \
             FROM generate_series(1, {small_rows}) n"
        ))
        .await?;
    let table_bytes: i64 = client
        .query_one("SELECT pg_relation_size('big')", &[])
        .await?
        .get(0);

    let address: Url = postgres.url().parse()?;
    let relay = Relay::start(format!(
        "{}:{}",
        address.host_str().unwrap_or("127.0.0.1"),
        address.port().unwrap_or(5432)
    ))
    .await?;
    let mut relayed = address.clone();
    relayed
        .set_port(Some(relay.port))
        .map_err(|()| "the PostgreSQL URL takes no port")?;
    let engine = sources::engine(&Catalogs {
        postgres: Some(relayed.to_string()),
        mysql: Some(mysql.url()),
        ..Catalogs::default()
    })?;
    let statement = |small: &str, big: &str| {
        format!(
            "SELECT s.id, b.id AS big_id, b.amount, b.note FROM {small} s JOIN {big} b ON b.id = s.big_id \
             WHERE s.kind = 'wanted'"
        )
    };
    let small = format!("my.{}.small", mysql.name);
    let ours_sql = statement(&small, "pg.public.big");
    let expected = native::postgres(&client, &statement("small", "big")).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("join.sql");
    std::fs::write(&file, &ours_sql)?;
    let duck_sources = [
        format!("pg={}", postgres.url()),
        format!("my={}", mysql.url()),
    ];

    let mut report = Report::new(
        "mysql-join",
        format!("{SELECTED} selected MariaDB rows joined with {big_rows} PostgreSQL rows by key"),
    );
    let (mut ours, mut duck, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let before = relay.received();
        let started = Instant::now();
        let answer = engine_run::answer(&engine, &ours_sql, &QueryOptions::default()).await?;
        ours.push(started.elapsed().as_secs_f64());
        bytes.push((relay.received() - before) as f64 / 1e6);
        if let Some(difference) = answer.difference_to_native(&expected, RowOrder::Any) {
            return Err(format!("the join differs from PostgreSQL's: {difference}").into());
        }
        let answer = duckdb(
            &duck_sources,
            &["queries".to_owned(), file.display().to_string()],
        )?;
        if answer["rows"][0].as_u64() != Some(expected.rows.len() as u64) {
            return Err(format!("DuckDB's join has {} rows", answer["rows"][0]).into());
        }
        duck.extend(answer["seconds"][0].as_f64());
    }
    let worst = bytes.iter().copied().fold(0.0, f64::max);
    let table_megabytes = table_bytes as f64 / 1e6;
    let ours = Measurement::new("join", "Owlet", "s", ours);
    let duck = Measurement::new("join", "DuckDB on both servers", "s", duck);
    report.ratios.extend([
        Ratio::new(
            "bytes received from PostgreSQL / the big table's bytes",
            worst / table_megabytes,
        )
        .at_most(PROMISED),
        Ratio::new("DuckDB / Owlet", duck.best / ours.best),
    ]);
    report.measurements.extend([
        ours,
        duck,
        Measurement::new("received from PostgreSQL", "Owlet", "MB", bytes),
        Measurement::new(
            "big table on disk",
            "PostgreSQL",
            "MB",
            vec![table_megabytes],
        ),
    ]);
    report.notes.push(
        "Bytes are counted by a relay between Owlet and PostgreSQL: everything the server sends, metadata, statistics and \
         connecting included; the worst round counts. The table's bytes are its heap without indexes. All rows compared \
         with PostgreSQL's own join in every round."
            .to_owned(),
    );
    drop(engine);
    drop(client);
    mysql.drop_database().await?;
    postgres.drop_database().await?;
    Ok(report)
}
