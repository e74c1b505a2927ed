//! PostgreSQL's binary dates and times to Arrow's. Must never know columns.
//!
//! PostgreSQL counts from 2000-01-01 (days or microseconds) and marks infinity with the smallest and largest
//! integer (`datatype/timestamp.h`, `utils/date.h`); Arrow counts from 1970-01-01.

use arrow::datatypes::IntervalMonthDayNano;

use super::Problem;
use crate::options::UnrepresentablePolicy;

const DAYS_1970_TO_2000: i32 = 10_957;
const MICROSECONDS_1970_TO_2000: i64 = 946_684_800_000_000;
const MICROSECONDS_OF_DAY: i64 = 86_400_000_000;

/// 9999-12-31 and 0001-01-01 as days since 1970.
const CLAMPED_DATES: (i32, i32) = (2_932_896, -719_162);
/// 9999-12-31 23:59:59.999999 and 0001-01-01 00:00:00 as microseconds since 1970.
const CLAMPED_TIMESTAMPS: (i64, i64) = (253_402_300_799_999_999, -62_135_596_800_000_000);

/// Days since 1970-01-01; `None` is NULL by policy.
#[inline]
pub(super) fn date(bytes: &[u8], policy: UnrepresentablePolicy) -> Result<Option<i32>, Problem> {
    let days = i32::from_be_bytes(fixed(bytes)?);
    if days != i32::MAX
        && days != i32::MIN
        && let Some(days) = days.checked_add(DAYS_1970_TO_2000)
    {
        return Ok(Some(days));
    }
    let is_late = days > 0;
    substitute(policy, is_late, CLAMPED_DATES, infinity_name(is_late))
}

/// Microseconds since 1970-01-01.
#[inline]
pub(super) fn timestamp(
    bytes: &[u8],
    policy: UnrepresentablePolicy,
) -> Result<Option<i64>, Problem> {
    let microseconds = i64::from_be_bytes(fixed(bytes)?);
    let is_infinite = microseconds == i64::MAX || microseconds == i64::MIN;
    if !is_infinite && let Some(since_1970) = microseconds.checked_add(MICROSECONDS_1970_TO_2000) {
        return Ok(Some(since_1970));
    }
    let is_late = microseconds > 0;
    let name = if is_infinite {
        infinity_name(is_late)
    } else {
        "a time after 294247-01-10 04:00:54.775807"
    };
    substitute(policy, is_late, CLAMPED_TIMESTAMPS, name)
}

/// Microseconds since midnight.
#[inline]
pub(super) fn time(bytes: &[u8], policy: UnrepresentablePolicy) -> Result<Option<i64>, Problem> {
    let microseconds = i64::from_be_bytes(fixed(bytes)?);
    if (0..MICROSECONDS_OF_DAY).contains(&microseconds) {
        return Ok(Some(microseconds));
    }
    let is_late = true;
    substitute(policy, is_late, (MICROSECONDS_OF_DAY - 1, 0), "24:00:00")
}

/// Months, days, nanoseconds; 24 hours are a day, as in Athena, whose intervals are compared part by part then.
#[inline]
pub(super) fn interval(
    bytes: &[u8],
    policy: UnrepresentablePolicy,
) -> Result<Option<IntervalMonthDayNano>, Problem> {
    let whole: [u8; 16] = fixed(bytes)?;
    let (time, rest) = whole.split_at(8);
    let (days, months) = rest.split_at(4);
    let microseconds = i64::from_be_bytes(fixed(time)?);
    let days = i32::from_be_bytes(fixed(days)?);
    let months = i32::from_be_bytes(fixed(months)?);
    // Since version 17.
    let is_infinite = (microseconds == i64::MAX && days == i32::MAX && months == i32::MAX)
        || (microseconds == i64::MIN && days == i32::MIN && months == i32::MIN);
    if is_infinite {
        let name = infinity_name(months > 0);
        return match policy {
            UnrepresentablePolicy::Null => Ok(None),
            UnrepresentablePolicy::Error | UnrepresentablePolicy::Clamp => {
                Err(Problem::new(format!(
                    "{name} has no counterpart among Arrow's intervals{}",
                    advice()
                )))
            }
        };
    }
    let (days, microseconds) = match is_canonical(days, microseconds) {
        true => (days, microseconds),
        false => {
            let day = i128::from(MICROSECONDS_OF_DAY);
            let length = i128::from(days) * day + i128::from(microseconds);
            // Less than a day always fits.
            match (i32::try_from(length / day), i64::try_from(length % day)) {
                (Ok(days), Ok(microseconds)) => (days, microseconds),
                _ => {
                    return Err(Problem::new(
                        "an interval of more than 2147483647 days, with its hours, does not fit Arrow's days",
                    ));
                }
            }
        }
    };
    let nanoseconds = microseconds * 1_000;
    Ok(Some(IntervalMonthDayNano::new(months, days, nanoseconds)))
}

fn is_canonical(days: i32, microseconds: i64) -> bool {
    microseconds.unsigned_abs() < MICROSECONDS_OF_DAY.unsigned_abs()
        && i64::from(days.signum()) * microseconds.signum() >= 0
}

fn substitute<T>(
    policy: UnrepresentablePolicy,
    is_late: bool,
    (latest, earliest): (T, T),
    name: &str,
) -> Result<Option<T>, Problem> {
    match policy {
        UnrepresentablePolicy::Null => Ok(None),
        UnrepresentablePolicy::Clamp => Ok(Some(if is_late { latest } else { earliest })),
        UnrepresentablePolicy::Error => Err(Problem::new(format!(
            "{name} has no counterpart in the column's Arrow type{}",
            advice()
        ))),
    }
}

fn advice() -> &'static str {
    "; set infinity = \"null\" or \"clamp\" for the catalog, or exclude it in a view"
}

fn infinity_name(is_late: bool) -> &'static str {
    if is_late { "infinity" } else { "-infinity" }
}

#[inline]
fn fixed<const LENGTH: usize>(bytes: &[u8]) -> Result<[u8; LENGTH], Problem> {
    super::fixed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: UnrepresentablePolicy = UnrepresentablePolicy::Error;

    #[test]
    fn dates() {
        let at = |days: i32| date(&days.to_be_bytes(), ERROR);
        assert_eq!(at(0).unwrap(), Some(10_957));
        assert_eq!(at(-10_957).unwrap(), Some(0));
        // 4713-11-24 BC and 5874897-12-31.
        assert_eq!(at(-2_451_545).unwrap(), Some(-2_440_588));
        assert_eq!(at(2_145_031_948).unwrap(), Some(2_145_042_905));
        assert!(
            at(i32::MAX)
                .unwrap_err()
                .to_string()
                .starts_with("infinity")
        );
        assert!(
            at(i32::MIN)
                .unwrap_err()
                .to_string()
                .starts_with("-infinity")
        );
    }

    #[test]
    fn timestamps() {
        let at = |microseconds: i64| timestamp(&microseconds.to_be_bytes(), ERROR);
        assert_eq!(at(0).unwrap(), Some(946_684_800_000_000));
        assert_eq!(at(-946_684_800_000_001).unwrap(), Some(-1));
        assert_eq!(
            at(i64::MAX - MICROSECONDS_1970_TO_2000).unwrap(),
            Some(i64::MAX)
        );
        assert!(at(i64::MAX - MICROSECONDS_1970_TO_2000 + 1).is_err());
        assert!(
            at(i64::MAX)
                .unwrap_err()
                .to_string()
                .starts_with("infinity")
        );
        assert!(
            at(i64::MIN)
                .unwrap_err()
                .to_string()
                .starts_with("-infinity")
        );
    }

    #[test]
    fn policies() {
        let bytes = i64::MIN.to_be_bytes();
        assert_eq!(
            timestamp(&bytes, UnrepresentablePolicy::Null).unwrap(),
            None
        );
        assert_eq!(
            timestamp(&bytes, UnrepresentablePolicy::Clamp).unwrap(),
            Some(-62_135_596_800_000_000)
        );
        let midnight = MICROSECONDS_OF_DAY.to_be_bytes();
        assert_eq!(time(&midnight, UnrepresentablePolicy::Null).unwrap(), None);
        assert_eq!(
            time(&midnight, UnrepresentablePolicy::Clamp).unwrap(),
            Some(86_399_999_999)
        );
        assert!(
            time(&midnight, ERROR)
                .unwrap_err()
                .to_string()
                .starts_with("24:00:00")
        );
    }

    #[test]
    fn intervals() {
        let at = |microseconds: i64, days: i32, months: i32| {
            let mut bytes = microseconds.to_be_bytes().to_vec();
            bytes.extend(days.to_be_bytes());
            bytes.extend(months.to_be_bytes());
            interval(&bytes, ERROR)
        };
        assert_eq!(
            at(1, 2, -3).unwrap(),
            Some(IntervalMonthDayNano::new(-3, 2, 1_000))
        );
        assert_eq!(
            at(-1, 2, -3).unwrap(),
            Some(IntervalMonthDayNano::new(-3, 1, 86_399_999_999_000))
        );
        assert_eq!(
            at(-25 * MICROSECONDS_OF_DAY / 24, 0, 0).unwrap(),
            Some(IntervalMonthDayNano::new(0, -1, -3_600_000_000_000))
        );
        assert_eq!(
            at(i64::MAX, 0, 0).unwrap(),
            Some(IntervalMonthDayNano::new(
                0,
                106_751_991,
                14_454_775_807_000
            ))
        );
        assert!(at(MICROSECONDS_OF_DAY, i32::MAX, 0).is_err());
        assert!(
            at(i64::MAX, i32::MAX, i32::MAX)
                .unwrap_err()
                .to_string()
                .starts_with("infinity")
        );
    }
}
