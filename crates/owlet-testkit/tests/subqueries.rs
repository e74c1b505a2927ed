//! Correlated subqueries read no more than the rows they are about.

use futures::TryStreamExt;
use owlet_engine::QueryOptions;
use owlet_testkit::environment::PostgresDatabase;
use owlet_testkit::sources::{self, Catalogs};

const LAST_ORDER: &str = "SELECT c.id, (SELECT o.id FROM public.orders o WHERE o.customer = c.id \
     ORDER BY o.placed DESC LIMIT 1) FROM public.customers c ORDER BY c.id DESC LIMIT 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_order_of_three_customers_takes_their_orders_only() {
    let database = PostgresDatabase::create("owlet_subqueries").await.unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE customers (id int PRIMARY KEY);
             CREATE TABLE orders (id int PRIMARY KEY, customer int, placed timestamp);
             INSERT INTO customers SELECT generate_series(1, 5000);
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
    let options = QueryOptions {
        default_catalog: Some("pg".to_owned()),
        ..QueryOptions::default()
    };

    let plan = engine.plan(LAST_ORDER, &options).await.unwrap();
    let mut stream = plan.execute().unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await.unwrap() {
        batches.push(batch);
    }
    let shown = arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string();
    for row in ["| 5000 | 49999 |", "| 4999 | 49998 |", "| 4998 | 49997 |"] {
        assert!(shown.contains(row), "{shown}");
    }
    let returned: Vec<(String, u64)> = stream
        .work_report()
        .sources
        .into_iter()
        .map(|source| (source.table, source.rows_returned))
        .collect();
    let of = |table: &str| {
        returned
            .iter()
            .find(|(name, _)| name == table)
            .map(|(_, rows)| *rows)
    };
    assert_eq!(of("public.customers"), Some(3), "{returned:?}");
    assert_eq!(of("public.orders"), Some(30), "{returned:?}");

    drop(client);
    database.drop_database().await.unwrap();
}
