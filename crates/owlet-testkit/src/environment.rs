//! Where the test servers are, and databases of one's own on them. Must never start a server.

use std::sync::atomic::{AtomicU32, Ordering};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio_postgres::{Client, NoTls};

use crate::Result;

/// Reads a variable that `cargo xtask` sets.
///
/// # Panics
/// When it is missing: a test without its server has not run, so it must not pass.
pub fn required(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) => value,
        Err(_) => panic!("{name} is not set: run me through `cargo xtask test`"),
    }
}

/// A PostgreSQL database that exists as long as this value is not dropped with [`PostgresDatabase::drop_database`].
#[derive(Debug)]
pub struct PostgresDatabase {
    name: String,
    server: String,
}

impl PostgresDatabase {
    /// Creates an empty database with a unique name; text orders by bytes unless a column says otherwise.
    pub async fn create(purpose: &str) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let server = required("OWLET_TEST_POSTGRES_URL");
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}_{}_{number}", std::process::id());
        let client = connect(&server).await?;
        client
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await?;
        client
            .batch_execute(&format!(
                "CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C.UTF-8'"
            ))
            .await?;
        Ok(Self { name, server })
    }

    /// Connection URL of the database.
    pub fn url(&self) -> String {
        let base = self
            .server
            .rsplit_once('/')
            .map_or(self.server.as_str(), |(base, _)| base);
        format!("{base}/{}", self.name)
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url()).await
    }

    /// Removes the database, even while others are connected.
    pub async fn drop_database(self) -> Result<()> {
        let client = connect(&self.server).await?;
        Ok(client
            .batch_execute(&format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                self.name
            ))
            .await?)
    }
}

/// A MariaDB database that exists as long as this value is not dropped with [`MysqlDatabase::drop_database`].
#[derive(Debug)]
pub struct MysqlDatabase {
    /// Its name, a schema of the catalog.
    pub name: String,
    server: String,
}

impl MysqlDatabase {
    /// Creates an empty database with a unique name, whose text ignores case unless a column says otherwise.
    pub async fn create(purpose: &str) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let server = required("OWLET_TEST_MYSQL_URL")
            .trim_end_matches('/')
            .to_owned();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}_{}_{number}", std::process::id());
        let mut conn = connect_mysql(&server).await?;
        conn.query_drop(format!("DROP DATABASE IF EXISTS {name}"))
            .await?;
        conn.query_drop(format!(
            "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
        ))
        .await?;
        Ok(Self { name, server })
    }

    /// Connection URL of the database.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Conn> {
        connect_mysql(&self.url()).await
    }

    /// Removes the database.
    pub async fn drop_database(self) -> Result<()> {
        let mut conn = connect_mysql(&self.server).await?;
        Ok(conn
            .query_drop(format!("DROP DATABASE IF EXISTS {}", self.name))
            .await?)
    }
}

/// Opens a MariaDB connection in UTC.
pub async fn connect_mysql(url: &str) -> Result<Conn> {
    let opts = OptsBuilder::from_opts(Opts::from_url(url)?).prefer_socket(Some(false));
    let mut conn = Conn::new(opts).await?;
    conn.query_drop("SET NAMES utf8mb4, time_zone = '+00:00'")
        .await?;
    Ok(conn)
}

/// Opens a connection whose driver runs in the background.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // 57P01: the database was dropped under the connection, as tests do at their end.
        if let Err(error) = connection.await
            && error.code().is_none_or(|code| code.code() != "57P01")
        {
            eprintln!("connection to the test server ended: {error}");
        }
    });
    Ok(client)
}
