//! What PostgreSQL is sent, to the letter.

mod support;

use arrow_schema::DataType;
use owlet_connector::CompareOperator;
use owlet_remote_sql::postgres::PostgresDialect;
use owlet_remote_sql::{AggregateFunction, Dialect, JoinKind, Relation};
use support::*;

fn sql(relation: &Relation) -> String {
    PostgresDialect::new()
        .render(relation)
        .expect("renders")
        .sql
}

fn refusal(relation: &Relation) -> String {
    PostgresDialect::new()
        .render(relation)
        .expect_err("must be refused")
        .reason
}

fn only(index: usize) -> Relation {
    let users = users();
    project(users.clone(), vec![col(&users, index)])
}

#[test]
fn a_filter_and_a_projection_join_the_table_in_one_select() {
    let users = users();
    let relation = project(
        filter(users.clone(), equal(col(&users, 0), int32(5))),
        vec![col(&users, 1)],
    );
    assert_eq!(
        sql(&relation),
        r#"SELECT t0."name" AS c0 FROM "public"."users" AS t0 WHERE (t0."id" = 5::int4)"#
    );
}

#[test]
fn text_orders_by_bytes_and_compares_with_the_columns_collation() {
    let users = users();
    let relation = sort(
        filter(only(1), equal(col(&only(1), 0), text("O'Hara"))),
        vec![ascending(col(&only(1), 0))],
    );
    assert_eq!(
        sql(&relation),
        r#"SELECT t0."name" AS c0 FROM "public"."users" AS t0 WHERE (t0."name" = 'O''Hara'::text) ORDER BY (t0."name" COLLATE "C") ASC NULLS LAST"#
    );
    let c_column = limit(
        sort(users.clone(), vec![descending(col(&users, 11))]),
        0,
        Some(3),
    );
    assert!(sql(&c_column).ends_with(r#"ORDER BY t0."c_name" DESC NULLS LAST LIMIT 3"#));
}

#[test]
fn uuid_and_blank_padded_columns_compare_natively_with_constants() {
    let users = users();
    let keyed = |index: usize, value: &str| {
        let relation = project(
            filter(users.clone(), equal(col(&users, index), text(value))),
            vec![col(&users, 0)],
        );
        sql(&relation)
            .split(" WHERE ")
            .nth(1)
            .expect("has a condition")
            .to_owned()
    };
    assert_eq!(
        keyed(2, "0f0e0d0c-0b0a-0908-0706-050403020100"),
        r#"(t0."uid" = '0f0e0d0c-0b0a-0908-0706-050403020100'::uuid)"#
    );
    assert_eq!(
        keyed(2, "NOT-A-UUID"),
        r#"(t0."uid"::text = 'NOT-A-UUID'::text)"#
    );
    assert_eq!(keyed(3, "ab"), r#"(t0."code" = 'ab'::bpchar)"#);
    assert_eq!(keyed(3, "ab "), r#"(t0."code"::text = 'ab '::text)"#);
    assert_eq!(keyed(10, "x"), r#"((t0."ci" COLLATE "C") = 'x'::text)"#);
}

#[test]
fn a_result_is_read_from_the_stored_value() {
    let users = users();
    let stored = project(
        users.clone(),
        vec![col(&users, 2), col(&users, 3), col(&users, 12)],
    );
    assert_eq!(
        sql(&stored),
        r#"SELECT t0."uid" AS c0, t0."code" AS c1, t0."data" AS c2 FROM "public"."users" AS t0"#
    );
    let grouped = aggregate(users.clone(), vec![col(&users, 3)], vec![]);
    assert_eq!(
        sql(&grouped),
        r#"SELECT t0."code"::text AS c0 FROM "public"."users" AS t0 GROUP BY t0."code"::text"#,
        "what is computed with is the canonical form"
    );
}

#[test]
fn the_two_zeros_are_equal_in_comparisons() {
    let users = users();
    let condition = |operator| {
        let relation = project(
            filter(
                users.clone(),
                compare(col(&users, 5), operator, float64(0.0)),
            ),
            vec![col(&users, 0)],
        );
        sql(&relation)
            .split(" WHERE ")
            .nth(1)
            .expect("has a condition")
            .to_owned()
    };
    assert_eq!(
        condition(CompareOperator::Less),
        r#"(t0."score" < '0e0'::float8)"#
    );
    assert_eq!(
        condition(CompareOperator::Greater),
        r#"(t0."score" > '0e0'::float8)"#
    );
    let grouped = aggregate(
        users.clone(),
        vec![col(&users, 5)],
        vec![call(AggregateFunction::CountRows, None, DataType::Int64)],
    );
    assert_eq!(
        refusal(&grouped),
        "grouping by users.score: -0.0 and 0.0 are equal in PostgreSQL and different in the engine"
    );
}

#[test]
fn computed_group_keys_become_columns_first() {
    let users = users();
    let key = function("length", vec![col(&users, 1)], DataType::Int32);
    let relation = aggregate(
        users.clone(),
        vec![key],
        vec![call(AggregateFunction::CountRows, None, DataType::Int64)],
    );
    let text = sql(&relation);
    assert!(
        text.starts_with("SELECT t1.c14 AS c0, count(*) AS c1 FROM (SELECT "),
        "{text}"
    );
    assert!(text.ends_with(" AS t1 GROUP BY t1.c14"), "{text}");
}

#[test]
fn joins_merge_into_one_from() {
    let users = users();
    let orders = table(
        "orders",
        vec![
            column_of("user_id", DataType::Int32, "integer"),
            column_of("total", DataType::Int64, "bigint"),
        ],
    );
    let left = project(users.clone(), vec![col(&users, 0)]);
    let join = |kind, right: Relation| Relation::Join {
        left: Box::new(left.clone()),
        right: Box::new(right.clone()),
        kind,
        on: vec![(col(&left, 0), col(&right, 0))],
        filter: None,
    };
    assert_eq!(
        sql(&join(JoinKind::Inner, orders.clone())),
        r#"SELECT t0."id" AS c0, t1."user_id" AS c1, t1."total" AS c2 FROM "public"."users" AS t0 JOIN "public"."orders" AS t1 ON (t0."id" = t1."user_id")"#
    );
    let filtered = filter(
        orders.clone(),
        compare(col(&orders, 1), CompareOperator::Greater, int64(7)),
    );
    assert_eq!(
        sql(&join(JoinKind::Left, filtered.clone())),
        r#"SELECT t0."id" AS c0, t2.c0 AS c1, t2.c1 AS c2 FROM "public"."users" AS t0 LEFT JOIN (SELECT t1."user_id" AS c0, t1."total" AS c1 FROM "public"."orders" AS t1 WHERE (t1."total" > 7::int8)) AS t2 ON (t0."id" = t2.c0)"#
    );
    assert_eq!(
        sql(&join(JoinKind::LeftAnti, filtered)),
        r#"SELECT t0."id" AS c0 FROM "public"."users" AS t0 WHERE NOT EXISTS (SELECT 1 FROM "public"."orders" AS t1 WHERE (t1."total" > 7::int8) AND (t0."id" = t1."user_id"))"#
    );
}

#[test]
fn a_restricted_leaf_stands_alone() {
    let Relation::Table(mut leaf) = users() else {
        panic!("a table")
    };
    leaf.columns.truncate(1);
    leaf.restriction = Some("ctid >= '(0,0)'::tid".to_owned());
    assert_eq!(
        sql(&Relation::Table(leaf)),
        r#"SELECT t0."id" AS c0 FROM "public"."users" AS t0 WHERE (ctid >= '(0,0)'::tid)"#
    );
}

#[test]
fn what_is_not_exact_is_refused_by_name() {
    let users = users();
    let reason = |expression| refusal(&project(users.clone(), vec![expression]));
    assert_eq!(
        reason(function("lower", vec![col(&users, 1)], DataType::Utf8)),
        "lower() of users.name: PostgreSQL folds case by the locale, the engine by Unicode; comparisons with ASCII constants are pushed"
    );
    assert_eq!(
        reason(function("frobnicate", vec![col(&users, 1)], DataType::Utf8)),
        "frobnicate() of users.name: not known to be exact in PostgreSQL"
    );
    let seen = col(&users, 7);
    let price = col(&users, 4);
    assert_eq!(
        reason(function("owlet_cast", vec![seen], DataType::Utf8)),
        "cast of users.seen: not with a result of type varchar"
    );
    assert_eq!(
        reason(function(
            "owlet_decimal_divide",
            vec![price.clone(), price.clone()],
            DataType::Decimal128(38, 18)
        )),
        "decimal `/` of users.price: not known to be exact in PostgreSQL"
    );
    assert_eq!(
        reason(function("abs", vec![col(&users, 7)], DataType::Int64)),
        "abs() of users.seen: not known to be exact in PostgreSQL for (timestamp with time zone)"
    );
    assert_eq!(
        reason(equal(price, float64(1.0))),
        "comparing users.price: decimal(10,2) and double are different types"
    );
    let cross = Relation::Join {
        left: Box::new(users.clone()),
        right: Box::new(users.clone()),
        kind: JoinKind::Inner,
        on: Vec::new(),
        filter: None,
    };
    assert_eq!(
        refusal(&cross),
        "a join without equal keys would be a cross join at the source"
    );
}

#[test]
fn companions_stand_in_a_derived_table_as_far_as_it_has_room() {
    let wide = |columns: usize| {
        let columns =
            (0..columns).map(|number| column_of(&format!("u{number}"), DataType::Utf8, "uuid"));
        let cut = limit(table("wide", columns.collect()), 0, Some(5));
        let test = equal(col(&cut, 0), text("00000000-0000-0000-0000-000000000001"));
        filter(cut, test)
    };
    let narrow = sql(&wide(832));
    assert!(narrow.contains("AS n831"), "{narrow}");
    assert!(narrow.contains("t1.n0 = '00000000-0000-0000-0000-000000000001'::uuid"));
    let widest = sql(&wide(1600));
    assert!(!widest.contains(" AS n0"), "{widest}");
    assert!(widest.contains("t1.c0 = '00000000-0000-0000-0000-000000000001'::text"));
    assert_eq!(
        refusal(&wide(1665)),
        "1665 columns are more than PostgreSQL returns (1664)"
    );
    let joined = Relation::Join {
        left: Box::new(wide(1000)),
        right: Box::new(wide(1000)),
        kind: JoinKind::Inner,
        on: vec![(col(&wide(1), 0), col(&wide(1), 0))],
        filter: None,
    };
    assert!(refusal(&joined).starts_with("2000 columns are more"));
}

#[test]
fn nesting_is_limited() {
    let users = users();
    let mut predicate = equal(col(&users, 0), int32(1));
    for _ in 0..300 {
        predicate = owlet_connector::Expression::Not(Box::new(predicate));
    }
    let relation = filter(users.clone(), predicate.clone());
    assert!(refusal(&relation).contains("nests deeper"));
    assert_eq!(
        PostgresDialect::new().prefilter(&predicate, &users.columns()),
        None
    );
}
