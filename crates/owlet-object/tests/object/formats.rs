//! Every format, read from disk: values, types, compression, projection, counts, metrics.

use std::sync::Arc;

use crate::common::{Fixture, compress, rows, text};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampNanosecondArray,
};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::physical_plan::ExecutionPlan;
use owlet_connector::{Connector, RowCount};
use owlet_object::{CsvOptions, ObjectOptions, TableOptions};

fn sample_batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("Id", Arc::new(Int64Array::from_iter_values(0..1000))),
        (
            "Name",
            Arc::new(
                (0..1000)
                    .map(|n| (n % 7 != 0).then(|| format!("n{n}")))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "amount",
            Arc::new(Float64Array::from_iter_values(
                (0..1000).map(|n| f64::from(n) / 2.0),
            )),
        ),
        ("day", Arc::new(Date32Array::from_iter_values(0..1000))),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values((0..1000).map(i128::from))
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        (
            "at",
            Arc::new(TimestampNanosecondArray::from_iter_values(
                (0..1000).map(|n| n * 1_000_000_007),
            )),
        ),
        (
            "ok",
            Arc::new(
                (0..1000)
                    .map(|n| Some(n % 2 == 0))
                    .collect::<BooleanArray>(),
            ),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn ipc_file(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        datafusion::arrow::ipc::writer::FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    for start in (0..batch.num_rows()).step_by(300) {
        writer
            .write(&batch.slice(start, 300.min(batch.num_rows() - start)))
            .unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn ipc_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        datafusion::arrow::ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn avro(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = datafusion::arrow_avro::writer::AvroWriter::new(
        &mut bytes,
        batch.schema().as_ref().clone(),
    )
    .unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

const CHECK: &str = "SELECT count(*) AS n, count(name) AS names, sum(id) AS ids, sum(amount) AS amounts, min(day) AS \
                     first, max(price) AS price, max(at) AS at, sum(CASE WHEN ok THEN 1 ELSE 0 END) AS oks FROM t \
                     WHERE id >= 500";
const CHECKED: &str = "n|names|ids|amounts|first|price|at|oks\n\
                       500|429|374750|187375.0|1971-05-16|9.99|1970-01-01T00:16:39.000006993|250";

#[tokio::test]
async fn binary_formats_give_the_same_answers() {
    let fixture = Fixture::new();
    let batch = sample_batch();
    fixture.write_parquet("parquet_file.parquet", &batch);
    fixture.write("arrow_file.arrow", ipc_file(&batch));
    fixture.write("arrow_stream.arrow", ipc_stream(&batch));
    fixture.write("feather_file.feather", ipc_file(&batch));
    fixture.write("avro_file.avro", avro(&batch));
    fixture.write(
        "packed.avro.gz",
        compress(FileCompressionType::GZIP, &avro(&batch)).await,
    );
    let connector = fixture.connector();
    for table in [
        "parquet_file",
        "arrow_file",
        "arrow_stream",
        "feather_file",
        "avro_file",
        "packed",
    ] {
        assert_eq!(
            fixture.query(&connector, table, CHECK).await.unwrap(),
            CHECKED,
            "{table}"
        );
        let metadata = connector.table("default", table).await.unwrap().unwrap();
        let names: Vec<&str> = metadata
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(
            names,
            ["id", "name", "amount", "day", "price", "at", "ok"],
            "{table}"
        );
        assert_eq!(metadata.columns[0].source_name, "Id");
        let order = fixture
            .query(&connector, table, "SELECT ok, name, id FROM t WHERE id = 8")
            .await
            .unwrap();
        assert_eq!(order, "ok|name|id\ntrue|n8|8", "{table}");
        let all = fixture
            .query(&connector, table, "SELECT * FROM t WHERE id = 8")
            .await
            .unwrap();
        assert_eq!(
            all,
            "id|name|amount|day|price|at|ok\n8|n8|4.0|1970-01-09|0.08|1970-01-01T00:00:08.000000056|true",
            "{table}"
        );
    }
    let metadata = connector
        .table("default", "parquet_file")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(metadata.rows, RowCount::Exact(1000));
}

#[tokio::test]
async fn text_formats_give_the_same_answers_in_every_compression() {
    let fixture = Fixture::new();
    let csv = "Id,Name,amount,day,at\n".to_owned()
        + &(0..1000)
            .map(|n| {
                format!(
                    "{n},\"n,\n{n}\",{}.5,2024-01-{:02},2024-01-01T00:00:{:02}.25\n",
                    n,
                    n % 28 + 1,
                    n % 60
                )
            })
            .collect::<String>();
    let tsv = csv
        .replace("\"n,\n", "\"n;\n")
        .replace(',', "\t")
        .replace(';', ",");
    let json = (0..1000)
        .map(|n| {
            format!(
                "{{\"Id\":{n},\"Name\":\"n,\\n{n}\",\"amount\":{n}.5,\"day\":\"2024-01-{:02}\",\"at\":null}}\n",
                n % 28 + 1
            )
        })
        .collect::<String>();
    let array = format!("[\n{}]", json.trim_end().replace("}\n", "},\n"));
    let kinds = [
        ("", None),
        (".gz", Some(FileCompressionType::GZIP)),
        (".bz2", Some(FileCompressionType::BZIP2)),
        (".xz", Some(FileCompressionType::XZ)),
        (".zst", Some(FileCompressionType::ZSTD)),
    ];
    for (suffix, kind) in kinds {
        for (name, content) in [
            ("a.csv", &csv),
            ("b.tsv", &tsv),
            ("c.jsonl", &json),
            ("d.json", &array),
        ] {
            let bytes = match kind {
                None => content.as_bytes().to_vec(),
                // Two members, as parallel compressors write them.
                Some(kind) => {
                    let (one, two) = content.split_at(content.len() / 2);
                    let mut packed = compress(kind, one.as_bytes()).await;
                    packed.extend(compress(kind, two.as_bytes()).await);
                    packed
                }
            };
            let path = fixture.write(&format!("{name}{suffix}"), bytes);
            let sql = "SELECT count(*) AS n, sum(id) AS ids, sum(amount) AS amounts, max(length(name)) AS name, \
                       count(DISTINCT day) AS days FROM t";
            let answer = fixture.query_path(&text(&path), sql).await.unwrap();
            assert_eq!(
                answer, "n|ids|amounts|name|days\n1000|499500|500000.0|6|28",
                "{name}{suffix}"
            );
        }
    }
}

#[tokio::test]
async fn csv_types_are_inferred_and_declared() {
    let fixture = Fixture::new();
    fixture.write(
        "people.csv",
        "Id,zip,Height,Born,seen,active,note\n\
         1,01234,1.75,1980-02-29,2024-05-01 12:00:00,true,\n\
         2,99999,,,,FALSE,\"\"\n",
    );
    let connector = fixture.connector();
    let metadata = connector.table("default", "people").await.unwrap().unwrap();
    let types: Vec<String> = metadata
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.native_type))
        .collect();
    assert_eq!(
        types,
        [
            "id bigint",
            "zip varchar",
            "height double",
            "born date",
            "seen timestamp",
            "active boolean",
            "note varchar"
        ]
    );
    assert_eq!(metadata.rows, RowCount::Estimated(2));
    let sql = "SELECT id, zip, note IS NULL AS no_note, note = '' AS blank FROM t ORDER BY id";
    let answer = fixture.query(&connector, "people", sql).await.unwrap();
    assert_eq!(
        answer,
        "id|zip|no_note|blank\n1|01234|true|\n2|99999|false|true"
    );

    let mut csv = CsvOptions {
        all_text: Some(true),
        ..CsvOptions::default()
    };
    csv.types.insert("id".to_owned(), "decimal(5,1)".to_owned());
    let own = TableOptions {
        csv,
        ..TableOptions::default()
    };
    let options = ObjectOptions {
        tables: [("people".to_owned(), own)].into_iter().collect(),
        ..ObjectOptions::default()
    };
    let connector = fixture.connector_with(options);
    let metadata = connector.table("default", "people").await.unwrap().unwrap();
    assert_eq!(metadata.columns[0].native_type, "decimal(5,1)");
    assert_eq!(metadata.columns[2].native_type, "varchar");
    let answer = fixture
        .query(&connector, "people", "SELECT id, active FROM t ORDER BY id")
        .await
        .unwrap();
    assert_eq!(answer, "id|active\n1.0|true\n2.0|FALSE");
}

#[tokio::test]
async fn csv_dialects() {
    let fixture = Fixture::new();
    fixture.write("plain.csv", "1;'a;b';NA\n2;'it''s';x\n");
    let csv = CsvOptions {
        header: Some(false),
        delimiter: Some(';'),
        quote: Some('\''),
        null: Some("NA".to_owned()),
        ..CsvOptions::default()
    };
    let connector = fixture.connector_with(ObjectOptions {
        csv,
        ..ObjectOptions::default()
    });
    let answer = fixture
        .query(&connector, "plain", "SELECT * FROM t")
        .await
        .unwrap();
    assert_eq!(answer, "column_1|column_2|column_3\n1|a;b|\n2|it's|x");
}

#[tokio::test]
async fn large_text_files_are_read_in_parts() {
    let fixture = Fixture::new();
    let count: usize = 200_000;
    let csv = "id,word\n".to_owned()
        + &(0..count)
            .map(|n| format!("{n},word {n}\n"))
            .collect::<String>();
    let json = (0..count)
        .map(|n| format!("{{\"id\":{n},\"word\":\"word {n}\"}}\n"))
        .collect::<String>();
    fixture.write("a.csv", csv);
    fixture.write("b.ndjson", json);
    let csv = CsvOptions {
        newlines_in_values: Some(false),
        ..CsvOptions::default()
    };
    let connector = fixture.connector_with(ObjectOptions {
        csv,
        ..ObjectOptions::default()
    });
    let state = fixture.session.state_ref();
    state
        .write()
        .config_mut()
        .options_mut()
        .optimizer
        .repartition_file_min_size = 1;
    for table in ["a", "b"] {
        let provider = connector
            .table_provider(&fixture.session.state(), table)
            .await
            .unwrap()
            .unwrap();
        let sql = "SELECT count(*) AS n, sum(id) AS ids, count(DISTINCT word) AS words FROM t WHERE id >= 0";
        let (plan, batches) = fixture.execute(provider, sql).await.unwrap();
        assert_eq!(
            rows(&batches),
            "n|ids|words\n200000|19999900000|200000",
            "{table}"
        );
        let shown = datafusion::physical_plan::displayable(plan.as_ref())
            .indent(true)
            .to_string();
        assert!(shown.contains("file_groups={3 groups"), "{shown}");
    }
}

#[tokio::test]
async fn json_nested_values() {
    let fixture = Fixture::new();
    fixture.write(
        "events.json",
        r#"{"id":1,"user":{"name":"ann","tags":["a","b"]},"mixed":1,"big":18446744073709551615}
{"id":2,"user":{"name":"bob","age":7},"mixed":"x","extra":[{"k":1.5}],"big":1}
{"id":null}
"#,
    );
    let connector = fixture.connector();
    let sql = "SELECT id, \"user\"['name'] AS name, \"user\"['age'] AS age, \"user\"['tags'][2] AS tag, mixed, \
               extra[1]['k'] AS k, big FROM t ORDER BY id NULLS LAST";
    let answer = fixture.query(&connector, "events", sql).await.unwrap();
    assert_eq!(
        answer,
        "id|name|age|tag|mixed|k|big\n1|ann||b|1||18446744073709551615\n2|bob|7||x|1.5|1\n||||||"
    );
}

#[tokio::test]
async fn parquet_filters_reach_the_row_groups_of_renamed_columns() {
    let fixture = Fixture::new();
    fixture.write_parquet("x.parquet", &sample_batch());
    let connector = fixture.connector();
    let provider = connector
        .table_provider(&fixture.session.state(), "x")
        .await
        .unwrap()
        .unwrap();
    let sql = "SELECT name AS who, id FROM t WHERE id BETWEEN 250 AND 251";
    let (plan, batches) = fixture.execute(provider, sql).await.unwrap();
    assert_eq!(rows(&batches), "who|id\nn250|250\nn251|251");
    let shown = datafusion::physical_plan::displayable(plan.as_ref())
        .indent(true)
        .to_string();
    assert!(shown.contains("pruning_predicate="), "{shown}");
    let pruned = metric(&plan, "row_groups_pruned_statistics");
    assert!(
        pruned.contains("10 total → 1 matched") || pruned.contains("9"),
        "{pruned}"
    );
}

/// The named metric of the first scan that has it.
fn metric(plan: &Arc<dyn ExecutionPlan>, name: &str) -> String {
    if let Some(metrics) = plan.metrics()
        && let Some(found) = metrics.sum_by_name(name)
    {
        return found.to_string();
    }
    plan.children()
        .into_iter()
        .map(|child| metric(child, name))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

#[tokio::test]
async fn every_format_counts_its_work() {
    let fixture = Fixture::new();
    let batch = sample_batch();
    fixture.write_parquet("p.parquet", &batch);
    fixture.write("a.arrow", ipc_file(&batch));
    fixture.write("v.avro", avro(&batch));
    fixture.write("c.csv", "id\n".to_owned() + &"1\n".repeat(1000));
    fixture.write("j.json", "{\"id\":1}\n".repeat(1000));
    fixture.write(
        "z.csv.gz",
        compress(FileCompressionType::GZIP, "id\n1\n".repeat(500).as_bytes()).await,
    );
    let connector = fixture.connector();
    for (table, wanted_rows) in [
        ("p", 1000),
        ("a", 1000),
        ("v", 1000),
        ("c", 1000),
        ("j", 1000),
    ] {
        let provider = connector
            .table_provider(&fixture.session.state(), table)
            .await
            .unwrap()
            .unwrap();
        let (plan, _) = fixture
            .execute(provider, "SELECT sum(id) FROM t")
            .await
            .unwrap();
        let scan = leaf(&plan);
        let metrics = scan.metrics().unwrap();
        assert_eq!(metrics.output_rows(), Some(wanted_rows), "{table}");
        let bytes = metrics.sum_by_name("bytes_scanned").unwrap().as_usize();
        assert!(bytes > 100, "{table} scanned {bytes} bytes");
        assert_eq!(
            metrics
                .sum_by_name("files_opened")
                .map(|opened| opened.as_usize()),
            Some(1),
            "{table}"
        );
    }
    let provider = connector
        .table_provider(&fixture.session.state(), "z")
        .await
        .unwrap();
    assert!(
        fixture
            .execute(provider.unwrap(), "SELECT count(*) FROM t")
            .await
            .is_ok()
    );
}

fn leaf(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.children().first() {
        Some(child) => leaf(child),
        None => Arc::clone(plan),
    }
}
