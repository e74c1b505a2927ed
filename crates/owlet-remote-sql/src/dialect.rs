//! The seam between relations and remote SQL text: what a dialect must answer.
//! Must never know a driver.

use std::fmt::Debug;

use owlet_connector::{Expression, Literal};

use crate::relation::{OutputColumn, Relation};

/// A statement for a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteQuery {
    /// SQL text; columns are named `c0`, `c1`, … Literals are quoted by the dialect's own rules.
    pub sql: String,
}

/// Why something is not pushed down. Shown by `EXPLAIN`, so it names the object:
/// "ordering by users.name: collation en_US differs from byte order".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The sentence.
    pub reason: String,
}

impl Refusal {
    /// A refusal with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// A source's SQL, with its exactness table: whatever it renders gives exactly the engine's answer.
pub trait Dialect: Debug + Send + Sync {
    /// Name for people, e.g. `PostgreSQL`.
    fn name(&self) -> &'static str;

    /// Renders a whole relation, or refuses the first part that would not be exact.
    fn render(&self, relation: &Relation) -> Result<RemoteQuery, Refusal>;

    /// Whether an expression over these input columns is exact here. The text is not for execution.
    fn check_expression(
        &self,
        expression: &Expression,
        input: &[OutputColumn],
    ) -> Result<(), Refusal>;

    /// Whether `relation` is exact, given that its inputs are: its topmost operator over a description of them, and the
    /// whole as it would be sent. The planner calls it once per operator, bottom-up.
    fn check_operator(&self, relation: &Relation) -> Result<(), Refusal>;

    /// A superset predicate: an expression the source can run that is true for every row for which
    /// `predicate` is true. The engine checks `predicate` again. `None` when there is none.
    fn prefilter(&self, predicate: &Expression, input: &[OutputColumn]) -> Option<Expression>;

    /// Quotes an identifier.
    fn quote_identifier(&self, identifier: &str) -> String;

    /// Quotes a constant, cast to its type where the source would guess another.
    fn literal(&self, literal: &Literal) -> Result<String, Refusal>;
}
