//! `SELECT u.* FROM pg.public.u`: the last parts of a table's name stand for the table before `.*`, as they do before a
//! column's name. DataFusion wants all of them. It must never know the columns of a table.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Ident, ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind, Statement, TableFactor,
    TableWithJoins, VisitorMut,
};

use crate::errors::SqlError;
use crate::passes::walk::walk;

/// Writes the names before `.*` as FROM has them.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Wildcards)
}

struct Wildcards;

impl VisitorMut for Wildcards {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let mut tables = Tables::default();
        for item in &select.from {
            tables.add_joined(item);
        }
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) = item
                && let Some(table) = tables.only_meaning_of(name)
            {
                *name = table;
            }
        }
        ControlFlow::Continue(())
    }
}

/// What a name before `.*` can mean.
#[derive(Default)]
struct Tables<'a> {
    aliases: Vec<&'a Ident>,
    names: Vec<&'a ObjectName>,
}

impl<'a> Tables<'a> {
    fn add_joined(&mut self, item: &'a TableWithJoins) {
        self.add(&item.relation);
        for join in &item.joins {
            self.add(&join.relation);
        }
    }

    fn add(&mut self, relation: &'a TableFactor) {
        let alias = match relation {
            TableFactor::Table { name, alias, .. } => {
                if alias.is_none() {
                    self.names.push(name);
                }
                alias
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                if alias.is_none() {
                    self.add_joined(table_with_joins);
                }
                alias
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. } => alias,
            _ => return,
        };
        self.aliases.extend(alias.as_ref().map(|alias| &alias.name));
    }

    /// The table whose name ends as this one does; `None` if an alias or a whole name is meant, or several could be.
    fn only_meaning_of(&self, name: &ObjectName) -> Option<ObjectName> {
        let parts = values(name);
        let is_alias = |alias: &&Ident| parts == [Some(alias.value.as_str())];
        if self.aliases.iter().any(is_alias) {
            return None;
        }
        let mut meant = self
            .names
            .iter()
            .filter(|table| values(table).ends_with(&parts));
        match (meant.next(), meant.next()) {
            (Some(table), None) => Some((*table).clone()),
            _ => None,
        }
    }
}

fn values(name: &ObjectName) -> Vec<Option<&str>> {
    let parts = name.0.iter();
    parts
        .map(|part| part.as_ident().map(|name| name.value.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use sqlparser::parser::Parser;

    use super::*;
    use crate::dialect::AthenaDialect;

    #[test]
    fn names_before_wildcards_are_those_of_from() {
        for (sql, expected) in [
            ("SELECT u.* FROM pg.public.u", "pg.public.u.*"),
            ("SELECT public.u.* FROM pg.public.u", "pg.public.u.*"),
            (
                "SELECT b.*, a.* FROM x.a JOIN (y.b JOIN c ON true) ON true",
                "y.b.*, x.a.*",
            ),
            ("SELECT u.* FROM pg.public.u AS u", "u.*"),
            ("SELECT u.* FROM pg.public.u AS v", "u.*"),
            ("SELECT u.* FROM x.u, y.v AS u", "u.*"),
            ("SELECT u.* FROM x.u, y.u", "u.*"),
            ("SELECT u.* FROM u, y.u", "u.*"),
        ] {
            let mut statements = Parser::parse_sql(&AthenaDialect, sql).expect(sql);
            apply(&mut statements[0]).expect(sql);
            let rewritten = statements[0].to_string();
            let list = rewritten
                .split_once(" FROM ")
                .map(|(select, _)| select.replace("SELECT ", ""));
            assert_eq!(list.as_deref(), Some(expected), "{sql}");
        }
    }
}
