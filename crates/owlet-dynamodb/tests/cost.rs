//! Estimated read capacity units against those consumed.

mod support;

use owlet_connector::{
    CompareOperator, Expression, Literal, NullsOrder, ScanRequest, SortDirection, SortKey,
};
use owlet_dynamodb::DynamoDbConnector;
use serde_json::{Value, json};
use support::{Index, Source, TestTable, options};

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
