//! The evaluator against SQL's definitions, and the suite against a connector that is right and ones that are not.

mod evaluator;
mod memory;
