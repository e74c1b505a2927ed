//! Queries in DynamoDB's own language: read-only, complete, counted.

mod support;

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use owlet_connector::{
    Budget, Connector as _, ConnectorError, QueryWork, ScanContext, ScanDescription, ScanPlan,
    SourceWork,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions, ScanPolicy};
use serde_json::{Value, json};
use support::{Index, TestTable, connector, options, text_rows, texts};
use tokio_util::sync::CancellationToken;

async fn run(
    connector: &DynamoDbConnector,
    query: &str,
    budget: Budget,
) -> Result<(ScanPlan, Vec<Vec<String>>, SourceWork), ConnectorError> {
    let plan = connector.plan_source_query(query).await?;
    let text = serde_json::to_string(&plan).expect("plans serialise");
    let plan: ScanPlan = serde_json::from_str(&text).expect("plans deserialise");
    let recorder = QueryWork::new(budget).recorder(ScanDescription {
        rcu_estimated: plan.estimate.rcu,
        ..ScanDescription::default()
    });
    let mut rows = Vec::new();
    for split in 0..plan.splits.len() {
        let context = ScanContext {
            batch_rows: 1000,
            dynamic_filters: Vec::new(),
            work: Arc::clone(&recorder),
            cancellation: CancellationToken::new(),
        };
        let batches: Vec<RecordBatch> = connector.open(&plan, split, context).try_collect().await?;
        for batch in &batches {
            assert_eq!(*batch.schema(), plan.schema);
            rows.extend(text_rows(batch));
        }
    }
    rows.sort();
    Ok((plan, rows, recorder.snapshot()))
}

async fn rows(query: &str) -> Vec<Vec<String>> {
    let (_, rows, _) = run(&connector(), query, Budget::default())
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    rows
}

async fn orders() -> TestTable {
    let keys_only = Index {
        name: "by-status",
        keys: &[("status", "S")],
        projection: "KEYS_ONLY",
        include: &[],
        local: false,
    };
    let table = TestTable::create("statements", &[("pk", "S"), ("sk", "N")], &[keys_only]).await;
    let items: Vec<Value> = (0..6)
        .map(|number| {
            json!({
                "pk": {"S": format!("p{}", number % 2)}, "sk": {"N": number.to_string()},
                "Total": {"N": format!("{number}.50")}, "status": {"S": "open"},
                "address": {"M": {"City": {"S": format!("city {number}")}}},
                "tags": {"L": [{"S": "a"}, {"S": format!("t{number}")}]},
            })
        })
        .collect();
    table.put(&items).await;
    table
}

#[tokio::test]
async fn items_attributes_and_paths_are_selected() {
    let table = orders().await;
    let name = &table.name;
    let everything = rows(&format!(
        "SELECT * FROM \"{name}\" WHERE pk = 'p1' AND sk > 1"
    ))
    .await;
    assert_eq!(
        everything,
        texts(&[
            &["p1", "3", "{city: city 3}", "open", "[a, t3]", "3.5"],
            &["p1", "5", "{city: city 5}", "open", "[a, t5]", "5.5"],
        ])
    );
    let paths = rows(&format!(
        "SELECT Total, address.City, tags[1], nowhere FROM \"{name}\" WHERE pk IN ['p0', 'p9'];"
    ))
    .await;
    assert_eq!(
        paths,
        texts(&[
            &["0.5", "city 0", "t0", "NULL"],
            &["2.5", "city 2", "t2", "NULL"],
            &["4.5", "city 4", "t4", "NULL"],
        ])
    );
    let index = rows(&format!(
        "SELECT * FROM \"{name}\".\"by-status\" WHERE status = 'open'"
    ))
    .await;
    assert_eq!(index.len(), 6);
    assert_eq!(index[0], ["p0", "0", "open"], "what the index holds");
}

#[tokio::test]
async fn all_pages_are_read_and_budgets_hold() {
    let table = TestTable::create("statements-pages", &[("pk", "S")], &[]).await;
    let items: Vec<Value> = (0..40)
        .map(
            |number| json!({"pk": {"S": format!("p{number}")}, "text": {"S": "x".repeat(100_000)}}),
        )
        .collect();
    for chunk in items.chunks(5) {
        table.put(chunk).await;
    }
    let query = format!("SELECT pk FROM \"{}\"", table.name);
    let (plan, rows, work) = run(&connector(), &query, Budget::default())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(rows.len(), 40);
    assert!(work.requests >= 4, "{work:?}");
    let estimated = plan.estimate.rcu.expect("it is estimated");
    assert!((400.0..600.0).contains(&estimated), "{estimated}");
    let limited = Budget {
        max_rows: Some(10),
        ..Budget::default()
    };
    let error = run(&connector(), &query, limited).await;
    assert!(
        matches!(error, Err(ConnectorError::BudgetExceeded { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn only_reading_statements_are_sent() {
    let table = orders().await;
    let name = &table.name;
    // An address where nobody answers: a refusal must not need the service.
    let unreachable = DynamoDbConnector::new(
        "events",
        DynamoDbOptions {
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            max_retries: 0,
            ..options()
        },
    )
    .expect("valid");
    for statement in [
        format!("DELETE FROM \"{name}\" WHERE pk = 'p0' AND sk = 0"),
        format!("UPDATE \"{name}\" SET a = 1 WHERE pk = 'p0' AND sk = 0"),
        format!("INSERT INTO \"{name}\" VALUE {{'pk': 'p7', 'sk': 1}}"),
        format!("/* SELECT */ DELETE FROM \"{name}\" WHERE pk = 'p0' AND sk = 0"),
        format!("SELECT * FROM \"{name}\"; DELETE FROM \"{name}\" WHERE pk = 'p0' AND sk = 0"),
        String::new(),
    ] {
        let error = unreachable
            .plan_source_query(&statement)
            .await
            .expect_err("it must be refused");
        assert!(
            matches!(error, ConnectorError::QueryRefused { .. }),
            "{statement}: {error}"
        );
    }
    assert_eq!(
        rows(&format!("SELECT pk, sk FROM \"{name}\"")).await.len(),
        6
    );
}

#[tokio::test]
async fn policies_and_mistakes_are_told() {
    let table = orders().await;
    let name = &table.name;
    let careful = DynamoDbConnector::new(
        "events",
        DynamoDbOptions {
            scan: ScanPolicy::Deny,
            ..options()
        },
    )
    .expect("valid");
    let error = careful
        .plan_source_query(&format!("SELECT * FROM \"{name}\" WHERE sk = 1"))
        .await
        .expect_err("it would scan");
    assert!(error.to_string().contains("scan = \"deny\""), "{error}");
    careful
        .plan_source_query(&format!("SELECT * FROM \"{name}\" WHERE pk = 'p1'"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let error = connector()
        .plan_source_query("SELECT * FROM \"no-such-table\"")
        .await
        .expect_err("there is no such table");
    assert!(
        matches!(error, ConnectorError::TableNotFound { .. }),
        "{error}"
    );
    let error = connector()
        .plan_source_query(&format!("SELECT * FROM \"{name}\".missing"))
        .await
        .expect_err("there is no such index");
    assert!(error.to_string().contains("by-status"), "{error}");
    // What only DynamoDB can judge comes back as its own error.
    let error = run(
        &connector(),
        &format!("SELECT * FROM \"{name}\" WHERE pk = = 3"),
        Budget::default(),
    )
    .await
    .expect_err("the condition is not well formed");
    assert!(matches!(error, ConnectorError::Source { .. }), "{error}");
}
