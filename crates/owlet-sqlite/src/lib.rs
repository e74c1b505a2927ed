//! SQLite connector.
