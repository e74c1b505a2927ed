//! Columns of SQLite tables in the canonical form the engine computes on, and the guards that fail a query when a
//! stored value is not what its declared type promises. Must never know a driver.

use owlet_connector::ColumnMetadata;

use super::column::{ColumnKind, ROW_NUMBER_TYPE, STRICT_SUFFIX, expectation};
use super::functions;
use super::literal::quoted;
use crate::class::{TypeClass, type_class};
use crate::fragment::{Fragment, Native, NativeKind, TextCollation};
use crate::relation::RemoteTable;
use crate::render::origin_collation;

/// The canonical form of a column. `label` is the quoted `table.column`, for errors.
pub(super) fn table_column(
    quoted_name: &str,
    qualifier: &str,
    label: &str,
    table: &RemoteTable,
    column: &ColumnMetadata,
) -> Fragment {
    let raw = format!("{qualifier}.{quoted_name}");
    let kind = ColumnKind::from_declared_type(&column.native_type);
    let enforced =
        column.native_type == ROW_NUMBER_TYPE || column.native_type.ends_with(STRICT_SUFFIX);
    let mut fragment = Fragment {
        nullable: column.nullable,
        simple: true,
        ..Fragment::computed(
            raw.clone(),
            column.data_type.clone(),
            format!("{}.{}", table.name, column.source_name),
        )
    };
    if kind == ColumnKind::Text {
        // A text column of unknown collation (of a view, say) must be told how to compare.
        fragment.collation = match origin_collation(column) {
            TextCollation::Neutral => TextCollation::Mixed,
            known => known,
        };
    }
    // A column that the connector reads as another type than its declaration says is text made from values.
    let is_converted = type_class(&kind.data_type()) != type_class(&column.data_type);
    let guard = |fits: String| {
        let expectation =
            quoted(&expectation(&column.native_type)).unwrap_or_else(|_| "''".to_owned());
        format!(
            "CASE WHEN {fits} THEN 1 ELSE {}({raw}, {label}, {expectation}) END",
            functions::UNFIT
        )
    };
    match kind {
        _ if is_converted && type_class(&column.data_type) == TypeClass::Text => {
            fragment.sql = format!("{}({raw}, {label})", functions::TEXT);
            fragment.stored = Some(raw);
        }
        ColumnKind::Untyped => {
            fragment.sql = format!("{}({raw}, {label})", functions::TEXT);
            fragment.stored = Some(raw);
        }
        ColumnKind::Integer if !enforced => {
            fragment.guard = Some(guard(format!("typeof({raw}) IN ('integer', 'null')")));
        }
        ColumnKind::Text if !enforced => {
            fragment.guard = Some(guard(format!("typeof({raw}) IN ('text', 'null')")));
        }
        ColumnKind::Blob if !enforced => {
            fragment.guard = Some(guard(format!("typeof({raw}) IN ('blob', 'null')")));
        }
        ColumnKind::Real if !enforced => {
            // Integers up to 2^53 are doubles too.
            fragment.guard = Some(guard(format!(
                "typeof({raw}) IN ('real', 'null') OR (typeof({raw}) = 'integer' AND {raw} BETWEEN -9007199254740992 AND 9007199254740992)"
            )));
        }
        ColumnKind::Boolean => {
            fragment.guard = Some(guard(format!(
                "typeof({raw}) = 'null' OR (typeof({raw}) = 'integer' AND {raw} IN (0, 1))"
            )));
        }
        ColumnKind::Date => {
            fragment.guard = Some(guard(format!(
                "typeof({raw}) = 'null' OR (typeof({raw}) = 'text' AND date({raw}) IS {raw})"
            )));
        }
        ColumnKind::Decimal { precision, scale } => {
            fragment.guard = Some(format!(
                "{}({raw}, {precision}, {scale}, {label})",
                functions::DECIMAL
            ));
        }
        ColumnKind::Timestamp | ColumnKind::Instant => {
            let is_local = kind == ColumnKind::Timestamp;
            let function = if is_local {
                functions::TIMESTAMP
            } else {
                functions::INSTANT
            };
            fragment.sql = format!("{function}({raw}, {label})");
            fragment.guard = Some(format!("({raw} IS NULL OR {} IS NOT NULL)", fragment.sql));
            // A zone moves the date, so only local timestamps begin with theirs.
            fragment.native = is_local.then(|| Native {
                sql: raw.clone(),
                kind: NativeKind::IsoTimestamp,
            });
            fragment.stored = Some(raw);
        }
        ColumnKind::Integer | ColumnKind::Text | ColumnKind::Blob | ColumnKind::Real => {}
    }
    fragment.guarded = fragment.guard.is_some();
    fragment
}
