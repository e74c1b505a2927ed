//! Recorded Scan pages to Arrow by the connector's decoder, beside AWS's SDK followed by a conversion to the same
//! arrays; one thread each, bodies in memory, batches compared.

use std::time::Instant;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use owlet_dynamodb::{DynamoDbConnector, InferenceReport, PageDecoder};
use serde_json::{Value, json};

use super::sdk::Sdk;
use super::{LoadedTable, Shape, endpoint};
use crate::Result;
use crate::bench::Options;
use crate::bench::report::{Measurement, Ratio, Report};
use crate::sources;

/// The SDK's time over ours.
const PROMISED: f64 = 5.0;
const EMPTY_PAGES: u32 = 1_000;

pub async fn run(options: &Options) -> Result<Report> {
    let (narrow, wide) = (
        Shape::Narrow.count(options.items),
        Shape::Wide.count(options.items),
    );
    let mut report = Report::new(
        "dynamodb-decode",
        format!("DynamoDB pages to Arrow: {narrow} narrow and {wide} wide items"),
    );
    let sdk = Sdk::new();
    for shape in [Shape::Narrow, Shape::Wide] {
        let table = LoadedTable::load(shape, options.items).await?;
        let bodies = record(&table).await?;
        let connector = DynamoDbConnector::new("dynamo", sources::dynamodb_options(&endpoint()))?;
        let columns = connector.infer_schema(&table.name).await?;
        measure(options, shape.name(), &bodies, &columns, &sdk, &mut report).await?;
    }
    let started = Instant::now();
    for _ in 0..EMPTY_PAGES {
        sdk.parse(&Bytes::from_static(b"{\"Items\":[]}")).await?;
    }
    report.notes.push(format!(
        "The SDK (aws-sdk-dynamodb, no network: its HTTP client hands over the recorded body) has no parser that can be \
         called by itself; a call with an empty page takes {:.3} ms, which is part of its time of every page.",
        started.elapsed().as_secs_f64() * 1000.0 / f64::from(EMPTY_PAGES)
    ));
    report.notes.push(
        "Compared before measuring: every page gives equal batches on both sides. Neither side checks CRC32 here; one thread each."
            .to_owned(),
    );
    Ok(report)
}

/// Bodies of a whole Scan as the emulator sends them.
async fn record(table: &LoadedTable) -> Result<Vec<Bytes>> {
    let mut bodies = Vec::new();
    let mut request = json!({ "TableName": table.name, "ReturnConsumedCapacity": "TOTAL" });
    loop {
        let response = table.database.send("Scan", request.to_string()).await?;
        let body = response.error_for_status()?.bytes().await?;
        let page: Value = serde_json::from_slice(&body)?;
        bodies.push(body);
        match page.get("LastEvaluatedKey") {
            Some(key) => request["ExclusiveStartKey"] = key.clone(),
            None => return Ok(bodies),
        }
    }
}

async fn measure(
    options: &Options,
    subject: &str,
    bodies: &[Bytes],
    columns: &InferenceReport,
    sdk: &Sdk,
    report: &mut Report,
) -> Result<()> {
    let mut decoder = PageDecoder::new(columns);
    let mut rows = 0;
    for (number, body) in bodies.iter().enumerate() {
        let ours = decoder.decode(body)?;
        let theirs = sdk.batch(&ours.schema(), &sdk.parse(body).await?)?;
        if ours != theirs {
            return Err(format!("page {number} of {subject} differs from the SDK's").into());
        }
        rows += ours.num_rows();
    }
    let schema = decoder.decode(&bodies[0])?.schema();
    let (mut ours, mut theirs, mut parsing) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let started = Instant::now();
        let mut seen = 0;
        for body in bodies {
            seen += rows_of(decoder.decode(body)?);
        }
        ours.push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        let mut parse = 0.0;
        for body in bodies {
            let before = Instant::now();
            let items = sdk.parse(body).await?;
            parse += before.elapsed().as_secs_f64();
            seen += rows_of(sdk.batch(&schema, &items)?);
        }
        theirs.push(started.elapsed().as_secs_f64());
        parsing.push(parse);
        if seen != 2 * rows {
            return Err("a round lost rows".into());
        }
    }
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    let ours = Measurement::new(subject, "Owlet", "s", ours);
    let theirs = Measurement::new(subject, "SDK parse + conversion", "s", theirs);
    let parsing = Measurement::new(subject, "of that, SDK parse", "s", parsing);
    report.ratios.push(
        Ratio::new(
            format!("{subject}: SDK parse + conversion / Owlet"),
            theirs.best / ours.best,
        )
        .at_least(PROMISED),
    );
    report.ratios.push(Ratio::new(
        format!("{subject}: SDK parse alone / Owlet"),
        parsing.best / ours.best,
    ));
    report.notes.push(format!(
        "{subject}: {rows} items, {} pages, {:.1} MB, {} columns; Owlet {:.0} MB/s, SDK {:.0} MB/s.",
        bodies.len(),
        bytes as f64 / 1e6,
        schema.fields().len(),
        bytes as f64 / 1e6 / ours.best,
        bytes as f64 / 1e6 / theirs.best
    ));
    report.measurements.extend([ours, theirs, parsing]);
    Ok(())
}

fn rows_of(batch: RecordBatch) -> usize {
    std::hint::black_box(&batch).num_rows()
}
