//! Optimizer rule: a moment that is cast to a finer type, only to be compared with a constant, is compared as it is
//! (`created < now() - INTERVAL '7' DAY` over a column without a time zone). Sources can be asked that, and their
//! indexes serve it. It must never know sources.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::Cast;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use crate::functions::conversion::{OnError, cast_expression, cast_operand};
use crate::rewriting::{NodeRule, map_expressions};
use crate::types::SESSION_ZONE;

/// Rewrites comparisons.
pub(crate) const MOMENT_COMPARISONS: NodeRule = NodeRule {
    name: "moment_comparisons",
    rewrite: |plan| map_expressions(plan, |expr, schema| Ok(rewrite_expression(expr, schema))),
};

fn rewrite_expression(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Transformed::no(expr);
    };
    let rewritten = match (left.as_ref(), right.as_ref()) {
        (cast, Expr::Literal(constant, _)) => uncast(cast, *op, constant, schema),
        (Expr::Literal(constant, _), cast) => op
            .swap()
            .and_then(|swapped| uncast(cast, swapped, constant, schema)),
        (left, right) => in_own_unit(left, *op, right, schema),
    };
    match rewritten {
        Some(comparison) => Transformed::yes(comparison),
        None => Transformed::no(expr),
    }
}

/// The comparison without its cast, if it can hold for exactly the same values.
fn uncast(cast: &Expr, op: Operator, constant: &ScalarValue, schema: &DFSchema) -> Option<Expr> {
    let operand = match cast {
        Expr::Cast(Cast { expr, .. }) => expr.as_ref(),
        other => cast_operand(other)?,
    };
    let source = Ticks::of(&operand.get_type(schema).ok()?)?;
    let (value, target) = ticks(constant)?;
    if !cast
        .get_type(schema)
        .is_ok_and(|cast| cast == constant.data_type())
    {
        return None;
    }
    // The cast multiplies; a coarser target would round.
    let factor = target.per_day / source.per_day;
    if factor == 0 || source.per_day * factor != target.per_day {
        return None;
    }
    let (whole, rest) = (value.div_euclid(factor), value.rem_euclid(factor));
    let is_column = matches!(operand, Expr::Column(_));
    let op = match (op, rest) {
        // Never equal: false, or NULL.
        (Operator::Eq | Operator::NotEq, 1..) if is_column => {
            let negated = op.negate()?;
            let column = || Box::new(operand.clone());
            return Some(Expr::BinaryExpr(BinaryExpr::new(
                column(),
                negated,
                column(),
            )));
        }
        (
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq,
            0,
        ) => op,
        // Between two values that the operand can have.
        (Operator::Lt | Operator::LtEq, _) => Operator::LtEq,
        (Operator::Gt | Operator::GtEq, _) => Operator::Gt,
        _ => return None,
    };
    let constant = Expr::Literal(source.scalar(whole)?, None);
    Some(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(operand.clone()),
        op,
        Box::new(constant),
    )))
}

/// Two moments that are both cast only to be compared are compared in the finer of their own units: nanoseconds, which
/// DataFusion would take for a date and a timestamp, end in 2262.
fn in_own_unit(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    if !op.supports_propagation() && !matches!(op, Operator::NotEq) {
        return None;
    }
    let operand = |side: &Expr| match side {
        Expr::Cast(Cast { expr, .. }) => Some(expr.as_ref().clone()),
        other => cast_operand(other).cloned(),
    };
    let (inner_left, inner_right) = (operand(left)?, operand(right)?);
    let of = |expr: &Expr| Ticks::of(&expr.get_type(schema).ok()?);
    let (target, other) = (of(left)?, of(right)?);
    let (own_left, own_right) = (of(&inner_left)?, of(&inner_right)?);
    let finer = match own_left.per_day >= own_right.per_day {
        true => own_left,
        false => own_right,
    };
    if target.data_type != other.data_type || finer.per_day >= target.per_day {
        return None;
    }
    let DataType::Timestamp(_, zone) = target.data_type else {
        return None;
    };
    let DataType::Timestamp(unit, _) = finer.data_type else {
        return None;
    };
    let unit_type = DataType::Timestamp(unit, zone);
    let field = Arc::new(Field::new("", unit_type.clone(), true));
    let recast = |operand: Expr| match operand.get_type(schema) {
        Ok(own) if own == unit_type => operand,
        Ok(DataType::Timestamp(..)) => cast_expression(operand, &field, OnError::Fail),
        _ => Expr::Cast(Cast::new(Box::new(operand), unit_type.clone())),
    };
    Some(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(recast(inner_left)),
        op,
        Box::new(recast(inner_right)),
    )))
}

/// A type whose values count equal steps since 1970-01-01 00:00:00 UTC. Without a zone they are read in the session's,
/// which is UTC.
struct Ticks {
    data_type: DataType,
    per_day: i64,
}

impl Ticks {
    fn of(data_type: &DataType) -> Option<Self> {
        const SECONDS_PER_DAY: i64 = 86_400;
        let per_day = match data_type {
            DataType::Date32 => 1,
            DataType::Timestamp(unit, zone)
                if zone
                    .as_ref()
                    .is_none_or(|zone| zone.as_ref() == SESSION_ZONE) =>
            {
                SECONDS_PER_DAY
                    * match unit {
                        TimeUnit::Second => 1,
                        TimeUnit::Millisecond => 1_000,
                        TimeUnit::Microsecond => 1_000_000,
                        TimeUnit::Nanosecond => 1_000_000_000,
                    }
            }
            _ => return None,
        };
        Some(Self {
            data_type: data_type.clone(),
            per_day,
        })
    }

    fn scalar(&self, value: i64) -> Option<ScalarValue> {
        Some(match &self.data_type {
            DataType::Date32 => ScalarValue::Date32(Some(i32::try_from(value).ok()?)),
            DataType::Timestamp(unit, zone) => {
                let zone = zone.as_ref().map(Arc::clone);
                match unit {
                    TimeUnit::Second => ScalarValue::TimestampSecond(Some(value), zone),
                    TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(value), zone),
                    TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(value), zone),
                    TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(value), zone),
                }
            }
            _ => return None,
        })
    }
}

fn ticks(constant: &ScalarValue) -> Option<(i64, Ticks)> {
    let value = match constant {
        ScalarValue::TimestampSecond(value, _)
        | ScalarValue::TimestampMillisecond(value, _)
        | ScalarValue::TimestampMicrosecond(value, _)
        | ScalarValue::TimestampNanosecond(value, _) => (*value)?,
        _ => return None,
    };
    Some((value, Ticks::of(&constant.data_type())?))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion_expr::col;

    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn rewritten(column: DataType, op: Operator, constant: ScalarValue) -> Option<String> {
        let schema = Schema::new(vec![Field::new("at", column, true)]);
        let schema = DFSchema::try_from(schema).expect("a schema");
        let cast = Expr::Cast(Cast::new(Box::new(col("at")), constant.data_type()));
        uncast(&cast, op, &constant, &schema).map(|expr| expr.to_string())
    }

    fn micros(value: i64) -> ScalarValue {
        ScalarValue::TimestampMicrosecond(Some(value), Some("UTC".into()))
    }

    #[test]
    fn a_constant_that_the_operand_can_hold_keeps_the_operator() {
        let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
        for (op, text) in [
            (Operator::Eq, "="),
            (Operator::NotEq, "!="),
            (Operator::Lt, "<"),
            (Operator::GtEq, ">="),
        ] {
            let expected = format!("at {text} TimestampMillisecond(-5, None)");
            assert_eq!(
                rewritten(milliseconds.clone(), op, micros(-5_000)),
                Some(expected)
            );
        }
    }

    #[test]
    fn a_constant_between_two_values_moves_to_the_lower_one() {
        for (op, text) in [
            (Operator::Lt, "at <= Date32(\"1970-01-02\")"),
            (Operator::LtEq, "at <= Date32(\"1970-01-02\")"),
            (Operator::Gt, "at > Date32(\"1970-01-02\")"),
            (Operator::GtEq, "at > Date32(\"1970-01-02\")"),
        ] {
            let moved = rewritten(DataType::Date32, op, micros(DAY + 1));
            assert_eq!(moved.as_deref(), Some(text));
        }
        assert_eq!(
            rewritten(DataType::Date32, Operator::Lt, micros(-1)).as_deref(),
            Some("at <= Date32(\"1969-12-31\")")
        );
        for (op, text) in [(Operator::Eq, "at != at"), (Operator::NotEq, "at = at")] {
            let moved = rewritten(DataType::Date32, op, micros(DAY + 1));
            assert_eq!(moved.as_deref(), Some(text));
        }
    }

    #[test]
    fn other_zones_coarser_types_and_other_operators_keep_their_cast() {
        let zoned = |zone: &str| DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()));
        assert_eq!(
            rewritten(zoned("Europe/Berlin"), Operator::Lt, micros(0)),
            None
        );
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!(rewritten(nanoseconds, Operator::Lt, micros(0)), None);
        assert_eq!(
            rewritten(DataType::Date32, Operator::IsDistinctFrom, micros(0)),
            None
        );
        assert_eq!(rewritten(DataType::Int64, Operator::Lt, micros(0)), None);
        let null = ScalarValue::TimestampMicrosecond(None, Some("UTC".into()));
        assert_eq!(rewritten(DataType::Date32, Operator::Lt, null), None);
        let beyond = ScalarValue::TimestampSecond(Some(i64::MAX), None);
        assert_eq!(rewritten(DataType::Date32, Operator::Lt, beyond), None);
    }
}
