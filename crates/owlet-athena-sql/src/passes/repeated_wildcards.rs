//! `SELECT *, *` and `SELECT u.*, u.*`: DataFusion takes no list that has a column twice. Such a list becomes one that
//! has each wildcard once, in a subquery whose columns the relation planner repeats (`crate::repetition`).
//! It must never know the columns of a table.

use sqlparser::ast::{
    Expr, Ident, LimitClause, ObjectName, Offset, OffsetRows, OrderBy, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAliasColumnDef, Value,
    ValueWithSpan, WildcardAdditionalOptions,
};

use crate::names;
use crate::passes::build;
use crate::passes::select_names::is_wildcard;
use crate::repetition::Piece;

/// Rewrites the query's own select lists, not those of its subqueries.
pub(super) fn apply(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return in_set_operation(&mut query.body);
    };
    let Some(pieces) = without_repetitions(select) else {
        return;
    };
    let mut inner = build::query(SetExpr::Select(select.clone()));
    // Positions count the repeated columns, and names mean columns that are not selected too.
    if !has_position(query.order_by.as_ref()) {
        inner.order_by = query.order_by.take();
        inner.limit_clause = query.limit_clause.take();
        keep_order(&mut inner);
    }
    *query.body = repeated(inner, &pieces);
}

fn in_set_operation(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            in_set_operation(left);
            in_set_operation(right);
        }
        SetExpr::Select(select) => {
            if let Some(pieces) = without_repetitions(select) {
                let inner = build::query(SetExpr::Select(select.clone()));
                *body = repeated(inner, &pieces);
            }
        }
        _ => {}
    }
}

/// `SELECT * FROM (inner)`, of which the relation planner makes the columns that are written.
fn repeated(inner: Query, pieces: &[Piece]) -> SetExpr {
    let mut alias = build::table_alias(Ident::with_quote('"', names::repetition()));
    alias.columns = pieces
        .iter()
        .map(|piece| TableAliasColumnDef {
            name: Ident::with_quote('"', piece.to_text()),
            data_type: None,
        })
        .collect();
    *build::select_all(build::derived(inner, Some(alias)), None).body
}

/// Leaves each wildcard in the list once, and tells how the list was written; `None` if no wildcard is repeated.
fn without_repetitions(select: &mut Select) -> Option<Vec<Piece>> {
    let wildcards: Vec<&SelectItem> = select
        .projection
        .iter()
        .filter(|item| is_wildcard(item))
        .collect();
    let has_all = wildcards
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_)));
    let is_repeated = |(index, item): (usize, &&SelectItem)| wildcards[..index].contains(item);
    let overlap = wildcards.len() > 1 && (has_all || wildcards.iter().enumerate().any(is_repeated));
    if !overlap || !wildcards.iter().all(|item| is_plain(item)) {
        return None;
    }
    // The columns of several wildcards cannot be told apart by their number.
    let needs_marks = !has_all && wildcards.iter().any(|item| *item != wildcards[0]);
    let mut list: Vec<SelectItem> = Vec::new();
    let mut pieces = Vec::new();
    for item in &select.projection {
        pieces.push(match item {
            SelectItem::Wildcard(_) => Piece::All(place(item, &mut list, needs_marks)),
            SelectItem::QualifiedWildcard(kind, _) if has_all => {
                let all = SelectItem::Wildcard(WildcardAdditionalOptions::default());
                Piece::Part(place(&all, &mut list, needs_marks), parts(kind)?)
            }
            SelectItem::QualifiedWildcard(..) => Piece::All(place(item, &mut list, needs_marks)),
            _ => {
                list.push(item.clone());
                Piece::Item(list.len() - 1)
            }
        });
    }
    select.projection = list;
    Some(pieces)
}

/// Where the wildcard stands in the list; it is added if it is not there yet.
fn place(wildcard: &SelectItem, list: &mut Vec<SelectItem>, needs_mark: bool) -> usize {
    if let Some(place) = list.iter().position(|item| item == wildcard) {
        return place;
    }
    list.push(wildcard.clone());
    let place = list.len() - 1;
    if needs_mark {
        list.push(SelectItem::ExprWithAlias {
            expr: build::number(0),
            alias: Ident::with_quote('"', names::mark(place)),
        });
    }
    place
}

fn is_plain(wildcard: &SelectItem) -> bool {
    match wildcard {
        SelectItem::Wildcard(options) => *options == WildcardAdditionalOptions::default(),
        SelectItem::QualifiedWildcard(kind, options) => {
            *options == WildcardAdditionalOptions::default() && parts(kind).is_some()
        }
        _ => false,
    }
}

/// The parts of the name before `.*`.
fn parts(kind: &SelectItemQualifiedWildcardKind) -> Option<Vec<String>> {
    let SelectItemQualifiedWildcardKind::ObjectName(ObjectName(parts)) = kind else {
        return None;
    };
    parts
        .iter()
        .map(|part| part.as_ident().map(|name| name.value.clone()))
        .collect()
}

/// `ORDER BY 3`.
fn has_position(order_by: Option<&OrderBy>) -> bool {
    let Some(OrderBy {
        kind: OrderByKind::Expressions(keys),
        ..
    }) = order_by
    else {
        return false;
    };
    let is_position = |key: &Expr| {
        matches!(
            key,
            Expr::Value(ValueWithSpan {
                value: Value::Number(..),
                ..
            })
        )
    };
    keys.iter().any(|key| is_position(&key.expr))
}

/// DataFusion drops the order of a subquery without LIMIT and OFFSET.
fn keep_order(query: &mut Query) {
    let no_rows = || Offset {
        value: build::number(0),
        rows: OffsetRows::None,
    };
    if query.order_by.is_none() {
        return;
    }
    match &mut query.limit_clause {
        None => {
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit: None,
                offset: Some(no_rows()),
                limit_by: Vec::new(),
            });
        }
        Some(LimitClause::LimitOffset {
            limit: None,
            offset: offset @ None,
            ..
        }) => *offset = Some(no_rows()),
        Some(_) => {}
    }
}
