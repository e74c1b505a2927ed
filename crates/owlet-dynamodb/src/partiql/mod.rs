//! PartiQL texts: which are reading ones, what they return, and which keys they fix. Must never send anything.

mod statement;
mod tokens;

pub(crate) use statement::{SelectStatement, Selected, SelectedPath, Step};
