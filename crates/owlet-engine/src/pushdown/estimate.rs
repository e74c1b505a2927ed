//! How many rows and bytes a logical plan yields, from the sources' statistics. Pure; rough by nature: it only
//! decides between plans that give the same answer.

use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, FetchType, JoinType, LogicalPlan, Operator, SkipType, TableScan,
};
use owlet_connector::{ColumnMetadata, RowCount};

use crate::catalogs::SourceTable;
use crate::scan::node::RemoteScan;

/// Rows assumed for a table nobody counted.
const UNKNOWN_TABLE_ROWS: f64 = 100_000.0;
/// Selectivities where nothing better is known (the usual textbook values).
const EQUALITY: f64 = 0.01;
const RANGE: f64 = 0.33;
const PATTERN: f64 = 0.1;
const OTHER: f64 = 0.25;

/// An estimate of a plan's output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Number of rows.
    pub rows: f64,
    /// Total bytes.
    pub bytes: f64,
}

/// Estimates the output of a plan.
pub fn estimate(plan: &LogicalPlan) -> Estimate {
    let rows = rows(plan).max(0.0);
    let width: f64 = (0..plan.schema().fields().len())
        .map(|index| column_width(plan, index))
        .sum();
    Estimate {
        rows,
        bytes: rows * width.max(1.0),
    }
}

fn rows(plan: &LogicalPlan) -> f64 {
    match plan {
        LogicalPlan::TableScan(scan) => table_rows(scan),
        LogicalPlan::Extension(extension) => extension
            .node
            .as_any()
            .downcast_ref::<RemoteScan>()
            .and_then(|remote| remote.scan.plan.estimate.rows_returned)
            .unwrap_or(UNKNOWN_TABLE_ROWS),
        LogicalPlan::Filter(filter) => {
            let selectivity: f64 = split_conjunction(&filter.predicate)
                .into_iter()
                .map(|conjunct| selectivity(conjunct, &filter.input))
                .product();
            rows(&filter.input) * selectivity
        }
        LogicalPlan::Join(join) => {
            let left = rows(&join.left);
            let right = rows(&join.right);
            let matches = if join.on.is_empty() {
                left * right
            } else {
                let key_values = join
                    .on
                    .iter()
                    .map(|(left_key, right_key)| {
                        let left_values = distinct(left_key, &join.left).unwrap_or(left);
                        let right_values = distinct(right_key, &join.right).unwrap_or(right);
                        left_values.min(left).max(right_values.min(right)).max(1.0)
                    })
                    .fold(1.0, f64::max);
                left * right / key_values
            };
            match join.join_type {
                JoinType::Inner => matches,
                JoinType::Left => matches.max(left),
                JoinType::Right => matches.max(right),
                JoinType::Full => matches.max(left + right),
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
            }
        }
        LogicalPlan::Aggregate(aggregate) => {
            let input = rows(&aggregate.input);
            if aggregate.group_expr.is_empty() {
                return 1.0;
            }
            let groups: f64 = aggregate
                .group_expr
                .iter()
                .map(|key| distinct(key, &aggregate.input).unwrap_or_else(|| input.sqrt().max(1.0)))
                .product();
            groups.min(input)
        }
        LogicalPlan::Sort(sort) => match sort.fetch {
            Some(fetch) => rows(&sort.input).min(fetch as f64),
            None => rows(&sort.input),
        },
        LogicalPlan::Limit(limit) => {
            let input = rows(&limit.input);
            let skip = match limit.get_skip_type() {
                Ok(SkipType::Literal(skip)) => skip as f64,
                _ => 0.0,
            };
            match limit.get_fetch_type() {
                Ok(FetchType::Literal(Some(fetch))) => (input - skip).max(0.0).min(fetch as f64),
                _ => (input - skip).max(0.0),
            }
        }
        LogicalPlan::Values(values) => values.values.len() as f64,
        LogicalPlan::EmptyRelation(empty) => f64::from(u8::from(empty.produce_one_row)),
        LogicalPlan::Union(union) => union.inputs.iter().map(|input| rows(input)).sum(),
        other => other.inputs().into_iter().map(rows).fold(1.0, f64::max),
    }
}

fn table_rows(scan: &TableScan) -> f64 {
    if let Some(table) = SourceTable::of(scan) {
        return match table.metadata.rows {
            RowCount::Unknown => UNKNOWN_TABLE_ROWS,
            RowCount::Estimated(rows) | RowCount::Exact(rows) => rows as f64,
        };
    }
    let statistics = source_as_provider(&scan.source)
        .ok()
        .and_then(|provider| provider.statistics());
    match statistics.map(|statistics| statistics.num_rows) {
        Some(Precision::Exact(rows) | Precision::Inexact(rows)) => rows as f64,
        _ => UNKNOWN_TABLE_ROWS,
    }
}

/// Share of rows for which a conjunct is true.
fn selectivity(conjunct: &Expr, input: &LogicalPlan) -> f64 {
    match conjunct {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq => {
                let values =
                    distinct(&binary.left, input).or_else(|| distinct(&binary.right, input));
                values.map_or(EQUALITY, |values| 1.0 / values.max(1.0))
            }
            Operator::NotEq => 0.9,
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => RANGE,
            Operator::And => selectivity(&binary.left, input) * selectivity(&binary.right, input),
            Operator::Or => {
                (selectivity(&binary.left, input) + selectivity(&binary.right, input)).min(1.0)
            }
            _ => OTHER,
        },
        Expr::InList(list) => {
            let each = distinct(&list.expr, input).map_or(EQUALITY, |values| 1.0 / values.max(1.0));
            let inside = (each * list.list.len() as f64).min(1.0);
            if list.negated { 1.0 - inside } else { inside }
        }
        Expr::Between(_) => RANGE / 2.0,
        Expr::Like(like) => {
            if like.negated {
                1.0 - PATTERN
            } else {
                PATTERN
            }
        }
        Expr::IsNull(_) => 0.1,
        Expr::IsNotNull(_) => 0.9,
        Expr::Not(operand) => (1.0 - selectivity(operand, input)).clamp(0.05, 1.0),
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
        Expr::Literal(_, _) => 0.0,
        _ => OTHER,
    }
}

/// Number of distinct values of an expression, where a source's statistics tell.
fn distinct(expr: &Expr, plan: &LogicalPlan) -> Option<f64> {
    match expr {
        Expr::Alias(alias) => distinct(&alias.expr, plan),
        Expr::Cast(cast) => distinct(&cast.expr, plan),
        Expr::Column(column) => {
            let (table, metadata) = origin(column, plan)?;
            let known = metadata.statistics.distinct.map(|values| values as f64);
            known.or_else(|| {
                let is_key = table.metadata.primary_key.len() == 1
                    && table
                        .metadata
                        .columns
                        .get(table.metadata.primary_key[0])
                        .is_some_and(|key| key.name == metadata.name);
                is_key
                    .then(|| table.metadata.rows.value().map(|rows| rows as f64))
                    .flatten()
            })
        }
        Expr::Literal(_, _) => Some(1.0),
        _ => None,
    }
}

/// The table column an output column comes from, if it is passed through unchanged.
fn origin<'a>(
    column: &Column,
    plan: &'a LogicalPlan,
) -> Option<(&'a SourceTable, &'a ColumnMetadata)> {
    let index = plan.schema().maybe_index_of_column(column)?;
    origin_at(index, plan)
}

fn origin_at(index: usize, plan: &LogicalPlan) -> Option<(&SourceTable, &ColumnMetadata)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let table = SourceTable::of(scan)?;
            let position = match &scan.projection {
                Some(projection) => *projection.get(index)?,
                None => index,
            };
            Some((table, table.column(position)?))
        }
        LogicalPlan::Filter(filter) => origin_at(index, &filter.input),
        LogicalPlan::Sort(sort) => origin_at(index, &sort.input),
        LogicalPlan::Limit(limit) => origin_at(index, &limit.input),
        LogicalPlan::SubqueryAlias(alias) => origin_at(index, &alias.input),
        LogicalPlan::Projection(projection) => match projection.expr.get(index)? {
            Expr::Column(column) => origin(column, &projection.input),
            Expr::Alias(alias) => match alias.expr.as_ref() {
                Expr::Column(column) => origin(column, &projection.input),
                _ => None,
            },
            _ => None,
        },
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.get(index)? {
            Expr::Column(column) => origin(column, &aggregate.input),
            _ => None,
        },
        LogicalPlan::Join(join) => {
            let left_columns = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => origin_at(index, &join.right),
                _ if index < left_columns => origin_at(index, &join.left),
                _ => origin_at(index - left_columns, &join.right),
            }
        }
        _ => None,
    }
}

/// Average width in bytes of an output column.
fn column_width(plan: &LogicalPlan, index: usize) -> f64 {
    let known = origin_at(index, plan).and_then(|(_, metadata)| metadata.statistics.width);
    match known {
        Some(width) => width as f64,
        None => type_width(plan.schema().field(index).data_type()),
    }
}

fn type_width(data_type: &DataType) -> f64 {
    match data_type {
        DataType::Null => 0.0,
        DataType::Boolean | DataType::Int8 | DataType::UInt8 => 1.0,
        DataType::Int16 | DataType::UInt16 => 2.0,
        DataType::Int32 | DataType::UInt32 | DataType::Float32 | DataType::Date32 => 4.0,
        DataType::Decimal128(_, _) | DataType::Interval(_) => 16.0,
        DataType::Decimal256(_, _) => 32.0,
        data_type if data_type.is_primitive() => 8.0,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 24.0,
        _ => 64.0,
    }
}
