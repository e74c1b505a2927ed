//! Date and time columns as calendar values: one reading of DATE, TIME and TIMESTAMP with and without zone, and the
//! way back. It must never know a function.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone,
};
use datafusion_common::{
    DataFusionError, Result, exec_datafusion_err, exec_err, internal_datafusion_err,
};

/// Values of one date or timestamp column.
#[derive(Debug)]
pub(super) struct Moments {
    values: Int64Array,
    kind: Kind,
    zone: Option<Tz>,
    zone_name: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Days.
    Date,
    /// Units since the epoch; in UTC if there is a zone.
    Timestamp(TimeUnit),
    /// Units since midnight.
    Time(TimeUnit),
}

/// Units in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn out_of_range() -> DataFusionError {
    exec_datafusion_err!("date or timestamp out of range")
}

impl Moments {
    /// Reads a DATE, TIME or TIMESTAMP column.
    pub(super) fn try_new(array: &ArrayRef) -> Result<Self> {
        let (kind, zone_name) = match array.data_type() {
            DataType::Date32 => (Kind::Date, None),
            DataType::Timestamp(unit, zone) => (Kind::Timestamp(*unit), zone.clone()),
            DataType::Time32(unit) | DataType::Time64(unit) => (Kind::Time(*unit), None),
            other => {
                return Err(internal_datafusion_err!(
                    "expected a date or time, not {other}"
                ));
            }
        };
        let integers: ArrayRef = match array.data_type() {
            DataType::Date32 | DataType::Time32(_) => {
                cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?
            }
            _ => cast(array, &DataType::Int64)?,
        };
        let zone = zone_name.as_deref().map(str::parse::<Tz>).transpose()?;
        Ok(Self {
            values: integers.as_primitive().clone(),
            kind,
            zone,
            zone_name,
        })
    }

    /// True for columns that hold a time of day without a date.
    pub(super) fn is_time(&self) -> bool {
        matches!(self.kind, Kind::Time(_))
    }

    pub(super) fn is_date(&self) -> bool {
        self.kind == Kind::Date
    }

    /// The unit of a TIMESTAMP or TIME.
    pub(super) fn unit(&self) -> TimeUnit {
        match self.kind {
            Kind::Date => TimeUnit::Second,
            Kind::Timestamp(unit) | Kind::Time(unit) => unit,
        }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.values.is_null(row)
    }

    pub(super) fn zone(&self) -> Option<Tz> {
        self.zone
    }

    /// The zone's name as the type has it.
    pub(super) fn zone_name(&self) -> Option<&str> {
        self.zone_name.as_deref()
    }

    /// Units since the epoch (days of a DATE, units since midnight of a TIME).
    pub(super) fn raw(&self, row: usize) -> i64 {
        self.values.value(row)
    }

    /// Nanoseconds since the epoch, in UTC if there is a zone.
    pub(super) fn nanoseconds(&self, row: usize) -> i128 {
        let raw = i128::from(self.raw(row));
        match self.kind {
            Kind::Date => raw * 86_400_000_000_000,
            Kind::Timestamp(unit) | Kind::Time(unit) => {
                raw * i128::from(1_000_000_000 / per_second(unit))
            }
        }
    }

    fn utc(&self, row: usize) -> Result<NaiveDateTime> {
        let raw = self.raw(row);
        match self.kind {
            Kind::Date => date_from_days(raw).map(|date| date.and_time(NaiveTime::MIN)),
            Kind::Timestamp(unit) | Kind::Time(unit) => {
                let seconds = raw.div_euclid(per_second(unit));
                let nanoseconds =
                    raw.rem_euclid(per_second(unit)) * (1_000_000_000 / per_second(unit));
                let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
                let moment =
                    DateTime::from_timestamp(seconds, nanoseconds).ok_or_else(out_of_range)?;
                Ok(moment.naive_utc())
            }
        }
    }

    /// What a clock in the column's zone shows (the value itself if it has no zone).
    pub(super) fn local(&self, row: usize) -> Result<NaiveDateTime> {
        self.local_in(row, self.zone)
    }

    /// What a clock in a zone shows; without one, in UTC.
    pub(super) fn local_in(&self, row: usize, zone: Option<Tz>) -> Result<NaiveDateTime> {
        let utc = self.utc(row)?;
        Ok(match zone {
            None => utc,
            Some(zone) => zone.from_utc_datetime(&utc).naive_local(),
        })
    }

    /// The zone's distance from UTC at this moment, in seconds.
    pub(super) fn offset_seconds(&self, row: usize) -> Result<i32> {
        let utc = self.utc(row)?;
        Ok(self.zone.map_or(0, |zone| {
            zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
        }))
    }

    /// The raw value of a local time in this column's type.
    pub(super) fn raw_from_local(&self, local: NaiveDateTime) -> Result<i64> {
        match self.kind {
            Kind::Date => Ok(days_from_date(local.date())),
            Kind::Timestamp(unit) => raw_timestamp(to_utc(local, self.zone)?, unit),
            Kind::Time(unit) => {
                let midnight = local.date().and_time(NaiveTime::MIN);
                let nanoseconds = local
                    .signed_duration_since(midnight)
                    .num_nanoseconds()
                    .ok_or_else(out_of_range)?;
                Ok(nanoseconds / (1_000_000_000 / per_second(unit)))
            }
        }
    }

    /// [`raw_from_local`](Self::raw_from_local) of a local time that was made from this row's: of two moments with
    /// the same local time it is the one with the row's own distance from UTC.
    pub(super) fn raw_moved(&self, row: usize, local: NaiveDateTime) -> Result<i64> {
        let (Kind::Timestamp(unit), Some(zone)) = (self.kind, self.zone) else {
            return self.raw_from_local(local);
        };
        let own_offset = zone.offset_from_utc_datetime(&self.utc(row)?).fix();
        let utc = local
            .checked_sub_offset(own_offset)
            .ok_or_else(out_of_range)?;
        match zone.from_utc_datetime(&utc).naive_local() == local {
            true => raw_timestamp(utc, unit),
            false => self.raw_from_local(local),
        }
    }

    /// The value as Athena prints it.
    pub(super) fn text(&self, row: usize) -> Result<String> {
        let local = self.local(row)?;
        let mut text = String::new();
        let written = match self.kind {
            Kind::Date => write!(text, "{}", date_text(local.date())),
            Kind::Timestamp(unit) => write!(
                text,
                "{} {}",
                date_text(local.date()),
                time_text(local.time(), unit)
            ),
            Kind::Time(unit) => write!(text, "{}", time_text(local.time(), unit)),
        };
        written.map_err(|_| internal_datafusion_err!("writing a timestamp"))?;
        if let Some(zone) = self.zone_name() {
            text.push(' ');
            text.push_str(zone);
        }
        Ok(text)
    }
}

pub(super) fn date_text(date: NaiveDate) -> String {
    match date.year() {
        0..=9999 => date.format("%Y-%m-%d").to_string(),
        year => format!("{year:+05}-{:02}-{:02}", date.month(), date.day()),
    }
}

pub(super) fn time_text(time: NaiveTime, unit: TimeUnit) -> String {
    match unit {
        TimeUnit::Second => time.format("%H:%M:%S").to_string(),
        TimeUnit::Millisecond => time.format("%H:%M:%S%.3f").to_string(),
        TimeUnit::Microsecond => time.format("%H:%M:%S%.6f").to_string(),
        TimeUnit::Nanosecond => time.format("%H:%M:%S%.9f").to_string(),
    }
}

/// A day number as a date.
pub(super) fn date_from_days(days: i64) -> Result<NaiveDate> {
    let epoch = NaiveDate::default();
    let date = match u64::try_from(days) {
        Ok(days) => epoch.checked_add_days(Days::new(days)),
        Err(_) => epoch.checked_sub_days(Days::new(days.unsigned_abs())),
    };
    date.ok_or_else(out_of_range)
}

/// Days since the epoch.
pub(super) fn days_from_date(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}

/// Days since the epoch as DATE stores them.
pub(super) fn date32(date: NaiveDate) -> Result<i32> {
    i32::try_from(days_from_date(date)).map_err(|_| out_of_range())
}

/// A local time in UTC. Of two moments with the same local time the first counts; a local time that a clock change
/// skips moves forward by the skipped hour.
pub(super) fn to_utc(local: NaiveDateTime, zone: Option<Tz>) -> Result<NaiveDateTime> {
    let Some(zone) = zone else {
        return Ok(local);
    };
    match zone.from_local_datetime(&local) {
        LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => Ok(moment.naive_utc()),
        LocalResult::None => {
            let before = local
                .checked_sub_signed(TimeDelta::hours(3))
                .ok_or_else(out_of_range)?;
            let offset = match zone.from_local_datetime(&before) {
                LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => {
                    moment.offset().fix()
                }
                LocalResult::None => return exec_err!("{local} does not exist in its time zone"),
            };
            local.checked_sub_offset(offset).ok_or_else(out_of_range)
        }
    }
}

/// A moment in units since the epoch; what is finer than the unit is rounded half up.
pub(super) fn raw_timestamp(utc: NaiveDateTime, unit: TimeUnit) -> Result<i64> {
    let utc = utc.and_utc();
    let step = 1_000_000_000 / per_second(unit);
    let nanoseconds = i64::from(utc.timestamp_subsec_nanos());
    let fraction = (nanoseconds + step / 2) / step;
    utc.timestamp()
        .checked_mul(per_second(unit))
        .and_then(|seconds| seconds.checked_add(fraction))
        .ok_or_else(out_of_range)
}

/// Raw timestamps as an array of a timestamp type.
pub(super) fn timestamps(
    values: Vec<Option<i64>>,
    unit: TimeUnit,
    zone: Option<Arc<str>>,
) -> ArrayRef {
    match unit {
        TimeUnit::Second => {
            Arc::new(PrimitiveArray::<TimestampSecondType>::from(values).with_timezone_opt(zone))
        }
        TimeUnit::Millisecond => Arc::new(
            PrimitiveArray::<TimestampMillisecondType>::from(values).with_timezone_opt(zone),
        ),
        TimeUnit::Microsecond => Arc::new(
            PrimitiveArray::<TimestampMicrosecondType>::from(values).with_timezone_opt(zone),
        ),
        TimeUnit::Nanosecond => Arc::new(
            PrimitiveArray::<TimestampNanosecondType>::from(values).with_timezone_opt(zone),
        ),
    }
}

/// Raw values as an array of any date or time type.
pub(super) fn array_of(values: Vec<Option<i64>>, data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Timestamp(unit, zone) => Ok(timestamps(values, *unit, zone.clone())),
        DataType::Date32 => {
            let days = values
                .into_iter()
                .map(|day| day.map(i32::try_from).transpose());
            let days: Vec<Option<i32>> =
                days.collect::<Result<_, _>>().map_err(|_| out_of_range())?;
            Ok(Arc::new(PrimitiveArray::<Date32Type>::from(days)))
        }
        DataType::Time32(_) => {
            let integers: ArrayRef = Arc::new(Int64Array::from(values));
            Ok(cast(&cast(&integers, &DataType::Int32)?, data_type)?)
        }
        _ => {
            let integers: ArrayRef = Arc::new(Int64Array::from(values));
            Ok(cast(&integers, data_type)?)
        }
    }
}
use crate::functions::conversion::cast;
