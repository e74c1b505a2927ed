//! Standard SQL over the same two tables in PostgreSQL, MariaDB and SQLite, with pushdown and without: always
//! PostgreSQL's own answer. Joins, sets, windows, grouping sets and subqueries of all kinds, with NULL among the keys.

use mysql_async::prelude::Queryable;
use owlet_engine::{Pushdown, QueryOptions};
use owlet_testkit::environment::{MysqlDatabase, PostgresDatabase};
use owlet_testkit::sources::{self, Catalogs};
use owlet_testkit::{native, run};

const TABLES: [&str; 2] = [
    "CREATE TABLE sales (id int PRIMARY KEY, region varchar(10), amount double precision, price numeric(8,2), day date)",
    "CREATE TABLE labels (id int, label varchar(10))",
];

const ROWS: [&str; 2] = [
    "INSERT INTO sales VALUES (1, 'p', 1.5, 10.25, '2024-01-31'), (2, 'p', NULL, 20, '2024-02-29'), \
     (3, 'q', -0.5, NULL, '2024-03-31'), (4, NULL, 2.5, -5.5, NULL), (5, 'q', 1.5, 10.25, '2024-01-31'), \
     (6, NULL, NULL, NULL, '2023-12-31'), (7, 'r', 0, 0, '2024-01-01')",
    "INSERT INTO labels VALUES (1, 'x'), (1, 'y'), (3, NULL), (9, 'z'), (NULL, 'w')",
];

const STATEMENTS: &str = include_str!("../slt/portable.sql");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sources_give_postgresqls_answers() {
    let postgres = PostgresDatabase::create("owlet_portable").await.unwrap();
    let mysql = MysqlDatabase::create("owlet_portable").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = folder.path().join("portable.sqlite");
    let client = postgres.connect().await.unwrap();
    let mut mariadb = mysql.connect().await.unwrap();
    let lite = rusqlite::Connection::open(&sqlite).unwrap();
    for statement in TABLES.iter().chain(&ROWS) {
        client.batch_execute(statement).await.unwrap();
        mariadb.query_drop(*statement).await.unwrap();
        lite.execute_batch(statement).unwrap();
    }
    drop(lite);
    let engine = sources::engine(&Catalogs {
        postgres: Some(postgres.url()),
        mysql: Some(mysql.url()),
        sqlite: Some(sqlite),
        ..Catalogs::default()
    })
    .unwrap();
    let catalogs = engine.catalogs();
    assert!(catalogs.len() >= 3, "{catalogs:?}");

    let mut differences = Vec::new();
    let statements = STATEMENTS.lines().filter(|line| !line.starts_with("--"));
    for statement in statements {
        let expected = native::postgres(&client, statement).await.unwrap();
        for catalog in ["pg", "my", "lite"] {
            for pushdown in [Pushdown::On, Pushdown::Off] {
                let options = QueryOptions {
                    pushdown,
                    default_catalog: Some(catalog.to_owned()),
                    ..QueryOptions::default()
                };
                let difference = match run::ordered_answer(&engine, statement, &options).await {
                    Err(error) => Some(error.to_string()),
                    Ok((answer, order)) => answer.difference_to_native(&expected, order),
                };
                if let Some(difference) = difference {
                    differences.push(format!(
                        "{catalog}, pushdown {pushdown:?}: {statement}\n{difference}"
                    ));
                }
            }
        }
    }
    drop(client);
    drop(mariadb);
    postgres.drop_database().await.unwrap();
    mysql.drop_database().await.unwrap();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}
