//! Filters on fields of rows over DynamoDB: the same answers with pushdown on and off, and the filter at DynamoDB.

use std::sync::Arc;

use futures::TryStreamExt;
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions, OnTypeMismatch};
use owlet_engine::{Engine, EngineConfig, Pushdown, QueryOptions, Source};
use owlet_testkit::dynamodb::DynamoDb;
use owlet_testkit::environment::required;
use owlet_testkit::run;
use serde_json::{Value, json};

/// Items whose rows lack members, are missing, or are NULL.
fn regular_items() -> Vec<Value> {
    let address = |city: &str, zip: &str, floor: &str| {
        json!({"M": {
        "city": {"S": city}, "zip": {"N": zip}, "house": {"M": {"floor": {"N": floor}, "name": {"S": city}}}}})
    };
    vec![
        json!({"id": {"N": "1"}, "v": {"N": "10"}, "address": address("Berlin", "10115", "1")}),
        json!({"id": {"N": "2"}, "v": {"N": "20"}, "address": address("Hamburg", "20095", "2")}),
        json!({"id": {"N": "3"}, "v": {"N": "30"}, "address": address("Berlin", "10117", "3")}),
        json!({"id": {"N": "4"}, "v": {"N": "40"}}),
        json!({"id": {"N": "5"}, "v": {"N": "50"}, "address": {"NULL": true}}),
        json!({"id": {"N": "6"}, "v": {"N": "60"}, "address": {"M": {"city": {"S": "Bonn"}}}}),
        json!({"id": {"N": "7"}, "v": {"N": "70"}, "address": {"M": {"zip": {"N": "1"}, "city": {"NULL": true}}}}),
        json!({"id": {"N": "8"}, "address": {"M": {"city": {"S": ""}, "zip": {"N": "-5"},
            "house": {"M": {"name": {"S": "x"}}}}}}),
    ]
}

/// Items that contradict the types of the others.
fn mistyped_items() -> Vec<Value> {
    vec![
        json!({"id": {"N": "20"}, "v": {"N": "1"}, "address": {"S": "Berlin"}}),
        json!({"id": {"N": "21"}, "v": {"N": "2"}, "address": {"M": {"city": {"N": "7"}, "zip": {"S": "z"}}}}),
        json!({"id": {"N": "22"}, "address": {"M": {"house": {"S": "none"}, "zip": {"N": "1.5"}}}}),
        json!({"id": {"N": "23"}, "address": {"M": {"house": {"M": {"floor": {"BOOL": true}}}}}}),
    ]
}

const PREDICATES: [&str; 27] = [
    "address.city = 'Berlin'",
    "address.city <> 'Berlin'",
    "NOT (address.city = 'Berlin')",
    "address.city IS NULL",
    "address.city IS NOT NULL",
    "address.city IN ('Berlin', 'Bonn')",
    "address.city NOT IN ('Berlin', 'Bonn')",
    "address.city LIKE 'B%'",
    "address.city NOT LIKE 'B%'",
    "address.city = ''",
    "upper(address.city) = 'BERLIN'",
    "address.zip > 10000",
    "address.zip BETWEEN 0 AND 10115",
    "NOT (address.zip <= 10115)",
    "address.zip = 1",
    "address.zip IS NULL",
    "address.zip IS NOT NULL",
    "NOT (address.house.floor IS NULL)",
    "address.city IS NOT DISTINCT FROM 'Berlin'",
    "address.city IS DISTINCT FROM 'Berlin'",
    "address.house.floor >= 2",
    "address.house.floor IS NULL",
    "address.house.name = 'Berlin' AND address.zip > 10115",
    "address.city = 'Berlin' OR address.house.floor = 2",
    "address.city = 'Berlin' AND v > 10",
    "address.city = 'Berlin' OR v IS NULL",
    "address.city = 'Berlin' AND length(address.house.name) = address.house.floor + 3",
];

fn engine(endpoint: &str, on_type_mismatch: OnTypeMismatch) -> Engine {
    let options = DynamoDbOptions {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some("test".to_owned()),
        on_type_mismatch,
        ..DynamoDbOptions::default()
    };
    let connector = DynamoDbConnector::new("dynamo", options).unwrap();
    let config = EngineConfig {
        target_partitions: Some(2),
        ..EngineConfig::default()
    };
    Engine::builder(config)
        .catalog("dynamo", Source::Table(Arc::new(connector)))
        .build()
        .unwrap()
}

fn options(pushdown: Pushdown) -> QueryOptions {
    QueryOptions {
        pushdown,
        ..QueryOptions::default()
    }
}

/// The statements' rows, sorted unless the statement sorts, with pushdown on and off.
async fn compare(engine: &Engine, table: &str) {
    for predicate in PREDICATES {
        let statements = [
            format!("SELECT id FROM {table} WHERE {predicate}"),
            format!(
                "SELECT * FROM {table} AS t WHERE {}",
                predicate.replace("address", "t.address")
            ),
            format!("SELECT count(*) FROM {table} WHERE {predicate}"),
            format!("SELECT address.zip, id FROM {table} WHERE {predicate} ORDER BY id LIMIT 2"),
            format!("SELECT address.house.name, address.house FROM {table} WHERE {predicate}"),
            format!(
                "SELECT max(address.house.floor), id FROM {table} WHERE {predicate} GROUP BY id"
            ),
            format!("SELECT v, count(address.city) FROM {table} WHERE {predicate} GROUP BY v"),
            format!(
                "SELECT a.id, b.id FROM {table} a JOIN {table} b ON a.id = b.v / 10 WHERE {}",
                predicate
                    .replace("address", "a.address")
                    .replace(" v ", " a.v ")
            ),
        ];
        for sql in statements {
            let mut answers = Vec::new();
            for pushdown in [Pushdown::On, Pushdown::Off] {
                let mut answer = run::answer(engine, &sql, &options(pushdown))
                    .await
                    .unwrap_or_else(|error| panic!("{pushdown:?} {sql}: {error}"));
                answer.rows.sort();
                answers.push(answer.rows);
            }
            assert_eq!(answers[0], answers[1], "{sql}");
        }
    }
}

/// Bytes that came from the source.
async fn bytes(engine: &Engine, sql: &str, pushdown: Pushdown) -> u64 {
    let plan = engine.plan(sql, &options(pushdown)).await.unwrap();
    let mut stream = plan.execute().unwrap();
    while stream.try_next().await.unwrap().is_some() {}
    let sources = stream.work_report().sources;
    sources.iter().map(|source| source.bytes).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_on_fields_run_at_dynamodb_and_answer_the_same() {
    let endpoint = required("OWLET_TEST_DYNAMODB_ENDPOINT");
    let dynamodb = DynamoDb::new(endpoint.clone());
    let name = format!("nested_{}", std::process::id());
    dynamodb
        .create_table(&name, &[("id", "N", "HASH")])
        .await
        .unwrap();
    dynamodb.put_all(&name, &regular_items()).await.unwrap();
    let table = format!("dynamo.default.{name}");
    let strict = engine(&endpoint, OnTypeMismatch::Error);
    compare(&strict, &table).await;
    for (predicate, condition) in [
        ("address.city = 'Berlin'", "address.city = 'Berlin'"),
        ("address.house.floor >= 2", "address.house.floor >= 2"),
        (
            "address.city = 'Berlin' AND upper(address.house.name) = 'BERLIN'",
            "address.city = 'Berlin'",
        ),
    ] {
        let aliased = predicate.replace("address", "t.address");
        for sql in [
            format!("SELECT id FROM {table} WHERE {predicate}"),
            format!("SELECT t.address.zip FROM {table} t WHERE {aliased} ORDER BY t.v LIMIT 3"),
            format!("SELECT t.id FROM {table} t JOIN {table} o ON t.v = o.id WHERE {aliased}"),
        ] {
            let plan = strict.plan(&sql, &options(Pushdown::On)).await.unwrap();
            let sources = &plan.explanation().sources;
            assert!(
                sources
                    .iter()
                    .any(|source| source.remote.contains(&format!("filter: {condition}"))),
                "{sql}: {sources:#?}"
            );
        }
    }
    // The columns are known by now; what contradicts them is NULL by policy.
    let lenient = engine(&endpoint, OnTypeMismatch::Null);
    run::answer(
        &lenient,
        &format!("SELECT * FROM {table}"),
        &options(Pushdown::On),
    )
    .await
    .unwrap();
    dynamodb.put_all(&name, &mistyped_items()).await.unwrap();
    compare(&lenient, &table).await;
    // Where a value of a wrong type is NULL, only the fields that are used are asked for.
    let sql = format!("SELECT id, address.zip, address.house.floor FROM {table}");
    let of_fields = bytes(&lenient, &sql, Pushdown::On).await;
    let of_rows = bytes(&lenient, &sql, Pushdown::Off).await;
    assert!(
        of_fields < of_rows,
        "{of_fields} bytes instead of {of_rows}"
    );
    dynamodb.drop_table(&name).await.unwrap();
}
