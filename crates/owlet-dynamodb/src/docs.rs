//! Tables of the documentation page, made by the code they describe. Must never know the page.

use arrow_schema::DataType;
use owlet_connector::{CompareOperator, Expression, Literal, LiteralValue, Truth};

use crate::options::OnTypeMismatch;
use crate::plan::translate::{Columns, translate};
use crate::shape::{Member, Shape};
use crate::table::TableColumn;

/// A table of a documentation page; cells are Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocTable {
    /// Column headers.
    pub headers: Vec<&'static str>,
    /// Rows; each has one cell for each header.
    pub rows: Vec<Vec<String>>,
}

impl DocTable {
    /// The table in Markdown, with a newline at the end.
    pub fn to_markdown(&self) -> String {
        let escape = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let mut text = format!("| {} |\n", self.headers.join(" | "));
        text.push_str(&format!("|{}\n", "---|".repeat(self.headers.len())));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(escape).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        text
    }
}

/// How attributes become columns.
pub fn type_table() -> DocTable {
    let member = |name: &str, shape| Member {
        source_name: name.to_owned(),
        name: name.to_owned(),
        shape,
    };
    let list = |shape| Shape::List(Box::new(shape));
    let set = |shape| Shape::Set(Box::new(shape));
    let cases = [
        ("text", Shape::Text),
        ("integers of 64 bits", Shape::BigInt),
        (
            "other numbers with at most 12 decimals that fit",
            Shape::Decimal { scale: 2 },
        ),
        (
            "other numbers that a double holds unchanged, or `numbers = \"double\"`",
            Shape::Double,
        ),
        ("other numbers, or `numbers = \"text\"`", Shape::NumberText),
        ("truth values", Shape::Boolean),
        ("binary", Shape::Binary),
        ("sets of text", set(Shape::Text)),
        ("sets of numbers", set(Shape::BigInt)),
        ("sets of binary values", set(Shape::Binary)),
        ("lists of one type", list(Shape::Text)),
        (
            "maps that share their keys",
            Shape::Struct(vec![
                member("city", Shape::Text),
                member("zip", Shape::Text),
            ]),
        ),
        (
            "several types, lists of several types, maps whose keys are data, only NULL or empty lists",
            Shape::Json,
        ),
    ];
    DocTable {
        headers: vec!["Sampled values", "DynamoDB type", "SQL type", "Arrow type"],
        rows: cases
            .into_iter()
            .map(|(values, shape)| {
                vec![
                    values.to_owned(),
                    shape
                        .descriptor()
                        .map_or_else(|| "any".to_owned(), |descriptor| format!("`{descriptor}`")),
                    format!("`{}`", shape.sql_type()),
                    format!("`{}`", arrow_name(&shape.data_type())),
                ]
            })
            .collect(),
    }
}

fn arrow_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(element) => format!("List<{}>", arrow_name(element.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name(), arrow_name(field.data_type())))
                .collect();
            format!("Struct<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// What becomes of predicates outside the key: each row is translated by the code that plans queries.
pub fn pushdown_table() -> DocTable {
    let columns = example_columns();
    let context = Columns {
        columns: &columns,
        required: &["id"],
        forbidden: &[],
        on_mismatch: OnTypeMismatch::Error,
    };
    let rows = example_predicates(&columns)
        .into_iter()
        .map(|(sql, predicate)| {
            let (answer, condition) = match translate(&predicate, context) {
                Ok(translated) => {
                    let condition = format!("`{}`", translated.condition.readable());
                    match translated.inexact {
                        None => ("exact".to_owned(), condition),
                        Some(reason) => (format!("checked again: {reason}"), condition),
                    }
                }
                Err(reason) => (format!("local: {reason}"), String::new()),
            };
            vec![format!("`{sql}`"), answer, condition]
        })
        .collect();
    DocTable {
        headers: vec!["SQL", "Pushed", "Condition at DynamoDB"],
        rows,
    }
}

const EXAMPLE_ATTRIBUTES: [&str; 9] = [
    "id", "name", "quantity", "price", "score", "active", "photo", "address", "mixed",
];

fn example_columns() -> Vec<TableColumn> {
    let city = Member {
        source_name: "city".to_owned(),
        name: "city".to_owned(),
        shape: Shape::Text,
    };
    let shapes = [
        Shape::Text,
        Shape::Text,
        Shape::BigInt,
        Shape::Decimal { scale: 2 },
        Shape::Double,
        Shape::Boolean,
        Shape::Binary,
        Shape::Struct(vec![city]),
        Shape::Json,
    ];
    EXAMPLE_ATTRIBUTES
        .iter()
        .zip(shapes)
        .map(|(name, shape)| TableColumn {
            attribute: Some((*name).to_owned()),
            shape,
            overridden: false,
        })
        .collect()
}

fn example_predicates(columns: &[TableColumn]) -> Vec<(&'static str, Expression)> {
    let column = |name: &str| {
        let index = EXAMPLE_ATTRIBUTES
            .iter()
            .position(|known| *known == name)
            .unwrap_or_default();
        Expression::Column(owlet_connector::ColumnReference {
            index,
            name: name.to_owned(),
            data_type: columns[index].shape.data_type(),
            nullable: true,
        })
    };
    let boxed = |expression: Expression| Box::new(expression);
    let compare =
        |left: Expression, operator: CompareOperator, literal: Literal| Expression::Compare {
            operator,
            left: Box::new(left),
            right: Box::new(Expression::Literal(literal)),
        };
    let like = |pattern: &str, case_insensitive: bool| Expression::Like {
        expression: Box::new(column("name")),
        pattern: Box::new(Expression::Literal(Literal::text(pattern))),
        escape: None,
        negated: false,
        case_insensitive,
    };
    let in_list = |negated: bool, literals: Vec<Literal>| Expression::InList {
        expression: Box::new(column("name")),
        list: literals.into_iter().map(Expression::Literal).collect(),
        negated,
    };
    let decimal = Literal {
        value: LiteralValue::Integer(1250),
        data_type: DataType::Decimal128(38, 2),
    };
    let city = Expression::Field {
        expression: boxed(column("address")),
        name: "city".to_owned(),
        data_type: DataType::Utf8,
    };
    let as_double = Expression::Cast {
        expression: boxed(column("price")),
        data_type: DataType::Float64,
        on_failure: owlet_connector::CastFailure::Error,
    };
    use CompareOperator::{Equal, Greater, NotDistinctFrom, NotEqual};
    let named = || compare(column("name"), Equal, Literal::text("a"));
    vec![
        ("name = 'a'", named()),
        (
            "name <> 'a'",
            compare(column("name"), NotEqual, Literal::text("a")),
        ),
        ("NOT (name = 'a')", Expression::Not(boxed(named()))),
        (
            "name IS NOT DISTINCT FROM 'a'",
            compare(column("name"), NotDistinctFrom, Literal::text("a")),
        ),
        ("name IS NULL", Expression::IsNull(boxed(column("name")))),
        (
            "name IS NOT NULL",
            Expression::IsNotNull(boxed(column("name"))),
        ),
        (
            "name IN ('a', 'b')",
            in_list(false, vec![Literal::text("a"), Literal::text("b")]),
        ),
        (
            "name NOT IN ('a', 'b')",
            in_list(true, vec![Literal::text("a"), Literal::text("b")]),
        ),
        (
            "name NOT IN ('a', NULL)",
            in_list(
                true,
                vec![Literal::text("a"), Literal::null(DataType::Utf8)],
            ),
        ),
        ("name LIKE 'a%'", like("a%", false)),
        ("name LIKE '%a%'", like("%a%", false)),
        ("name LIKE 'a%b'", like("a%b", false)),
        ("name ILIKE 'a%'", like("a%", true)),
        (
            "quantity > 5",
            compare(column("quantity"), Greater, Literal::int64(5)),
        ),
        (
            "price > DECIMAL '12.50'",
            compare(column("price"), Greater, decimal),
        ),
        (
            "price > 12.5",
            compare(as_double, Greater, Literal::float64(12.5)),
        ),
        (
            "score = 0.5",
            compare(column("score"), Equal, Literal::float64(0.5)),
        ),
        ("active", column("active")),
        (
            "active IS NOT TRUE",
            Expression::Is {
                expression: boxed(column("active")),
                truth: Truth::True,
                negated: true,
            },
        ),
        (
            "photo = X'00FF'",
            compare(
                column("photo"),
                Equal,
                Literal {
                    value: LiteralValue::Binary(vec![0, 255]),
                    data_type: DataType::Binary,
                },
            ),
        ),
        (
            "address.city = 'x'",
            compare(city, Equal, Literal::text("x")),
        ),
        ("mixed IS NULL", Expression::IsNull(boxed(column("mixed")))),
        (
            "mixed = '1'",
            compare(column("mixed"), Equal, Literal::text("1")),
        ),
        (
            "lower(name) = 'a'",
            compare(
                Expression::Function {
                    name: "lower".to_owned(),
                    arguments: vec![column("name")],
                    data_type: DataType::Utf8,
                },
                Equal,
                Literal::text("a"),
            ),
        ),
    ]
}
