//! What each format makes of awkward values.

use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    IntervalMonthDayNanoArray, ListArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, IntervalMonthDayNano, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

/// Bytes that outlive the writer.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const OPTIONS: TableOptions = TableOptions {
    max_rows: 6,
    width: None,
    null: "NULL",
};

fn written(format: Format, target: Target, batches: &[RecordBatch]) -> Vec<u8> {
    let sink = Sink::default();
    let mut writer = writer(
        format,
        batches[0].schema(),
        target,
        OPTIONS,
        Box::new(sink.clone()),
    )
    .expect("a writer");
    for batch in batches {
        writer.write(batch).expect("written");
    }
    writer.finish().expect("finished");
    drop(writer);
    sink.0.lock().expect("not poisoned").clone()
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(written(format, Target::Stream, batches)).expect("text")
}

fn awkward() -> RecordBatch {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let structure = StructArray::from(vec![
        (
            Arc::new(Field::new("k", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("a\"b"), None, Some("c")])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("n", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![
                Some(9_007_199_254_740_993),
                None,
                Some(-1),
            ])) as ArrayRef,
        ),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "id",
            Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-1), None])),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some("a,\"b\"\nc\\d|e\t"),
                Some(""),
                None,
            ])),
        ),
        (
            "float",
            Arc::new(Float64Array::from(vec![
                Some(0.1),
                Some(f64::NAN),
                Some(-0.0),
            ])),
        ),
        (
            "money",
            Arc::new(
                Decimal128Array::from(vec![Some(1250), Some(-5), None])
                    .with_precision_and_scale(12, 2)
                    .expect("a decimal"),
            ),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![Some(0), None, Some(20_000)])),
        ),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_500_000), Some(0), None])
                    .with_timezone("UTC"),
            ),
        ),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![
                Some(&b"\x00\xff"[..]),
                Some(b""),
                None,
            ])),
        ),
        ("list", Arc::new(list)),
        ("text", Arc::new(structure)),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch")
}

fn numbers(from: i64, to: i64) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(Int64Array::from_iter_values(from..to))],
    )
    .expect("a batch")
}

#[test]
fn csv() {
    insta::assert_snapshot!(text(Format::Csv, &[awkward()]));
}

#[test]
fn csv_reads_back() {
    let bytes = written(Format::Csv, Target::File, &[awkward()]);
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let records: Vec<csv::StringRecord> = reader
        .records()
        .map(|record| record.expect("a record"))
        .collect();
    assert_eq!(records.len(), 3);
    assert_eq!(&records[0][1], "a,\"b\"\nc\\d|e\t");
    assert_eq!(&records[0][8], "{\"k\":\"a\\\"b\",\"n\":9007199254740993}");
}

#[test]
fn tsv() {
    insta::assert_snapshot!(text(Format::Tsv, &[awkward()]));
}

#[test]
fn json() {
    let written = text(Format::Json, &[awkward()]);
    let parsed: serde_json::Value = serde_json::from_str(&written).expect("valid JSON");
    assert_eq!(parsed[0]["id"], serde_json::json!(i64::MAX));
    assert_eq!(parsed[1]["float"], "NaN");
    insta::assert_snapshot!(written);
}

#[test]
fn ndjson() {
    insta::assert_snapshot!(text(Format::Ndjson, &[awkward()]));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(text(Format::Markdown, &[awkward()]));
}

#[test]
fn table() {
    insta::assert_snapshot!(text(Format::Table, &[awkward()]));
}

#[test]
fn empty_results() {
    let empty = numbers(0, 0);
    assert_eq!(text(Format::Json, std::slice::from_ref(&empty)), "[]\n");
    assert_eq!(text(Format::Csv, std::slice::from_ref(&empty)), "n\n");
    assert_eq!(text(Format::Ndjson, std::slice::from_ref(&empty)), "");
    assert_eq!(
        text(Format::Table, &[empty]),
        "┌───┐\n│ n │\n╞═══╡\n└───┘\n"
    );
}

#[test]
fn a_long_table_shows_both_ends_and_says_what_it_cut() {
    insta::assert_snapshot!(text(
        Format::Table,
        &[
            numbers(0, 2),
            numbers(2, 50),
            numbers(50, 51),
            numbers(51, 1234)
        ]
    ));
    let exactly = text(Format::Table, &[numbers(0, 6)]);
    assert!(!exactly.contains('…'), "{exactly}");
}

#[test]
fn columns_that_do_not_fit_side_by_side_stand_below_each_other() {
    let narrow = TableOptions {
        width: Some(40),
        ..OPTIONS
    };
    let batch = awkward();
    let sink = Sink::default();
    let out = Box::new(sink.clone());
    let mut writer =
        writer(Format::Table, batch.schema(), Target::Stream, narrow, out).expect("a writer");
    writer.write(&batch).expect("written");
    writer.finish().expect("finished");
    drop(writer);
    let bytes = sink.0.lock().expect("not poisoned").clone();
    insta::assert_snapshot!(String::from_utf8(bytes).expect("text"));
}

#[test]
fn parquet_reads_back() {
    let batch = awkward();
    let bytes = written(
        Format::Parquet,
        Target::File,
        &[batch.clone(), batch.clone()],
    );
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).expect("a file");
    let names: Vec<String> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names[8], "text_2");
    let read: Vec<RecordBatch> = reader
        .build()
        .expect("a reader")
        .map(|batch| batch.expect("a batch"))
        .collect();
    let rows: usize = read.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 6);
    assert_eq!(&read[0].column(3).slice(0, 3), batch.column(3));
}

#[test]
fn parquet_holds_intervals_as_text() {
    let interval =
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(14, 3, 4_005_000_000)]);
    let schema = Schema::new(vec![Field::new("i", interval.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(interval)]).expect("a batch");
    let bytes = written(Format::Parquet, Target::File, &[batch]);
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .expect("a file")
        .build()
        .expect("a reader");
    let read = reader.next().expect("one batch").expect("a batch");
    assert_eq!(text(Format::Csv, &[read]), "i\n1-2 3 00:00:04.005\n");
}

#[test]
fn arrow_reads_back() {
    let batch = awkward();
    let stream = written(Format::Arrow, Target::Stream, std::slice::from_ref(&batch));
    let read = arrow::ipc::reader::StreamReader::try_new(stream.as_slice(), None)
        .expect("a stream")
        .next()
        .expect("one batch")
        .expect("a batch");
    assert_eq!(read.columns(), batch.columns());
    let file = written(Format::Arrow, Target::File, std::slice::from_ref(&batch));
    let read = arrow::ipc::reader::FileReader::try_new(io::Cursor::new(file), None)
        .expect("a file")
        .next()
        .expect("one batch")
        .expect("a batch");
    assert_eq!(read.columns(), batch.columns());
}

#[test]
fn suffixes_choose_formats() {
    assert_eq!(format_of(Path::new("a/b.PARQUET")), Some(Format::Parquet));
    assert_eq!(format_of(Path::new("b.jsonl")), Some(Format::Ndjson));
    assert_eq!(format_of(Path::new("b.xls")), None);
    assert_eq!(format_of(Path::new("b")), None);
}
