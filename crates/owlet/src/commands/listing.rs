//! `owlet catalogs`, `owlet schemas` and `owlet tables`. A source that cannot be listed does not hide the others:
//! its error is printed and decides the exit code.

use futures::future::join_all;
use owlet_connector::TableKind;
use owlet_engine::{Engine, EngineError, suggestions};

use super::{Context, Rows};
use crate::arguments::{ListArguments, SchemasArguments, TablesArguments};
use crate::config;
use crate::errors::{CliError, ExitStatus, Result};
use crate::printer::Printer;
use crate::session::{Session, unknown_catalog};

/// `owlet catalogs`. Opens nothing.
pub fn catalogs(arguments: &ListArguments, context: &Context) -> Result<ExitStatus> {
    catalogs_in(&context.session()?, arguments, context.printer)
}

/// Lists the catalogs of an open session.
pub fn catalogs_in(
    session: &Session,
    arguments: &ListArguments,
    printer: Printer,
) -> Result<ExitStatus> {
    let mut rows = Rows::new(&["catalog", "connector"]);
    for catalog in session.engine.catalogs() {
        rows.push(vec![Some(catalog.name), Some(catalog.kind.to_owned())]);
    }
    rows.print(arguments.output, printer)?;
    if session.config.file.is_none() {
        printer.note("no owlet.toml here or above; write one with `owlet init`");
    }
    let mut status = ExitStatus::Success;
    for problem in config::runtime::problems(&session.config) {
        status = told(EngineError::from(problem).into(), printer);
    }
    Ok(status)
}

/// `owlet schemas [CATALOG]`.
pub async fn schemas(arguments: SchemasArguments, context: &Context) -> Result<ExitStatus> {
    schemas_in(&context.session()?, arguments, context.printer).await
}

/// Lists the schemas of an open session.
pub async fn schemas_in(
    session: &Session,
    arguments: SchemasArguments,
    printer: Printer,
) -> Result<ExitStatus> {
    let catalogs = chosen_catalogs(&session.engine, arguments.catalog.as_deref())?;
    let listed = join_all(catalogs.iter().map(|catalog| {
        let catalog = catalog.clone();
        session.ask(|engine| async move { engine.schemas(&catalog).await })
    }))
    .await;
    let mut rows = Rows::new(&["catalog", "schema"]);
    let mut status = ExitStatus::Success;
    for (catalog, listed) in catalogs.iter().zip(listed) {
        match listed {
            Ok(schemas) => {
                for schema in schemas {
                    rows.push(vec![Some(catalog.clone()), Some(schema)]);
                }
            }
            Err(error) => status = told(error, printer),
        }
    }
    rows.print(arguments.list.output, printer)?;
    Ok(status)
}

/// `owlet tables [CATALOG[.SCHEMA]]`.
pub async fn tables(arguments: TablesArguments, context: &Context) -> Result<ExitStatus> {
    tables_in(&context.session()?, arguments, context.printer).await
}

/// Lists the tables of an open session.
pub async fn tables_in(
    session: &Session,
    arguments: TablesArguments,
    printer: Printer,
) -> Result<ExitStatus> {
    let (catalog, schema) = match arguments
        .scope
        .as_deref()
        .map(|scope| scope.split_once('.').unwrap_or((scope, "")))
    {
        None => (None, None),
        Some((catalog, "")) => (Some(catalog), None),
        Some((catalog, schema)) => (Some(catalog), Some(schema)),
    };
    let catalogs = chosen_catalogs(&session.engine, catalog)?;
    let schema = match (catalogs.as_slice(), schema) {
        ([catalog], Some(schema)) => Some(known_schema(session, catalog, schema).await?),
        _ => None,
    };
    let listed = join_all(catalogs.iter().map(|catalog| {
        let (catalog, schema) = (catalog.clone(), schema.clone());
        session.ask(|engine| async move { tables_of(&engine, &catalog, schema).await })
    }))
    .await;
    let mut rows = Rows::new(&["catalog", "schema", "table", "kind"]);
    let mut status = ExitStatus::Success;
    for (catalog, listed) in catalogs.iter().zip(listed) {
        match listed {
            Ok(tables) => {
                for (schema, table, kind) in tables {
                    rows.push(vec![
                        Some(catalog.clone()),
                        Some(schema),
                        Some(table),
                        Some(kind_word(kind).to_owned()),
                    ]);
                }
            }
            Err(error) => status = told(error, printer),
        }
    }
    rows.print(arguments.list.output, printer)?;
    Ok(status)
}

/// Schema, table and kind of every table of a catalog, or of one of its schemas.
async fn tables_of(
    engine: &Engine,
    catalog: &str,
    schema: Option<String>,
) -> Result<Vec<(String, String, TableKind)>, EngineError> {
    let schemas = match schema {
        Some(schema) => vec![schema],
        None => engine.schemas(catalog).await?,
    };
    let mut tables = Vec::new();
    for schema in schemas {
        // `information_schema` is Owlet's own and the same everywhere.
        if schema == "information_schema" {
            continue;
        }
        for table in engine.tables(catalog, &schema).await? {
            tables.push((schema.clone(), table.name, table.kind));
        }
    }
    Ok(tables)
}

/// How people call a kind of relation.
fn kind_word(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Table => "table",
        TableKind::View => "view",
        TableKind::Foreign => "foreign table",
    }
}

fn chosen_catalogs(engine: &Engine, wanted: Option<&str>) -> Result<Vec<String>> {
    let known: Vec<String> = engine
        .catalogs()
        .into_iter()
        .map(|catalog| catalog.name)
        .collect();
    let Some(wanted) = wanted else {
        return Ok(known);
    };
    let wanted = wanted.to_lowercase();
    if !known.contains(&wanted) {
        return Err(unknown_catalog(engine, &wanted));
    }
    Ok(vec![wanted])
}

/// The schema in its own spelling. An unknown one is an error, not an empty list.
async fn known_schema(session: &Session, catalog: &str, schema: &str) -> Result<String> {
    let asked = catalog.to_owned();
    let known = session
        .ask(|engine| async move { engine.schemas(&asked).await })
        .await?;
    if schema.eq_ignore_ascii_case("information_schema") {
        return Ok("information_schema".to_owned());
    }
    let found = known.iter().find(|known| *known == schema).or_else(|| {
        known
            .iter()
            .find(|known| known.eq_ignore_ascii_case(schema))
    });
    if let Some(found) = found {
        return Ok(found.clone());
    }
    Err(CliError::usage(
        format!("schema {schema} does not exist in catalog {catalog}"),
        suggestions::of_names(schema, "schemas", &known),
    ))
}

fn told(error: CliError, printer: Printer) -> ExitStatus {
    printer.message(&error.report());
    error.exit_status()
}
