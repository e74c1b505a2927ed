//! Functions on numbers. It must never know tables.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type,
    DecimalType, Field, Float32Type, Float64Type, Int64Type,
};
use datafusion_common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion_expr::ScalarUDF;

use super::scalar::Kind::{Any, Bigint, Double, List, Number, Text};
use super::scalar::Overload::Exact;
use super::scalar::{Call, CallTypes, function, returns};
use super::type_names::sql_name;
use super::{lists, text};
use crate::common_types::time_of_day;
use crate::functions::conversion::cast;

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let mut functions = rounding();
    functions.extend(floats());
    functions.extend(bits());
    functions.extend(bases());
    functions
}

fn rounding() -> Vec<ScalarUDF> {
    vec![
        function(
            &["ceil", "ceiling"],
            &[Exact(&[Number])],
            |call| whole(call, Carry::Possible),
            |call| to_whole(call, Rounding::Up),
        ),
        function(
            &["floor"],
            &[Exact(&[Number])],
            |call| whole(call, Carry::Possible),
            |call| to_whole(call, Rounding::Down),
        ),
        function(
            &["truncate"],
            &[Exact(&[Number]), Exact(&[Number, Bigint])],
            truncate_type,
            |call| match call.arrays.len() {
                1 => to_whole(call, Rounding::TowardsZero),
                _ => to_digits(call, Rounding::TowardsZero),
            },
        ),
        function(
            &["round"],
            &[Exact(&[Number]), Exact(&[Number, Bigint])],
            round_type,
            |call| match call.arrays.len() {
                1 => to_whole(call, Rounding::HalfAwayFromZero),
                _ => to_digits(call, Rounding::HalfAwayFromZero),
            },
        ),
        function(&["sign"], &[Exact(&[Number])], sign_type, sign),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Up,
    Down,
    TowardsZero,
    HalfAwayFromZero,
}

impl Rounding {
    fn float(self, number: f64) -> f64 {
        match self {
            Self::Up => number.ceil(),
            Self::Down => number.floor(),
            Self::TowardsZero => number.trunc(),
            Self::HalfAwayFromZero => number.round(),
        }
    }

    /// How many units a number has; a unit is a power of ten.
    fn units<N: ArrowNativeTypeOp>(self, value: N, unit: N) -> Result<N> {
        let (quotient, rest) = (value.div_checked(unit)?, value.mod_checked(unit)?);
        let is_negative = rest.is_lt(N::ZERO);
        let distance = if is_negative {
            rest.neg_checked()?
        } else {
            rest
        };
        let moves = !rest.is_zero()
            && match self {
                Self::Up => !is_negative,
                Self::Down => is_negative,
                Self::TowardsZero => false,
                // Twice the rest may not fit.
                Self::HalfAwayFromZero => distance.is_ge(unit.sub_checked(distance)?),
            };
        Ok(match (moves, is_negative) {
            (false, _) => quotient,
            (true, false) => quotient.add_checked(N::ONE)?,
            (true, true) => quotient.sub_checked(N::ONE)?,
        })
    }

    /// An unscaled number with its last digits made zero. Not for rounding up or down: a number far below the unit
    /// becomes zero.
    fn to_multiple<N: ArrowNativeTypeOp>(self, value: N, digits: i64, most: u8) -> Result<N> {
        if digits <= 0 {
            return Ok(value);
        }
        match u32::try_from(digits) {
            Ok(digits) if digits <= u32::from(most) => {
                let unit = power_of_ten(digits)?;
                Ok(self.units(value, unit)?.mul_checked(unit)?)
            }
            _ => Ok(N::ZERO),
        }
    }
}

fn power_of_ten<N: ArrowNativeTypeOp>(exponent: u32) -> Result<N> {
    Ok(N::usize_as(10).pow_checked(exponent)?)
}

/// Whether rounding can add a digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carry {
    Possible,
    Impossible,
}

/// The type of a number without its fraction.
fn whole(call: &CallTypes<'_>, carry: Carry) -> Result<Field> {
    let digits = |precision: u8, scale: i8, most: u8| {
        let carry = i16::from(carry == Carry::Possible && scale > 0);
        let digits = i16::from(precision) - i16::from(scale) + carry;
        u8::try_from(digits.clamp(1, i16::from(most))).unwrap_or(most)
    };
    let data_type = match &call.types[0] {
        DataType::Decimal128(precision, scale) => {
            DataType::Decimal128(digits(*precision, *scale, DECIMAL128_MAX_PRECISION), 0)
        }
        DataType::Decimal256(precision, scale) => {
            DataType::Decimal256(digits(*precision, *scale, DECIMAL256_MAX_PRECISION), 0)
        }
        other => other.clone(),
    };
    Ok(Field::new("", data_type, true))
}

fn truncate_type(call: &CallTypes<'_>) -> Result<Field> {
    if call.types.len() == 2 {
        returns::first(call)
    } else {
        whole(call, Carry::Impossible)
    }
}

fn round_type(call: &CallTypes<'_>) -> Result<Field> {
    let data_type = match (&call.types[0], call.types.len()) {
        (DataType::Decimal128(precision, scale), 2) => {
            DataType::Decimal128((precision + 1).min(DECIMAL128_MAX_PRECISION), *scale)
        }
        (DataType::Decimal256(precision, scale), 2) => {
            DataType::Decimal256((precision + 1).min(DECIMAL256_MAX_PRECISION), *scale)
        }
        _ => return whole(call, Carry::Possible),
    };
    Ok(Field::new("", data_type, true))
}

/// A sign has one digit, whatever the number has: DECIMAL(2,2) cannot hold 1.
fn sign_type(call: &CallTypes<'_>) -> Result<Field> {
    match &call.types[0] {
        data_type if data_type.is_decimal() => Ok(Field::new("", DataType::Decimal128(1, 0), true)),
        _ => returns::first(call),
    }
}

fn to_whole(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let array = &call.arrays[0];
    match array.data_type() {
        DataType::Float64 => Ok(Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|number| rounding.float(number)),
        )),
        DataType::Float32 => {
            let numbers = array.as_primitive::<Float32Type>();
            Ok(Arc::new(numbers.unary::<_, Float32Type>(|number| {
                rounding.float(f64::from(number)) as f32
            })))
        }
        DataType::Decimal128(_, scale) => {
            decimal_to_whole::<Decimal128Type>(call, *scale, rounding)
        }
        DataType::Decimal256(_, scale) => {
            decimal_to_whole::<Decimal256Type>(call, *scale, rounding)
        }
        data_type if data_type.is_integer() || data_type.is_null() => Ok(Arc::clone(array)),
        other => not_a_number(call, other),
    }
}

fn decimal_to_whole<D: DecimalType>(
    call: &Call<'_>,
    scale: i8,
    rounding: Rounding,
) -> Result<ArrayRef> {
    match u32::try_from(scale) {
        Ok(digits) if digits > 0 => {
            let (numbers, unit) = (call.arrays[0].as_primitive::<D>(), power_of_ten(digits)?);
            let values = call.values(|row| rounding.units(numbers.value(row), unit).map(Some))?;
            decimals::<D>(call, values)
        }
        // Already whole.
        _ => Ok(cast(&call.arrays[0], call.return_type)?),
    }
}

fn not_a_number<T>(call: &Call<'_>, data_type: &DataType) -> Result<T> {
    exec_err!("{} takes a number, not {}", call.name, sql_name(data_type))
}

/// Unscaled numbers as decimals of the result's type; one with too many digits is an error.
fn decimals<D: DecimalType>(call: &Call<'_>, values: Vec<Option<D::Native>>) -> Result<ArrayRef> {
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) =
        call.return_type
    else {
        return exec_err!("expected a decimal, not {}", call.return_type);
    };
    let decimals = values
        .into_iter()
        .collect::<PrimitiveArray<D>>()
        .with_precision_and_scale(*precision, *scale)?;
    decimals
        .validate_decimal_precision(*precision)
        .map_err(|_| {
            exec_datafusion_err!("{} overflow: {}", sql_name(call.return_type), call.name)
        })?;
    Ok(Arc::new(decimals))
}

/// Rounds to a number of digits after the point, or before it when negative.
fn to_digits(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let (array, digits) = (&call.arrays[0], call.bigints(1)?);
    match array.data_type() {
        DataType::Float64 | DataType::Float32 => {
            let numbers = cast(array, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let rounded = call.double(|row| {
                let (number, digits) = (numbers.value(row), digits.value(row).clamp(-400, 400));
                let factor = 10_f64.powi(i32::try_from(digits).unwrap_or(0));
                let scaled = number * factor;
                Ok(Some(if scaled.is_finite() && factor > 0.0 {
                    rounding.float(scaled) / factor
                } else {
                    number
                }))
            })?;
            Ok(cast(&rounded, call.return_type)?)
        }
        DataType::Decimal128(_, scale) => {
            decimal_to_digits::<Decimal128Type>(call, *scale, rounding)
        }
        DataType::Decimal256(_, scale) => {
            decimal_to_digits::<Decimal256Type>(call, *scale, rounding)
        }
        DataType::Null => Ok(Arc::clone(array)),
        data_type if data_type.is_integer() => {
            let numbers = cast(array, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            let rounded = call.bigint(|row| {
                let (number, dropped) = (
                    i128::from(numbers.value(row)),
                    digits.value(row).saturating_neg(),
                );
                let rounded = rounding.to_multiple(number, dropped, DECIMAL128_MAX_PRECISION)?;
                i64::try_from(rounded)
                    .map(Some)
                    .map_err(|_| exec_datafusion_err!("bigint overflow: {}", call.name))
            })?;
            Ok(cast(&rounded, call.return_type)?)
        }
        other => not_a_number(call, other),
    }
}

fn decimal_to_digits<D: DecimalType>(
    call: &Call<'_>,
    scale: i8,
    rounding: Rounding,
) -> Result<ArrayRef> {
    let (numbers, digits) = (call.arrays[0].as_primitive::<D>(), call.bigints(1)?);
    let values = call.values(|row| {
        let dropped = i64::from(scale).saturating_sub(digits.value(row));
        rounding
            .to_multiple(numbers.value(row), dropped, D::MAX_PRECISION)
            .map(Some)
    })?;
    decimals::<D>(call, values)
}

fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    let array = &call.arrays[0];
    let signs: ArrayRef = match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let numbers = cast(array, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            Arc::new(numbers.unary::<_, Float64Type>(|n| {
                if n == 0.0 || n.is_nan() {
                    n
                } else {
                    n.signum()
                }
            }))
        }
        DataType::Decimal128(..) => {
            let numbers = array.as_primitive::<Decimal128Type>();
            call.bigint(|row| Ok(Some(numbers.value(row).signum() as i64)))?
        }
        DataType::Decimal256(..) => {
            let numbers = array.as_primitive::<Decimal256Type>();
            call.bigint(|row| Ok(Some(numbers.value(row).signum().as_i128() as i64)))?
        }
        DataType::Null => Arc::clone(array),
        data_type if data_type.is_integer() => {
            let numbers = cast(array, &DataType::Int64)?;
            Arc::new(
                numbers
                    .as_primitive::<Int64Type>()
                    .unary::<_, Int64Type>(i64::signum),
            )
        }
        other => return not_a_number(call, other),
    };
    Ok(cast(&signs, call.return_type)?)
}

macro_rules! float_test {
    ($name:literal, $test:expr) => {
        function(&[$name], &[Exact(&[Double])], returns::boolean, |call| {
            let numbers = call.doubles(0)?;
            let test: fn(f64) -> bool = $test;
            call.boolean(|row| Ok(Some(test(numbers.value(row)))))
        })
    };
}

macro_rules! constant {
    ($name:literal, $value:expr) => {
        function(&[$name], &[Exact(&[])], returns::double, |call| {
            call.double(|_| Ok(Some($value)))
        })
    };
}

fn floats() -> Vec<ScalarUDF> {
    vec![
        function(
            &["power", "pow"],
            &[Exact(&[Double, Double])],
            returns::double,
            |call| {
                let (bases, exponents) = (call.doubles(0)?, call.doubles(1)?);
                call.double(|row| Ok(Some(bases.value(row).powf(exponents.value(row)))))
            },
        ),
        // Of a negative number it is NaN, not an error.
        function(&["sqrt"], &[Exact(&[Double])], returns::double, |call| {
            let numbers = call.doubles(0)?;
            call.double(|row| Ok(Some(numbers.value(row).sqrt())))
        }),
        float_test!("is_nan", f64::is_nan),
        float_test!("is_finite", f64::is_finite),
        float_test!("is_infinite", f64::is_infinite),
        constant!("nan", f64::NAN),
        constant!("infinity", f64::INFINITY),
        constant!("e", std::f64::consts::E),
        function(
            &["width_bucket"],
            &[
                Exact(&[Double, Double, Double, Bigint]),
                Exact(&[Double, List]),
            ],
            returns::bigint,
            width_bucket,
        ),
        function(
            &["greatest"],
            &[super::scalar::Overload::Variadic(&[Any])],
            extreme_type,
            |call| extreme(call, Extreme::Greatest),
        ),
        function(
            &["least"],
            &[super::scalar::Overload::Variadic(&[Any])],
            extreme_type,
            |call| extreme(call, Extreme::Least),
        ),
        function(&["typeof"], &[Exact(&[Any])], returns::text, |call| {
            let name = match call.fields.first() {
                Some(field) if crate::types::is_json(field) => "json".to_owned(),
                _ => sql_name(call.arrays[0].data_type()),
            };
            let names =
                arrow::array::StringArray::from_iter_values((0..call.rows).map(|_| name.as_str()));
            Ok(Arc::new(names))
        }),
    ]
}

fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let numbers = call.doubles(0)?;
    if call.arrays.len() == 2 {
        let lists = lists::list(call, 1)?;
        let bounds = cast(lists.values(), &DataType::Float64)?;
        let bounds = bounds.as_primitive::<Float64Type>();
        return call.bigint(|row| {
            let below = lists::elements(lists, row)
                .filter(|index| bounds.value(*index) <= numbers.value(row))
                .count();
            Ok(text::to_i64(below))
        });
    }
    let (lows, highs, counts) = (call.doubles(1)?, call.doubles(2)?, call.bigints(3)?);
    call.bigint(|row| {
        let (number, low, high, count) = (
            numbers.value(row),
            lows.value(row),
            highs.value(row),
            counts.value(row),
        );
        if count <= 0 {
            return exec_err!("width_bucket: the number of buckets must be positive");
        }
        if !number.is_finite() && number.is_nan()
            || !low.is_finite()
            || !high.is_finite()
            || low == high
        {
            return exec_err!("width_bucket: the bounds must be two different numbers");
        }
        let (lower, upper) = (low.min(high), low.max(high));
        if number < lower {
            return Ok(Some(if low < high { 0 } else { count + 1 }));
        }
        if number >= upper {
            return Ok(Some(if low < high { count + 1 } else { 0 }));
        }
        let bucket = (count as f64 * (number - lower) / (upper - lower)) as i64 + 1;
        Ok(Some(if low < high {
            bucket
        } else {
            count - bucket + 1
        }))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extreme {
    Greatest,
    Least,
}

fn extreme_type(call: &CallTypes<'_>) -> Result<Field> {
    let common = time_of_day(&call.types)
        .or_else(|| datafusion_expr::binary::type_union_resolution(&call.types));
    match common {
        Some(common) => Ok(Field::new("", common, true)),
        None => {
            let names: Vec<String> = call.types.iter().map(sql_name).collect();
            plan_err!("{}: {} have no common type", call.name, names.join(", "))
        }
    }
}

/// NULL if any argument is NULL.
fn extreme(call: &Call<'_>, which: Extreme) -> Result<ArrayRef> {
    let mut best: Option<ArrayRef> = None;
    for array in &call.arrays {
        let array = cast(array, call.return_type)?;
        best = Some(match best {
            None => array,
            Some(best) => {
                let keep = match which {
                    Extreme::Greatest => arrow::compute::kernels::cmp::gt_eq(&best, &array)?,
                    Extreme::Least => arrow::compute::kernels::cmp::lt_eq(&best, &array)?,
                };
                let chosen = arrow::compute::kernels::zip::zip(&keep, &best, &array)?;
                // The comparison with NULL is NULL, and so is the result.
                arrow::compute::nullif(&chosen, &arrow::compute::is_null(&keep)?)?
            }
        });
    }
    best.ok_or_else(|| exec_datafusion_err!("{} takes at least one argument", call.name))
}

macro_rules! bit_operation {
    ($name:literal, $operation:expr) => {
        function(
            &[$name],
            &[Exact(&[Bigint, Bigint])],
            returns::bigint,
            |call| {
                let (left, right) = (call.bigints(0)?, call.bigints(1)?);
                let operation: fn(i64, i64) -> i64 = $operation;
                call.bigint(|row| Ok(Some(operation(left.value(row), right.value(row)))))
            },
        )
    };
}

fn bits() -> Vec<ScalarUDF> {
    vec![
        bit_operation!("bitwise_and", |left, right| left & right),
        bit_operation!("bitwise_or", |left, right| left | right),
        bit_operation!("bitwise_xor", |left, right| left ^ right),
        bit_operation!("bitwise_left_shift", |value, shift| shifted(
            value,
            shift,
            |value, shift| value << shift
        )),
        // Without the sign: zeros come in from the left.
        bit_operation!("bitwise_right_shift", |value, shift| {
            shifted(value, shift, |value, shift| {
                ((value as u64) >> shift) as i64
            })
        }),
        bit_operation!(
            "bitwise_right_shift_arithmetic",
            |value, shift| match u32::try_from(shift) {
                Ok(shift) if shift < 64 => value >> shift,
                _ => value >> 63,
            }
        ),
        function(
            &["bitwise_not"],
            &[Exact(&[Bigint])],
            returns::bigint,
            |call| {
                let values = call.bigints(0)?;
                call.bigint(|row| Ok(Some(!values.value(row))))
            },
        ),
        function(
            &["bit_count"],
            &[Exact(&[Bigint, Bigint])],
            returns::bigint,
            |call| {
                let (values, sizes) = (call.bigints(0)?, call.bigints(1)?);
                call.bigint(|row| bit_count(values.value(row), sizes.value(row)).map(Some))
            },
        ),
    ]
}

fn shifted(value: i64, shift: i64, operation: fn(i64, u32) -> i64) -> i64 {
    match u32::try_from(shift) {
        Ok(shift) if shift < 64 => operation(value, shift),
        _ => 0,
    }
}

/// The number of ones in the two's complement of `size` bits.
fn bit_count(value: i64, size: i64) -> Result<i64> {
    let Some(size) = u32::try_from(size)
        .ok()
        .filter(|size| (2..=64).contains(size))
    else {
        return exec_err!("bit_count: the number of bits must be between 2 and 64");
    };
    let (lowest, highest) = (i64::MIN >> (64 - size), i64::MAX >> (64 - size));
    if !(lowest..=highest).contains(&value) {
        return exec_err!("bit_count: {value} does not fit into {size} bits");
    }
    let mask = u64::MAX >> (64 - size);
    Ok(i64::from(((value as u64) & mask).count_ones()))
}

fn bases() -> Vec<ScalarUDF> {
    vec![
        function(
            &["from_base"],
            &[Exact(&[Text, Bigint])],
            returns::bigint,
            |call| {
                let (texts, radixes) = (call.texts(0)?, call.bigints(1)?);
                call.bigint(|row| {
                    let (text, radix) = (texts.value(row), radix(radixes.value(row))?);
                    match i64::from_str_radix(text, radix) {
                        Ok(number) => Ok(Some(number)),
                        Err(_) => {
                            exec_err!("from_base: '{text}' is not a number to the base of {radix}")
                        }
                    }
                })
            },
        ),
        function(
            &["to_base"],
            &[Exact(&[Bigint, Bigint])],
            returns::text,
            |call| {
                let (numbers, radixes) = (call.bigints(0)?, call.bigints(1)?);
                call.text(|row| {
                    Ok(Some(to_base(
                        numbers.value(row),
                        radix(radixes.value(row))?,
                    )))
                })
            },
        ),
    ]
}

fn radix(radix: i64) -> Result<u32> {
    match u32::try_from(radix) {
        Ok(radix) if (2..=36).contains(&radix) => Ok(radix),
        _ => exec_err!("the base must be between 2 and 36"),
    }
}

fn to_base(number: i64, radix: u32) -> String {
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        digits.extend(char::from_digit(
            u32::try_from(rest % u64::from(radix)).unwrap_or(0),
            radix,
        ));
        rest /= u64::from(radix);
        if rest == 0 {
            break;
        }
    }
    digits.extend((number < 0).then_some('-'));
    digits.iter().rev().collect()
}
