//! MySQL's and MariaDB's exactness table. A construct without a row stays local. Must never know a driver.

use owlet_connector::ArithmeticOperator::{Add, Concatenate, Divide, Modulo, Multiply, Subtract};

use super::{aggregates, comparison, functions, temporal, text};
use crate::class::INTEGERS;
use crate::class::TypeClass::{
    self, BigInteger, Binary, Boolean, Date, Decimal, Float, Interval, SmallInteger, Text, Time,
    Timestamp, ZonedTimestamp,
};
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
/// Ordered by `min` and `max` alike.
const EXTREMES: &[TypeClass] = &[
    Boolean,
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
const ZEROS: &str = "-0.0 and 0.0 are equal in MySQL and different in the engine";
const SHIFTS: &str = "beyond the year 9999 MySQL answers NULL";
const DOUBLES: &str =
    "double arithmetic overflows to an error or NULL in MySQL and to infinity in the engine";
const PATTERNS: &str = "regular expressions are another language in each server";

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
    rule(Equality, Each(&[Text]), Exact(comparison::text), "equal UTF-8 bytes, blanks at the end included, whatever the collation; the column's own collation is asked, too, for its indexes"),
    rule(Equality, Each(&[Float]), Exact(comparison::float), "with finite constants only"),
    rule(Ordering, Each(PLAIN), Exact(comparison::plain), ""),
    rule(Ordering, Each(&[Text]), Exact(comparison::text), "by UTF-8 bytes, blanks at the end included"),
    rule(Ordering, Each(&[Float]), Exact(comparison::float), "with finite constants only"),
    rule(Like, Each(&[Text]), Exact(text::like), "constant pattern that does not end with its escape character"),
    rule(Logic, Each(&[Boolean]), Exact(spelling::logic), ""),
    rule(NullTest, Any, Exact(spelling::null_test), ""),
    rule(Construct::Case, Any, Exact(spelling::case), "results of the planned type"),
    rule(Arithmetic(Add), Each(INTEGERS), Exact(|call| functions::integer_operator(call, Add)), "bigint; overflow is an error"),
    rule(Arithmetic(Subtract), Each(INTEGERS), Exact(|call| functions::integer_operator(call, Subtract)), "bigint; overflow is an error"),
    rule(Arithmetic(Multiply), Each(INTEGERS), Exact(|call| functions::integer_operator(call, Multiply)), "bigint; overflow is an error"),
    rule(Arithmetic(Divide), Each(INTEGERS), Exact(|call| functions::integer_division(call, Divide)), "as `DIV`; bigint, constant divisor other than 0 and -1; truncates"),
    rule(Arithmetic(Modulo), Each(INTEGERS), Exact(|call| functions::integer_division(call, Modulo)), "bigint, constant divisor other than 0 and -1; sign of the dividend"),
    rule(Arithmetic(Add), Each(&[Decimal]), Exact(|call| functions::decimal_operator(call, Add)), "planned scale must hold the result; at most 65 digits"),
    rule(Arithmetic(Subtract), Each(&[Decimal]), Exact(|call| functions::decimal_operator(call, Subtract)), "planned scale must hold the result; at most 65 digits"),
    rule(Arithmetic(Multiply), Each(&[Decimal]), Exact(|call| functions::decimal_operator(call, Multiply)), "planned scale must hold the result; at most 65 digits"),
    rule(Arithmetic(Divide), Each(&[Decimal]), Refused, "decimal division rounds to a scale of the server's own (`div_precision_increment`)"),
    rule(Arithmetic(Add), Each(&[Float]), Refused, DOUBLES),
    rule(Arithmetic(Subtract), Each(&[Float]), Refused, DOUBLES),
    rule(Arithmetic(Multiply), Each(&[Float]), Refused, DOUBLES),
    rule(Arithmetic(Divide), Each(&[Float]), Refused, "double division by zero is NULL in MySQL and infinity in the engine"),
    rule(Arithmetic(Concatenate), Each(&[Text]), Exact(functions::concatenate), "as `CONCAT`, whatever `||` means to the server"),
    rule(Arithmetic(Add), Exactly(&[Timestamp, Interval]), Refused, SHIFTS),
    rule(Arithmetic(Add), Exactly(&[ZonedTimestamp, Interval]), Refused, SHIFTS),
    rule(Arithmetic(Add), Exactly(&[Date, Interval]), Refused, SHIFTS),
    rule(Arithmetic(Subtract), Exactly(&[Timestamp, Interval]), Refused, SHIFTS),
    rule(Arithmetic(Subtract), Exactly(&[ZonedTimestamp, Interval]), Refused, SHIFTS),
    rule(Arithmetic(Subtract), Exactly(&[Date, Interval]), Refused, SHIFTS),
    rule(Negative, Each(&[BigInteger, Decimal]), Exact(functions::negative), ""),
    rule(Cast(SmallInteger), Each(INTEGERS), Exact(functions::cast_integer_to_integer), "only when it widens"),
    rule(Cast(BigInteger), Each(INTEGERS), Exact(functions::cast_integer_to_integer), ""),
    rule(Cast(Float), Each(INTEGERS), Exact(functions::cast_integer_to_float), "to double precision"),
    rule(Cast(Float), Each(&[Float]), Exact(functions::cast_float_to_float), "to double precision"),
    rule(Cast(Float), Each(&[Decimal]), Exact(functions::cast_decimal_to_float), "of at most 15 digits"),
    rule(Cast(Decimal), Each(INTEGERS), Exact(functions::cast_integer_to_decimal), "to a type that holds all of them"),
    rule(Cast(Decimal), Each(&[Decimal]), Exact(functions::cast_decimal_to_decimal), "to a type that holds all of them"),
    rule(Cast(Text), Each(&[SmallInteger, BigInteger]), Exact(functions::cast_to_text), ""),
    rule(Cast(Text), Each(&[Boolean]), Exact(functions::cast_boolean_to_text), ""),
    rule(Cast(Timestamp), Each(&[Date]), Exact(temporal::cast_to_timestamp), ""),
    rule(Cast(ZonedTimestamp), Each(&[Timestamp]), Exact(temporal::cast_to_timestamp), "as UTC"),
    rule(Cast(Timestamp), Each(&[ZonedTimestamp]), Exact(temporal::cast_to_timestamp), "as UTC"),
    rule(Cast(Date), Each(&[Timestamp]), Exact(temporal::cast_to_date), ""),
    rule(Function("coalesce"), Each(GROUPABLE), Exact(|call| functions::same_type(call, "coalesce")), ""),
    rule(Function("coalesce"), Each(&[Float]), Exact(|call| functions::same_type(call, "coalesce")), ""),
    rule(Function("nullif"), Each(GROUPABLE), Exact(|call| functions::same_type(call, "nullif")), ""),
    rule(Function("abs"), Each(&[SmallInteger, BigInteger, Decimal]), Exact(functions::absolute), "bigint and decimal; overflow is an error"),
    rule(Function("character_length"), Exactly(&[Text]), Exact(|call| text::counting(call, "CHAR_LENGTH", "character_length")), "Unicode characters"),
    rule(Function("char_length"), Exactly(&[Text]), Exact(|call| text::counting(call, "CHAR_LENGTH", "char_length")), "Unicode characters"),
    rule(Function("length"), Exactly(&[Text]), Exact(|call| text::counting(call, "CHAR_LENGTH", "length")), "Unicode characters, as `CHAR_LENGTH`"),
    rule(Function("octet_length"), Exactly(&[Text]), Exact(|call| text::counting(call, "OCTET_LENGTH", "octet_length")), "UTF-8 bytes"),
    rule(Function("substr"), Exactly(&[Text, BigInteger]), Exact(|call| text::substring(call, "substr")), "constant positions from 1 on"),
    rule(Function("substr"), Exactly(&[Text, BigInteger, BigInteger]), Exact(|call| text::substring(call, "substr")), "constant positions from 1 on"),
    rule(Function("substring"), Exactly(&[Text, BigInteger]), Exact(|call| text::substring(call, "substring")), "constant positions from 1 on"),
    rule(Function("substring"), Exactly(&[Text, BigInteger, BigInteger]), Exact(|call| text::substring(call, "substring")), "constant positions from 1 on"),
    rule(Function("replace"), Exactly(&[Text, Text, Text]), Exact(text::replace), "constant, non-empty text to be replaced"),
    rule(Function("reverse"), Exactly(&[Text]), Exact(|call| text::plain(call, "REVERSE")), "by Unicode characters"),
    rule(Function("starts_with"), Exactly(&[Text, Text]), Exact(text::starts_with), ""),
    rule(Function("strpos"), Exactly(&[Text, Text]), Exact(text::strpos), ""),
    rule(Function("concat"), Each(&[Text]), Exact(text::concat), ""),
    rule(Function("lower"), Each(&[Text]), Refused, "the server folds case by the collation, the engine by Unicode"),
    rule(Function("upper"), Each(&[Text]), Refused, "the server folds case by the collation, the engine by Unicode"),
    rule(Function("regexp_like"), Any, Refused, PATTERNS),
    rule(Function("regexp_replace"), Any, Refused, PATTERNS),
    rule(Function("floor"), Exactly(&[Float]), Exact(|call| functions::whole_double(call, "floor")), ""),
    rule(Function("ceil"), Exactly(&[Float]), Exact(|call| functions::whole_double(call, "ceil")), ""),
    rule(Function("round"), Any, Refused, "MySQL rounds doubles by the platform's C library"),
    rule(Function("date_trunc"), Exactly(&[Text, Timestamp]), Exact(temporal::date_trunc), "constant unit: year, month, day, hour, minute, second"),
    rule(Function("date_trunc"), Exactly(&[Text, ZonedTimestamp]), Exact(temporal::date_trunc), "constant unit, in UTC"),
    rule(Function("date_trunc"), Exactly(&[Text, Date]), Exact(temporal::date_trunc), "constant unit, planned as date"),
    rule(Function("date_part"), Exactly(&[Text, Date]), Exact(temporal::date_part), "constant field: year, quarter, month, week, day, doy, dow"),
    rule(Function("date_part"), Exactly(&[Text, Timestamp]), Exact(temporal::date_part), "constant field, also hour and minute"),
    rule(Function("date_part"), Exactly(&[Text, ZonedTimestamp]), Exact(temporal::date_part), "constant field, also hour and minute, in UTC"),
    rule(Function("year"), Each(MOMENTS), Exact(|call| temporal::named_field(call, "year", "year")), ""),
    rule(Function("quarter"), Each(MOMENTS), Exact(|call| temporal::named_field(call, "quarter", "quarter")), ""),
    rule(Function("month"), Each(MOMENTS), Exact(|call| temporal::named_field(call, "month", "month")), ""),
    rule(Function("week"), Each(MOMENTS), Exact(|call| temporal::named_field(call, "week", "week")), "ISO weeks"),
    rule(Function("day"), Each(MOMENTS), Exact(|call| temporal::named_field(call, "day", "day")), ""),
    rule(Function("day_of_week"), Each(MOMENTS), Exact(|call| temporal::named_field(call, "day_of_week", "isodow")), "Monday is 1"),
    rule(Function("day_of_year"), Each(MOMENTS), Exact(|call| temporal::named_field(call, "day_of_year", "doy")), ""),
    rule(Function("hour"), Each(&[Timestamp, ZonedTimestamp]), Exact(|call| temporal::named_field(call, "hour", "hour")), ""),
    rule(Function("minute"), Each(&[Timestamp, ZonedTimestamp]), Exact(|call| temporal::named_field(call, "minute", "minute")), ""),
    rule(Function("second"), Each(&[Timestamp, ZonedTimestamp]), Exact(|call| temporal::named_field(call, "second", "second_of_minute")), ""),
    rule(Function("date"), Each(MOMENTS), Exact(|call| temporal::date_of(call, "date")), ""),
    rule(Function("owlet_cast"), Each(MOMENTS), Exact(|call| temporal::date_of(call, "owlet_cast")), "the engine's own cast of a timestamp to a date"),
    rule(Grouping, Each(GROUPABLE), Exact(comparison::grouping), "text and bytes declared with at most 1024 characters or bytes"),
    rule(Grouping, Each(&[Float]), Refused, ZEROS),
    rule(JoinKey, Each(GROUPABLE), Exact(comparison::join_key), ""),
    rule(JoinKey, Each(&[Float]), Refused, ZEROS),
    rule(SortKey, Each(GROUPABLE), Exact(comparison::sort_key), "text by UTF-8 bytes, declared with at most 1024 characters; the place of NULLs always spelled"),
    rule(SortKey, Each(&[Float]), Exact(comparison::sort_key), "with a second key that orders -0.0 before 0.0"),
    rule(Aggregate(AggregateFunction::CountRows), Any, Exact(aggregates::count_rows), ""),
    rule(Aggregate(AggregateFunction::Count), Any, Exact(aggregates::count), "`DISTINCT` over what can be grouped by"),
    rule(Aggregate(AggregateFunction::Sum), Each(INTEGERS), Exact(aggregates::sum_integers), "a sum beyond bigint is an error"),
    rule(Aggregate(AggregateFunction::Sum), Each(&[Decimal]), Exact(aggregates::sum_decimals), "of at most 38 digits; a sum beyond the planned type is an error"),
    rule(Aggregate(AggregateFunction::Sum), Each(&[Float]), Refused, "the sum of doubles depends on the order of addition"),
    rule(Aggregate(AggregateFunction::Average), Each(&[SmallInteger, Float]), Exact(aggregates::average), "of integers of at most 32 bits; exact while the sum stays below 2^53"),
    rule(Aggregate(AggregateFunction::Average), Each(&[BigInteger]), Refused, "sums beyond 2^53 depend on the order of addition"),
    rule(Aggregate(AggregateFunction::Average), Each(&[Decimal]), Exact(aggregates::average_decimals), "in the type of the argument, rounded half away from zero; precision and scale together at most 38"),
    rule(Aggregate(AggregateFunction::Minimum), Each(EXTREMES), Exact(aggregates::extreme), "text by UTF-8 bytes"),
    rule(Aggregate(AggregateFunction::Minimum), Each(&[Float]), Refused, ZEROS),
    rule(Aggregate(AggregateFunction::Maximum), Each(EXTREMES), Exact(aggregates::extreme), "text by UTF-8 bytes"),
    rule(Aggregate(AggregateFunction::Maximum), Each(&[Float]), Refused, ZEROS),
    rule(Aggregate(AggregateFunction::BooleanAnd), Each(&[Boolean]), Exact(aggregates::extreme), ""),
    rule(Aggregate(AggregateFunction::BooleanOr), Each(&[Boolean]), Exact(aggregates::extreme), ""),
];
