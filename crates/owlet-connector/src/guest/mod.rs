//! The manners of a good guest, for every connector alike: which tables it looks at ([`TablePatterns`]), when it
//! comes ([`OpenHours`]), how many of its queries are there at once ([`Gate`]), and which of a catalog's servers they go
//! to ([`Routes`]). Must never know a source.

mod gate;
mod hours;
mod patterns;
mod replicas;

pub use gate::{Gate, GateOptions, Place};
pub use hours::OpenHours;
pub use patterns::TablePatterns;
pub use replicas::{Condition, Lag, PRIMARY, ReplicaLag, Routes, ServerId};
