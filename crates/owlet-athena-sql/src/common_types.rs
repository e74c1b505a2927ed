//! Analyzer rule, before types are made equal: what values of different types become where they meet in a comparison,
//! a CASE, a set operation or a function. It must never know sources.
//!
//! * A date beside a timestamp becomes a timestamp of that one's unit. DataFusion would take nanoseconds, which end in
//!   2262 and began in 1677: `coalesce(valid_to, now())` has no room for `DATE '9999-12-31'` then.
//! * A decimal beside a double becomes a double, as in Athena. DataFusion would make both a decimal of 15 digits after
//!   the point, for which `1e-20` is 0 and `1e15` too large.
//! * Times of day take the finest of their units; DataFusion finds none for `time(6)` beside `time(3)`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, Result};
use datafusion_expr::expr::{Cast, InSubquery};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Union,
};

use crate::rewriting::map_expressions;

/// Functions whose arguments get one type; lists get it for their elements.
const ALIKE: [&str; 14] = [
    "array_except",
    "array_intersect",
    "array_position",
    "array_remove",
    "array_union",
    "arrays_overlap",
    "coalesce",
    "contains",
    "greatest",
    "if",
    "least",
    "make_array",
    "nullif",
    "nvl",
];

/// Gives values that meet one type.
#[derive(Debug)]
pub(crate) struct CommonTypes;

impl AnalyzerRule for CommonTypes {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_plan)?.data)
    }

    fn name(&self) -> &str {
        "athena_common_types"
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(CommonTypes)
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Union(union) => return rewrite_union(union),
        LogicalPlan::Join(join) => LogicalPlan::Join(with_equal_keys(join)?),
        other => other,
    };
    let rewritten = map_expressions(plan, rewrite_expression)?;
    if !rewritten.transformed {
        return Ok(rewritten);
    }
    rewritten.map_data(LogicalPlan::recompute_schema)
}

fn rewrite_expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if op.supports_propagation()
                || matches!(op, Operator::NotEq | Operator::Minus)
                || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) =>
        {
            let mut operands = [left, right];
            let changed = equalize(operands.iter_mut().map(AsMut::as_mut).collect(), schema)?;
            let [left, right] = operands;
            let expr = Expr::BinaryExpr(BinaryExpr::new(left, op, right));
            Ok(Transformed::new_transformed(expr, changed))
        }
        Expr::InList(mut list) => {
            let mut operands = vec![list.expr.as_mut()];
            operands.extend(&mut list.list);
            let changed = equalize(operands, schema)?;
            Ok(Transformed::new_transformed(Expr::InList(list), changed))
        }
        Expr::Between(mut between) => {
            let operands = vec![
                between.expr.as_mut(),
                between.low.as_mut(),
                between.high.as_mut(),
            ];
            let changed = equalize(operands, schema)?;
            Ok(Transformed::new_transformed(
                Expr::Between(between),
                changed,
            ))
        }
        Expr::Case(mut case) => {
            let mut changed = false;
            if let Some(base) = &mut case.expr {
                let mut operands = vec![base.as_mut()];
                operands.extend(
                    case.when_then_expr
                        .iter_mut()
                        .map(|(when, _)| when.as_mut()),
                );
                changed |= equalize(operands, schema)?;
            }
            let mut results: Vec<&mut Expr> = case
                .when_then_expr
                .iter_mut()
                .map(|(_, then)| then.as_mut())
                .collect();
            results.extend(case.else_expr.iter_mut().map(AsMut::as_mut));
            changed |= equalize(results, schema)?;
            Ok(Transformed::new_transformed(Expr::Case(case), changed))
        }
        Expr::ScalarFunction(mut call) if ALIKE.contains(&call.func.name()) => {
            let changed = equalize(call.args.iter_mut().collect(), schema)?;
            Ok(Transformed::new_transformed(
                Expr::ScalarFunction(call),
                changed,
            ))
        }
        Expr::InSubquery(set) => in_subquery(set, schema),
        other => Ok(Transformed::no(other)),
    }
}

fn in_subquery(mut set: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let members = set.subquery.subquery.as_ref().clone();
    let member = members.schema().field(0).data_type().clone();
    let own = set.expr.get_type(schema)?;
    let Some(target) = common(&[own.clone(), member.clone()]) else {
        return Ok(Transformed::no(Expr::InSubquery(set)));
    };
    *set.expr = as_type(std::mem::take(set.expr.as_mut()), &own, &target);
    if with_target(&member, &target) != member {
        let (qualifier, field) = members.schema().qualified_field(0);
        let (qualifier, name) = (qualifier.cloned(), field.name().clone());
        let column = Expr::Column(Column::new(qualifier.clone(), name.clone()));
        let converted = as_type(column, &member, &target).alias_qualified(qualifier, name);
        let members = LogicalPlanBuilder::from(members)
            .project([converted])?
            .build()?;
        set.subquery = set.subquery.with_plan(Arc::new(members));
    }
    Ok(Transformed::yes(Expr::InSubquery(set)))
}

/// The keys belong to the two sides, so they are not seen as one comparison.
fn with_equal_keys(mut join: Join) -> Result<Join> {
    for (left, right) in &mut join.on {
        let types = [
            left.get_type(join.left.schema())?,
            right.get_type(join.right.schema())?,
        ];
        if let Some(target) = common(&types) {
            *left = as_type(std::mem::take(left), &types[0], &target);
            *right = as_type(std::mem::take(right), &types[1], &target);
        }
    }
    Ok(join)
}

fn rewrite_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    let is_regular = union
        .inputs
        .iter()
        .all(|input| input.schema().fields().len() == width);
    let targets: Vec<Option<DataType>> = (0..if is_regular { width } else { 0 })
        .map(|column| {
            let types: Vec<DataType> = union
                .inputs
                .iter()
                .map(|input| input.schema().field(column).data_type().clone())
                .collect();
            common(&types)
        })
        .collect();
    if targets.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = union
        .inputs
        .iter()
        .map(|input| {
            let columns = input.schema().iter().zip(&targets);
            let converted = columns.map(|((qualifier, field), target)| {
                let column = Expr::Column(Column::from((qualifier, field)));
                match target {
                    Some(target)
                        if with_target(field.data_type(), target) != *field.data_type() =>
                    {
                        as_type(column, field.data_type(), target)
                            .alias_qualified(qualifier.cloned(), field.name())
                    }
                    _ => column,
                }
            });
            let converted = LogicalPlanBuilder::from(input.as_ref().clone())
                .project(converted)?
                .build()?;
            Ok(Arc::new(converted))
        })
        .collect::<Result<Vec<_>>>()?;
    let union = Union::try_new_with_loose_types(inputs)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// Gives the operands their common type, if they need another than DataFusion finds.
fn equalize(operands: Vec<&mut Expr>, schema: &DFSchema) -> Result<bool> {
    let types: Vec<DataType> = operands
        .iter()
        // What has no type yet gets one later, or an error of its own.
        .map(|operand| operand.get_type(schema).unwrap_or(DataType::Null))
        .collect();
    let Some(target) = common(&types) else {
        return Ok(false);
    };
    for (operand, own) in operands.into_iter().zip(&types) {
        *operand = as_type(std::mem::take(operand), own, &target);
    }
    Ok(true)
}

/// The type that some of these become; `None` where DataFusion's own rules will do.
fn common(types: &[DataType]) -> Option<DataType> {
    let values: Vec<&DataType> = types.iter().map(value_type).collect();
    timestamp_beside_dates(&values)
        .or_else(|| float_beside_decimals(&values))
        .or_else(|| finest_time(&values))
}

fn timestamp_beside_dates(types: &[&DataType]) -> Option<DataType> {
    let unit = |data_type: &DataType| match data_type {
        DataType::Timestamp(unit, _) => Some(fineness(*unit)),
        _ => None,
    };
    if !types.iter().any(|data_type| is_date(data_type)) {
        return None;
    }
    types
        .iter()
        .filter(|data_type| unit(data_type).is_some())
        .max_by_key(|data_type| unit(data_type))
        .map(|data_type| (*data_type).clone())
}

fn float_beside_decimals(types: &[&DataType]) -> Option<DataType> {
    if !types.iter().any(|data_type| data_type.is_decimal()) {
        return None;
    }
    [DataType::Float64, DataType::Float32]
        .into_iter()
        .find(|float| types.contains(&float))
}

fn finest_time(types: &[&DataType]) -> Option<DataType> {
    let unit = |data_type: &DataType| match data_type {
        DataType::Time32(unit) | DataType::Time64(unit) => Some(fineness(*unit)),
        _ => None,
    };
    let finest = types
        .iter()
        .filter(|data_type| unit(data_type).is_some())
        .max_by_key(|data_type| unit(data_type))?;
    let is_mixed = types
        .iter()
        .any(|data_type| unit(data_type).is_some() && data_type != finest);
    is_mixed.then(|| (*finest).clone())
}

fn fineness(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// The type itself, or that of a list's elements.
fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::List(element) => value_type(element.data_type()),
        other => other,
    }
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

/// The type with the target in place of what becomes it.
fn with_target(own: &DataType, target: &DataType) -> DataType {
    if let DataType::List(element) = own {
        let data_type = with_target(element.data_type(), target);
        let element = element.as_ref().clone().with_data_type(data_type);
        return DataType::List(Arc::new(element));
    }
    let becomes_it = match target {
        DataType::Timestamp(..) => is_date(own),
        DataType::Float32 | DataType::Float64 => own.is_decimal(),
        DataType::Time32(_) | DataType::Time64(_) => {
            matches!(own, DataType::Time32(_) | DataType::Time64(_))
        }
        _ => false,
    };
    if becomes_it { target } else { own }.clone()
}

fn as_type(operand: Expr, own: &DataType, target: &DataType) -> Expr {
    let wanted = with_target(own, target);
    if wanted == *own {
        return operand;
    }
    let field = Arc::new(Field::new("", wanted, true));
    Expr::Cast(Cast::new_from_field(Box::new(operand), field))
}
