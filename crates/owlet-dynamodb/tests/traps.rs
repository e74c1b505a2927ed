//! What DynamoDB does differently from SQL, one trap a test.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_schema::DataType;
use futures::TryStreamExt as _;
use owlet_connector::{
    Budget, CompareOperator, Connector as _, Exactness, Expression, Literal, LiteralValue,
    NullsOrder, QueryWork, ScanContext, ScanDescription, SortDirection, SortKey,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions};
use serde_json::{Value, json};
use support::{Index, Source, TestTable, connector, everywhere, options, text_rows, texts};
use tokio_util::sync::CancellationToken;

fn not(expression: Expression) -> Expression {
    Expression::Not(Box::new(expression))
}

async fn ids(source: &Source, filter: Expression) -> String {
    let rows = source.rows(&["id"], vec![filter]).await.sorted();
    let ids: Vec<String> = rows.into_iter().flatten().collect();
    ids.join(" ")
}

#[tokio::test]
async fn missing_null_and_empty_are_told_apart() {
    // Not dynalite: its attribute_type does not hold an empty text to be one, as DynamoDB Local does.
    {
        let table = TestTable::create("empties", &[("id", "S")], &[]).await;
        table
            .put(&[
                json!({"id": {"S": "missing"}}),
                json!({"id": {"S": "null"}, "t": {"NULL": true}, "l": {"NULL": true}, "n": {"NULL": true}}),
                json!({"id": {"S": "empty"}, "t": {"S": ""}, "l": {"L": []}, "m": {"M": {}}, "n": {"N": "0"}}),
                json!({"id": {"S": "value"}, "t": {"S": "a"}, "l": {"L": [{"S": "x"}]}, "m": {"M": {"k": {"S": "v"}}}, "n": {"N": "1"}}),
            ])
            .await;
        let source = Source::open(connector(), &table).await;
        let text = |value: &str| source.equal("t", Literal::text(value));
        let differs =
            |value: &str| source.compare("t", CompareOperator::NotEqual, Literal::text(value));
        let is_null = |name: &str| Expression::IsNull(Box::new(source.column(name)));
        assert_eq!(ids(&source, is_null("t")).await, "missing null");
        assert_eq!(ids(&source, not(is_null("t"))).await, "empty value");
        assert_eq!(ids(&source, text("")).await, "empty");
        assert_eq!(ids(&source, differs("a")).await, "empty");
        assert_eq!(ids(&source, differs("")).await, "value");
        assert_eq!(ids(&source, not(text("a"))).await, "empty");
        assert_eq!(
            ids(
                &source,
                not(source.among("t", vec![Literal::text("a"), Literal::text("b")]))
            )
            .await,
            "empty"
        );
        let below = source.compare("n", CompareOperator::Less, Literal::int64(1));
        assert_eq!(ids(&source, below.clone()).await, "empty");
        assert_eq!(ids(&source, not(below)).await, "value");
        assert_eq!(ids(&source, is_null("l")).await, "missing null");
        assert_eq!(ids(&source, is_null("m")).await, "missing null");
        let rows = source
            .rows(&["id", "t", "l", "m"], Vec::new())
            .await
            .sorted();
        assert_eq!(
            rows,
            texts(&[
                &["empty", "", "[]", "{k: NULL}"],
                &["missing", "NULL", "NULL", "NULL"],
                &["null", "NULL", "NULL", "NULL"],
                &["value", "a", "[x]", "{k: v}"],
            ])
        );
    }
}

#[tokio::test]
async fn names_that_differ_by_case_are_different_columns() {
    everywhere(|| async {
        let table = TestTable::create("cases", &[("ID", "S")], &[]).await;
        table
            .put(&[json!({"ID": {"S": "a"}, "id": {"N": "1"}, "Id": {"N": "2"}, "size": {"N": "3"}, "SIZE": {"N": "4"}})])
            .await;
        let source = Source::open(connector(), &table).await;
        let columns: BTreeMap<&str, &str> = source
            .metadata
            .columns
            .iter()
            .map(|column| (column.source_name.as_str(), column.name.as_str()))
            .collect();
        assert_eq!(columns["ID"], "id", "the key comes first");
        let mut names: Vec<&str> = source.metadata.columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["_item", "id", "id_2", "id_3", "size", "size_2"]);
        for (attribute, value) in [("id", 1), ("Id", 2), ("size", 3), ("SIZE", 4)] {
            let found = source.rows(&[columns[attribute]], vec![source.equal(columns[attribute], Literal::int64(value))]).await;
            assert_eq!(found.rows, vec![vec![value.to_string()]], "{attribute}");
        }
    })
    .await;
}

#[tokio::test]
async fn values_nest_to_depth_32() {
    let table = TestTable::create("depth", &[("id", "S")], &[]).await;
    // The attribute's own map is level 1.
    let mut map = json!({"N": "7"});
    let mut list = json!({"S": "bottom"});
    for _ in 0..31 {
        map = json!({"M": {"D": map}});
        list = json!({"L": [list]});
    }
    table
        .put(&[
            json!({"id": {"S": "deep"}, "m": map, "l": list}),
            json!({"id": {"S": "flat"}, "m": {"M": {}}}),
        ])
        .await;
    let source = Source::open(connector(), &table).await;
    let rows = source
        .rows(&["id", "m", "l", "_item"], Vec::new())
        .await
        .sorted();
    assert!(
        rows[0][1].contains('7') && rows[0][1].matches("d: ").count() == 31,
        "{rows:?}"
    );
    assert!(rows[0][2].contains("bottom"), "{rows:?}");
    let item: Value = serde_json::from_str(&rows[0][3]).expect("it is JSON");
    let mut place = &item["m"];
    for _ in 0..31 {
        place = &place["D"];
    }
    assert_eq!(place, &json!(7));
    // A filter on the innermost member runs at DynamoDB.
    let mut field = source.column("m");
    let mut data_type = source.metadata.columns[source.position("m")]
        .data_type
        .clone();
    for _ in 0..31 {
        let DataType::Struct(fields) = &data_type else {
            panic!("{data_type} is no row");
        };
        data_type = fields[0].data_type().clone();
        field = Expression::Field {
            expression: Box::new(field),
            name: "d".to_owned(),
            data_type: data_type.clone(),
        };
    }
    let filter = Expression::Compare {
        operator: CompareOperator::Equal,
        left: Box::new(field),
        right: Box::new(Expression::Literal(Literal::int64(7))),
    };
    let found = source.rows(&["id"], vec![filter]).await;
    assert_eq!(
        found.plan.filters,
        [Exactness::Exact],
        "{:?}",
        found.plan.notes
    );
    assert_eq!(found.rows, texts(&[&["deep"]]));
}

#[tokio::test]
async fn items_of_400_kb_and_partitions_of_many_pages() {
    let table = TestTable::create("hot", &[("pk", "S"), ("sk", "N")], &[]).await;
    // 400 KB with names and keys.
    let largest = 400 * 1024 - "pk".len() - "hot".len() - "sk".len() - 2 - "v".len();
    for number in 0..12 {
        let item = json!({"pk": {"S": "hot"}, "sk": {"N": number.to_string()}, "v": {"S": "x".repeat(largest)}});
        table.put(&[item]).await;
    }
    let small: Vec<Value> = (0..25)
        .map(|number| json!({"pk": {"S": "cold"}, "sk": {"N": number.to_string()}, "v": {"S": ""}}))
        .collect();
    table.put(&small).await;
    let source = Source::open(connector(), &table).await;
    let hot = || source.equal("pk", Literal::text("hot"));
    let whole = source.rows(&["sk", "v"], vec![hot()]).await;
    assert_eq!(whole.plan.access, "query");
    assert_eq!(whole.rows.len(), 12);
    assert!(whole.rows.iter().all(|row| row[1].len() == largest));
    assert!(whole.work.requests >= 4, "{:?}", whole.work);
    let estimated = whole.work.rcu_estimated.expect("it is estimated");
    let consumed = whole.work.rcu_consumed.expect("it is counted");
    assert!(
        consumed > 590.0 && estimated < 2.0 * consumed,
        "{estimated} {consumed}"
    );
    // One item, from the far end, costs one item.
    let mut request = source.request(&["sk"], vec![hot()]);
    request.limit = Some(1);
    request.ordering = vec![SortKey {
        expression: source.column("sk"),
        direction: SortDirection::Descending,
        nulls: NullsOrder::Last,
    }];
    let last = source
        .scan(&request)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(last.rows, texts(&[&["11"]]));
    assert!(
        last.work.rcu_consumed.expect("it is counted") <= 51.0,
        "{:?}",
        last.work
    );
    let key = vec![hot(), source.equal("sk", Literal::int64(3))];
    let one = source.rows(&["sk"], key).await;
    assert_eq!(
        (one.plan.access.as_str(), one.work.rcu_consumed),
        ("get item", Some(50.0))
    );
    // Pages in which the filter leaves nothing are followed to the end.
    let none = source
        .rows(&["sk"], vec![hot(), source.equal("v", Literal::text("y"))])
        .await;
    assert_eq!((none.rows.len(), none.work.rows_read), (0, 12));
}

#[tokio::test]
async fn numbers_at_the_edges_are_keys() {
    everywhere(|| async {
        let table = TestTable::create("edges", &[("n", "N")], &[]).await;
        let digits = "12345678901234567890123456789012345678";
        let numbers = [
            digits,
            "-12345678901234567890123456789012345678",
            "0",
            "9007199254740993",
            "9007199254740992",
        ];
        let items: Vec<Value> = numbers
            .iter()
            .map(|number| json!({"n": {"N": number}}))
            .collect();
        table.put(&items).await;
        table
            .put(&[json!({"n": {"N": "-0"}, "again": {"BOOL": true}})])
            .await;
        let source = Source::open(connector(), &table).await;
        assert_eq!(
            source.metadata.columns[0].data_type,
            DataType::Decimal128(38, 0)
        );
        for number in numbers {
            let literal = Literal {
                value: LiteralValue::Integer(number.parse().expect("it fits")),
                data_type: DataType::Decimal128(38, 0),
            };
            let found = source.rows(&["n"], vec![source.equal("n", literal)]).await;
            assert_eq!(found.plan.access, "get item");
            assert_eq!(found.rows, vec![vec![number.to_owned()]]);
        }
        assert_eq!(
            source.rows(&["n"], Vec::new()).await.rows.len(),
            numbers.len(),
            "-0 is 0"
        );
    })
    .await;
}

#[tokio::test]
async fn indexes_hold_what_they_hold() {
    everywhere(|| async {
        let indexes = [
            Index {
                projection: "KEYS_ONLY",
                ..Index::global("by-state", &[("state", "S"), ("day", "N")])
            },
            Index {
                projection: "INCLUDE",
                include: &["note"],
                ..Index::global("by-agent", &[("agent", "S")])
            },
        ];
        let table = TestTable::create("holding", &[("id", "S")], &indexes).await;
        let items: Vec<Value> = (0..60)
            .map(|number: usize| {
                let mut item = json!({"id": {"S": format!("i{number:02}")}, "state": {"S": if number < 6 { "open" } else { "done" }},
                    "agent": {"S": format!("a{}", number % 20)}, "note": {"S": "n"}, "rest": {"S": "r".repeat(2000)}});
                // Half of the open ones have no day: the index does not hold them.
                if number.is_multiple_of(2) {
                    item["day"] = json!({"N": number.to_string()});
                }
                item
            })
            .collect();
        table.put(&items).await;
        let source = Source::open(connector(), &table).await;
        let open = || source.equal("state", Literal::text("open"));
        let hash_only = source.rows(&["id"], vec![open()]).await;
        assert_eq!(hash_only.rows.len(), 6, "{:?}", hash_only.plan.access);
        assert!(!hash_only.plan.access.contains("by-state"), "{}", hash_only.plan.access);
        let lost = hash_only.plan.estimate.alternatives.iter().find(|other| other.access == "index by-state");
        let lost = lost.expect("it says why the index is not used");
        assert!(lost.reason.contains("day"), "{lost:?}");
        let with_day = Expression::IsNotNull(Box::new(source.column("day")));
        let both = source.rows(&["id", "day"], vec![open(), with_day.clone()]).await;
        assert_eq!((both.plan.access.as_str(), both.rows.len()), ("query on index by-state", 3));
        let more = source.rows(&["id", "note"], vec![open(), with_day]).await;
        assert_eq!(more.rows.len(), 3);
        assert!(!more.plan.access.contains("by-state"), "{}", more.plan.access);
        let agent = || source.equal("agent", Literal::text("a3"));
        let included = source.rows(&["id", "note"], vec![agent()]).await;
        assert_eq!((included.plan.access.as_str(), included.rows.len()), ("query on index by-agent", 3));
        let not_included = source.rows(&["id", "rest"], vec![agent()]).await;
        assert_eq!(not_included.rows.len(), 3);
        assert!(!not_included.plan.access.contains("by-agent"), "{}", not_included.plan.access);
    })
    .await;
}

#[tokio::test]
async fn keys_in_lists_and_alternatives_are_read_once() {
    everywhere(|| async {
        let table = TestTable::create("lists", &[("pk", "S"), ("sk", "S")], &[]).await;
        let items: Vec<Value> = (0..6)
            .flat_map(|hash| {
                ["a%b", "a_b", "ab", "b"].map(|sort| json!({"pk": {"S": format!("p{hash}")}, "sk": {"S": sort}, "x": {"N": hash.to_string()}, "pad": {"S": "x".repeat(2000)}}))
            })
            .collect();
        table.put(&items[..20]).await;
        table.put(&items[20..]).await;
        let source = Source::open(connector(), &table).await;
        let text = |value: &str| Literal::text(value);
        let null = Literal { value: LiteralValue::Null, data_type: DataType::Utf8 };
        let listed = source.among("pk", vec![text("p1"), text("p1"), null, text("p9"), text("p2")]);
        let found = source.rows(&["pk", "sk"], vec![listed]).await;
        assert_eq!(found.rows.len(), 8, "{}", found.plan.access);
        let key = |hash: &str, sort: &str| Expression::And(vec![source.equal("pk", text(hash)), source.equal("sk", text(sort))]);
        let either = Expression::Or(vec![key("p1", "b"), key("p3", "ab"), key("p1", "b"), key("p8", "b")]);
        let found = source.rows(&["pk", "sk"], vec![either]).await;
        assert_eq!(found.plan.access, "batch get item");
        assert_eq!(found.sorted(), texts(&[&["p1", "b"], &["p3", "ab"]]));
        let mixed = Expression::Or(vec![source.equal("pk", text("p1")), source.equal("x", Literal::int64(2))]);
        assert_eq!(source.rows(&["pk"], vec![mixed]).await.rows.len(), 8);
        let like = Expression::Like {
            expression: Box::new(source.column("sk")),
            pattern: Box::new(Expression::Literal(text("a\\%%"))),
            escape: Some('\\'),
            negated: false,
            case_insensitive: false,
        };
        let found = source.rows(&["sk"], vec![source.equal("pk", text("p4")), like]).await;
        assert_eq!(found.rows, texts(&[&["a%b"]]), "{}", found.plan.remote);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_during_a_scan_lose_and_double_no_untouched_item() {
    let table = TestTable::create("written", &[("id", "S")], &[]).await;
    let items: Vec<Value> = (0..400)
        .map(
            |number| json!({"id": {"S": format!("stays{number}")}, "v": {"S": "x".repeat(20_000)}}),
        )
        .collect();
    for chunk in items.chunks(25) {
        table.put(chunk).await;
    }
    let connector = DynamoDbConnector::new(
        "events",
        DynamoDbOptions {
            segments: Some(3),
            ..options()
        },
    )
    .expect("valid");
    let source = Source::open(connector, &table).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (name, is_done) = (table.name.clone(), Arc::clone(&is_done));
        tokio::spawn(async move {
            let mut number = 0;
            while !is_done.load(Ordering::Relaxed) {
                let changed =
                    json!({"id": {"S": format!("new{number}")}, "v": {"S": "y".repeat(30_000)}});
                support::call("PutItem", &json!({"TableName": name, "Item": changed})).await;
                if number >= 3 {
                    let key = json!({"id": {"S": format!("new{}", number - 3)}});
                    support::call("DeleteItem", &json!({"TableName": name, "Key": key})).await;
                }
                number += 1;
            }
            number
        })
    };
    for _ in 0..3 {
        let request = source.request(&["id"], Vec::new());
        let plan = source
            .connector
            .plan_scan(&request)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let recorder = QueryWork::new(Budget::default()).recorder(ScanDescription::default());
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for split in 0..plan.splits.len() {
            let context = ScanContext {
                batch_rows: 50,
                dynamic_filters: Vec::new(),
                work: Arc::clone(&recorder),
                cancellation: CancellationToken::new(),
            };
            let mut batches = source.connector.open(&plan, split, context);
            while let Some(batch) = batches
                .try_next()
                .await
                .unwrap_or_else(|error| panic!("{error}"))
            {
                for row in text_rows(&batch) {
                    *seen.entry(row[0].clone()).or_default() += 1;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        let untouched: Vec<(&String, &usize)> = seen
            .iter()
            .filter(|(id, _)| id.starts_with("stays"))
            .collect();
        assert_eq!(untouched.len(), 400);
        assert!(untouched.iter().all(|(_, times)| **times == 1));
    }
    is_done.store(true, Ordering::Relaxed);
    assert!(writer.await.expect("it writes") > 0);
}
