//! Gives every select item a name that is unique in its list, so that DataFusion accepts duplicate and unnamed
//! columns. It must never know the columns of a table.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArguments, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr,
    Statement, VisitorMut,
};

use crate::errors::SqlError;
use crate::names;
use crate::passes::build;
use crate::passes::repeated_wildcards;
use crate::passes::walk::walk;

/// Renames clashing and unnamed select items of every query in the statement.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    let mut namer = Namer::default();
    if let Statement::Query(query) = statement {
        namer.separate_from_wildcards(query);
    }
    walk(statement, &mut namer)
}

#[derive(Default)]
struct Namer {
    counter: usize,
}

impl VisitorMut for Namer {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.separate_further_queries(&mut query.body);
        repeated_wildcards::apply(query);
        // The select list is named here and not in its own visit, because ORDER BY has to follow.
        if let SetExpr::Select(select) = query.body.as_mut() {
            self.name_items(select);
            if select.distinct.is_some()
                && let Some(order_by) = &mut query.order_by
            {
                order_by_names(order_by, &select.projection);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        // Afterwards, so that the new inner query is not visited again.
        if let SetExpr::Values(values) = query.body.as_mut() {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            let columns = (0..width).map(|_| names::unnamed(self.next())).collect();
            build::select_values(&mut query.body, columns);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        self.name_items(select);
        ControlFlow::Continue(())
    }
}

impl Namer {
    /// Naming twice changes nothing: the second time all names are unique.
    fn name_items(&mut self, select: &mut Select) {
        let mut uses: HashMap<String, usize> = HashMap::new();
        for name in select.projection.iter().filter_map(item_name) {
            *uses.entry(name.value.clone()).or_default() += 1;
        }
        for item in &mut select.projection {
            let internal = match item_name(item) {
                None if is_wildcard(item) => continue,
                None => names::unnamed(self.next()),
                Some(name) if uses.get(&name.value).is_some_and(|count| *count > 1) => {
                    let name = name.value.clone();
                    names::duplicate_name(&name, self.next())
                }
                Some(_) => continue,
            };
            rename(item, internal);
        }
    }

    fn next(&mut self) -> usize {
        self.counter += 1;
        self.counter
    }

    /// `SELECT *, upper(id) AS id`: at the top nobody but ORDER BY refers to output names, so items beside a
    /// wildcard can all be renamed; further down an outer query needs their names.
    fn separate_from_wildcards(&mut self, query: &mut Query) {
        let Some(select) = first_select(&mut query.body) else {
            return;
        };
        let renamed = self.separate_items(select);
        if let Some(order_by) = &mut query.order_by {
            follow_renames(order_by, &renamed);
        }
    }

    /// `… UNION SELECT *, id FROM t`: the names of all queries but the first are nobody's.
    fn separate_further_queries(&mut self, body: &mut SetExpr) {
        if let SetExpr::SetOperation { left, right, .. } = body {
            self.separate_further_queries(left);
            self.separate_all(right);
        }
    }

    fn separate_all(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => {
                self.separate_items(select);
            }
            SetExpr::Query(query) => self.separate_from_wildcards(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.separate_all(left);
                self.separate_all(right);
            }
            _ => {}
        }
    }

    /// Renames all items beside a wildcard; the new name of each name that only one item has.
    fn separate_items(&mut self, select: &mut Select) -> HashMap<String, Option<String>> {
        let mut renamed: HashMap<String, Option<String>> = HashMap::new();
        if !select.projection.iter().any(is_wildcard) {
            return renamed;
        }
        for item in &mut select.projection {
            let Some(name) = item_name(item).map(|name| name.value.clone()) else {
                continue;
            };
            let internal = names::duplicate_name(&name, self.next());
            rename(item, internal.clone());
            renamed
                .entry(name)
                .and_modify(|clash| *clash = None)
                .or_insert(Some(internal));
        }
        renamed
    }
}

fn first_select(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&mut query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

fn follow_renames(order_by: &mut OrderBy, renamed: &HashMap<String, Option<String>>) {
    let OrderByKind::Expressions(expressions) = &mut order_by.kind else {
        return;
    };
    for key in expressions {
        if let Expr::Identifier(name) = &mut key.expr
            && let Some(Some(internal)) = renamed.get(&name.value)
        {
            name.value.clone_from(internal);
            name.quote_style = Some('"');
        }
    }
}

/// `SELECT DISTINCT a + 1 … ORDER BY a + 1`: the key is the selected column. A number is a position, and a name that a
/// selected column has means that one.
fn order_by_names(order_by: &mut OrderBy, projection: &[SelectItem]) {
    let OrderByKind::Expressions(keys) = &mut order_by.kind else {
        return;
    };
    let is_output = |name: &Ident| {
        projection
            .iter()
            .filter_map(item_name)
            .any(|output| output.value.eq_ignore_ascii_case(&name.value))
    };
    for key in keys {
        match &key.expr {
            Expr::Value(_) => continue,
            Expr::Identifier(name) if is_output(name) => continue,
            _ => {}
        }
        let selected = projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias.clone()),
            _ => None,
        });
        if let Some(alias) = selected {
            key.expr = Expr::Identifier(alias);
        }
    }
}

pub(super) fn is_wildcard(item: &SelectItem) -> bool {
    matches!(
        item,
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
    )
}

/// The output name of a select item, if it has one of its own.
pub(crate) fn item_name(item: &SelectItem) -> Option<&Ident> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias),
        SelectItem::UnnamedExpr(expression) => expression_name(expression),
        _ => None,
    }
}

fn expression_name(expression: &Expr) -> Option<&Ident> {
    match expression {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        Expr::Nested(inner) => expression_name(inner),
        // `user` is a plain name in Athena; the parser knows dialects where it is a function.
        Expr::Function(function) if function.args == FunctionArguments::None => {
            match function.name.0.as_slice() {
                [name] => name.as_ident().filter(|name| name.value == "user"),
                _ => None,
            }
        }
        _ => None,
    }
}

fn rename(item: &mut SelectItem, internal: String) {
    let alias = Ident::with_quote('"', internal);
    match item {
        SelectItem::UnnamedExpr(expression) => {
            let expr = std::mem::replace(expression, Expr::Identifier(alias.clone()));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
        SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
        _ => {}
    }
}
