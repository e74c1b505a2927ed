//! SQLite's exactness table. A construct without a row stays local. Must never know a driver.

use owlet_connector::ArithmeticOperator::{Add, Concatenate, Divide, Modulo, Multiply, Subtract};

use super::{comparison, like, scalar};
use crate::case_folding::{ASCII_LOWER, ASCII_UPPER};
use crate::class::INTEGERS;
use crate::class::TypeClass::{
    self, BigInteger, Binary, Boolean, Date, Decimal, Float, SmallInteger, Text, Timestamp,
    ZonedTimestamp,
};
use crate::relation::AggregateFunction;
use crate::rule::Construct::{
    self, Aggregate, Arithmetic, Cast, Equality, Function, Grouping, JoinKey, Like, Logic,
    NullTest, Ordering, SortKey,
};
use crate::rule::Rule;
use crate::rule::Signature::{self, Any, Each, Exactly};
use crate::rule::Verdict::{self, Exact, Refused};
use crate::spelling;

/// Compared alike by both engines. SQLite stores neither NaN nor negative zero.
const PLAIN: &[TypeClass] = &[Boolean, SmallInteger, BigInteger, Float, Binary, Date];
const MOMENTS: &[TypeClass] = &[Date, Timestamp, ZonedTimestamp];
const TIMESTAMPS: &[TypeClass] = &[Timestamp, ZonedTimestamp];
const GROUPABLE: &[TypeClass] = &[
    Boolean,
    SmallInteger,
    BigInteger,
    Float,
    Decimal,
    Text,
    Binary,
    Date,
    Timestamp,
    ZonedTimestamp,
];
const FIFTEEN_DIGITS: &str = "up to 15 digits and 12 decimals, which doubles keep";
const DOUBLE_ARITHMETIC: &str = "NaN becomes NULL in SQLite";

const fn rule(
    construct: Construct,
    signature: Signature,
    verdict: Verdict,
    note: &'static str,
) -> Rule {
    Rule {
        construct,
        signature,
        verdict,
        note,
    }
}

/// The table; the first row that fits decides.
#[rustfmt::skip] // A table reads by rows.
pub(super) const RULES: &[Rule] = &[
    rule(Equality, Each(PLAIN), Exact(comparison::plain), "constants: no NaN, no -0.0"),
    rule(Equality, Each(&[Text]), Exact(comparison::text), "equal bytes: `COLLATE BINARY` unless the column has it"),
    rule(Equality, Each(&[Decimal]), Exact(comparison::decimal), FIFTEEN_DIGITS),
    rule(Equality, Each(TIMESTAMPS), Exact(comparison::timestamp), "canonical text, and the date for indexes"),
    rule(Ordering, Each(PLAIN), Exact(comparison::plain), "constants: no NaN, no -0.0"),
    rule(Ordering, Each(&[Text]), Exact(comparison::text), "by UTF-8 bytes: `COLLATE BINARY` unless the column has it"),
    rule(Ordering, Each(&[Decimal]), Exact(comparison::decimal), FIFTEEN_DIGITS),
    rule(Ordering, Each(TIMESTAMPS), Exact(comparison::timestamp), "canonical text, and the date for indexes"),
    rule(Like, Each(&[Text]), Exact(like::like), "constant patterns `abc`, `abc%`, `%abc`, `%abc%`; others filter by their beginning"),
    rule(Logic, Each(&[Boolean]), Exact(spelling::logic), ""),
    rule(NullTest, Any, Exact(spelling::null_test), ""),
    rule(Construct::Case, Each(GROUPABLE), Exact(spelling::case), "results of the planned type"),
    rule(Arithmetic(Add), Each(&[BigInteger]), Exact(|call| scalar::integer_operator(call, Add)), "overflow is an error"),
    rule(Arithmetic(Subtract), Each(&[BigInteger]), Exact(|call| scalar::integer_operator(call, Subtract)), "overflow is an error"),
    rule(Arithmetic(Multiply), Each(&[BigInteger]), Exact(|call| scalar::integer_operator(call, Multiply)), "overflow is an error"),
    rule(Arithmetic(Divide), Each(&[BigInteger]), Exact(|call| scalar::integer_division(call, Divide)), "constant divisor other than 0 and -1; truncates"),
    rule(Arithmetic(Modulo), Each(&[BigInteger]), Exact(|call| scalar::integer_division(call, Modulo)), "constant divisor other than 0 and -1; sign of the dividend"),
    rule(Arithmetic(Add), Each(&[Float]), Refused, DOUBLE_ARITHMETIC),
    rule(Arithmetic(Subtract), Each(&[Float]), Refused, DOUBLE_ARITHMETIC),
    rule(Arithmetic(Multiply), Each(&[Float]), Refused, DOUBLE_ARITHMETIC),
    rule(Arithmetic(Divide), Each(&[Float]), Refused, DOUBLE_ARITHMETIC),
    rule(Arithmetic(Add), Each(&[Decimal]), Refused, "SQLite computes decimals as doubles"),
    rule(Arithmetic(Subtract), Each(&[Decimal]), Refused, "SQLite computes decimals as doubles"),
    rule(Arithmetic(Multiply), Each(&[Decimal]), Refused, "SQLite computes decimals as doubles"),
    rule(Arithmetic(Divide), Each(&[Decimal]), Refused, "SQLite computes decimals as doubles"),
    rule(Arithmetic(Concatenate), Each(&[Text]), Exact(scalar::concatenate), ""),
    rule(Cast(BigInteger), Each(INTEGERS), Exact(scalar::cast_to_bigint), ""),
    rule(Cast(Float), Each(&[SmallInteger, BigInteger, Decimal]), Exact(scalar::cast_to_real), "decimals up to 15 digits"),
    rule(Cast(Decimal), Each(&[Decimal]), Exact(scalar::cast_decimal), "to a type that holds all values"),
    rule(Cast(Text), Each(INTEGERS), Exact(scalar::cast_to_text), ""),
    rule(Cast(Timestamp), Each(&[Date]), Exact(scalar::cast_date_to_timestamp), ""),
    rule(Cast(Date), Each(&[Timestamp]), Exact(scalar::cast_timestamp_to_date), ""),
    rule(Function("coalesce"), Each(GROUPABLE), Exact(scalar::coalesce), ""),
    rule(Function("nullif"), Each(GROUPABLE), Exact(scalar::nullif), ""),
    rule(Function("abs"), Each(&[BigInteger]), Exact(scalar::absolute), "overflow is an error"),
    rule(Function("replace"), Exactly(&[Text, Text, Text]), Exact(scalar::replace), "constant, non-empty text to be replaced"),
    rule(Function("strpos"), Exactly(&[Text, Text]), Exact(scalar::strpos), ""),
    rule(Function("length"), Exactly(&[Text]), Exact(|call| scalar::length(call, "length")), "Unicode characters"),
    rule(Function("character_length"), Exactly(&[Text]), Exact(|call| scalar::length(call, "character_length")), "Unicode characters"),
    rule(Function("substr"), Exactly(&[Text, BigInteger]), Exact(|call| scalar::substring(call, "substr")), "constant positions from 1 on"),
    rule(Function("substr"), Exactly(&[Text, BigInteger, BigInteger]), Exact(|call| scalar::substring(call, "substr")), "constant positions from 1 on"),
    rule(Function(ASCII_LOWER), Exactly(&[Text]), Exact(|call| scalar::ascii_fold(call, "lower")), "`lower()` compared with ASCII constants"),
    rule(Function(ASCII_UPPER), Exactly(&[Text]), Exact(|call| scalar::ascii_fold(call, "upper")), "`upper()` compared with ASCII constants"),
    rule(Function("lower"), Each(&[Text]), Refused, "SQLite folds the case of ASCII letters only; comparisons with ASCII constants are pushed"),
    rule(Function("upper"), Each(&[Text]), Refused, "SQLite folds the case of ASCII letters only; comparisons with ASCII constants are pushed"),
    rule(Function("date_trunc"), Exactly(&[Text, Date]), Exact(scalar::date_trunc), "constant unit: day, week, month, year"),
    rule(Function("date_trunc"), Exactly(&[Text, Timestamp]), Exact(scalar::date_trunc), "constant unit: second to year"),
    rule(Function("date_trunc"), Exactly(&[Text, ZonedTimestamp]), Exact(scalar::date_trunc), "constant unit: second to year, in UTC"),
    rule(Function("date_part"), Exactly(&[Text, Date]), Exact(scalar::date_part), "constant field: year, month, day"),
    rule(Function("date_part"), Exactly(&[Text, Timestamp]), Exact(scalar::date_part), "constant field: year to minute"),
    rule(Function("date_part"), Exactly(&[Text, ZonedTimestamp]), Exact(scalar::date_part), "constant field: year to minute, in UTC"),
    rule(Function("year"), Each(MOMENTS), Exact(|call| scalar::named_field(call, "year", 1, 4)), ""),
    rule(Function("month"), Each(MOMENTS), Exact(|call| scalar::named_field(call, "month", 6, 2)), ""),
    rule(Function("day"), Each(MOMENTS), Exact(|call| scalar::named_field(call, "day", 9, 2)), ""),
    rule(Function("hour"), Each(TIMESTAMPS), Exact(|call| scalar::named_field(call, "hour", 12, 2)), ""),
    rule(Function("minute"), Each(TIMESTAMPS), Exact(|call| scalar::named_field(call, "minute", 15, 2)), ""),
    rule(Function("second"), Each(TIMESTAMPS), Exact(|call| scalar::named_field(call, "second", 18, 2)), ""),
    rule(Function("date"), Each(MOMENTS), Exact(|call| scalar::date_of(call, "date")), ""),
    rule(Function("owlet_cast"), Each(MOMENTS), Exact(|call| scalar::date_of(call, "owlet_cast")), "the engine's own cast of a timestamp to a date"),
    rule(Function("concat"), Each(&[Text]), Exact(scalar::concat), ""),
    rule(Grouping, Each(GROUPABLE), Exact(comparison::grouping), "decimals up to 15 digits"),
    rule(JoinKey, Each(TIMESTAMPS), Refused, "timestamps have several spellings: SQLite would compare every pair of rows"),
    rule(JoinKey, Each(GROUPABLE), Exact(comparison::join_key), "columns only; decimals up to 15 digits"),
    rule(SortKey, Each(GROUPABLE), Exact(comparison::sort_key), "text by UTF-8 bytes; NULLS FIRST or LAST spelled; decimals up to 15 digits"),
    rule(Aggregate(AggregateFunction::CountRows), Any, Exact(scalar::count_rows), ""),
    rule(Aggregate(AggregateFunction::Count), Any, Exact(scalar::count), "`DISTINCT` over what can be grouped by"),
    rule(Aggregate(AggregateFunction::Sum), Each(INTEGERS), Exact(scalar::sum), "overflow is an error"),
    rule(Aggregate(AggregateFunction::Sum), Each(&[Float]), Refused, "the sum of doubles depends on the order of addition"),
    rule(Aggregate(AggregateFunction::Sum), Each(&[Decimal]), Refused, "SQLite computes decimals as doubles"),
    rule(Aggregate(AggregateFunction::Average), Any, Refused, "sums beyond 2^53 depend on the order of addition"),
    rule(Aggregate(AggregateFunction::Minimum), Each(GROUPABLE), Exact(scalar::extreme), "text by UTF-8 bytes; decimals up to 15 digits"),
    rule(Aggregate(AggregateFunction::Maximum), Each(GROUPABLE), Exact(scalar::extreme), "text by UTF-8 bytes; decimals up to 15 digits"),
    rule(Aggregate(AggregateFunction::BooleanAnd), Each(&[Boolean]), Exact(scalar::extreme), ""),
    rule(Aggregate(AggregateFunction::BooleanOr), Each(&[Boolean]), Exact(scalar::extreme), ""),
];
