//! A few rows of a PostgreSQL table with their items of a big DynamoDB table, beside a hand-written BatchGetItem
//! script: read capacity units and time.

use std::time::Instant;

use owlet_engine::{Engine, QueryOptions};
use serde_json::{Value, json};

use super::{LoadedTable, Shape, boto3, endpoint};
use crate::Result;
use crate::answer::{Answer, RowOrder};
use crate::bench::Options;
use crate::bench::report::{Measurement, Ratio, Report};
use crate::environment::PostgresDatabase;
use crate::native::NativeAnswer;
use crate::sources::{self, Catalogs};

/// Consumed units over the items' own.
const PROMISED: f64 = 1.05;
const SELECTED: usize = 100;
const ORDERS: usize = 100_000;

pub async fn run(options: &Options) -> Result<Report> {
    let table = LoadedTable::load(Shape::WithNote, options.items).await?;
    let database = PostgresDatabase::create("owlet_bench_join").await?;
    let client = database.connect().await?;
    // The selected orders are spread over the table, their items over the key space; some of those are big.
    let (every, apart) = (ORDERS / SELECTED, options.items / SELECTED);
    client
        .batch_execute(&format!(
            "CREATE TABLE orders AS SELECT n AS order_id, \
               CASE WHEN n % {every} = 7 THEN 'urgent' ELSE 'usual' END AS priority, \
               'item-' || lpad((CASE WHEN n % {every} = 7 THEN n / {every} * {apart} + n / {every} % {apart} \
                                ELSE n % {} END)::text, 8, '0') AS item_id \
             FROM generate_series(1, {ORDERS}) n; \
             ALTER TABLE orders ADD PRIMARY KEY (order_id)",
            options.items
        ))
        .await?;
    client.batch_execute("VACUUM ANALYZE orders").await?;
    let engine = sources::engine(&Catalogs {
        postgres: Some(database.url()),
        dynamodb: Some(endpoint()),
        ..Catalogs::default()
    })?;
    let mut report = Report::new(
        "dynamodb-join",
        format!(
            "{SELECTED} selected PostgreSQL rows joined by key with {} DynamoDB items",
            options.items
        ),
    );
    let statement = format!(
        "SELECT o.order_id, i.id, i.quantity, i.status, i.note FROM pg.public.orders o \
         JOIN {} i ON i.id = o.item_id WHERE o.priority = 'urgent'",
        table.full_name()
    );
    let of_script = "SELECT order_id, item_id FROM orders WHERE priority = 'urgent'";
    join(&engine, &statement).await?;
    let (mut ours, mut script) = (Vec::new(), Vec::new());
    let (mut units, mut access, mut remarks) = ((0.0, 0.0), String::new(), Vec::new());
    for _ in 0..options.rounds {
        let joined = join(&engine, &statement).await?;
        ours.push(joined.seconds);
        let answer = boto3(
            &["join", &endpoint(), &table.name, &database.url()],
            &json!(of_script),
        )?;
        script.push(
            answer["seconds"]
                .as_f64()
                .ok_or("the script gave no time")?,
        );
        if let Some(difference) = joined
            .answer
            .difference_to_native(&native(&answer["rows"])?, RowOrder::Any)
        {
            return Err(format!("the join differs from the script's: {difference}").into());
        }
        access = joined.access;
        remarks = joined.remarks;
        units = (
            joined.units,
            answer["units"].as_f64().ok_or("the script gave no units")?,
        );
    }
    let rows = client.query(of_script, &[]).await?;
    let mut keys: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
    keys.sort();
    keys.dedup();
    let own = own_units(&table, &keys).await?;
    let ours = Measurement::new("join", "Owlet", "s", ours);
    let script = Measurement::new("join", "psycopg + boto3 BatchGetItem script", "s", script);
    report
        .ratios
        .push(Ratio::new("consumed RCU / the items' own RCU", units.0 / own).at_most(PROMISED));
    report
        .ratios
        .push(Ratio::new("boto3 script / Owlet", script.best / ours.best));
    report.measurements.extend([ours, script]);
    for (contestant, value) in [
        ("Owlet", units.0),
        ("psycopg + boto3 BatchGetItem script", units.1),
        ("sum of GetItem of each item", own),
    ] {
        report
            .measurements
            .push(Measurement::new("consumed", contestant, "RCU", vec![value]));
    }
    for remark in remarks {
        report
            .notes
            .push(format!("The planner's remark: {remark}."));
    }
    report.notes.push(format!(
        "{} different items, read by Owlet as: {access}. Every fiftieth item of the table is bigger than 4 KB. Rows compared with the script's in every \
         round; one warm-up each, connections open.",
        keys.len()
    ));
    drop(client);
    database.drop_database().await?;
    Ok(report)
}

struct Joined {
    seconds: f64,
    units: f64,
    /// How the items were read.
    access: String,
    /// What the planner says of it.
    remarks: Vec<String>,
    answer: Answer,
}

async fn join(engine: &Engine, statement: &str) -> Result<Joined> {
    use futures::TryStreamExt;
    let started = Instant::now();
    let plan = engine.plan(statement, &QueryOptions::default()).await?;
    let remarks = plan
        .explanation()
        .sources
        .iter()
        .filter(|source| source.catalog == "dynamo")
        .flat_map(|source| source.stayed_local.clone())
        .collect();
    let mut stream = plan.execute()?;
    let schema = stream.schema();
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        batches.push(batch);
    }
    let seconds = started.elapsed().as_secs_f64();
    let sources = stream.work_report().sources;
    let units = sources
        .iter()
        .filter_map(|source| source.rcu_consumed)
        .sum();
    let access = sources
        .into_iter()
        .find(|source| source.catalog == "dynamo")
        .map(|source| source.access)
        .unwrap_or_default();
    Ok(Joined {
        seconds,
        units,
        access,
        remarks,
        answer: Answer::new(schema, &batches)?,
    })
}

/// What reading each item by itself consumes.
async fn own_units(table: &LoadedTable, keys: &[String]) -> Result<f64> {
    let mut units = 0.0;
    for key in keys {
        let request = json!({
            "TableName": table.name,
            "Key": { "id": { "S": key } },
            "ReturnConsumedCapacity": "TOTAL",
        });
        let answer = table.database.call("GetItem", &request).await?;
        units += answer["ConsumedCapacity"]["CapacityUnits"]
            .as_f64()
            .ok_or("no ConsumedCapacity")?;
    }
    Ok(units)
}

/// The script's rows (order, key, item) as those of the statement.
fn native(rows: &Value) -> Result<NativeAnswer> {
    let rows = rows.as_array().ok_or("the script gave no rows")?;
    Ok(NativeAnswer {
        columns: ["order_id", "id", "quantity", "status", "note"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows
            .iter()
            .map(|row| {
                let item = &row[2];
                let text = |name: &str| item[name].as_str().map(str::to_owned);
                vec![
                    Some(row[0].to_string()),
                    text("id"),
                    text("quantity"),
                    text("status"),
                    text("note"),
                ]
            })
            .collect(),
    })
}
