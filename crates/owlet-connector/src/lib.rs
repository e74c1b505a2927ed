//! The contract between the engine and every source.
