//! Athena's types as Arrow types. It must never know expressions.
//!
//! | Athena | Arrow |
//! |---|---|
//! | VARCHAR, CHAR, UUID, IPADDRESS | Utf8 |
//! | JSON | Utf8 with the extension name `arrow.json` |
//! | VARBINARY | Binary |
//! | TIME(p) | Time32(ms) up to 3 digits, Time64(µs) up to 6, Time64(ns) up to 9 |
//! | TIMESTAMP(p) | Timestamp(ms), (µs), (ns) by the same steps; 3 digits when none are given |
//! | TIMESTAMP(p) WITH TIME ZONE | the same with the session's zone |
//! | DECIMAL | Decimal128(38, 0) |
//! | INTERVAL … | Interval(MonthDayNano) |
//! | MAP(K, V) | Map |

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion_common::{Result, not_impl_err};
use datafusion_expr::planner::TypePlanner;
use sqlparser::ast::{DataType as SqlType, ExactNumberInfo, ObjectName, TimezoneInfo};

use crate::grammar::ZONED_TIMESTAMP;

/// The session's time zone: values without a zone are read in it.
pub(crate) const SESSION_ZONE: &str = "UTC";

const EXTENSION_NAME: &str = "ARROW:extension:name";
const JSON_EXTENSION: &str = "arrow.json";

/// A nullable text field that holds JSON.
pub(crate) fn json_field(name: &str) -> Field {
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned())]);
    Field::new(name, DataType::Utf8, true).with_metadata(metadata)
}

/// True if the field's texts are JSON.
pub(crate) fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get(EXTENSION_NAME)
        .is_some_and(|name| name == JSON_EXTENSION)
}

/// The Arrow unit that holds `precision` digits after the second's point.
pub(crate) fn time_unit(precision: u64) -> Option<TimeUnit> {
    match precision {
        0..=3 => Some(TimeUnit::Millisecond),
        4..=6 => Some(TimeUnit::Microsecond),
        7..=9 => Some(TimeUnit::Nanosecond),
        _ => None,
    }
}

/// A map type as Arrow spells it.
pub(crate) fn map_type(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", key, false),
        Field::new("value", value, true),
    ]);
    DataType::Map(
        Arc::new(Field::new("entries", DataType::Struct(entries), false)),
        false,
    )
}

/// A list type with nullable elements.
pub(crate) fn list_type(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

/// Plans the type names that DataFusion does not know or understands differently.
#[derive(Debug)]
pub(crate) struct AthenaTypePlanner;

impl TypePlanner for AthenaTypePlanner {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            SqlType::JSON => return Ok(Some(Arc::new(json_field("")))),
            SqlType::Char(_)
            | SqlType::Character(_)
            | SqlType::Varchar(_)
            | SqlType::CharVarying(_)
            | SqlType::CharacterVarying(_)
            | SqlType::Uuid => DataType::Utf8,
            SqlType::Custom(name, arguments) => return custom_type(name, arguments),
            SqlType::Varbinary(_) | SqlType::Binary(_) => DataType::Binary,
            SqlType::Decimal(ExactNumberInfo::None) | SqlType::Numeric(ExactNumberInfo::None) => {
                DataType::Decimal128(38, 0)
            }
            SqlType::Dec(info) => return self.plan_type_field(&SqlType::Decimal(*info)),
            SqlType::Timestamp(precision, zone) => {
                let Some(unit) = time_unit(precision.unwrap_or(3)) else {
                    return not_impl_err!("{sql_type}: at most 9 digits after the point");
                };
                let has_zone = matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz);
                DataType::Timestamp(unit, has_zone.then(|| SESSION_ZONE.into()))
            }
            SqlType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                match time_unit(precision.unwrap_or(3)) {
                    Some(TimeUnit::Millisecond) => DataType::Time32(TimeUnit::Millisecond),
                    Some(unit) => DataType::Time64(unit),
                    None => return not_impl_err!("{sql_type}: at most 9 digits after the point"),
                }
            }
            SqlType::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
            SqlType::Map(key, value) => {
                let (Some(key), Some(value)) = (self.nested(key)?, self.nested(value)?) else {
                    return not_impl_err!("type {sql_type}");
                };
                map_type(key, value)
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

impl AthenaTypePlanner {
    /// Types inside a map, which DataFusion does not plan for us.
    fn nested(&self, sql_type: &SqlType) -> Result<Option<DataType>> {
        if let Some(field) = self.plan_type_field(sql_type)? {
            return Ok(Some(field.data_type().clone()));
        }
        Ok(match sql_type {
            SqlType::Boolean | SqlType::Bool => Some(DataType::Boolean),
            SqlType::TinyInt(_) => Some(DataType::Int8),
            SqlType::SmallInt(_) => Some(DataType::Int16),
            SqlType::Int(_) | SqlType::Integer(_) => Some(DataType::Int32),
            SqlType::BigInt(_) => Some(DataType::Int64),
            SqlType::Real | SqlType::Float(_) => Some(DataType::Float32),
            SqlType::Double(_) | SqlType::DoublePrecision => Some(DataType::Float64),
            SqlType::Date => Some(DataType::Date32),
            SqlType::Decimal(info) | SqlType::Numeric(info) => decimal_type(*info),
            SqlType::Array(sqlparser::ast::ArrayElemTypeDef::AngleBracket(element)) => {
                self.nested(element)?.map(list_type)
            }
            SqlType::Struct(fields, _) => {
                let mut planned = Vec::with_capacity(fields.len());
                for (index, field) in fields.iter().enumerate() {
                    let Some(data_type) = self.nested(&field.field_type)? else {
                        return Ok(None);
                    };
                    let name = field
                        .field_name
                        .as_ref()
                        .map_or(format!("c{index}"), |name| name.value.clone());
                    planned.push(Field::new(name, data_type, true));
                }
                Some(DataType::Struct(planned.into()))
            }
            _ => None,
        })
    }
}

fn decimal_type(info: ExactNumberInfo) -> Option<DataType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (38, 0),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
    (precision <= 38 && scale >= 0).then_some(DataType::Decimal128(precision, scale))
}

fn custom_type(name: &ObjectName, arguments: &[String]) -> Result<Option<FieldRef>> {
    let name = name
        .0
        .first()
        .and_then(|part| part.as_ident())
        .map(|name| name.value.as_str());
    let data_type = match (name, arguments) {
        (Some("ipaddress"), []) => DataType::Utf8,
        (Some(ZONED_TIMESTAMP), [precision, zone]) => {
            let precision = precision.parse().unwrap_or(u64::MAX);
            let Some(unit) = time_unit(precision) else {
                return not_impl_err!("timestamp with {precision} digits after the point");
            };
            DataType::Timestamp(unit, Some(crate::zones::canonical(zone)?.into()))
        }
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(Field::new("", data_type, true))))
}
