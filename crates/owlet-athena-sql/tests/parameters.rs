//! Binding of `?` and `:name`.

use std::collections::HashMap;

use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use owlet_athena_sql::{
    SqlError, StatementKind, bind_parameters, extend_state, parse, session_config,
};

async fn run(sql: &str, positional: &[&str], named: &[(&str, &str)]) -> Result<String, SqlError> {
    let config = session_config(SessionConfig::new());
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features();
    let state = extend_state(builder).build();
    let parsed = parse(sql)?;
    assert_eq!(parsed.parameters.positional, sql.matches('?').count());
    let StatementKind::Query(statement) = parsed.statement else {
        panic!("not a query");
    };
    let plan = state.statement_to_plan(*statement).await?;
    let positional: Vec<String> = positional.iter().map(|value| (*value).to_owned()).collect();
    let named: HashMap<String, String> = named
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let plan = bind_parameters(plan, &positional, &named)?;
    let frame = DataFrame::new(SessionContext::new_with_state(state.clone()).state(), plan);
    let batches = frame.collect().await?;
    let table = pretty_format_batches(&batches)
        .map_err(datafusion::error::DataFusionError::from)?
        .to_string();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(1);
    Ok(rows
        .map(|row| row.trim_matches(['|', ' ']).to_owned())
        .collect::<Vec<_>>()
        .join("; "))
}

#[tokio::test]
async fn values_take_the_type_of_their_place() {
    let people = "SELECT name FROM (VALUES (1, 'Ann', DATE '2020-01-01'), (2, 'Bob', DATE '2021-01-01')) p(id, name, born)";
    for (condition, positional, expected) in [
        ("id = ?", vec!["2"], "Bob"),
        ("id = ? OR name = ?", vec!["1", "Bob"], "Ann; Bob"),
        ("name = ?", vec!["'Ann'"], "Ann"),
        ("name = ?", vec!["2"], ""),
        ("born > ?", vec!["2020-06-01"], "Bob"),
        ("born > ?", vec!["DATE '2020-06-01'"], "Bob"),
        ("id > ?", vec!["1.5"], "Bob"),
        ("id IN (?, ?)", vec!["1", "7"], "Ann"),
        ("id BETWEEN ? AND ?", vec!["2", "3"], "Bob"),
        ("name LIKE ?", vec!["B%"], "Bob"),
        ("id = ?", vec!["NULL"], ""),
        ("id IN (SELECT ?)", vec!["1"], "Ann"),
    ] {
        let answer = run(&format!("{people} WHERE {condition}"), &positional, &[]).await;
        assert_eq!(answer.expect(condition), expected, "{condition}");
    }
}

#[tokio::test]
async fn named_and_untyped_values() {
    let both = run("SELECT :Name, ?, :name", &["1"], &[("NAME", "x")]).await;
    assert_eq!(
        both.expect("bound").split_whitespace().collect::<String>(),
        "x|1|x"
    );
    let sum = run(
        "SELECT x + ? FROM (VALUES 1) t(x) LIMIT ?",
        &["2", "1"],
        &[],
    )
    .await;
    assert_eq!(sum.expect("bound"), "3");
}

#[tokio::test]
async fn missing_unknown_and_wrong_values_are_named() {
    for (sql, positional, named, expected) in [
        ("SELECT ?", vec![], vec![], "parameter 1: has no value"),
        (
            "SELECT ?",
            vec!["1", "2"],
            vec![],
            "parameter 2: the statement does not use it",
        ),
        (
            "SELECT :a",
            vec![],
            vec![("b", "1")],
            "parameter :a: has no value",
        ),
        (
            "SELECT 1",
            vec![],
            vec![("b", "1")],
            "parameter :b: the statement has no parameters",
        ),
        (
            "SELECT 1 FROM (VALUES 1) t(x) WHERE x = ?",
            vec!["abc"],
            vec![],
            "parameter 1: 'abc' is not a bigint",
        ),
    ] {
        let error = run(sql, &positional, &named).await.expect_err(sql);
        assert!(error.to_string().starts_with(expected), "{sql}: {error}");
    }
}
