//! Estimated read capacity units against those consumed.

mod support;

use owlet_connector::{
    CompareOperator, Connector as _, Expression, Literal, NullsOrder, ScanRequest, SortDirection,
    SortKey,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions};
use serde_json::{Value, json};
use support::{Index, Source, TestTable, connector, options};

const CUSTOMERS: usize = 60;
const ORDERS: usize = 60;

/// 3,600 orders: partitions of equal size, a status that is rare, common and between, a sparse index.
async fn shop() -> TestTable {
    let indexes = [
        Index::global("by_status", &[("status", "S"), ("day", "S")]),
        Index::global("by_agent", &[("agent", "S")]),
        Index::global("by_flag", &[("flag", "S")]),
    ];
    let table = TestTable::create("cost", &[("customer", "S"), ("number", "N")], &indexes).await;
    let mut items: Vec<Value> = Vec::new();
    for customer in 0..CUSTOMERS {
        for order in 0..ORDERS {
            let id = customer * ORDERS + order;
            let status = match id % 20 {
                0 => "returned",
                1..=3 => "open",
                _ => "delivered",
            };
            let mut item = json!({
                "customer": {"S": format!("customer{customer}")}, "number": {"N": order.to_string()},
                "status": {"S": status}, "day": {"S": format!("2026-{:02}-{:02}", 1 + id % 12, 1 + id % 28)},
                "agent": {"S": format!("agent{}", id * 7 % 90)}, "note": {"S": "x".repeat(200 + id * 7919 % 400)},
            });
            if id.is_multiple_of(50) {
                item["flag"] = json!({"S": "check"});
            }
            items.push(item);
        }
    }
    table.put(&items).await;
    table
}

#[tokio::test]
async fn estimates_are_close_to_what_is_consumed() {
    let table = shop().await;
    let source = Source::open(
        DynamoDbConnector::new("events", options()).expect("valid"),
        &table,
    )
    .await;
    let mut errors = Vec::new();
    for request in requests(&source) {
        let answer = source
            .scan(&request)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let estimated = answer.work.rcu_estimated.expect("it is estimated");
        let consumed = answer.work.rcu_consumed.expect("it is counted");
        let error = (estimated - consumed).abs() / consumed.max(0.5);
        let factor = estimated.max(consumed) / estimated.min(consumed).max(0.5);
        assert!(
            factor <= 2.0,
            "{estimated} estimated, {consumed} consumed: {}",
            answer.plan.remote
        );
        errors.push(error);
    }
    errors.sort_by(f64::total_cmp);
    assert!(errors.len() >= 50);
    let median = errors[errors.len() / 2];
    assert!(median <= 0.1, "median error {median}: {errors:?}");
}

/// 1,500 items, most of them in one partition, of which a small sample knows nothing.
async fn skewed() -> TestTable {
    let table = TestTable::create("skewed", &[("pk", "S"), ("sk", "N")], &[]).await;
    let items: Vec<Value> = (0..1500)
        .map(|number: usize| {
            let hash = if number.is_multiple_of(5) {
                format!("small{number}")
            } else {
                "big".to_owned()
            };
            json!({"pk": {"S": hash}, "sk": {"N": number.to_string()}, "v": {"S": "x".repeat(1000)}})
        })
        .collect();
    table.put(&items).await;
    table
}

#[tokio::test]
async fn estimates_learn_from_what_was_consumed() {
    let table = skewed().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = || {
        let options = DynamoDbOptions {
            sample_items: 20,
            cache_dir: Some(folder.path().to_owned()),
            ..options()
        };
        DynamoDbConnector::new("events", options).expect("valid")
    };
    let source = Source::open(open(), &table).await;
    let request = source.request(&["sk"], vec![source.equal("pk", Literal::text("big"))]);
    let mut off = Vec::new();
    for _ in 0..12 {
        let answer = source
            .scan(&request)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let estimated = answer.work.rcu_estimated.expect("it is estimated");
        let consumed = answer.work.rcu_consumed.expect("it is counted");
        off.push(estimated.max(consumed) / estimated.min(consumed));
    }
    assert!(off[0] > 3.0, "nothing to learn: {off:?}");
    assert!(off[11] < 1.5, "nothing was learned: {off:?}");
    // The next process knows it, too, as far as it was written.
    let again = Source::open(open(), &table).await;
    let plan = again
        .connector
        .plan_scan(&request)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let notes = plan.notes.join("\n");
    assert!(
        notes.contains("when the same partitions were read before"),
        "{notes}"
    );
    // A read that stops early teaches nothing.
    let mut limited = request.clone();
    limited.limit = Some(1);
    for _ in 0..3 {
        source
            .scan(&limited)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let answer = source
        .scan(&request)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let estimated = answer.work.rcu_estimated.expect("it is estimated");
    let consumed = answer.work.rcu_consumed.expect("it is counted");
    assert!(estimated.max(consumed) / estimated.min(consumed) < 1.5);
}

#[tokio::test]
async fn a_share_of_provisioned_capacity_is_kept_and_told() {
    let table = skewed().await;
    table.provision(400).await;
    let options = DynamoDbOptions {
        max_capacity_share: Some(0.1),
        ..options()
    };
    let connector = DynamoDbConnector::new("events", options).expect("valid");
    let source = Source::open(connector, &table).await;
    let request = source.request(&["sk"], Vec::new());
    let started = std::time::Instant::now();
    let answer = source
        .scan(&request)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let consumed = answer.work.rcu_consumed.expect("it is counted");
    assert_eq!(answer.rows.len(), 1500);
    assert!(consumed > 150.0, "{consumed}");
    // A second's worth may be taken at once.
    let least = consumed / 40.0 - 1.5;
    assert!(
        started.elapsed().as_secs_f64() >= least,
        "{consumed} RCU in {:?}",
        started.elapsed()
    );
    let estimate = &answer.plan.estimate;
    assert_eq!(estimate.money, None);
    let seconds = estimate.seconds.expect("it is estimated");
    assert!((3.0..8.0).contains(&seconds), "{seconds}");
    let share = estimate.capacity_share.expect("it is estimated");
    assert!((share - 0.1).abs() < 0.01, "{share}");
    let notes = answer.plan.notes.join("\n");
    assert!(
        notes.contains("400 RCU a second provisioned") && notes.contains("paid by the hour"),
        "{notes}"
    );
}

#[tokio::test]
async fn on_demand_reads_have_a_price() {
    let table = skewed().await;
    let options = DynamoDbOptions {
        price_per_million_rcu: Some(0.2),
        ..options()
    };
    let connector = DynamoDbConnector::new("events", options).expect("valid");
    let source = Source::open(connector, &table).await;
    let request = source.request(&["sk"], vec![source.equal("pk", Literal::text("big"))]);
    let plan = source
        .connector
        .plan_scan(&request)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let money = plan.estimate.money.clone().expect("there is a price");
    let rcu = plan.estimate.rcu.expect("it is estimated");
    assert_eq!(money.currency, "USD");
    assert!((money.amount - rcu * 0.2 / 1e6).abs() < 1e-12);
    let lost: Vec<&str> = plan
        .estimate
        .alternatives
        .iter()
        .map(|other| other.access.as_str())
        .collect();
    assert!(
        lost.iter().any(|access| access.contains("scan")),
        "{lost:?}"
    );
    assert!(plan.notes.iter().any(|note| note.starts_with("expected: ")));
}

fn requests(source: &Source) -> Vec<ScanRequest> {
    use CompareOperator::{Greater, GreaterOrEqual, Less};
    let customer =
        |number: usize| source.equal("customer", Literal::text(format!("customer{number}")));
    let number = |operator, value| source.compare("number", operator, Literal::int64(value));
    let status = |status: &str| source.equal("status", Literal::text(status));
    let day = |operator, day: &str| source.compare("day", operator, Literal::text(day));
    let all = &["customer", "number", "note"];
    let mut requests = vec![
        source.request(all, Vec::new()),
        source.request(&[], Vec::new()),
        source.request(all, vec![source.equal("note", Literal::text("nothing"))]),
        source.request(
            &["customer"],
            vec![Expression::IsNotNull(Box::new(source.column("flag")))],
        ),
        source.request(
            &["customer"],
            vec![source.equal("flag", Literal::text("check"))],
        ),
    ];
    for value in [3, 17, 42] {
        requests.push(source.request(all, vec![customer(value)]));
        requests.push(source.request(&[], vec![customer(value)]));
        requests.push(source.request(
            all,
            vec![customer(value), number(CompareOperator::Equal, 7)],
        ));
        requests.push(source.request(all, vec![customer(value), status("open")]));
    }
    for (operator, bound) in [
        (Less, 10),
        (Less, 30),
        (Greater, 45),
        (GreaterOrEqual, 20),
        (Less, 55),
    ] {
        requests.push(source.request(all, vec![customer(5), number(operator, bound)]));
        requests.push(source.request(
            all,
            vec![customer(6), number(operator, bound), status("delivered")],
        ));
    }
    for (lower, upper) in [(5, 20), (10, 50), (30, 40)] {
        requests.push(source.request(
            all,
            vec![
                customer(8),
                number(GreaterOrEqual, lower),
                number(Less, upper),
            ],
        ));
    }
    for count in [2, 10, 40] {
        let customers = (0..count)
            .map(|value| Literal::text(format!("customer{value}")))
            .collect();
        requests.push(source.request(all, vec![source.among("customer", customers)]));
        let numbers = (0..count as i64).map(Literal::int64).collect();
        requests.push(source.request(all, vec![customer(9), source.among("number", numbers)]));
    }
    for value in ["returned", "open", "delivered"] {
        let dated = |operator, bound| vec![status(value), day(operator, bound)];
        requests.push(source.request(all, dated(Less, "2026-04-01")));
        requests.push(source.request(all, dated(Greater, "2026-09-01")));
        let complete = Expression::IsNotNull(Box::new(source.column("day")));
        requests.push(source.request(all, vec![status(value), complete]));
    }
    for value in ["agent3", "agent50"] {
        requests.push(source.request(all, vec![source.equal("agent", Literal::text(value))]));
        requests.push(source.request(
            &["note"],
            vec![source.equal("agent", Literal::text(value)), status("open")],
        ));
    }
    for limit in [1, 20, 500] {
        let mut request = source.request(all, Vec::new());
        request.limit = Some(limit);
        requests.push(request);
        let mut request = source.request(all, vec![customer(11)]);
        request.limit = Some(limit.min(30));
        request.ordering = vec![SortKey {
            expression: source.column("number"),
            direction: SortDirection::Descending,
            nulls: NullsOrder::Last,
        }];
        requests.push(request);
    }
    requests
}

#[tokio::test]
async fn samples_are_counted_by_table() {
    let table = TestTable::create("sampled", &[("id", "S")], &[]).await;
    table.put(&[json!({"id": {"S": "a"}})]).await;
    let connector = connector();
    assert!(connector.sampled().is_empty());
    for _ in 0..2 {
        let found = connector.table("default", &table.name).await;
        assert!(found.expect("described").is_some());
        // The columns are known the second time.
        let sampled = connector.sampled();
        assert_eq!(sampled.len(), 1);
        let work = sampled[&format!("default.{}", table.name)];
        assert_eq!(
            (work.requests, work.items, work.capacity_units),
            (1, 1, 0.5)
        );
        assert!(work.bytes > 0);
    }
}
