//! Conditions skip row groups of Parquet, and never a row that meets them: Arrow files of the same rows, of which nothing is
//! skipped, give the same answers.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Date64Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, UInt64Array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;

use crate::common::Fixture;

const ROWS: i64 = 1000;
const DAY: i64 = 86_400_000;

/// As the engine's session: filters reach a scan only when it is made.
fn fixture() -> Fixture {
    let mut rules = PhysicalOptimizer::default().rules;
    rules.retain(|rule| rule.name() != "FilterPushdown");
    let state = SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(2))
        .with_default_features()
        .with_physical_optimizer_rules(rules)
        .build();
    Fixture {
        folder: TempDir::new().unwrap(),
        session: SessionContext::new_with_state(state),
    }
}

/// Numbers that ascend, so that bounds of row groups tell something; some groups hold what bounds say nothing of.
fn floats() -> impl Iterator<Item = f64> {
    (0..ROWS).map(|row| match row {
        row if row % 333 == 0 => f64::NAN,
        600..700 => -0.0,
        700..800 if row % 2 == 0 => f64::NAN,
        700..800 => 5.0,
        _ => row as f64 / 10.0 - 50.0,
    })
}

fn words() -> impl Iterator<Item = Option<String>> {
    (0..ROWS).map(|row| match row {
        row if row % 97 == 0 => None,
        row if row % 101 == 0 => Some(format!("é{row}")),
        row => Some(format!("w{row:04}")),
    })
}

fn one_batch() -> RecordBatch {
    let rows = || 0..ROWS;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("Id", Arc::new(Int64Array::from_iter_values(rows()))),
        ("word", Arc::new(words().collect::<StringArray>())),
        (
            "day",
            Arc::new(Date32Array::from_iter_values((0..1000).map(|row| row / 10))),
        ),
        (
            "old_day",
            Arc::new(Date64Array::from_iter_values(
                rows().map(|row| row / 10 * DAY),
            )),
        ),
        (
            "at",
            Arc::new(TimestampMillisecondArray::from_iter_values(
                rows().map(|row| row * 3_600_000 + row % 7),
            )),
        ),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values(rows().map(|row| i128::from(row) * 25))
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("ratio", Arc::new(Float64Array::from_iter_values(floats()))),
        (
            "flag",
            Arc::new(rows().map(|row| Some(row >= 500)).collect::<BooleanArray>()),
        ),
        ("small", Arc::new(Int32Array::from_iter_values(-500..500))),
        (
            "big",
            Arc::new(UInt64Array::from_iter_values(
                (0..1000).map(|row| u64::MAX - row),
            )),
        ),
        ("code", Arc::new(words().collect::<LargeStringArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// The same table with other types, and without a column.
fn other_batch() -> RecordBatch {
    let one = one_batch();
    let column = |name: &str| Arc::clone(one.column_by_name(name).unwrap());
    let short = Float32Array::from_iter_values(floats().map(|number| number as f32));
    let exact = TimestampMicrosecondArray::from_iter_values(
        (0..ROWS).map(|row| row * 3_600_000_000 + row % 7),
    );
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("small", cast(&column("small"), &DataType::Int64).unwrap()),
        (
            "price",
            cast(&column("price"), &DataType::Decimal128(14, 4)).unwrap(),
        ),
        ("big", cast(&column("Id"), &DataType::Int64).unwrap()),
        ("word", cast(&column("word"), &words).unwrap()),
        ("code", column("word")),
        ("at", Arc::new(exact)),
        ("ratio", Arc::new(short)),
        ("Id", column("Id")),
        (
            "day",
            cast(
                &column("day"),
                &DataType::Timestamp(TimeUnit::Millisecond, None),
            )
            .unwrap(),
        ),
        ("old_day", column("day")),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn write_arrow(fixture: &Fixture, name: &str, batch: &RecordBatch) {
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    fixture.write(name, bytes);
}

/// Rows that the scans of an executed plan gave.
fn rows_read(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = match plan.is::<DataSourceExec>() {
        true => plan
            .metrics()
            .and_then(|metrics| metrics.output_rows())
            .unwrap_or(0),
        false => 0,
    };
    own + plan.children().into_iter().map(rows_read).sum::<usize>()
}

async fn read_for(fixture: &Fixture, table: &str, condition: &str) -> usize {
    let provider = fixture
        .connector()
        .table_provider(&fixture.session.state(), table)
        .await
        .unwrap()
        .unwrap();
    let sql = format!("SELECT id FROM t WHERE {condition}");
    let (plan, _) = fixture.execute(provider, &sql).await.unwrap();
    rows_read(&plan)
}

#[tokio::test]
async fn conditions_skip_row_groups() {
    let fixture = fixture();
    fixture.write_parquet("one.parquet", &one_batch());
    for (condition, most) in [
        ("id BETWEEN 250 AND 260", 100),
        ("id IN (5, 905)", 200),
        ("word = 'w0310'", 300),
        ("day = DATE '1970-01-11'", 100),
        ("at > TIMESTAMP '1970-02-10 00:00:00'", 100),
        ("price < 10.5", 100),
        ("small >= 490", 100),
        ("flag = false AND id > 450", 100),
        ("ratio < -45", 100),
        ("ratio > 45 AND ratio <= 48", 100),
        ("ratio = 45.5", 100),
        ("big > 18446744073709551600", 100),
        ("code = 'w0310'", 300),
    ] {
        let read = read_for(&fixture, "one", condition).await;
        assert!(read <= most, "{condition} reads {read} rows");
    }
    // What bounds say nothing of is read.
    for condition in ["ratio > 45", "ratio <> 5", "word IS NULL", "random() < id"] {
        let read = read_for(&fixture, "one", condition).await;
        assert_eq!(read, 1000, "{condition}");
    }
}

const CONDITIONS: &[&str] = &[
    "id = 437",
    "id + 0 = 437",
    "id NOT IN (1, 2, 3) AND id < 5",
    "id <> 3 AND id < 5",
    "NOT (id > 3)",
    "CAST(id AS varchar) = '99'",
    "CAST(id AS varchar) > '98'",
    "CAST(id AS boolean) = false",
    "-id >= -3",
    "word = 'w0437'",
    "word > 'w0990'",
    "word >= 'é'",
    "word < 'w0003'",
    "word LIKE 'w043%'",
    "word NOT LIKE 'w0%'",
    "word IS NULL AND id < 200",
    "word IS NOT NULL AND id < 3",
    "word IN ('w0437', 'é505', 'x')",
    "code = 'w0437'",
    "code LIKE 'é%'",
    "upper(code) = 'W0437'",
    "day = TIMESTAMP '1970-01-11 00:00:00'",
    "day > TIMESTAMP '1970-04-09 12:00:00'",
    "day < TIMESTAMP '1970-01-01 12:00:00'",
    "old_day = DATE '1970-01-11'",
    "old_day >= DATE '1970-04-10'",
    "at = TIMESTAMP '1970-01-19 05:00:00.003'",
    "at = TIMESTAMP '1970-01-19 05:00:00.000003'",
    "at > TIMESTAMP '1970-02-11 00:00:00'",
    "CAST(at AS date) = DATE '1970-01-19'",
    "CAST(at AS time) = TIME '05:00:00'",
    "price = 109.25",
    "price > 249",
    "price BETWEEN 10 AND 10.5",
    "CAST(price AS bigint) = 100",
    "ratio = 5",
    "ratio = 0",
    "ratio <= 0 AND ratio > -0.5",
    "ratio > 49",
    "ratio >= 49.5 AND ratio < 49.8",
    "ratio <> 5 AND id >= 700 AND id < 710",
    "ratio = CAST('NaN' AS double)",
    "ratio < CAST('NaN' AS double) AND id < 3",
    "NOT (ratio < 49)",
    "ratio IN (5, 6)",
    "CAST(ratio AS varchar) = 'NaN'",
    "flag",
    "NOT flag",
    "flag IS NULL AND id > 990",
    "small = -63",
    "small > 495",
    "CAST(small AS double) = 495.0",
    "big = 437",
    "big > 18446744073709551600",
    "big < 5",
    "part = 'b' AND id = 3",
    "part = 'a' OR id = 3",
    "part || word = 'aw0437'",
    "coalesce(flag, true) AND id > 990",
    "CASE WHEN id > 990 THEN flag ELSE false END",
];

#[tokio::test]
async fn nothing_that_is_wanted_is_skipped() {
    let fixture = fixture();
    for (part, batch) in [("a", one_batch()), ("b", other_batch())] {
        fixture.write_parquet(&format!("p/part={part}/1.parquet"), &batch);
        write_arrow(&fixture, &format!("w/part={part}/1.arrow"), &batch);
    }
    let connector = fixture.connector();
    for condition in CONDITIONS {
        let sql = format!("SELECT part, id FROM t WHERE {condition} ORDER BY part, id");
        let whole = fixture.query(&connector, "w", &sql).await;
        let pruned = fixture.query(&connector, "p", &sql).await;
        match (whole, pruned) {
            (Ok(whole), Ok(pruned)) => assert_eq!(pruned, whole, "{condition}"),
            (whole, pruned) => panic!("{condition}: {whole:?} and {pruned:?}"),
        }
    }
    for column in ["ratio", "word", "code", "price", "at", "big"] {
        for aggregate in ["max", "min", "count"] {
            let sql = format!("SELECT {aggregate}({column}) AS x FROM t");
            let whole = fixture.query(&connector, "w", &sql).await.unwrap();
            let pruned = fixture.query(&connector, "p", &sql).await.unwrap();
            assert_eq!(pruned, whole, "{sql}");
        }
        for order in ["ASC NULLS LAST", "DESC NULLS LAST"] {
            let sql = format!("SELECT {column} FROM t ORDER BY {column} {order} LIMIT 3");
            let whole = fixture.query(&connector, "w", &sql).await.unwrap();
            let pruned = fixture.query(&connector, "p", &sql).await.unwrap();
            assert_eq!(pruned, whole, "{sql}");
        }
    }
}

#[tokio::test]
async fn one_number_beside_nan_is_not_the_whole_column() {
    let fixture = fixture();
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![5.0, f64::NAN]));
    let batch = RecordBatch::try_from_iter([("x", numbers)]).unwrap();
    fixture.write_parquet("nan.parquet", &batch);
    let connector = fixture.connector();
    for (sql, answer) in [
        ("SELECT x FROM t", "x\n5.0\nNaN"),
        ("SELECT max(x) AS x FROM t", "x\nNaN"),
        ("SELECT x FROM t WHERE x <> 5", "x\nNaN"),
    ] {
        assert_eq!(fixture.query(&connector, "nan", sql).await.unwrap(), answer);
    }
}

#[tokio::test]
async fn a_table_tells_its_rows_without_reading_them() {
    let fixture = fixture();
    fixture.write_parquet("counted.parquet", &one_batch());
    fixture.write("guessed.csv", "id,word\n1,x\n2,y\n");
    write_arrow(&fixture, "unknown.arrow", &one_batch());
    let connector = fixture.connector();
    for (table, least, most) in [
        ("counted", 1000, 1000),
        ("guessed", 2, 2),
        ("unknown", 300, 3000),
    ] {
        let provider = connector
            .table_provider(&fixture.session.state(), table)
            .await
            .unwrap()
            .unwrap();
        let rows = provider.statistics().unwrap().num_rows;
        let exact = table == "counted";
        assert_eq!(rows.is_exact(), Some(exact), "{table}");
        let rows = *rows.get_value().unwrap();
        assert!((least..=most).contains(&rows), "{table}: {rows}");
    }
}

#[tokio::test]
async fn text_of_parquet_is_as_all_other_text() {
    let fixture = fixture();
    fixture.write_parquet("p/1.parquet", &one_batch());
    fixture.write_parquet("p/2.parquet", &other_batch());
    let sql = "SELECT arrow_typeof(word) AS word, arrow_typeof(code) AS code FROM t LIMIT 1";
    assert_eq!(
        fixture.query(&fixture.connector(), "p", sql).await.unwrap(),
        "word|code\nUtf8|Utf8"
    );
}
