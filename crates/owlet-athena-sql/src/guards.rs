//! Conditions protect what stands behind them: in `x <> 0 AND 10 / x > 3`, and in any CASE, what can fail is computed
//! for the rows only that need it. It must never know sources.
//!
//! * DataFusion says a CASE that gives a boolean with AND and OR, whose sides are computed for all rows. Until the plan
//!   is optimized it gives numbers instead ([`ConditionalValues`]); then it is a boolean again ([`restore`]), which
//!   sources can be asked.
//! * In the plan that is executed here, AND and OR become CASE where what follows can fail ([`protect`]). The conditions
//!   of a filter are sorted before: those that cannot fail come first.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Case, Cast};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator, lit};

use crate::arithmetic::is_constant;
use crate::decimals::decimal_digits;
use crate::functions::conversion::cast_operand;
use crate::functions::lambdas::TRY_FUNCTION;
use crate::rewriting::map_expressions;

/// What a boolean is until the plan is optimized.
const DISGUISE: DataType = DataType::Int8;

/// Functions that have a value for all arguments.
const TOTAL_FUNCTIONS: [&str; 34] = [
    "btrim",
    "cardinality",
    "coalesce",
    "concat",
    "contains",
    "date_part",
    "day",
    "day_of_week",
    "day_of_year",
    "ends_with",
    "get_field",
    "greatest",
    "hour",
    "is_finite",
    "is_infinite",
    "is_nan",
    "least",
    "length",
    "lower",
    "ltrim",
    "minute",
    "month",
    "nullif",
    "owlet_try_cast",
    "owlet_unsigned_zero",
    "quarter",
    "reverse",
    "rtrim",
    "second",
    "starts_with",
    "strpos",
    "substr",
    "upper",
    "year",
];

/// Keeps the optimizer from dissolving a CASE whose parts can fail.
#[derive(Debug)]
pub(crate) struct ConditionalValues;

impl AnalyzerRule for ConditionalValues {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            map_expressions(plan, |expr, schema| Ok(disguise(expr, schema)))
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "athena_conditional_values"
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(ConditionalValues)
}

fn disguise(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::Case(case)
            if case.expr.is_none()
                && case
                    .when_then_expr
                    .first()
                    .is_some_and(|(_, then)| is_boolean(then, schema))
                && can_fail(&Expr::Case(case.clone()), schema) =>
        {
            let numbers = with_results(case, |result| {
                Expr::Cast(Cast::new(Box::new(result), DISGUISE))
            });
            Transformed::yes(Expr::Cast(Cast::new(
                Box::new(Expr::Case(numbers)),
                DataType::Boolean,
            )))
        }
        // The optimizer would move the comparison into the CASE, which gives a boolean then.
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Eq | Operator::NotEq)
                && (is_case_of_constants(&left) && is_constant(&right)
                    || is_constant(&left) && is_case_of_constants(&right)) =>
        {
            let (case, constant) = match (*left, *right) {
                (Expr::Case(case), constant) | (constant, Expr::Case(case)) => (case, constant),
                (left, right) => {
                    let (left, right) = (Box::new(left), Box::new(right));
                    return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
                }
            };
            let compared = with_results(case, |result| {
                let constant = Box::new(constant.clone());
                Expr::BinaryExpr(BinaryExpr::new(Box::new(result), op, constant))
            });
            Transformed::yes(disguise(Expr::Case(compared), schema).data)
        }
        other => Transformed::no(other),
    }
}

fn is_case_of_constants(expr: &Expr) -> bool {
    let Expr::Case(case) = expr else {
        return false;
    };
    let mut results = case.when_then_expr.iter().map(|(_, then)| then);
    case.expr.is_none()
        && results.all(|then| is_constant(then))
        && case
            .else_expr
            .iter()
            .all(|otherwise| is_constant(otherwise))
}

fn with_results(case: Case, mut change: impl FnMut(Expr) -> Expr) -> Case {
    let branches = case.when_then_expr.into_iter();
    Case {
        expr: case.expr,
        when_then_expr: branches
            .map(|(when, then)| (when, Box::new(change(*then))))
            .collect(),
        else_expr: case.else_expr.map(|otherwise| Box::new(change(*otherwise))),
    }
}

fn is_boolean(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Boolean))
}

/// After the optimizer and before anything is asked of a source: each CASE as it was written.
pub fn restore_conditions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let restored = plan.transform_up_with_subqueries(|plan| {
        map_expressions(plan, |expr, schema| Ok(restore(expr, schema)))
    })?;
    Ok(restored.data)
}

fn restore(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::Cast(Cast { expr: inner, field }) = expr else {
        return Transformed::no(expr);
    };
    let is_disguised = *field.data_type() == DataType::Boolean
        && inner.get_type(schema).is_ok_and(|own| own == DISGUISE);
    match *inner {
        Expr::Case(case) if is_disguised => {
            let case = with_results(case, |result| undisguised(result, schema));
            Transformed::yes(Expr::Case(case))
        }
        other => Transformed::no(Expr::Cast(Cast {
            expr: Box::new(other),
            field,
        })),
    }
}

fn undisguised(result: Expr, schema: &DFSchema) -> Expr {
    match result {
        Expr::Literal(ScalarValue::Int8(value), metadata) => {
            let value = value.map(|value| value != 0);
            Expr::Literal(ScalarValue::Boolean(value), metadata)
        }
        Expr::Cast(Cast { expr, .. }) if is_boolean(&expr, schema) => *expr,
        other => Expr::Cast(Cast::new(Box::new(other), DataType::Boolean)),
    }
}

/// For the plan that is executed here.
pub(crate) fn protect(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(protect_plan)?.data)
}

fn protect_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::TableScan(_) => Ok(Transformed::no(plan)),
        LogicalPlan::Filter(filter) => protect_filter(filter),
        other => map_expressions(other, |expr, schema| Ok(protect_logic(expr, schema))),
    }
}

/// Of the conditions of a filter all must hold, in whatever order.
fn protect_filter(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(filter.input.schema());
    if !can_fail(&filter.predicate, &schema) {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let conditions = split_conjunction_owned(filter.predicate)
        .into_iter()
        .map(|condition| {
            let protected = condition.transform_up(|expr| Ok(protect_logic(expr, &schema)))?;
            Ok(protected.data)
        })
        .collect::<Result<Vec<_>>>()?;
    let (mut failing, safe): (Vec<_>, Vec<_>) = conditions
        .into_iter()
        .partition(|condition| can_fail(condition, &schema));
    let first = conjunction(safe);
    let mut predicate = failing.pop();
    for condition in failing.into_iter().rev().chain(first) {
        predicate = Some(match predicate {
            None => condition,
            Some(next) => Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(Box::new(condition), Box::new(next))],
                else_expr: Some(Box::new(lit(false))),
            }),
        });
    }
    let filter = Filter::try_new(predicate.unwrap_or_else(|| lit(true)), filter.input)?;
    Ok(Transformed::yes(LogicalPlan::Filter(filter)))
}

/// `a AND b` where b can fail: b is computed where a does not decide, and counts as AND says, also where a is unknown.
fn protect_logic(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: op @ (Operator::And | Operator::Or),
        right,
    }) = expr
    else {
        return Transformed::no(expr);
    };
    if !can_fail(&right, schema) {
        return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
    }
    let deciding = op == Operator::Or;
    let unless_decided = Expr::Case(Case {
        expr: Some(right.clone()),
        when_then_expr: vec![(Box::new(lit(deciding)), Box::new(lit(deciding)))],
        else_expr: None,
    });
    Transformed::yes(Expr::Case(Case {
        expr: Some(left),
        when_then_expr: vec![
            (Box::new(lit(deciding)), Box::new(lit(deciding))),
            (Box::new(lit(!deciding)), right),
        ],
        else_expr: Some(Box::new(unless_decided)),
    }))
}

/// The expression may be an error for some row.
fn can_fail(expr: &Expr, schema: &DFSchema) -> bool {
    let mut fails = false;
    let walked = expr.apply(|part| {
        if matches!(part, Expr::HigherOrderFunction(call) if call.func.name() == TRY_FUNCTION) {
            return Ok(TreeNodeRecursion::Jump);
        }
        fails |= fails_itself(part, schema);
        Ok(match fails {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    walked.is_err() || fails
}

/// The expression may be an error though its operands are none.
fn fails_itself(expr: &Expr, schema: &DFSchema) -> bool {
    let is_floating = |expr: &Expr| {
        expr.get_type(schema)
            .is_ok_and(|data_type| data_type.is_floating())
    };
    let cast_fails = |operand: &Expr, target: &DataType| {
        !operand
            .get_type(schema)
            .is_ok_and(|own| is_total_cast(&own, target))
    };
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) => match op {
            Operator::Plus | Operator::Minus | Operator::Multiply => !is_floating(expr),
            Operator::Divide | Operator::Modulo => !is_floating(expr) && !is_positive(right),
            _ => false,
        },
        Expr::Cast(Cast { expr, field }) => cast_fails(expr, field.data_type()),
        Expr::ScalarFunction(call) => match (cast_operand(expr), expr.get_type(schema)) {
            (Some(operand), Ok(target)) => cast_fails(operand, &target),
            // A pattern that is none fails for all rows.
            _ if call.func.name() == "regexp_like" => {
                !matches!(call.args[1..], [Expr::Literal(..)])
            }
            _ => !TOTAL_FUNCTIONS.contains(&call.func.name()),
        },
        Expr::HigherOrderFunction(_) => true,
        _ => false,
    }
}

fn is_positive(divisor: &Expr) -> bool {
    let Expr::Literal(value, _) = divisor else {
        return false;
    };
    let zero = ScalarValue::new_zero(&value.data_type());
    zero.is_ok_and(|zero| *value > zero)
}

/// The target has a value for each value of the source.
fn is_total_cast(source: &DataType, target: &DataType) -> bool {
    use DataType as T;
    if source == target || source.is_null() {
        return true;
    }
    match (source, target) {
        (source, T::Utf8 | T::LargeUtf8 | T::Utf8View) => {
            source.is_string()
                || source.is_numeric()
                || source.is_temporal()
                || *source == T::Boolean
        }
        (T::Boolean, target) => target.is_integer(),
        (T::Float32, T::Float64) => true,
        (source, T::Float32 | T::Float64) => source.is_integer() || source.is_decimal(),
        (source, target) if source.is_signed_integer() && target.is_signed_integer() => {
            source.primitive_width() <= target.primitive_width()
        }
        (source, T::Decimal128(precision, scale) | T::Decimal256(precision, scale)) => {
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            decimal_digits(source).is_some_and(|(own_precision, own_scale)| {
                own_scale <= *scale && whole(own_precision, own_scale) <= whole(*precision, *scale)
            })
        }
        (T::Date32 | T::Timestamp(..), T::Timestamp(unit, _)) => *unit != TimeUnit::Nanosecond,
        (T::Timestamp(..), T::Date32 | T::Time32(_) | T::Time64(_)) => true,
        (T::Time32(_) | T::Time64(_), T::Time32(_) | T::Time64(_)) => true,
        _ => false,
    }
}
