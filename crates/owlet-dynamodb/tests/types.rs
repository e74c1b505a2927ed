//! Every DynamoDB type through metadata and scan.

mod support;

use owlet_connector::{Connector as _, ConnectorError, Literal};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions, OnTypeMismatch};
use serde_json::json;
use support::{Source, TestTable, connector, options, texts};

#[tokio::test]
async fn all_types_are_read_exactly() {
    let table = TestTable::create("types", &[("Id", "S"), ("sk", "N")], &[]).await;
    table
        .put(&[
            json!({"Id": {"S": "a"}, "sk": {"N": "1"}, "int": {"N": "9007199254740993"}, "dec": {"N": "12.50"},
                "big": {"N": "12345678901234567890123456789012345678"}, "dbl": {"N": "1E125"}, "txt": {"S": "é\"\\\n😀"},
                "flag": {"BOOL": true}, "bin": {"B": "AP8="}, "ss": {"SS": ["x"]}, "ns": {"NS": ["1.5"]},
                "bs": {"BS": ["AQ=="]}, "list": {"L": [{"N": "1"}, {"NULL": true}]}, "mixed": {"S": "x"},
                "map": {"M": {"Zip": {"S": "1"}, "deep": {"M": {"n": {"N": "7"}}}}}, "odd list": {"L": [{"S": "a"}, {"N": "1"}]}}),
            json!({"Id": {"S": "b"}, "sk": {"N": "-2"}, "int": {"NULL": true}, "dec": {"N": "3"}, "mixed": {"N": "1.50"},
                "txt": {"S": ""}, "map": {"M": {"Zip": {"S": ""}}}, "flag": {"BOOL": false}, "list": {"L": []}}),
        ])
        .await;
    let source = Source::open(connector(), &table).await;
    let types: Vec<(String, String)> = source
        .metadata
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.data_type.to_string()))
        .collect();
    let names: Vec<&str> = types.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "id", "sk", "big", "bin", "bs", "dbl", "dec", "flag", "int", "list", "map", "mixed",
            "ns", "odd list", "ss", "txt", "_item"
        ]
    );
    let answer = source
        .rows(
            &[
                "id", "int", "dec", "big", "dbl", "txt", "flag", "bin", "ss", "ns", "list",
                "mixed", "map", "odd list",
            ],
            Vec::new(),
        )
        .await;
    assert_eq!(
        answer.sorted(),
        texts(&[
            &[
                "a",
                "9007199254740993",
                "12.5",
                "12345678901234567890123456789012345678",
                "1e125",
                "é\"\\\n😀",
                "true",
                "00ff",
                "[x]",
                "[1.5]",
                "[1, NULL]",
                "\"x\"",
                "{deep: {n: 7}, zip: 1}",
                "[\"a\",1]"
            ],
            &[
                "b",
                "NULL",
                "3.0",
                "NULL",
                "NULL",
                "",
                "false",
                "NULL",
                "NULL",
                "NULL",
                "[]",
                "1.5",
                "{deep: NULL, zip: }",
                "NULL"
            ],
        ])
    );
    let items = source
        .rows(&["_item"], vec![source.equal("id", Literal::text("b"))])
        .await;
    let item: serde_json::Value =
        serde_json::from_str(&items.rows[0][0]).expect("the item is JSON");
    assert_eq!(item["map"], json!({"Zip": ""}));
    assert_eq!(item["int"], json!(null));
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_or_null_by_policy() {
    let table = TestTable::create("mismatch", &[("id", "S")], &[]).await;
    table
        .put(&[json!({"id": {"S": "a"}, "v": {"N": "1"}})])
        .await;
    let strict = Source::open(connector(), &table).await;
    let lenient = DynamoDbOptions {
        on_type_mismatch: OnTypeMismatch::Null,
        ..options()
    };
    let lenient = Source::open(
        DynamoDbConnector::new("events", lenient).expect("valid"),
        &table,
    )
    .await;
    table
        .put(&[json!({"id": {"S": "b"}, "v": {"S": "oops"}})])
        .await;
    let request = strict.request(&["id", "v"], Vec::new());
    let error = strict
        .scan(&request)
        .await
        .expect_err("the value does not fit");
    assert!(matches!(error, ConnectorError::Value { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains(&table.name)
            && message.contains(".v")
            && message.contains(r#"{"id":"b"}"#),
        "{message}"
    );
    let answer = lenient.rows(&["id", "v"], Vec::new()).await;
    assert_eq!(answer.sorted(), texts(&[&["a", "1"], &["b", "NULL"]]));
    assert_eq!(answer.work.nulled_values, 1);
    let report = serde_json::to_value(&answer.work).expect("JSON");
    assert_eq!(report["nulled_values"], json!(1));
    let fitting = lenient.rows(&["id"], Vec::new()).await;
    let report = serde_json::to_value(&fitting.work).expect("JSON");
    assert_eq!(report.get("nulled_values"), None, "{report}");
}

#[tokio::test]
async fn tables_are_found_by_any_case_and_missing_ones_are_not() {
    let table = TestTable::create("Case", &[("id", "S")], &[]).await;
    let connector = connector();
    let found = connector
        .table("DEFAULT", &table.name.to_uppercase())
        .await
        .expect("a listing works");
    assert_eq!(
        found.map(|found| found.name.clone()),
        Some(table.name.clone())
    );
    assert!(
        connector
            .table("default", "owlet_no_such_table")
            .await
            .expect("no error")
            .is_none()
    );
    assert!(
        connector
            .table("other", &table.name)
            .await
            .expect("no error")
            .is_none()
    );
    let health = connector.health().await;
    assert!(health.healthy, "{health:?}");
}

/// The file of `schema_overrides` is made from an inference, which must not ask for it; queries do.
#[tokio::test]
async fn an_inference_can_make_the_override_file() {
    let table = TestTable::create("overrides", &[("id", "S")], &[]).await;
    table
        .put(&[json!({"id": {"S": "a"}, "total": {"N": "1.50"}})])
        .await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("schema.toml");
    let connector = || {
        let options = DynamoDbOptions {
            schema_overrides: Some(file.clone()),
            ..options()
        };
        DynamoDbConnector::new("events", options).expect("valid")
    };
    let error = connector()
        .table("default", &table.name)
        .await
        .expect_err("the file is missing");
    assert!(error.to_string().contains("--write"), "{error}");
    let report = connector()
        .infer_schema(&table.name)
        .await
        .expect("it is inferred");
    report.write_overrides("events", &file).expect("written");
    let metadata = connector()
        .table("default", &table.name)
        .await
        .expect("the file is read")
        .expect("exists");
    assert_eq!(
        metadata.columns[1].data_type.to_string(),
        "Decimal128(38, 1)"
    );
}
