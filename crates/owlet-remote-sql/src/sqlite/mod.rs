//! SQLite's spelling and exactness table. Must never know a driver.
//!
//! The SQL uses functions that the connector registers on its connections ([`functions`]): SQLite alone cannot
//! raise an error in a query, and cannot spell every double exactly.

pub mod column;
mod comparison;
pub mod functions;
mod leaf;
mod like;
mod literal;
mod rules;
mod scalar;

use owlet_connector::{ColumnMetadata, Expression, Literal};

use crate::dialect::{Dialect, Refusal, RemoteQuery};
use crate::docs::DocTable;
use crate::flavor::Flavor;
use crate::fragment::Fragment;
use crate::prefilter;
use crate::relation::{JoinKind, OutputColumn, Relation, RemoteTable};
use crate::render;
use crate::rule::{Rule, documentation};
use crate::select::Select;

/// SQL of SQLite 3.39 and later, on connections that have Owlet's functions.
#[derive(Debug, Clone, Default)]
pub struct SqliteDialect {
    /// The database's encoding when it is not UTF-8.
    other_encoding: Option<String>,
}

impl SqliteDialect {
    /// For a database encoded in UTF-8 (the default).
    pub fn new() -> Self {
        Self::default()
    }

    /// For a database with this `PRAGMA encoding`. UTF-16 databases order text by UTF-16 bytes, so there text
    /// ordering is not pushed.
    pub fn with_encoding(encoding: &str) -> Self {
        Self {
            other_encoding: (!encoding.eq_ignore_ascii_case("UTF-8")).then(|| encoding.to_owned()),
        }
    }

    /// The pushdown table for documentation: construct, types, pushed or local, note.
    pub fn pushdown_table() -> DocTable {
        DocTable::pushdown(documentation(rules::RULES))
    }
}

impl Dialect for SqliteDialect {
    fn name(&self) -> &'static str {
        self.title()
    }

    fn render(&self, relation: &Relation) -> Result<RemoteQuery, Refusal> {
        render::render(self, relation)
    }

    fn check_expression(
        &self,
        expression: &Expression,
        input: &[OutputColumn],
    ) -> Result<(), Refusal> {
        render::check_expression(self, expression, input)
    }

    fn check_operator(&self, relation: &Relation) -> Result<(), Refusal> {
        render::check_operator(self, relation)
    }

    fn prefilter(&self, predicate: &Expression, input: &[OutputColumn]) -> Option<Expression> {
        prefilter::prefilter(self, predicate, input)
    }

    fn quote_identifier(&self, identifier: &str) -> String {
        self.identifier(identifier)
    }

    fn literal(&self, literal: &Literal) -> Result<String, Refusal> {
        self.constant(literal)
    }
}

impl Flavor for SqliteDialect {
    fn title(&self) -> &'static str {
        "SQLite"
    }

    fn rules(&self) -> &'static [Rule] {
        rules::RULES
    }

    fn identifier(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn constant(&self, constant: &Literal) -> Result<String, Refusal> {
        literal::spell(constant)
    }

    fn table_column(
        &self,
        qualifier: &str,
        table: &RemoteTable,
        column: &ColumnMetadata,
    ) -> Result<Fragment, Refusal> {
        let label = literal::quoted(&format!("{}.{}", table.name, column.source_name))?;
        Ok(leaf::table_column(
            &self.identifier(&column.source_name),
            qualifier,
            &label,
            table,
            column,
        ))
    }

    fn text_refusal(&self) -> Option<String> {
        self.other_encoding.as_ref().map(|encoding| {
            format!("the database's encoding is {encoding}: its bytes order differently")
        })
    }

    fn join_refusal(&self, kind: JoinKind, has_filter: bool) -> Option<&'static str> {
        let needs_exists = has_filter && matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti);
        needs_exists.then_some(
            "with a condition over both sides SQLite would search the right side for every row",
        )
    }

    fn membership(&self, keys: &[[Fragment; 2]], right: &Select, negated: bool) -> Option<String> {
        // `IN` builds one sorted set; a correlated EXISTS without an index scans the right side for every row.
        let tested: Vec<String> = keys
            .iter()
            .map(|[left, _]| comparison::binary(left))
            .collect();
        let members: Vec<&str> = keys.iter().map(|[_, right]| right.sql.as_str()).collect();
        let tested = match tested.as_slice() {
            [only] => only.clone(),
            several => format!("({})", several.join(", ")),
        };
        let mut source = right.clone();
        if !negated {
            return Some(format!(
                "({tested} IN (SELECT {} FROM {}))",
                members.join(", "),
                source.source_sql()
            ));
        }
        // Without NULLs among the members, `IN` is unknown only for a left key with a NULL, which has no match.
        source.conditions.extend(
            members
                .iter()
                .map(|member| format!("({member} IS NOT NULL)")),
        );
        Some(format!(
            "(({tested} IN (SELECT {} FROM {})) IS NOT TRUE)",
            members.join(", "),
            source.source_sql()
        ))
    }

    fn empty_select_list(&self) -> &'static str {
        "1 AS c0"
    }

    fn limit_clause(&self, skip: u64, fetch: Option<u64>) -> String {
        let fetch = fetch.map_or_else(|| "-1".to_owned(), |fetch| fetch.to_string());
        if skip > 0 {
            format!(" LIMIT {fetch} OFFSET {skip}")
        } else {
            format!(" LIMIT {fetch}")
        }
    }

    fn weakened(&self, predicate: &Expression) -> Option<Expression> {
        like::weakened(predicate)
    }

    fn maximum_columns(&self) -> usize {
        // SQLITE_MAX_COLUMN.
        2_000
    }
}
