//! The tables of a location: the newest full export of each, and the changes of its incremental ones; their columns
//! from a sample of their lines. Must never know scans.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use owlet_connector::{
    ColumnMetadata, ColumnStatistics, ConnectorError, RowCount, TableKind, TableMetadata,
};
use tokio::sync::{Mutex, OnceCell, mpsc};

use super::inflate::{Packed, UnpackError, Unpacker};
use super::ion;
use super::manifest::{self, DataFile, Export, ExportFormat, ExportKind, damaged};
use super::record::{ChangeColumn, Record};
use super::store::ExportStore;
use crate::infer::observe::{self, Observation};
use crate::infer::{AttributeEvidence, InferenceReport, SchemaOverrides};
use crate::options::DynamoDbOptions;
use crate::shape::Shape;
use crate::table::{ITEM_COLUMN, SCHEMA};

/// Follows the name of a table whose rows are changes. No DynamoDB table can have it in its name.
const CHANGES_SUFFIX: &str = "$changes";
/// Files looked into for a sample.
const SAMPLED_FILES: usize = 16;

/// A table of the location.
#[derive(Debug)]
pub(crate) struct ExportTable {
    pub(crate) name: String,
    pub(crate) metadata: Arc<TableMetadata>,
    /// Parallel to the metadata's columns.
    pub(crate) columns: Vec<ExportColumn>,
    pub(crate) files: Vec<DataFile>,
    /// Attributes of the primary key, known from changes only.
    pub(crate) key_names: Vec<String>,
    /// For people, e.g. `full export of 2026-11-01T00:00:00Z`.
    pub(crate) origin: String,
    sample: Sample,
    overridden: BTreeSet<String>,
}

/// What is behind a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ExportColumn {
    /// An attribute.
    Attribute { name: String, shape: Shape },
    /// The whole item of a full export, as JSON.
    Item,
    /// Something about a change.
    Change(ChangeColumn),
}

#[derive(Debug, Default)]
struct Sample {
    items: u64,
    files: u32,
    keys: Vec<String>,
    attributes: BTreeMap<String, Observation>,
}

/// Finds tables and remembers them.
#[derive(Debug)]
pub(crate) struct ExportCatalog {
    store: Arc<ExportStore>,
    options: Arc<DynamoDbOptions>,
    found: Mutex<Option<(Instant, Arc<Vec<Source>>)>>,
    /// Tables by name, with the exports they were made of.
    tables: Mutex<HashMap<String, KnownTable>>,
    overrides: OnceCell<Arc<SchemaOverrides>>,
}

/// A table and the exports it was made of.
type KnownTable = (Vec<String>, Arc<ExportTable>);

/// The exports a table is made of.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    exports: Vec<Export>,
}

impl Source {
    fn identity(&self) -> Vec<String> {
        self.exports
            .iter()
            .map(|export| export.arn.clone())
            .collect()
    }
}

impl ExportCatalog {
    pub(crate) fn new(store: Arc<ExportStore>, options: Arc<DynamoDbOptions>) -> Self {
        Self {
            store,
            options,
            found: Mutex::default(),
            tables: Mutex::default(),
            overrides: OnceCell::new(),
        }
    }

    /// All tables of the location; looked for again after `metadata_ttl`.
    pub(crate) async fn sources(&self) -> Result<Arc<Vec<Source>>, ConnectorError> {
        let mut found = self.found.lock().await;
        if let Some((looked, sources)) = found.as_ref()
            && looked.elapsed() < self.options.metadata_ttl
        {
            return Ok(Arc::clone(sources));
        }
        let sources = Arc::new(sources_of(manifest::find(&self.store).await?));
        *found = Some((Instant::now(), Arc::clone(&sources)));
        Ok(sources)
    }

    /// The table of a name: the exact spelling, or the only one that differs by case.
    pub(crate) async fn find(
        &self,
        name: &str,
    ) -> Result<Option<Arc<ExportTable>>, ConnectorError> {
        let sources = self.sources().await?;
        let lower = name.to_lowercase();
        let exact = sources.iter().find(|source| source.name == name);
        let candidates: Vec<&Source> = match exact {
            Some(exact) => vec![exact],
            None => sources
                .iter()
                .filter(|source| source.name.to_lowercase() == lower)
                .collect(),
        };
        match candidates.as_slice() {
            [] => Ok(None),
            [only] => self.table_of(only).await.map(Some),
            several => Err(ConnectorError::AmbiguousName {
                catalog: self.store.catalog().to_owned(),
                name: name.to_owned(),
                candidates: several
                    .iter()
                    .map(|source| source.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// The table of a name, for its evidence: the override file may be missing, since it may be made of that.
    pub(crate) async fn find_for_evidence(
        &self,
        name: &str,
    ) -> Result<Option<Arc<ExportTable>>, ConnectorError> {
        let file = self.options.schema_overrides.as_deref();
        if let Some(none) = SchemaOverrides::of_missing_file(file) {
            self.overrides
                .get_or_init(|| async { Arc::new(none) })
                .await;
        }
        self.find(name).await
    }

    async fn table_of(&self, source: &Source) -> Result<Arc<ExportTable>, ConnectorError> {
        let mut tables = self.tables.lock().await;
        // Exports never change.
        if let Some((identity, table)) = tables.get(&source.name)
            && *identity == source.identity()
        {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.load(source).await?);
        tables.insert(source.name.clone(), (source.identity(), Arc::clone(&table)));
        Ok(table)
    }

    async fn load(&self, source: &Source) -> Result<ExportTable, ConnectorError> {
        let mut files = Vec::new();
        for export in &source.exports {
            files.extend(export.files(&self.store).await?);
        }
        let sample = self.sample(&files).await?;
        let overrides = self.overrides().await?;
        Ok(ExportTable::new(
            source,
            files,
            sample,
            &overrides,
            &self.options,
        ))
    }

    async fn overrides(&self) -> Result<Arc<SchemaOverrides>, ConnectorError> {
        let load = || async {
            let Some(path) = &self.options.schema_overrides else {
                return Ok(Arc::default());
            };
            SchemaOverrides::load_configured(self.store.catalog(), path).map(Arc::new)
        };
        self.overrides.get_or_try_init(load).await.map(Arc::clone)
    }

    /// Looks at the first lines of files from everywhere in the table.
    async fn sample(&self, files: &[DataFile]) -> Result<Sample, ConnectorError> {
        let mut sample = Sample::default();
        let count = files.len().min(SAMPLED_FILES);
        for number in 0..count {
            let left = self.options.sample_items.saturating_sub(sample.items);
            if left == 0 {
                break;
            }
            let file = files[number * files.len() / count].clone();
            let wanted = left.div_ceil((count - number) as u64);
            sample = self.sample_file(file, wanted, sample).await?;
            sample.files += 1;
        }
        Ok(sample)
    }

    async fn sample_file(
        &self,
        file: DataFile,
        wanted: u64,
        mut sample: Sample,
    ) -> Result<Sample, ConnectorError> {
        let path = object_store::path::Path::from(file.path.as_str());
        let mut stream = self.store.stream(&path).await?;
        let (sender, receiver) = mpsc::channel(2);
        let worker = tokio::task::spawn_blocking(move || {
            let observed = observe_lines(receiver, &file, wanted, &mut sample);
            observed.map(|()| sample)
        });
        while let Some(piece) = futures::StreamExt::next(&mut stream).await {
            let piece = piece.map_err(|error| self.store.failure(&path, &error))?;
            // The worker has enough.
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(sender);
        worker
            .await
            .map_err(|error| ConnectorError::Internal(format!("a sample failed: {error}")))?
            .map_err(|message| damaged(&self.store, &path, &message))
    }
}

struct Pieces(mpsc::Receiver<bytes::Bytes>);

impl Packed for Pieces {
    type Error = std::convert::Infallible;

    fn next_piece(&mut self) -> Result<bytes::Bytes, Self::Error> {
        Ok(self.0.blocking_recv().unwrap_or_default())
    }
}

fn observe_lines(
    receiver: mpsc::Receiver<bytes::Bytes>,
    file: &DataFile,
    wanted: u64,
    sample: &mut Sample,
) -> Result<(), String> {
    let mut unpacker = Unpacker::new(Pieces(receiver));
    let mut pending: Vec<u8> = Vec::new();
    let mut observed = 0;
    loop {
        let piece = unpacker
            .next_piece()
            .map_err(|error: UnpackError<_>| error.to_string())?;
        let is_end = piece.is_empty();
        pending.extend_from_slice(piece);
        if is_end && pending.last().is_some_and(|last| *last != b'\n') {
            pending.push(b'\n');
        }
        let mut start = 0;
        while let Some(length) = pending[start..].iter().position(|byte| *byte == b'\n') {
            if observed == wanted {
                return Ok(());
            }
            let line = std::str::from_utf8(&pending[start..start + length])
                .map_err(|error| error.to_string())?
                .trim();
            start += length + 1;
            if !line.is_empty() {
                sample.add(line, file)?;
                observed += 1;
            }
        }
        pending.drain(..start);
        if is_end {
            return Ok(());
        }
    }
}

impl Sample {
    fn add(&mut self, line: &str, file: &DataFile) -> Result<(), String> {
        let mut json = String::new();
        let line = match file.format {
            ExportFormat::Json => line,
            ExportFormat::Ion => {
                ion::to_json(line, &mut json)?;
                json.as_str()
            }
        };
        let record = Record::parse(line).map_err(|error| error.to_string())?;
        let parse = |text: &str| {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
                .map_err(|error| error.to_string())
        };
        if let Some(keys) = record.keys {
            for name in parse(keys)?.into_iter().map(|(name, _)| name) {
                if !self.keys.contains(&name) {
                    self.keys.push(name);
                }
            }
        }
        let attributes = record.item.or(record.new_image).or(record.keys);
        for (name, value) in parse(attributes.unwrap_or("{}"))? {
            self.attributes.entry(name).or_default().add(&value);
        }
        self.items += 1;
        Ok(())
    }
}

/// The newest full export of each table, and all incremental ones together, in the order of time.
fn sources_of(exports: Vec<Export>) -> Vec<Source> {
    let mut sources: BTreeMap<String, Vec<Export>> = BTreeMap::new();
    for export in exports {
        let name = match export.kind {
            ExportKind::Full => export.table.clone(),
            ExportKind::Changes { .. } => format!("{}{CHANGES_SUFFIX}", export.table),
        };
        sources.entry(name).or_default().push(export);
    }
    sources
        .into_iter()
        .map(|(name, mut exports)| {
            exports.sort_by(|left, right| (&left.time, &left.arn).cmp(&(&right.time, &right.arn)));
            let is_full = exports
                .last()
                .is_some_and(|export| export.kind == ExportKind::Full);
            if is_full {
                exports = exports.pop().into_iter().collect();
            }
            Source { name, exports }
        })
        .collect()
}

impl ExportTable {
    fn new(
        source: &Source,
        files: Vec<DataFile>,
        sample: Sample,
        overrides: &SchemaOverrides,
        options: &DynamoDbOptions,
    ) -> Self {
        let is_changes = source.name.ends_with(CHANGES_SUFFIX);
        let own_name = source
            .name
            .strip_suffix(CHANGES_SUFFIX)
            .unwrap_or(&source.name);
        let mut shapes: Vec<(String, Shape)> = sample
            .attributes
            .iter()
            .map(|(name, observation)| (name.clone(), observation.shape(options.numbers)))
            .collect();
        shapes
            .sort_by_cached_key(|(name, _)| (!sample.keys.contains(name), observe::sort_key(name)));
        let mut overridden = BTreeSet::new();
        for (name, shape) in overrides.of_table(own_name) {
            overridden.insert(name.to_owned());
            match shapes.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.clone_from(shape),
                None => shapes.push((name.to_owned(), shape.clone())),
            }
        }
        let mut columns: Vec<ExportColumn> = shapes
            .into_iter()
            .map(|(name, shape)| ExportColumn::Attribute { name, shape })
            .collect();
        if is_changes {
            columns.extend(ChangeColumn::ALL.map(ExportColumn::Change));
        } else {
            columns.push(ExportColumn::Item);
        }
        let mut metadata: Vec<ColumnMetadata> = columns
            .iter()
            .map(|column| column_metadata(column, &sample))
            .collect();
        TableMetadata::make_names_unique(&mut metadata);
        let items = source.exports.iter().map(|export| export.items).sum();
        let last = source.exports.last().map_or("", |export| &export.time);
        let origin = if is_changes {
            format!("{} incremental exports up to {last}", source.exports.len())
        } else {
            format!("full export of {last}")
        };
        let metadata = TableMetadata {
            schema: SCHEMA.to_owned(),
            name: source.name.clone(),
            kind: TableKind::Table,
            columns: metadata,
            rows: RowCount::Exact(items),
            bytes: None,
            primary_key: Vec::new(),
            comment: Some(origin.clone()),
        };
        Self {
            name: source.name.clone(),
            metadata: Arc::new(metadata),
            columns,
            files,
            key_names: sample.keys.clone(),
            origin,
            sample,
            overridden,
        }
    }

    /// The evidence for people.
    pub(crate) fn report(&self) -> InferenceReport {
        let sampled = self.sample.items.max(1) as f64;
        let attributes = self
            .columns
            .iter()
            .zip(&self.metadata.columns)
            .filter_map(|(column, metadata)| {
                let ExportColumn::Attribute { name, shape } = column else {
                    return None;
                };
                let seen = self.sample.attributes.get(name);
                let present = seen.map_or(0, |seen| seen.values);
                let share = |count: u64| count as f64 / present.max(1) as f64;
                Some(AttributeEvidence {
                    attribute: name.clone(),
                    column: metadata.name.clone(),
                    inferred_type: shape.sql_type(),
                    column_type: shape.sql_type(),
                    overridden: self.overridden.contains(name),
                    key: self.sample.keys.contains(name),
                    present: present as f64 / sampled,
                    types: seen
                        .map(|seen| {
                            seen.by_type
                                .iter()
                                .map(|(name, count)| (name.clone(), share(*count)))
                                .collect()
                        })
                        .unwrap_or_default(),
                    distinct: seen.map_or(0, Observation::distinct_seen),
                    shape: shape.clone(),
                })
            })
            .collect();
        InferenceReport {
            table: self.name.clone(),
            items: self.sample.items,
            table_items: self.metadata.rows.value().unwrap_or_default(),
            segments: self.sample.files,
            rcu: 0.0,
            attributes,
        }
    }

    /// Items the columns were inferred from.
    pub(crate) fn sampled_items(&self) -> u64 {
        self.sample.items
    }
}

fn column_metadata(column: &ExportColumn, sample: &Sample) -> ColumnMetadata {
    match column {
        ExportColumn::Attribute { name, shape } => {
            let native = shape.descriptor().unwrap_or("any");
            let mut metadata = ColumnMetadata::new(name, shape.data_type(), native);
            if let Some(seen) = sample.attributes.get(name) {
                let present = seen.non_null() as f64 / sample.items.max(1) as f64;
                metadata.statistics = ColumnStatistics {
                    null_fraction: Some(1.0 - present),
                    width: Some(seen.bytes / seen.values.max(1)),
                    ..ColumnStatistics::default()
                };
            }
            metadata
        }
        ExportColumn::Item => {
            let mut metadata = ColumnMetadata::new(ITEM_COLUMN, Shape::Json.data_type(), "item");
            metadata.hidden = true;
            metadata.nullable = false;
            metadata.comment = Some("the whole item as JSON".to_owned());
            metadata
        }
        ExportColumn::Change(change) => {
            let mut metadata = ColumnMetadata::new(change.name(), change.data_type(), "change");
            metadata.hidden = change.is_hidden();
            metadata.nullable = change.is_hidden();
            metadata
        }
    }
}
