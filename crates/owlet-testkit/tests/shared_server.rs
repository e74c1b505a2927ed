//! Catalogs that reach the same server as the same user: joins between them are pushed as one, and the answer is that
//! without pushdown and that of the server. Catalogs of other users, databases or servers are not mixed.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mysql_async::prelude::Queryable;
use owlet_connector::{GateOptions, TablePatterns};
use owlet_engine::{Engine, EngineConfig, Explanation, Pushdown, QueryOptions, Source};
use owlet_mysql::{MysqlConnector, MysqlOptions};
use owlet_postgres::{PostgresConnector, PostgresOptions};
use owlet_testkit::answer::{Answer, RowOrder};
use owlet_testkit::environment::{self, MysqlDatabase, PostgresDatabase};
use owlet_testkit::native::{self, NativeAnswer};
use owlet_testkit::run;

/// Keys with traps: `b`, `B` and `b ` are three, NULL is none.
const PEOPLE: &str = "INSERT INTO %people VALUES (1, 'a', 10.50), (2, 'b', 20.00), (3, 'B', NULL), (4, 'b ', -0.01), \
                      (5, NULL, 7.25), (6, 'é', 99999999.99)";
const ORDERS: &str = "INSERT INTO %orders VALUES (1, 1, 'a', 3), (2, 1, 'b', 4), (3, 2, 'B', NULL), (4, NULL, 'b ', 5), \
                      (5, 6, NULL, 6), (6, 9, 'e', 2147483647)";

/// Statements over `%people` and `%orders`, written so that engine and servers mean the same.
const STATEMENTS: &[&str] = &[
    "SELECT p.id, o.id, p.price FROM %people p JOIN %orders o ON p.id = o.person",
    "SELECT p.id, o.quantity FROM %people p LEFT JOIN %orders o ON p.id = o.person",
    "SELECT p.id, o.id FROM %people p RIGHT JOIN %orders o ON p.id = o.person AND o.quantity > 3",
    "SELECT count(*), sum(p.price), max(o.quantity) FROM %people p JOIN %orders o ON p.id = o.person",
    "SELECT p.id, count(*) FROM %people p JOIN %orders o ON p.id = o.person GROUP BY p.id",
    "SELECT p.id FROM %people p WHERE EXISTS (SELECT 1 FROM %orders o WHERE o.person = p.id)",
    "SELECT p.id FROM %people p WHERE NOT EXISTS (SELECT 1 FROM %orders o WHERE o.person = p.id)",
    "SELECT p.id FROM %people p WHERE p.id IN (SELECT o.person FROM %orders o WHERE o.quantity < 5)",
    "SELECT p.id, o.id FROM %people p JOIN %orders o ON p.id = o.person ORDER BY o.id DESC LIMIT 2",
    "SELECT a.id FROM %people a JOIN %orders o ON a.id = o.person JOIN %people b ON b.id = o.id",
];

/// Compared with and without pushdown only: servers compare text by their collations.
const TEXT_STATEMENT: &str = "SELECT p.id, o.id FROM %people p JOIN %orders o ON p.name = o.name";

fn named(statement: &str, people: &str, orders: &str) -> String {
    statement
        .replace("%people", people)
        .replace("%orders", orders)
}

fn engine(sources: Vec<(&str, Source)>) -> Engine {
    let mut builder = Engine::builder(EngineConfig {
        target_partitions: Some(2),
        ..EngineConfig::default()
    });
    for (name, source) in sources {
        builder = builder.catalog(name, source);
    }
    builder.build().unwrap()
}

fn postgres(catalog: &str, options: PostgresOptions) -> Source {
    Source::Sql(Arc::new(PostgresConnector::new(catalog, options).unwrap()))
}

fn mysql(catalog: &str, options: MysqlOptions) -> Source {
    Source::Sql(Arc::new(MysqlConnector::new(catalog, options).unwrap()))
}

async fn answer(engine: &Engine, sql: &str, pushdown: Pushdown) -> Answer {
    let options = QueryOptions {
        pushdown,
        ..QueryOptions::default()
    };
    match run::answer(engine, sql, &options).await {
        Ok(answer) => answer,
        Err(error) => panic!("{sql}: {error}"),
    }
}

async fn explained(engine: &Engine, sql: &str) -> Explanation {
    let plan = engine.plan(sql, &QueryOptions::default()).await.unwrap();
    plan.explanation().clone()
}

async fn same_with_and_without(engine: &Engine, sql: &str) -> Answer {
    let pushed = answer(engine, sql, Pushdown::On).await;
    let local = answer(engine, sql, Pushdown::Off).await;
    if let Some(difference) = pushed.difference(&local, RowOrder::Any) {
        panic!("{sql}: {difference}");
    }
    pushed
}

fn same_as_the_servers(sql: &str, answer: &Answer, native: &NativeAnswer) {
    if let Some(difference) = answer.difference_to_native(native, RowOrder::Any) {
        panic!("{sql}: {difference}");
    }
}

/// Schemas `hr` with the table `people` and `sales` with `orders`.
async fn postgres_world() -> PostgresDatabase {
    let database = PostgresDatabase::create("owlet_shared").await.unwrap();
    let client = database.connect().await.unwrap();
    let tables = "CREATE SCHEMA hr; CREATE SCHEMA sales; \
                  CREATE TABLE %people (id int PRIMARY KEY, name text, price numeric(10,2)); \
                  CREATE TABLE %orders (id int PRIMARY KEY, person int, name text, quantity int)";
    for statement in [tables, PEOPLE, ORDERS, "ANALYZE"] {
        let statement = named(statement, "hr.people", "sales.orders");
        client.batch_execute(&statement).await.unwrap();
    }
    database
}

#[tokio::test]
async fn two_catalogs_of_one_postgres_database_are_asked_as_one() {
    let database = postgres_world().await;
    let client = database.connect().await.unwrap();
    let only = |pattern: &str| PostgresOptions {
        tables: TablePatterns::new(&[pattern.to_owned()], &[]).unwrap(),
        ..PostgresOptions::new(database.url())
    };
    let engine = engine(vec![
        ("staff", postgres("staff", only("hr.*"))),
        ("shop", postgres("shop", only("sales.*"))),
    ]);
    for statement in STATEMENTS {
        let sql = named(statement, "staff.hr.people", "shop.sales.orders");
        let answer = same_with_and_without(&engine, &sql).await;
        let native = named(statement, "hr.people", "sales.orders");
        let native = native::postgres(&client, &native).await.unwrap();
        same_as_the_servers(&sql, &answer, &native);
        let explanation = explained(&engine, &sql).await;
        assert_eq!(explanation.sources.len(), 1, "{sql}\n{explanation}");
        let source = &explanation.sources[0];
        assert_eq!(source.tables_of.len(), 2, "{sql}\n{explanation}");
        assert!(source.tables_of.contains(&source.catalog), "{explanation}");
        let text = explanation.to_string();
        assert!(text.contains("staff") && text.contains("shop"), "{text}");
    }
    let text = named(TEXT_STATEMENT, "staff.hr.people", "shop.sales.orders");
    assert_eq!(same_with_and_without(&engine, &text).await.rows.len(), 4);
    // What one catalog hides it still hides, although it could ask for it.
    let hidden = engine
        .plan("SELECT * FROM staff.sales.orders", &QueryOptions::default())
        .await;
    assert!(hidden.is_err());
    database.drop_database().await.unwrap();
}

#[tokio::test]
async fn the_report_names_all_catalogs_and_one_moment() {
    let database = postgres_world().await;
    let engine = engine(vec![
        (
            "staff",
            postgres("staff", PostgresOptions::new(database.url())),
        ),
        (
            "shop",
            postgres("shop", PostgresOptions::new(database.url())),
        ),
    ]);
    let report = async |statement: &str| {
        let sql = named(statement, "staff.hr.people", "shop.sales.orders");
        let plan = engine.plan(&sql, &QueryOptions::default()).await.unwrap();
        let mut stream = plan.execute().unwrap();
        while let Some(batch) = stream.next().await {
            batch.unwrap();
        }
        stream.work_report()
    };
    let one = report(STATEMENTS[0]).await;
    assert_eq!(one.sources.len(), 1);
    assert_eq!(one.sources[0].catalog, "staff");
    assert_eq!(one.sources[0].tables_of, ["staff", "shop"]);
    // `upper` is not pushed, so the join is not either: two scans, and yet one snapshot.
    let two =
        report("SELECT p.id, o.id FROM %people p JOIN %orders o ON upper(p.name) = upper(o.name)")
            .await;
    assert_eq!(two.sources.len(), 2, "{:?}", two.sources);
    assert!(two.sources.iter().all(|source| source.catalog == "staff"));
    assert_eq!(two.sources[0].as_of, two.sources[1].as_of);
    assert_eq!(two.skew_ms, Some(0.0));
    let other = two
        .sources
        .iter()
        .find(|source| source.table == "sales.orders");
    assert_eq!(other.unwrap().tables_of, ["shop"]);
    database.drop_database().await.unwrap();
}

#[tokio::test]
async fn the_doors_of_all_catalogs_are_asked() {
    let database = postgres_world().await;
    let folder = tempfile::tempdir().unwrap();
    let with = |gate| PostgresOptions {
        gate,
        ..PostgresOptions::new(database.url())
    };
    let one_place = || GateOptions {
        max_concurrent_queries: Some(1),
        shared_folder: Some(folder.path().to_owned()),
        ..GateOptions::default()
    };
    let sql = named(STATEMENTS[0], "staff.hr.people", "shop.sales.orders");
    // The server's one place is enough for a query in both of its catalogs.
    let both = engine(vec![
        ("staff", postgres("staff", with(one_place()))),
        ("shop", postgres("shop", with(one_place()))),
    ]);
    let answered = tokio::time::timeout(Duration::from_secs(30), answer(&both, &sql, Pushdown::On));
    assert_eq!(answered.await.unwrap().rows.len(), 4);
    // A query in the catalog that does not ask itself takes its only place.
    let limited = GateOptions {
        max_concurrent_queries: Some(1),
        ..GateOptions::default()
    };
    let half = engine(vec![
        (
            "staff",
            postgres("staff", PostgresOptions::new(database.url())),
        ),
        ("shop", postgres("shop", with(limited))),
    ]);
    let started = async |sql: &str| {
        let plan = half.plan(sql, &QueryOptions::default()).await.unwrap();
        plan.execute().unwrap()
    };
    let mut inside = started("SELECT id FROM shop.sales.orders").await;
    inside.next().await.unwrap().unwrap();
    let mut outside = started(&sql).await;
    let work = Arc::clone(outside.handle().work());
    let entered = tokio::time::timeout(Duration::from_millis(500), outside.next()).await;
    assert!(entered.is_err(), "the query did not wait");
    let waiting_for = work.waiting_for().unwrap_or_default();
    assert!(waiting_for.contains("catalog shop"), "{waiting_for}");
    drop(inside);
    outside.next().await.unwrap().unwrap();
    database.drop_database().await.unwrap();
}

#[tokio::test]
async fn two_databases_of_one_mariadb_are_asked_as_one() {
    let (hr, sales) = (
        MysqlDatabase::create("owlet_shared_hr").await.unwrap(),
        MysqlDatabase::create("owlet_shared_sales").await.unwrap(),
    );
    let (people, orders) = (
        format!("{}.people", hr.name),
        format!("{}.orders", sales.name),
    );
    let mut conn = hr.connect().await.unwrap();
    for statement in [
        "CREATE TABLE %people (id int PRIMARY KEY, name varchar(20) COLLATE utf8mb4_general_ci, price decimal(10,2))",
        "CREATE TABLE %orders (id int PRIMARY KEY, person int, name varchar(20) COLLATE utf8mb4_unicode_ci, quantity int)",
        PEOPLE,
        ORDERS,
        "ANALYZE TABLE %people, %orders",
    ] {
        conn.query_drop(named(statement, &people, &orders))
            .await
            .unwrap();
    }
    let engine = engine(vec![
        ("staff", mysql("staff", MysqlOptions::new(hr.url()))),
        ("shop", mysql("shop", MysqlOptions::new(sales.url()))),
    ]);
    let in_owlet = |statement| {
        named(
            statement,
            &format!("staff.{people}"),
            &format!("shop.{orders}"),
        )
    };
    for statement in STATEMENTS {
        let sql = in_owlet(statement);
        let answer = same_with_and_without(&engine, &sql).await;
        let native = named(statement, &people, &orders);
        let native = native::mysql(&hr.url(), &native).await.unwrap();
        same_as_the_servers(&sql, &answer, &native);
        let explanation = explained(&engine, &sql).await;
        assert_eq!(explanation.sources.len(), 1, "{sql}\n{explanation}");
        assert_eq!(explanation.sources[0].tables_of.len(), 2, "{explanation}");
    }
    let text = same_with_and_without(&engine, &in_owlet(TEXT_STATEMENT)).await;
    assert_eq!(text.rows.len(), 4);
    drop(conn);
    hr.drop_database().await.unwrap();
    sales.drop_database().await.unwrap();
}

#[tokio::test]
async fn catalogs_of_other_users_or_databases_are_asked_by_themselves() {
    let (database, other) = (postgres_world().await, postgres_world().await);
    let client = database.connect().await.unwrap();
    let user = format!("owlet_shared_{}", std::process::id());
    client
        .batch_execute(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA sales TO {user}; \
             GRANT SELECT ON sales.orders TO {user}"
        ))
        .await
        .unwrap();
    let as_user = database
        .url()
        .replacen("owlet:owlet@", &format!("{user}:p@"), 1);
    assert!(as_user.contains(&user), "{as_user}");
    let mut cases = vec![
        ("another user", PostgresOptions::new(as_user)),
        ("another database", PostgresOptions::new(other.url())),
    ];
    let stricter = PostgresOptions {
        max_connections: 2,
        ..PostgresOptions::new(database.url())
    };
    cases.push(("other limits", stricter));
    for (case, options) in cases {
        let engine = engine(vec![
            (
                "staff",
                postgres("staff", PostgresOptions::new(database.url())),
            ),
            ("shop", postgres("shop", options)),
        ]);
        let sql = named(STATEMENTS[0], "staff.hr.people", "shop.sales.orders");
        assert_eq!(same_with_and_without(&engine, &sql).await.rows.len(), 4);
        let explanation = explained(&engine, &sql).await;
        assert_eq!(explanation.sources.len(), 2, "{case}\n{explanation}");
        for source in &explanation.sources {
            assert!(source.tables_of.is_empty(), "{case}\n{explanation}");
        }
    }
    other.drop_database().await.unwrap();
    database.drop_database().await.unwrap();
    let server = environment::required("OWLET_TEST_POSTGRES_URL");
    let admin = environment::connect(&server).await.unwrap();
    admin
        .batch_execute(&format!("DROP ROLE {user}"))
        .await
        .unwrap();
}
