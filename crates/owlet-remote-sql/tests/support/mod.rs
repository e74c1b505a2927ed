//! Short ways to write relations in tests.
#![allow(dead_code, reason = "each test binary uses some of them")]

use arrow_schema::{DataType, TimeUnit};
use owlet_connector::{
    ArithmeticOperator, CastFailure, Collation, ColumnMetadata, ColumnReference, CompareOperator,
    Expression, Literal, LiteralValue, NullsOrder, SortDirection, SortKey,
};
use owlet_remote_sql::{AggregateExpression, AggregateFunction, Relation, RemoteTable};

pub fn column_of(name: &str, data_type: DataType, native_type: &str) -> ColumnMetadata {
    ColumnMetadata::new(name, data_type, native_type)
}

pub fn collated(
    name: &str,
    native_type: &str,
    collation: &str,
    equality: bool,
    ordering: bool,
) -> ColumnMetadata {
    let mut column = ColumnMetadata::new(name, DataType::Utf8, native_type);
    column.collation = Some(Collation {
        name: collation.to_owned(),
        binary_equality: equality,
        binary_ordering: ordering,
    });
    column
}

pub fn table(name: &str, columns: Vec<ColumnMetadata>) -> Relation {
    Relation::Table(RemoteTable {
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns,
        restriction: None,
    })
}

/// The standard table of these tests.
pub fn users() -> Relation {
    table(
        "users",
        vec![
            column_of("id", DataType::Int32, "integer"),
            collated("name", "text", "en_US", true, false),
            column_of("uid", DataType::Utf8, "uuid"),
            collated("code", "character(5)", "en_US", true, false),
            column_of("price", DataType::Decimal128(10, 2), "numeric(10,2)"),
            column_of("score", DataType::Float64, "double precision"),
            column_of("born", DataType::Date32, "date"),
            column_of(
                "seen",
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                "timestamp with time zone",
            ),
            column_of("big", DataType::Int64, "bigint"),
            column_of("active", DataType::Boolean, "boolean"),
            collated("ci", "text", "case_insensitive", false, false),
            collated("c_name", "text", "C", true, true),
            column_of("data", DataType::Utf8, "jsonb"),
            column_of(
                "at",
                DataType::Timestamp(TimeUnit::Microsecond, None),
                "timestamp without time zone",
            ),
        ],
    )
}

/// A reference to a column of `relation`.
pub fn col(relation: &Relation, index: usize) -> Expression {
    let column = relation.columns()[index].clone();
    Expression::Column(ColumnReference {
        index,
        name: column
            .origin
            .map_or_else(|| format!("c{index}"), |origin| origin.name),
        data_type: column.data_type,
        nullable: column.nullable,
    })
}

pub fn text(value: &str) -> Expression {
    Expression::Literal(Literal::text(value))
}

pub fn int64(value: i64) -> Expression {
    Expression::Literal(Literal::int64(value))
}

pub fn int32(value: i32) -> Expression {
    integer(value.into(), DataType::Int32)
}

pub fn float64(value: f64) -> Expression {
    Expression::Literal(Literal::float64(value))
}

pub fn integer(value: i128, data_type: DataType) -> Expression {
    Expression::Literal(Literal {
        value: LiteralValue::Integer(value),
        data_type,
    })
}

pub fn null(data_type: DataType) -> Expression {
    Expression::Literal(Literal::null(data_type))
}

pub fn compare(left: Expression, operator: CompareOperator, right: Expression) -> Expression {
    Expression::Compare {
        operator,
        left: Box::new(left),
        right: Box::new(right),
    }
}

pub fn equal(left: Expression, right: Expression) -> Expression {
    compare(left, CompareOperator::Equal, right)
}

pub fn like(operand: Expression, pattern: &str) -> Expression {
    Expression::Like {
        expression: Box::new(operand),
        pattern: Box::new(text(pattern)),
        escape: None,
        negated: false,
        case_insensitive: false,
    }
}

pub fn in_list(operand: Expression, list: Vec<Expression>, negated: bool) -> Expression {
    Expression::InList {
        expression: Box::new(operand),
        list,
        negated,
    }
}

pub fn cast(operand: Expression, data_type: DataType) -> Expression {
    Expression::Cast {
        expression: Box::new(operand),
        data_type,
        on_failure: CastFailure::Error,
    }
}

pub fn arithmetic(
    left: Expression,
    operator: ArithmeticOperator,
    right: Expression,
    data_type: DataType,
) -> Expression {
    Expression::Arithmetic {
        operator,
        left: Box::new(left),
        right: Box::new(right),
        data_type,
    }
}

pub fn function(name: &str, arguments: Vec<Expression>, data_type: DataType) -> Expression {
    Expression::Function {
        name: name.to_owned(),
        arguments,
        data_type,
    }
}

pub fn filter(input: Relation, predicate: Expression) -> Relation {
    Relation::Filter {
        input: Box::new(input),
        predicate,
    }
}

pub fn project(input: Relation, expressions: Vec<Expression>) -> Relation {
    Relation::Project {
        input: Box::new(input),
        expressions,
    }
}

pub fn sort(input: Relation, keys: Vec<SortKey>) -> Relation {
    Relation::Sort {
        input: Box::new(input),
        keys,
    }
}

pub fn limit(input: Relation, skip: u64, fetch: Option<u64>) -> Relation {
    Relation::Limit {
        input: Box::new(input),
        skip,
        fetch,
    }
}

pub fn ascending(expression: Expression) -> SortKey {
    SortKey {
        expression,
        direction: SortDirection::Ascending,
        nulls: NullsOrder::Last,
    }
}

pub fn descending(expression: Expression) -> SortKey {
    SortKey {
        expression,
        direction: SortDirection::Descending,
        nulls: NullsOrder::Last,
    }
}

pub fn aggregate(
    input: Relation,
    keys: Vec<Expression>,
    aggregates: Vec<AggregateExpression>,
) -> Relation {
    Relation::Aggregate {
        input: Box::new(input),
        keys,
        aggregates,
    }
}

pub fn call(
    function: AggregateFunction,
    argument: Option<Expression>,
    data_type: DataType,
) -> AggregateExpression {
    AggregateExpression {
        function,
        argument,
        distinct: false,
        filter: None,
        data_type,
    }
}
