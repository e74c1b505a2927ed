//! Messages, positions and hints of errors.

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionConfig;
use owlet_athena_sql::{StatementKind, extend_state, parse, planning_error, session_config};

async fn error_of(sql: &str) -> (Option<(u64, u64)>, String, String) {
    let config = session_config(SessionConfig::new());
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features();
    let state = extend_state(builder).build();
    let StatementKind::Query(statement) = parse(sql).expect("parses").statement else {
        panic!("not a query");
    };
    let error = match state.statement_to_plan(*statement).await {
        Err(error) => error,
        Ok(plan) => state.optimize(&plan).expect_err("an error"),
    };
    let info = planning_error(&error, sql);
    (info.position, info.message, info.hint)
}

#[tokio::test]
async fn errors_say_where_what_and_what_to_do() {
    let table = "FROM (VALUES (1, 'x')) t(id, name)";
    for (sql, position, message, hint) in [
        (
            format!("SELECT nam {table}"),
            Some((1, 8)),
            "column nam does not exist",
            "did you mean t.name; columns: t.id, t.name",
        ),
        (
            format!("SELECT\n  id,\n  t.nope {table}"),
            Some((3, 3)),
            "column t.nope does not exist",
            "columns: t.id, t.name",
        ),
        (
            format!("SELECT id {table} WHERE idd = 1"),
            Some((1, 52)),
            "column idd does not exist",
            "did you mean t.id",
        ),
        (
            format!("SELECT upperr(name) {table}"),
            Some((1, 8)),
            "function upperr does not exist",
            "did you mean upper",
        ),
        (
            "SELECT id FROM (VALUES 1) a(id), (VALUES 1) b(id)".to_owned(),
            Some((1, 8)),
            "column id is ambiguous",
            "write the table's name",
        ),
        (
            format!("SELECT id, count(*) {table}"),
            None,
            "id",
            "group by it",
        ),
        (
            format!("SELECT length(id) {table}"),
            None,
            "length does not take (bigint)",
            "",
        ),
        ("SELECT CAST('x' AS bigint)".to_owned(), None, "x", ""),
    ] {
        let error = error_of(&sql).await;
        assert_eq!(error.0, position.or(error.0), "{sql}: {error:?}");
        assert!(
            error.1.contains(message) && error.2.contains(hint),
            "{sql}: {error:?}"
        );
    }
}
