//! What is known of a table's rows before they are read. Must never do I/O.

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result as DataFusionResult;
use owlet_connector::RowCount;

/// Bytes assumed for a value whose type does not tell.
const USUAL_VALUE_BYTES: usize = 16;

/// Rows and bytes of a table, for whoever chooses between plans: exact where footers tell, else guessed from a sample, or
/// from the bytes.
pub fn table_size(rows: RowCount, bytes: u64, schema: &Schema) -> Statistics {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let width: usize = schema
        .fields()
        .iter()
        .map(|field| value_bytes(field.data_type()))
        .sum();
    let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    Statistics {
        num_rows: match rows {
            RowCount::Exact(rows) => Precision::Exact(count(rows)),
            RowCount::Estimated(rows) => Precision::Inexact(count(rows)),
            RowCount::Unknown => Precision::Inexact(bytes / width.max(1)),
        },
        total_byte_size: Precision::Inexact(bytes),
        ..Statistics::new_unknown(schema)
    }
}

fn value_bytes(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(USUAL_VALUE_BYTES)
}

/// Statistics of a partition column within one file: one value, or nothing but NULL.
pub fn partition_statistics(value: &ScalarValue, rows: Precision<usize>) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    if value.is_null() {
        statistics.null_count = rows;
        return statistics;
    }
    statistics.null_count = Precision::Exact(0);
    statistics.min_value = Precision::Exact(value.clone());
    statistics.max_value = Precision::Exact(value.clone());
    statistics.distinct_count = Precision::Exact(1);
    statistics
}

/// Statistics of some columns.
pub fn statistics_of(statistics: &Statistics, columns: &[usize]) -> Statistics {
    Statistics {
        num_rows: statistics.num_rows,
        total_byte_size: statistics.total_byte_size,
        column_statistics: columns
            .iter()
            .map(|index| statistics.column_statistics[*index].clone())
            .collect(),
    }
}

/// Statistics of several files.
pub fn merged_statistics(
    files: &[PartitionedFile],
    schema: &SchemaRef,
) -> DataFusionResult<Statistics> {
    Statistics::try_merge_iter(
        files.iter().filter_map(|file| file.statistics.as_deref()),
        schema,
    )
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn rows_are_counted_or_guessed_from_bytes() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("word", DataType::Utf8, true),
        ]);
        let rows = |rows| table_size(rows, 2400, &schema).num_rows;
        assert_eq!(rows(RowCount::Exact(7)), Precision::Exact(7));
        assert_eq!(rows(RowCount::Estimated(8)), Precision::Inexact(8));
        assert_eq!(rows(RowCount::Unknown), Precision::Inexact(100));
    }
}
