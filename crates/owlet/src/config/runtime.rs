//! Builds the engine a configuration describes. The only part of the configuration that builds anything; even so
//! it opens nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;

use owlet_connector::ConnectorError;
use owlet_dynamodb::{DynamoDbConnector, DynamoDbExportConnector, InferenceReport};
use owlet_engine::{Engine, EngineConfig, EngineError, Source};
use owlet_mysql::MysqlConnector;
use owlet_object::ObjectConnector;
use owlet_postgres::PostgresConnector;
use owlet_sqlite::SqliteConnector;

use super::settings::{Catalog, CatalogSettings, DynamoDbSettings};
use super::{Config, options};
use crate::embedded::EmbeddedConnector;
use crate::unusable::UnusableConnector;

/// The engine with all configured catalogs. One whose settings cannot work fails when it is asked, and only then: the
/// queries that do not name it have no part in it.
pub fn engine(config: &Config) -> Result<Engine, EngineError> {
    let mut builder = Engine::builder(EngineConfig {
        memory_limit: config.engine.memory_limit.map(|size| size.0),
        spill_dir: config
            .engine
            .spill_dir
            .as_ref()
            .map(|folder| config.path(folder)),
        target_partitions: config.engine.target_partitions.map(NonZeroUsize::get),
    });
    for catalog in &config.catalogs {
        let source = source(config, catalog).unwrap_or_else(|error| {
            Source::Table(Arc::new(UnusableConnector::new(
                &catalog.name,
                catalog.settings.kind(),
                error,
            )))
        });
        builder = builder.catalog(&catalog.name, source);
    }
    builder.build()
}

/// What is wrong with the settings of catalogs that cannot work.
pub fn problems(config: &Config) -> Vec<ConnectorError> {
    let sources = config.catalogs.iter();
    sources
        .filter_map(|catalog| source(config, catalog).err())
        .collect()
}

fn source(config: &Config, catalog: &Catalog) -> Result<Source, ConnectorError> {
    let name = catalog.name.as_str();
    Ok(match &catalog.settings {
        CatalogSettings::Postgres(settings) => Source::Sql(Arc::new(PostgresConnector::new(
            name,
            options::postgres(config, name, settings)?,
        )?)),
        CatalogSettings::Mysql(settings) => Source::Sql(Arc::new(MysqlConnector::new(
            name,
            options::mysql(config, name, settings)?,
        )?)),
        CatalogSettings::Sqlite(settings) => Source::Sql(Arc::new(SqliteConnector::new(
            name,
            options::sqlite(config, settings),
        )?)),
        CatalogSettings::DynamoDb(settings) => match (&settings.location, &settings.embedded) {
            (Some(location), _) => {
                Source::Table(Arc::new(exports(config, name, settings, location)?))
            }
            (None, Some(file)) => {
                let options = options::dynamodb(config, settings);
                Source::Table(Arc::new(EmbeddedConnector::new(
                    name,
                    config.path(file),
                    options,
                )))
            }
            (None, None) => Source::Table(Arc::new(dynamodb(config, name, settings)?)),
        },
        CatalogSettings::Object(settings) => Source::Object(Arc::new(ObjectConnector::new(
            name,
            options::object(config, settings),
        )?)),
    })
}

fn dynamodb(
    config: &Config,
    name: &str,
    settings: &DynamoDbSettings,
) -> Result<DynamoDbConnector, ConnectorError> {
    DynamoDbConnector::new(name, options::dynamodb(config, settings))
}

fn exports(
    config: &Config,
    name: &str,
    settings: &DynamoDbSettings,
    location: &str,
) -> Result<DynamoDbExportConnector, ConnectorError> {
    DynamoDbExportConnector::new(
        name,
        &options::location(config, location),
        options::dynamodb(config, settings),
    )
}

/// What a sample of a DynamoDB table, or of its export, shows (`owlet schema infer`); `None` when the catalog is of
/// another kind or does not exist.
pub async fn infer_dynamodb_schema(
    config: &Config,
    name: &str,
    table: &str,
) -> Result<Option<InferenceReport>, ConnectorError> {
    let catalog = config.catalogs.iter().find(|catalog| catalog.name == name);
    let Some(CatalogSettings::DynamoDb(settings)) = catalog.map(|catalog| &catalog.settings) else {
        return Ok(None);
    };
    let report = match (&settings.location, &settings.embedded) {
        (Some(location), _) => {
            exports(config, name, settings, location)?
                .infer_schema(table)
                .await?
        }
        (None, Some(file)) => {
            let options = options::dynamodb(config, settings);
            EmbeddedConnector::new(name, config.path(file), options)
                .started()
                .await?
                .infer_schema(table)
                .await?
        }
        (None, None) => {
            dynamodb(config, name, settings)?
                .infer_schema(table)
                .await?
        }
    };
    Ok(Some(report))
}
