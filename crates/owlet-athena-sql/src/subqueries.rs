//! Analyzer rule: a correlated scalar subquery that may find several rows collects at most two values, and the outer
//! query takes the only one or fails. DataFusion plans nothing but aggregates there. It must never know sources.
//!
//! The values are looked at in the outer query, because the subquery is computed for keys that no outer row has.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, Result, exec_err, internal_err};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::{
    ColumnarValue, Expr, Filter, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Subquery, Volatility,
};

use crate::functions::aggregates::first_two_values;

/// Rewrites the subqueries.
#[derive(Debug)]
pub(crate) struct ScalarSubqueries;

impl AnalyzerRule for ScalarSubqueries {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_plan)?.data)
    }

    fn name(&self) -> &str {
        "athena_scalar_subqueries"
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(ScalarSubqueries)
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|inner| match inner {
            Expr::ScalarSubquery(subquery) if may_find_several_rows(&subquery) => {
                Ok(Transformed::yes(only_value_of(subquery)?))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.map_data(LogicalPlan::recompute_schema)
}

/// It is correlated, and neither an aggregate nor a limit promises a single row.
fn may_find_several_rows(subquery: &Subquery) -> bool {
    let plan = subquery.subquery.as_ref();
    !subquery.outer_ref_columns.is_empty()
        && plan.schema().fields().len() == 1
        && !is_aggregate(plan)
        && plan.max_rows().is_none_or(|rows| rows > 1)
}

fn is_aggregate(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::Projection(projection) => is_aggregate(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_aggregate(&alias.input),
        LogicalPlan::Filter(Filter { input, .. }) => is_aggregate(input),
        _ => false,
    }
}

fn only_value_of(subquery: Subquery) -> Result<Expr> {
    let plan = subquery.subquery.as_ref().clone();
    let value = Expr::Column(Column::from(plan.schema().qualified_field(0)));
    let no_groups: [Expr; 0] = [];
    let collected = LogicalPlanBuilder::from(plan)
        .aggregate(no_groups, [first_two_values().call(vec![value])])?
        .build()?;
    let subquery = subquery.with_plan(Arc::new(collected));
    Ok(ScalarUDF::new_from_impl(OnlyValue::new()).call(vec![Expr::ScalarSubquery(subquery)]))
}

/// The only element of a list, NULL of an empty one; an error if there are more.
#[derive(Debug)]
struct OnlyValue {
    signature: Signature,
}

impl OnlyValue {
    fn new() -> Self {
        Self {
            // A predicate that is not volatile would be tried on rows which the outer query does not have.
            signature: Signature::any(1, Volatility::Volatile),
        }
    }
}

impl PartialEq for OnlyValue {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for OnlyValue {}

impl Hash for OnlyValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl ScalarUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        "only_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::List(element)] => Ok(element.data_type().clone()),
            other => internal_err!("only_value takes a list, not {other:?}"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        Ok(ColumnarValue::Array(only_values(&arrays[0])?))
    }
}

fn only_values(lists: &ArrayRef) -> Result<ArrayRef> {
    let Some(lists) = lists.as_list_opt::<i32>() else {
        return internal_err!("only_value takes a list, not {}", lists.data_type());
    };
    let mut positions: Vec<Option<u32>> = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let length = if lists.is_null(row) {
            0
        } else {
            lists.value_length(row)
        };
        positions.push(match length {
            0 => None,
            1 => u32::try_from(lists.value_offsets()[row]).ok(),
            _ => {
                return exec_err!(
                    "a scalar subquery found more than one row for a row of the outer query; use IN, or make \
                     it one value with max, min or arbitrary"
                );
            }
        });
    }
    Ok(take(lists.values(), &UInt32Array::from(positions), None)?)
}
