//! The engine over a source in memory: names, hints to connectors, join-made filters, budgets, errors.

mod support;

use owlet_connector::{Budget, ConnectorError, ErrorCategory, Exactness, Expression};
use owlet_engine::{EngineError, Parameters, QueryOptions};
use support::{MemoryConnector, answer, engine};

fn unsupported() -> Exactness {
    Exactness::Unsupported("memory".to_owned())
}

#[tokio::test]
async fn constants_need_no_source() {
    let engine = engine(&[]);
    let text = answer(
        &engine,
        "SELECT 1 AS one, 'a' || 'b'",
        &QueryOptions::default(),
    )
    .await
    .expect("runs");
    assert_eq!(
        text,
        "+-----+-------+\n| one | _col1 |\n+-----+-------+\n| 1   | ab    |\n+-----+-------+"
    );
}

/// DataFusion has functions of the same names, which fail for years that nanoseconds cannot count. They stood in for
/// Athena's at random.
#[tokio::test]
async fn functions_are_athenas_in_every_query() {
    let engine = engine(&[]);
    let sql = "SELECT CAST(date_trunc('year', TIMESTAMP '1500-10-10 12:00:00') AS varchar) AS t";
    for _ in 0..32 {
        let text = answer(&engine, sql, &QueryOptions::default()).await;
        let text = text.expect("runs");
        assert!(text.contains("| 1500-01-01 00:00:00.000 |"), "{text}");
    }
}

/// They failed as soon as they were asked for: no query had a time.
#[tokio::test]
async fn now_is_the_time_of_the_query() {
    let engine = engine(&[MemoryConnector::new("first", unsupported())]);
    let seconds = async |sql: &str| {
        let text = answer(&engine, sql, &QueryOptions::default()).await;
        let text = text.expect("runs");
        let line = text.lines().nth(3).expect("a row").trim_matches(['|', ' ']);
        line.parse::<f64>().expect("a number")
    };
    let first = seconds("SELECT to_unixtime(now())").await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert!(seconds("SELECT to_unixtime(current_timestamp)").await > first);
    let text = answer(
        &engine,
        "SELECT count(*) AS n FROM first.people WHERE now() = current_timestamp \
         AND current_date > DATE '2020-01-01' - INTERVAL '7' DAY",
        &QueryOptions::default(),
    )
    .await;
    let text = text.expect("runs");
    assert!(text.contains("| 4 |"), "{text}");
}

#[tokio::test]
async fn names_resolve_in_every_form_and_case() {
    let engine = engine(&[
        MemoryConnector::new("first", unsupported()),
        MemoryConnector::new("second", unsupported()),
    ]);
    for name in [
        "first.default.people",
        "FIRST.people",
        "\"First\".\"PEOPLE\"",
        "first.people",
    ] {
        let sql = format!("SELECT count(*) AS n FROM {name} WHERE NAME IS NOT NULL");
        let text = answer(&engine, &sql, &QueryOptions::default())
            .await
            .expect(name);
        assert!(text.contains("| 3 |"), "{name}: {text}");
    }
}

#[tokio::test]
async fn an_unknown_table_is_named_with_a_hint() {
    let engine = engine(&[
        MemoryConnector::new("first", unsupported()),
        MemoryConnector::new("second", unsupported()),
    ]);
    for (sql, hint) in [
        (
            "SELECT * FROM first.peopel",
            "did you mean first.default.people",
        ),
        (
            "SELECT * FROM first.something_else",
            "catalogs: first, second",
        ),
    ] {
        let error = answer(&engine, sql, &QueryOptions::default())
            .await
            .expect_err("unknown");
        assert!(
            matches!(error, EngineError::TableNotFound { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[tokio::test]
async fn duplicate_and_star_columns_keep_their_names() {
    let engine = engine(&[MemoryConnector::new("m", unsupported())]);
    let sql = "SELECT p.*, c.*, p.id FROM people p JOIN cities c ON p.city_id = c.id ORDER BY p.id";
    let text = answer(&engine, sql, &QueryOptions::default())
        .await
        .expect("runs");
    assert!(
        text.contains("| id | name | city_id | id | name | id |"),
        "{text}"
    );
}

#[tokio::test]
async fn filters_are_offered_and_checked_again_unless_exact() {
    let connector = MemoryConnector::new("m", Exactness::Inexact("a superset".to_owned()));
    let engine = engine(std::slice::from_ref(&connector));
    let text = answer(
        &engine,
        "SELECT id FROM people WHERE id >= 3 AND name IS NULL",
        &QueryOptions::default(),
    )
    .await
    .expect("runs");
    assert_eq!(text, "+----+\n| id |\n+----+\n| 3  |\n+----+");
    let requests = connector.requests.lock().expect("unpoisoned");
    assert_eq!(requests.last().expect("asked").filters.len(), 2);
}

#[tokio::test]
async fn pushdown_off_only_reads_columns() {
    let connector = MemoryConnector::new("m", unsupported());
    let engine = engine(std::slice::from_ref(&connector));
    let options = QueryOptions {
        pushdown: owlet_engine::Pushdown::Off,
        ..QueryOptions::default()
    };
    answer(
        &engine,
        "SELECT id FROM people WHERE id >= 3 ORDER BY id LIMIT 1",
        &options,
    )
    .await
    .expect("runs");
    let requests = connector.requests.lock().expect("unpoisoned");
    let request = requests.last().expect("asked");
    assert!(
        request.filters.is_empty() && request.limit.is_none() && request.ordering.is_empty(),
        "{request:?}"
    );
}

#[tokio::test]
async fn exact_filters_spare_their_columns() {
    let connector = MemoryConnector::new("m", Exactness::Exact);
    let engine = engine(std::slice::from_ref(&connector));
    answer(
        &engine,
        "SELECT count(*) FROM people WHERE name = 'Ada'",
        &QueryOptions::default(),
    )
    .await
    .expect("runs");
    let requests = connector.requests.lock().expect("unpoisoned");
    assert!(
        requests.iter().any(|request| request.projection.is_empty()),
        "{requests:?}"
    );
}

#[tokio::test]
async fn limit_and_order_are_hinted() {
    let connector = MemoryConnector::new("m", unsupported());
    let engine = engine(std::slice::from_ref(&connector));
    let text = answer(
        &engine,
        "SELECT name FROM people ORDER BY id DESC LIMIT 2",
        &QueryOptions::default(),
    )
    .await
    .expect("runs");
    assert_eq!(
        text,
        "+-------+\n| name  |\n+-------+\n| Çelik |\n|       |\n+-------+"
    );
    let requests = connector.requests.lock().expect("unpoisoned");
    let request = requests.last().expect("asked");
    assert_eq!((request.limit, request.ordering.len()), (Some(2), 1));
}

#[tokio::test]
async fn a_join_hands_its_keys_to_the_other_source() {
    let people = MemoryConnector::new("a", unsupported());
    let cities = MemoryConnector::new("b", unsupported());
    let engine = engine(&[people.clone(), cities.clone()]);
    let sql = "SELECT p.name, c.name FROM a.people p JOIN b.cities c ON p.city_id = c.id WHERE c.name = 'Bern' ORDER BY p.id";
    let text = answer(&engine, sql, &QueryOptions::default())
        .await
        .expect("runs");
    assert!(text.contains("| Ada  | Bern |"), "{text}");
    let filters: Vec<Expression> = [&people, &cities]
        .iter()
        .flat_map(|connector| {
            connector
                .dynamic_filters
                .lock()
                .expect("unpoisoned")
                .concat()
        })
        .collect();
    assert!(
        filters
            .iter()
            .any(|filter| matches!(filter, Expression::InList { .. })),
        "{filters:?}"
    );
}

#[tokio::test]
async fn keys_that_come_several_times_are_handed_over_once() {
    let people = MemoryConnector::new("a", unsupported());
    let others = MemoryConnector::new("b", unsupported());
    let engine = engine(&[people.clone(), others.clone()]);
    let sql = "SELECT o.id FROM a.people p JOIN b.people o ON p.city_id = o.id WHERE p.id < 4";
    answer(&engine, sql, &QueryOptions::default())
        .await
        .expect("runs");
    let filters = others.dynamic_filters.lock().expect("unpoisoned").concat();
    assert!(
        filters
            .iter()
            .any(|filter| matches!(filter, Expression::InList { list, .. } if list.len() == 2)),
        "{filters:?}"
    );
}

#[tokio::test]
async fn a_join_on_two_columns_hands_over_sets_and_pairs() {
    let people = MemoryConnector::new("a", unsupported());
    let others = MemoryConnector::new("b", unsupported());
    let engine = engine(&[people.clone(), others.clone()]);
    let sql = "SELECT p.id FROM a.people p JOIN b.people o ON p.city_id = o.city_id AND p.id = o.id WHERE o.id < 3";
    answer(&engine, sql, &QueryOptions::default())
        .await
        .expect("runs");
    let filters: Vec<Expression> = [&people, &others]
        .iter()
        .flat_map(|connector| {
            connector
                .dynamic_filters
                .lock()
                .expect("unpoisoned")
                .concat()
        })
        .collect();
    let sets = filters
        .iter()
        .filter(|filter| matches!(filter, Expression::InList { .. }));
    assert_eq!(sets.count(), 2, "{filters:?}");
    assert!(
        filters
            .iter()
            .any(|filter| matches!(filter, Expression::Or(pairs) if pairs.len() == 2)),
        "{filters:?}"
    );
}

#[tokio::test]
async fn budgets_refuse_before_and_during() {
    let costly = engine(&[MemoryConnector::costing("m", 500.0)]);
    let options = QueryOptions {
        budget: Budget {
            max_rcu: Some(100.0),
            ..Budget::default()
        },
        ..QueryOptions::default()
    };
    let refused = answer(&costly, "SELECT * FROM people", &options)
        .await
        .expect_err("over the estimate");
    assert_eq!(refused.category(), ErrorCategory::Budget, "{refused}");
    let options = QueryOptions {
        budget: Budget {
            max_rows: Some(3),
            ..Budget::default()
        },
        ..QueryOptions::default()
    };
    let stopped = answer(&costly, "SELECT * FROM people", &options)
        .await
        .expect_err("over the rows");
    assert!(
        matches!(
            stopped,
            EngineError::Connector(ConnectorError::BudgetExceeded { .. })
        ),
        "{stopped:?}"
    );
}

#[tokio::test]
async fn samples_of_tables_are_work_of_the_query_that_needs_them() {
    let engine = engine(&[MemoryConnector::sampling("m", 3.0)]);
    let sql = "SELECT a.id FROM people a JOIN people b ON a.id = b.id";
    let limited = |max_rcu| QueryOptions {
        budget: Budget {
            max_rcu: Some(max_rcu),
            ..Budget::default()
        },
        ..QueryOptions::default()
    };
    // Two scans and one sample.
    let planned = engine.plan(sql, &limited(8.9)).await.expect("plans");
    let Err(refused) = planned.execute() else {
        panic!("the sample counts");
    };
    assert!(
        refused
            .to_string()
            .contains("estimated to consume 6.0, after 3.0 for the samples"),
        "{refused}"
    );
    // The columns are known now.
    let planned = engine.plan(sql, &limited(8.9)).await.expect("plans");
    assert!(planned.execute().is_ok());

    let planned = engine
        .plan("SELECT id FROM cities", &limited(6.0))
        .await
        .expect("plans");
    let sources = planned
        .execute()
        .expect("within the limit")
        .work_report()
        .sources;
    let sample = sources
        .iter()
        .find(|source| source.access == "sample")
        .expect("has a line of its own");
    assert_eq!(
        (sample.table.as_str(), sample.requests, sample.rows_read),
        ("cities", 1, 2)
    );
    assert_eq!((sample.bytes, sample.rcu_consumed), (30, Some(3.0)));
}

#[tokio::test]
async fn parameters_are_bound_not_pasted() {
    let engine = engine(&[MemoryConnector::new("m", unsupported())]);
    let options = QueryOptions {
        parameters: Parameters {
            positional: vec!["x' OR 1=1 --".to_owned()],
            ..Parameters::default()
        },
        ..QueryOptions::default()
    };
    let text = answer(&engine, "SELECT id FROM people WHERE name = ?", &options)
        .await
        .expect("runs");
    assert!(!text.contains('1'), "{text}");
}

#[tokio::test]
async fn information_schema_shows_every_catalog() {
    let engine = engine(&[
        MemoryConnector::new("a", unsupported()),
        MemoryConnector::new("b", unsupported()),
    ]);
    let sql = "SELECT column_name, data_type FROM b.information_schema.columns WHERE table_name = 'people' ORDER BY ordinal_position";
    let text = answer(&engine, sql, &QueryOptions::default())
        .await
        .expect("runs");
    assert!(text.contains("| name        | varchar   |"), "{text}");
    let text = answer(
        &engine,
        "DESCRIBE b.information_schema.tables",
        &QueryOptions::default(),
    )
    .await
    .expect("runs");
    assert!(text.contains("| table_type    | varchar   |"), "{text}");
}

#[tokio::test]
async fn explain_says_what_stayed_local() {
    let engine = engine(&[MemoryConnector::new("m", unsupported())]);
    let text = answer(
        &engine,
        "EXPLAIN SELECT id FROM people WHERE id > 2",
        &QueryOptions::default(),
    )
    .await
    .expect("runs");
    assert!(text.contains("m (memory) people: memory"), "{text}");
    assert!(text.contains("memory people"), "{text}");
    assert!(text.contains("people.id > Int64(2): memory"), "{text}");
}

#[tokio::test]
async fn a_join_that_never_waits_for_a_source_still_ends_in_time() {
    let engine = engine(&[]);
    let options = QueryOptions {
        timeout: Some(std::time::Duration::from_millis(50)),
        ..QueryOptions::default()
    };
    let numbers = "(SELECT * FROM UNNEST(generate_series(1, 3000)) AS t(n))";
    let sql = format!(
        "SELECT count(*) FROM {numbers} a CROSS JOIN {numbers} b CROSS JOIN {numbers} c WHERE a.n + b.n + c.n = -1"
    );
    let error = answer(&engine, &sql, &options)
        .await
        .expect_err("27 billion rows take longer");
    assert!(matches!(error, EngineError::Timeout { .. }), "{error:?}");
}
