//! Builds the engine a configuration describes. The only part of the configuration that builds anything; even so
//! it opens nothing.

use std::sync::Arc;

use owlet_connector::ConnectorError;
use owlet_engine::{Engine, EngineConfig, EngineError, Source};
use owlet_object::{CsvOptions, ObjectConnector, ObjectOptions, TableOptions};

use super::Config;
use super::settings::{CatalogSettings, CsvSettings, ObjectSettings};

/// The engine with all configured catalogs.
pub fn engine(config: &Config) -> Result<Engine, EngineError> {
    let mut builder = Engine::builder(EngineConfig {
        memory_limit: config.engine.memory_limit.map(|size| size.0),
        spill_dir: config
            .engine
            .spill_dir
            .as_ref()
            .map(|folder| config.path(folder)),
        target_partitions: config.engine.target_partitions,
    });
    for catalog in &config.catalogs {
        let source = match &catalog.settings {
            CatalogSettings::Object(settings) => {
                let connector =
                    ObjectConnector::new(&catalog.name, object_options(config, settings))?;
                Source::Object(Arc::new(connector))
            }
            CatalogSettings::Postgres(_)
            | CatalogSettings::Sqlite(_)
            | CatalogSettings::DynamoDb(_) => {
                return Err(EngineError::from(ConnectorError::Configuration {
                    catalog: catalog.name.clone(),
                    message: "this connector is not in this version of Owlet".to_owned(),
                    hint: String::new(),
                }));
            }
        };
        builder = builder.catalog(&catalog.name, source);
    }
    builder.build()
}

fn object_options(config: &Config, settings: &ObjectSettings) -> ObjectOptions {
    let location = if settings.location.contains("://") {
        settings.location.clone()
    } else {
        folder_text(config, &settings.location)
    };
    ObjectOptions {
        location,
        region: settings.region.clone(),
        endpoint: settings.endpoint.clone(),
        allow_http: settings.allow_http,
        profile: settings.profile.clone(),
        access_key_id: settings
            .access_key_id
            .as_ref()
            .map(|secret| secret.expose().to_owned()),
        secret_access_key: settings
            .secret_access_key
            .as_ref()
            .map(|secret| secret.expose().to_owned()),
        session_token: settings
            .session_token
            .as_ref()
            .map(|secret| secret.expose().to_owned()),
        credential_source: None,
        csv: csv_options(&settings.csv),
        partition_types: settings.partition_types.clone(),
        infer_rows: settings.infer_rows,
        tables: settings
            .tables
            .iter()
            .map(|(name, table)| {
                let options = TableOptions {
                    format: table.format.clone(),
                    csv: csv_options(&table.csv),
                    partition_types: table.partition_types.clone(),
                    infer_rows: table.infer_rows,
                };
                (name.clone(), options)
            })
            .collect(),
    }
}

/// A path as text keeps its final `/`, which a path alone would lose.
fn folder_text(config: &Config, location: &str) -> String {
    let mut text = config
        .path(std::path::Path::new(location))
        .to_string_lossy()
        .into_owned();
    if location.ends_with('/') && !text.ends_with('/') {
        text.push('/');
    }
    text
}

fn csv_options(settings: &CsvSettings) -> CsvOptions {
    CsvOptions {
        header: settings.header,
        delimiter: settings.delimiter,
        quote: settings.quote,
        escape: settings.escape,
        comment: settings.comment,
        null: settings.null.clone(),
        types: settings.types.clone(),
        all_text: settings.all_text,
        newlines_in_values: settings.newlines_in_values,
    }
}
