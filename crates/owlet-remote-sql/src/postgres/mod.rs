//! PostgreSQL's spelling and exactness table. Must never know a driver.

mod aggregates;
mod comparison;
mod encoding;
mod functions;
mod leaf;
mod literal;
mod rules;

use arrow_schema::{DataType, TimeUnit};
use owlet_connector::{ColumnMetadata, Expression, Literal, LiteralValue};

use crate::class::{TypeClass, sql_name, type_class};
use crate::dialect::{Dialect, Refusal, RemoteQuery};
use crate::docs::DocTable;
use crate::flavor::{Flavor, Holding};
use crate::fragment::Fragment;
use crate::prefilter;
use crate::relation::{JoinKind, OutputColumn, Relation, RemoteTable};
use crate::render;
use crate::rule::{Rule, documentation};

/// SQL of PostgreSQL 12 and later, for sessions with `standard_conforming_strings = on`, `client_encoding = UTF8`
/// and `TimeZone = UTC`.
#[derive(Debug, Clone, Default)]
pub struct PostgresDialect {
    /// The server's encoding when it is not UTF-8.
    other_encoding: Option<String>,
}

impl PostgresDialect {
    /// For a database whose `server_encoding` is `UTF8`.
    pub fn new() -> Self {
        Self::default()
    }

    /// For a database with this `server_encoding`. Only in UTF-8 databases are text ordering and character
    /// functions pushed. To others no text is sent that they may not hold.
    pub fn with_server_encoding(encoding: &str) -> Self {
        let is_utf8 =
            encoding.eq_ignore_ascii_case("UTF8") || encoding.eq_ignore_ascii_case("UTF-8");
        Self {
            other_encoding: (!is_utf8).then(|| encoding.to_owned()),
        }
    }

    /// The pushdown table for documentation: construct, types, pushed or local, note.
    pub fn pushdown_table() -> DocTable {
        DocTable::pushdown(documentation(rules::RULES))
    }
}

impl Dialect for PostgresDialect {
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

impl Flavor for PostgresDialect {
    fn title(&self) -> &'static str {
        "PostgreSQL"
    }

    fn rules(&self) -> &'static [Rule] {
        rules::RULES
    }

    fn identifier(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn constant(&self, constant: &Literal) -> Result<String, Refusal> {
        if let LiteralValue::Text(text) = &constant.value
            && self.holding(text) != Holding::Held
        {
            return Err(Refusal::new(format!(
                "the database's encoding {} may not have all characters of a text constant",
                self.other_encoding.as_deref().unwrap_or("UTF8")
            )));
        }
        literal::spell(constant)
    }

    fn table_column(
        &self,
        qualifier: &str,
        table: &RemoteTable,
        column: &ColumnMetadata,
    ) -> Result<Fragment, Refusal> {
        Ok(leaf::table_column(
            &self.identifier(&column.source_name),
            qualifier,
            table,
            column,
        ))
    }

    fn text_refusal(&self) -> Option<String> {
        self.other_encoding.as_ref().map(|encoding| {
            format!("the database's encoding is {encoding}, not UTF8: bytes and characters differ")
        })
    }

    fn holding(&self, text: &str) -> Holding {
        match &self.other_encoding {
            None => Holding::Held,
            Some(encoding) => encoding::holding(encoding, text),
        }
    }

    fn tie_breaker(&self, key: &Fragment) -> Option<String> {
        // PostgreSQL holds the two zeros equal; the engine orders -0.0 first.
        (key.class() == TypeClass::Float).then(|| format!("({}::text <> '-0')", key.sql))
    }

    fn join_refusal(&self, kind: JoinKind, has_filter: bool) -> Option<&'static str> {
        (kind == JoinKind::Full && has_filter)
            .then_some("PostgreSQL runs full joins only on equal keys, without a further condition")
    }

    fn empty_select_list(&self) -> &'static str {
        ""
    }

    fn limit_clause(&self, skip: u64, fetch: Option<u64>) -> String {
        let mut clause = String::new();
        if let Some(fetch) = fetch {
            clause.push_str(&format!(" LIMIT {fetch}"));
        }
        if skip > 0 {
            clause.push_str(&format!(" OFFSET {skip}"));
        }
        clause
    }

    fn maximum_columns(&self) -> usize {
        // MaxTupleAttributeNumber.
        1_664
    }
}

/// PostgreSQL's type for an Arrow type, as cast targets spell it.
fn sql_type(data_type: &DataType) -> Result<String, Refusal> {
    let unknown = || {
        Refusal::new(format!(
            "PostgreSQL has no type for {}",
            sql_name(data_type)
        ))
    };
    Ok(match (type_class(data_type), data_type) {
        (TypeClass::Boolean, _) => "boolean".to_owned(),
        (_, DataType::Int16) => "int2".to_owned(),
        (_, DataType::Int32) => "int4".to_owned(),
        (_, DataType::Int64) => "int8".to_owned(),
        (_, DataType::Float32) => "float4".to_owned(),
        (_, DataType::Float64) => "float8".to_owned(),
        (
            TypeClass::Decimal,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale),
        ) => format!("numeric({precision},{scale})"),
        (TypeClass::Text, _) => "text".to_owned(),
        (TypeClass::Binary, _) => "bytea".to_owned(),
        (TypeClass::Date, _) => "date".to_owned(),
        (TypeClass::Time, _) => "time".to_owned(),
        (_, DataType::Timestamp(TimeUnit::Microsecond, None)) => "timestamp".to_owned(),
        (TypeClass::ZonedTimestamp, _) => "timestamptz".to_owned(),
        (TypeClass::Interval, _) => "interval".to_owned(),
        _ => return Err(unknown()),
    })
}
