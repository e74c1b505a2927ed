//! The reference evaluator against SQL's definitions, written as tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    StructArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::conformance::build::{
    compare, constant, function, in_list, integer, is, like, not, text,
};
use crate::conformance::evaluate::{EvaluationError, evaluate, selection, truth};
use crate::conformance::value::Value;
use crate::expression::{
    ArithmeticOperator, CastFailure, ColumnReference, CompareOperator, Expression, Truth,
};
use crate::literal::{Literal, LiteralValue};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn nothing() -> RecordBatch {
    batch(vec![("x", Arc::new(Int64Array::from(vec![0])))])
}

fn at(index: usize, batch: &RecordBatch) -> Expression {
    Expression::Column(ColumnReference {
        index,
        name: batch.schema().field(index).name().clone(),
        data_type: batch.schema().field(index).data_type().clone(),
        nullable: true,
    })
}

fn boolean(value: Option<bool>) -> Expression {
    constant(match value {
        Some(value) => Literal::boolean(value),
        None => Literal::null(DataType::Boolean),
    })
}

fn whole(value: i64) -> Expression {
    constant(Literal::int64(value))
}

fn value_of(expression: &Expression) -> Result<Value, EvaluationError> {
    evaluate(expression, &nothing(), 0)
}

fn truth_of(expression: &Expression) -> Option<bool> {
    truth(expression, &nothing(), 0).unwrap()
}

#[test]
fn three_valued_connectives() {
    let (yes, no, unknown) = (Some(true), Some(false), None);
    let conjunction = [
        (yes, yes, yes),
        (yes, no, no),
        (yes, unknown, unknown),
        (no, no, no),
        (no, unknown, no),
        (unknown, unknown, unknown),
    ];
    for (one, other, both) in conjunction {
        for (one, other) in [(one, other), (other, one)] {
            let operands = vec![boolean(one), boolean(other)];
            assert_eq!(
                truth_of(&Expression::And(operands.clone())),
                both,
                "{one:?} AND {other:?}"
            );
            // De Morgan.
            let either = Expression::Or(operands.into_iter().map(not).collect());
            assert_eq!(
                truth_of(&not(either)),
                both,
                "NOT (NOT {one:?} OR NOT {other:?})"
            );
        }
    }
    assert_eq!(truth_of(&not(boolean(None))), None);
}

#[test]
fn null_in_comparisons_and_tests() {
    let null = || constant(Literal::null(DataType::Int64));
    for operator in [
        CompareOperator::Equal,
        CompareOperator::NotEqual,
        CompareOperator::Less,
    ] {
        assert_eq!(truth_of(&compare(null(), operator, whole(1))), None);
        assert_eq!(truth_of(&compare(null(), operator, null())), None);
    }
    let distinct = |left, right| truth_of(&compare(left, CompareOperator::DistinctFrom, right));
    let same = |left, right| truth_of(&compare(left, CompareOperator::NotDistinctFrom, right));
    assert_eq!(
        (distinct(null(), null()), same(null(), null())),
        (Some(false), Some(true))
    );
    assert_eq!(
        (distinct(null(), whole(1)), same(whole(1), null())),
        (Some(true), Some(false))
    );
    assert_eq!(
        (distinct(whole(1), whole(1)), same(whole(1), whole(2))),
        (Some(false), Some(false))
    );
    for (value, wanted, expected) in [
        (Some(true), Truth::True, true),
        (Some(false), Truth::True, false),
        (None, Truth::True, false),
        (None, Truth::Unknown, true),
        (Some(false), Truth::Unknown, false),
        (None, Truth::False, false),
    ] {
        assert_eq!(truth_of(&is(boolean(value), wanted, false)), Some(expected));
        assert_eq!(truth_of(&is(boolean(value), wanted, true)), Some(!expected));
    }
}

#[test]
fn lists_with_null() {
    let null = || constant(Literal::null(DataType::Int64));
    assert_eq!(
        truth_of(&in_list(whole(1), vec![whole(1), null()], false)),
        Some(true)
    );
    assert_eq!(
        truth_of(&in_list(whole(2), vec![whole(1), null()], false)),
        None
    );
    assert_eq!(
        truth_of(&in_list(whole(2), vec![whole(1), null()], true)),
        None
    );
    assert_eq!(
        truth_of(&in_list(whole(1), vec![whole(1), null()], true)),
        Some(false)
    );
    assert_eq!(
        truth_of(&in_list(whole(2), vec![whole(1)], true)),
        Some(true)
    );
    assert_eq!(truth_of(&in_list(null(), vec![whole(1)], false)), None);
}

#[test]
fn orders_of_types() {
    let less = |left: Expression, right: Expression| {
        truth_of(&compare(left, CompareOperator::Less, right))
    };
    let double = |value: f64| constant(Literal::float64(value));
    assert_eq!(less(double(-0.0), double(0.0)), Some(false));
    let zeros = compare(double(-0.0), CompareOperator::Equal, double(0.0));
    assert_eq!(truth_of(&zeros), Some(true));
    assert_eq!(less(double(f64::INFINITY), double(f64::NAN)), Some(true));
    let equal = compare(double(f64::NAN), CompareOperator::Equal, double(f64::NAN));
    assert_eq!(truth_of(&equal), Some(true));
    assert_eq!(less(text("Z"), text("a")), Some(true));
    assert_eq!(less(text("a"), text("a ")), Some(true));
    assert_eq!(less(text("z"), text("ä")), Some(true));
    assert_eq!(less(boolean(Some(false)), boolean(Some(true))), Some(true));
    let decimal = |value: i128, scale: i8| {
        constant(Literal {
            value: LiteralValue::Integer(value),
            data_type: DataType::Decimal128(10, scale),
        })
    };
    assert_eq!(less(decimal(15, 1), decimal(151, 2)), Some(true));
    assert_eq!(
        truth_of(&compare(
            decimal(15, 1),
            CompareOperator::Equal,
            decimal(150, 2)
        )),
        Some(true)
    );
    let instants = batch(vec![
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![1]))),
        (
            "ns",
            Arc::new(TimestampNanosecondArray::from(vec![1_000_001])),
        ),
    ]);
    let earlier = compare(at(0, &instants), CompareOperator::Less, at(1, &instants));
    assert_eq!(truth(&earlier, &instants, 0), Ok(Some(true)));
}

#[test]
fn arithmetic_by_type() {
    let arithmetic = |operator, left: Expression, right: Expression, data_type: DataType| {
        value_of(&Expression::Arithmetic {
            operator,
            left: Box::new(left),
            right: Box::new(right),
            data_type,
        })
    };
    use ArithmeticOperator::{Add, Concatenate, Divide, Modulo, Multiply, Subtract};
    let int = || DataType::Int64;
    assert_eq!(
        arithmetic(Divide, whole(-7), whole(2), int()),
        Ok(Value::Integer(-3))
    );
    assert_eq!(
        arithmetic(Modulo, whole(-7), whole(2), int()),
        Ok(Value::Integer(-1))
    );
    for failing in [
        arithmetic(Divide, whole(1), whole(0), int()),
        arithmetic(Modulo, whole(1), whole(0), int()),
        arithmetic(Add, whole(i64::MAX), whole(1), int()),
        arithmetic(Multiply, whole(i64::MIN), whole(-1), int()),
        arithmetic(
            Subtract,
            integer(-128, DataType::Int8),
            integer(1, DataType::Int8),
            DataType::Int8,
        ),
        value_of(&Expression::Negative(Box::new(whole(i64::MIN)))),
    ] {
        assert!(
            matches!(failing, Err(EvaluationError::Fails(_))),
            "{failing:?}"
        );
    }
    let null = constant(Literal::null(DataType::Int64));
    assert_eq!(arithmetic(Add, null, whole(1), int()), Ok(Value::Null));
    let double = |value: f64| constant(Literal::float64(value));
    assert_eq!(
        arithmetic(Add, double(0.1), double(0.2), DataType::Float64),
        Ok(Value::Float(0.1 + 0.2))
    );
    assert_eq!(
        arithmetic(Divide, double(1.0), double(0.0), DataType::Float64),
        Ok(Value::Float(f64::INFINITY))
    );
    assert_eq!(
        arithmetic(Concatenate, text("a"), text(""), DataType::Utf8),
        Ok(Value::Text("a".to_owned()))
    );
    let decimal = |value: i128, scale: i8| {
        constant(Literal {
            value: LiteralValue::Integer(value),
            data_type: DataType::Decimal128(10, scale),
        })
    };
    let result = |scale: i8| DataType::Decimal128(20, scale);
    assert_eq!(
        arithmetic(Add, decimal(15, 1), decimal(25, 2), result(2)),
        Ok(Value::Integer(175))
    );
    assert_eq!(
        arithmetic(Multiply, decimal(15, 1), decimal(25, 2), result(3)),
        Ok(Value::Integer(375))
    );
    assert_eq!(
        arithmetic(Divide, decimal(10, 1), decimal(3, 0), result(5)),
        Ok(Value::Integer(33_333))
    );
}

#[test]
fn casts_and_cases() {
    let cast = |expression: Expression, data_type: DataType, on_failure: CastFailure| {
        value_of(&Expression::Cast {
            expression: Box::new(expression),
            data_type,
            on_failure,
        })
    };
    assert_eq!(
        cast(text("12"), DataType::Int64, CastFailure::Error),
        Ok(Value::Integer(12))
    );
    assert_eq!(
        cast(whole(12), DataType::Utf8, CastFailure::Error),
        Ok(Value::Text("12".to_owned()))
    );
    assert_eq!(
        cast(text("x"), DataType::Int64, CastFailure::Null),
        Ok(Value::Null)
    );
    assert!(matches!(
        cast(text("x"), DataType::Int64, CastFailure::Error),
        Err(EvaluationError::Fails(_))
    ));
    let day = cast(text("1970-01-02"), DataType::Date32, CastFailure::Error);
    assert_eq!(day, Ok(Value::Integer(1)));
    // A branch that is not taken does not fail.
    let failing = Expression::Arithmetic {
        operator: ArithmeticOperator::Divide,
        left: Box::new(whole(1)),
        right: Box::new(whole(0)),
        data_type: DataType::Int64,
    };
    let case = |condition: Option<bool>| Expression::Case {
        branches: vec![
            (boolean(condition), failing.clone()),
            (boolean(Some(true)), whole(2)),
        ],
        otherwise: None,
        data_type: DataType::Int64,
    };
    assert_eq!(value_of(&case(Some(false))), Ok(Value::Integer(2)));
    assert_eq!(value_of(&case(None)), Ok(Value::Integer(2)));
    assert!(value_of(&case(Some(true))).is_err());
}

#[test]
fn functions_patterns_and_fields() {
    let call = |name: &str, arguments: Vec<Expression>, data_type: DataType| {
        value_of(&function(name, arguments, data_type))
    };
    assert_eq!(
        call("lower", vec![text("ÄB")], DataType::Utf8),
        Ok(Value::Text("äb".to_owned()))
    );
    assert_eq!(
        call("length", vec![text("日本")], DataType::Int64),
        Ok(Value::Integer(2))
    );
    assert_eq!(
        call("octet_length", vec![text("日本")], DataType::Int32),
        Ok(Value::Integer(6))
    );
    assert_eq!(
        call("strpos", vec![text("äb"), text("b")], DataType::Int32),
        Ok(Value::Integer(2))
    );
    assert_eq!(
        call("btrim", vec![text(" a\t ")], DataType::Utf8),
        Ok(Value::Text("a\t".to_owned()))
    );
    let null = || constant(Literal::null(DataType::Utf8));
    assert_eq!(
        call(
            "coalesce",
            vec![null(), text("x"), text("y")],
            DataType::Utf8
        ),
        Ok(Value::Text("x".to_owned()))
    );
    assert_eq!(
        call("nullif", vec![text("x"), text("x")], DataType::Utf8),
        Ok(Value::Null)
    );
    assert_eq!(
        call("nullif", vec![text("x"), null()], DataType::Utf8),
        Ok(Value::Text("x".to_owned()))
    );
    assert_eq!(call("lower", vec![null()], DataType::Utf8), Ok(Value::Null));
    assert!(matches!(
        call("md5", vec![text("x")], DataType::Utf8),
        Err(EvaluationError::Unsupported(_))
    ));
    assert_eq!(truth_of(&like(null(), "%", None, false)), None);
    assert_eq!(truth_of(&like(text("a"), "b", None, true)), Some(true));

    let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
    let field = Arc::new(Field::new("f", DataType::Int64, true));
    let rows = batch(vec![(
        "s",
        Arc::new(StructArray::from(vec![(field, inner)])),
    )]);
    let access = Expression::Field {
        expression: Box::new(at(0, &rows)),
        name: "f".to_owned(),
        data_type: DataType::Int64,
    };
    assert_eq!(evaluate(&access, &rows, 0), Ok(Value::Integer(7)));
    assert_eq!(evaluate(&access, &rows, 1), Ok(Value::Null));
}

#[test]
fn selections_keep_what_is_true() {
    let rows = batch(vec![
        (
            "n",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
        ),
        (
            "t",
            Arc::new(StringArray::from(vec![Some("a"), Some("b"), None])),
        ),
        (
            "b",
            Arc::new(BooleanArray::from(vec![Some(true), Some(true), Some(true)])),
        ),
        ("f", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![1, 2, 3])
                    .with_precision_and_scale(5, 2)
                    .unwrap(),
            ),
        ),
    ]);
    let predicate = compare(at(0, &rows), CompareOperator::NotEqual, whole(1));
    assert_eq!(
        selection(std::slice::from_ref(&predicate), &rows),
        Ok(vec![false, false, true])
    );
    assert_eq!(
        selection(&[predicate, at(2, &rows)], &rows),
        Ok(vec![false, false, true])
    );
    assert_eq!(selection(&[], &rows), Ok(vec![true; 3]));
    // A row decided by another operand does not fail.
    let ratio = Expression::Arithmetic {
        operator: ArithmeticOperator::Divide,
        left: Box::new(whole(6)),
        right: Box::new(Expression::Arithmetic {
            operator: ArithmeticOperator::Subtract,
            left: Box::new(at(0, &rows)),
            right: Box::new(whole(1)),
            data_type: DataType::Int64,
        }),
        data_type: DataType::Int64,
    };
    let guarded = Expression::And(vec![
        compare(ratio.clone(), CompareOperator::Equal, whole(3)),
        compare(at(0, &rows), CompareOperator::NotEqual, whole(1)),
    ]);
    assert_eq!(selection(&[guarded], &rows), Ok(vec![false, false, true]));
    let unguarded = compare(ratio, CompareOperator::Equal, whole(3));
    assert!(matches!(
        selection(&[unguarded], &rows),
        Err(EvaluationError::Fails(_))
    ));
    let unit = DataType::Timestamp(TimeUnit::Second, None);
    let clash = compare(at(0, &rows), CompareOperator::Equal, integer(1, unit));
    assert!(matches!(
        selection(&[clash], &rows),
        Err(EvaluationError::Unsupported(_))
    ));
}
