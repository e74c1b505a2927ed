//! Aggregate and window functions that are other functions in disguise: `count_if`, `listagg`, `arbitrary`, …, and
//! window functions whose number must be a BIGINT. It must never know types.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArguments, GroupByExpr, Ident,
    ListAggOnOverflow, ObjectName, Select, Spanned, Statement, VisitorMut,
};
use sqlparser::tokenizer::Span;

use crate::errors::SqlError;
use crate::passes::build;
use crate::passes::walk::walk;

/// Rewrites the functions.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Aggregates)
}

/// Names under which DataFusion has the same function.
const RENAMED: &[(&str, &str)] = &[
    ("arbitrary", "any_value"),
    ("every", "bool_and"),
    ("variance", "var_samp"),
    ("bitwise_and_agg", "bit_and"),
    ("bitwise_or_agg", "bit_or"),
    ("bitwise_xor_agg", "bit_xor"),
    ("ceiling", "ceil"),
];

struct Aggregates;

impl VisitorMut for Aggregates {
    type Break = SqlError;

    /// `GROUP BY ()` is one group of all rows, `GROUP BY (), a` the same as `GROUP BY a`.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            let is_nothing = |key: &Expr| matches!(key, Expr::Tuple(keys) if keys.is_empty());
            match keys.iter().all(is_nothing) {
                true if !keys.is_empty() => *keys = vec![Expr::GroupingSets(vec![Vec::new()])],
                _ => keys.retain(|key| !is_nothing(key)),
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        match rewritten(function) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(rewritten)) => {
                *expr = rewritten;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewritten(function: &mut Function) -> Result<Option<Expr>, SqlError> {
    let at = function.name.span().start;
    let Some(name) = build::function_name(function) else {
        return Ok(None);
    };
    if let Some((_, renamed)) = RENAMED.iter().find(|(from, _)| *from == name) {
        function.name = ObjectName::from(vec![Ident::new(*renamed)]);
        return Ok(None);
    }
    match name {
        "count_if" => {
            let condition = match build::plain_arguments(function).as_deref() {
                Some([condition]) => (*condition).clone(),
                _ => return Err(SqlError::syntax(at, "count_if takes one condition")),
            };
            count_if(function, condition);
            Ok(None)
        }
        "listagg" => listagg(function).map(Some),
        "approx_distinct" => {
            if let FunctionArguments::List(list) = &mut function.args {
                // The second argument bounds the error; the sketch's 2.3 % is Athena's default.
                list.args.truncate(1);
            }
            Ok(Some(cast(
                Expr::Function(function.clone()),
                DataType::BigInt(None),
            )))
        }
        // The n greatest values are the values of the n greatest values.
        "max" | "min" => {
            let by = if name == "max" { "max_by" } else { "min_by" };
            if let FunctionArguments::List(list) = &mut function.args
                && let [value, _] = list.args.as_slice()
            {
                list.args.insert(0, value.clone());
                function.name = ObjectName::from(vec![Ident::new(by)]);
            }
            Ok(None)
        }
        "row_number" | "rank" | "dense_rank" | "ntile" if function.over.is_some() => Ok(Some(
            cast(Expr::Function(function.clone()), DataType::BigInt(None)),
        )),
        "geometric_mean" => {
            let mut mean = function.clone();
            mean.name = ObjectName::from(vec![Ident::new("avg")]);
            if let FunctionArguments::List(list) = &mut mean.args {
                for argument in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(number)) = argument {
                        *number = build::call("ln", vec![number.clone()]);
                    }
                }
            }
            Ok(Some(build::call("exp", vec![Expr::Function(mean)])))
        }
        "grouping" => Ok(Some(cast(
            Expr::Function(function.clone()),
            DataType::BigInt(None),
        ))),
        _ => Ok(None),
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// Adds a condition to the call's FILTER.
fn filter_by(function: &mut Function, condition: Expr) {
    let condition = match function.filter.take() {
        Some(filter) => Expr::BinaryOp {
            left: Box::new(Expr::Nested(filter)),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(condition))),
        },
        None => condition,
    };
    function.filter = Some(Box::new(condition));
}

/// `count_if(c)` is `count(*) FILTER (WHERE c)`.
fn count_if(function: &mut Function, condition: Expr) {
    filter_by(function, condition);
    function.name = ObjectName::from(vec![Ident::new("count")]);
    if let FunctionArguments::List(list) = &mut function.args {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    }
}

/// `listagg(x, sep) WITHIN GROUP (ORDER BY y)` is `array_join(array_agg(x ORDER BY y) FILTER (WHERE x IS NOT NULL), sep)`:
/// of `string_agg`, two in one query have to have one order.
fn listagg(function: &mut Function) -> Result<Expr, SqlError> {
    let at = function.name.span().start;
    let order_by = std::mem::take(&mut function.within_group);
    let FunctionArguments::List(list) = &mut function.args else {
        return Err(SqlError::syntax(
            at,
            "listagg takes a value and a separator",
        ));
    };
    for clause in std::mem::take(&mut list.clauses) {
        match clause {
            FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Error) => {}
            FunctionArgumentClause::OnOverflow(_) => {
                return Err(SqlError::unsupported(
                    at,
                    "listagg has no ON OVERFLOW TRUNCATE here",
                ));
            }
            other => {
                return Err(SqlError::syntax(
                    at,
                    format!("listagg does not take {other}"),
                ));
            }
        }
    }
    let separator = match list.args.len() {
        2 => list.args.pop(),
        _ => None,
    };
    let separator = match separator {
        None => build::text("", Span::empty()),
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(separator)))
            if build::literal_text(&separator).is_some() =>
        {
            separator
        }
        Some(_) => {
            return Err(SqlError::syntax(
                at,
                "listagg's separator is a literal text",
            ));
        }
    };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = list.args.as_slice() else {
        return Err(SqlError::syntax(
            at,
            "listagg takes a value and a separator",
        ));
    };
    let is_value = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(value.clone()))));
    if !order_by.is_empty() {
        list.clauses.push(FunctionArgumentClause::OrderBy(order_by));
    }
    if list.duplicate_treatment == Some(DuplicateTreatment::All) {
        list.duplicate_treatment = None;
    }
    filter_by(function, is_value);
    function.name = ObjectName::from(vec![Ident::new("array_agg")]);
    Ok(build::call(
        "array_join",
        vec![Expr::Function(function.clone()), separator],
    ))
}
