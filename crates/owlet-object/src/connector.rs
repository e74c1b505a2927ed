//! The catalog of files behind the connector contract. Must never know how a format is decoded.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionContext;
use owlet_connector::{
    BatchStream, Connector, ConnectorError, Health, Result, RowCount, ScanContext, ScanPlan,
    ScanRequest, TableKind, TableMetadata, TableSummary,
};

use crate::format::Format;
use crate::listing::{
    Entry, TableFiles, entry_files, find_entry, list_entries, path_files, path_place,
};
use crate::location::Location;
use crate::options::ObjectOptions;
use crate::place::Place;
use crate::table::FileTable;

/// The only schema of an object catalog.
pub const SCHEMA: &str = "default";

/// Tables whose columns are remembered while their files do not change.
const MOST_REMEMBERED: usize = 256;

/// A folder or bucket prefix whose files and folders are tables of the schema `default`.
pub struct ObjectConnector {
    catalog: String,
    options: ObjectOptions,
    location: Location,
    /// For metadata outside of a query.
    session: OnceLock<SessionState>,
    remembered: Mutex<HashMap<String, Remembered>>,
}

/// A table looked into before.
struct Remembered {
    files: TableFiles,
    table: FileTable,
}

impl fmt::Debug for ObjectConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ObjectConnector")
            .field("catalog", &self.catalog)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl ObjectConnector {
    /// A catalog of the files below `options.location`. Does no I/O.
    pub fn new(catalog: &str, options: ObjectOptions) -> Result<Self, ConnectorError> {
        let location = Location::parse(catalog, &options.location)?;
        Ok(Self {
            catalog: catalog.to_owned(),
            options,
            location,
            session: OnceLock::new(),
            remembered: Mutex::new(HashMap::new()),
        })
    }

    /// DataFusion's provider for one table of this catalog; registers the object store it needs with the session.
    pub async fn table_provider(
        &self,
        session: &dyn Session,
        table: &str,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self
            .open_table(session, table)
            .await?
            .map(|table| Arc::new(table) as Arc<dyn TableProvider>))
    }

    fn place(&self, session: &dyn Session) -> Result<Place> {
        Place::open(
            session.runtime_env(),
            &self.catalog,
            &self.location,
            &self.options,
        )
    }

    fn own_session(&self) -> &SessionState {
        self.session.get_or_init(|| SessionContext::new().state())
    }

    fn configured_format(&self, entry: &Entry) -> Result<Option<Format>> {
        let by_file = self.options.for_table(&entry.full).format;
        let Some(name) = by_file.or_else(|| self.options.for_table(&entry.stem).format) else {
            return Ok(None);
        };
        match Format::by_name(&name) {
            Some(format) => Ok(Some(format)),
            None => Err(ConnectorError::Configuration {
                catalog: self.catalog.clone(),
                message: format!("table {}: {name} is not a format", entry.listed),
                hint: "use parquet, csv, tsv, json, arrow or avro".to_owned(),
            }),
        }
    }

    async fn entries(&self, place: &Place) -> Result<Vec<Entry>> {
        let configured = |name: &str| self.options.for_table(name).format.is_some();
        list_entries(&self.catalog, place, configured).await
    }

    async fn open_table(&self, session: &dyn Session, name: &str) -> Result<Option<FileTable>> {
        let place = self.place(session)?;
        let entries = self.entries(&place).await?;
        match find_entry(&self.catalog, &entries, name)? {
            Some(entry) => self.open_entry(session, &place, entry).await.map(Some),
            None => Ok(None),
        }
    }

    async fn open_entry(
        &self,
        session: &dyn Session,
        place: &Place,
        entry: &Entry,
    ) -> Result<FileTable> {
        let files =
            entry_files(&self.catalog, place, entry, self.configured_format(entry)?).await?;
        if let Some(table) = self.recall(&entry.full, &files) {
            return Ok(table);
        }
        let options = self.options.for_table(&entry.listed);
        let table = FileTable::open(
            session,
            &self.catalog,
            &entry.listed,
            place.clone(),
            files.clone(),
            &options,
        )
        .await?;
        self.remember(
            &entry.full,
            Remembered {
                files,
                table: table.clone(),
            },
        );
        Ok(table)
    }

    fn recall(&self, key: &str, files: &TableFiles) -> Option<FileTable> {
        let remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = remembered.get(key)?;
        let same = found.files.format == files.format && found.files.files == files.files;
        same.then(|| found.table.clone())
    }

    fn remember(&self, key: &str, table: Remembered) {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED && !remembered.contains_key(key) {
            remembered.clear();
        }
        remembered.insert(key.to_owned(), table);
    }

    async fn check(&self) -> Result<usize> {
        let place = self.place(self.own_session())?;
        Ok(self.entries(&place).await?.len())
    }
}

/// DataFusion's provider for a path in place of a table name (`SELECT * FROM 'data/*.parquet'`): relative and
/// absolute local paths, globs, folders, `file://…` and `s3://…`. Of `options` everything but the location counts.
pub async fn path_provider(
    session: &dyn Session,
    path: &str,
    options: &ObjectOptions,
) -> Result<Arc<dyn TableProvider>> {
    let asked = store_of(path);
    let open = |location: &Location| Place::open(session.runtime_env(), &asked, location, options);
    let (place, pattern, written_depth) = path_place(open, &asked, path)?;
    let files = path_files(&asked, &place, pattern.as_ref(), written_depth, path).await?;
    let table_options = options.for_table(path);
    let store = place.store_name();
    let table = FileTable::open(session, &asked, path, place, files, &table_options).await?;
    Ok(Arc::new(table.asked_of(store)))
}

/// What messages name in place of a catalog, since none stands for a path: `file://` or `s3://bucket`.
fn store_of(path: &str) -> String {
    match path.split_once("://") {
        Some((scheme, rest)) if !scheme.eq_ignore_ascii_case("file") => {
            let bucket = rest.split('/').next().unwrap_or_default();
            format!("{scheme}://{bucket}")
        }
        _ => "file://".to_owned(),
    }
}

#[async_trait]
impl Connector for ObjectConnector {
    fn catalog(&self) -> &str {
        &self.catalog
    }

    fn kind(&self) -> &'static str {
        "object"
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableSummary>> {
        if !schema.eq_ignore_ascii_case(SCHEMA) {
            return Ok(Vec::new());
        }
        let place = self.place(self.own_session())?;
        let entries = self.entries(&place).await?;
        Ok(entries
            .into_iter()
            .map(|entry| TableSummary {
                name: entry.listed,
                kind: TableKind::Table,
            })
            .collect())
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        if !schema.eq_ignore_ascii_case(SCHEMA) {
            return Ok(None);
        }
        let opened = self.open_table(self.own_session(), table).await?;
        Ok(opened.map(|table| Arc::new(table.metadata())))
    }

    /// One unreadable file must not hide the others: it is listed without columns, with the reason as its comment.
    async fn describe_schema(&self, schema: &str) -> Result<Vec<Arc<TableMetadata>>> {
        if !schema.eq_ignore_ascii_case(SCHEMA) {
            return Ok(Vec::new());
        }
        let session = self.own_session();
        let place = self.place(session)?;
        let mut described = Vec::new();
        for entry in self.entries(&place).await? {
            let metadata = match self.open_entry(session, &place, &entry).await {
                Ok(table) => table.metadata(),
                Err(error) => TableMetadata {
                    schema: SCHEMA.to_owned(),
                    name: entry.listed,
                    kind: TableKind::Table,
                    columns: Vec::new(),
                    rows: RowCount::Unknown,
                    bytes: None,
                    primary_key: Vec::new(),
                    comment: Some(error.to_string()),
                },
            };
            described.push(Arc::new(metadata));
        }
        Ok(described)
    }

    async fn plan_scan(&self, _request: &ScanRequest) -> Result<ScanPlan> {
        Err(ConnectorError::Internal(
            "object tables are read through table_provider".to_owned(),
        ))
    }

    fn open(&self, _plan: &ScanPlan, _split: usize, _context: ScanContext) -> BatchStream {
        Box::pin(futures::stream::once(async {
            Err(ConnectorError::Internal(
                "object tables are read through table_provider".to_owned(),
            ))
        }))
    }

    async fn health(&self) -> Health {
        let started = Instant::now();
        match self.check().await {
            Ok(tables) => Health {
                healthy: true,
                version: format!("{tables} {}", if tables == 1 { "table" } else { "tables" }),
                rights: "read-only".to_owned(),
                latency: Some(started.elapsed()),
                problem: match tables {
                    0 => format!("no table at {}", self.location.display()),
                    _ => String::new(),
                },
                fix: match tables {
                    0 => "put data files (.parquet, .csv, .json, …) or folders of them there"
                        .to_owned(),
                    _ => String::new(),
                },
            },
            Err(error) => {
                let fix = match &error {
                    ConnectorError::Configuration { hint, .. }
                    | ConnectorError::Authentication { hint, .. }
                    | ConnectorError::PermissionDenied { hint, .. }
                    | ConnectorError::Unreachable { hint, .. }
                    | ConnectorError::TableNotFound { hint, .. } => hint.clone(),
                    _ => "check the location".to_owned(),
                };
                Health {
                    healthy: false,
                    version: String::new(),
                    rights: String::new(),
                    latency: None,
                    problem: error.to_string(),
                    fix,
                }
            }
        }
    }
}
