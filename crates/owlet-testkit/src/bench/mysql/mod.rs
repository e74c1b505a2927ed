//! MySQL and MariaDB beside DuckDB and the server's own client.

pub mod join;
pub mod scan;
mod wire;
