//! No value is changed or dropped without a word: cut files, rounded numbers, years outside of nanoseconds.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, ListArray, RecordBatch, StructArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, UInt64Type};
use datafusion::arrow::ipc::writer::{FileWriter, StreamWriter};
use datafusion::arrow_avro::writer::AvroWriter;
use datafusion::parquet::data_type::{Int96, Int96Type};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::parser::parse_message_type;
use owlet_object::{CsvOptions, ObjectOptions};

use crate::common::Fixture;

fn batch() -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    RecordBatch::try_from_iter([("id", column)]).unwrap()
}

/// The message a query over `table` fails with.
async fn failure(fixture: &Fixture, table: &str, sql: &str) -> String {
    match fixture.query(&fixture.connector(), table, sql).await {
        Ok(answer) => panic!("{table}: {sql} is answered: {answer}"),
        Err(failure) => failure.message(),
    }
}

#[tokio::test]
async fn int96_keeps_years_outside_of_nanoseconds() {
    const UNIX_EPOCH_JULIAN_DAY: i64 = 2_440_588;
    let moment = |day: i64, nanos: u64| {
        let mut value = Int96::new();
        value.set_data(
            (nanos & 0xFFFF_FFFF) as u32,
            (nanos >> 32) as u32,
            u32::try_from(day + UNIX_EPOCH_JULIAN_DAY).unwrap(),
        );
        value
    };
    let last_moment = 86_399_123_456_000;
    let values = [
        moment(-719_162, 0),
        moment(2_932_896, last_moment),
        moment(0, 1_000),
    ];
    let schema = Arc::new(parse_message_type("message m { REQUIRED INT96 at; }").unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Int96Type>()
        .write_batch(&values, None, None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();

    let fixture = Fixture::new();
    fixture.write("moments.parquet", bytes);
    let connector = fixture.connector();
    // DataFusion's own literals are in nanoseconds.
    let at = |moment: &str| format!("arrow_cast('{moment}', 'Timestamp(Microsecond, None)')");
    for (condition, answer) in [
        (
            "true".to_owned(),
            "0001-01-01T00:00:00\n1970-01-01T00:00:00.000001\n9999-12-31T23:59:59.123456",
        ),
        (
            format!("at > {}", at("9999-01-01T00:00:00")),
            "9999-12-31T23:59:59.123456",
        ),
        (
            format!("at < {}", at("1000-01-01T00:00:00")),
            "0001-01-01T00:00:00",
        ),
        (
            format!("at = {}", at("0001-01-01T00:00:00")),
            "0001-01-01T00:00:00",
        ),
        (
            "at BETWEEN TIMESTAMP '1900-01-01 00:00:00' AND TIMESTAMP '2100-01-01 00:00:00'"
                .to_owned(),
            "1970-01-01T00:00:00.000001",
        ),
    ] {
        let sql = format!("SELECT at FROM t WHERE {condition} ORDER BY at");
        let found = fixture.query(&connector, "moments", &sql).await.unwrap();
        assert_eq!(found, format!("at\n{answer}"), "{condition}");
    }
    let sql = "SELECT min(at) AS first, max(at) AS last FROM t";
    assert_eq!(
        fixture.query(&connector, "moments", sql).await.unwrap(),
        "first|last\n0001-01-01T00:00:00|9999-12-31T23:59:59.123456"
    );
}

#[tokio::test]
async fn a_cut_avro_file_and_one_with_a_wrong_mark_are_errors() {
    let mut whole = Vec::new();
    let mut writer = AvroWriter::new(&mut whole, batch().schema().as_ref().clone()).unwrap();
    writer.write(&batch()).unwrap();
    writer.write(&batch()).unwrap();
    writer.finish().unwrap();
    drop(writer);
    let fixture = Fixture::new();
    fixture.write("whole.avro", &whole);
    for (name, less) in [("tail", 1), ("mark", 16), ("data", 100), ("block", 1500)] {
        fixture.write(&format!("{name}.avro"), &whole[..whole.len() - less]);
    }
    let mut wrong = whole.clone();
    *wrong.last_mut().unwrap() ^= 1;
    fixture.write("wrong.avro", &wrong);
    for sql in ["SELECT sum(id) AS x FROM t", "SELECT count(*) AS x FROM t"] {
        let connector = fixture.connector();
        assert!(fixture.query(&connector, "whole", sql).await.is_ok());
        for name in ["tail", "mark", "data", "block"] {
            let message = failure(&fixture, name, sql).await;
            assert!(
                message.contains(&format!("{name}.avro cannot be read"))
                    && message.contains("cut off"),
                "{message}"
            );
        }
        let message = failure(&fixture, "wrong", sql).await;
        assert!(
            message.contains("wrong.avro cannot be read") && message.contains("the mark after"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_arrow_file_without_its_footer_is_an_error() {
    let mut file = Vec::new();
    let mut writer = FileWriter::try_new(&mut file, &batch().schema()).unwrap();
    writer.write(&batch()).unwrap();
    writer.flush().unwrap();
    let one_batch = writer.get_ref().len();
    writer.write(&batch()).unwrap();
    writer.finish().unwrap();
    drop(writer);
    let mut stream = Vec::new();
    let mut writer = StreamWriter::try_new(&mut stream, &batch().schema()).unwrap();
    writer.write(&batch()).unwrap();
    writer.finish().unwrap();
    drop(writer);
    let fixture = Fixture::new();
    fixture.write("file.arrow", &file);
    fixture.write("stream.arrow", &stream);
    // Cut right between two messages, within the footer, and within the word at the end.
    for (name, length) in [
        ("between", one_batch),
        ("footer", file.len() - 20),
        ("end", file.len() - 1),
    ] {
        fixture.write(&format!("{name}.arrow"), &file[..length]);
    }
    for sql in ["SELECT sum(id) AS x FROM t", "SELECT count(*) AS x FROM t"] {
        let connector = fixture.connector();
        assert!(fixture.query(&connector, "file", sql).await.is_ok());
        assert!(fixture.query(&connector, "stream", sql).await.is_ok());
        for name in ["between", "footer", "end"] {
            let message = failure(&fixture, name, sql).await;
            assert!(
                message.contains(&format!("{name}.arrow cannot be read"))
                    && message.contains("the footer at its end is missing"),
                "{message}"
            );
        }
    }
}

/// 20,000 rows (the default sample) with `usual`, then one with `late`.
fn csv_with_late_value(usual: &str, late: &str) -> String {
    let mut csv = "id,v\n".to_owned();
    for n in 0..20_000 {
        csv += &format!("{n},{usual}\n");
    }
    csv + &format!("20000,{late}\n")
}

const LATE_CSV_VALUES: &[(&str, &str)] = &[
    ("0.5", "9007199254740993"),
    ("0.5", "0.1234567890123456789012"),
    ("0.5", "1e400"),
    ("0.5", "1e-400"),
    ("0.5", "\"\""),
    ("1", "007"),
    ("1", "\" \""),
    ("1", "\"\""),
    ("true", "1"),
];

#[tokio::test]
async fn a_late_csv_value_is_not_changed_by_an_inferred_type() {
    let fixture = Fixture::new();
    for (number, (usual, late)) in LATE_CSV_VALUES.iter().enumerate() {
        let table = format!("late{number}");
        let csv = csv_with_late_value(usual, late);
        fixture.write(&format!("{table}.csv"), csv);
        let message = failure(&fixture, &table, "SELECT count(v) AS n FROM t").await;
        let place = format!("{table}.csv line 20002, column v: ");
        assert!(message.contains(&place), "{late}: {message}");
        assert!(message.contains("v = \"varchar\""), "{late}: {message}");
        let shown = late.trim_matches('"').trim();
        assert!(message.contains(shown), "{late}: {message}");
    }
    // What a double gives back is no loss.
    let csv = csv_with_late_value("0.5", "0.30000000000000004");
    fixture.write("kept.csv", csv);
    let connector = fixture.connector();
    let sql = "SELECT v FROM t WHERE id = 20000";
    let answer = fixture.query(&connector, "kept", sql).await.unwrap();
    assert_eq!(answer, "v\n0.30000000000000004");
    // The same values within the sample make the column text, which keeps them.
    for (usual, kept) in LATE_CSV_VALUES {
        fixture.write("early.csv", format!("id,v\n1,{usual}\n2,{kept}\n"));
        let connector = fixture.connector();
        let sql = "SELECT '[' || v || ']' AS v FROM t WHERE id = 2";
        let answer = fixture.query(&connector, "early", sql).await.unwrap();
        assert_eq!(answer, format!("v\n[{}]", kept.trim_matches('"')));
    }
}

#[tokio::test]
async fn a_declared_csv_type_reads_what_it_can() {
    let fixture = Fixture::new();
    fixture.write("declared.csv", "id,v,b\n1,007,1\n2,\"\",true\n3,\" \",\n");
    let types = [("v", "bigint"), ("b", "boolean")];
    let csv = CsvOptions {
        types: types
            .into_iter()
            .map(|(column, name)| (column.to_owned(), name.to_owned()))
            .collect(),
        ..CsvOptions::default()
    };
    let connector = fixture.connector_with(ObjectOptions {
        csv,
        ..ObjectOptions::default()
    });
    let sql = "SELECT v, b FROM t ORDER BY id";
    assert_eq!(
        fixture.query(&connector, "declared", sql).await.unwrap(),
        "v|b\n7|true\n|true\n|"
    );
}

#[tokio::test]
async fn json_numbers_that_a_double_cannot_keep_are_text_or_an_error() {
    const LOST: [&str; 4] = [
        "9007199254740993",
        "0.1234567890123456789",
        "12345678901234567890123456789012345678901",
        "1e-400",
    ];
    let fixture = Fixture::new();
    for (number, lost) in LOST.into_iter().enumerate() {
        fixture.write(
            "early.json",
            format!("{{\"id\":1,\"d\":{lost}}}\n{{\"id\":2,\"d\":0.5}}\n"),
        );
        let connector = fixture.connector();
        let sql = "SELECT d FROM t ORDER BY id";
        assert_eq!(
            fixture.query(&connector, "early", sql).await.unwrap(),
            format!("d\n{lost}\n0.5")
        );
        let table = format!("late{number}");
        let rows = "{\"d\":0.5}\n".repeat(20_000);
        fixture.write(
            &format!("{table}.json"),
            format!("{rows}{{\"d\":{lost}}}\n"),
        );
        let message = failure(&fixture, &table, "SELECT count(d) AS n FROM t").await;
        assert!(
            message.contains(&format!("{table}.json line 20001: field d: {lost}")),
            "{message}"
        );
    }
    // Nested ones too; and what a double keeps stays a double.
    fixture.write(
        "nested.json",
        "{\"l\":[0.5,0.1234567890123456789],\"s\":{\"x\":1.5},\"d\":0.1}\n{\"d\":1e300}\n",
    );
    let sql = "SELECT l[2] AS l, s['x'] + 1 AS x, d FROM t";
    let connector = fixture.connector();
    assert_eq!(
        fixture.query(&connector, "nested", sql).await.unwrap(),
        "l|x|d\n0.1234567890123456789|2.5|0.1\n||1e300"
    );
}

#[tokio::test]
async fn unsigned_columns_are_read_as_types_that_sql_has() {
    let long: ArrayRef = Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(1), None]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b", Arc::new(UInt8Array::from(vec![255, 0, 1]))),
        ("s", Arc::new(UInt16Array::from(vec![65535, 0, 1]))),
        ("i", Arc::new(UInt32Array::from(vec![u32::MAX, 0, 1]))),
        ("l", Arc::clone(&long)),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<UInt64Type, _, _>([
                Some(vec![Some(u64::MAX), None]),
                None,
                Some(vec![]),
            ])),
        ),
        (
            "rec",
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("x", DataType::UInt64, true)),
                long,
            )])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let fixture = Fixture::new();
    fixture.write_parquet("parquet_file.parquet", &batch);
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    fixture.write("arrow_file.arrow", bytes);
    let connector = fixture.connector();
    for table in ["parquet_file", "arrow_file"] {
        for (sql, answer) in [
            (
                "SELECT arrow_typeof(b) AS b, arrow_typeof(s) AS s, arrow_typeof(i) AS i, arrow_typeof(l) AS l FROM t \
                 LIMIT 1",
                "b|s|i|l\nInt16|Int32|Int64|Decimal128(20, 0)",
            ),
            (
                "SELECT sum(l) AS l, min(l) AS low, max(i) AS high, count(l) AS n FROM t",
                "l|low|high|n\n18446744073709551616|1|4294967295|2",
            ),
            ("SELECT min(b - s) AS x FROM t", "x\n-65280"),
            ("SELECT i - l AS x FROM t WHERE i = 0", "x\n-1"),
            ("SELECT b FROM t WHERE l > 18446744073709551614", "b\n255"),
            ("SELECT b FROM t WHERE l < 5 AND i < 5", "b\n0"),
            ("SELECT b FROM t WHERE i > -1 AND l = 1", "b\n0"),
            ("SELECT count(*) AS n FROM t WHERE l IS NULL", "n\n1"),
            (
                "SELECT list[1] - 1 AS l, rec['x'] - 1 AS x FROM t WHERE b = 255",
                "l|x\n18446744073709551614|18446744073709551614",
            ),
        ] {
            assert_eq!(
                fixture.query(&connector, table, sql).await.unwrap(),
                answer,
                "{table}: {sql}"
            );
        }
    }
}
