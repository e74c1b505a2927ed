//! The filters every connector is asked: every kind of expression over every column of a table.
//! Must never know a connector.

use arrow::datatypes::DataType;

use super::build::{column, compare, constant, function, in_list, integer, is, like, not, text};
use super::reading::Table;
use super::value::Value;
use crate::expression::{ArithmeticOperator, CastFailure, CompareOperator, Expression, Truth};
use crate::literal::Literal;

const OPERATORS: [CompareOperator; 8] = [
    CompareOperator::Equal,
    CompareOperator::NotEqual,
    CompareOperator::Less,
    CompareOperator::LessOrEqual,
    CompareOperator::Greater,
    CompareOperator::GreaterOrEqual,
    CompareOperator::DistinctFrom,
    CompareOperator::NotDistinctFrom,
];

/// Values of a column used as constants, at most.
const MOST_CONSTANTS: usize = 24;
/// Columns of a wide table that are asked about.
const MOST_COLUMNS: usize = 24;
/// Random combinations.
const COMBINATIONS: usize = 60;

/// All filters for a table.
pub fn predicates(table: &Table) -> Vec<Expression> {
    let columns: Vec<usize> = (0..table.metadata.columns.len())
        .filter(|position| table.metadata.columns[*position].unreadable.is_none())
        .take(MOST_COLUMNS)
        .collect();
    let mut found = Vec::new();
    for &position in &columns {
        found.extend(over_column(table, position));
    }
    found.extend(between_columns(table, &columns));
    let simple = found.clone();
    found.extend(combinations(&simple));
    found
}

fn over_column(table: &Table, position: usize) -> Vec<Expression> {
    let metadata = &table.metadata.columns[position];
    let operand = column(position, metadata);
    let mut found = vec![
        Expression::IsNull(Box::new(operand.clone())),
        Expression::IsNotNull(Box::new(operand.clone())),
    ];
    if !is_comparable(&metadata.data_type) {
        found.extend(over_fields(&operand, &metadata.data_type));
        return found;
    }
    let constants = constants(table, position);
    for literal in &constants {
        for operator in OPERATORS {
            found.push(compare(
                operand.clone(),
                operator,
                constant(literal.clone()),
            ));
        }
        // The constant on the left, and a range around it.
        found.push(compare(
            constant(literal.clone()),
            CompareOperator::Less,
            operand.clone(),
        ));
        found.push(not(compare(
            operand.clone(),
            CompareOperator::Equal,
            constant(literal.clone()),
        )));
    }
    for operator in OPERATORS {
        found.push(compare(
            operand.clone(),
            operator,
            constant(Literal::null(metadata.data_type.clone())),
        ));
    }
    if let [first, .., last] = constants.as_slice() {
        let from = compare(
            operand.clone(),
            CompareOperator::GreaterOrEqual,
            constant(first.clone()),
        );
        let to = compare(
            operand.clone(),
            CompareOperator::Less,
            constant(last.clone()),
        );
        found.push(Expression::And(vec![from.clone(), to.clone()]));
        found.push(not(Expression::And(vec![from.clone(), to.clone()])));
        found.push(Expression::Or(vec![from, to]));
    }
    found.extend(lists(&operand, &constants));
    found.extend(truth_tests(&operand, &constants));
    match &metadata.data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            found.extend(over_text(&operand))
        }
        DataType::Boolean => found.extend(over_boolean(&operand)),
        number if number.is_integer() => found.extend(over_integer(&operand, number)),
        DataType::Float64 => found.extend(over_double(&operand)),
        _ => {}
    }
    found
}

fn is_comparable(data_type: &DataType) -> bool {
    data_type.is_primitive()
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Boolean
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
        )
}

/// Distinct values of the column, and for numbers their neighbours.
fn constants(table: &Table, position: usize) -> Vec<Literal> {
    let data_type = &table.metadata.columns[position].data_type;
    let literal_type = match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    };
    let array = table.rows.column(position);
    let mut values: Vec<Value> = Vec::new();
    let mut add = |value: Value| {
        let known = values
            .iter()
            .any(|known| format!("{known:?}") == format!("{value:?}"));
        if !value.is_null() && !known {
            values.push(value);
        }
    };
    for row in 0..array.len() {
        if let Ok(value) = Value::of_cell(array.as_ref(), row) {
            add(value);
        }
    }
    match literal_type {
        DataType::Utf8 => add(Value::Text("not there".to_owned())),
        DataType::Float64 => add(Value::Float(0.25)),
        ref number if number.is_integer() => add(Value::Integer(5)),
        _ => {}
    }
    // The first and last values of a fixture are its traps; a long column gives some of those between.
    let step = values.len().div_ceil(MOST_CONSTANTS).max(1);
    let chosen = values.iter().step_by(step);
    chosen
        .filter_map(|value| value.to_literal(literal_type.clone()).ok())
        .collect()
}

fn lists(operand: &Expression, constants: &[Literal]) -> Vec<Expression> {
    let list: Vec<Expression> = constants.iter().step_by(2).cloned().map(constant).collect();
    if list.is_empty() {
        return Vec::new();
    }
    let mut with_null = list.clone();
    with_null.push(constant(Literal::null(operand.data_type())));
    let single = vec![list[0].clone()];
    [list, with_null, single]
        .into_iter()
        .flat_map(|list| {
            [
                in_list(operand.clone(), list.clone(), false),
                in_list(operand.clone(), list, true),
            ]
        })
        .collect()
}

fn truth_tests(operand: &Expression, constants: &[Literal]) -> Vec<Expression> {
    let Some(literal) = constants.first() else {
        return Vec::new();
    };
    let comparison = compare(
        operand.clone(),
        CompareOperator::Equal,
        constant(literal.clone()),
    );
    [Truth::True, Truth::False, Truth::Unknown]
        .into_iter()
        .flat_map(|truth| {
            [
                is(comparison.clone(), truth, false),
                is(comparison.clone(), truth, true),
            ]
        })
        .collect()
}

fn over_boolean(operand: &Expression) -> Vec<Expression> {
    let mut found = vec![operand.clone(), not(operand.clone())];
    for truth in [Truth::True, Truth::False, Truth::Unknown] {
        found.push(is(operand.clone(), truth, false));
        found.push(is(operand.clone(), truth, true));
    }
    found
}

fn over_text(operand: &Expression) -> Vec<Expression> {
    let mut found = Vec::new();
    for pattern in [
        "%", "", "a%", "%b", "%a%", "_", "__", "a_b", "a\\_b", "100\\%", "%\\%", "\\\\", "%'%",
        "A%", "ä%", "%\n%", "%日%", "%👍%",
    ] {
        found.push(like(operand.clone(), pattern, None, false));
        found.push(like(operand.clone(), pattern, None, true));
    }
    found.push(like(operand.clone(), "a!_b", Some('!'), false));
    for pattern in ["a%", "ÄB%", "ss", "%ω%", "i%"] {
        found.push(Expression::Like {
            expression: Box::new(operand.clone()),
            pattern: Box::new(text(pattern)),
            escape: None,
            negated: false,
            case_insensitive: true,
        });
    }
    let call = |name: &str, arguments: Vec<Expression>, data_type: DataType| {
        let mut all = vec![operand.clone()];
        all.extend(arguments);
        function(name, all, data_type)
    };
    let equal = |expression: Expression, value: Expression| {
        compare(expression, CompareOperator::Equal, value)
    };
    found.push(equal(call("lower", Vec::new(), DataType::Utf8), text("a")));
    found.push(equal(call("upper", Vec::new(), DataType::Utf8), text("SS")));
    found.push(equal(call("btrim", Vec::new(), DataType::Utf8), text("a")));
    found.push(equal(
        call("reverse", Vec::new(), DataType::Utf8),
        text("cba"),
    ));
    found.push(equal(
        call("length", Vec::new(), DataType::Int64),
        integer(1, DataType::Int64),
    ));
    found.push(equal(
        call("character_length", Vec::new(), DataType::Int32),
        integer(2, DataType::Int32),
    ));
    found.push(equal(
        call("octet_length", Vec::new(), DataType::Int32),
        integer(2, DataType::Int32),
    ));
    found.push(call("starts_with", vec![text("a")], DataType::Boolean));
    found.push(call("starts_with", vec![text("%")], DataType::Boolean));
    found.push(call("contains", vec![text("b")], DataType::Boolean));
    found.push(equal(
        call("strpos", vec![text("b")], DataType::Int32),
        integer(2, DataType::Int32),
    ));
    found.push(equal(
        call("replace", vec![text("a"), text("b")], DataType::Utf8),
        text("bb"),
    ));
    found.push(equal(
        call("coalesce", vec![text("none")], DataType::Utf8),
        text("none"),
    ));
    found.push(equal(
        call("nullif", vec![text("a")], DataType::Utf8),
        text("b"),
    ));
    found.push(equal(
        call("concat", vec![text("!")], DataType::Utf8),
        text("a!"),
    ));
    let joined = Expression::Arithmetic {
        operator: ArithmeticOperator::Concatenate,
        left: Box::new(operand.clone()),
        right: Box::new(text("?")),
        data_type: DataType::Utf8,
    };
    found.push(equal(joined, text("a?")));
    let number = Expression::Cast {
        expression: Box::new(operand.clone()),
        data_type: DataType::Int64,
        on_failure: CastFailure::Null,
    };
    found.push(compare(
        number,
        CompareOperator::Greater,
        integer(9, DataType::Int64),
    ));
    found
}

fn over_integer(operand: &Expression, data_type: &DataType) -> Vec<Expression> {
    let arithmetic = |operator: ArithmeticOperator, value: i128| Expression::Arithmetic {
        operator,
        left: Box::new(operand.clone()),
        right: Box::new(integer(value, data_type.clone())),
        data_type: data_type.clone(),
    };
    let small = |value: i128| integer(value, data_type.clone());
    let cast = |expression: &Expression, data_type: DataType| Expression::Cast {
        expression: Box::new(expression.clone()),
        data_type,
        on_failure: CastFailure::Error,
    };
    let mut found = vec![
        compare(
            arithmetic(ArithmeticOperator::Modulo, 3),
            CompareOperator::Equal,
            small(1),
        ),
        compare(
            arithmetic(ArithmeticOperator::Modulo, 3),
            CompareOperator::Equal,
            small(-1),
        ),
        compare(
            arithmetic(ArithmeticOperator::Divide, 2),
            CompareOperator::Equal,
            small(0),
        ),
        compare(
            arithmetic(ArithmeticOperator::Divide, -2),
            CompareOperator::Less,
            small(0),
        ),
        compare(
            cast(operand, DataType::Utf8),
            CompareOperator::Equal,
            text("1"),
        ),
        compare(
            cast(operand, DataType::Utf8),
            CompareOperator::Greater,
            text("1"),
        ),
        compare(
            cast(operand, DataType::Float64),
            CompareOperator::GreaterOrEqual,
            constant(Literal::float64(0.5)),
        ),
        compare(
            function(
                "coalesce",
                vec![operand.clone(), small(7)],
                data_type.clone(),
            ),
            CompareOperator::Equal,
            small(7),
        ),
        compare(
            function("nullif", vec![operand.clone(), small(1)], data_type.clone()),
            CompareOperator::LessOrEqual,
            small(2),
        ),
    ];
    // Within the range of the values only, or the query itself fails.
    let bounded = compare(operand.clone(), CompareOperator::Less, small(100));
    let not_least = compare(operand.clone(), CompareOperator::Greater, small(-100));
    for expression in [
        compare(
            arithmetic(ArithmeticOperator::Add, 1),
            CompareOperator::Greater,
            small(2),
        ),
        compare(
            arithmetic(ArithmeticOperator::Subtract, 1),
            CompareOperator::Less,
            small(2),
        ),
        compare(
            arithmetic(ArithmeticOperator::Multiply, 2),
            CompareOperator::Equal,
            small(14),
        ),
        compare(
            Expression::Negative(Box::new(operand.clone())),
            CompareOperator::Less,
            small(0),
        ),
        compare(
            function("abs", vec![operand.clone()], data_type.clone()),
            CompareOperator::Equal,
            small(1),
        ),
    ] {
        let guarded = Expression::Case {
            branches: vec![(
                Expression::And(vec![bounded.clone(), not_least.clone()]),
                expression,
            )],
            otherwise: Some(Box::new(constant(Literal::boolean(false)))),
            data_type: DataType::Boolean,
        };
        found.push(guarded);
    }
    found.push(Expression::Case {
        branches: vec![
            (
                compare(operand.clone(), CompareOperator::Equal, small(1)),
                constant(Literal::boolean(true)),
            ),
            (
                Expression::IsNull(Box::new(operand.clone())),
                constant(Literal::boolean(true)),
            ),
        ],
        otherwise: None,
        data_type: DataType::Boolean,
    });
    found
}

fn over_double(operand: &Expression) -> Vec<Expression> {
    let arithmetic = |operator: ArithmeticOperator, value: f64| Expression::Arithmetic {
        operator,
        left: Box::new(operand.clone()),
        right: Box::new(constant(Literal::float64(value))),
        data_type: DataType::Float64,
    };
    let mut found: Vec<Expression> = [
        (ArithmeticOperator::Add, 0.1),
        (ArithmeticOperator::Subtract, 0.1),
        (ArithmeticOperator::Multiply, 3.0),
        (ArithmeticOperator::Divide, 3.0),
        (ArithmeticOperator::Divide, 0.0),
    ]
    .into_iter()
    .map(|(operator, value)| {
        compare(
            arithmetic(operator, value),
            CompareOperator::Greater,
            constant(Literal::float64(0.3)),
        )
    })
    .collect();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0] {
        for operator in OPERATORS {
            found.push(compare(
                operand.clone(),
                operator,
                constant(Literal::float64(value)),
            ));
        }
    }
    found.push(compare(
        function("abs", vec![operand.clone()], DataType::Float64),
        CompareOperator::Less,
        constant(Literal::float64(1.0)),
    ));
    found
}

fn over_fields(operand: &Expression, data_type: &DataType) -> Vec<Expression> {
    let DataType::Struct(fields) = data_type else {
        return Vec::new();
    };
    fields
        .iter()
        .flat_map(|field| {
            let value = Expression::Field {
                expression: Box::new(operand.clone()),
                name: field.name().clone(),
                data_type: field.data_type().clone(),
            };
            [
                Expression::IsNull(Box::new(value.clone())),
                Expression::IsNotNull(Box::new(value)),
            ]
        })
        .collect()
}

/// Comparisons of columns of one type with each other.
fn between_columns(table: &Table, columns: &[usize]) -> Vec<Expression> {
    let mut found = Vec::new();
    for pair in columns.windows(2) {
        let (one, other) = (
            &table.metadata.columns[pair[0]],
            &table.metadata.columns[pair[1]],
        );
        if one.data_type != other.data_type || !is_comparable(&one.data_type) {
            continue;
        }
        for operator in OPERATORS {
            found.push(compare(
                column(pair[0], one),
                operator,
                column(pair[1], other),
            ));
        }
    }
    found
}

/// Nested AND, OR and NOT over simple filters, always the same ones.
fn combinations(simple: &[Expression]) -> Vec<Expression> {
    if simple.is_empty() {
        return Vec::new();
    }
    let mut random = Random(0x5EED);
    let mut pick = || {
        let picked = simple[random.below(simple.len())].clone();
        if random.below(3) == 0 {
            not(picked)
        } else {
            picked
        }
    };
    (0..COMBINATIONS)
        .map(|number| {
            let (one, two, three) = (pick(), pick(), pick());
            match number % 5 {
                0 => Expression::And(vec![one, two]),
                1 => Expression::Or(vec![one, two]),
                2 => not(Expression::Or(vec![one, not(two)])),
                3 => Expression::Or(vec![Expression::And(vec![one, two]), three]),
                _ => Expression::And(vec![one, Expression::Or(vec![two, three])]),
            }
        })
        .collect()
}

/// A small generator of the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }
}
