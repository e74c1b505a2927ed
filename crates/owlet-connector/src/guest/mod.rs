//! The manners of a good guest, for every connector alike: which tables it looks at ([`TablePatterns`]), when it
//! comes ([`OpenHours`]), and how many of its queries are there at once ([`Gate`]). Must never know a source.

mod gate;
mod hours;
mod patterns;

pub use gate::{Gate, GateOptions, Place};
pub use hours::OpenHours;
pub use patterns::TablePatterns;
