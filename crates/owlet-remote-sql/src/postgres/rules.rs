//! PostgreSQL's exactness table. A construct without a row stays local. Must never know a driver.

use owlet_connector::ArithmeticOperator::{Add, Concatenate, Divide, Modulo, Multiply, Subtract};

use super::{aggregates, comparison, functions};
use crate::case_folding::{ASCII_LOWER, ASCII_UPPER};
use crate::class::INTEGERS;
use crate::class::TypeClass::{
    self, BigInteger, Binary, Boolean, Date, Decimal, Float, Interval, SmallInteger, Text, Time,
    Timestamp, ZonedTimestamp,
};
use crate::foreign_text::UTF8_BYTES;
use crate::relation::AggregateFunction;
use crate::rule::Construct::{
    self, Aggregate, Arithmetic, Cast, Equality, Function, Grouping, JoinKey, Like, Logic,
    Negative, NullTest, Ordering, SortKey,
};
use crate::rule::Rule;
use crate::rule::Signature::{self, Any, Each, Exactly};
use crate::rule::Verdict::{self, Exact, Refused};
use crate::spelling;

/// Compared alike by both engines.
const PLAIN: &[TypeClass] = &[
    Boolean,
    SmallInteger,
    BigInteger,
    Decimal,
    Binary,
    Date,
    Time,
    Timestamp,
    ZonedTimestamp,
];
/// Ordered by `min` and `max` alike; `min(bytea)` exists only from PostgreSQL 18 on.
const EXTREMES: &[TypeClass] = &[
    SmallInteger,
    BigInteger,
    Decimal,
    Text,
    Date,
    Time,
    Timestamp,
    ZonedTimestamp,
];
const GROUPABLE: &[TypeClass] = &[
    Boolean,
    SmallInteger,
    BigInteger,
    Decimal,
    Text,
    Binary,
    Date,
    Time,
    Timestamp,
    ZonedTimestamp,
];
const MOMENTS: &[TypeClass] = &[Date, Timestamp, ZonedTimestamp];
const ZEROS: &str = "-0.0 and 0.0 are equal in PostgreSQL and different in the engine";

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
    rule(Equality, Each(PLAIN), Exact(comparison::plain), ""),
    rule(Equality, Each(&[Text]), Exact(comparison::text), "equal bytes; `COLLATE \"C\"` where collations differ; `uuid` and `char(n)` columns compare natively with constants"),
    rule(Equality, Each(&[Float]), Exact(comparison::float), "with constants only, not NaN"),
    rule(Ordering, Each(PLAIN), Exact(comparison::plain), ""),
    rule(Ordering, Each(&[Text]), Exact(comparison::text), "by UTF-8 bytes: `COLLATE \"C\"` unless the column has it"),
    rule(Ordering, Each(&[Float]), Exact(comparison::float), "with constants only, not NaN"),
    rule(Like, Each(&[Text]), Exact(comparison::like), "constant pattern that does not end with its escape character"),
    rule(Logic, Each(&[Boolean]), Exact(spelling::logic), ""),
    rule(NullTest, Any, Exact(spelling::null_test), ""),
    rule(Construct::Case, Any, Exact(spelling::case), "results of the planned type"),
    rule(Arithmetic(Add), Each(INTEGERS), Exact(|call| functions::integer_operator(call, Add)), "operands of the planned width; overflow is an error"),
    rule(Arithmetic(Subtract), Each(INTEGERS), Exact(|call| functions::integer_operator(call, Subtract)), "operands of the planned width; overflow is an error"),
    rule(Arithmetic(Multiply), Each(INTEGERS), Exact(|call| functions::integer_operator(call, Multiply)), "operands of the planned width; overflow is an error"),
    rule(Arithmetic(Divide), Each(INTEGERS), Exact(|call| functions::integer_division(call, Divide)), "constant divisor other than 0 and -1; truncates"),
    rule(Arithmetic(Modulo), Each(INTEGERS), Exact(|call| functions::integer_division(call, Modulo)), "constant divisor other than 0 and -1; sign of the dividend"),
    rule(Arithmetic(Add), Each(&[Decimal]), Exact(|call| functions::decimal_operator(call, Add)), "planned scale must hold the result"),
    rule(Arithmetic(Subtract), Each(&[Decimal]), Exact(|call| functions::decimal_operator(call, Subtract)), "planned scale must hold the result"),
    rule(Arithmetic(Multiply), Each(&[Decimal]), Exact(|call| functions::decimal_operator(call, Multiply)), "planned scale must hold the result"),
    rule(Arithmetic(Divide), Each(&[Decimal]), Refused, "decimal division rounds differently"),
    rule(Arithmetic(Add), Each(&[Float]), Refused, "double arithmetic overflows to an error in PostgreSQL and to infinity in the engine"),
    rule(Arithmetic(Subtract), Each(&[Float]), Refused, "double arithmetic overflows to an error in PostgreSQL and to infinity in the engine"),
    rule(Arithmetic(Multiply), Each(&[Float]), Refused, "double arithmetic overflows to an error in PostgreSQL and to infinity in the engine"),
    rule(Arithmetic(Divide), Each(&[Float]), Refused, "double division by zero is an error in PostgreSQL and infinity in the engine"),
    rule(Arithmetic(Concatenate), Each(&[Text]), Exact(functions::concatenate), ""),
    rule(Arithmetic(Add), Exactly(&[Timestamp, Interval]), Exact(|call| functions::shift(call, Add)), "constant interval"),
    rule(Arithmetic(Add), Exactly(&[ZonedTimestamp, Interval]), Exact(|call| functions::shift(call, Add)), "constant interval, in UTC"),
    rule(Arithmetic(Add), Exactly(&[Date, Interval]), Exact(|call| functions::shift(call, Add)), "constant interval of whole days or months"),
    rule(Arithmetic(Subtract), Exactly(&[Timestamp, Interval]), Exact(|call| functions::shift(call, Subtract)), "constant interval"),
    rule(Arithmetic(Subtract), Exactly(&[ZonedTimestamp, Interval]), Exact(|call| functions::shift(call, Subtract)), "constant interval, in UTC"),
    rule(Arithmetic(Subtract), Exactly(&[Date, Interval]), Exact(|call| functions::shift(call, Subtract)), "constant interval of whole days or months"),
    rule(Negative, Each(&[SmallInteger, BigInteger, Decimal]), Exact(functions::negative), ""),
    rule(Cast(SmallInteger), Each(INTEGERS), Exact(functions::cast_integer_to_integer), "`TRY_CAST` only when it widens"),
    rule(Cast(BigInteger), Each(INTEGERS), Exact(functions::cast_integer_to_integer), ""),
    rule(Cast(Float), Each(INTEGERS), Exact(functions::cast_integer_to_float), "to double precision"),
    rule(Cast(Float), Each(&[Float]), Exact(functions::cast_float_to_float), "to double precision"),
    rule(Cast(Float), Each(&[Decimal]), Exact(functions::cast_decimal_to_float), "of at most 15 digits"),
    rule(Cast(Decimal), Each(INTEGERS), Exact(functions::cast_integer_to_decimal), "overflow is an error"),
    rule(Cast(Decimal), Each(&[Decimal]), Exact(functions::cast_decimal_to_decimal), "to the same or a larger scale"),
    rule(Cast(Text), Each(&[SmallInteger, BigInteger, Boolean]), Exact(functions::cast_total), ""),
    rule(Cast(Timestamp), Each(&[Date]), Exact(functions::cast_date_to_timestamp), ""),
    rule(Cast(ZonedTimestamp), Each(&[Timestamp]), Exact(functions::cast_zone), "as UTC"),
    rule(Cast(Timestamp), Each(&[ZonedTimestamp]), Exact(functions::cast_zone), "as UTC"),
    rule(Cast(Date), Each(&[Timestamp]), Exact(functions::cast_total), ""),
    rule(Function("coalesce"), Each(GROUPABLE), Exact(|call| functions::same_type(call, "coalesce")), ""),
    rule(Function("coalesce"), Each(&[Float]), Exact(|call| functions::same_type(call, "coalesce")), ""),
    rule(Function("nullif"), Each(GROUPABLE), Exact(functions::nullif), ""),
    rule(Function("abs"), Each(&[SmallInteger, BigInteger, Decimal]), Exact(|call| functions::same_type(call, "abs")), "overflow is an error"),
    rule(Function("character_length"), Exactly(&[Text]), Exact(|call| functions::counting(call, "char_length", "character_length")), "Unicode characters"),
    rule(Function("char_length"), Exactly(&[Text]), Exact(|call| functions::counting(call, "char_length", "char_length")), "Unicode characters"),
    rule(Function("length"), Exactly(&[Text]), Exact(|call| functions::counting(call, "char_length", "length")), "Unicode characters"),
    rule(Function("octet_length"), Exactly(&[Text]), Exact(|call| functions::counting(call, "octet_length", "octet_length")), "UTF-8 bytes"),
    rule(Function("substr"), Exactly(&[Text, BigInteger]), Exact(|call| functions::substring(call, "substr")), "constant positions from 1 on"),
    rule(Function("substr"), Exactly(&[Text, BigInteger, BigInteger]), Exact(|call| functions::substring(call, "substr")), "constant positions from 1 on"),
    rule(Function("substring"), Exactly(&[Text, BigInteger]), Exact(|call| functions::substring(call, "substring")), "constant positions from 1 on"),
    rule(Function("substring"), Exactly(&[Text, BigInteger, BigInteger]), Exact(|call| functions::substring(call, "substring")), "constant positions from 1 on"),
    rule(Function("replace"), Exactly(&[Text, Text, Text]), Exact(functions::replace), "constant, non-empty text to be replaced"),
    rule(Function("reverse"), Exactly(&[Text]), Exact(|call| functions::plain(call, "reverse")), "by Unicode characters"),
    rule(Function("starts_with"), Exactly(&[Text, Text]), Exact(|call| functions::bytewise_first(call, "starts_with")), ""),
    rule(Function("strpos"), Exactly(&[Text, Text]), Exact(functions::strpos), ""),
    rule(Function("lower"), Each(&[Text]), Refused, "PostgreSQL folds case by the locale, the engine by Unicode; comparisons with ASCII constants are pushed"),
    rule(Function("upper"), Each(&[Text]), Refused, "PostgreSQL folds case by the locale, the engine by Unicode; comparisons with ASCII constants are pushed"),
    rule(Function(ASCII_LOWER), Exactly(&[Text]), Exact(|call| functions::ascii_fold(call, "lower")), "`lower()` compared with ASCII constants"),
    rule(Function(ASCII_UPPER), Exactly(&[Text]), Exact(|call| functions::ascii_fold(call, "upper")), "`upper()` compared with ASCII constants"),
    rule(Function(UTF8_BYTES), Exactly(&[Text]), Exact(functions::utf8_bytes), "texts compared with constants that a database in another encoding than UTF-8 may not hold"),
    rule(Function("floor"), Exactly(&[Float]), Exact(|call| functions::whole_double(call, "floor")), ""),
    rule(Function("ceil"), Exactly(&[Float]), Exact(|call| functions::whole_double(call, "ceil")), ""),
    rule(Function("round"), Any, Refused, "PostgreSQL rounds doubles half to even"),
    rule(Function("date_trunc"), Exactly(&[Text, Timestamp]), Exact(functions::date_trunc), "constant unit"),
    rule(Function("date_trunc"), Exactly(&[Text, ZonedTimestamp]), Exact(functions::date_trunc), "constant unit, in UTC"),
    rule(Function("date_trunc"), Exactly(&[Text, Date]), Exact(functions::date_trunc), "constant unit, planned as date"),
    rule(Function("date_part"), Exactly(&[Text, Date]), Exact(functions::date_part), "constant field: year, quarter, month, week, day, doy, dow"),
    rule(Function("date_part"), Exactly(&[Text, Timestamp]), Exact(functions::date_part), "constant field, also hour and minute"),
    rule(Function("date_part"), Exactly(&[Text, ZonedTimestamp]), Exact(functions::date_part), "constant field, also hour and minute, in UTC"),
    rule(Function("year"), Each(MOMENTS), Exact(|call| functions::named_field(call, "year", "year")), ""),
    rule(Function("quarter"), Each(MOMENTS), Exact(|call| functions::named_field(call, "quarter", "quarter")), ""),
    rule(Function("month"), Each(MOMENTS), Exact(|call| functions::named_field(call, "month", "month")), ""),
    rule(Function("week"), Each(MOMENTS), Exact(|call| functions::named_field(call, "week", "week")), "ISO weeks"),
    rule(Function("day"), Each(MOMENTS), Exact(|call| functions::named_field(call, "day", "day")), ""),
    rule(Function("day_of_week"), Each(MOMENTS), Exact(|call| functions::named_field(call, "day_of_week", "isodow")), "Monday is 1"),
    rule(Function("day_of_year"), Each(MOMENTS), Exact(|call| functions::named_field(call, "day_of_year", "doy")), ""),
    rule(Function("hour"), Each(&[Timestamp, ZonedTimestamp]), Exact(|call| functions::named_field(call, "hour", "hour")), ""),
    rule(Function("minute"), Each(&[Timestamp, ZonedTimestamp]), Exact(|call| functions::named_field(call, "minute", "minute")), ""),
    rule(Function("second"), Each(&[Timestamp, ZonedTimestamp]), Exact(|call| functions::named_field(call, "second", "second")), ""),
    rule(Function("date"), Each(MOMENTS), Exact(|call| functions::date_of(call, "date")), ""),
    rule(Function("owlet_cast"), Each(MOMENTS), Exact(|call| functions::date_of(call, "owlet_cast")), "the engine's own cast of a timestamp to a date"),
    rule(Function("concat"), Each(&[Text]), Exact(functions::concat), ""),
    rule(Grouping, Each(GROUPABLE), Exact(comparison::grouping), ""),
    rule(Grouping, Each(&[Float]), Refused, ZEROS),
    rule(JoinKey, Each(GROUPABLE), Exact(comparison::join_key), "`uuid` columns compare natively"),
    rule(JoinKey, Each(&[Float]), Refused, ZEROS),
    rule(SortKey, Each(GROUPABLE), Exact(comparison::sort_key), "text by UTF-8 bytes; NULLS FIRST or LAST always spelled"),
    rule(SortKey, Each(&[Float]), Exact(comparison::sort_key), "with a second key that orders -0.0 before 0.0"),
    rule(Aggregate(AggregateFunction::CountRows), Any, Exact(aggregates::count_rows), ""),
    rule(Aggregate(AggregateFunction::Count), Any, Exact(aggregates::count), "`DISTINCT` over what can be grouped by"),
    rule(Aggregate(AggregateFunction::Sum), Each(INTEGERS), Exact(aggregates::sum_integers), "overflow of bigint is an error"),
    rule(Aggregate(AggregateFunction::Sum), Each(&[Decimal]), Exact(aggregates::sum_decimals), "a sum beyond the planned type is an error"),
    rule(Aggregate(AggregateFunction::Sum), Each(&[Float]), Refused, "the sum of doubles depends on the order of addition"),
    rule(Aggregate(AggregateFunction::Average), Each(&[SmallInteger, Float]), Exact(aggregates::average), "of integers of at most 32 bits; exact while the sum stays below 2^53"),
    rule(Aggregate(AggregateFunction::Average), Each(&[BigInteger]), Refused, "sums beyond 2^53 depend on the order of addition"),
    rule(Aggregate(AggregateFunction::Average), Each(&[Decimal]), Exact(aggregates::average_decimals), "in the type of the argument, rounded half away from zero"),
    rule(Aggregate(AggregateFunction::Minimum), Each(EXTREMES), Exact(aggregates::extreme), "text by UTF-8 bytes"),
    rule(Aggregate(AggregateFunction::Minimum), Each(&[Boolean]), Exact(aggregates::extreme_boolean), "as `bool_and`"),
    rule(Aggregate(AggregateFunction::Minimum), Each(&[Float]), Refused, ZEROS),
    rule(Aggregate(AggregateFunction::Maximum), Each(EXTREMES), Exact(aggregates::extreme), "text by UTF-8 bytes"),
    rule(Aggregate(AggregateFunction::Maximum), Each(&[Boolean]), Exact(aggregates::extreme_boolean), "as `bool_or`"),
    rule(Aggregate(AggregateFunction::Maximum), Each(&[Float]), Refused, ZEROS),
    rule(Aggregate(AggregateFunction::BooleanAnd), Each(&[Boolean]), Exact(aggregates::boolean_and), ""),
    rule(Aggregate(AggregateFunction::BooleanOr), Each(&[Boolean]), Exact(aggregates::boolean_or), ""),
];
