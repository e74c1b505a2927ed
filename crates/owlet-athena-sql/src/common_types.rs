//! Analyzer rule, before types are made equal: what values of different types become where they meet in a comparison,
//! a CASE, a set operation or a function. It must never know sources.
//!
//! * A date beside a timestamp becomes a timestamp of that one's unit. DataFusion would take nanoseconds, which end in
//!   2262 and began in 1677: `coalesce(valid_to, now())` has no room for `DATE '9999-12-31'` then. Timestamps take the
//!   finest of their units; beside one with a zone, those without get it.
//! * A decimal beside a double becomes a double, as in Athena. DataFusion would make both a decimal of 15 digits after
//!   the point, for which `1e-20` is 0 and `1e15` too large.
//! * Times of day take the finest of their units; DataFusion finds none for `time(6)` beside `time(3)`.
//! * A date beside an integer is refused.
//! * A text beside a decimal, a date or a time is one with all its digits, or an error. DataFusion would read it in the
//!   other one's type, in which `'1.14'` is `DECIMAL '1.1'`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::expr::Cast;
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    Union,
};

use crate::decimals;
use crate::functions::type_names::sql_name;
use crate::grammar::fraction_digits;
use crate::rewriting::map_expressions;
use crate::types::time_unit;

/// Functions that compare their arguments; lists are compared by their elements.
const COMPARING: [&str; 8] = [
    "array_except",
    "array_intersect",
    "array_position",
    "array_remove",
    "array_union",
    "arrays_overlap",
    "contains",
    "nullif",
];
/// Functions whose arguments, or lists' elements, get one type.
const ALIKE: [&str; 6] = ["coalesce", "greatest", "if", "least", "make_array", "nvl"];

/// For what values get one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be compared: a text beside a number is a number.
    Comparison,
    /// To be subtracted.
    Difference,
    /// To be values of one column: a number beside a text is a text.
    Column,
}

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
            let has_text = operands.iter().any(|operand| {
                operand
                    .get_type(schema)
                    .is_ok_and(|data_type| is_text(&data_type))
            });
            // What a text is from which something is taken is not known.
            let changed = match op == Operator::Minus && has_text {
                true => false,
                false => equalize(
                    operands.iter_mut().map(AsMut::as_mut).collect(),
                    schema,
                    match op {
                        Operator::Minus => Purpose::Difference,
                        _ => Purpose::Comparison,
                    },
                )?,
            };
            let [left, right] = operands;
            let expr = Expr::BinaryExpr(BinaryExpr::new(left, op, right));
            Ok(Transformed::new_transformed(expr, changed))
        }
        Expr::InList(mut list) => {
            let mut operands = vec![list.expr.as_mut()];
            operands.extend(&mut list.list);
            let changed = equalize(operands, schema, Purpose::Comparison)?;
            Ok(Transformed::new_transformed(Expr::InList(list), changed))
        }
        Expr::Between(mut between) => {
            let operands = vec![
                between.expr.as_mut(),
                between.low.as_mut(),
                between.high.as_mut(),
            ];
            let changed = equalize(operands, schema, Purpose::Comparison)?;
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
                changed |= equalize(operands, schema, Purpose::Comparison)?;
            }
            let mut results: Vec<&mut Expr> = case
                .when_then_expr
                .iter_mut()
                .map(|(_, then)| then.as_mut())
                .collect();
            results.extend(case.else_expr.iter_mut().map(AsMut::as_mut));
            changed |= equalize(results, schema, Purpose::Column)?;
            Ok(Transformed::new_transformed(Expr::Case(case), changed))
        }
        Expr::ScalarFunction(mut call) => {
            let purpose = match call.func.name() {
                name if COMPARING.contains(&name) => Purpose::Comparison,
                name if ALIKE.contains(&name) => Purpose::Column,
                _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
            };
            // `array_position` also takes which occurrence is meant.
            let compared = match purpose {
                Purpose::Comparison => 2,
                Purpose::Difference | Purpose::Column => usize::MAX,
            };
            let operands = call.args.iter_mut().take(compared).collect();
            let changed = equalize(operands, schema, purpose)?;
            Ok(Transformed::new_transformed(
                Expr::ScalarFunction(call),
                changed,
            ))
        }
        Expr::InSubquery(mut set) => {
            let changed = equalize_members(set.expr.as_mut(), &mut set.subquery, schema)?;
            Ok(Transformed::new_transformed(Expr::InSubquery(set), changed))
        }
        Expr::SetComparison(mut set) => {
            let changed = equalize_members(set.expr.as_mut(), &mut set.subquery, schema)?;
            Ok(Transformed::new_transformed(
                Expr::SetComparison(set),
                changed,
            ))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Gives a value and the values of a subquery one type.
fn equalize_members(value: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let members = subquery.subquery.as_ref().clone();
    let member = members.schema().field(0).data_type().clone();
    let own = value.get_type(schema)?;
    refuse_days(&[own.clone(), member.clone()])?;
    let Some(target) = common(&[own.clone(), member.clone()], Purpose::Comparison) else {
        return Ok(false);
    };
    *value = as_type(std::mem::take(value), &own, &target);
    if with_target(&member, &target) != member {
        let (qualifier, field) = members.schema().qualified_field(0);
        let (qualifier, name) = (qualifier.cloned(), field.name().clone());
        let column = Expr::Column(Column::new(qualifier.clone(), name.clone()));
        let converted = as_type(column, &member, &target).alias_qualified(qualifier, name);
        let members = LogicalPlanBuilder::from(members)
            .project([converted])?
            .build()?;
        *subquery = subquery.with_plan(Arc::new(members));
    }
    Ok(true)
}

/// The keys belong to the two sides, so they are not seen as one comparison.
fn with_equal_keys(mut join: Join) -> Result<Join> {
    for (left, right) in &mut join.on {
        let types = [
            left.get_type(join.left.schema())?,
            right.get_type(join.right.schema())?,
        ];
        refuse_days(&types)?;
        if let Some(target) = common(&types, Purpose::Comparison) {
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
            refuse_days(&types)?;
            Ok(common(&types, Purpose::Column))
        })
        .collect::<Result<_>>()?;
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
fn equalize(operands: Vec<&mut Expr>, schema: &DFSchema, purpose: Purpose) -> Result<bool> {
    let mut operands = operands;
    // What has no type yet gets one later, or an error of its own.
    let type_of = |operand: &Expr| operand.get_type(schema).unwrap_or(DataType::Null);
    let mut types: Vec<DataType> = operands.iter().map(|operand| type_of(operand)).collect();
    let mut changed = false;
    for operand in &mut operands {
        if let Some(value) = read_literal(operand, &types, purpose)? {
            **operand = value;
            changed = true;
        }
    }
    if changed {
        types = operands.iter().map(|operand| type_of(operand)).collect();
    }
    if purpose != Purpose::Difference {
        refuse_days(&types)?;
    }
    let Some(target) = common(&types, purpose) else {
        return Ok(changed);
    };
    for (operand, own) in operands.into_iter().zip(&types) {
        *operand = as_type(std::mem::take(operand), own, &target);
    }
    Ok(true)
}

/// DataFusion takes a number beside a date for days since 1970, Athena for a mistake.
fn refuse_days(types: &[DataType]) -> Result<()> {
    let values: Vec<&DataType> = types.iter().map(value_type).collect();
    let number = values.iter().find(|value| value.is_integer());
    match (values.iter().any(|value| is_date(value)), number) {
        (true, Some(number)) => plan_err!(
            "a date and a number ({}) have no common type: write the date as DATE '2024-12-31'",
            sql_name(number)
        ),
        _ => Ok(()),
    }
}

/// A literal text that stands beside values of these types, with the type that its own digits need.
fn read_literal(operand: &Expr, types: &[DataType], purpose: Purpose) -> Result<Option<Expr>> {
    let Expr::Literal(value, _) = operand else {
        return Ok(None);
    };
    let Some(Some(text)) = value.try_as_str() else {
        return Ok(None);
    };
    let others: Vec<&DataType> = types.iter().map(value_type).collect();
    // Units are ordered from the coarsest to the finest.
    let own = time_unit(fraction_digits(text) as u64).unwrap_or(TimeUnit::Nanosecond);
    let data_type = if let Some(DataType::Timestamp(unit, zone)) = moment(&others) {
        DataType::Timestamp(unit.max(own), zone)
    } else if let Some(DataType::Time32(unit) | DataType::Time64(unit)) =
        finest_by(&others, time_unit_of)
    {
        match own.max(*unit) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            unit => DataType::Time64(unit),
        }
    } else if purpose == Purpose::Comparison
        && let Some(decimal) = others.iter().find(|other| other.is_decimal())
        && float_beside_decimals(&others).is_none()
    {
        return match decimals::literal(text) {
            Some(value) => Ok(Some(Expr::Literal(value, None))),
            None => plan_err!(
                "'{text}' stands beside a {} and is not a decimal number of at most 38 digits",
                sql_name(decimal)
            ),
        };
    } else {
        return Ok(None);
    };
    let field = Arc::new(Field::new("", data_type, true));
    let text = Expr::Literal(ScalarValue::from(text), None);
    Ok(Some(Expr::Cast(Cast::new_from_field(
        Box::new(text),
        field,
    ))))
}

/// The type that some of these become; `None` where DataFusion's own rules will do.
fn common(types: &[DataType], purpose: Purpose) -> Option<DataType> {
    let values: Vec<&DataType> = types.iter().map(value_type).collect();
    let is_mixed = |target: &DataType| values.iter().any(|own| with_target(own, target) != **own);
    moment(&values)
        .filter(is_mixed)
        .or_else(|| float_beside_decimals(&values))
        .or_else(|| finest_time(&values, types))
        .or_else(|| match purpose {
            Purpose::Comparison => beside_texts(&values, types),
            Purpose::Difference | Purpose::Column => None,
        })
}

/// The timestamp that dates and timestamps become. A column has one zone: the first.
fn moment(types: &[&DataType]) -> Option<DataType> {
    let DataType::Timestamp(unit, _) = finest_by(types, |data_type| match data_type {
        DataType::Timestamp(unit, _) => Some(*unit),
        _ => None,
    })?
    else {
        return None;
    };
    let zone = types.iter().find_map(|data_type| match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    });
    Some(DataType::Timestamp(*unit, zone))
}

/// The first type with the finest unit.
fn finest_by<'a>(
    types: &[&'a DataType],
    unit_of: impl Fn(&DataType) -> Option<TimeUnit>,
) -> Option<&'a DataType> {
    let units = types
        .iter()
        .rev()
        .filter_map(|data_type| Some((unit_of(data_type)?, *data_type)));
    units
        .max_by_key(|(unit, _)| *unit)
        .map(|(_, data_type)| data_type)
}

/// The type that times of day become, where all are such or NULL; for functions that must name a type before this rule
/// runs.
pub(crate) fn time_of_day(types: &[DataType]) -> Option<DataType> {
    let times: Vec<&DataType> = types
        .iter()
        .filter(|data_type| !data_type.is_null())
        .collect();
    let finest = finest_by(&times, time_unit_of)?;
    times
        .iter()
        .all(|time| time_unit_of(time).is_some())
        .then(|| finest.clone())
}

fn time_unit_of(data_type: &DataType) -> Option<TimeUnit> {
    match data_type {
        DataType::Time32(unit) | DataType::Time64(unit) => Some(*unit),
        _ => None,
    }
}

/// What a text becomes that is compared with these, where it is not a literal.
fn beside_texts(values: &[&DataType], types: &[DataType]) -> Option<DataType> {
    if !types.iter().any(is_text) {
        return None;
    }
    let decimal = values.iter().any(|value| value.is_decimal());
    let date = values.iter().find(|value| is_date(value));
    match decimal {
        true => Some(decimals::ANY_DECIMAL),
        false => date.map(|date| (*date).clone()),
    }
}

fn float_beside_decimals(types: &[&DataType]) -> Option<DataType> {
    if !types.iter().any(|data_type| data_type.is_decimal()) {
        return None;
    }
    [DataType::Float64, DataType::Float32]
        .into_iter()
        .find(|float| types.contains(&float))
}

fn finest_time(values: &[&DataType], types: &[DataType]) -> Option<DataType> {
    let finest = finest_by(values, time_unit_of)?;
    // A text that is not known may have all digits.
    if types.iter().any(is_text) {
        return Some(DataType::Time64(TimeUnit::Nanosecond));
    }
    let is_mixed = values
        .iter()
        .any(|value| time_unit_of(value).is_some() && *value != finest);
    is_mixed.then(|| finest.clone())
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

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    }
}

/// The type with the target in place of what becomes it.
fn with_target(own: &DataType, target: &DataType) -> DataType {
    if let DataType::List(element) = own {
        // Lists of texts are no lists of anything else.
        if is_text(value_type(own)) {
            return own.clone();
        }
        let data_type = with_target(element.data_type(), target);
        let element = element.as_ref().clone().with_data_type(data_type);
        return DataType::List(Arc::new(element));
    }
    let becomes_it = match target {
        DataType::Timestamp(..) => is_date(own) || matches!(own, DataType::Timestamp(..)),
        DataType::Float32 | DataType::Float64 => own.is_decimal(),
        DataType::Time32(_) | DataType::Time64(_) => time_unit_of(own).is_some() || is_text(own),
        DataType::Date32 | DataType::Date64 | DataType::Decimal256(..) => is_text(own),
        _ => false,
    };
    if becomes_it { target } else { own }.clone()
}

fn as_type(operand: Expr, own: &DataType, target: &DataType) -> Expr {
    let wanted = with_target(own, target);
    if wanted == *own {
        return operand;
    }
    if is_text(own) && wanted == decimals::ANY_DECIMAL {
        return decimals::READ.call(vec![operand]);
    }
    let field = Arc::new(Field::new("", wanted, true));
    Expr::Cast(Cast::new_from_field(Box::new(operand), field))
}
