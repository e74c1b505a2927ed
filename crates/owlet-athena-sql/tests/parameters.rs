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

/// A code with leading zeros is no number, unless a number is wanted.
#[tokio::test]
async fn texts_that_look_like_numbers_keep_their_characters() {
    let codes = "FROM (VALUES (7, '007', 1.5), (8, '7', 2.5)) t(id, code, price)";
    for (sql, positional, expected) in [
        // Nothing says a type: a number where it is written as it would be shown.
        ("SELECT typeof(?)", vec!["7"], "bigint"),
        ("SELECT typeof(?)", vec!["1.5"], "double"),
        ("SELECT typeof(?)", vec!["007"], "varchar"),
        ("SELECT typeof(?)", vec!["1.10"], "varchar"),
        ("SELECT ?", vec!["007"], "007"),
        ("SELECT ?", vec!["+49"], "+49"),
        // The column says a type.
        ("SELECT id FROM WHERE code = ?", vec!["007"], "7"),
        ("SELECT code FROM WHERE id = ?", vec!["007"], "007"),
        ("SELECT id FROM WHERE price = ?", vec!["1.50"], "7"),
        ("SELECT id FROM WHERE ? IN (code)", vec!["007"], "7"),
        ("SELECT id FROM WHERE ? BETWEEN id AND id", vec!["007"], "7"),
        // LIKE, || and functions of texts take texts.
        ("SELECT id FROM WHERE code LIKE ?", vec!["7"], "8"),
        ("SELECT id FROM WHERE ? LIKE code", vec!["007"], "7"),
        ("SELECT '7' LIKE ?", vec!["7"], "true"),
        ("SELECT '' || ? || ?", vec!["1.10", "7"], "1.107"),
        ("SELECT concat(?, '-', ?)", vec!["007", "1.10"], "007-1.10"),
        ("SELECT concat(?, ?)", vec!["7", "true"], "7true"),
        ("SELECT id FROM WHERE strpos(code, ?) = 3", vec!["7"], "7"),
        ("SELECT length(?)", vec!["12"], "2"),
        ("SELECT upper(?)", vec!["TRUE"], "TRUE"),
        ("SELECT replace(?, '0', ?)", vec!["100", "1"], "111"),
        ("SELECT split_part(?, '.', ?)", vec!["1.10", "2"], "10"),
        // Functions of numbers take numbers, however they are written.
        ("SELECT abs(?)", vec!["-007"], "7"),
        ("SELECT round(?, ?)", vec!["1.250", "01"], "1.3"),
        ("SELECT ? + price FROM WHERE id = 7", vec!["1.10"], "2.6"),
        ("SELECT - ?", vec!["1.10"], "-1.1"),
        ("SELECT id FROM LIMIT ?", vec!["01"], "7"),
        // Each of several takes its own.
        ("SELECT lpad(?, ?, ?)", vec!["7", "03", "0"], "007"),
        ("SELECT substr(?, ?, ?)", vec!["1234", "2", "2"], "23"),
        // Where a function takes either, the other arguments decide.
        ("SELECT coalesce(id, ?) FROM WHERE id = 7", vec!["08"], "7"),
        (
            "SELECT coalesce(?, code) FROM WHERE id = 7",
            vec!["08"],
            "08",
        ),
    ] {
        let full = sql.replace("FROM", codes);
        let answer = run(&full, &positional, &[]).await;
        assert_eq!(answer.expect(sql), expected, "{sql} {positional:?}");
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
    for (rows, expected) in [("'1'", "1"), ("NULL", "1; 2"), ("0", "")] {
        let some = run("SELECT x FROM (VALUES 1, 2) t(x) LIMIT ?", &[rows], &[]).await;
        assert_eq!(some.expect(rows), expected, "{rows}");
    }
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
        (
            "SELECT 1 FROM (VALUES CAST(1 AS integer)) t(x) WHERE x = :n",
            vec![],
            vec![("n", "abc")],
            "parameter :n: 'abc' is not an integer",
        ),
        (
            "SELECT x FROM (VALUES 1) t(x) LIMIT :n",
            vec![],
            vec![("n", "abc")],
            "parameter :n: 'abc' is not a number of rows, which LIMIT and OFFSET take",
        ),
        (
            "SELECT x FROM (VALUES 1) t(x) OFFSET ?",
            vec!["-1"],
            vec![],
            "parameter 1: '-1' is not a number of rows",
        ),
        (
            "SELECT x FROM (VALUES 1) t(x) LIMIT ?",
            vec!["1.5"],
            vec![],
            "parameter 1: '1.5' is not a number of rows",
        ),
    ] {
        let error = run(sql, &positional, &named).await.expect_err(sql);
        assert!(error.to_string().starts_with(expected), "{sql}: {error}");
    }
}
