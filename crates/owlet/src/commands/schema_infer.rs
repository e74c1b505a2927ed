//! `owlet schema infer`: samples a DynamoDB table and shows its columns with the evidence.

use owlet_engine::EngineError;
use owlet_engine::type_names::type_name;

use super::{Context, Rows};
use crate::arguments::SchemaInferArguments;
use crate::config::{self, CatalogSettings, Config};
use crate::errors::{CliError, ExitStatus, Result};
use crate::units;

/// Runs the command.
pub async fn run(arguments: SchemaInferArguments, context: &Context) -> Result<ExitStatus> {
    let config = config::load(&context.config)?;
    let (catalog, table) = split_name(&config, &arguments.name)?;
    let report = config::runtime::infer_dynamodb_schema(&config, &catalog, table)
        .await
        .map_err(EngineError::from)?;
    let Some(report) = report else {
        let hint =
            "schemas are inferred for catalogs with connector = \"dynamodb\"; see `owlet catalogs`";
        return Err(CliError::usage(
            format!("{catalog} is no DynamoDB catalog"),
            hint,
        ));
    };
    let mut rows = Rows::new(&[
        "column",
        "type",
        "attribute",
        "key",
        "override_type",
        "evidence",
    ]);
    for evidence in &report.attributes {
        let decided = if evidence.overridden {
            " (decided by the override file)"
        } else {
            ""
        };
        rows.push(vec![
            Some(evidence.column.clone()),
            Some(type_name(&evidence.data_type())),
            Some(evidence.attribute.clone()),
            evidence.key.then(|| "key".to_owned()),
            Some(evidence.column_type.clone()),
            Some(format!("{}{decided}", evidence.summary())),
        ]);
    }
    rows.print(arguments.list.output, context.printer)?;
    context.printer.note(&format!(
        "{} of about {} in {}, sampled from {}, for {} RCU",
        units::counted(report.items, "item"),
        units::count(report.table_items),
        report.table,
        units::counted(u64::from(report.segments), "segment"),
        units::rcu(report.rcu),
    ));
    if arguments.write {
        let file = override_file(&config, &catalog)?;
        report
            .write_overrides(&catalog, &file)
            .map_err(EngineError::from)?;
        context.printer.note(&format!(
            "written to {}; edit it where you know better",
            file.display()
        ));
    }
    Ok(ExitStatus::Success)
}

/// `CATALOG.TABLE` or `CATALOG.default.TABLE`; a table name may hold dots itself.
fn split_name<'name>(config: &Config, name: &'name str) -> Result<(String, &'name str)> {
    let Some((catalog, table)) = name.split_once('.') else {
        let is_catalog = config
            .catalogs
            .iter()
            .any(|known| known.name == name.to_lowercase());
        if is_catalog {
            return Err(CliError::usage(
                format!("{name} is a catalog, and no table of it is named"),
                format!("write {name}.TABLE; `owlet tables {name}` lists them"),
            ));
        }
        return Err(CliError::usage(
            format!("{name} names no catalog"),
            "write CATALOG.TABLE",
        ));
    };
    let table = table.strip_prefix("default.").unwrap_or(table);
    Ok((catalog.to_lowercase(), table))
}

fn override_file(config: &Config, catalog: &str) -> Result<std::path::PathBuf> {
    let settings = config
        .catalogs
        .iter()
        .find(|known| known.name == catalog)
        .map(|known| &known.settings);
    if let Some(CatalogSettings::DynamoDb(settings)) = settings
        && let Some(file) = &settings.schema_overrides
    {
        return Ok(config.path(file));
    }
    Err(CliError::usage(
        format!("catalog {catalog} has no file for its schemas"),
        format!(
            "add schema_overrides = \"{catalog}-schema.toml\" to [catalog.{catalog}], then try again"
        ),
    ))
}
