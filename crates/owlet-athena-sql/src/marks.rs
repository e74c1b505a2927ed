//! Marks around casts, which let DataFusion tell `sum(a)` from `sum(CAST(a AS double))`: it names calls without their
//! casts and refuses two of one name. The marks are taken off before anything else looks at the plan; names stay.
//! It must never know why a cast is marked.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Result, internal_err};
use datafusion_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use crate::rewriting::map_expressions;

/// `owlet_marked(CAST(x AS t), 't')`.
pub(crate) const MARK: &str = "owlet_marked";

/// The function, for the planner.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(Mark {
        signature: Signature::any(2, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(data_type) => Ok(data_type.clone()),
            None => internal_err!("{MARK} takes arguments"),
        }
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match arguments.arg_fields.first() {
            Some(field) => Ok(Arc::clone(field)),
            None => internal_err!("{MARK} takes arguments"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match arguments.args.into_iter().next() {
            Some(value) => Ok(value),
            None => internal_err!("{MARK} takes arguments"),
        }
    }
}

/// Takes the marks off.
#[derive(Debug)]
struct WithoutMarks;

impl AnalyzerRule for WithoutMarks {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            map_expressions(plan, |expr, _| match expr {
                Expr::ScalarFunction(mut call) if call.func.name() == MARK => {
                    Ok(Transformed::yes(call.args.swap_remove(0)))
                }
                other => Ok(Transformed::no(other)),
            })
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "athena_without_marks"
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(WithoutMarks)
}
