//! Values of Arrow arrays as exact text or JSON, one cell at a time. Must never know a file format.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, GenericListArray, MapArray,
    OffsetSizeTrait, PrimitiveArray, StructArray, UnionArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type,
    Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, RunEndIndexType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::WriteError;
use super::temporal::{self, Separator, Zone};

/// How values are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// Bare text; nested values are JSON.
    Text,
    /// JSON: decimals, dates and times as strings, integers with all their digits.
    Json,
}

/// Appends the text of the cell in a row.
type WriteCell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// Writes the cells of one array.
pub struct Encoder<'a> {
    nulls: Option<NullBuffer>,
    all_null: bool,
    write: WriteCell<'a>,
}

impl<'a> Encoder<'a> {
    /// An encoder for an array; fails only for types that cannot be shown.
    pub fn new(array: &'a dyn Array, notation: Notation) -> Result<Self, WriteError> {
        Ok(Self {
            nulls: array.logical_nulls(),
            all_null: array.data_type() == &DataType::Null,
            write: cell_writer(array, notation)?,
        })
    }

    /// The cell is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.all_null || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a cell that is not NULL.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        (self.write)(row, out);
    }

    /// Appends a cell as a JSON value.
    fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
        } else {
            self.write(row, out);
        }
    }
}

/// Appends text as a JSON string.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut clean_from = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape: Option<&[u8]> = match byte {
            b'"' => Some(b"\\\""),
            b'\\' => Some(b"\\\\"),
            b'\n' => Some(b"\\n"),
            b'\r' => Some(b"\\r"),
            b'\t' => Some(b"\\t"),
            0..=0x1f => None,
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[clean_from..index]);
        match escape {
            Some(escape) => out.extend_from_slice(escape),
            // Writing to a vector cannot fail.
            None => drop(write!(out, "\\u{byte:04x}")),
        }
        clean_from = index + 1;
    }
    out.extend_from_slice(&text.as_bytes()[clean_from..]);
    out.push(b'"');
}

type CellWriter<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

fn cell_writer<'a>(array: &'a dyn Array, notation: Notation) -> Result<CellWriter<'a>, WriteError> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => boolean(array.as_boolean()),
        DataType::Int8 => displayed(array.as_primitive::<Int8Type>()),
        DataType::Int16 => displayed(array.as_primitive::<Int16Type>()),
        DataType::Int32 => displayed(array.as_primitive::<Int32Type>()),
        DataType::Int64 => displayed(array.as_primitive::<Int64Type>()),
        DataType::UInt8 => displayed(array.as_primitive::<UInt8Type>()),
        DataType::UInt16 => displayed(array.as_primitive::<UInt16Type>()),
        DataType::UInt32 => displayed(array.as_primitive::<UInt32Type>()),
        DataType::UInt64 => displayed(array.as_primitive::<UInt64Type>()),
        DataType::Float16 => {
            let array = array.as_primitive::<Float16Type>();
            Box::new(move |row, out| write_float(array.value(row).to_f32(), notation, out))
        }
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            Box::new(move |row, out| write_float(array.value(row), notation, out))
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Box::new(move |row, out| write_float(array.value(row), notation, out))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            text(move |row| array.value(row), notation)
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            text(move |row| array.value(row), notation)
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            text(move |row| array.value(row), notation)
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            hexadecimal(move |row| array.value(row), notation)
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            hexadecimal(move |row| array.value(row), notation)
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            hexadecimal(move |row| array.value(row), notation)
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            hexadecimal(move |row| array.value(row), notation)
        }
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale, notation),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale, notation),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale, notation),
        DataType::Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale, notation),
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            date_or_time(array, notation)?
        }
        DataType::Timestamp(unit, zone) => timestamp(array, *unit, zone.as_deref(), notation)?,
        DataType::Duration(unit) => duration(array, *unit, notation),
        DataType::Interval(unit) => interval(array, *unit, notation),
        DataType::List(_) => list(array.as_list::<i32>())?,
        DataType::LargeList(_) => list(array.as_list::<i64>())?,
        DataType::FixedSizeList(_, _) => fixed_size_list(array.as_fixed_size_list())?,
        DataType::Struct(_) => structure(array.as_struct())?,
        DataType::Map(_, _) => map(array.as_map())?,
        DataType::Union(_, _) => union(array.as_union(), notation)?,
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => dictionary::<Int8Type>(array, notation)?,
            DataType::Int16 => dictionary::<Int16Type>(array, notation)?,
            DataType::Int32 => dictionary::<Int32Type>(array, notation)?,
            DataType::Int64 => dictionary::<Int64Type>(array, notation)?,
            DataType::UInt8 => dictionary::<UInt8Type>(array, notation)?,
            DataType::UInt16 => dictionary::<UInt16Type>(array, notation)?,
            DataType::UInt32 => dictionary::<UInt32Type>(array, notation)?,
            _ => dictionary::<UInt64Type>(array, notation)?,
        },
        DataType::RunEndEncoded(run_ends, _) => match run_ends.data_type() {
            DataType::Int16 => run_end_encoded::<Int16Type>(array, notation)?,
            DataType::Int32 => run_end_encoded::<Int32Type>(array, notation)?,
            _ => run_end_encoded::<Int64Type>(array, notation)?,
        },
        other @ (DataType::ListView(_) | DataType::LargeListView(_)) => {
            return Err(WriteError::Unsupported(format!(
                "values of type {other} cannot be written"
            )));
        }
    })
}

fn boolean(array: &BooleanArray) -> CellWriter<'_> {
    Box::new(|row, out| out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }))
}

fn displayed<T>(array: &PrimitiveArray<T>) -> CellWriter<'_>
where
    T: ArrowPrimitiveType,
    T::Native: std::fmt::Display,
{
    Box::new(|row, out| {
        let _ = write!(out, "{}", array.value(row));
    })
}

/// A float in the fewest digits that read back as the same value. JSON has no NaN and no infinity: they become
/// strings rather than silent nulls.
fn write_float<F: std::fmt::Debug + Into<f64> + Copy>(
    value: F,
    notation: Notation,
    out: &mut Vec<u8>,
) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        let _ = write!(out, "{value:?}");
        return;
    }
    let word = if wide.is_nan() {
        "NaN"
    } else if wide > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    quoted(notation, out, |out| out.extend_from_slice(word.as_bytes()));
}

/// Plain ASCII: bare as text, in quotes as JSON.
fn quoted(notation: Notation, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    match notation {
        Notation::Text => write(out),
        Notation::Json => {
            out.push(b'"');
            write(out);
            out.push(b'"');
        }
    }
}

fn text<'a>(value: impl Fn(usize) -> &'a str + 'a, notation: Notation) -> CellWriter<'a> {
    match notation {
        Notation::Text => Box::new(move |row, out| out.extend_from_slice(value(row).as_bytes())),
        Notation::Json => Box::new(move |row, out| write_json_string(value(row), out)),
    }
}

fn hexadecimal<'a>(value: impl Fn(usize) -> &'a [u8] + 'a, notation: Notation) -> CellWriter<'a> {
    Box::new(move |row, out| {
        quoted(notation, out, |out| {
            for byte in value(row) {
                let _ = write!(out, "{byte:02x}");
            }
        });
    })
}

fn decimal<T: DecimalType + ArrowPrimitiveType>(
    array: &dyn Array,
    scale: i8,
    notation: Notation,
) -> CellWriter<'_> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| {
        let digits = T::format_decimal(array.value(row), T::MAX_PRECISION, scale);
        quoted(notation, out, |out| {
            out.extend_from_slice(digits.as_bytes())
        });
    })
}

fn integers<'a, T>(array: &'a dyn Array) -> Box<dyn Fn(usize) -> i64 + 'a>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let array = array.as_primitive::<T>();
    Box::new(|row| array.value(row).into())
}

fn date_or_time<'a>(
    array: &'a dyn Array,
    notation: Notation,
) -> Result<CellWriter<'a>, WriteError> {
    const MILLISECONDS_OF_DAY: i64 = 86_400_000;
    let (value, unit) = match array.data_type() {
        DataType::Date32 => (integers::<Date32Type>(array), None),
        DataType::Date64 => {
            let milliseconds = integers::<Date64Type>(array);
            let days: Box<dyn Fn(usize) -> i64> =
                Box::new(move |row| milliseconds(row).div_euclid(MILLISECONDS_OF_DAY));
            (days, None)
        }
        DataType::Time32(TimeUnit::Second) => {
            (integers::<Time32SecondType>(array), Some(TimeUnit::Second))
        }
        DataType::Time32(TimeUnit::Millisecond) => (
            integers::<Time32MillisecondType>(array),
            Some(TimeUnit::Millisecond),
        ),
        DataType::Time64(TimeUnit::Microsecond) => (
            integers::<Time64MicrosecondType>(array),
            Some(TimeUnit::Microsecond),
        ),
        DataType::Time64(TimeUnit::Nanosecond) => (
            integers::<Time64NanosecondType>(array),
            Some(TimeUnit::Nanosecond),
        ),
        other => {
            return Err(WriteError::Unsupported(format!(
                "values of type {other} cannot be written"
            )));
        }
    };
    Ok(Box::new(move |row, out| {
        quoted(notation, out, |out| match unit {
            None => temporal::write_date(value(row), out),
            Some(unit) => temporal::write_time(value(row), unit, out),
        });
    }))
}

fn timestamp<'a>(
    array: &'a dyn Array,
    unit: TimeUnit,
    zone: Option<&str>,
    notation: Notation,
) -> Result<CellWriter<'a>, WriteError> {
    let zone = Zone::parse(zone).map_err(WriteError::Unsupported)?;
    let value = match unit {
        TimeUnit::Second => integers::<TimestampSecondType>(array),
        TimeUnit::Millisecond => integers::<TimestampMillisecondType>(array),
        TimeUnit::Microsecond => integers::<TimestampMicrosecondType>(array),
        TimeUnit::Nanosecond => integers::<TimestampNanosecondType>(array),
    };
    let separator = match notation {
        Notation::Text => Separator::Space,
        Notation::Json => Separator::T,
    };
    Ok(Box::new(move |row, out| {
        quoted(notation, out, |out| {
            temporal::write_timestamp(value(row), unit, &zone, separator, out)
        });
    }))
}

/// A length of time as Athena writes its day-to-second interval: `2 03:04:05.678`.
fn duration<'a>(array: &'a dyn Array, unit: TimeUnit, notation: Notation) -> CellWriter<'a> {
    let value = match unit {
        TimeUnit::Second => integers::<DurationSecondType>(array),
        TimeUnit::Millisecond => integers::<DurationMillisecondType>(array),
        TimeUnit::Microsecond => integers::<DurationMicrosecondType>(array),
        TimeUnit::Nanosecond => integers::<DurationNanosecondType>(array),
    };
    let nanoseconds_per_tick = 1_000_000_000 / temporal::ticks_per_second(unit);
    Box::new(move |row, out| {
        let nanoseconds = i128::from(value(row)) * i128::from(nanoseconds_per_tick);
        quoted(notation, out, |out| {
            write_days_and_time(0, nanoseconds, out)
        });
    })
}

/// Intervals as Athena writes them: `1-2` for years and months, `3 04:05:06.789` for days and time; an interval
/// of both is the two with a blank between.
fn interval<'a>(array: &'a dyn Array, unit: IntervalUnit, notation: Notation) -> CellWriter<'a> {
    let parts: Box<dyn Fn(usize) -> (i32, i64, i128) + 'a> = match unit {
        IntervalUnit::YearMonth => {
            let array = array.as_primitive::<IntervalYearMonthType>();
            Box::new(|row| (array.value(row), 0, 0))
        }
        IntervalUnit::DayTime => {
            let array = array.as_primitive::<IntervalDayTimeType>();
            Box::new(|row| {
                let value = array.value(row);
                (
                    0,
                    i64::from(value.days),
                    i128::from(value.milliseconds) * 1_000_000,
                )
            })
        }
        IntervalUnit::MonthDayNano => {
            let array = array.as_primitive::<IntervalMonthDayNanoType>();
            Box::new(|row| {
                let value = array.value(row);
                (
                    value.months,
                    i64::from(value.days),
                    i128::from(value.nanoseconds),
                )
            })
        }
    };
    Box::new(move |row, out| {
        let (months, days, nanoseconds) = parts(row);
        quoted(notation, out, |out| {
            let has_time = days != 0 || nanoseconds != 0;
            if months != 0 || (!has_time && unit == IntervalUnit::YearMonth) {
                let sign = if months < 0 { "-" } else { "" };
                let months = months.unsigned_abs();
                let _ = write!(out, "{sign}{}-{}", months / 12, months % 12);
                if has_time {
                    out.push(b' ');
                }
            }
            if has_time || (months == 0 && unit != IntervalUnit::YearMonth) {
                write_days_and_time(days, nanoseconds, out);
            }
        });
    })
}

/// `-2 03:04:05.678`: the sign stands for both parts, which is exact because a day here always has 24 hours.
fn write_days_and_time(days: i64, nanoseconds: i128, out: &mut Vec<u8>) {
    const NANOSECONDS_OF_DAY: i128 = 86_400_000_000_000;
    let total = i128::from(days) * NANOSECONDS_OF_DAY + nanoseconds;
    if total < 0 {
        out.push(b'-');
    }
    let total = total.unsigned_abs();
    let of_day = NANOSECONDS_OF_DAY.unsigned_abs();
    let _ = write!(out, "{} ", total / of_day);
    let rest = i64::try_from(total % of_day).unwrap_or_default();
    temporal::write_time(rest, TimeUnit::Nanosecond, out);
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Result<CellWriter<'_>, WriteError> {
    let values = Encoder::new(array.values().as_ref(), Notation::Json)?;
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, out| {
        write_items(
            &values,
            offsets[row].as_usize()..offsets[row + 1].as_usize(),
            out,
        );
    }))
}

fn fixed_size_list(array: &FixedSizeListArray) -> Result<CellWriter<'_>, WriteError> {
    let values = Encoder::new(array.values().as_ref(), Notation::Json)?;
    let length = usize::try_from(array.value_length()).unwrap_or_default();
    Ok(Box::new(move |row, out| {
        let start = usize::try_from(array.value_offset(row)).unwrap_or_default();
        write_items(&values, start..start + length, out);
    }))
}

fn write_items(values: &Encoder<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    out.push(b'[');
    let start = range.start;
    for index in range {
        if index > start {
            out.push(b',');
        }
        values.write_json(index, out);
    }
    out.push(b']');
}

fn structure(array: &StructArray) -> Result<CellWriter<'_>, WriteError> {
    let mut fields = Vec::with_capacity(array.num_columns());
    for (field, column) in array.fields().iter().zip(array.columns()) {
        let mut key = Vec::new();
        write_json_string(field.name(), &mut key);
        fields.push((key, Encoder::new(column.as_ref(), Notation::Json)?));
    }
    Ok(Box::new(move |row, out| {
        out.push(b'{');
        for (index, (key, values)) in fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            out.push(b':');
            values.write_json(row, out);
        }
        out.push(b'}');
    }))
}

/// A map is an object. Keys that are not text are spelled as text.
fn map(array: &MapArray) -> Result<CellWriter<'_>, WriteError> {
    let keys = Encoder::new(array.keys().as_ref(), Notation::Text)?;
    let values = Encoder::new(array.values().as_ref(), Notation::Json)?;
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, out| {
        let range = usize::try_from(offsets[row]).unwrap_or_default()
            ..usize::try_from(offsets[row + 1]).unwrap_or_default();
        let start = range.start;
        let mut key = Vec::new();
        out.push(b'{');
        for index in range {
            if index > start {
                out.push(b',');
            }
            key.clear();
            keys.write(index, &mut key);
            write_json_string(&String::from_utf8_lossy(&key), out);
            out.push(b':');
            values.write_json(index, out);
        }
        out.push(b'}');
    }))
}

fn union<'a>(array: &'a UnionArray, notation: Notation) -> Result<CellWriter<'a>, WriteError> {
    let DataType::Union(fields, _) = array.data_type() else {
        return Err(WriteError::Unsupported(
            "a union without fields cannot be written".to_owned(),
        ));
    };
    let mut children = Vec::new();
    for (type_id, _) in fields.iter() {
        children.push((
            type_id,
            Encoder::new(array.child(type_id).as_ref(), notation)?,
        ));
    }
    Ok(Box::new(move |row, out| {
        let type_id = array.type_id(row);
        if let Some((_, values)) = children.iter().find(|(id, _)| *id == type_id) {
            let offset = array.value_offset(row);
            match notation {
                Notation::Json => values.write_json(offset, out),
                Notation::Text => values.write(offset, out),
            }
        }
    }))
}

fn dictionary<'a, K: ArrowDictionaryKeyType>(
    array: &'a dyn Array,
    notation: Notation,
) -> Result<CellWriter<'a>, WriteError> {
    let array = array.as_dictionary::<K>();
    let values = Encoder::new(array.values().as_ref(), notation)?;
    Ok(Box::new(move |row, out| {
        if let Some(key) = array.key(row) {
            values.write(key, out);
        }
    }))
}

fn run_end_encoded<'a, R: RunEndIndexType>(
    array: &'a dyn Array,
    notation: Notation,
) -> Result<CellWriter<'a>, WriteError> {
    let Some(array) = array.as_any().downcast_ref::<arrow::array::RunArray<R>>() else {
        return Err(WriteError::Unsupported(format!(
            "values of type {} cannot be written",
            array.data_type()
        )));
    };
    let values = Encoder::new(array.values().as_ref(), notation)?;
    Ok(Box::new(move |row, out| {
        values.write(array.get_physical_index(row), out)
    }))
}

/// A column as text, for formats that cannot hold its type.
pub fn to_text_array(array: &ArrayRef) -> Result<ArrayRef, WriteError> {
    let encoder = Encoder::new(array.as_ref(), Notation::Text)?;
    let mut builder = arrow::array::StringBuilder::new();
    let mut cell = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            builder.append_null();
            continue;
        }
        cell.clear();
        encoder.write(row, &mut cell);
        builder.append_value(String::from_utf8_lossy(&cell));
    }
    Ok(Arc::new(builder.finish()))
}
