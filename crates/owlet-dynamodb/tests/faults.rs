//! Broken answers, throttling, lost rights: a complete right answer or a clear error, never a short answer.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use owlet_connector::{
    Budget, Connector as _, ConnectorError, Literal, QueryWork, ScanContext, ScanDescription,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions};
use serde_json::{Value, json};
use support::proxy::{Fault, Proxy};
use support::{Answer, Source, TestTable, options_at};
use tokio_util::sync::CancellationToken;

const ITEMS: usize = 400;

async fn filled(label: &str) -> TestTable {
    let table = TestTable::create(label, &[("id", "S")], &[]).await;
    let items: Vec<Value> = (0..ITEMS)
        .map(|id| json!({"id": {"S": format!("k{id}")}, "v": {"S": "x".repeat(6000)}}))
        .collect();
    table.put(&items).await;
    table
}

/// A source behind a proxy; the columns are inferred before the script begins.
async fn behind(
    table: &TestTable,
    options: impl FnOnce(DynamoDbOptions) -> DynamoDbOptions,
    script: impl Fn(&str, usize) -> Fault + Send + Sync + 'static,
) -> (Source, Proxy) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let started = Arc::new(std::sync::atomic::AtomicUsize::new(usize::MAX));
    let seen = Arc::clone(&started);
    let proxy = Proxy::start(move |operation, number| {
        let first = seen.load(std::sync::atomic::Ordering::SeqCst);
        if number < first {
            Fault::None
        } else {
            script(operation, number - first)
        }
    })
    .await;
    let options = options(DynamoDbOptions {
        cache_dir: Some(folder.path().to_path_buf()),
        read_timeout: Duration::from_millis(600),
        segments: Some(4),
        ..options_at(&proxy.endpoint)
    });
    let source = Source::open(
        DynamoDbConnector::new("events", options).expect("valid"),
        table,
    )
    .await;
    started.store(proxy.requests(), std::sync::atomic::Ordering::SeqCst);
    (source, proxy)
}

async fn scan(source: &Source) -> Result<Answer, ConnectorError> {
    source.scan(&source.request(&["id"], Vec::new())).await
}

#[tokio::test]
async fn passing_trouble_is_repeated_until_the_answer_is_whole() {
    let table = filled("passing").await;
    let faults = [
        Fault::Error(500, "InternalServerError"),
        Fault::Error(503, "ServiceUnavailable"),
        Fault::Error(400, "ProvisionedThroughputExceededException"),
        Fault::Error(400, "ThrottlingException"),
        Fault::Error(400, "RequestLimitExceeded"),
        Fault::CutBody,
        Fault::HalfBody,
        Fault::WrongChecksum,
        Fault::Silence,
    ];
    for fault in faults {
        let script_fault = fault.clone();
        let (source, proxy) = behind(
            &table,
            |options| options,
            move |_, number| {
                if number % 3 == 0 && number < 12 {
                    script_fault.clone()
                } else {
                    Fault::None
                }
            },
        )
        .await;
        let before = proxy.requests();
        let answer = scan(&source)
            .await
            .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let mut rows = answer.sorted();
        rows.dedup();
        assert_eq!((answer.rows.len(), rows.len()), (ITEMS, ITEMS), "{fault:?}");
        assert_eq!(
            answer.work.requests as usize,
            proxy.requests() - before,
            "every attempt is counted"
        );
    }
}

#[tokio::test]
async fn lasting_trouble_is_an_error_and_never_a_short_answer() {
    let table = filled("lasting").await;
    let impatient = |options: DynamoDbOptions| DynamoDbOptions {
        max_retries: 2,
        throttle_patience: Duration::from_millis(300),
        ..options
    };
    for fault in [
        Fault::Error(500, "InternalServerError"),
        Fault::Error(400, "ThrottlingException"),
        Fault::CutBody,
        Fault::HalfBody,
        Fault::WrongChecksum,
    ] {
        let script_fault = fault.clone();
        // The first pages are right, so a connector that forgives would answer short.
        let (source, _proxy) = behind(&table, impatient, move |_, number| {
            if number < 2 {
                Fault::None
            } else {
                script_fault.clone()
            }
        })
        .await;
        let error = scan(&source).await.expect_err("the trouble lasts");
        let message = error.to_string();
        assert!(message.contains(&table.name), "{fault:?}: {message}");
        let fits = match &fault {
            Fault::Error(400, code) => {
                assert!(
                    message.contains(code) && message.contains("throttle_patience"),
                    "{message}"
                );
                matches!(error, ConnectorError::Timeout { .. })
            }
            Fault::Error(..) => matches!(error, ConnectorError::Source { .. }),
            _ => matches!(error, ConnectorError::ConnectionLost { .. }),
        };
        assert!(fits, "{fault:?}: {error:?}");
    }
}

#[tokio::test]
async fn final_errors_say_what_to_do() {
    let table = filled("final").await;
    let denied = Fault::Error(400, "AccessDeniedException");
    let (source, proxy) = behind(&table, |options| options, move |_, _| denied.clone()).await;
    let before = proxy.requests();
    let request = source.request(&["v"], vec![source.equal("id", Literal::text("k1"))]);
    let error = source
        .scan(&request)
        .await
        .expect_err("the right is missing");
    assert!(
        matches!(error, ConnectorError::PermissionDenied { .. }),
        "{error}"
    );
    let message = error.to_string();
    assert!(
        message.contains("dynamodb:GetItem") && message.contains(&table.name),
        "{message}"
    );
    assert_eq!(proxy.requests() - before, 1, "no repetition helps");

    let expired = Fault::Error(400, "ExpiredTokenException");
    let (source, _proxy) = behind(&table, |options| options, move |_, _| expired.clone()).await;
    let error = scan(&source)
        .await
        .expect_err("fixed credentials cannot be renewed");
    assert!(
        matches!(error, ConnectorError::Authentication { .. }),
        "{error}"
    );

    let gone = Fault::Error(400, "ResourceNotFoundException");
    let (source, _proxy) = behind(&table, |options| options, move |_, _| gone.clone()).await;
    let error = scan(&source).await.expect_err("the table is gone");
    assert!(
        matches!(error, ConnectorError::TableNotFound { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn unprocessed_keys_are_asked_for_again() {
    let table = filled("unprocessed").await;
    for answered in [30, 1, 0] {
        let (source, _proxy) = behind(
            &table,
            |options| options,
            move |_, number| {
                if number < 6 {
                    Fault::Unprocessed(answered)
                } else {
                    Fault::None
                }
            },
        )
        .await;
        let keys: Vec<Literal> = (0..250).map(|id| Literal::text(format!("k{id}"))).collect();
        let request = source.request(&["id"], vec![source.among("id", keys)]);
        let answer = source
            .scan(&request)
            .await
            .expect("the rest is answered later");
        let mut rows = answer.sorted();
        rows.dedup();
        assert_eq!((answer.rows.len(), rows.len()), (250, 250), "{answered}");
    }
}

#[tokio::test]
async fn a_dropped_table_is_told() {
    let table = filled("dropped").await;
    let (source, _proxy) = behind(&table, |options| options, |_, _| Fault::None).await;
    let request = source.request(&["id"], Vec::new());
    drop(table);
    let error = source.scan(&request).await.expect_err("the table is gone");
    assert!(
        matches!(error, ConnectorError::TableNotFound { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn unreachable_and_wrong_addresses_are_told_fast() {
    let options = DynamoDbOptions {
        max_retries: 2,
        ..options_at("http://127.0.0.1:9")
    };
    let connector = DynamoDbConnector::new("events", options).expect("valid");
    let started = Instant::now();
    let error = connector
        .tables("default")
        .await
        .expect_err("nobody listens");
    assert!(
        matches!(error, ConnectorError::Unreachable { .. }),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(3));
    let health = connector.health().await;
    assert!(!health.healthy && !health.fix.is_empty(), "{health:?}");
}

#[tokio::test]
async fn cancelling_ends_a_waiting_scan() {
    let table = filled("cancel").await;
    let patient = |options: DynamoDbOptions| DynamoDbOptions {
        read_timeout: Duration::from_secs(60),
        ..options
    };
    let (source, _proxy) = behind(&table, patient, |_, _| Fault::Silence).await;
    let plan = source
        .connector
        .plan_scan(&source.request(&["id"], Vec::new()))
        .await
        .expect("planning reads nothing");
    let cancellation = CancellationToken::new();
    let context = ScanContext {
        batch_rows: 100,
        dynamic_filters: Vec::new(),
        work: QueryWork::new(Budget::default()).recorder(ScanDescription::default()),
        cancellation: cancellation.clone(),
    };
    let mut stream = source.connector.open(&plan, 0, context);
    let canceller = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancellation.cancel();
    });
    let outcome = tokio::time::timeout(Duration::from_secs(5), stream.next())
        .await
        .expect("it ends at once");
    assert!(
        matches!(outcome, Some(Err(ConnectorError::Cancelled))),
        "{outcome:?}"
    );
    assert!(stream.next().await.is_none());
    canceller.await.expect("the canceller ends");
}

#[tokio::test]
async fn the_rate_limit_holds() {
    let table = filled("rate").await;
    // The scan costs about 300 units: at 100 a second it takes two seconds after the first burst.
    let limited = |options: DynamoDbOptions| DynamoDbOptions {
        max_rcu_per_second: Some(100.0),
        ..options
    };
    let (source, _proxy) = behind(&table, limited, |_, _| Fault::None).await;
    let started = Instant::now();
    let answer = scan(&source).await.expect("it only takes longer");
    let consumed = answer.work.rcu_consumed.unwrap_or_default();
    let fastest = (consumed - 200.0) / 100.0;
    assert_eq!(answer.rows.len(), ITEMS);
    assert!(consumed > 280.0, "{consumed}");
    assert!(
        started.elapsed().as_secs_f64() >= fastest,
        "{:?} for {consumed}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_restart_needs_no_sampling() {
    let table = filled("restart").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proxy = Proxy::start(|_, _| Fault::None).await;
    let options = || DynamoDbOptions {
        cache_dir: Some(folder.path().to_path_buf()),
        ..options_at(&proxy.endpoint)
    };
    let first = Source::open(
        DynamoDbConnector::new("events", options()).expect("valid"),
        &table,
    )
    .await;
    assert!(proxy.requests() > 0, "the first look samples");
    let sampled = proxy.requests();
    let second = Source::open(
        DynamoDbConnector::new("events", options()).expect("valid"),
        &table,
    )
    .await;
    assert_eq!(proxy.requests(), sampled, "the second does not");
    assert_eq!(first.metadata, second.metadata);
    let one = second
        .rows(&["v"], vec![second.equal("id", Literal::text("k7"))])
        .await;
    assert_eq!(
        (one.rows.len(), proxy.requests()),
        (1, sampled + 1),
        "a look-up is one request"
    );
}
