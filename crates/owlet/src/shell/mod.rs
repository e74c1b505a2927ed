//! What makes the interactive shell comfortable: its backslash commands and the completion of names.
//! Must never run a query.

pub mod completion;
pub mod directive;
