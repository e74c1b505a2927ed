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

/// What DataFusion says of these shows its own types, stages and syntax trees.
#[tokio::test]
async fn mistakes_are_told_in_the_words_of_sql() {
    let table = "FROM (VALUES (1, 'x', DECIMAL '1.50')) t(id, name, price)";
    for (sql, message, hint) in [
        (
            "SELECT sum(name) FROM t",
            "sum does not take (varchar)",
            "CAST",
        ),
        (
            "SELECT avg(name) FROM t",
            "avg does not take (varchar)",
            "CAST",
        ),
        (
            "SELECT upper(1, 2) FROM t",
            "upper does not take (bigint, bigint); it takes (",
            "",
        ),
        (
            "SELECT approx_percentile(price) FROM t",
            "approx_percentile does not take (decimal(3,2))",
            "",
        ),
        (
            "SELECT name + id FROM t",
            "no operator does varchar + bigint",
            "CAST",
        ),
        (
            "SELECT id FROM t WHERE name LIKE 5",
            "LIKE takes texts, not bigint",
            "",
        ),
        (
            "SELECT id FROM t WHERE name",
            "the condition t.name is of type varchar, not boolean",
            "compare it",
        ),
        (
            "SELECT name, count(*) FROM t",
            "column t.name is neither grouped nor aggregated",
            "group by it",
        ),
        (
            "SELECT *, count(*) FROM t",
            "column t.id is neither grouped nor aggregated",
            "group by it",
        ),
        (
            "SELECT name FROM t HAVING id > 1",
            "is neither grouped nor aggregated",
            "group by it",
        ),
        (
            "SELECT name FROM t GROUP BY 3",
            "there is no column 3: the select list has 1",
            "",
        ),
        (
            "SELECT name FROM t ORDER BY 3",
            "there is no column 3 to order by: the select list has 1",
            "",
        ),
        (
            "SELECT id FROM t WHERE count(*) > 1",
            "WHERE cannot hold an aggregate",
            "HAVING",
        ),
        (
            "SELECT sum(count(*)) FROM t",
            "Aggregate function calls cannot be nested: 'count(1)'",
            "subquery",
        ),
        (
            "SELECT row_number() FROM t",
            "row_number is a window function",
            "OVER",
        ),
        (
            "SELECT id FROM t UNION SELECT id, name FROM t",
            "the queries of UNION have different numbers of columns",
            "as many",
        ),
        (
            "SELECT id FROM t WHERE id IN (SELECT id, name FROM t)",
            "a subquery that stands for a value has one column",
            "only one",
        ),
        (
            "SELECT * FROM (VALUES (1), (2, 3)) v",
            "row 2 of VALUES has 2 values, the first has 1",
            "",
        ),
        (
            "WITH w(x, y) AS (SELECT 1) SELECT * FROM w",
            "the list of column names has 2, the table 1 columns",
            "name all",
        ),
        (
            "SELECT x FROM (SELECT id AS x, name AS x FROM t)",
            "column x is ambiguous: there are several of this name",
            "AS",
        ),
    ] {
        let sql = sql.replace("FROM t", table);
        let error = error_of(&sql).await;
        assert!(
            error.1.contains(message) && error.2.contains(hint),
            "{sql}: {error:?}"
        );
        assert!(!error.1.contains('\n'), "{sql}: {error:?}");
    }
}

#[test]
fn a_missing_expression_is_where_the_next_word_is() {
    for (sql, place) in [
        (
            "SELECT id, FROM orders",
            "line 1:12: expected an expression",
        ),
        ("SELECT FROM orders", "line 1:8: expected an expression"),
    ] {
        let error = parse(sql).expect_err(sql).to_string();
        assert!(error.starts_with(place), "{sql}: {error}");
    }
}

#[test]
fn what_has_no_end_is_told_where_it_begins() {
    for (sql, expected) in [
        (
            "SELECT 1 /* x",
            "line 1:10: this comment has no end (hint: close it with */)",
        ),
        (
            "SELECT 1\n  /* x; -- y\n'",
            "line 2:3: this comment has no end (hint: close it with */)",
        ),
        ("/*", "line 1:1: this comment has no end"),
        (
            "SELECT 'it''s",
            "line 1:8: this text has no end (hint: close it with ')",
        ),
        ("SELECT X'AB", "line 1:8: this text has no end"),
        ("SELECT U&'x", "line 1:8: this text has no end"),
        (
            "SELECT 1 AS \"x",
            "line 1:13: this quoted name has no end (hint: close it with \")",
        ),
    ] {
        let error = parse(sql).expect_err(sql).to_string();
        assert!(error.starts_with(expected), "{sql}: {error}");
    }
    assert!(parse("SELECT 1 /* x */ -- y").is_ok());
}

#[test]
fn what_cannot_stand_where_it_does_is_told_where_and_why() {
    for (sql, expected) in [
        (
            "SELECT TIMESTAMP :d",
            "line 1:18: TIMESTAMP stands before a text in quotes, not before a parameter \
             (hint: write CAST(:d AS TIMESTAMP))",
        ),
        (
            "SELECT 1 WHERE DATE ? < now()",
            "line 1:21: DATE stands before a text in quotes",
        ),
        (
            "SELECT 1 FROM a.b.c.d",
            "line 1:15: a.b.c.d has 4 parts; a table's name has at most 3 (hint: write catalog.schema.table",
        ),
        (
            "SELECT x.* FROM (SELECT a.b.c.d.* FROM d) x",
            "line 1:25: a.b.c.d has 4 parts",
        ),
        (
            "BEGIN",
            "line 1:1: BEGIN is not possible: there are no transactions, a statement stands alone \
             (hint: leave it out and run the query alone)",
        ),
        (
            "USE pg",
            "line 1:1: USE is not possible: a statement stands alone, there is no session to change \
             (hint: write full names (catalog.schema.table))",
        ),
        (
            "SET SESSION x = 1",
            "line 1:1: SET is not possible: a statement stands alone, there is no session to change \
             (hint: settings stand in the configuration)",
        ),
    ] {
        let error = parse(sql).expect_err(sql).to_string();
        assert!(error.starts_with(expected), "{sql}: {error}");
    }
}

#[tokio::test]
async fn columns_without_names_are_not_offered() {
    for (sql, hint) in [
        (
            "SELECT _col0 FROM (SELECT count(*) FROM (VALUES 1) t(x))",
            "the subquery gives its columns no names: give them some with AS",
        ),
        (
            "SELECT _col0 FROM (SELECT count(*), max(x) AS most FROM (VALUES 1) t(x)) u",
            "columns: u.most; others have no names: give them some with AS",
        ),
        (
            "SELECT *, * FROM (VALUES (1, 2)) t(a, b) ORDER BY _col0",
            "columns: t.a, t.b",
        ),
    ] {
        let (_, message, found) = error_of(sql).await;
        assert_eq!(message, "column _col0 does not exist", "{sql}");
        assert_eq!(found, hint, "{sql}");
    }
}
