//! Wrong answers that the differential fuzzer or a person has found, kept: each query once with pushdown and once
//! without, the fuzzer's also as MariaDB itself answers it.

use mysql_async::prelude::Queryable;
use owlet_engine::{Engine, Pushdown, QueryOptions};
use owlet_testkit::answer::{Answer, RowOrder};
use owlet_testkit::environment::{MysqlDatabase, PostgresDatabase};
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

/// Answers with and without pushdown.
async fn both_answers(engine: &Engine, sql: &str) -> [owlet_testkit::Result<Answer>; 2] {
    let options = |pushdown| QueryOptions {
        pushdown,
        ..QueryOptions::default()
    };
    [
        run::answer(engine, sql, &options(Pushdown::On)).await,
        run::answer(engine, sql, &options(Pushdown::Off)).await,
    ]
}

async fn assert_same(engine: &Engine, sql: &str, expected_rows: usize) {
    let [pushed, local] = both_answers(engine, sql).await;
    let pushed = pushed.unwrap_or_else(|error| panic!("{sql}, pushed: {error}"));
    let local = local.unwrap_or_else(|error| panic!("{sql}, local: {error}"));
    assert_eq!(pushed.rows.len(), expected_rows, "{sql}");
    if let Some(difference) = pushed.difference(&local, RowOrder::Any) {
        panic!("{sql}: {difference}");
    }
}

/// The guard of a value that does not fit its type stood behind the condition that such a value made false. Joins on
/// columns of unknown types were planned, then refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_values_that_do_not_fit_are_errors_behind_every_condition() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE y (id INTEGER PRIMARY KEY, n INT, d DATE, bo BOOLEAN, price DECIMAL(10,2)); \
             INSERT INTO y VALUES (1, 5, '2024-01-01', 1, 1.5), (2, '7 pcs', 1704153600, 't', '1,75'); \
             CREATE TABLE keys (h TIME, j UUID, b VARCHAR(10)); INSERT INTO keys VALUES ('10:00', 'x', 'x');",
        )
        .unwrap();
    let engine = sources::engine(&Catalogs {
        sqlite: Some(path),
        ..Catalogs::default()
    })
    .unwrap();
    for condition in [
        "n < 10",
        "n BETWEEN 1 AND 10",
        "n IN (5, 6)",
        "d > DATE '2020-01-01'",
        "bo",
        "bo = true",
        "price < 2",
        // SQLite put these constants in the place of the column, also in the guard.
        "n = 5",
        "n IN (5)",
        "n = 5 AND price < 2",
        "d = DATE '2024-01-01'",
        "price = DECIMAL '1.5'",
    ] {
        let sql = format!("SELECT count(*) FROM lite.main.y WHERE {condition}");
        for answer in both_answers(&engine, &sql).await {
            assert!(answer.is_err(), "{sql}");
        }
    }
    // Rows that an index leaves out are not visited; without pushdown all are read.
    let sql = "SELECT n FROM lite.main.y WHERE id = 1 AND n < 10";
    let [pushed, local] = both_answers(&engine, sql).await;
    assert_eq!(pushed.expect(sql).rows.len(), 1);
    assert!(local.is_err(), "{sql}");
    for join in ["a.h = b.h", "a.j = b.j", "a.j = b.b"] {
        let sql = format!("SELECT 1 FROM lite.main.keys a JOIN lite.main.keys b ON {join}");
        assert_same(&engine, &sql, 1).await;
    }
}

/// What the description of a column leaves out was noticed too late: `avg` of a numeric without a scale was planned,
/// then refused. Decimals were compared with doubles as decimals of 15 digits after the point. Run-time filters of joins
/// told -0.0 from 0.0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_decimals_of_any_scale_and_doubles() {
    let database = PostgresDatabase::create("owlet_regression_decimals")
        .await
        .unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE free (id int, n numeric, f float8); \
             INSERT INTO free VALUES (1, 1.5, 1.5), (2, 2.5, 1e300), (3, NULL, 'Infinity'), (4, 1e10, 1e10); \
             CREATE TABLE zeros (id int, f float8); INSERT INTO zeros VALUES (5, '-0'), (6, 0), (1, 0.1); \
             CREATE TABLE wide (id int, big numeric(50,20)); \
             INSERT INTO wide VALUES (1, 1.5), (2, -0.00000000000000000007), (3, 123456789012345678901234567890.5); \
             CREATE TABLE priced (id int, d numeric(10,2), w numeric(38,10), f float8); \
             INSERT INTO priced VALUES (1, 0, 12345678901234567890123456.5, 1e20), (2, 1, 1, 1), (3, -2.55, 0, -2.55); \
             ANALYZE",
        )
        .await
        .unwrap();
    let engine = sources::engine(&Catalogs {
        postgres: Some(database.url()),
        ..Catalogs::default()
    })
    .unwrap();
    for (sql, rows) in [
        ("SELECT avg(n), sum(n) FROM pg.public.free", 1),
        (
            "SELECT avg(big), sum(big), max(big), ceil(sum(big)) FROM pg.public.wide",
            1,
        ),
        (
            "SELECT id, avg(big), sum(big), round(big, 1), floor(big) FROM pg.public.wide GROUP BY id, big",
            3,
        ),
        (
            "SELECT id, avg(n) FROM pg.public.free GROUP BY id HAVING avg(n) > 1",
            3,
        ),
        (
            "SELECT id FROM pg.public.free WHERE n > (SELECT avg(n) FROM pg.public.free)",
            1,
        ),
        (
            "SELECT id FROM pg.public.free WHERE n > DECIMAL '1.5000000000000000005'",
            2,
        ),
        (
            "SELECT coalesce(n, DECIMAL '0.0000000000000000000001') FROM pg.public.free",
            4,
        ),
        ("SELECT id FROM pg.public.free WHERE n = f", 2),
        ("SELECT id FROM pg.public.priced WHERE d = 1e-20", 0),
        ("SELECT id FROM pg.public.priced WHERE d < 1e-20", 2),
        (
            "SELECT id FROM pg.public.priced WHERE d = 1.0000000000000002",
            0,
        ),
        (
            "SELECT id FROM pg.public.priced WHERE d > -1e300 AND d < 1e15",
            3,
        ),
        ("SELECT id FROM pg.public.priced WHERE d = f", 2),
        ("SELECT id FROM pg.public.priced WHERE w = f AND id <> 3", 1),
        (
            "SELECT a.id, b.id FROM pg.public.priced a JOIN pg.public.free b ON a.d = b.f",
            0,
        ),
        (
            "SELECT greatest(d, f), coalesce(d, f) FROM pg.public.priced",
            3,
        ),
        (
            "SELECT d FROM pg.public.priced UNION ALL SELECT f FROM pg.public.free",
            7,
        ),
        (
            "SELECT id FROM pg.public.zeros WHERE f IN (SELECT f FROM pg.public.zeros WHERE id = 6) ORDER BY 1",
            2,
        ),
        (
            "SELECT id FROM pg.public.zeros a JOIN (VALUES 0.0) v(x) ON a.f = v.x ORDER BY 1",
            2,
        ),
        (
            "SELECT a.id, b.id FROM pg.public.zeros a JOIN pg.public.zeros b ON a.f = b.f ORDER BY 1, 2",
            5,
        ),
    ] {
        assert_same(&engine, sql, rows).await;
    }
    drop(client);
    database.drop_database().await.unwrap();
}

/// SQLite tells no type for what a view computes, nor for the columns of `CREATE TABLE … AS`. They were read as text, and
/// so were their numbers: the greatest of 5 and 10 was 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_sqlite_views_compute_are_compared_as_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, price REAL); \
             WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 15) \
                 INSERT INTO orders SELECT n, CASE WHEN n > 5 THEN 2 ELSE 1 END, n * 0.5 FROM i; \
             CREATE VIEW totals AS SELECT customer, count(*) AS n, avg(price) AS price, max('c' || customer) AS name \
                 FROM orders GROUP BY customer; \
             CREATE TABLE kept AS SELECT * FROM totals;",
        )
        .unwrap();
    let engine = sources::engine(&Catalogs {
        sqlite: Some(path),
        ..Catalogs::default()
    })
    .unwrap();
    for table in ["totals", "kept"] {
        for (sql, expected) in [
            ("SELECT max(n), min(n) FROM %", "10, 5"),
            ("SELECT n, name FROM % WHERE n > 9", "10, c2"),
            ("SELECT n FROM % WHERE n = 5", "5"),
            ("SELECT n FROM % ORDER BY n DESC LIMIT 1", "10"),
            ("SELECT sum(n) FROM %", "15"),
            ("SELECT max(price) FROM %", "5.25"),
            ("SELECT count(*) FROM % a JOIN % b ON a.n = b.n", "2"),
        ] {
            let sql = sql.replace('%', &format!("lite.main.{table}"));
            for answer in both_answers(&engine, &sql).await {
                let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
                let rows: Vec<String> = answer
                    .rows
                    .iter()
                    .map(|row| {
                        let cells: Vec<&str> = row
                            .iter()
                            .map(|cell| cell.as_deref().unwrap_or("NULL"))
                            .collect();
                        cells.join(", ")
                    })
                    .collect();
                assert_eq!(rows, [expected], "{sql}");
            }
        }
    }
}
