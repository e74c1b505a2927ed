//! Engines over test sources. The only place of the testkit that knows how connectors are made.

use std::path::PathBuf;
use std::sync::Arc;

use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions};
use owlet_engine::{Engine, EngineBuilder, EngineConfig, Source};
use owlet_mysql::{MysqlConnector, MysqlOptions, ZeroDatePolicy};
use owlet_object::{ObjectConnector, ObjectOptions};
use owlet_postgres::{PostgresConnector, PostgresOptions};
use owlet_sqlite::{SqliteConnector, SqliteOptions};

use crate::Result;

/// Which catalogs an engine has: `pg`, `my`, `lite`, `dynamo`, `files`.
#[derive(Debug, Clone, Default)]
pub struct Catalogs {
    /// URL of a PostgreSQL database.
    pub postgres: Option<String>,
    /// URL of a MariaDB server.
    pub mysql: Option<String>,
    /// What becomes of MariaDB's zero dates.
    pub mysql_zero_dates: ZeroDatePolicy,
    /// An SQLite file.
    pub sqlite: Option<PathBuf>,
    /// Endpoint of a DynamoDB emulator.
    pub dynamodb: Option<String>,
    /// Folder of files.
    pub object: Option<PathBuf>,
}

/// An engine with two partitions over these catalogs.
pub fn engine(catalogs: &Catalogs) -> Result<Engine> {
    Ok(builder(catalogs)?.build()?)
}

/// The same with `pg2` and `my2`, which are `pg` and `my` under other names.
pub fn engine_with_twins(catalogs: &Catalogs) -> Result<Engine> {
    let mut builder = builder(catalogs)?;
    if let Some(url) = &catalogs.postgres {
        let connector = PostgresConnector::new("pg2", PostgresOptions::new(url))?;
        builder = builder.catalog("pg2", Source::Sql(Arc::new(connector)));
    }
    if let Some(url) = &catalogs.mysql {
        let connector = MysqlConnector::new("my2", mysql_options(catalogs, url))?;
        builder = builder.catalog("my2", Source::Sql(Arc::new(connector)));
    }
    Ok(builder.build()?)
}

fn mysql_options(catalogs: &Catalogs, url: &str) -> MysqlOptions {
    MysqlOptions {
        zero_dates: catalogs.mysql_zero_dates,
        ..MysqlOptions::new(url)
    }
}

fn builder(catalogs: &Catalogs) -> Result<EngineBuilder> {
    let config = EngineConfig {
        target_partitions: Some(2),
        ..EngineConfig::default()
    };
    let mut builder = Engine::builder(config);
    if let Some(url) = &catalogs.postgres {
        let connector = PostgresConnector::new("pg", PostgresOptions::new(url))?;
        builder = builder.catalog("pg", Source::Sql(Arc::new(connector)));
    }
    if let Some(url) = &catalogs.mysql {
        let connector = MysqlConnector::new("my", mysql_options(catalogs, url))?;
        builder = builder.catalog("my", Source::Sql(Arc::new(connector)));
    }
    if let Some(path) = &catalogs.sqlite {
        let connector = SqliteConnector::new("lite", SqliteOptions::new(path))?;
        builder = builder.catalog("lite", Source::Sql(Arc::new(connector)));
    }
    if let Some(endpoint) = &catalogs.dynamodb {
        let connector = DynamoDbConnector::new("dynamo", dynamodb_options(endpoint))?;
        builder = builder.catalog("dynamo", Source::Table(Arc::new(connector)));
    }
    if let Some(folder) = &catalogs.object {
        let options = ObjectOptions {
            location: format!("{}/", folder.display()),
            ..ObjectOptions::default()
        };
        builder = builder.catalog(
            "files",
            Source::Object(Arc::new(ObjectConnector::new("files", options)?)),
        );
    }
    Ok(builder)
}

/// Options for an emulator.
pub fn dynamodb_options(endpoint: &str) -> DynamoDbOptions {
    DynamoDbOptions {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some("test".to_owned()),
        ..DynamoDbOptions::default()
    }
}
