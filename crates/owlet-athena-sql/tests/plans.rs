//! What stays plain in a plan, so that optimizer and sources recognise it.

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use owlet_athena_sql::{StatementKind, extend_state, parse, restore_conditions, session_config};

const TABLE: &str = "CREATE TABLE t (id BIGINT, name VARCHAR, born DATE, seen TIMESTAMP(3), price DECIMAL(10, 2), score DOUBLE)";

async fn optimized(sql: &str) -> String {
    let config = session_config(SessionConfig::new());
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features();
    let context = SessionContext::new_with_state(extend_state(builder).build());
    context.sql(TABLE).await.expect("a table");
    let StatementKind::Query(statement) = parse(sql).expect(sql).statement else {
        panic!("not a query");
    };
    let state = context.state();
    let plan = state.statement_to_plan(*statement).await.expect(sql);
    let plan = state.optimize(&plan).expect(sql);
    let plan = restore_conditions(plan).expect(sql);
    plan.display_indent().to_string()
}

#[tokio::test]
async fn conditions_stay_plain() {
    for (condition, expected) in [
        ("name = 'x'", "t.name = Utf8(\"x\")"),
        ("NAME = 'x'", "t.name = Utf8(\"x\")"),
        ("id > 5", "t.id > Int64(5)"),
        ("id + 1 > 5", "t.id + Int64(1) > Int64(5)"),
        (
            "born >= DATE '2020-01-01'",
            "t.born >= Date32(\"2020-01-01\")",
        ),
        (
            "seen >= TIMESTAMP '2020-01-01 00:00:00'",
            "t.seen >= TimestampMillisecond(1577836800000, None)",
        ),
        (
            "seen >= CAST('2020-01-01' AS timestamp)",
            "t.seen >= TimestampMillisecond(1577836800000, None)",
        ),
        ("price > DECIMAL '1.50'", "t.price > Decimal128(1.50,10,2)"),
        ("price > '1.5'", "t.price > Decimal128(1.50,10,2)"),
        ("born >= '2020-01-01'", "t.born >= Date32(\"2020-01-01\")"),
        (
            "seen >= '2020-01-01'",
            "t.seen >= TimestampMillisecond(1577836800000, None)",
        ),
    ] {
        let plan = optimized(&format!("SELECT id FROM t WHERE {condition}")).await;
        assert!(plan.contains(expected), "{condition}:\n{plan}");
    }
}

#[tokio::test]
async fn conditions_that_protect_stay_as_they_are_written() {
    for condition in [
        "CASE WHEN t.id = Int64(0) THEN Boolean(false) ELSE Int64(10) / t.id > Int64(3) END",
        "t.id != Int64(0) AND Int64(10) / t.id > Int64(3)",
    ] {
        let sql = condition.replace("Int64", "").replace("Boolean", "");
        let plan = optimized(&format!("SELECT name FROM t WHERE {sql}")).await;
        assert!(plan.contains(condition), "{plan}");
    }
}

#[tokio::test]
async fn aggregates_stay_plain() {
    for (select, expected) in [
        ("count(*)", "count(Int64(1))"),
        (
            "count_if(id > 1)",
            "count(Int64(1)) FILTER (WHERE t.id > Int64(1))",
        ),
        ("sum(id)", "sum(t.id)"),
        ("avg(price)", "avg(t.price)"),
        ("min(name)", "min(t.name)"),
        ("every(id > 1)", "bool_and(t.id > Int64(1))"),
    ] {
        let plan = optimized(&format!("SELECT {select} FROM t")).await;
        assert!(plan.contains(expected), "{select}:\n{plan}");
    }
}
