//! Joins with `UNNEST` get their left side attached, so that the relation planner sees both; joins without a condition
//! and table functions that Owlet does not have are refused. It must never know the columns of a table.

use std::ops::ControlFlow;

use sqlparser::ast::{
    GroupByExpr, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, Statement, TableFactor, TableWithJoins,
    VisitorMut,
};

use crate::errors::SqlError;
use crate::passes::walk::{or_break, walk};
use crate::using;

/// Rewrites FROM clauses.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Relations)
}

struct Relations;

impl VisitorMut for Relations {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        for item in &select.projection {
            if let SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) = item
                && let Err(error) = refuse_long_name(name)
            {
                return ControlFlow::Break(error);
            }
        }
        for item in &select.from {
            if let Err(error) = refuse_missing_conditions(&item.joins) {
                return ControlFlow::Break(error);
            }
        }
        select.from = attach_comma_unnests(std::mem::take(&mut select.from));
        for item in &mut select.from {
            attach_unnests(item);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<SqlError> {
        or_break(refuse_long_name(name))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let at = factor.span().start;
        let (message, hint) = match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => {
                if let Err(error) = refuse_missing_conditions(&table_with_joins.joins) {
                    return ControlFlow::Break(error);
                }
                // A left side and one UNNEST: that is what this pass makes.
                if table_with_joins.joins.len() > 1 {
                    attach_unnests(table_with_joins);
                }
                return ControlFlow::Continue(());
            }
            TableFactor::Table {
                version: Some(_), ..
            } => (
                "FOR TIMESTAMP AS OF and FOR VERSION AS OF are not offered",
                "query the table as it is",
            ),
            TableFactor::Table {
                with_ordinality: true,
                ..
            }
            | TableFactor::Function {
                with_ordinality: true,
                ..
            } => ("WITH ORDINALITY goes with UNNEST only", ""),
            TableFactor::MatchRecognize { .. } => (
                "MATCH_RECOGNIZE is not offered",
                "window functions often do",
            ),
            TableFactor::JsonTable { .. } => (
                "JSON_TABLE is not offered",
                "CROSS JOIN UNNEST(CAST(json_extract(…) AS ARRAY(…))) does the same",
            ),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => (
                "PIVOT and UNPIVOT are not part of Athena's SQL",
                "aggregate with FILTER (WHERE …)",
            ),
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(SqlError::unsupported(at, message).with_hint(hint))
    }
}

/// `a.b.c.d` names no table.
fn refuse_long_name(name: &ObjectName) -> Result<(), SqlError> {
    const MOST_PARTS: usize = 3;
    let parts = name.0.len();
    if parts <= MOST_PARTS {
        return Ok(());
    }
    Err(SqlError::syntax(
        name.span().start,
        format!("{name} has {parts} parts; a table's name has at most {MOST_PARTS}"),
    )
    .with_hint("write catalog.schema.table, and names that hold a dot in double quotes"))
}

/// `a JOIN b` without ON or USING: the parser takes it, and it would be a CROSS JOIN.
fn refuse_missing_conditions(joins: &[Join]) -> Result<(), SqlError> {
    let has_no_condition = |join: &&Join| {
        matches!(
            join.join_operator,
            JoinOperator::Join(JoinConstraint::None)
                | JoinOperator::Inner(JoinConstraint::None)
                | JoinOperator::Left(JoinConstraint::None)
                | JoinOperator::LeftOuter(JoinConstraint::None)
                | JoinOperator::Right(JoinConstraint::None)
                | JoinOperator::RightOuter(JoinConstraint::None)
                | JoinOperator::FullOuter(JoinConstraint::None)
        )
    };
    match joins.iter().find(has_no_condition) {
        None => Ok(()),
        Some(join) => Err(
            SqlError::syntax(join.relation.span().start, "JOIN without ON or USING")
                .with_hint("write CROSS JOIN, or ON true, to join all rows with all rows"),
        ),
    }
}

/// Relations that are planned together with what stands left of them: UNNEST, and `LATERAL (SELECT …)` without FROM.
pub(crate) fn is_attached(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::UNNEST { .. } => true,
        TableFactor::Derived {
            lateral: true,
            subquery,
            ..
        } => lateral_select(subquery).is_some(),
        _ => false,
    }
}

/// Joins that are planned so, and joins that name columns of both sides.
pub(crate) fn is_attached_join(join: &Join) -> bool {
    is_attached(&join.relation) || using::names_columns(join)
}

/// The select of a LATERAL subquery that only computes from the left side's columns.
pub(crate) fn lateral_select(query: &Query) -> Option<&Select> {
    let Query {
        with: None,
        body,
        order_by: None,
        limit_clause: None,
        fetch: None,
        ..
    } = query
    else {
        return None;
    };
    match body.as_ref() {
        SetExpr::Select(select)
            if select.from.is_empty()
                && select.distinct.is_none()
                && select.having.is_none()
                && select.qualify.is_none()
                && matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty()) =>
        {
            Some(select)
        }
        _ => None,
    }
}

/// `FROM a, b, UNNEST(a.x) u` becomes `FROM (a CROSS JOIN b CROSS JOIN UNNEST(a.x) u)`.
fn attach_comma_unnests(from: Vec<TableWithJoins>) -> Vec<TableWithJoins> {
    let Some(last) = from
        .iter()
        .rposition(|item| is_attached(&item.relation))
        .filter(|index| *index > 0)
    else {
        return from;
    };
    let mut items = from.into_iter();
    let mut attached: Option<TableWithJoins> = None;
    for item in items.by_ref().take(last + 1) {
        attached = Some(match attached {
            None => item,
            Some(left) => cross_join(left, item),
        });
    }
    attached.into_iter().chain(items).collect()
}

fn cross_join(mut left: TableWithJoins, right: TableWithJoins) -> TableWithJoins {
    let operator = JoinOperator::CrossJoin(JoinConstraint::None);
    if is_attached(&right.relation) {
        // Its own joins come after it and may use its columns.
        left.joins.push(Join {
            relation: right.relation,
            global: false,
            join_operator: operator,
        });
        left.joins.extend(right.joins);
        return left;
    }
    let relation = match right.joins.is_empty() {
        true => right.relation,
        false => TableFactor::NestedJoin {
            table_with_joins: Box::new(right),
            alias: None,
        },
    };
    left.joins.push(Join {
        relation,
        global: false,
        join_operator: operator,
    });
    left
}

/// Everything up to a joined UNNEST, or to a join with USING, becomes one nested relation of two: the left side and
/// what is joined.
fn attach_unnests(item: &mut TableWithJoins) {
    let unnests = item
        .joins
        .iter()
        .filter(|join| is_attached_join(join))
        .count();
    if unnests == 0 {
        return;
    }
    let mut joins: Vec<Join> = Vec::new();
    for join in std::mem::take(&mut item.joins) {
        if !is_attached_join(&join) {
            joins.push(join);
            continue;
        }
        let mut left = item.relation.clone();
        if !joins.is_empty() {
            left = nested(left, std::mem::take(&mut joins));
        }
        item.relation = nested(left, vec![join]);
    }
    item.joins = joins;
}

fn nested(relation: TableFactor, joins: Vec<Join>) -> TableFactor {
    TableFactor::NestedJoin {
        table_with_joins: Box::new(TableWithJoins { relation, joins }),
        alias: None,
    }
}
