//! SQL type names of the configuration (`types = { price = "decimal(12,2)" }`). Must never know a file.

use arrow::datatypes::{DataType, TimeUnit};

/// The Arrow type of a SQL type name, or what is wrong with the name.
pub fn parse_sql_type(text: &str) -> Result<DataType, String> {
    let lowered = text.trim().to_lowercase();
    let (name, arguments, suffix) = split(&lowered)?;
    let unknown = || {
        format!(
            "{text} is not a type for files (use boolean, tinyint, smallint, integer, bigint, real, double, \
             decimal(p,s), varchar, date, time, timestamp, timestamp with time zone, varbinary)"
        )
    };
    if name == "timestamp" {
        let unit = time_unit(arguments.first().copied().unwrap_or(6), text)?;
        return match suffix.as_str() {
            "" | "without time zone" => Ok(DataType::Timestamp(unit, None)),
            "with time zone" => Ok(DataType::Timestamp(unit, Some("UTC".into()))),
            _ => Err(unknown()),
        };
    }
    if suffix == "precision" && name == "double" {
        return Ok(DataType::Float64);
    }
    if !suffix.is_empty() {
        return Err(unknown());
    }
    match (name.as_str(), arguments.as_slice()) {
        ("boolean" | "bool", []) => Ok(DataType::Boolean),
        ("tinyint", []) => Ok(DataType::Int8),
        ("smallint", []) => Ok(DataType::Int16),
        ("integer" | "int", []) => Ok(DataType::Int32),
        ("bigint", []) => Ok(DataType::Int64),
        ("real" | "float", []) => Ok(DataType::Float32),
        ("double", []) => Ok(DataType::Float64),
        ("decimal" | "numeric", [precision]) => decimal(*precision, 0, text),
        ("decimal" | "numeric", [precision, scale]) => decimal(*precision, *scale, text),
        ("varchar" | "char" | "character", [] | [_]) | ("string" | "text", []) => {
            Ok(DataType::Utf8)
        }
        ("date", []) => Ok(DataType::Date32),
        ("time", []) => Ok(DataType::Time64(TimeUnit::Microsecond)),
        ("timestamptz", []) => Ok(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into()),
        )),
        ("varbinary" | "binary", []) => Ok(DataType::Binary),
        _ => Err(unknown()),
    }
}

/// Splits `name(1,2) suffix`.
fn split(text: &str) -> Result<(String, Vec<u32>, String), String> {
    let Some((name, rest)) = text.split_once('(') else {
        let (name, suffix) = text.split_once(' ').unwrap_or((text, ""));
        return Ok((name.to_owned(), Vec::new(), suffix.trim().to_owned()));
    };
    let (inside, suffix) = rest
        .split_once(')')
        .ok_or_else(|| format!("{text} has no closing parenthesis"))?;
    let arguments = inside
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse::<u32>()
                .map_err(|_| format!("{number} in {text} is not a number"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok((name.trim().to_owned(), arguments, suffix.trim().to_owned()))
}

fn decimal(precision: u32, scale: u32, text: &str) -> Result<DataType, String> {
    let too_big = || format!("{text}: precision must be 1 to 38 and scale at most the precision");
    if precision == 0 || precision > 38 || scale > precision {
        return Err(too_big());
    }
    let precision = u8::try_from(precision).map_err(|_| too_big())?;
    let scale = i8::try_from(scale).map_err(|_| too_big())?;
    Ok(DataType::Decimal128(precision, scale))
}

fn time_unit(digits: u32, text: &str) -> Result<TimeUnit, String> {
    match digits {
        0 => Ok(TimeUnit::Second),
        1..=3 => Ok(TimeUnit::Millisecond),
        4..=6 => Ok(TimeUnit::Microsecond),
        7..=9 => Ok(TimeUnit::Nanosecond),
        _ => Err(format!("{text}: at most 9 digits of a second")),
    }
}

/// A type as people read it in `describe` and in messages.
pub fn display_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "varbinary".to_owned(),
        other => other.to_string(),
    }
}

/// `an integer`, `a bigint`.
pub fn with_article(type_name: &str) -> String {
    match type_name.starts_with(['a', 'e', 'i', 'o']) {
        true => format!("an {type_name}"),
        false => format!("a {type_name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names() {
        let cases = [
            ("BIGINT", DataType::Int64),
            ("double precision", DataType::Float64),
            ("decimal(12, 2)", DataType::Decimal128(12, 2)),
            ("numeric(5)", DataType::Decimal128(5, 0)),
            ("varchar(20)", DataType::Utf8),
            (
                "timestamp",
                DataType::Timestamp(TimeUnit::Microsecond, None),
            ),
            (
                "timestamp(3)",
                DataType::Timestamp(TimeUnit::Millisecond, None),
            ),
            (
                "timestamp(9) with time zone",
                DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_sql_type(text), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "decimal(40,2)",
            "decimal(3,4)",
            "varchar(x)",
            "decimal(1",
            "jsonb",
            "timestamp(12)",
            "int x",
        ] {
            assert!(parse_sql_type(wrong).is_err(), "{wrong}");
        }
    }
}
