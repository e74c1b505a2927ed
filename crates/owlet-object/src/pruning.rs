//! Which conditions Parquet's row groups and pages may be skipped by: those for which a file's bounds tell the truth. Must
//! never know how a file is read.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::parquet::basic::{SortOrder, Type};
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::file::statistics::Statistics;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, IsNullExpr, Literal, TryCastExpr,
};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_plan::PhysicalExpr;

/// Columns of a file whose bounds are not what today's readers take them for: texts and bytes that an old writer
/// compared as signed numbers, and numbers for which it wrote NaN.
pub fn doubtful_columns(footer: &ParquetMetaData) -> HashSet<String> {
    footer
        .row_groups()
        .iter()
        .flat_map(RowGroupMetaData::columns)
        .filter(|chunk| {
            chunk
                .statistics()
                .is_some_and(|statistics| is_doubtful(chunk, statistics))
        })
        .filter_map(|chunk| chunk.column_path().parts().first().cloned())
        .collect()
}

fn is_doubtful(chunk: &ColumnChunkMetaData, statistics: &Statistics) -> bool {
    let is_nan = |bounds: [Option<f64>; 2]| bounds.into_iter().flatten().any(f64::is_nan);
    match statistics {
        Statistics::Float(values) => is_nan([
            values.min_opt().map(|value| f64::from(*value)),
            values.max_opt().map(|value| f64::from(*value)),
        ]),
        Statistics::Double(values) => {
            is_nan([values.min_opt().copied(), values.max_opt().copied()])
        }
        _ => {
            let has_old_bounds =
                statistics.is_min_max_deprecated() && statistics.min_bytes_opt().is_some();
            let are_numbers = matches!(chunk.column_type(), Type::INT32 | Type::INT64)
                && chunk.column_descr().sort_order() == SortOrder::SIGNED;
            has_old_bounds && !are_numbers
        }
    }
}

/// What is known of a table's bounds.
#[derive(Debug, Clone)]
pub struct Bounds {
    schema: SchemaRef,
    doubtful: Arc<HashSet<String>>,
}

impl Bounds {
    /// Bounds of the columns of `schema`, but not of those in `doubtful`, nor of two columns of one name.
    pub fn new(schema: &SchemaRef, doubtful: impl IntoIterator<Item = String>) -> Self {
        let mut names = HashSet::new();
        let repeated = schema
            .fields()
            .iter()
            .filter(|field| !names.insert(field.name()))
            .map(|field| field.name().clone());
        Self {
            doubtful: Arc::new(doubtful.into_iter().chain(repeated).collect()),
            schema: Arc::clone(schema),
        }
    }

    /// The condition with the names of these columns in place of those of SQL.
    pub fn in_own_names(&self, condition: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        condition
            .transform(|expression| {
                let Some(column) = expression.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expression));
                };
                let name = self.schema.field(column.index()).name();
                let renamed = Column::new(name, column.index());
                Ok(Transformed::yes(Arc::new(renamed) as Arc<dyn PhysicalExpr>))
            })
            .data()
    }

    /// The conditions whose bounds may be gone by.
    pub fn sound(&self, conditions: Vec<Arc<dyn PhysicalExpr>>) -> Vec<Arc<dyn PhysicalExpr>> {
        let told = self.tell(&conditions);
        conditions
            .into_iter()
            .zip(told)
            .filter(|(_, sound)| *sound)
            .map(|(condition, _)| condition)
            .collect()
    }

    /// For each condition, whether what its bounds rule out may be skipped. Only rows that meet all of them are wanted.
    pub fn tell(&self, conditions: &[Arc<dyn PhysicalExpr>]) -> Vec<bool> {
        let parts: Vec<Vec<&Arc<dyn PhysicalExpr>>> =
            conditions.iter().map(split_conjunction).collect();
        let capped: HashSet<&str> = parts
            .iter()
            .flatten()
            .filter_map(|part| self.float_limit(part))
            .filter(|limit| limit.side == Side::Upper)
            .map(|limit| limit.column)
            .collect();
        parts
            .iter()
            .map(|parts| parts.iter().all(|part| self.tells(part, &capped)))
            .collect()
    }

    fn tells(&self, part: &Arc<dyn PhysicalExpr>, capped: &HashSet<&str>) -> bool {
        let mut seen = About::Nothing;
        let walked = part.apply(|expression| {
            seen = seen.max(self.about(expression)?);
            Ok(TreeNodeRecursion::Continue)
        });
        match seen {
            _ if walked.is_err() => false,
            About::Nothing => true,
            About::Floats => self
                .float_limit(part)
                .is_some_and(|limit| limit.side == Side::Upper || capped.contains(limit.column)),
            About::Unknown => false,
        }
    }

    fn about(&self, expression: &Arc<dyn PhysicalExpr>) -> Result<About> {
        if let Some(column) = expression.downcast_ref::<Column>() {
            if self.doubtful.contains(column.name()) {
                return Ok(About::Unknown);
            }
            let is_float = column.data_type(&self.schema)?.is_floating();
            return Ok(if is_float {
                About::Floats
            } else {
                About::Nothing
            });
        }
        // A missing count of NULLs is taken for zero.
        if expression.is::<IsNullExpr>() {
            return Ok(About::Unknown);
        }
        let input = match (
            expression.downcast_ref::<CastExpr>(),
            expression.downcast_ref::<TryCastExpr>(),
        ) {
            (Some(cast), _) => cast.expr(),
            (_, Some(cast)) => cast.expr(),
            (None, None) => return Ok(About::Nothing),
        };
        let from = input.data_type(&self.schema)?;
        let to = expression.data_type(&self.schema)?;
        Ok(match keeps_order(&from, &to) {
            true => About::Nothing,
            false => About::Unknown,
        })
    }

    /// A floating-point column beside a number. Bounds say nothing of NaN, which is greater than all numbers, and tell
    /// 0.0 from -0.0, which conditions do not.
    fn float_limit<'a>(&self, part: &'a Arc<dyn PhysicalExpr>) -> Option<FloatLimit<'a>> {
        let comparison = part.downcast_ref::<BinaryExpr>()?;
        let sides = (
            float_column(comparison.left(), &self.schema),
            float_column(comparison.right(), &self.schema),
        );
        let (column, number, operator) = match sides {
            (Some(column), _) => (column, comparison.right(), *comparison.op()),
            (None, Some(column)) => (column, comparison.left(), comparison.op().swap()?),
            (None, None) => return None,
        };
        let number = match number.downcast_ref::<Literal>()?.value() {
            ScalarValue::Float32(Some(number)) => f64::from(*number),
            ScalarValue::Float64(Some(number)) => *number,
            _ => return None,
        };
        let is_safe = match operator {
            Operator::Lt | Operator::Gt => number.is_finite(),
            _ => number.is_normal(),
        };
        let side = match operator {
            Operator::Eq | Operator::Lt | Operator::LtEq => Side::Upper,
            Operator::Gt | Operator::GtEq => Side::Lower,
            _ => return None,
        };
        is_safe.then_some(FloatLimit { column, side })
    }
}

/// What an expression makes of a condition; the last of them counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// Its bounds are sound.
    Nothing,
    /// A floating-point column.
    Floats,
    /// Bounds that say something else than the condition.
    Unknown,
}

struct FloatLimit<'a> {
    column: &'a str,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// NaN does not meet it.
    Upper,
    /// NaN meets it.
    Lower,
}

/// The column, or the column in a wider floating-point type.
fn float_column<'a>(expression: &'a Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<&'a str> {
    let expression = match expression.downcast_ref::<CastExpr>() {
        Some(cast) if *cast.cast_type() == DataType::Float64 => cast.expr(),
        _ => expression,
    };
    let column = expression.downcast_ref::<Column>()?;
    let is_float = column.data_type(schema).ok()?.is_floating();
    is_float.then(|| column.name())
}

/// Whether a cast of the greater of two values is never less than that of the other.
fn keeps_order(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, LargeUtf8, Timestamp, Utf8, Utf8View};
    let is_text = |data_type: &DataType| matches!(data_type, Utf8 | LargeUtf8 | Utf8View);
    match (from, to) {
        (from, to) if from == to => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (from, to) if is_text(from) && is_text(to) => true,
        (Date32 | Timestamp(_, None), Date32 | Timestamp(_, None)) => true,
        (Timestamp(_, from), Timestamp(_, to)) => from == to,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::parquet::schema::parser::parse_message_type;
    use datafusion::parquet::schema::types::SchemaDescriptor;

    use super::*;

    #[test]
    fn bounds_of_old_writers_are_doubtful() {
        let message = "message m { required binary word (UTF8); required int64 id; \
                       required int64 big (UINT_64); required double ratio; }";
        let schema = SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let doubtful = |column: usize, statistics: Statistics| {
            let chunk = ColumnChunkMetaData::builder(schema.column(column))
                .set_statistics(statistics.clone())
                .build()
                .unwrap();
            is_doubtful(&chunk, &statistics)
        };
        const OLD: bool = true;
        const NEW: bool = false;
        let words = |written| {
            Statistics::byte_array(Some("a".into()), Some("b".into()), None, Some(0), written)
        };
        let numbers = |written| Statistics::int64(Some(1), Some(2), None, Some(0), written);
        let floats = |high| Statistics::double(Some(1.0), Some(high), None, Some(0), NEW);
        assert!(doubtful(0, words(OLD)));
        assert!(!doubtful(0, words(NEW)));
        // Only NULLs: there are no bounds to doubt.
        assert!(!doubtful(
            0,
            Statistics::byte_array(None, None, None, Some(1), OLD)
        ));
        assert!(!doubtful(1, numbers(OLD)));
        assert!(doubtful(2, numbers(OLD)));
        assert!(!doubtful(2, numbers(NEW)));
        assert!(doubtful(3, floats(f64::NAN)));
        assert!(!doubtful(3, floats(2.0)));
    }
}
