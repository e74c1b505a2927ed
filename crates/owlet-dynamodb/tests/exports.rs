//! Exported tables against the tables they were exported from, and exports that cannot be trusted.

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt as _;
use owlet_connector::{
    Budget, Connector, ConnectorError, QueryWork, ScanContext, ScanDescription, ScanPlan,
    ScanRequest, SourceWork, TableMetadata,
};
use owlet_dynamodb::{DynamoDbExportConnector, DynamoDbOptions};
use serde_json::{Value, json};
use support::{TestTable, connector, options, text_rows};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Json,
    Ion,
}

/// Runs a program over some input.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("it has an input");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it ends").expect("it is read");
    output.stdout
}

fn md5(content: &[u8]) -> String {
    let output = piped("md5sum", &[], content);
    let hex = std::str::from_utf8(&output[..32]).expect("it is hexadecimal");
    let bytes: Vec<u8> = (0..16)
        .map(|byte| u8::from_str_radix(&hex[byte * 2..byte * 2 + 2], 16).expect("hexadecimal"))
        .collect();
    STANDARD.encode(bytes)
}

/// An export as DynamoDB writes it.
struct Written<'a> {
    id: &'a str,
    table: &'a str,
    time: &'a str,
    format: Format,
    /// `None`: full; else the output view of an incremental one.
    view: Option<&'a str>,
    /// Records of each data file, in DynamoDB's JSON form.
    files: Vec<Vec<Value>>,
}

impl Written<'_> {
    /// Writes it below `folder`/AWSDynamoDB; tells the export's folder.
    fn write(&self, folder: &Path) -> PathBuf {
        let root = folder.join("AWSDynamoDB");
        let own = root.join(self.id);
        let data = match self.view {
            None => own.join("data"),
            Some(_) => root.join("data"),
        };
        std::fs::create_dir_all(&own).expect("the folder is writable");
        std::fs::create_dir_all(&data).expect("the folder is writable");
        std::fs::write(root.join(self.id).join("_started"), "").expect("writable");
        let mut manifest = String::new();
        let mut items = 0;
        for (number, records) in self.files.iter().enumerate() {
            let mut content = String::new();
            for record in records {
                content.push_str(&match self.format {
                    Format::Json => record.to_string(),
                    Format::Ion => format!("$ion_1_0 {}", ion_record(record)),
                });
                content.push('\n');
            }
            let extension = if self.format == Format::Ion {
                "ion"
            } else {
                "json"
            };
            let name = format!("{}{number}.{extension}.gz", self.id.replace('-', ""));
            let packed = piped("gzip", &["-c"], content.as_bytes());
            std::fs::write(data.join(&name), &packed).expect("writable");
            let key = match self.view {
                None => format!("some/prefix/AWSDynamoDB/{}/data/{name}", self.id),
                Some(_) => format!("some/prefix/AWSDynamoDB/data/{name}"),
            };
            items += records.len();
            let entry = json!({"itemCount": records.len(), "md5Checksum": md5(&packed), "etag": "x-1",
                "dataFileS3Key": key});
            manifest.push_str(&format!("{entry}\n"));
        }
        let mut summary = json!({
            "version": "2020-06-30",
            "exportArn": format!("arn:aws:dynamodb:us-east-1:123456789012:table/{}/export/{}", self.table, self.id),
            "startTime": self.time, "endTime": self.time,
            "tableArn": format!("arn:aws:dynamodb:us-east-1:123456789012:table/{}", self.table),
            "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
            "s3Bucket": "exports", "s3Prefix": "some/prefix", "s3SseAlgorithm": "AES256", "s3SseKmsKeyId": null,
            "manifestFilesS3Key": format!("some/prefix/AWSDynamoDB/{}/manifest-files.json", self.id),
            "billedSizeBytes": 0, "itemCount": items,
            "outputFormat": if self.format == Format::Ion { "ION" } else { "DYNAMODB_JSON" },
        });
        match self.view {
            None => {
                summary["exportTime"] = self.time.into();
                summary["exportType"] = "FULL_EXPORT".into();
            }
            Some(view) => {
                summary["exportFromTime"] = "2026-01-01T00:00:00Z".into();
                summary["exportToTime"] = self.time.into();
                summary["exportType"] = "INCREMENTAL_EXPORT".into();
                summary["outputView"] = view.into();
            }
        }
        let summary = summary.to_string();
        for (name, content) in [
            ("manifest-summary", &summary),
            ("manifest-files", &manifest),
        ] {
            std::fs::write(own.join(format!("{name}.json")), content).expect("writable");
            std::fs::write(
                own.join(format!("{name}.checksum")),
                md5(content.as_bytes()),
            )
            .expect("writable");
        }
        own
    }
}

fn ion_record(record: &Value) -> String {
    let members = record.as_object().expect("a record is an object");
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| match name.as_str() {
            "Metadata" => format!(
                "Metadata:{{WriteTimestampMicros:{}.}}",
                value["WriteTimestampMicros"]["N"].as_str().expect("text")
            ),
            _ => format!("{name}:{}", ion_map(value)),
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

fn ion_map(map: &Value) -> String {
    let members = map.as_object().expect("a map is an object");
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("'{name}':{}", ion_value(value)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn ion_value(value: &Value) -> String {
    let (kind, payload) = value
        .as_object()
        .and_then(|map| map.iter().next())
        .expect("typed");
    let number = |text: &Value| {
        let text = text.as_str().expect("numbers are text");
        match text.split_once(['E', 'e']) {
            Some((digits, exponent)) => format!("{digits}d{exponent}"),
            None if text.contains('.') => text.to_owned(),
            None => format!("{text}."),
        }
    };
    let elements = |each: &dyn Fn(&Value) -> String| {
        let elements: Vec<String> = payload
            .as_array()
            .expect("a list")
            .iter()
            .map(each)
            .collect();
        format!("[{}]", elements.join(", "))
    };
    let blob = |value: &Value| format!("{{{{{}}}}}", value.as_str().expect("base64"));
    match kind.as_str() {
        "S" => payload.to_string(),
        "N" => number(payload),
        "B" => blob(payload),
        "BOOL" => payload.to_string(),
        "NULL" => "null".to_owned(),
        "M" => ion_map(payload),
        "L" => elements(&ion_value),
        "SS" => format!("$dynamodb_SS::{}", elements(&Value::to_string)),
        "NS" => format!("$dynamodb_NS::{}", elements(&number)),
        _ => format!("$dynamodb_BS::{}", elements(&blob)),
    }
}

struct Read {
    metadata: Arc<TableMetadata>,
    plan: ScanPlan,
    rows: Vec<Vec<String>>,
    work: SourceWork,
}

fn request(metadata: &TableMetadata, columns: &[&str], partitions: usize) -> ScanRequest {
    let projection = if columns.is_empty() {
        (0..metadata.columns.len()).collect()
    } else {
        let position = |name: &&str| {
            metadata
                .columns
                .iter()
                .position(|column| column.name == **name)
        };
        columns
            .iter()
            .map(|name| position(name).expect("the column exists"))
            .collect()
    };
    ScanRequest {
        schema: "default".to_owned(),
        table: metadata.name.clone(),
        projection,
        fields: Default::default(),
        filters: Vec::new(),
        limit: None,
        ordering: Vec::new(),
        lookup_columns: Vec::new(),
        lookup_rows: None,
        target_partitions: partitions,
    }
}

async fn read_with(
    connector: &dyn Connector,
    table: &str,
    columns: &[&str],
    change: impl FnOnce(&mut ScanRequest),
    partitions: usize,
) -> Result<Read, ConnectorError> {
    let metadata = connector
        .table("default", table)
        .await?
        .unwrap_or_else(|| panic!("{table} exists"));
    let mut request = request(&metadata, columns, partitions);
    change(&mut request);
    let plan = connector.plan_scan(&request).await?;
    let text = serde_json::to_string(&plan).expect("plans serialise");
    let plan: ScanPlan = serde_json::from_str(&text).expect("plans deserialise");
    let recorder = QueryWork::new(Budget::default()).recorder(ScanDescription {
        rcu_estimated: plan.estimate.rcu,
        ..ScanDescription::default()
    });
    let mut rows = Vec::new();
    for split in 0..plan.splits.len() {
        let context = ScanContext {
            batch_rows: 100,
            dynamic_filters: Vec::new(),
            work: Arc::clone(&recorder),
            cancellation: CancellationToken::new(),
        };
        let batches: Vec<RecordBatch> = connector.open(&plan, split, context).try_collect().await?;
        for batch in &batches {
            assert_eq!(*batch.schema(), plan.schema);
            assert!(batch.num_rows() <= 100);
            rows.extend(text_rows(batch));
        }
    }
    rows.sort();
    Ok(Read {
        metadata,
        plan,
        rows,
        work: recorder.snapshot(),
    })
}

async fn read(connector: &dyn Connector, table: &str, columns: &[&str]) -> Read {
    read_with(connector, table, columns, |_| {}, 3)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn export(location: &Path) -> DynamoDbExportConnector {
    let location = location.to_str().expect("the path is text");
    DynamoDbExportConnector::new("archive", location, options()).expect("valid")
}

fn items() -> Vec<Value> {
    (0..700)
        .map(|number: usize| {
            let mut item = json!({
                "id": {"S": format!("item {number}")}, "n": {"N": (number as i64 - 300).to_string()},
                "price": {"N": format!("{number}.25")}, "ok": {"BOOL": number.is_multiple_of(2)},
                "b": {"B": STANDARD.encode(number.to_le_bytes())},
                "tags": {"SS": ["a", "b\"\\ é😀\n"]}, "marks": {"NS": ["1", (number + 5).to_string()]},
                "list": {"L": [{"N": "1"}, {"N": number.to_string()}]},
                "address": {"M": {"City": {"S": "x"}, "zip": {"NULL": true}}},
                "mixed": if number.is_multiple_of(3) { json!({"N": "1E+10"}) } else { json!({"S": "1"}) },
                "a-b c": {"S": ""},
            });
            if number.is_multiple_of(7) {
                item["rare"] = json!({"N": "12345678901234567890123456789012345678"});
            }
            item
        })
        .collect()
}

fn full(items: &[Value], files: usize) -> Vec<Vec<Value>> {
    let records: Vec<Value> = items.iter().map(|item| json!({ "Item": item })).collect();
    let mut files: Vec<Vec<Value>> = records
        .chunks(records.len().div_ceil(files))
        .map(<[Value]>::to_vec)
        .collect();
    // A partition without items exports an empty file.
    files.push(Vec::new());
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_export_reads_like_its_table() {
    let table = TestTable::create("exported", &[("id", "S")], &[]).await;
    let items = items();
    table.put(&items).await;
    let live = connector();
    let live = read(&live, &table.name, &[]).await;
    for format in [Format::Json, Format::Ion] {
        let folder = TempDir::new().expect("a temporary folder");
        Written {
            id: "01693685827463-2d8752fd",
            table: &table.name,
            time: "2026-11-01T00:00:00.000Z",
            format,
            view: None,
            files: full(&items, 5),
        }
        .write(folder.path());
        let exported = read(&export(folder.path()), &table.name, &[]).await;
        let types = |read: &Read| {
            read.metadata
                .columns
                .iter()
                .map(|column| (column.name.clone(), column.data_type.clone(), column.hidden))
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(types(&exported), types(&live));
        let names: Vec<&str> = live
            .metadata
            .columns
            .iter()
            .filter(|column| !column.hidden)
            .map(|column| column.name.as_str())
            .collect();
        let exported = read(&export(folder.path()), &table.name, &names).await;
        let live = read(&connector(), &table.name, &names).await;
        assert_eq!(exported.rows.len(), 700);
        assert_eq!(exported.rows, live.rows);
        assert_eq!(exported.plan.splits.len(), 3);
        assert_eq!(exported.work.rcu_consumed, Some(0.0));
        assert_eq!(exported.work.requests, 5);
        let whole = read(&export(folder.path()), &table.name, &["_item", "id", "id"]).await;
        let item: Value = serde_json::from_str(&whole.rows[0][0]).expect("it is JSON");
        assert_eq!(item["address"]["City"], "x");
        let counted = read_with(
            &export(folder.path()),
            &table.name,
            &[],
            |request| request.projection.clear(),
            2,
        )
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(counted.rows.len(), 700);
        let limited = read_with(
            &export(folder.path()),
            &table.name,
            &["id"],
            |request| request.limit = Some(150),
            4,
        )
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (limited.rows.len(), limited.plan.limit_applied),
            (150, true)
        );
        assert!(limited.work.requests <= 3, "{:?}", limited.work);
    }
}

fn changes() -> Vec<Value> {
    let metadata = |time: u64| json!({"WriteTimestampMicros": {"N": time.to_string()}});
    vec![
        json!({"Metadata": metadata(1_680_109_764_000_000), "Keys": {"pk": {"S": "a"}},
            "NewImage": {"pk": {"S": "a"}, "n": {"N": "1"}}}),
        json!({"Metadata": metadata(1_680_109_765_000_001), "Keys": {"pk": {"S": "b"}},
            "OldImage": {"pk": {"S": "b"}, "n": {"N": "1"}}, "NewImage": {"pk": {"S": "b"}, "n": {"N": "2"}}}),
        json!({"Metadata": metadata(1_680_109_766_000_000), "Keys": {"pk": {"S": "c"}},
            "OldImage": {"pk": {"S": "c"}, "n": {"N": "3"}}}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_rows_with_what_happened() {
    for format in [Format::Json, Format::Ion] {
        let folder = TempDir::new().expect("a temporary folder");
        let own = Written {
            id: "01693685934212-ac809da5",
            table: "Orders",
            time: "2026-02-01T00:00:00Z",
            format,
            view: Some("NEW_AND_OLD_IMAGES"),
            files: vec![changes()],
        }
        .write(folder.path());
        for location in [
            folder.path(),
            &folder.path().join("AWSDynamoDB"),
            own.as_path(),
        ] {
            let found = read(&export(location), "orders$changes", &[]).await;
            let names: Vec<&str> = found
                .metadata
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            assert_eq!(
                names,
                ["pk", "n", "_change", "_written_at", "_item", "_old_item"]
            );
            assert_eq!(
                found.rows,
                support::texts(&[
                    &[
                        "a",
                        "1",
                        "insert",
                        "2023-03-29T17:09:24Z",
                        r#"{"pk":"a","n":1}"#,
                        "NULL"
                    ],
                    &[
                        "b",
                        "2",
                        "update",
                        "2023-03-29T17:09:25.000001Z",
                        r#"{"pk":"b","n":2}"#,
                        r#"{"pk":"b","n":1}"#
                    ],
                    &[
                        "c",
                        "NULL",
                        "delete",
                        "2023-03-29T17:09:26Z",
                        "NULL",
                        r#"{"pk":"c","n":3}"#
                    ],
                ])
            );
        }
    }
    let folder = TempDir::new().expect("a temporary folder");
    let mut new_only = changes();
    for change in &mut new_only {
        change
            .as_object_mut()
            .expect("an object")
            .remove("OldImage");
    }
    Written {
        id: "01693685934212-ac809da6",
        table: "Orders",
        time: "2026-03-01T00:00:00Z",
        format: Format::Json,
        view: Some("NEW_IMAGE"),
        files: vec![new_only],
    }
    .write(folder.path());
    let found = read(&export(folder.path()), "Orders$changes", &["pk", "_change"]).await;
    assert_eq!(
        found.rows,
        support::texts(&[&["a", "write"], &["b", "write"], &["c", "delete"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_finished_full_export_is_the_table() {
    let folder = TempDir::new().expect("a temporary folder");
    for (id, time, number) in [
        ("01-a", "2026-03-01T00:00:00Z", "1"),
        ("02-b", "2026-05-01T00:00:00Z", "2"),
        ("03-c", "2026-04-01T00:00:00Z", "3"),
    ] {
        Written {
            id,
            table: "Orders",
            time,
            format: Format::Json,
            view: None,
            files: vec![vec![json!({"Item": {"pk": {"N": number}}})]],
        }
        .write(folder.path());
    }
    let unfinished = folder.path().join("AWSDynamoDB/04-d");
    std::fs::create_dir(&unfinished).expect("writable");
    std::fs::write(unfinished.join("_started"), "").expect("writable");
    let connector = export(folder.path());
    let tables = connector.tables("default").await.expect("they are listed");
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["Orders"]);
    assert_eq!(read(&connector, "orders", &["pk"]).await.rows, [["2"]]);
    // One export by its own folder, even under another name.
    let copy = folder.path().join("copy");
    std::fs::rename(folder.path().join("AWSDynamoDB/01-a"), &copy).expect("it is renamed");
    assert_eq!(read(&export(&copy), "Orders", &["pk"]).await.rows, [["1"]]);
    let report = connector
        .infer_schema("Orders")
        .await
        .expect("it is inferred");
    assert_eq!((report.items, report.rcu), (1, 0.0));
    // The override file may be made from the report, so that does not ask for it.
    let overriding = || {
        let options = DynamoDbOptions {
            schema_overrides: Some(folder.path().join("schema.toml")),
            ..options()
        };
        let location = folder.path().to_str().expect("the path is text");
        DynamoDbExportConnector::new("archive", location, options).expect("valid")
    };
    assert!(overriding().table("default", "Orders").await.is_err());
    assert!(overriding().infer_schema("Orders").await.is_ok());
    let error = connector
        .infer_schema("missing")
        .await
        .expect_err("there is none");
    assert!(
        matches!(error, ConnectorError::TableNotFound { .. }),
        "{error}"
    );
    assert!(connector.health().await.healthy);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_that_cannot_be_trusted_are_errors() {
    type Damage = fn(&Path);
    fn data(own: &Path) -> PathBuf {
        let mut files = std::fs::read_dir(own.join("data")).expect("it is listed");
        files
            .next()
            .expect("there is one")
            .expect("readable")
            .path()
    }
    fn edit(own: &Path, file: &str, from: &str, to: &str) {
        let path = own.join(file);
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).expect("writable");
        let _ = std::fs::remove_file(path.with_extension("checksum"));
    }
    fn repack(own: &Path, content: &str) {
        std::fs::write(data(own), piped("gzip", &["-c"], content.as_bytes())).expect("writable");
    }
    let cases: [(&str, Damage); 8] = [
        ("MD5", |own| {
            repack(
                own,
                "{\"Item\":{\"pk\":{\"N\":\"8\"}}}\n{\"Item\":{\"pk\":{\"N\":\"9\"}}}\n",
            )
        }),
        ("it has 1 items, the manifest says 2", |own| {
            repack(own, "{\"Item\":{\"pk\":{\"N\":\"8\"}}}\n");
        }),
        ("gzip", |own| {
            std::fs::write(data(own), "plain").expect("writable")
        }),
        ("ends too early", |own| {
            let path = data(own);
            let packed = std::fs::read(&path).expect("readable");
            std::fs::write(&path, &packed[..packed.len() - 12]).expect("writable");
        }),
        ("is missing", |own| {
            std::fs::remove_file(data(own)).expect("writable")
        }),
        ("the summary 2", |own| {
            edit(
                own,
                "manifest-files.json",
                "\"itemCount\":2",
                "\"itemCount\":3",
            );
        }),
        ("checksum does not match", |own| {
            let path = own.join("manifest-files.json");
            let text = std::fs::read_to_string(&path).expect("readable");
            std::fs::write(&path, text + "\n").expect("writable");
        }),
        ("outputFormat \"CSV\"", |own| {
            edit(own, "manifest-summary.json", "DYNAMODB_JSON", "CSV");
        }),
    ];
    for (expected, damage) in cases {
        let folder = TempDir::new().expect("a temporary folder");
        let own = Written {
            id: "01-a",
            table: "Orders",
            time: "2026-03-01T00:00:00Z",
            format: Format::Json,
            view: None,
            files: vec![vec![
                json!({"Item": {"pk": {"N": "1"}}}),
                json!({"Item": {"pk": {"N": "2"}}}),
            ]],
        }
        .write(folder.path());
        let connector = export(folder.path());
        if expected.starts_with("MD5") || expected.contains("manifest says") {
            // Known columns first: the damage comes later.
            connector
                .table("default", "Orders")
                .await
                .expect("it is readable");
        }
        damage(&own);
        let outcome = read_with(&connector, "Orders", &["pk"], |_| {}, 1).await;
        let error = outcome
            .err()
            .unwrap_or_else(|| panic!("{expected}: it was read"));
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(error.to_string().contains("archive"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_names_the_attribute() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut records: Vec<Value> = (0..50)
        .map(|number: u32| json!({"Item": {"pk": {"N": number.to_string()}, "n": {"N": "1"}}}))
        .collect();
    records.push(json!({"Item": {"pk": {"N": "50"}, "n": {"S": "text"}}}));
    Written {
        id: "01-a",
        table: "Orders",
        time: "2026-03-01T00:00:00Z",
        format: Format::Json,
        view: None,
        files: vec![records],
    }
    .write(folder.path());
    let careless = DynamoDbOptions {
        sample_items: 10,
        ..options()
    };
    let location = folder.path().to_str().expect("text");
    let connector = DynamoDbExportConnector::new("archive", location, careless).expect("valid");
    let error = read_with(&connector, "Orders", &["n"], |_| {}, 1)
        .await
        .err()
        .expect("a text is no number");
    assert!(error.to_string().contains("Orders.n"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_read_from_s3() {
    use object_store::{ObjectStore as _, ObjectStoreExt as _};
    let endpoint = std::env::var("OWLET_TEST_S3_ENDPOINT")
        .expect("OWLET_TEST_S3_ENDPOINT is not set: run me through `cargo xtask test`");
    let bucket = format!("owlet-dynamodb-exports-{}", std::process::id());
    reqwest::Client::new()
        .put(format!("{endpoint}/{bucket}"))
        .send()
        .await
        .expect("moto answers");
    let store = object_store::aws::AmazonS3Builder::new()
        .with_bucket_name(&bucket)
        .with_endpoint(&endpoint)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("local")
        .with_secret_access_key("local")
        .build()
        .expect("valid");
    let folder = TempDir::new().expect("a temporary folder");
    let items = items();
    Written {
        id: "01-a",
        table: "Orders",
        time: "2026-03-01T00:00:00Z",
        format: Format::Json,
        view: None,
        files: full(&items, 3),
    }
    .write(folder.path());
    let local =
        object_store::local::LocalFileSystem::new_with_prefix(folder.path()).expect("opens");
    let listed: Vec<_> = local.list(None).try_collect().await.expect("it is listed");
    for object in listed {
        let bytes = local
            .get(&object.location)
            .await
            .expect("read")
            .bytes()
            .await
            .expect("read");
        let target = object_store::path::Path::from(format!("some/prefix/{}", object.location));
        store
            .put(&target, bytes.into())
            .await
            .expect("it is stored");
    }
    let s3 = DynamoDbOptions {
        endpoint: Some(endpoint),
        ..options()
    };
    let location = format!("s3://{bucket}/some/prefix/");
    let connector = DynamoDbExportConnector::new("archive", &location, s3).expect("valid");
    let found = read(&connector, "orders", &["id", "price"]).await;
    let local = read(&export(folder.path()), "orders", &["id", "price"]).await;
    assert_eq!(found.rows.len(), 700);
    assert_eq!(found.rows, local.rows);
    assert!(found.work.bytes > 1000, "{:?}", found.work);
}
