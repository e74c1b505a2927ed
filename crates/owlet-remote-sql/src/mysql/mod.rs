//! MySQL's and MariaDB's spelling and exactness table. Must never know a driver.
//!
//! The SQL means the same under every `sql_mode`: identifiers stand in backticks, no string literal holds a
//! backslash (those are spelled in hexadecimal), `||` is never used, and every text is compared under a collation
//! that is spelled out.

mod aggregates;
mod comparison;
mod functions;
mod leaf;
mod literal;
mod rules;
mod temporal;
mod text;

use arrow_schema::DataType;
use owlet_connector::{ColumnMetadata, Expression, Literal, NullsOrder, SortDirection};

use crate::class::TypeClass;
use crate::dialect::{Dialect, Refusal, RemoteQuery};
use crate::docs::DocTable;
use crate::flavor::{Flavor, Nullability};
use crate::fragment::Fragment;
use crate::prefilter;
use crate::relation::{JoinKind, OutputColumn, Relation, RemoteTable};
use crate::render;
use crate::rule::{Rule, documentation};

/// Which of the two families a server belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Oracle's MySQL, and what is built from it (Percona Server, Aurora MySQL).
    MySql,
    /// MariaDB.
    MariaDb,
}

/// SQL of MySQL 8.0.17 and later and MariaDB 10.2 and later, for sessions with `time_zone = '+00:00'`,
/// `character_set_client = utf8mb4` and `collation_connection` = [`MysqlDialect::binary_collation`]. For older
/// servers nothing but plain columns is rendered.
#[derive(Debug, Clone)]
pub struct MysqlDialect {
    product: Product,
    binary_collation: Option<&'static str>,
}

/// Longest text or bytes, in bytes of the sort key, that a session compares when it sorts: `max_sort_length`.
/// Columns that may be longer are neither sorted nor grouped by at the server.
pub const MAXIMUM_SORT_BYTES: u32 = 4_096;

impl MysqlDialect {
    /// For a server of this version.
    pub fn new(product: Product, version: (u16, u16, u16)) -> Self {
        let binary_collation = match product {
            Product::MariaDb if version >= (10, 2, 2) => Some("utf8mb4_nopad_bin"),
            Product::MySql if version >= (8, 0, 17) => Some("utf8mb4_0900_bin"),
            _ => None,
        };
        Self {
            product,
            binary_collation,
        }
    }

    /// The collation under which the server compares UTF-8 bytes and blanks at the end count; `None` when the
    /// server is too old to have one.
    pub fn binary_collation(&self) -> Option<&'static str> {
        self.binary_collation
    }

    /// The pushdown table for documentation: construct, types, pushed or local, note.
    pub fn pushdown_table() -> DocTable {
        DocTable::pushdown(documentation(rules::RULES))
    }
}

impl Dialect for MysqlDialect {
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

impl Flavor for MysqlDialect {
    fn title(&self) -> &'static str {
        match self.product {
            Product::MySql => "MySQL",
            Product::MariaDb => "MariaDB",
        }
    }

    fn rules(&self) -> &'static [Rule] {
        match self.binary_collation {
            Some(_) => rules::RULES,
            None => &[],
        }
    }

    fn identifier(&self, identifier: &str) -> String {
        format!("`{}`", identifier.replace('`', "``"))
    }

    fn constant(&self, constant: &Literal) -> Result<String, Refusal> {
        literal::spell(constant, self.binary_collation)
    }

    fn table_column(
        &self,
        qualifier: &str,
        table: &RemoteTable,
        column: &ColumnMetadata,
    ) -> Result<Fragment, Refusal> {
        let raw = format!("{qualifier}.{}", self.identifier(&column.source_name));
        Ok(match self.binary_collation {
            Some(collation) => leaf::table_column(raw, self.product, collation, table, column),
            None => leaf::plain_column(raw, table, column),
        })
    }

    fn may_be_long(&self, data_type: &DataType, origin: Option<&ColumnMetadata>) -> bool {
        leaf::may_be_long(data_type, origin)
    }

    fn order_terms(
        &self,
        key: &str,
        direction: SortDirection,
        nulls: NullsOrder,
        nullability: Nullability,
    ) -> Vec<String> {
        // NULL is the smallest value here, and there is no NULLS FIRST.
        let (direction, own_place) = match direction {
            SortDirection::Ascending => ("ASC", NullsOrder::First),
            SortDirection::Descending => ("DESC", NullsOrder::Last),
        };
        let term = format!("{key} {direction}");
        if nullability == Nullability::NeverNull || nulls == own_place {
            return vec![term];
        }
        let place = match nulls {
            NullsOrder::First => "DESC",
            NullsOrder::Last => "ASC",
        };
        vec![format!("({key} IS NULL) {place}"), term]
    }

    fn tie_breaker(&self, key: &Fragment) -> Option<String> {
        // The two zeros are equal here; the engine orders -0.0 first.
        (key.class() == TypeClass::Float).then(|| format!("(CAST({} AS CHAR(2)) <> '-0')", key.sql))
    }

    fn join_refusal(&self, kind: JoinKind, _has_filter: bool) -> Option<&'static str> {
        (kind == JoinKind::Full).then_some("MySQL and MariaDB have no full joins")
    }

    fn empty_select_list(&self) -> &'static str {
        "1 AS c0"
    }

    fn limit_clause(&self, skip: u64, fetch: Option<u64>) -> String {
        match (skip, fetch) {
            (0, Some(fetch)) => format!(" LIMIT {fetch}"),
            (skip, Some(fetch)) => format!(" LIMIT {fetch} OFFSET {skip}"),
            (skip, None) => format!(" LIMIT {} OFFSET {skip}", u64::MAX),
        }
    }

    fn maximum_columns(&self) -> usize {
        // A table has at most 1017 columns, and a derived table is one, too.
        1_017
    }
}
