//! Types of files that SQL writes differently (UUIDs, dictionaries, dates in milliseconds) or has not at all (values of
//! several types in one column), and checksums.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date64Array, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Date64Type, Field, Int8Type, Int32Type};
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::parser::parse_message_type;
use owlet_connector::Connector;

use crate::common::Fixture;

const DAY: i64 = 86_400_000;

async fn failure(fixture: &Fixture, table: &str, sql: &str) -> String {
    match fixture.query(&fixture.connector(), table, sql).await {
        Ok(answer) => panic!("{table}: {sql} is answered: {answer}"),
        Err(failure) => failure.message(),
    }
}

fn arrow_file(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// An Avro number: zigzag, seven bits a byte.
fn number(value: usize) -> Vec<u8> {
    let mut rest = value * 2;
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
        rest /= 0x80;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn text(value: &str) -> Vec<u8> {
    [number(value.len()), value.as_bytes().to_vec()].concat()
}

/// An Avro file of records with these fields (JSON) and these encoded rows.
fn avro_file(fields: &str, rows: &[Vec<u8>]) -> Vec<u8> {
    let mark = vec![7_u8; 16];
    let schema = format!("{{\"type\":\"record\",\"name\":\"row\",\"fields\":[{fields}]}}");
    let data = rows.concat();
    [
        b"Obj\x01".to_vec(),
        number(1),
        text("avro.schema"),
        text(&schema),
        number(0),
        mark.clone(),
        number(rows.len()),
        number(data.len()),
        data,
        mark,
    ]
    .concat()
}

const KEYS: [&str; 3] = [
    "00112233-4455-6677-8899-aabbccddeeff",
    "7f000000-0000-4000-8000-000000000001",
    "ff000000-0000-4000-8000-000000000002",
];

fn uuid_bytes(text: &str) -> Vec<u8> {
    let digits = text.replace('-', "");
    (0..digits.len())
        .step_by(2)
        .map(|position| u8::from_str_radix(&digits[position..position + 2], 16).unwrap())
        .collect()
}

/// A row group for each key, so that statistics could leave some out.
fn parquet_with_uuids() -> Vec<u8> {
    let message = "message m { optional fixed_len_byte_array(16) key (UUID); \
                   required fixed_len_byte_array(16) bytes; }";
    let schema = Arc::new(parse_message_type(message).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for key in KEYS.into_iter().map(Some).chain([None]) {
        let value = FixedLenByteArray::from(uuid_bytes(key.unwrap_or(KEYS[0])));
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let present = usize::from(key.is_some());
        column
            .typed::<FixedLenByteArrayType>()
            .write_batch(
                &[value.clone()][..present],
                Some(&[i16::from(key.is_some())]),
                None,
            )
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<FixedLenByteArrayType>()
            .write_batch(&[value], None, None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    file.close().unwrap();
    bytes
}

#[tokio::test]
async fn uuids_are_text() {
    let fixture = Fixture::new();
    fixture.write("parquet_file.parquet", parquet_with_uuids());
    let fields = r#"{"name":"key","type":["null",{"type":"string","logicalType":"uuid"}]},
                    {"name":"bytes","type":{"type":"fixed","size":16,"name":"plain"}}"#;
    let present = KEYS.map(|key| [number(1), text(key), uuid_bytes(key)].concat());
    let absent = [number(0), uuid_bytes(KEYS[0])].concat();
    let rows = [present.to_vec(), vec![absent]].concat();
    fixture.write("avro_file.avro", avro_file(fields, &rows));
    let connector = fixture.connector();
    for table in ["parquet_file", "avro_file"] {
        let all = format!("key\n{}\n{}\n{}\n", KEYS[0], KEYS[1], KEYS[2]);
        let only = |key: usize| format!("key\n{}", KEYS[key]);
        for (sql, answer) in [
            ("SELECT key FROM t ORDER BY key", all),
            (
                "SELECT arrow_typeof(key) AS key, arrow_typeof(bytes) AS bytes FROM t LIMIT 1",
                "key|bytes\nUtf8|FixedSizeBinary(16)".to_owned(),
            ),
            (
                "SELECT key FROM t WHERE key = '7f000000-0000-4000-8000-000000000001'",
                only(1),
            ),
            ("SELECT key FROM t WHERE key > '8'", only(2)),
            ("SELECT key FROM t WHERE key < '1'", only(0)),
            ("SELECT key FROM t WHERE key LIKE '%0001'", only(1)),
            (
                "SELECT key FROM t WHERE key IN ('00112233-4455-6677-8899-aabbccddeeff', 'x')",
                only(0),
            ),
            (
                "SELECT count(*) AS n FROM t WHERE key IS NULL",
                "n\n1".to_owned(),
            ),
            ("SELECT max(key) AS key FROM t", only(2)),
            ("SELECT key FROM t ORDER BY key LIMIT 1", only(0)),
            (
                "SELECT key FROM t ORDER BY key DESC NULLS LAST LIMIT 1",
                only(2),
            ),
            (
                "SELECT upper(key) AS key FROM t WHERE key < '1'",
                format!("key\n{}", KEYS[0].to_uppercase()),
            ),
            (
                "SELECT count(*) AS n FROM t JOIN (VALUES ('ff000000-0000-4000-8000-000000000002')) v (k) ON key = k",
                "n\n1".to_owned(),
            ),
        ] {
            let found = fixture.query(&connector, table, sql).await.unwrap();
            assert_eq!(found, answer, "{table}: {sql}");
        }
    }
}

#[tokio::test]
async fn a_dictionary_is_what_its_values_are() {
    let fixture = Fixture::new();
    let plain: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let short: ArrayRef = Arc::new(
        vec![Some("y"), None]
            .into_iter()
            .collect::<DictionaryArray<Int8Type>>(),
    );
    let long: ArrayRef = Arc::new(
        vec!["z", "y"]
            .into_iter()
            .collect::<DictionaryArray<Int32Type>>(),
    );
    for (number, column) in [plain, short, long].into_iter().enumerate() {
        let batch = RecordBatch::try_from_iter_with_nullable([("word", column, true)]).unwrap();
        fixture.write_parquet(&format!("p/{number}.parquet"), &batch);
        fixture.write(&format!("a/{number}.arrow"), arrow_file(&batch));
    }
    let connector = fixture.connector();
    for table in ["p", "a"] {
        for (sql, answer) in [
            (
                "SELECT word, count(*) AS n FROM t GROUP BY word ORDER BY word",
                "word|n\nx|1\ny|3\nz|1\n|1",
            ),
            ("SELECT count(*) AS n FROM t WHERE word = 'y'", "n\n3"),
            (
                "SELECT min(word) AS low, max(word) AS high FROM t",
                "low|high\nx|z",
            ),
        ] {
            let found = fixture.query(&connector, table, sql).await.unwrap();
            assert_eq!(found, answer, "{table}: {sql}");
        }
    }
}

#[tokio::test]
async fn dates_in_milliseconds_are_dates_when_they_are_whole_days() {
    let batch = |days: Vec<Option<i64>>| {
        let dates = Date64Array::from(days);
        let list =
            ListArray::from_iter_primitive::<Date64Type, _, _>([Some(vec![Some(DAY), None])]);
        let field = Arc::new(Field::new("day", DataType::Date64, true));
        let nested = StructArray::from(vec![(field, Arc::new(dates.clone()) as ArrayRef)]);
        RecordBatch::try_from_iter([
            ("day", Arc::new(dates) as ArrayRef),
            ("list", Arc::new(list)),
            ("nested", Arc::new(nested)),
        ])
        .unwrap()
    };
    let fixture = Fixture::new();
    let whole = batch(vec![Some(19_782 * DAY)]);
    fixture.write("arrow_file.arrow", arrow_file(&whole));
    fixture.write_parquet("parquet_file.parquet", &whole);
    let torn = batch(vec![Some(19_782 * DAY + 1)]);
    fixture.write("torn_arrow.arrow", arrow_file(&torn));
    fixture.write_parquet("torn_parquet.parquet", &torn);
    let connector = fixture.connector();
    for table in ["arrow_file", "parquet_file"] {
        for (sql, answer) in [
            (
                "SELECT CAST(day AS varchar) AS day, arrow_typeof(day) AS type FROM t",
                "day|type\n2024-02-29|Date32",
            ),
            (
                "SELECT day FROM t WHERE day = DATE '2024-02-29'",
                "day\n2024-02-29",
            ),
            ("SELECT day FROM t WHERE day < DATE '2024-02-29'", ""),
            ("SELECT max(day) AS day FROM t", "day\n2024-02-29"),
            (
                "SELECT list, nested['day'] AS nested FROM t",
                "list|nested\n[1970-01-02, ]|2024-02-29",
            ),
        ] {
            let found = fixture.query(&connector, table, sql).await.unwrap();
            assert_eq!(found, answer, "{table}: {sql}");
        }
    }
    for table in ["torn_arrow", "torn_parquet"] {
        let message = failure(&fixture, table, "SELECT day FROM t").await;
        assert!(
            message.contains(&format!("{table}."))
                && message.contains("column day holds the date of 1709164800001 milliseconds"),
            "{message}"
        );
        let message = failure(&fixture, table, "SELECT nested FROM t").await;
        assert!(message.contains("column nested.day holds"), "{message}");
    }
}

#[tokio::test]
async fn an_avro_column_of_several_types_is_an_error_of_the_queries_that_read_it() {
    let fields = r#"{"name":"id","type":"long"},
                    {"name":"value","type":["null","long","string"]},
                    {"name":"nested","type":{"type":"array","items":["long","string"]}},
                    {"name":"word","type":["null","string"]}"#;
    let none = number(0);
    let rows = [
        [
            number(1),
            number(1),
            number(5),
            none.clone(),
            number(1),
            text("x"),
        ]
        .concat(),
        [
            number(2),
            number(2),
            text("five"),
            none.clone(),
            none.clone(),
        ]
        .concat(),
        [number(3), none.clone(), none.clone(), none].concat(),
    ];
    let fixture = Fixture::new();
    fixture.write("odd.avro", avro_file(fields, &rows));
    let connector = fixture.connector();
    for (sql, answer) in [
        ("SELECT id, word FROM t ORDER BY id", "id|word\n1|x\n2|\n3|"),
        ("SELECT count(*) AS n FROM t", "n\n3"),
    ] {
        assert_eq!(fixture.query(&connector, "odd", sql).await.unwrap(), answer);
    }
    for (sql, column, branches) in [
        ("SELECT * FROM t", "value", "union(null, long, string)"),
        (
            "SELECT CAST(value AS varchar) FROM t",
            "value",
            "union(null, long, string)",
        ),
        (
            "SELECT max(value) FROM t",
            "value",
            "union(null, long, string)",
        ),
        (
            "SELECT id FROM t WHERE value IS NULL",
            "value",
            "union(null, long, string)",
        ),
        ("SELECT nested FROM t", "nested", "union(long, string)"),
    ] {
        let message = failure(&fixture, "odd", sql).await;
        assert!(
            message.starts_with(&format!(
                "column odd.{column} of type {branches} cannot be read"
            )) && message.contains("odd.avro have several types"),
            "{sql}: {message}"
        );
    }
    let metadata = connector.table("default", "odd").await.unwrap().unwrap();
    let readable: Vec<bool> = metadata
        .columns
        .iter()
        .map(|column| column.unreadable.is_none())
        .collect();
    assert_eq!(readable, [true, false, false, true]);
}

#[tokio::test]
async fn a_union_of_one_type_is_that_type() {
    let fields = r#"{"name":"one","type":["string"]},
                    {"name":"many","type":{"type":"array","items":["long"]}}"#;
    let row = |word, id| {
        [
            number(0),
            text(word),
            number(1),
            number(0),
            number(id),
            number(0),
        ]
        .concat()
    };
    let fixture = Fixture::new();
    fixture.write("one.avro", avro_file(fields, &[row("x", 1), row("y", 2)]));
    let connector = fixture.connector();
    for (sql, answer) in [
        ("SELECT one, many FROM t", "one|many\nx|[1]\ny|[2]"),
        ("SELECT many[1] AS m FROM t WHERE one = 'y'", "m\n2"),
        ("SELECT arrow_typeof(one) AS x FROM t LIMIT 1", "x\nUtf8"),
    ] {
        assert_eq!(fixture.query(&connector, "one", sql).await.unwrap(), answer);
    }
}

#[tokio::test]
async fn an_avro_record_that_contains_itself_is_named() {
    let fields = r#"{"name":"id","type":"long"},
                    {"name":"child","type":["null",{"type":"record","name":"node","fields":[
                        {"name":"next","type":["null","node"]}]}]}"#;
    let fixture = Fixture::new();
    let row = [number(1), number(0)].concat();
    fixture.write("tree.avro", avro_file(fields, &[row]));
    let message = failure(&fixture, "tree", "SELECT id FROM t").await;
    assert!(
        message.contains("tree.avro cannot be read: its schema uses the type node before")
            && message.contains("write the file without that field"),
        "{message}"
    );
}

#[tokio::test]
async fn decimals_hold_the_integers_of_other_files() {
    let fixture = Fixture::new();
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let signed: ArrayRef = Arc::new(Int64Array::from(vec![-1]));
    for (number, column) in [unsigned, signed].into_iter().enumerate() {
        let batch = RecordBatch::try_from_iter([("id", column)]).unwrap();
        fixture.write_parquet(&format!("p/{number}.parquet"), &batch);
    }
    let words: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let batch = RecordBatch::try_from_iter([("id", words)]).unwrap();
    fixture.write_parquet("q/1.parquet", &batch);
    std::fs::copy(fixture.path("p/1.parquet"), fixture.path("q/2.parquet")).unwrap();
    let connector = fixture.connector();
    for (sql, answer) in [
        (
            "SELECT id FROM t ORDER BY id",
            "id\n-1\n18446744073709551615",
        ),
        ("SELECT id FROM t WHERE id < 0", "id\n-1"),
        ("SELECT max(id) AS id FROM t", "id\n18446744073709551615"),
    ] {
        assert_eq!(fixture.query(&connector, "p", sql).await.unwrap(), answer);
    }
    let message = failure(&fixture, "q", "SELECT id FROM t").await;
    assert!(
        message.contains("column id is varchar in ") && message.contains(" but bigint in "),
        "{message}"
    );
}

#[tokio::test]
async fn a_json_field_of_several_shapes_is_an_error_of_the_queries_that_read_it() {
    let fixture = Fixture::new();
    fixture.write("f/1.json", "{\"id\":1,\"a\":{\"b\":1},\"c\":{\"d\":[1]}}\n");
    fixture.write("f/2.json", "{\"id\":2,\"a\":\"text\",\"c\":{\"d\":2}}\n");
    let connector = fixture.connector();
    let sql = "SELECT id FROM t ORDER BY id";
    assert_eq!(
        fixture.query(&connector, "f", sql).await.unwrap(),
        "id\n1\n2"
    );
    for (column, what) in [
        (
            "a",
            "a holds an object in one row and a plain value in another",
        ),
        (
            "c",
            "c.d holds an array in one row and a plain value in another",
        ),
    ] {
        let message = failure(&fixture, "f", &format!("SELECT {column} FROM t")).await;
        assert!(
            message.starts_with(&format!("column f.{column} of type json cannot be read"))
                && message.contains("f/2.json, ")
                && message.contains(what),
            "{message}"
        );
    }
}

/// The numbers 0 to 49 in one column `id`, written by pyarrow with `write_page_checksum=True, compression="none",
/// use_dictionary=False`.
const WITH_CHECKSUMS: &[u8] = include_bytes!("checksums.parquet");

#[tokio::test]
async fn a_damaged_parquet_page_is_an_error_that_names_the_file() {
    let fixture = Fixture::new();
    fixture.write("whole.parquet", WITH_CHECKSUMS);
    let mut damaged = WITH_CHECKSUMS.to_vec();
    damaged[200] ^= 1;
    fixture.write("damaged.parquet", damaged);
    let sql = "SELECT sum(id) AS s FROM t";
    let connector = fixture.connector();
    assert_eq!(
        fixture.query(&connector, "whole", sql).await.unwrap(),
        "s\n1225"
    );
    let message = failure(&fixture, "damaged", sql).await;
    assert!(
        message.contains("damaged.parquet cannot be read") && message.contains("checksum"),
        "{message}"
    );
}

#[tokio::test]
async fn what_cannot_be_decoded_names_the_file() {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let fixture = Fixture::new();
    let whole = std::fs::read(fixture.write_parquet("p/1.parquet", &batch)).unwrap();
    // The footer stays whole; pages behind the magic word do not.
    let mut damaged = whole.clone();
    damaged[4..64].fill(0xFF);
    fixture.write("p/2.parquet", damaged);
    for sql in [
        "SELECT sum(id) FROM t",
        "SELECT id FROM t ORDER BY id LIMIT 3",
    ] {
        let message = failure(&fixture, "p", sql).await;
        assert!(message.contains("2.parquet cannot be read"), "{message}");
    }
    // An expression's error is not the file's.
    fixture.write("good.parquet", whole);
    let message = failure(&fixture, "good", "SELECT id / (id - id) FROM t").await;
    assert!(!message.contains("good.parquet"), "{message}");
}
