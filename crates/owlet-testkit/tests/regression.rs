//! What the differential fuzzer has found, kept: each query once with pushdown, once without, and as MariaDB itself
//! answers it.

use mysql_async::prelude::Queryable;
use owlet_engine::{Engine, Pushdown, QueryOptions};
use owlet_testkit::answer::RowOrder;
use owlet_testkit::environment::MysqlDatabase;
use owlet_testkit::sources::{self, Catalogs};
use owlet_testkit::{native, run};

struct World {
    database: MysqlDatabase,
    engine: Engine,
}

impl World {
    async fn create(statements: &[&str]) -> Self {
        let database = MysqlDatabase::create("owlet_regression").await.unwrap();
        let mut conn = database.connect().await.unwrap();
        for statement in statements {
            conn.query_drop(*statement).await.unwrap();
        }
        let engine = sources::engine(&Catalogs {
            mysql: Some(database.url()),
            ..Catalogs::default()
        });
        Self {
            engine: engine.unwrap(),
            database,
        }
    }

    /// `%` stands for the database in both texts.
    async fn check(&self, sql: &str, native_sql: &str, order: RowOrder) {
        let sql = sql.replace('%', &format!("my.{}", self.database.name));
        let mut answers = Vec::new();
        for pushdown in [Pushdown::On, Pushdown::Off] {
            let options = QueryOptions {
                pushdown,
                ..QueryOptions::default()
            };
            match run::answer(&self.engine, &sql, &options).await {
                Ok(answer) => answers.push(answer),
                Err(error) => panic!("{sql}, pushdown {pushdown:?}: {error}"),
            }
        }
        if let Some(difference) = answers[0].difference(&answers[1], order) {
            panic!("{sql}: {difference}");
        }
        let native_sql = native_sql.replace('%', &self.database.name);
        let native = native::mysql(&self.database.url(), &native_sql)
            .await
            .unwrap();
        if let Some(difference) = answers[0].difference_to_native(&native, order) {
            panic!("{sql}: the source differs: {difference}");
        }
    }
}

/// Numbers made from long texts are not long: ordering and grouping by them was planned, then refused.
#[tokio::test]
async fn numbers_over_long_texts_are_ordered_and_grouped_by() {
    let world = World::create(&[
        "CREATE TABLE notes (id int PRIMARY KEY, body text COLLATE utf8mb4_unicode_ci)",
        "INSERT INTO notes VALUES (1, 'abc'), (2, 'ab'), (3, NULL), (4, ''), (5, 'zz')",
    ])
    .await;
    world
        .check(
            "SELECT length(n.body), n.id FROM %.notes n ORDER BY 1 DESC NULLS LAST, 2 LIMIT 4",
            "SELECT char_length(n.body) l, n.id FROM %.notes n ORDER BY l IS NULL, l DESC, id LIMIT 4",
            RowOrder::Fixed,
        )
        .await;
    world
        .check(
            "SELECT DISTINCT CASE WHEN n.body IS NULL THEN 10 ELSE 20 END FROM %.notes n",
            "SELECT DISTINCT CASE WHEN n.body IS NULL THEN 10 ELSE 20 END FROM %.notes n",
            RowOrder::Any,
        )
        .await;
    world
        .check(
            "SELECT length(n.body), count(*) FROM %.notes n GROUP BY length(n.body)",
            "SELECT char_length(n.body) l, count(*) FROM %.notes n GROUP BY l",
            RowOrder::Any,
        )
        .await;
    world.database.drop_database().await.unwrap();
}

/// Proved not to be NULL by the logical plan only; the physical planner refused to aggregate it.
#[tokio::test]
async fn what_a_condition_proves_may_be_grouped_by() {
    let world = World::create(&[
        "CREATE TABLE pairs (id int PRIMARY KEY, one int, two int)",
        "INSERT INTO pairs VALUES (1, 1, 1), (2, 1, 2), (3, NULL, 3), (4, NULL, NULL), (10, 5, 5), (11, 7, NULL)",
    ])
    .await;
    world
        .check(
            "SELECT DISTINCT CASE WHEN p.one = p.two THEN p.one ELSE CAST(p.id AS bigint) / 2 END FROM %.pairs p",
            "SELECT DISTINCT CASE WHEN p.one = p.two THEN p.one ELSE p.id DIV 2 END FROM %.pairs p",
            RowOrder::Any,
        )
        .await;
    world.database.drop_database().await.unwrap();
}

/// MariaDB's cache of subqueries' answers took 'b' and 'B' for one outer value, as the column's collation does.
#[tokio::test]
async fn a_correlated_subquery_tells_cases_apart_under_any_collation() {
    let world = World::create(&[
        "CREATE TABLE outers (id int PRIMARY KEY, name varchar(20) COLLATE utf8mb4_general_ci)",
        "INSERT INTO outers VALUES (1, 'b'), (2, 'B'), (3, 'b'), (4, 'c'), (5, NULL)",
        "CREATE TABLE inners (id int PRIMARY KEY, name varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci)",
        "INSERT INTO inners VALUES (1, 'b'), (2, 'C')",
    ])
    .await;
    for (word, expected_id) in [
        ("EXISTS", "o.id IN (1, 3)"),
        ("NOT EXISTS", "o.id NOT IN (1, 3)"),
    ] {
        world
            .check(
                &format!(
                    "SELECT o.id FROM %.outers o WHERE {word} (SELECT 1 FROM %.inners i WHERE i.name = o.name)"
                ),
                &format!("SELECT o.id FROM %.outers o WHERE {expected_id}"),
                RowOrder::Any,
            )
            .await;
    }
    world.database.drop_database().await.unwrap();
}

/// A filter over a join reads two columns of one name, and a column of its output has the place of one of them: DataFusion
/// took the one for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_over_a_join_of_empty_tables_finds_its_column() {
    let world = World::create(&[
        "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(10), flag BOOLEAN, city VARCHAR(10))",
        "ANALYZE TABLE people",
    ])
    .await;
    let sql = "SELECT CASE WHEN a.id = 0 THEN b.city END AS k, a.flag FROM %.people a LEFT JOIN %.people b \
               ON a.city = b.name WHERE b.flag IS NULL";
    world.check(sql, sql, RowOrder::Any).await;
}

/// The maximum of a bare NULL is a text to MariaDB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boolean_aggregate_may_be_of_nothing_but_null() {
    let world = World::create(&[
        "CREATE TABLE people (id INT PRIMARY KEY)",
        "CREATE TABLE flags (id INT PRIMARY KEY, flag BOOLEAN)",
        "INSERT INTO people VALUES (17)",
    ])
    .await;
    world
        .check(
            "SELECT bool_or(f.flag) FROM %.people p LEFT JOIN %.flags f ON (f.flag IS NOT NULL) IS UNKNOWN",
            "SELECT MAX(f.flag) FROM %.people p LEFT JOIN %.flags f ON (f.flag IS NOT NULL) IS UNKNOWN",
            RowOrder::Any,
        )
        .await;
}
