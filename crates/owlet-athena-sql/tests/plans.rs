//! What stays plain in a plan, so that optimizer and sources recognise it.

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use owlet_athena_sql::{StatementKind, extend_state, parse, session_config};

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
    state
        .optimize(&plan)
        .expect(sql)
        .display_indent()
        .to_string()
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
    ] {
        let plan = optimized(&format!("SELECT id FROM t WHERE {condition}")).await;
        assert!(plan.contains(expected), "{condition}:\n{plan}");
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
