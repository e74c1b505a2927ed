//! A whole table to Arrow through the engine, beside fetching the same pages with the same concurrency and throwing
//! the bodies away; against a replay of recorded pages and against the emulator.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use owlet_engine::{Engine, QueryOptions};
use serde_json::Value;

use super::recording::{Exchange, Recording};
use super::{LoadedTable, Shape, endpoint};
use crate::Result;
use crate::answer::{Answer, RowOrder};
use crate::bench::Options;
use crate::bench::report::{Measurement, Ratio, Report};
use crate::bench::scan::seconds;
use crate::dynamodb::DynamoDb;
use crate::run as engine_run;
use crate::sources::{self, Catalogs};

/// Time over the time of fetching the same pages.
const PROMISED: f64 = 1.15;
/// Time to the first byte of a page in the paced replay.
const SERVICE_DELAY: Duration = Duration::from_millis(10);

pub async fn run(options: &Options) -> Result<Report> {
    let (narrow, wide) = (
        Shape::Narrow.count(options.items),
        Shape::Wide.count(options.items),
    );
    let mut report = Report::new(
        "dynamodb-scan",
        format!("DynamoDB full scan through the engine: {narrow} narrow and {wide} wide items"),
    );
    for shape in [Shape::Narrow, Shape::Wide] {
        measure(options, shape, &mut report).await?;
    }
    report.notes.push(
        "Pages are what the emulator answered; the replay server holds them in memory, runs on a thread of its own and \
         shares the machine's cores with the contestants. The fetching contestant sends the recorded requests, segment \
         by segment, as many at once as Owlet had under way, and drops the bodies."
            .to_owned(),
    );
    report.notes.push(format!(
        "The paced replay holds every answer back for {} ms, as a service at a distance does; it is shown for \
         orientation and has no promise.",
        SERVICE_DELAY.as_millis()
    ));
    report.notes.push(
        "Before measuring, the rows read through the replay were compared with the items that were written.".to_owned(),
    );
    Ok(report)
}

async fn measure(options: &Options, shape: Shape, report: &mut Report) -> Result<()> {
    let table = LoadedTable::load(shape, options.items).await?;
    let (subject, rows) = (shape.name(), shape.count(options.items));
    let recording = Recording::start(&endpoint())?;
    let engine_at = |endpoint: &str| {
        sources::engine(&Catalogs {
            dynamodb: Some(endpoint.to_owned()),
            ..Catalogs::default()
        })
    };
    let replayed = engine_at(&recording.endpoint)?;
    let direct = engine_at(&endpoint())?;
    let statement = format!("SELECT * FROM {}", table.full_name());
    check(&replayed, &table, shape, rows).await?;

    // The first scan is recorded, the second shows which requests a scan sends and how many at once.
    seconds(&replayed, &statement, rows as u64).await?;
    recording.take_log();
    let known = recording.forwarded();
    seconds(&replayed, &statement, rows as u64).await?;
    let concurrency = recording.most_under_way();
    let log = recording.take_log();
    if recording.forwarded() != known {
        return Err("a second scan sent other requests than the first".into());
    }
    let pages: Vec<Arc<Exchange>> = log
        .into_iter()
        .filter(|exchange| exchange.operation == "Scan")
        .collect();
    let bytes: usize = pages.iter().map(|page| page.response.len()).sum();
    let chains = chains(&pages)?;
    seconds(&direct, &statement, rows as u64).await?;
    report.notes.push(format!(
        "{subject}: {} pages, {:.1} MB, {concurrency} requests at once.",
        pages.len(),
        bytes as f64 / 1e6
    ));

    let replay_server = DynamoDb::new(recording.endpoint.clone());
    let places = [
        ("replay", &replayed, &replay_server, Duration::ZERO),
        ("paced replay", &replayed, &replay_server, SERVICE_DELAY),
        ("DynamoDB Local", &direct, &table.database, Duration::ZERO),
    ];
    for (place, engine, server, delay) in places {
        recording.set_delay(delay);
        let (mut ours, mut fetching) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push(seconds(engine, &statement, rows as u64).await?);
            fetching.push(fetch(server, &chains, concurrency, bytes).await?);
        }
        let subject = format!("{subject}, {place}");
        let ours = Measurement::new(&subject, "Owlet", "s", ours);
        let fetching = Measurement::new(&subject, "fetching, bodies dropped", "s", fetching);
        let ratio = Ratio::new(
            format!("{subject}: Owlet / fetching"),
            ours.best / fetching.best,
        );
        report.ratios.push(if delay.is_zero() {
            ratio.at_most(PROMISED)
        } else {
            ratio
        });
        report.measurements.extend([ours, fetching]);
    }
    Ok(())
}

/// Keys and one attribute of every row, against what was written.
async fn check(engine: &Engine, table: &LoadedTable, shape: Shape, rows: usize) -> Result<()> {
    let attribute = if shape == Shape::Wide {
        "text_00"
    } else {
        "status"
    };
    let statement = format!("SELECT id, {attribute} FROM {}", table.full_name());
    let (answer, _) =
        engine_run::ordered_answer(engine, &statement, &QueryOptions::default()).await?;
    let written = Answer {
        columns: answer.columns.clone(),
        rows: (0..rows)
            .map(|number| {
                let item = shape.item(number);
                let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
                vec![text("id"), text(attribute)]
            })
            .collect(),
    };
    match answer.difference(&written, RowOrder::Any) {
        None => Ok(()),
        Some(difference) => {
            Err(format!("the scan differs from what was written: {difference}").into())
        }
    }
}

/// Requests of each segment in order.
fn chains(pages: &[Arc<Exchange>]) -> Result<Vec<Vec<String>>> {
    let mut chains: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for page in pages {
        let request: Value = serde_json::from_str(&page.request)?;
        let segment = request["Segment"].as_u64().unwrap_or(0);
        chains
            .entry(segment)
            .or_default()
            .push(page.request.clone());
    }
    Ok(chains.into_values().collect())
}

/// Fetches the pages chain by chain with so many workers, and drops the bodies as they come.
async fn fetch(
    server: &DynamoDb,
    chains: &[Vec<String>],
    concurrency: usize,
    expected_bytes: usize,
) -> Result<f64> {
    let queue: Arc<Mutex<VecDeque<Vec<String>>>> =
        Arc::new(Mutex::new(chains.iter().cloned().collect()));
    let started = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..concurrency.max(1) {
        let (queue, server) = (Arc::clone(&queue), server.clone());
        workers.spawn(async move {
            let mut bytes = 0;
            loop {
                let next = queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let Some(chain) = next else {
                    return Ok::<usize, crate::Failure>(bytes);
                };
                for request in chain {
                    let mut response = server.send("Scan", request).await?;
                    while let Some(part) = response.chunk().await? {
                        bytes += part.len();
                    }
                }
            }
        });
    }
    let mut bytes = 0;
    while let Some(worker) = workers.join_next().await {
        bytes += worker??;
    }
    let seconds = started.elapsed().as_secs_f64();
    if bytes == expected_bytes {
        Ok(seconds)
    } else {
        Err(format!("fetching gave {bytes} bytes, the recording has {expected_bytes}").into())
    }
}
