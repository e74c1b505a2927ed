//! Correlated subqueries read no more than the rows they are about.

use futures::TryStreamExt;
use owlet_engine::{Engine, QueryOptions};
use owlet_testkit::environment::PostgresDatabase;
use owlet_testkit::sources::{self, Catalogs};

/// The last order of each customer, and how many orders came before that.
const LAST: &str =
    "(SELECT o.id FROM public.orders o WHERE o.customer = c.id ORDER BY o.placed DESC LIMIT 1)";

/// Statements, a row of the answer, and the rows that each of the two tables has to return.
struct Case {
    sql: String,
    row: &'static str,
    customers: u64,
    orders: u64,
}

fn cases() -> Vec<Case> {
    let with_last = format!("SELECT c.id, c.name, {LAST} AS last FROM public.customers c");
    vec![
        Case {
            sql: format!("{with_last} ORDER BY c.id DESC LIMIT 3"),
            row: "| 4998 | c4998 | 49997 |",
            customers: 3,
            orders: 30,
        },
        Case {
            sql: format!("SELECT id, last FROM ({with_last}) t WHERE id = 4998"),
            row: "| 4998 | 49997 |",
            customers: 1,
            orders: 10,
        },
        Case {
            sql: format!("SELECT id, last FROM ({with_last}) t ORDER BY t.name DESC LIMIT 2"),
            row: "| 999 | 45998 |",
            customers: 2,
            orders: 20,
        },
        Case {
            sql: format!("SELECT id, last FROM ({with_last}) t WHERE name = 'c4998' AND last > 5"),
            row: "| 4998 | 49997 |",
            customers: 1,
            orders: 10,
        },
        Case {
            sql: "SELECT t.id, t.n FROM (SELECT c.id, (SELECT count(*) FROM public.orders o WHERE o.customer = c.id \
                  AND o.id > c.id) AS n FROM public.customers c) t WHERE t.id = 4998"
                .to_owned(),
            row: "| 4998 | 9 |",
            customers: 1,
            orders: 10,
        },
        Case {
            sql: format!(
                "SELECT u.id, u.last, (SELECT count(*) FROM public.orders o WHERE o.customer = u.id AND o.id < u.last) AS n \
                 FROM ({with_last}) u WHERE u.id IN (7, 8)"
            ),
            row: "| 8 | 45007 | 9 |",
            customers: 2,
            // For both subqueries.
            orders: 40,
        },
        Case {
            sql: "SELECT c.id, t.id AS last FROM public.customers c CROSS JOIN LATERAL (SELECT o.id FROM public.orders o \
                  WHERE o.customer = c.id ORDER BY o.placed DESC LIMIT 1) t WHERE c.id = 4998"
                .to_owned(),
            row: "| 4998 | 49997 |",
            customers: 1,
            orders: 10,
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_orders_of_some_customers_take_their_orders_only() {
    let database = PostgresDatabase::create("owlet_subqueries").await.unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE customers (id int PRIMARY KEY, name text COLLATE \"C\");
             CREATE TABLE orders (id int PRIMARY KEY, customer int, placed timestamp);
             INSERT INTO customers SELECT n, 'c' || n FROM generate_series(1, 5000) AS n;
             INSERT INTO orders SELECT n, 1 + n % 5000, timestamp '2024-01-01' + n * interval '1 minute'
                 FROM generate_series(0, 49999) AS n;
             CREATE INDEX ON orders (customer);
             ANALYZE customers;
             ANALYZE orders",
        )
        .await
        .unwrap();
    let engine = sources::engine(&Catalogs {
        postgres: Some(database.url()),
        ..Catalogs::default()
    })
    .unwrap();

    for case in cases() {
        check(&engine, &case).await;
    }

    drop(client);
    database.drop_database().await.unwrap();
}

async fn check(engine: &Engine, case: &Case) {
    let options = QueryOptions {
        default_catalog: Some("pg".to_owned()),
        ..QueryOptions::default()
    };
    let plan = engine.plan(&case.sql, &options).await.unwrap();
    let mut stream = plan.execute().unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await.unwrap() {
        batches.push(batch);
    }
    let shown = arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.lines().any(|line| words(line) == case.row),
        "{}\n{shown}",
        case.sql
    );
    let sources = stream.work_report().sources;
    let returned = |table: &str| -> u64 {
        sources
            .iter()
            .filter(|source| source.table == table)
            .map(|source| source.rows_returned)
            .sum()
    };
    assert_eq!(
        (returned("public.customers"), returned("public.orders")),
        (case.customers, case.orders),
        "{}\n{sources:#?}",
        case.sql
    );
}
