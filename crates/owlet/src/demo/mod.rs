//! The shop of `owlet demo`.
