//! Arithmetic whose result must fit: integers fail on overflow instead of wrapping, decimals fail beyond the digits of
//! their planned type, and sums of intervals are canonical.
//!
//! Plans keep plain operators, because optimizer rules and pushdown recognise those. Constant arithmetic is checked
//! before constants are folded, everything else just before physical planning.
//! It must never know where the numbers come from.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{
    DFSchema, DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err,
};
use datafusion_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::decimals;
use crate::functions::type_names::sql_name;
use crate::intervals::{self, INTERVAL};
use crate::rewriting::{NodeRule, map_expressions};

/// Replaces `+`, `-` and `*` by operators whose results fit.
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
    if scope == Scope::Constants && !is_constant(&expr) {
        return Ok(Transformed::no(expr));
    }
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_checked(op, &left, &right, schema) =>
        {
            Transformed::yes(function.call(vec![*left, *right]))
        }
        Expr::Negative(operand)
            if operand
                .get_type(schema)
                .is_ok_and(|data_type| data_type.is_integer()) =>
        {
            Transformed::yes(function.call(vec![*operand]))
        }
        other => Transformed::no(other),
    })
}

/// The plain operator may give what does not fit or is not canonical.
fn is_checked(op: Operator, left: &Expr, right: &Expr, schema: &DFSchema) -> bool {
    let (Ok(left), Ok(right)) = (left.get_type(schema), right.get_type(schema)) else {
        return false;
    };
    match (&left, &right) {
        (left, right) if left.is_integer() => left == right,
        (&INTERVAL, &INTERVAL) => op != Operator::Multiply,
        _ => decimals::may_overflow(op, &left, &right),
    }
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

impl Operation {
    fn operator(self) -> Operator {
        match self {
            Self::Add => Operator::Plus,
            Self::Subtract | Self::Negate => Operator::Minus,
            Self::Multiply => Operator::Multiply,
        }
    }

    fn apply(self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Subtract => numeric::sub(left, right),
            Self::Multiply => numeric::mul(left, right),
            Self::Add | Self::Negate => numeric::add(left, right),
        }
    }
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
        let data_type = match arguments.arg_fields {
            [left, right] if left.data_type().is_decimal() => {
                let (left, right) = (left.data_type(), right.data_type());
                BinaryTypeCoercer::new(left, &self.operation.operator(), right).get_result_type()?
            }
            _ => first.data_type().clone(),
        };
        Ok(Arc::new(Field::new(self.name, data_type, nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let data_type = arguments.return_field.data_type().clone();
        let result = match arguments.args.as_slice() {
            [operand] => numeric::neg(operand.to_array(rows)?.as_ref())
                .map_err(|error| overflow(error, &data_type)),
            [left, right] => {
                if is_null(left) || is_null(right) {
                    return Ok(ColumnarValue::Scalar(ScalarValue::try_from(&data_type)?));
                }
                let (left_datum, right_datum) = (datum(left)?, datum(right)?);
                let result = self
                    .operation
                    .apply(left_datum.as_ref(), right_datum.as_ref());
                match &data_type {
                    decimal if decimal.is_decimal() => match result {
                        Ok(array) if decimals::all_fit(&array) => Ok(array),
                        Ok(_) | Err(ArrowError::ArithmeticOverflow(_)) => {
                            let operands = [left.to_array(rows)?, right.to_array(rows)?];
                            Err(decimal_overflow(self.operation, &operands, &data_type))
                        }
                        Err(error) => Err(error.into()),
                    },
                    &INTERVAL => match result {
                        Ok(array) => intervals::canonical_array(&array),
                        Err(ArrowError::ArithmeticOverflow(_)) => Err(intervals::out_of_range()),
                        Err(error) => Err(error.into()),
                    },
                    _ => result.map_err(|error| overflow(error, &data_type)),
                }
            }
            _ => return plan_err!("{} takes one or two arguments", self.name),
        };
        let array = result?;
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

fn overflow(error: ArrowError, data_type: &DataType) -> DataFusionError {
    match error {
        ArrowError::ArithmeticOverflow(detail) => exec_datafusion_err!(
            "{} overflow: {}",
            sql_name(data_type),
            detail.trim_start_matches("Overflow happened on: ")
        ),
        other => other.into(),
    }
}

/// The error for the first row whose result has too many digits.
fn decimal_overflow(
    operation: Operation,
    operands: &[ArrayRef; 2],
    data_type: &DataType,
) -> DataFusionError {
    let [left, right] = operands;
    let overflows = |row: &usize| {
        let (left, right) = (left.slice(*row, 1), right.slice(*row, 1));
        !operation
            .apply(&left, &right)
            .is_ok_and(|result| decimals::all_fit(&result))
    };
    let value = |operand: &ArrayRef, row| array_value_to_string(operand, row).unwrap_or_default();
    let row = (0..left.len()).find(overflows).unwrap_or(0);
    exec_datafusion_err!(
        "decimal overflow: {} {} {} does not fit into {}; CAST the operands to decimals of fewer digits, or to double",
        value(left, row),
        operation.operator(),
        value(right, row),
        sql_name(data_type)
    )
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
