//! Peak memory of the real binary writing a whole table to Parquet, for two sizes: it must not grow with the rows.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::report::{Measurement, Ratio, Report};
use super::{Options, owlet_binary, write_configuration};
use crate::Result;
use crate::environment::PostgresDatabase;
use crate::tpch::{LINEITEM, load};

const PROMISED_MEGABYTES: f64 = 400.0;
const SMALL_ROWS: u64 = 1_000_000;
const POLL: Duration = Duration::from_millis(5);

pub async fn run(options: &Options) -> Result<Report> {
    let database = PostgresDatabase::create("owlet_bench_memory").await?;
    let client = database.connect().await?;
    load::postgres(&client, &[LINEITEM], options.scale_factor).await?;
    let small = format!("CREATE TABLE small AS SELECT * FROM lineitem LIMIT {SMALL_ROWS}");
    client.batch_execute(&small).await?;
    client.batch_execute("VACUUM ANALYZE small").await?;
    let rows: i64 = client
        .query_one("SELECT count(*) FROM lineitem", &[])
        .await?
        .get(0);
    let folder = tempfile::tempdir()?;
    let configuration = write_configuration(folder.path(), &database.url())?;
    let mut report = Report::new(
        "memory",
        format!("Peak memory: `SELECT *` over {rows} rows to Parquet"),
    );
    let subjects = [
        ("small", "1 million rows".to_owned()),
        ("lineitem", format!("{rows} rows")),
    ];
    let mut peaks: Vec<Vec<f64>> = vec![Vec::new(), Vec::new()];
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (index, (table, _)) in subjects.iter().enumerate() {
            let file = folder.path().join(format!("{table}.parquet"));
            let (megabytes, time) = export(&configuration, table, &file)?;
            peaks[index].push(megabytes);
            seconds[index].push(time);
        }
    }
    let mut worst = Vec::new();
    for (index, (_, subject)) in subjects.iter().enumerate() {
        worst.push(peaks[index].iter().copied().fold(0.0, f64::max));
        report.measurements.push(Measurement::new(
            subject,
            "owlet query, peak",
            "MB",
            peaks[index].clone(),
        ));
        report.measurements.push(Measurement::new(
            subject,
            "owlet query, start to exit",
            "s",
            seconds[index].clone(),
        ));
    }
    report.ratios.push(
        Ratio::new(format!("worst peak over {rows} rows, MB"), worst[1])
            .at_most(PROMISED_MEGABYTES),
    );
    report.ratios.push(Ratio::new(
        "worst peak, all rows / 1 million rows",
        worst[1] / worst[0],
    ));
    report
        .notes
        .push("Peak resident set (VmHWM) of the process, read until it ends.".to_owned());
    drop(client);
    database.drop_database().await?;
    Ok(report)
}

fn export(configuration: &Path, table: &str, file: &Path) -> Result<(f64, f64)> {
    let started = Instant::now();
    let mut child = Command::new(owlet_binary()?)
        .args([
            "query",
            &format!("SELECT * FROM pg.public.{table}"),
            "-o",
            "parquet",
            "--to",
        ])
        .arg(file)
        .arg("--config")
        .arg(configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let mut peak = 0.0;
    let status = loop {
        if let Some(megabytes) = peak_megabytes(child.id()) {
            peak = megabytes;
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        return Err(format!("owlet failed on {table}: {status}").into());
    }
    Ok((peak, started.elapsed().as_secs_f64()))
}

/// `None` once the process has ended.
fn peak_megabytes(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1_000_000.0)
}
