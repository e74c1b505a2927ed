//! Warm look-ups by key inside one process, beside boto3's GetItem and plain HTTP on the same endpoint.

use std::time::Instant;

use owlet_engine::{Engine, QueryOptions};
use serde_json::{Value, json};

use super::{LoadedTable, Shape, boto3, endpoint, items, numbers};
use crate::Result;
use crate::answer::Answer;
use crate::bench::Options;
use crate::bench::report::{Measurement, Ratio, Report};
use crate::run as engine_run;
use crate::sources::{self, Catalogs};

const LOOK_UPS: usize = 1_000;
const WARM_UPS: usize = 50;
const COLUMNS: [&str; 4] = ["id", "quantity", "status", "note"];

pub async fn run(options: &Options) -> Result<Report> {
    let table = LoadedTable::load(Shape::WithNote, options.items).await?;
    let engine = sources::engine(&Catalogs {
        dynamodb: Some(endpoint()),
        ..Catalogs::default()
    })?;
    let mut report = Report::new(
        "dynamodb-look-up",
        format!(
            "DynamoDB look-up by key, one table of {} items",
            options.items
        ),
    );
    let mut chosen = items::Numbers::new(options.items);
    let keys: Vec<String> = (0..LOOK_UPS.min(options.items))
        .map(|_| items::key(chosen.below(options.items as u64) as usize))
        .collect();
    for key in keys.iter().take(WARM_UPS) {
        look_up(&engine, &table, key).await?;
    }
    let contestants = ["Owlet", "boto3 GetItem", "plain HTTP GetItem, not parsed"];
    let mut medians: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    let mut tails = medians.clone();
    let mut version = Value::Null;
    for round in 0..options.rounds {
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        let mut answers = Vec::new();
        for key in &keys {
            let started = Instant::now();
            let answer = look_up(&engine, &table, key).await?;
            ours.push(started.elapsed().as_secs_f64() * 1000.0);
            answers.push(answer);
        }
        let script = boto3(&["get", &endpoint(), &table.name], &json!(keys))?;
        if round == 0 {
            compare(&keys, &answers, &script["items"])?;
        }
        for key in &keys {
            let request = json!({ "TableName": table.name, "Key": { "id": { "S": key } } });
            let started = Instant::now();
            let answer = table.database.send("GetItem", request.to_string()).await?;
            answer.error_for_status()?.bytes().await?;
            plain.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        let all = [ours, numbers(&script["milliseconds"])?, plain];
        for (index, mut milliseconds) in all.into_iter().enumerate() {
            milliseconds.sort_by(f64::total_cmp);
            medians[index].push(percentile(&milliseconds, 0.5));
            tails[index].push(percentile(&milliseconds, 0.99));
        }
        version = script["boto3"].clone();
    }
    for (subject, values) in [("p50", medians), ("p99", tails)] {
        let measured: Vec<Measurement> = contestants
            .iter()
            .zip(values)
            .map(|(contestant, rounds)| Measurement::new(subject, contestant, "ms", rounds))
            .collect();
        report.ratios.push(Ratio::new(
            format!("{subject}: boto3 GetItem / Owlet (medians)"),
            measured[1].median / measured[0].median,
        ));
        report.measurements.extend(measured);
    }
    report.notes.push(format!(
        "{} random keys a round, one after the other, on warm connections; Owlet plans and runs `SELECT {} … WHERE id = '…'` \
         each time. All rows compared with boto3's items ({}).",
        keys.len(),
        COLUMNS.join(", "),
        version.as_str().unwrap_or("?")
    ));
    Ok(report)
}

async fn look_up(engine: &Engine, table: &LoadedTable, key: &str) -> Result<Answer> {
    let statement = format!(
        "SELECT {} FROM {} WHERE id = '{key}'",
        COLUMNS.join(", "),
        table.full_name()
    );
    engine_run::answer(engine, &statement, &QueryOptions::default()).await
}

fn compare(keys: &[String], answers: &[Answer], items: &Value) -> Result<()> {
    for (index, (key, answer)) in keys.iter().zip(answers).enumerate() {
        let item = &items[index];
        let expected: Vec<Option<String>> = COLUMNS
            .iter()
            .map(|column| item[*column].as_str().map(str::to_owned))
            .collect();
        if answer.rows != [expected.clone()] {
            return Err(format!("{key}: {:?}, boto3 has {expected:?}", answer.rows).into());
        }
    }
    Ok(())
}

/// The value that this share of sorted values does not exceed.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let position = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(position.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
