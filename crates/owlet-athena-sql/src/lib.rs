//! Athena's SQL on DataFusion: dialect, statement layer, function library.
