//! Athena's SQL on DataFusion: dialect, statement layer, passes over the syntax tree, functions and rules.
//! It must never know a source, a file or a network.

mod arithmetic;
mod casts;
mod common_types;
mod comparisons;
mod correlation;
mod decimals;
mod dialect;
mod errors;
mod execution;
mod expressions;
mod functions;
mod grammar;
mod guards;
mod intervals;
mod lateral;
mod marks;
mod names;
mod outer_names;
mod parameters;
mod passes;
mod patterns;
mod repetition;
mod rewriting;
mod session;
mod set_operations;
mod source;
mod statement;
mod subqueries;
mod types;
mod unnest;
mod using;
mod utility;
mod wording;
mod zeros;
mod zones;

pub use dialect::AthenaDialect;
pub use errors::{SqlError, SqlErrorInfo, planning_error};
pub use execution::prepare_execution;
pub use functions::type_names::sql_name;
pub use guards::restore_conditions;
pub use names::{display_name, display_names};
pub use parameters::{ParameterUse, bind_parameters};
pub use passes::files::{FILE_CATALOG, FILE_SCHEMA};
pub use passes::passthrough::PASSTHROUGH_SCHEMA;
pub use patterns::NamePattern;
pub use session::{extend_state, session_config};
pub use statement::{
    ExplainFormat, ExplainMode, ExplainType, ParsedStatement, StatementKind, parse,
};
