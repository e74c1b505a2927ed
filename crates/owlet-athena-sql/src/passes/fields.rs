//! Fields of rows: `items[1].price` and `element_at(items, 1).price` become what the planner knows, and a selected
//! field is named after itself, as in Athena. It must never know which columns are rows.

use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, Expr, Ident, ObjectName, Select, SelectItem, Statement, TableFactor, Value,
    VisitorMut,
};

use crate::errors::SqlError;
use crate::passes::walk::walk;

/// Rewrites the fields of every query in the statement.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Fields)
}

struct Fields;

impl VisitorMut for Fields {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let relations: Vec<String> = select
            .from
            .iter()
            .flat_map(|item| {
                let joined = item.joins.iter().map(|join| &join.relation);
                std::iter::once(&item.relation).chain(joined)
            })
            .filter_map(relation_name)
            .collect();
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else {
                continue;
            };
            if let Some(alias) = selected_field(expr, &relations) {
                let expr = std::mem::replace(expr, Expr::Identifier(alias.clone()));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Expr::CompoundFieldAccess { access_chain, .. } = expr {
            for access in access_chain {
                if let AccessExpr::Dot(Expr::Identifier(name)) = access {
                    let name = Value::SingleQuotedString(folded(name));
                    *access = AccessExpr::Dot(Expr::Value(name.into()));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// The name of the field that the expression takes out of a row; `None` for columns with the name of their relation.
fn selected_field(expr: &Expr, relations: &[String]) -> Option<Ident> {
    match expr {
        Expr::Nested(inner) => selected_field(inner, relations),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last()? {
            AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
            _ => None,
        },
        Expr::CompoundIdentifier(parts) => {
            let [.., owner, field] = parts.as_slice() else {
                return None;
            };
            (!relations.contains(&folded(owner))).then(|| field.clone())
        }
        _ => None,
    }
}

/// The name by which columns of a relation can be qualified.
fn relation_name(relation: &TableFactor) -> Option<String> {
    let (name, alias) = match relation {
        TableFactor::Table { name, alias, .. } => (last_part(name), alias),
        TableFactor::Function { name, alias, .. } => (last_part(name), alias),
        TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => (None, alias),
        _ => return None,
    };
    alias
        .as_ref()
        .map(|alias| folded(&alias.name))
        .or_else(|| name.map(folded))
}

fn last_part(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}
