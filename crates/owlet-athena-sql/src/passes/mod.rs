//! Passes over the syntax tree: each turns one piece of Athena's syntax into what DataFusion plans.
//! They must never know tables or types.

use sqlparser::ast::Statement;

use crate::errors::SqlError;
use crate::parameters::ParameterUse;

mod aggregates;
pub(crate) mod build;
mod expressions;
mod fields;
pub(crate) mod files;
pub(crate) mod likes;
mod limits;
mod literals;
mod membership;
pub(crate) mod passthrough;
mod placeholders;
pub(crate) mod relations;
mod repeated_casts;
mod repeated_wildcards;
pub(crate) mod select_names;
mod walk;
mod wildcards;

/// Runs all passes in the order they need, and reports which parameters the statement uses.
pub(crate) fn apply(statement: &mut Statement) -> Result<ParameterUse, SqlError> {
    files::apply(statement)?;
    passthrough::apply(statement)?;
    literals::apply(statement)?;
    limits::apply(statement)?;
    fields::apply(statement)?;
    wildcards::apply(statement)?;
    // Names come from the select list as written, so before expressions change.
    select_names::apply(statement)?;
    membership::apply(statement)?;
    likes::apply(statement)?;
    aggregates::apply(statement)?;
    expressions::apply(statement)?;
    repeated_casts::apply(statement)?;
    relations::apply(statement)?;
    placeholders::apply(statement)
}
