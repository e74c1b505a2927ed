//! One schema for a table whose files differ. Must never know how files are read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::sql_type::display_type;

/// A file's name (for messages) and what it holds.
pub type FileSchema = (String, SchemaRef);

/// Metadata of a field: why no query can read it. Its type is only a placeholder then.
const UNREADABLE: &str = "owlet:unreadable";
/// Metadata of a field that cannot be read: the file's own type.
const NATIVE_TYPE: &str = "owlet:native_type";

/// Arrow's way to say that a field holds UUIDs.
const ARROW_EXTENSION: (&str, &str) = ("ARROW:extension:name", "arrow.uuid");
/// Avro's way to say so.
const AVRO_LOGICAL_TYPE: (&str, &str) = ("logicalType", "uuid");
/// Bytes of a UUID.
const UUID_BYTES: i32 = 16;

/// A column that is listed but that no query can read, for `reason`.
pub fn unreadable_field(name: &str, native_type: &str, reason: &str) -> Field {
    let metadata = [(UNREADABLE, reason), (NATIVE_TYPE, native_type)];
    Field::new(name, DataType::Utf8, true).with_metadata(
        metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    )
}

/// The file's own type of a column that cannot be read, and why it cannot.
pub fn why_unreadable(field: &Field) -> Option<(&str, &str)> {
    let metadata = field.metadata();
    Some((metadata.get(NATIVE_TYPE)?, metadata.get(UNREADABLE)?))
}

/// Says that a field holds UUIDs.
pub fn mark_uuid(field: &Field) -> Field {
    let (key, value) = ARROW_EXTENSION;
    let mut metadata = field.metadata().clone();
    metadata.insert(key.to_owned(), value.to_owned());
    field.clone().with_metadata(metadata)
}

/// Whether the file says that a field holds UUIDs.
pub fn is_uuid(field: &Field) -> bool {
    *field.data_type() == DataType::FixedSizeBinary(UUID_BYTES)
        && [ARROW_EXTENSION, AVRO_LOGICAL_TYPE]
            .into_iter()
            .any(|(key, value)| field.metadata().get(key).is_some_and(|own| own == value))
}

/// A file's schema with types that SQL has: no unsigned integers (arithmetic and sums over these would overflow at zero
/// and beyond 64 bits), dates in days, UUIDs as text, plain values in place of dictionaries. A column with values of
/// several types cannot be read.
pub fn sql_schema(file: &str, schema: &Schema) -> SchemaRef {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field| match union_of(field.data_type()) {
            None => sql_field(field),
            Some(branches) => unreadable_field(
                field.name(),
                &format!("union({})", branches.join(", ")),
                &format!(
                    "its values in {file} have several types, and a column of SQL has one (hint: write it with one \
                     type, or as text)"
                ),
            ),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The branches of the first union within a type.
fn union_of(data_type: &DataType) -> Option<Vec<&str>> {
    match data_type {
        DataType::Union(branches, _) if branches.len() == 1 => branches
            .iter()
            .find_map(|(_, branch)| union_of(branch.data_type())),
        DataType::Union(branches, _) => Some(
            branches
                .iter()
                .map(|(_, branch)| branch.name().as_str())
                .collect(),
        ),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _)
        | DataType::Map(element, _) => union_of(element.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| union_of(field.data_type())),
        _ => None,
    }
}

/// The schema with one kind of text, the one that all other sources have.
pub fn with_plain_text(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field| plain_text(field))
        .collect();
    Arc::new(Schema::new(fields))
}

fn plain_text(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::List(element) => DataType::List(Arc::new(plain_text(element))),
        DataType::LargeList(element) => DataType::LargeList(Arc::new(plain_text(element))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| plain_text(field)).collect())
        }
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

fn sql_field(field: &Field) -> Field {
    if is_uuid(field) {
        return Field::new(field.name(), DataType::Utf8, field.is_nullable());
    }
    let data_type = match field.data_type() {
        DataType::Union(branches, _) if branches.len() == 1 => {
            let only = branches
                .iter()
                .map(|(_, branch)| sql_field(branch).data_type().clone())
                .next();
            only.unwrap_or(DataType::Null)
        }
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Date64 => DataType::Date32,
        DataType::Dictionary(_, value) => {
            let plain = field.clone().with_data_type(value.as_ref().clone());
            return sql_field(&plain);
        }
        DataType::List(element) => DataType::List(Arc::new(sql_field(element))),
        DataType::LargeList(element) => DataType::LargeList(Arc::new(sql_field(element))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| sql_field(field)).collect())
        }
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// Merges by name: a column that some files lack is nullable there; number types widen without loss. Anything else
/// is a sentence naming two files.
pub fn merge(files: &[FileSchema]) -> Result<SchemaRef, String> {
    let Some((_, first)) = files.first() else {
        return Ok(Arc::new(Schema::empty()));
    };
    if files
        .iter()
        .all(|(_, schema)| schema.fields() == first.fields())
    {
        return Ok(Arc::new(Schema::new(first.fields().clone())));
    }
    let mut columns: Vec<Merged<'_>> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for (file, schema) in files {
        for field in schema.fields() {
            match positions.get(field.name().as_str()) {
                None => {
                    positions.insert(field.name(), columns.len());
                    columns.push(Merged {
                        field: field.as_ref().clone(),
                        file,
                        seen: 1,
                    });
                }
                Some(&position) => {
                    let known = &mut columns[position];
                    known.seen += 1;
                    if why_unreadable(&known.field).is_some() {
                        continue;
                    }
                    if why_unreadable(field).is_some() {
                        known.field = field.as_ref().clone();
                        continue;
                    }
                    let united =
                        unite(known.field.data_type(), field.data_type()).ok_or_else(|| {
                            format!(
                                "column {} is {} in {} but {} in {file} (hint: write them with one type, or read \
                                 each as a table of its own, with CAST and UNION ALL)",
                                field.name(),
                                display_type(known.field.data_type()),
                                known.file,
                                display_type(field.data_type()),
                            )
                        })?;
                    let nullable = known.field.is_nullable() || field.is_nullable();
                    known.field = Field::new(field.name(), united, nullable);
                }
            }
        }
    }
    refuse_case_differences(files)?;
    let fields: Fields = columns
        .into_iter()
        .map(|column| {
            let everywhere = column.seen == files.len();
            let nullable = column.field.is_nullable() || !everywhere;
            column.field.with_nullable(nullable)
        })
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

struct Merged<'a> {
    field: Field,
    file: &'a str,
    seen: usize,
}

/// Two spellings of one name are fine within a file (they are two columns), but not between files: a query for the
/// name would see NULL for the files that spell it differently.
fn refuse_case_differences(files: &[FileSchema]) -> Result<(), String> {
    let mut spellings: HashMap<String, (Vec<&str>, &str)> = HashMap::new();
    for (file, schema) in files {
        let mut own: HashMap<String, Vec<&str>> = HashMap::new();
        for field in schema.fields() {
            own.entry(field.name().to_lowercase())
                .or_default()
                .push(field.name());
        }
        for (lowered, mut names) in own {
            names.sort_unstable();
            match spellings.get(&lowered) {
                None => {
                    spellings.insert(lowered, (names, file));
                }
                Some((known, known_file)) if *known != names => {
                    return Err(format!(
                        "column {} of {known_file} is spelled {} in {file}; files of one table must spell names alike",
                        known.join(", "),
                        names.join(", "),
                    ));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// The type both can be read as without losing anything.
fn unite(one: &DataType, two: &DataType) -> Option<DataType> {
    use DataType::{
        Binary, BinaryView, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, List, Null, Struct, Timestamp, UInt8, UInt16, UInt32, Utf8,
        Utf8View,
    };
    if one == two {
        return Some(one.clone());
    }
    let rank = |data_type: &DataType| match data_type {
        Int8 => Some(8),
        Int16 => Some(16),
        Int32 => Some(32),
        Int64 => Some(64),
        UInt8 => Some(9),
        UInt16 => Some(17),
        UInt32 => Some(33),
        _ => None,
    };
    if let (Some(first), Some(second)) = (rank(one), rank(two)) {
        return Some(match first.max(second) {
            8 => Int8,
            9 | 16 => Int16,
            17 | 32 => Int32,
            _ => Int64,
        });
    }
    match (one, two) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (Float32, Float64) | (Float64, Float32) => Some(Float64),
        (Int8 | Int16 | Int32, Float64) | (Float64, Int8 | Int16 | Int32) => Some(Float64),
        (Utf8 | LargeUtf8, Utf8View) | (Utf8View, Utf8 | LargeUtf8) => Some(Utf8View),
        (Utf8, LargeUtf8) | (LargeUtf8, Utf8) => Some(LargeUtf8),
        (Binary | LargeBinary, BinaryView) | (BinaryView, Binary | LargeBinary) => Some(BinaryView),
        (Binary, LargeBinary) | (LargeBinary, Binary) => Some(LargeBinary),
        (Date32, Timestamp(unit, None)) | (Timestamp(unit, None), Date32) => {
            Some(Timestamp(*unit, None))
        }
        (Decimal128(_, _), Int8 | Int16 | Int32 | Int64) => unite(one, &whole_decimal(two)?),
        (Int8 | Int16 | Int32 | Int64, Decimal128(_, _)) => unite(&whole_decimal(one)?, two),
        (Decimal128(first, first_scale), Decimal128(second, second_scale)) => {
            let scale = *first_scale.max(second_scale);
            let whole = (i16::from(*first) - i16::from(*first_scale))
                .max(i16::from(*second) - i16::from(*second_scale));
            let precision = u8::try_from(whole + i16::from(scale))
                .ok()
                .filter(|precision| *precision <= 38)?;
            Some(Decimal128(precision, scale))
        }
        (Timestamp(first, zone), Timestamp(second, other)) if zone == other => {
            Some(Timestamp(finer(*first, *second), zone.clone()))
        }
        (List(first), List(second)) => {
            let inner = unite(first.data_type(), second.data_type())?;
            let nullable = first.is_nullable() || second.is_nullable();
            Some(List(Arc::new(Field::new(first.name(), inner, nullable))))
        }
        (Struct(first), Struct(second)) => unite_structs(first, second).map(Struct),
        _ => None,
    }
}

/// The decimal that holds every value of an integer type.
fn whole_decimal(integer: &DataType) -> Option<DataType> {
    let digits = match integer {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        DataType::Int64 => 19,
        _ => return None,
    };
    Some(DataType::Decimal128(digits, 0))
}

fn finer(one: TimeUnit, two: TimeUnit) -> TimeUnit {
    let rank = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(one) >= rank(two) { one } else { two }
}

fn unite_structs(one: &Fields, two: &Fields) -> Option<Fields> {
    let mut fields: Vec<Field> = Vec::new();
    for field in one {
        let united = match two.find(field.name()) {
            None => field.as_ref().clone().with_nullable(true),
            Some((_, other)) => {
                let nullable = field.is_nullable() || other.is_nullable();
                Field::new(
                    field.name(),
                    unite(field.data_type(), other.data_type())?,
                    nullable,
                )
            }
        };
        fields.push(united);
    }
    for field in two.iter().filter(|field| one.find(field.name()).is_none()) {
        fields.push(field.as_ref().clone().with_nullable(true));
    }
    Some(fields.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, fields: &[(&str, DataType)]) -> FileSchema {
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), false))
            .collect();
        (name.to_owned(), Arc::new(Schema::new(fields)))
    }

    #[test]
    fn columns_merge_by_name() {
        let merged = merge(&[
            file("a", &[("id", DataType::Int32), ("x", DataType::Utf8)]),
            file("b", &[("y", DataType::Boolean), ("id", DataType::Int64)]),
        ])
        .unwrap();
        let shown: Vec<String> = merged
            .fields()
            .iter()
            .map(|field| {
                format!(
                    "{} {} {}",
                    field.name(),
                    field.data_type(),
                    field.is_nullable()
                )
            })
            .collect();
        assert_eq!(shown, ["id Int64 false", "x Utf8 true", "y Boolean true"]);
    }

    #[test]
    fn what_cannot_merge_names_both_files() {
        let error = merge(&[
            file("a", &[("id", DataType::Int64)]),
            file("b", &[("id", DataType::Utf8)]),
        ])
        .unwrap_err();
        assert!(
            error.starts_with("column id is bigint in a but varchar in b (hint: "),
            "{error}"
        );
        let error = merge(&[
            file("a", &[("Id", DataType::Int64)]),
            file("b", &[("id", DataType::Int64)]),
        ])
        .unwrap_err();
        assert!(error.contains("spelled"), "{error}");
        let two = |name| {
            file(
                name,
                &[
                    ("Id", DataType::Int64),
                    ("id", DataType::Int64),
                    (name, DataType::Int8),
                ],
            )
        };
        assert!(merge(&[two("a"), two("b")]).is_ok());
    }

    #[test]
    fn dictionaries_dates_and_uuids_have_plain_types() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let bytes = DataType::FixedSizeBinary(UUID_BYTES);
        let schema = Schema::new(vec![
            Field::new("word", dictionary, true),
            Field::new("day", DataType::Date64, true),
            mark_uuid(&Field::new("id", bytes.clone(), true)),
            Field::new("bytes", bytes, true),
        ]);
        let schema = sql_schema("a", &schema);
        let types: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.data_type().to_string())
            .collect();
        assert_eq!(types, ["Utf8", "Date32", "Utf8", "FixedSizeBinary(16)"]);
    }

    #[test]
    fn a_column_that_one_file_cannot_give_is_not_readable() {
        let odd = Schema::new(vec![unreadable_field("id", "union(int, string)", "why")]);
        let odd = ("b".to_owned(), Arc::new(odd));
        let plain = file("a", &[("id", DataType::Int64)]);
        for files in [[plain.clone(), odd.clone()], [odd, plain]] {
            let merged = merge(&files).unwrap();
            let why = why_unreadable(merged.field(0));
            assert_eq!(why, Some(("union(int, string)", "why")));
        }
    }

    #[test]
    fn integers_beyond_doubles_do_not_become_doubles() {
        assert_eq!(unite(&DataType::Int64, &DataType::Float64), None);
        assert_eq!(
            unite(&DataType::UInt32, &DataType::Int8),
            Some(DataType::Int64)
        );
        assert_eq!(
            unite(&DataType::Decimal128(10, 2), &DataType::Decimal128(10, 4)),
            Some(DataType::Decimal128(12, 4))
        );
    }

    #[test]
    fn integers_beside_decimals_become_decimals() {
        let decimal = |precision, scale| DataType::Decimal128(precision, scale);
        let cases = [
            (DataType::Int64, decimal(20, 0), Some(decimal(20, 0))),
            (decimal(5, 2), DataType::Int64, Some(decimal(21, 2))),
            (decimal(38, 30), DataType::Int32, None),
        ];
        for (one, two, united) in cases {
            assert_eq!(unite(&one, &two), united, "{one} beside {two}");
        }
    }
}
