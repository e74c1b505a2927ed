//! DynamoDB beside AWS's SDKs, plain HTTP and hand-written boto3 scripts.

#[cfg(feature = "sdk-yardstick")]
mod decode;
pub mod estimate;
mod items;
pub mod join;
pub mod look_up;
mod recording;
pub mod scan;
#[cfg(feature = "sdk-yardstick")]
mod sdk;

use std::process::Command;

use serde_json::{Value, json};

use super::report::Report;
use super::{Options, repository};
use crate::Result;
use crate::dynamodb::DynamoDb;
use crate::environment::required;

const TABLE_PREFIX: &str = "owlet_bench_";
const LOADED_AT_ONCE: usize = 10_000;
/// One wide item for so many narrow ones.
const WIDE_SHARE: usize = 5;

/// A filled table of the emulator.
struct LoadedTable {
    database: DynamoDb,
    name: String,
}

/// Tables with the key `id` that several benchmarks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Narrow,
    Wide,
    WithNote,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Narrow => "narrow",
            Self::Wide => "wide",
            Self::WithNote => "with_note",
        }
    }

    fn item(self, number: usize) -> Value {
        match self {
            Self::Narrow => items::narrow(number),
            Self::Wide => items::wide(number),
            Self::WithNote => items::with_note(number),
        }
    }

    /// Items of the table when the benchmarks are told to use so many.
    fn count(self, items: usize) -> usize {
        match self {
            Self::Narrow | Self::WithNote => items,
            Self::Wide => items / WIDE_SHARE,
        }
    }
}

impl LoadedTable {
    /// Creates and fills a table, unless an earlier benchmark of this run has done it.
    async fn load(shape: Shape, items: usize) -> Result<Self> {
        let table = Self::named(shape.name());
        let is_loaded = table
            .database
            .call("DescribeTable", &json!({ "TableName": table.name }))
            .await
            .is_ok();
        if !is_loaded {
            table
                .database
                .create_table(&table.name, &[("id", "S", "HASH")])
                .await?;
            table
                .fill(shape.count(items), |number| shape.item(number))
                .await?;
        }
        Ok(table)
    }

    fn named(purpose: &str) -> Self {
        Self {
            database: DynamoDb::new(endpoint()),
            name: format!("{TABLE_PREFIX}{purpose}_{}", std::process::id()),
        }
    }

    async fn fill(&self, items: usize, item: impl Fn(usize) -> Value) -> Result<()> {
        for first in (0..items).step_by(LOADED_AT_ONCE) {
            let part: Vec<Value> = (first..items.min(first + LOADED_AT_ONCE))
                .map(&item)
                .collect();
            self.database.put_all(&self.name, &part).await?;
        }
        Ok(())
    }

    /// The table's name for the engine.
    fn full_name(&self) -> String {
        format!("dynamo.default.{}", self.name)
    }
}

/// Removes the tables of this run.
pub async fn clean() -> Result<()> {
    let shapes = [Shape::Narrow, Shape::Wide, Shape::WithNote];
    for purpose in shapes
        .map(Shape::name)
        .into_iter()
        .chain([estimate::PURPOSE])
    {
        let table = LoadedTable::named(purpose);
        table.database.drop_table(&table.name).await?;
    }
    Ok(())
}

fn endpoint() -> String {
    required("OWLET_TEST_DYNAMODB_ENDPOINT")
}

/// Runs the boto3 script with `arguments`; `input` is its standard input.
fn boto3(arguments: &[&str], input: &Value) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("input.json");
    std::fs::write(&file, input.to_string())?;
    let output = Command::new(required("OWLET_TEST_PYTHON"))
        .arg(repository().join("bench/dynamodb_boto3.py"))
        .args(arguments)
        .stdin(std::fs::File::open(&file)?)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "the boto3 script failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Numbers of a JSON list.
fn numbers(list: &Value) -> Result<Vec<f64>> {
    list.as_array()
        .ok_or("the boto3 script gave no list")?
        .iter()
        .map(|number| number.as_f64().ok_or_else(|| "not a number".into()))
        .collect()
}

/// The benchmark `dynamodb-decode`.
#[cfg(feature = "sdk-yardstick")]
pub async fn decode(options: &Options) -> Result<Report> {
    decode::run(options).await
}

/// The benchmark `dynamodb-decode` without its yardstick.
#[cfg(not(feature = "sdk-yardstick"))]
pub async fn decode(_options: &Options) -> Result<Report> {
    Err(
        "dynamodb-decode needs AWS's SDK: build owlet-testkit with the feature sdk-yardstick, as `cargo xtask bench` does"
            .into(),
    )
}
