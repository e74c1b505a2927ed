//! Integer arithmetic that fails on overflow instead of wrapping.
//!
//! Plans keep plain operators, because optimizer rules and pushdown recognise those. Constant arithmetic is checked
//! before constants are folded, everything else just before physical planning.
//! It must never know where the numbers come from.

use std::sync::{Arc, LazyLock};

use arrow::array::Datum;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::functions::type_names::sql_name;
use crate::rewriting::{NodeRule, map_expressions};

/// Replaces integer `+`, `-` and `*` by operators that fail on overflow.
pub(crate) fn check(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan
        .transform_up_with_subqueries(|plan| check_plan(plan, Scope::Everything))?
        .data)
}

/// Which expressions are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    /// What constant folding will evaluate.
    Constants,
}

fn check_plan(plan: LogicalPlan, scope: Scope) -> Result<Transformed<LogicalPlan>> {
    if matches!(plan, LogicalPlan::TableScan(_)) && scope == Scope::Everything {
        return Ok(Transformed::no(plan));
    }
    map_expressions(plan, |expr, schema| check_expression(expr, schema, scope))
}

fn check_expression(expr: Expr, schema: &DFSchema, scope: Scope) -> Result<Transformed<Expr>> {
    let function = match &expr {
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Plus, ..
        }) => &ADD,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Minus,
            ..
        }) => &SUBTRACT,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Multiply,
            ..
        }) => &MULTIPLY,
        Expr::Negative(_) => &NEGATE,
        _ => return Ok(Transformed::no(expr)),
    };
    let is_integer = expr
        .get_type(schema)
        .is_ok_and(|data_type| data_type.is_integer());
    if !is_integer || (scope == Scope::Constants && !is_constant(&expr)) {
        return Ok(Transformed::no(expr));
    }
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. })
            if left
                .get_type(schema)
                .is_ok_and(|left| right.get_type(schema).is_ok_and(|right| left == right)) =>
        {
            Transformed::yes(function.call(vec![*left, *right]))
        }
        Expr::Negative(operand) => Transformed::yes(function.call(vec![*operand])),
        other => Transformed::no(other),
    })
}

/// Constant folding will evaluate the expression.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    let mut constant = true;
    let walked = expr.apply(|expr| {
        constant &= match expr {
            Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Negative(_)
            | Expr::Cast(_)
            | Expr::TryCast(_) => true,
            Expr::Case(_) | Expr::Not(_) | Expr::Alias(_) => true,
            // Functions of functions are folded too, with everything inside.
            Expr::LambdaVariable(_) => true,
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            _ => false,
        };
        Ok(if constant {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    walked.is_ok() && constant
}

/// Optimizer rule that stands before constant folding.
pub(crate) const CHECKED_CONSTANTS: NodeRule = NodeRule {
    name: "athena_checked_constants",
    rewrite: |plan| check_plan(plan, Scope::Constants),
};

static ADD: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| checked("owlet_checked_add", Operation::Add));
static SUBTRACT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| checked("owlet_checked_subtract", Operation::Subtract));
static MULTIPLY: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| checked("owlet_checked_multiply", Operation::Multiply));
static NEGATE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| checked("owlet_checked_negate", Operation::Negate));

fn checked(name: &'static str, operation: Operation) -> Arc<ScalarUDF> {
    let arguments = if operation == Operation::Negate { 1 } else { 2 };
    let signature = Signature::any(arguments, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(CheckedOperator {
        name,
        operation,
        signature,
    }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedOperator {
    name: &'static str,
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for CheckedOperator {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(data_type) => Ok(data_type.clone()),
            None => plan_err!("{} takes arguments", self.name),
        }
    }

    /// The field the plain operator has: the plan's schema is already made.
    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Some(first) = arguments.arg_fields.first() else {
            return plan_err!("{} takes arguments", self.name);
        };
        let nullable = arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(
            self.name,
            first.data_type().clone(),
            nullable,
        )))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let data_type = arguments.return_field.data_type().clone();
        let result = match arguments.args.as_slice() {
            [operand] => numeric::neg(operand.to_array(rows)?.as_ref()),
            [left, right] => {
                if is_null(left) || is_null(right) {
                    return Ok(ColumnarValue::Scalar(ScalarValue::try_from(&data_type)?));
                }
                let (left_datum, right_datum) = (datum(left)?, datum(right)?);
                match self.operation {
                    Operation::Subtract => numeric::sub(left_datum.as_ref(), right_datum.as_ref()),
                    Operation::Multiply => numeric::mul(left_datum.as_ref(), right_datum.as_ref()),
                    Operation::Add | Operation::Negate => {
                        numeric::add(left_datum.as_ref(), right_datum.as_ref())
                    }
                }
            }
            _ => return plan_err!("{} takes one or two arguments", self.name),
        };
        let array = result.map_err(|error| match error {
            ArrowError::ArithmeticOverflow(detail) => {
                exec_datafusion_err!(
                    "{} overflow: {}",
                    sql_name(&data_type),
                    detail.trim_start_matches("Overflow happened on: ")
                )
            }
            other => other.into(),
        })?;
        let all_scalar = arguments
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        match all_scalar && array.len() == 1 {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?)),
            false => Ok(ColumnarValue::Array(array)),
        }
    }
}

fn is_null(value: &ColumnarValue) -> bool {
    matches!(value, ColumnarValue::Scalar(scalar) if scalar.is_null())
}

fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}
