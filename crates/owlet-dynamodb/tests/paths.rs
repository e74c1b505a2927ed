//! Access paths: the right one is chosen, and each answers what a whole scan would.

mod support;

use arrow::datatypes::DataType;
use owlet_connector::{
    Budget, CompareOperator, ConnectorError, Exactness, Expression, Literal, NullsOrder,
    SortDirection, SortKey,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions, ScanPolicy};
use serde_json::{Value, json};
use support::{Answer, Index, Source, TestTable, connector, options, texts};

/// Orders of customers: `pk` S, `sk` N, with an index by status that lacks items without `shipped`.
async fn orders(label: &str) -> TestTable {
    let indexes = [
        Index::global("by_status", &[("status", "S")]),
        Index::global("by_status_shipped", &[("status", "S"), ("shipped", "N")]),
        Index {
            projection: "KEYS_ONLY",
            ..Index::global("by_city", &[("city", "S")])
        },
        Index {
            projection: "INCLUDE",
            include: &["note"],
            ..Index::global("by_agent", &[("agent", "S")])
        },
        Index {
            local: true,
            ..Index::global("by_total", &[("pk", "S"), ("total", "N")])
        },
    ];
    let table = TestTable::create(label, &[("pk", "S"), ("sk", "N")], &indexes).await;
    let mut items: Vec<Value> = Vec::new();
    for customer in 0..40 {
        for order in 0..10 {
            let number = customer * 10 + order;
            let mut item = json!({
                "pk": {"S": format!("c{customer}")}, "sk": {"N": order.to_string()},
                "status": {"S": (["new", "paid", "sent"][number % 3])},
                "city": {"S": format!("city{}", number % 20)}, "agent": {"S": format!("agent{}", number % 30)},
                "note": {"S": format!("note {number}")}, "padding": {"S": "x".repeat(300)},
            });
            if number % 4 != 0 {
                item["shipped"] = json!({"N": number.to_string()});
            }
            if number % 5 != 0 {
                item["total"] = json!({"N": format!("{}.5", number)});
            }
            items.push(item);
        }
    }
    table.put(&items).await;
    table
}

fn access(answer: &Answer) -> &str {
    &answer.work.access
}

#[tokio::test]
async fn full_keys_are_got_and_duplicates_and_nulls_do_no_harm() {
    let table = orders("keys").await;
    let source = Source::open(connector(), &table).await;
    let one = source
        .rows(
            &["note"],
            vec![
                source.equal("pk", Literal::text("c3")),
                source.equal("sk", Literal::int64(4)),
            ],
        )
        .await;
    assert_eq!((access(&one), one.work.requests), ("get item", 1));
    assert_eq!(one.rows, texts(&[&["note 34"]]));
    assert_eq!(one.plan.filters, [Exactness::Exact, Exactness::Exact]);
    assert_eq!(one.work.rcu_consumed, Some(0.5));

    let keys: Vec<Literal> = (0..40)
        .chain(0..40)
        .map(|customer| Literal::text(format!("c{customer}")))
        .chain([
            Literal::null(DataType::Utf8),
            Literal::text(""),
            Literal::text("nobody"),
        ])
        .collect();
    let orders: Vec<Literal> = (0..7).map(Literal::int64).collect();
    let many = source
        .rows(
            &["pk", "sk"],
            vec![source.among("pk", keys), source.among("sk", orders)],
        )
        .await;
    assert_eq!(many.rows.len(), 280);
    let mut unique = many.sorted();
    unique.dedup();
    assert_eq!(unique.len(), 280, "no item twice");
}

#[tokio::test]
async fn two_hundred_and_fifty_keys_with_duplicates() {
    let table = TestTable::create("batch", &[("id", "N")], &[]).await;
    let items: Vec<Value> = (0..3000)
        .map(|id| json!({"id": {"N": id.to_string()}, "v": {"S": "x".repeat(500)}}))
        .collect();
    table.put(&items).await;
    let source = Source::open(connector(), &table).await;
    let keys = (0..250).chain(100..150).map(Literal::int64).collect();
    let answer = source.rows(&["id"], vec![source.among("id", keys)]).await;
    assert_eq!(
        (access(&answer), answer.work.requests),
        ("batch get item", 3)
    );
    assert_eq!(answer.rows.len(), 250);
    assert_eq!(answer.work.rcu_consumed, Some(125.0));
    assert_eq!(answer.plan.estimate.rcu, Some(125.0));
}

#[tokio::test]
async fn sort_key_conditions_become_queries() {
    let table = orders("ranges").await;
    let source = Source::open(connector(), &table).await;
    let pk = || source.equal("pk", Literal::text("c7"));
    let sk = |operator, value| source.compare("sk", operator, Literal::int64(value));
    use CompareOperator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    for (conditions, expected, remote) in [
        (vec![sk(Less, 3)], 3, "sk <= 2"),
        (vec![sk(LessOrEqual, 3)], 4, "sk <= 3"),
        (vec![sk(Greater, 3)], 6, "sk >= 4"),
        (vec![sk(GreaterOrEqual, 3)], 7, "sk >= 3"),
        (vec![sk(Greater, 3), sk(Less, 6)], 2, "sk BETWEEN 4 AND 5"),
        (
            vec![sk(GreaterOrEqual, 3), sk(LessOrEqual, 6)],
            4,
            "sk BETWEEN 3 AND 6",
        ),
    ] {
        let mut filters = vec![pk()];
        filters.extend(conditions);
        let answer = source.rows(&["sk"], filters).await;
        assert_eq!(access(&answer), "query", "{:?}", answer.plan);
        assert_eq!(answer.rows.len(), expected, "{remote}");
        assert!(
            answer.plan.remote.contains(remote),
            "{}",
            answer.plan.remote
        );
        assert!(
            answer
                .plan
                .filters
                .iter()
                .all(|filter| *filter == Exactness::Exact)
        );
    }
    let nothing = source
        .rows(&["sk"], vec![pk(), sk(Greater, 6), sk(Less, 3)])
        .await;
    assert_eq!(
        (nothing.rows.len(), nothing.work.requests),
        (0, 0),
        "a contradiction asks nothing"
    );
}

#[tokio::test]
async fn like_with_a_prefix_is_a_query_and_wildcards_in_values_are_plain() {
    let table = TestTable::create("like", &[("pk", "S"), ("sk", "S")], &[]).await;
    let sks = ["100%", "100_", "1000", "50%", "a%b", "ab", "é1", "é2"];
    let items: Vec<Value> =
        sks.iter()
            .map(|sk| json!({"pk": {"S": "p"}, "sk": {"S": sk}}))
            .chain((0..2000).map(
                |number| json!({"pk": {"S": format!("q{number}")}, "sk": {"S": "x".repeat(700)}}),
            ))
            .collect();
    table.put(&items).await;
    let source = Source::open(connector(), &table).await;
    let like = |pattern: &str| Expression::Like {
        expression: Box::new(source.column("sk")),
        pattern: Box::new(Expression::Literal(Literal::text(pattern))),
        escape: None,
        negated: false,
        case_insensitive: false,
    };
    for (pattern, expected, exact) in [
        ("100%", vec!["100%", "1000", "100_"], true),
        (r"100\%", vec!["100%"], true),
        (r"100\_%", vec!["100_"], true),
        ("é%", vec!["é1", "é2"], true),
        ("a%b", vec!["a%b", "ab"], false),
    ] {
        let answer = source
            .rows(
                &["sk"],
                vec![source.equal("pk", Literal::text("p")), like(pattern)],
            )
            .await;
        let found: Vec<String> = answer
            .sorted()
            .into_iter()
            .map(|row| row[0].clone())
            .collect();
        assert_eq!(found, expected, "{pattern}");
        assert_eq!(
            answer.plan.filters[1] == Exactness::Exact,
            exact,
            "{pattern}"
        );
        assert!(access(&answer) != "scan", "{}", access(&answer));
    }
}

#[tokio::test]
async fn alternatives_of_different_keys_are_queries_without_duplicates() {
    let table = orders("or").await;
    let source = Source::open(connector(), &table).await;
    let pair = |pk: &str, operator, sk: i64| {
        Expression::And(vec![
            source.equal("pk", Literal::text(pk)),
            source.compare("sk", operator, Literal::int64(sk)),
        ])
    };
    use CompareOperator::{Equal, Greater, Less};
    let apart = Expression::Or(vec![pair("c1", Equal, 3), pair("c2", Equal, 4)]);
    let answer = source.rows(&["pk", "sk"], vec![apart]).await;
    assert_eq!(access(&answer), "batch get item");
    assert_eq!(answer.sorted(), texts(&[&["c1", "3"], &["c2", "4"]]));
    assert_eq!(answer.plan.filters, [Exactness::Exact]);

    let overlapping = Expression::Or(vec![
        pair("c1", Greater, 3),
        pair("c1", Less, 6),
        pair("c2", Equal, 1),
    ]);
    let answer = source.rows(&["pk", "sk"], vec![overlapping]).await;
    assert!(
        matches!(answer.plan.filters[0], Exactness::Inexact(_)),
        "{:?}",
        answer.plan.filters
    );
    let mut rows = answer.sorted();
    rows.dedup();
    assert_eq!(rows.len(), 11, "c1 whole once, c2 one");
    assert_eq!(answer.rows.len(), 11);
}

#[tokio::test]
async fn an_index_is_used_only_when_it_holds_every_item_and_attribute() {
    let table = orders("sparse").await;
    let source = Source::open(connector(), &table).await;
    let sent = || source.equal("status", Literal::text("sent"));
    let complete = source.rows(&["pk", "sk", "note"], vec![sent()]).await;
    assert_eq!(access(&complete), "query on index by_status");
    assert_eq!(complete.rows.len(), 133);
    let notes = complete.plan.notes.join("\n");
    assert!(
        notes.contains("by_status_shipped not used") && notes.contains("IS NOT NULL"),
        "{notes}"
    );

    let shipped = source.compare("shipped", CompareOperator::Greater, Literal::int64(300));
    let range = source.rows(&["pk", "sk"], vec![sent(), shipped]).await;
    assert_eq!(access(&range), "query on index by_status_shipped");
    assert_eq!(range.rows.len(), 25, "{range:?}");

    let city = || source.equal("city", Literal::text("city3"));
    let keys_only = source.rows(&["pk", "sk", "city"], vec![city()]).await;
    assert_eq!(
        (access(&keys_only), keys_only.rows.len()),
        ("query on index by_city", 20)
    );
    let more = source.rows(&["pk", "note"], vec![city()]).await;
    assert_eq!((access(&more), more.rows.len()), ("scan", 20));
    let whole = source.rows(&["_item"], vec![city()]).await;
    assert_eq!((access(&whole), whole.rows.len()), ("scan", 20));
    let agent = || source.equal("agent", Literal::text("agent3"));
    let included = source.rows(&["note"], vec![agent()]).await;
    assert_eq!(access(&included), "query on index by_agent");

    let local = source
        .rows(
            &["sk", "total"],
            vec![
                source.equal("pk", Literal::text("c7")),
                source.compare(
                    "total",
                    CompareOperator::Greater,
                    Literal {
                        value: owlet_connector::LiteralValue::Integer(720),
                        data_type: DataType::Decimal128(38, 1),
                    },
                ),
            ],
        )
        .await;
    assert_eq!(local.rows.len(), 7, "{local:?}");
}

#[tokio::test]
async fn a_sparse_index_is_scanned_when_the_query_wants_only_its_items() {
    let table = TestTable::create(
        "flagged",
        &[("id", "S")],
        &[Index::global("flagged", &[("flag", "S")])],
    )
    .await;
    let items: Vec<Value> = (0..2000)
        .map(|id| {
            let mut item = json!({"id": {"S": id.to_string()}, "v": {"S": "x".repeat(300)}});
            if id % 100 == 0 {
                item["flag"] = json!({"S": "x"});
            }
            item
        })
        .collect();
    table.put(&items).await;
    let source = Source::open(connector(), &table).await;
    let flagged = Expression::IsNotNull(Box::new(source.column("flag")));
    let answer = source.rows(&["id"], vec![flagged]).await;
    assert_eq!(
        (access(&answer), answer.rows.len()),
        ("scan of index flagged", 20)
    );
}

#[tokio::test]
async fn order_and_limit_come_from_the_sort_key() {
    let table = orders("order").await;
    let source = Source::open(connector(), &table).await;
    let mut request = source.request(&["sk"], vec![source.equal("pk", Literal::text("c9"))]);
    request.ordering = vec![SortKey {
        expression: source.column("sk"),
        direction: SortDirection::Descending,
        nulls: NullsOrder::Last,
    }];
    request.limit = Some(3);
    let answer = source.scan(&request).await.expect("a query works");
    assert!(answer.plan.ordering_applied && answer.plan.limit_applied);
    assert_eq!(answer.rows, texts(&[&["9"], &["8"], &["7"]]));
    assert_eq!(answer.work.rows_read, 3, "no more is read");

    request.filters = vec![source.among("pk", vec![Literal::text("c1"), Literal::text("c2")])];
    let several = source.scan(&request).await.expect("queries work");
    assert!(several.plan.ordering_applied && !several.plan.limit_applied);
    assert_eq!(several.plan.splits.len(), 2);
    assert_eq!(
        several.rows,
        texts(&[&["9"], &["8"], &["7"], &["9"], &["8"], &["7"]])
    );
}

#[tokio::test]
async fn limits_stop_early_and_counts_are_counted_by_the_service() {
    let table = orders("limit").await;
    let source = Source::open(connector(), &table).await;
    let mut request = source.request(&["pk"], Vec::new());
    request.limit = Some(5);
    let few = source.scan(&request).await.expect("a scan works");
    assert_eq!((few.rows.len(), few.work.rows_read), (5, 5));

    request.filters = vec![source.equal("city", Literal::text("city3"))];
    let filtered = source.scan(&request).await.expect("a scan works");
    assert!(filtered.plan.limit_applied);
    assert_eq!(filtered.rows.len(), 5);

    let counted = source
        .rows(&[], vec![source.equal("city", Literal::text("city3"))])
        .await;
    assert_eq!(counted.rows.len(), 20);
    assert!(
        counted.plan.remote.contains("count only") && counted.work.bytes < 300,
        "{counted:?}"
    );
    let all = source.rows(&[], Vec::new()).await;
    assert_eq!(all.rows.len(), 400);
}

#[tokio::test]
async fn more_than_a_page_is_read_whole_in_any_number_of_segments() {
    let table = TestTable::create("pages", &[("id", "S")], &[]).await;
    let mut items: Vec<Value> = (0..60)
        .map(|id| json!({"id": {"S": format!("big{id}")}, "n": {"N": id.to_string()}, "v": {"S": "é".repeat(100_000)}}))
        .collect();
    items.push(json!({"id": {"S": "huge"}, "n": {"N": "60"}, "v": {"S": "x".repeat(400_000)}}));
    table.put(&items[..50]).await;
    for item in &items[50..] {
        table.put(std::slice::from_ref(item)).await;
    }
    for segments in [None, Some(1), Some(7)] {
        let options = DynamoDbOptions {
            segments,
            ..options()
        };
        let source = Source::open(
            DynamoDbConnector::new("events", options).expect("valid"),
            &table,
        )
        .await;
        let answer = source.rows(&["id", "n"], Vec::new()).await;
        assert_eq!(answer.rows.len(), 61);
        assert_eq!(answer.work.rows_read, 61);
        assert!(answer.work.requests >= 10, "{:?}", answer.work);
        // A filter that drops everything still follows empty pages to the end.
        let nothing = source
            .rows(&["id"], vec![source.equal("n", Literal::int64(-1))])
            .await;
        assert_eq!((nothing.rows.len(), nothing.work.rows_read), (0, 61));
        let last = source
            .rows(&["id"], vec![source.equal("n", Literal::int64(60))])
            .await;
        assert_eq!(last.rows, texts(&[&["huge"]]));
    }
}

#[tokio::test]
async fn joins_look_keys_up_when_that_is_cheaper() {
    let table = orders("joins").await;
    let source = Source::open(connector(), &table).await;
    let mut request = source.request(&["pk", "sk", "note"], Vec::new());
    request.lookup_columns = vec![source.position("pk")];
    let in_output = |values: Vec<Literal>| match source.among("pk", values) {
        Expression::InList {
            expression,
            list,
            negated,
        } => {
            let Expression::Column(mut column) = *expression else {
                panic!("a column")
            };
            column.index = 0;
            Expression::InList {
                expression: Box::new(Expression::Column(column)),
                list,
                negated,
            }
        }
        other => panic!("{other:?}"),
    };
    let budget = Budget::default;
    let few = vec![in_output(vec![
        Literal::text("c1"),
        Literal::text("c1"),
        Literal::text("nobody"),
    ])];
    let looked_up = source
        .scan_with(&request, budget(), few)
        .await
        .expect("look-ups work");
    assert_eq!(
        (looked_up.rows.len(), access(&looked_up)),
        (10, "query by join keys")
    );
    let many = (0..40)
        .map(|customer| Literal::text(format!("c{customer}")))
        .collect();
    let scanned = source
        .scan_with(&request, budget(), vec![in_output(many)])
        .await
        .expect("a scan works");
    assert_eq!((scanned.rows.len(), access(&scanned)), (400, "scan"));
    let without = source
        .scan_with(&request, budget(), Vec::new())
        .await
        .expect("a scan works");
    assert_eq!(without.rows.len(), 400);
    let empty = vec![Expression::Literal(Literal::boolean(false))];
    let none = source
        .scan_with(&request, budget(), empty)
        .await
        .expect("nothing works");
    assert_eq!((none.rows.len(), none.work.requests), (0, 0));
}

#[tokio::test]
async fn budgets_and_scan_policies_refuse() {
    let table = orders("budget").await;
    let source = Source::open(connector(), &table).await;
    let request = source.request(&["note"], Vec::new());
    let budget = Budget {
        max_rcu: Some(5.0),
        ..Budget::default()
    };
    let error = source
        .scan_with(&request, budget, Vec::new())
        .await
        .expect_err("the scan costs more");
    assert!(
        matches!(error, ConnectorError::BudgetExceeded { .. }),
        "{error}"
    );

    let careful = DynamoDbOptions {
        scan: ScanPolicy::Deny,
        ..options()
    };
    let careful = Source::open(
        DynamoDbConnector::new("events", careful).expect("valid"),
        &table,
    )
    .await;
    let error = careful.scan(&request).await.expect_err("scans are denied");
    assert!(
        matches!(error, ConnectorError::BudgetExceeded { .. }),
        "{error}"
    );
    let by_key = careful
        .rows(&["note"], vec![careful.equal("pk", Literal::text("c1"))])
        .await;
    assert_eq!(by_key.rows.len(), 10);
}

#[tokio::test]
async fn odd_attribute_names_are_read_and_filtered() {
    let table = TestTable::create("names", &[("a.b", "S"), ("a-b", "N")], &[]).await;
    let names = [
        "a_b",
        "select",
        "Size",
        "size",
        "with space",
        "ünï",
        "#x",
        ":y",
        "a[0]",
        "\"q\"",
    ];
    let mut item = json!({"a.b": {"S": "k"}, "a-b": {"N": "1"}});
    for (number, name) in names.iter().enumerate() {
        item[*name] = json!({"N": number.to_string()});
    }
    table
        .put(&[item, json!({"a.b": {"S": "other"}, "a-b": {"N": "2"}})])
        .await;
    let source = Source::open(connector(), &table).await;
    for (number, name) in names.iter().enumerate() {
        let column = match *name {
            "Size" => "size_2".to_owned(),
            other => other.to_lowercase(),
        };
        let number = i64::try_from(number).expect("small");
        let answer = source
            .rows(
                &["a.b", &column],
                vec![source.equal(&column, Literal::int64(number))],
            )
            .await;
        assert_eq!(
            answer.rows,
            vec![vec!["k".to_owned(), number.to_string()]],
            "{name}"
        );
        assert_eq!(answer.plan.filters, [Exactness::Exact]);
    }
    let by_key = source
        .rows(
            &["a_b"],
            vec![
                source.equal("a.b", Literal::text("k")),
                source.equal("a-b", Literal::int64(1)),
            ],
        )
        .await;
    assert_eq!((access(&by_key), by_key.rows.len()), ("get item", 1));
}

#[tokio::test]
async fn numeric_and_binary_keys_are_exact() {
    let table = TestTable::create("numkeys", &[("n", "N"), ("b", "B")], &[]).await;
    let numbers = [
        "9007199254740993",
        "9007199254740992",
        "-9223372036854775808",
        "0",
    ];
    let items: Vec<Value> = numbers
        .iter()
        .flat_map(|number| {
            ["AA==", "/w==", "AP8="].map(|binary| json!({"n": {"N": number}, "b": {"B": binary}}))
        })
        .collect();
    table.put(&items).await;
    let source = Source::open(connector(), &table).await;
    let binary = |bytes: &[u8]| Literal {
        value: owlet_connector::LiteralValue::Binary(bytes.to_vec()),
        data_type: DataType::Binary,
    };
    let number = || source.equal("n", Literal::int64(9_007_199_254_740_993));
    let one = source
        .rows(
            &["n", "b"],
            vec![number(), source.equal("b", binary(&[0, 255]))],
        )
        .await;
    assert_eq!(one.rows, texts(&[&["9007199254740993", "00ff"]]));
    let range = source
        .rows(
            &["b"],
            vec![
                number(),
                source.compare("b", CompareOperator::Greater, binary(&[0])),
            ],
        )
        .await;
    assert_eq!(range.sorted(), texts(&[&["00ff"], &["ff"]]));
}
