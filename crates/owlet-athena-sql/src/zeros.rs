//! -0.0 and 0.0 are equal numbers with different bits. Where DataFusion compares bits (IN lists, CASE with an operand,
//! partitions and peers of windows), both become 0.0. It must never know where the numbers come from.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion_common::tree_node::Transformed;
use datafusion_common::utils::{normalize_float_zero, normalize_float_zero_scalar};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF};

use crate::arithmetic::{Scope, is_constant};
use crate::functions::scalar::Kind::Any;
use crate::functions::scalar::Overload::Exact;
use crate::functions::scalar::{function, returns};
use crate::rewriting::{NodeRule, map_expressions};

static UNSIGNED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_unsigned_zero"],
        &[Exact(&[Any])],
        returns::first,
        |call| Ok(normalize_float_zero(&call.arrays[0])),
    ))
});

/// For the plan that is executed here: a source has no bits to compare.
pub(crate) fn equalize(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan
        .transform_up_with_subqueries(|plan| rewrite_plan(plan, Scope::Everything))?
        .data)
}

fn rewrite_plan(plan: LogicalPlan, scope: Scope) -> Result<Transformed<LogicalPlan>> {
    if matches!(plan, LogicalPlan::TableScan(_)) {
        return Ok(Transformed::no(plan));
    }
    map_expressions(plan, |expr, schema| {
        Ok(rewrite_expression(expr, schema, scope))
    })
}

fn rewrite_expression(expr: Expr, schema: &DFSchema, scope: Scope) -> Transformed<Expr> {
    let is_in_scope = |expr: &Expr| scope == Scope::Everything || is_constant(expr);
    let is_float = |expr: &Expr| {
        let data_type = expr.get_type(schema);
        data_type.is_ok_and(|data_type| is_float(&data_type))
    };
    match expr {
        Expr::InList(mut list)
            if is_float(&list.expr)
                && list.list.iter().any(may_be_zero)
                && is_in_scope(&list.expr)
                && list.list.iter().all(is_in_scope) =>
        {
            unsign(&mut list.expr);
            list.list.iter_mut().for_each(unsign);
            Transformed::yes(Expr::InList(list))
        }
        Expr::Case(case)
            if scope == Scope::Constants && !is_constant(&Expr::Case(case.clone())) =>
        {
            Transformed::no(Expr::Case(case))
        }
        Expr::Case(mut case) => {
            let Some(operand) = case.expr.as_mut().filter(|operand| is_float(operand)) else {
                return Transformed::no(Expr::Case(case));
            };
            unsign(operand);
            for (when, _) in &mut case.when_then_expr {
                unsign(when);
            }
            Transformed::yes(Expr::Case(case))
        }
        Expr::WindowFunction(mut call) if scope == Scope::Everything => {
            let keys = call.params.partition_by.iter_mut();
            let order = call.params.order_by.iter_mut().map(|key| &mut key.expr);
            let mut changed = false;
            for key in keys.chain(order).filter(|key| is_float(key)) {
                unsign(key);
                changed = true;
            }
            Transformed::new_transformed(Expr::WindowFunction(call), changed)
        }
        other => Transformed::no(other),
    }
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn may_be_zero(item: &Expr) -> bool {
    match item {
        Expr::Literal(ScalarValue::Float32(value), _) => *value == Some(0.0),
        Expr::Literal(ScalarValue::Float64(value), _) => *value == Some(0.0),
        Expr::Literal(..) => false,
        _ => true,
    }
}

fn unsign(expr: &mut Expr) {
    let taken = std::mem::take(expr);
    *expr = match taken {
        Expr::Literal(value, metadata) => {
            Expr::Literal(normalize_float_zero_scalar(value), metadata)
        }
        Expr::ScalarFunction(call) if call.func == *UNSIGNED => Expr::ScalarFunction(call),
        other => UNSIGNED.call(vec![other]),
    };
}

/// Optimizer rule that stands before constant folding.
pub(crate) const CONSTANT_ZEROS: NodeRule = NodeRule {
    name: "athena_constant_zeros",
    rewrite: |plan| rewrite_plan(plan, Scope::Constants),
};
