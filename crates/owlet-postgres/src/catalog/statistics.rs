//! Column statistics from `pg_stats`. All are estimates of the last ANALYZE. Must never know plans.

use std::collections::HashMap;

use arrow_schema::{DataType, TimeUnit};
use owlet_connector::{ColumnMetadata, ColumnStatistics, Literal, LiteralValue, RowCount};
use tokio_postgres::types::Type;

use crate::session::Session;

/// What `pg_stats` says of a table's columns, by column name.
#[derive(Debug, Default)]
pub(super) struct TableStatistics {
    columns: HashMap<String, Sample>,
}

/// One row of `pg_stats`.
#[derive(Debug)]
struct Sample {
    distinct: f64,
    null_fraction: f64,
    width: i32,
    /// Ends of the histogram and the most common values, as text.
    values: Vec<String>,
}

/// Reads `pg_stats`; for tables with parts, the sample over all of them.
pub(super) async fn read(
    session: &Session,
    schema: &str,
    table: &str,
) -> Result<TableStatistics, tokio_postgres::Error> {
    // Text values may be long and are of no use here; arrays of numbers and dates are short.
    let sql = "SELECT s.attname::text, s.n_distinct::float8, s.null_frac::float8, s.avg_width, \
            CASE WHEN t.typcategory IN ('N', 'D') THEN s.histogram_bounds::text::text[] END, \
            CASE WHEN t.typcategory IN ('N', 'D') THEN s.most_common_vals::text::text[] END \
        FROM pg_catalog.pg_stats AS s \
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.schemaname \
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = s.tablename \
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = s.attname \
        JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid \
        WHERE s.schemaname = $1 AND s.tablename = $2 ORDER BY s.inherited";
    let rows = session
        .query(sql, &[(&schema, Type::TEXT), (&table, Type::TEXT)])
        .await?;
    let mut columns = HashMap::with_capacity(rows.len());
    for row in &rows {
        let histogram: Option<Vec<Option<String>>> = row.try_get(4)?;
        let common: Option<Vec<Option<String>>> = row.try_get(5)?;
        let histogram = histogram.unwrap_or_default();
        // The histogram leaves out the most common values, so both are looked at.
        let ends = histogram.first().into_iter().chain(histogram.last());
        let values = ends
            .chain(common.iter().flatten())
            .flatten()
            .cloned()
            .collect();
        let sample = Sample {
            distinct: row.try_get(1)?,
            null_fraction: row.try_get(2)?,
            width: row.try_get(3)?,
            values,
        };
        columns.insert(row.try_get(0)?, sample);
    }
    Ok(TableStatistics { columns })
}

impl TableStatistics {
    /// Statistics of a column of a table with this many rows.
    pub(super) fn of(&self, column: &ColumnMetadata, rows: RowCount) -> ColumnStatistics {
        let Some(sample) = self.columns.get(&column.source_name) else {
            return ColumnStatistics::default();
        };
        let (minimum, maximum) = extremes(sample.values.iter(), &column.data_type);
        ColumnStatistics {
            distinct: distinct_values(sample.distinct, rows),
            null_fraction: Some(sample.null_fraction),
            width: sample.width.try_into().ok(),
            minimum,
            maximum,
        }
    }
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
