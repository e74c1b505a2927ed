//! Passes over the syntax tree: each turns one piece of Athena's syntax into what DataFusion plans.
//! They must never know tables or types.

pub(crate) mod files;
pub(crate) mod placeholders;
pub(crate) mod select_names;
