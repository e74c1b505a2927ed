//! Statements answered from metadata: SHOW and DESCRIBE. Must never know plans.

use datafusion::common::TableReference;
use owlet_athena_sql::{NamePattern, StatementKind};

use crate::catalogs::default_schema;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::query::QueryOptions;
use crate::rows::TextRows;
use crate::type_names::type_name;

impl Engine {
    /// The rows of a metadata statement; `None` when `statement` is a query.
    pub(crate) async fn metadata_rows(
        &self,
        statement: &StatementKind,
        options: &QueryOptions,
    ) -> Result<Option<TextRows>> {
        Ok(Some(match statement {
            StatementKind::Query(_) | StatementKind::Explain { .. } => return Ok(None),
            StatementKind::ShowCatalogs { like } => {
                let names = self.catalogs().into_iter().map(|catalog| catalog.name);
                one_column("catalog_name", names, like.as_ref())
            }
            StatementKind::ShowSchemas { catalog, like } => {
                let catalog = self.catalog_or_default(catalog.as_deref(), options)?;
                one_column(
                    "database_name",
                    self.schemas(&catalog).await?,
                    like.as_ref(),
                )
            }
            StatementKind::ShowTables {
                catalog,
                schema,
                like,
            } => {
                let (catalog, schema) =
                    self.schema_or_default(catalog.as_deref(), schema.as_deref(), options)?;
                let names = self
                    .tables(&catalog, &schema)
                    .await?
                    .into_iter()
                    .map(|table| table.name);
                one_column("tab_name", names, like.as_ref())
            }
            StatementKind::ShowColumns { table } | StatementKind::DescribeTable { table } => {
                let (_, metadata) = self.describe_with(&written(table), options).await?;
                let mut rows = TextRows::new(&["column_name", "data_type", "comment"]);
                for column in metadata.columns.iter().filter(|column| !column.hidden) {
                    let comment = column.comment.clone().unwrap_or_default();
                    rows.push([column.name.clone(), type_name(&column.data_type), comment]);
                }
                rows
            }
            StatementKind::ShowFunctions { like } => {
                let mut names = self.function_names()?;
                names.sort_unstable();
                names.dedup();
                one_column("function", names, like.as_ref())
            }
        }))
    }

    pub(crate) fn catalog_or_default(
        &self,
        catalog: Option<&str>,
        options: &QueryOptions,
    ) -> Result<String> {
        let default = || self.default_catalog(options);
        catalog
            .map(str::to_lowercase)
            .or_else(default)
            .ok_or_else(|| EngineError::Plan {
                position: None,
                message: "no catalog is named and there is no default".to_owned(),
                hint: format!("known catalogs: {}", self.catalog_names().join(", ")),
            })
    }

    fn schema_or_default(
        &self,
        catalog: Option<&str>,
        schema: Option<&str>,
        options: &QueryOptions,
    ) -> Result<(String, String)> {
        // `SHOW TABLES IN name`: a catalog's name stands for its usual schema.
        if catalog.is_none()
            && let Some(name) = schema
            && let Some(source) = self.source(name)
        {
            return Ok((name.to_lowercase(), default_schema(&*source.connector())));
        }
        let catalog = self.catalog_or_default(catalog, options)?;
        let schema = match schema {
            Some(schema) => schema.to_owned(),
            None => self.default_schema(&catalog, options),
        };
        Ok((catalog, schema))
    }
}

fn written(table: &TableReference) -> String {
    table.to_string()
}

fn one_column(
    column: &str,
    names: impl IntoIterator<Item = String>,
    like: Option<&NamePattern>,
) -> TextRows {
    let mut rows = TextRows::new(&[column]);
    for name in names {
        if like.is_none_or(|pattern| pattern.matches(&name)) {
            rows.push([name]);
        }
    }
    rows
}
