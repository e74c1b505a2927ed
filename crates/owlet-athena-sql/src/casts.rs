//! Analyzer rule: casts that Arrow answers differently than Athena become functions of this crate; all others stay
//! plain casts, which a source can be asked to do. It must never know sources.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::expr::{Cast, TryCast};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};

use crate::functions::conversion::{BYTES_AS_TEXT, OnError, cast_expression, differs};
use crate::rewriting::map_expressions;

/// Rewrites casts.
#[derive(Debug)]
pub(crate) struct AthenaCasts;

impl AnalyzerRule for AthenaCasts {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_plan)?.data)
    }

    fn name(&self) -> &str {
        "athena_casts"
    }
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    map_expressions(plan, rewrite_expression)?.map_data(LogicalPlan::recompute_schema)
}

fn rewrite_expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (operand, target, on_error) = match expr {
        Expr::Cast(Cast { expr, field }) => (expr, field, OnError::Fail),
        Expr::TryCast(TryCast { expr, field }) => (expr, field, OnError::Null),
        other => return Ok(Transformed::no(other)),
    };
    let source = operand.to_field(schema).map(|(_, field)| field);
    if let Ok(source) = &source {
        refuse_bytes_as_text(source.data_type(), target.data_type())?;
    }
    if source.is_ok_and(|source| differs(&source, &target, on_error)) {
        return Ok(Transformed::yes(cast_expression(
            *operand, &target, on_error,
        )));
    }
    Ok(Transformed::no(match on_error {
        OnError::Fail => Expr::Cast(Cast {
            expr: operand,
            field: target,
        }),
        OnError::Null => Expr::TryCast(TryCast {
            expr: operand,
            field: target,
        }),
    }))
}

/// Arrow would take them for UTF-8.
fn refuse_bytes_as_text(source: &DataType, target: &DataType) -> Result<()> {
    match source {
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_)
            if target.is_string() =>
        {
            plan_err!("{BYTES_AS_TEXT}")
        }
        _ => Ok(()),
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(AthenaCasts)
}
