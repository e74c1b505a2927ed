//! Databases that are not in UTF-8: every question gets its answer, also about texts they cannot hold.

mod support;

use owlet_connector::{CompareOperator, Connector, Exactness, Expression, Literal, TableMetadata};
use owlet_postgres::PostgresConnector;
use owlet_remote_sql::Dialect;
use owlet_remote_sql::postgres::PostgresDialect;
use support::{Database, column, column_text, context, read_plan, request, table};

async fn database_in(encoding: &str) -> Database {
    let options = format!("ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    Database::create_with(&encoding.to_lowercase(), &options).await
}

fn text(value: &str) -> Expression {
    Expression::Literal(Literal::text(value))
}

fn compared(metadata: &TableMetadata, operator: CompareOperator, value: &str) -> Expression {
    Expression::Compare {
        operator,
        left: Box::new(column(metadata, "x")),
        right: Box::new(text(value)),
    }
}

fn listed(metadata: &TableMetadata, values: &[&str], negated: bool) -> Expression {
    Expression::InList {
        expression: Box::new(column(metadata, "x")),
        list: values.iter().map(|value| text(value)).collect(),
        negated,
    }
}

/// Ids of the rows that pass, all of it decided by the server.
async fn passing(
    connector: &PostgresConnector,
    metadata: &TableMetadata,
    filter: Expression,
) -> String {
    let mut wanted = request(metadata);
    wanted.filters = vec![filter];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!(plan.filters, [Exactness::Exact], "{}", plan.remote);
    let batches = read_plan(connector, &plan, &context())
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", plan.remote));
    let mut ids: Vec<String> = column_text(&batches, 0).into_iter().flatten().collect();
    ids.sort();
    ids.join(" ")
}

/// Row 1 holds `held`, row 2 `plain`, row 3 NULL; `foreign` cannot be held.
async fn check(encoding: &str, held: &str, foreign: &str) {
    let database = database_in(encoding).await;
    database
        .run(&format!(
            "CREATE TABLE t (id int, x text, padded char(20)); \
             INSERT INTO t VALUES (1, '{held}', '{held}'), (2, 'plain', 'plain'), (3, NULL, NULL)"
        ))
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let rows = async |filter| passing(&connector, &metadata, filter).await;
    use CompareOperator::{DistinctFrom, Equal, NotDistinctFrom, NotEqual};
    for (operator, of_held, of_foreign) in [
        (Equal, "1", ""),
        (NotEqual, "2", "1 2"),
        (DistinctFrom, "2 3", "1 2 3"),
        (NotDistinctFrom, "1", ""),
    ] {
        assert_eq!(rows(compared(&metadata, operator, held)).await, of_held);
        assert_eq!(
            rows(compared(&metadata, operator, foreign)).await,
            of_foreign,
            "{encoding} {operator:?}"
        );
    }
    let (not, is) = (true, false);
    assert_eq!(rows(listed(&metadata, &[foreign], is)).await, "");
    assert_eq!(rows(listed(&metadata, &[foreign], not)).await, "1 2");
    assert_eq!(
        rows(listed(&metadata, &[foreign, held, "other"], is)).await,
        "1"
    );
    assert_eq!(rows(listed(&metadata, &[foreign, held], not)).await, "2");
    assert_eq!(
        rows(Expression::Not(Box::new(compared(
            &metadata, Equal, foreign
        ))))
        .await,
        "1 2"
    );
    let padded = Expression::Compare {
        operator: Equal,
        left: Box::new(column(&metadata, "padded")),
        right: Box::new(text(foreign)),
    };
    assert_eq!(rows(padded).await, "");

    // What joins find out while the query runs.
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    for (keys, expected) in [
        (vec![foreign, held], vec![Some("1".to_owned())]),
        (vec![foreign], Vec::new()),
    ] {
        let mut narrowed = context();
        narrowed.dynamic_filters = vec![listed(&metadata, &keys, is)];
        let batches = read_plan(&connector, &plan, &narrowed).await.expect("rows");
        assert_eq!(column_text(&batches, 0), expected, "{encoding} {keys:?}");
    }
}

#[tokio::test]
async fn texts_that_one_byte_encodings_lack() {
    check("WIN1252", "Zürich €", "日本").await;
    check("LATIN1", "Zürich", "€").await;
    check("KOI8R", "привет", "日本").await;
}

#[tokio::test]
async fn texts_that_encodings_of_more_bytes_may_lack() {
    check("EUC_KR", "홍길동", "𝄞").await;
    check("EUC_JP", "日本", "홍").await;
}

/// Elsewhere a constant that may not be held is left to the engine.
#[tokio::test]
async fn other_uses_of_such_constants_stay_local() {
    let database = database_in("WIN1250").await;
    database.run("CREATE TABLE t (id int, x text)").await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let mut wanted = request(&metadata);
    wanted.filters = vec![Expression::Compare {
        operator: CompareOperator::Equal,
        left: Box::new(column(&metadata, "x")),
        right: Box::new(Expression::Function {
            name: "nullif".to_owned(),
            arguments: vec![column(&metadata, "x"), text("日本")],
            data_type: arrow::datatypes::DataType::Utf8,
        }),
    }];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert!(
        matches!(&plan.filters[..], [Exactness::Unsupported(reason)] if reason.contains("WIN1250")),
        "{:?}",
        plan.filters
    );
}

/// The dialect's tables are the server's.
#[tokio::test]
async fn which_characters_an_encoding_has() {
    let database = Database::create("characters").await;
    database
        .run(
            "CREATE FUNCTION is_held(number int, encoding name) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM convert_to(chr(number), encoding); RETURN true; \
             EXCEPTION WHEN OTHERS THEN RETURN false; END $$",
        )
        .await;
    for encoding in [
        "ISO_8859_5",
        "ISO_8859_6",
        "ISO_8859_7",
        "ISO_8859_8",
        "KOI8R",
        "KOI8U",
        "LATIN1",
        "LATIN2",
        "LATIN3",
        "LATIN4",
        "LATIN5",
        "LATIN6",
        "LATIN7",
        "LATIN8",
        "LATIN9",
        "LATIN10",
        "WIN866",
        "WIN874",
        "WIN1250",
        "WIN1251",
        "WIN1252",
        "WIN1253",
        "WIN1254",
        "WIN1255",
        "WIN1256",
        "WIN1257",
        "WIN1258",
    ] {
        let held = database
            .column(&format!(
                "SELECT number FROM generate_series(1, 12287) AS number WHERE is_held(number, '{encoding}')"
            ))
            .await;
        let held: Vec<u32> = held
            .into_iter()
            .flatten()
            .map(|number| number.parse().expect("a number"))
            .collect();
        let dialect = PostgresDialect::with_server_encoding(encoding);
        let sent: Vec<u32> = ('\u{1}'..='\u{2fff}')
            .filter(|character| {
                dialect
                    .literal(&Literal::text(character.to_string()))
                    .is_ok()
            })
            .map(u32::from)
            .collect();
        assert_eq!(sent, held, "{encoding}");
    }
}
