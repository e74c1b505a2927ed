//! The 22 TPC-H queries: every answer equal to PostgreSQL's own, wherever the tables live.

use owlet_engine::{Engine, Pushdown, QueryOptions};
use owlet_testkit::environment::{MysqlDatabase, PostgresDatabase};
use owlet_testkit::tpch::layout::{Dataset, Layout};
use owlet_testkit::{native, run, tpch};

const SCALE_FACTOR: f64 = 0.01;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_postgresqls_own() {
    let database = PostgresDatabase::create("owlet_tpch").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let prefix = format!("tpch_{}_", std::process::id());
    let mut dataset = Dataset::load(&database.url(), &prefix, folder.path(), SCALE_FACTOR)
        .await
        .unwrap();
    let mysql = MysqlDatabase::create("owlet_tpch").await.unwrap();
    dataset.add_mysql(&mysql).await.unwrap();
    let engine = dataset.engine().unwrap();
    let client = database.connect().await.unwrap();
    let mut problems = Vec::new();
    for query in tpch::queries(SCALE_FACTOR) {
        let expected = native::postgres(&client, &query.sql).await.unwrap();
        for layout in [
            Layout::Postgres,
            Layout::Split,
            Layout::Mysql,
            Layout::SplitFour,
        ] {
            let sql = query.with_table_names(|table| dataset.name(layout, table));
            for pushdown in [Pushdown::On, Pushdown::Off] {
                if let Err(problem) = compare(&engine, &sql, pushdown, &expected).await {
                    problems.push(format!(
                        "query {} {layout:?} pushdown {pushdown:?}: {problem}",
                        query.number
                    ));
                }
            }
        }
    }
    dataset.clean().await.unwrap();
    database.drop_database().await.unwrap();
    mysql.drop_database().await.unwrap();
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

async fn compare(
    engine: &Engine,
    sql: &str,
    pushdown: Pushdown,
    expected: &native::NativeAnswer,
) -> Result<(), String> {
    let options = QueryOptions {
        pushdown,
        ..QueryOptions::default()
    };
    let (answer, order) = run::ordered_answer(engine, sql, &options)
        .await
        .map_err(|error| error.to_string())?;
    match answer.difference_to_native(expected, order) {
        Some(difference) => Err(format!("{difference}\n{}", answer.to_text(3))),
        None => Ok(()),
    }
}
