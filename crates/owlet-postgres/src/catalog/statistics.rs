//! Column statistics from `pg_stats`. All are estimates of the last ANALYZE. Must never do I/O.

use arrow_schema::{DataType, TimeUnit};
use owlet_connector::{ColumnStatistics, Literal, LiteralValue, RowCount};
use tokio_postgres::Row;

/// Statistics of the column in this row of the describe query.
pub(super) fn read(
    row: &Row,
    rows: RowCount,
    data_type: &DataType,
) -> Result<ColumnStatistics, tokio_postgres::Error> {
    let distinct: Option<f64> = row.try_get(29)?;
    let null_fraction: Option<f64> = row.try_get(30)?;
    let width: Option<i32> = row.try_get(31)?;
    let histogram: Option<Vec<Option<String>>> = row.try_get(32)?;
    let common: Option<Vec<Option<String>>> = row.try_get(33)?;
    // The histogram leaves out the most common values, so both are looked at.
    let histogram = histogram.unwrap_or_default();
    let ends = histogram.first().into_iter().chain(histogram.last());
    let (minimum, maximum) = extremes(ends.chain(common.iter().flatten()).flatten(), data_type);
    Ok(ColumnStatistics {
        distinct: distinct.and_then(|distinct| distinct_values(distinct, rows)),
        null_fraction,
        width: width.and_then(|width| width.try_into().ok()),
        minimum,
        maximum,
    })
}

/// `n_distinct` is a number when positive, a share of the rows when negative, unknown when 0.
fn distinct_values(distinct: f64, rows: RowCount) -> Option<u64> {
    if distinct > 0.0 {
        return Some(distinct.round() as u64);
    }
    if distinct < 0.0 {
        return rows
            .value()
            .map(|rows| (-distinct * rows as f64).round() as u64);
    }
    None
}

/// Smallest and largest of sampled values, for types whose order is the order of one integer or float.
fn extremes<'a>(
    values: impl Iterator<Item = &'a String>,
    data_type: &DataType,
) -> (Option<Literal>, Option<Literal>) {
    let parsed = values.filter_map(|text| parse(text, data_type));
    let (mut minimum, mut maximum): (Option<LiteralValue>, Option<LiteralValue>) = (None, None);
    for value in parsed {
        if minimum.as_ref().is_none_or(|least| is_less(&value, least)) {
            minimum = Some(value.clone());
        }
        if maximum.as_ref().is_none_or(|most| is_less(most, &value)) {
            maximum = Some(value);
        }
    }
    let literal = |value: LiteralValue| Literal {
        value,
        data_type: data_type.clone(),
    };
    (minimum.map(literal), maximum.map(literal))
}

fn is_less(left: &LiteralValue, right: &LiteralValue) -> bool {
    match (left, right) {
        (LiteralValue::Integer(left), LiteralValue::Integer(right)) => left < right,
        (LiteralValue::Float(left), LiteralValue::Float(right)) => left < right,
        _ => false,
    }
}

fn parse(text: &str, data_type: &DataType) -> Option<LiteralValue> {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            text.parse().ok().map(LiteralValue::Integer)
        }
        DataType::Float32 | DataType::Float64 => text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .map(LiteralValue::Float),
        DataType::Decimal128(_, scale) => {
            decimal(text, (*scale).try_into().ok()?).map(LiteralValue::Integer)
        }
        DataType::Date32 => {
            let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            let days = date
                .signed_duration_since(chrono::NaiveDate::default())
                .num_days();
            Some(LiteralValue::Integer(days.into()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let text = text.strip_suffix("+00").unwrap_or(text);
            let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
            Some(LiteralValue::Integer(
                time.and_utc().timestamp_micros().into(),
            ))
        }
        _ => None,
    }
}

/// The unscaled value; `None` for NaN, infinities and anything that does not fit.
fn decimal(text: &str, scale: usize) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > scale {
        return None;
    }
    format!("{whole}{fraction:0<scale$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct() {
        assert_eq!(distinct_values(12.0, RowCount::Unknown), Some(12));
        assert_eq!(distinct_values(-0.5, RowCount::Estimated(1000)), Some(500));
        assert_eq!(distinct_values(-1.0, RowCount::Unknown), None);
        assert_eq!(distinct_values(0.0, RowCount::Estimated(5)), None);
    }

    #[test]
    fn values() {
        let decimal_type = DataType::Decimal128(12, 2);
        assert_eq!(
            parse("-1.5", &decimal_type),
            Some(LiteralValue::Integer(-150))
        );
        assert_eq!(parse("NaN", &decimal_type), None);
        assert_eq!(
            parse("1970-01-03", &DataType::Date32),
            Some(LiteralValue::Integer(2))
        );
        assert_eq!(parse("0044-03-15 BC", &DataType::Date32), None);
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(
            parse("1970-01-01 00:00:01.5+00", &timestamp),
            Some(LiteralValue::Integer(1_500_000))
        );
    }

    #[test]
    fn smallest_and_largest() {
        let values = [
            "5".to_owned(),
            "-3".to_owned(),
            "x".to_owned(),
            "12".to_owned(),
        ];
        let (minimum, maximum) = extremes(values.iter(), &DataType::Int32);
        assert_eq!(
            minimum.map(|literal| literal.value),
            Some(LiteralValue::Integer(-3))
        );
        assert_eq!(
            maximum.map(|literal| literal.value),
            Some(LiteralValue::Integer(12))
        );
    }
}
