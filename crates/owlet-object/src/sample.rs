//! What the files of a table hold, found by looking into them. Must never know how a table is scanned.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::parquet::file::metadata::ParquetMetaData;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use owlet_connector::{ConnectorError, Result};

use crate::csv::decode::Problem;
use crate::csv::guess::Guess;
use crate::csv::{CsvSample, CsvSampler, CsvSettings, Ended, Splitting, Undeclared};
use crate::error::{inspect_error, store_error, unreadable};
use crate::format::{Compression, Format};
use crate::json::guess::Guess as JsonGuess;
use crate::json::{JsonProblem, JsonSample, JsonSampler};
use crate::listing::{DataFile, TableFiles};
use crate::options::{DEFAULT_INFER_ROWS, EffectiveOptions};
use crate::parquet::with_uuids_marked;
use crate::place::Place;
use crate::pruning::doubtful_columns;
use crate::pull::PullFormat;
use crate::read::{ByteStream, FileBytes};
use crate::schema::{FileSchema, merge, sql_schema, unreadable_field, with_plain_text};
use crate::source::{CsvColumn, StreamFormat};

/// Files inspected at the same time.
const CONCURRENCY: usize = 16;
/// Rows looked at in each file of a large folder, at least.
const LEAST_ROWS_PER_FILE: usize = 500;
/// A usual ratio of packed text, for row estimates only.
const PACKING_RATIO: f64 = 4.0;

/// What a table's files hold.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Columns of the files, merged; names as the reader expects them.
    pub file_schema: SchemaRef,
    /// Column names as the source spells them, one a field of `file_schema`.
    pub source_names: Vec<String>,
    /// How to read the files.
    pub reader: Reader,
    /// One entry a file, in the order of the files.
    pub files: Vec<FileContents>,
}

/// How a table's files are read.
#[derive(Debug, Clone)]
pub enum Reader {
    /// By DataFusion's Parquet reader.
    Parquet(Arc<ParquetFormat>),
    /// As a stream.
    Stream(StreamFormat),
}

/// What is known of one file.
#[derive(Debug, Clone, Default)]
pub struct FileContents {
    /// Statistics over `file_schema`, where the format has them.
    pub statistics: Option<Arc<Statistics>>,
    /// Columns whose bounds in the file must not be believed.
    pub doubtful: HashSet<String>,
    /// Estimated rows, where nothing better is known.
    pub estimated_rows: Option<f64>,
    /// The file's own columns, where reading needs them.
    pub own_schema: Option<SchemaRef>,
}

/// Looks into the files of a table.
pub async fn inspect(
    session: &dyn Session,
    catalog: &str,
    place: &Place,
    shown: &str,
    table: &TableFiles,
    options: &EffectiveOptions,
) -> Result<Contents> {
    let inspection = Inspection {
        session,
        catalog,
        place,
        shown,
        table,
        options,
    };
    match table.format {
        Format::Parquet => inspection.parquet().await,
        Format::Csv | Format::Tsv => inspection.csv().await,
        Format::Json => inspection.json().await,
        Format::Arrow => inspection.pulled(PullFormat::Arrow).await,
        Format::Avro => inspection.pulled(PullFormat::Avro).await,
    }
}

struct Inspection<'a> {
    session: &'a dyn Session,
    catalog: &'a str,
    place: &'a Place,
    shown: &'a str,
    table: &'a TableFiles,
    options: &'a EffectiveOptions,
}

impl Inspection<'_> {
    async fn parquet(&self) -> Result<Contents> {
        let mut options = self.session.default_table_options().parquet;
        // Spark and Hive write years 1 and 9999 as INT96; in nanoseconds they would become other years.
        options.global.coerce_int96 = Some("us".to_owned());
        // As all other sources have it: a join of two kinds of text compares a cast, and no key would reach a source.
        options.global.schema_force_view_types = false;
        let format = Arc::new(ParquetFormat::default().with_options(options));
        let inspected = self.table.files.iter().map(|file| {
            let format = Arc::clone(&format);
            async move {
                self.refuse_empty(file)?;
                let schema = format
                    .infer_schema(
                        self.session,
                        &self.place.store,
                        std::slice::from_ref(&file.meta),
                    )
                    .await
                    .map_err(|error| inspect_error(self.catalog, &file.display, error))?;
                let footer = self.footer(file).await?;
                let stored = footer.file_metadata().schema_descr();
                let marked = Arc::new(with_uuids_marked(&schema, stored));
                Ok(((file.display.clone(), marked), doubtful_columns(&footer)))
            }
            .boxed()
        });
        let inspected: Vec<(FileSchema, HashSet<String>)> =
            concurrently(inspected.collect()).await?;
        let (schemas, doubtful): (Vec<_>, Vec<_>) = inspected.into_iter().unzip();
        let merged = self.merged(&schemas)?;
        let file_schema = with_plain_text(&merged);
        let counted = self.table.files.iter().zip(&schemas).zip(doubtful).map(
            |((file, (_, own)), doubtful)| {
                let format = Arc::clone(&format);
                let file_schema = Arc::clone(&file_schema);
                async move {
                    let mut statistics = format
                        .infer_stats(
                            self.session,
                            &self.place.store,
                            Arc::clone(&file_schema),
                            &file.meta,
                        )
                        .await
                        .map_err(|error| inspect_error(self.catalog, &file.display, error))?;
                    forget_untrue_bounds(&mut statistics, &file_schema, own, &doubtful);
                    Ok::<FileContents, ConnectorError>(FileContents {
                        statistics: Some(Arc::new(statistics)),
                        doubtful,
                        ..FileContents::default()
                    })
                }
                .boxed()
            },
        );
        let files = concurrently(counted.collect()).await?;
        Ok(Contents {
            source_names: names(&file_schema),
            file_schema,
            reader: Reader::Parquet(format),
            files,
        })
    }

    async fn footer(&self, file: &DataFile) -> Result<Arc<ParquetMetaData>> {
        let cache = &self.session.runtime_env().cache_manager;
        DFParquetMetadata::new(self.place.store.as_ref(), &file.meta)
            .with_file_metadata_cache(Some(cache.get_file_metadata_cache()))
            .fetch_metadata()
            .await
            .map_err(|error| inspect_error(self.catalog, &file.display, error))
    }

    async fn pulled(&self, format: PullFormat) -> Result<Contents> {
        let inspected = self.table.files.iter().map(|file| {
            async move {
                self.refuse_empty(file)?;
                let bytes = FileBytes::whole(&self.place.store, &file.meta, file.compression);
                let mut reader = bytes
                    .reader()
                    .await
                    .map_err(|error| inspect_error(self.catalog, &file.display, error))?;
                let guard = reader.take_guard();
                let schema = tokio::task::spawn_blocking(move || format.schema(reader))
                    .await
                    .map_err(|error| {
                        ConnectorError::Internal(format!("reading {}: {error}", file.display))
                    })?
                    .map_err(|error| unreadable(self.catalog, &file.display, &error.to_string()))?;
                drop(guard);
                Ok::<FileSchema, ConnectorError>((file.display.clone(), schema))
            }
            .boxed()
        });
        let schemas = concurrently(inspected.collect()).await?;
        let file_schema = self.merged(&schemas)?;
        let files = schemas
            .into_iter()
            .map(|(_, schema)| FileContents {
                own_schema: Some(schema),
                ..FileContents::default()
            })
            .collect();
        let reader = Reader::Stream(StreamFormat::Pulled(format));
        Ok(Contents {
            source_names: names(&file_schema),
            file_schema,
            reader,
            files,
        })
    }

    async fn csv(&self) -> Result<Contents> {
        let settings = CsvSettings::new(self.table.format, &self.options.csv)
            .map_err(|message| self.misconfigured(message, "see the csv options"))?;
        let sampled = self
            .table
            .files
            .iter()
            .map(|file| self.sample_csv(file, &settings).boxed());
        let samples = concurrently(sampled.collect()).await?;
        let (columns, guesses) = self.unite_csv_columns(&samples)?;
        let sql_names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let own_names = &self.options.own_names.columns;
        if let Some(unknown) = own_names.iter().find(|name| !sql_names.contains(name)) {
            return Err(self.misconfigured(
                format!(
                    "csv types name column {unknown}, but {} has {}",
                    self.shown,
                    sql_names.join(", ")
                ),
                "column names are lower case",
            ));
        }
        let fields: Vec<Field> = columns
            .iter()
            .zip(&guesses)
            .map(|(column, guess)| {
                let data_type = match (settings.types.get(&column.name), settings.undeclared) {
                    (Some(declared), _) => declared.clone(),
                    (None, Undeclared::Text) => DataType::Utf8,
                    (None, Undeclared::Guessed) => guess.data_type(),
                };
                // The SQL name is unique, which a header's names need not be.
                Field::new(&column.name, data_type, true)
            })
            .collect();
        let files = samples
            .iter()
            .zip(&self.table.files)
            .map(|(sample, file)| FileContents {
                estimated_rows: estimate_rows(sample.rows, sample.bytes, file),
                ..FileContents::default()
            })
            .collect();
        Ok(Contents {
            file_schema: Arc::new(Schema::new(fields)),
            source_names: columns
                .iter()
                .map(|column| column.source_name.clone())
                .collect(),
            reader: Reader::Stream(StreamFormat::Csv {
                settings: Arc::new(settings),
                columns: Arc::new(columns),
            }),
            files,
        })
    }

    /// Columns of all files by spelling and occurrence, in order of appearance.
    fn unite_csv_columns(&self, samples: &[CsvSample]) -> Result<(Vec<CsvColumn>, Vec<Guess>)> {
        let mut columns: Vec<CsvColumn> = Vec::new();
        let mut guesses: Vec<Guess> = Vec::new();
        let mut schemas: Vec<FileSchema> = Vec::new();
        for (sample, file) in samples.iter().zip(&self.table.files) {
            let Some(file_names) = &sample.names else {
                continue;
            };
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            let mut fields = Vec::new();
            for (name, guess) in file_names.iter().zip(&sample.guesses) {
                let occurrence = *counts
                    .entry(name)
                    .and_modify(|count| *count += 1)
                    .or_insert(0);
                fields.push(Field::new(name, DataType::Null, true));
                let known = columns.iter().position(|column| {
                    column.source_name == *name && column.occurrence == occurrence
                });
                match known {
                    Some(position) => guesses[position].merge(*guess),
                    None => {
                        columns.push(CsvColumn {
                            source_name: name.clone(),
                            occurrence,
                            name: String::new(),
                        });
                        guesses.push(*guess);
                    }
                }
            }
            schemas.push((file.display.clone(), Arc::new(Schema::new(fields))));
        }
        if columns.is_empty() {
            return Err(unreadable(
                self.catalog,
                self.shown,
                "there is not even a header; an empty file has no columns (hint: write a header line)",
            ));
        }
        // Types are equal here; this only finds names spelled differently.
        merge(&schemas).map_err(|message| self.cannot_merge(message))?;
        let source_names: Vec<String> = columns
            .iter()
            .map(|column| column.source_name.clone())
            .collect();
        for (column, name) in columns.iter_mut().zip(unique_names(&source_names)) {
            column.name = name;
        }
        Ok((columns, guesses))
    }

    async fn sample_csv(&self, file: &DataFile, settings: &CsvSettings) -> Result<CsvSample> {
        let wrong = |problem: Problem| ConnectorError::Source {
            catalog: self.catalog.to_owned(),
            code: None,
            message: format!(
                "{} line {}: {}",
                file.display, problem.line, problem.message
            ),
        };
        let mut sampler = CsvSampler::new(&settings.layout, self.rows_per_file());
        let mut chunks = self.chunks(file).await?;
        let mut ended = Ended::File;
        while let Some(chunk) = chunks
            .try_next()
            .await
            .map_err(|error| inspect_error(self.catalog, &file.display, error))?
        {
            if sampler.push(&chunk).map_err(wrong)? {
                ended = Ended::Sample;
                break;
            }
        }
        sampler.finish(ended).map_err(wrong)
    }

    async fn json(&self) -> Result<Contents> {
        let sampled = self
            .table
            .files
            .iter()
            .map(|file| self.sample_json(file).boxed());
        let samples = concurrently(sampled.collect()).await?;
        let mut guess = JsonGuess::default();
        for sample in &samples {
            guess.merge(sample.guess.clone());
        }
        if guess.columns().is_empty() {
            return Err(unreadable(
                self.catalog,
                self.shown,
                "there is no row to tell the columns from",
            ));
        }
        let fields: Vec<Field> = guess
            .columns()
            .iter()
            .map(|(name, guess)| match guess.data_type(name) {
                Ok(data_type) => Field::new(name, data_type, true),
                Err(message) => {
                    let file = self.first_conflict(name, &samples);
                    let reason = format!("in {file}, {message}");
                    unreadable_field(name, "json", &reason)
                }
            })
            .collect();
        let files = samples
            .iter()
            .zip(&self.table.files)
            .map(|(sample, file)| FileContents {
                estimated_rows: estimate_rows(sample.rows, sample.bytes, file),
                ..FileContents::default()
            })
            .collect();
        let splittable = samples.iter().all(|sample| !sample.is_array)
            && self
                .table
                .files
                .iter()
                .all(|file| file.compression == Compression::None);
        let splitting = if splittable {
            Splitting::AtLines
        } else {
            Splitting::Never
        };
        let file_schema = Arc::new(Schema::new(fields));
        Ok(Contents {
            source_names: names(&file_schema),
            file_schema,
            reader: Reader::Stream(StreamFormat::Json { splitting }),
            files,
        })
    }

    /// The first file after which a field has no one type any more.
    fn first_conflict(&self, field: &str, samples: &[JsonSample]) -> &str {
        let mut guess = JsonGuess::default();
        for (sample, file) in samples.iter().zip(&self.table.files) {
            let own = sample.guess.columns().iter();
            for (_, values) in own.filter(|(name, _)| name == field) {
                guess.merge(values.clone());
            }
            if guess.data_type(field).is_err() {
                return &file.display;
            }
        }
        self.shown
    }

    async fn sample_json(&self, file: &DataFile) -> Result<JsonSample> {
        let wrong = |problem: JsonProblem| {
            let line = problem
                .line
                .map(|line| format!(" line {line}"))
                .unwrap_or_default();
            ConnectorError::Source {
                catalog: self.catalog.to_owned(),
                code: None,
                message: format!("{}{line}: {}", file.display, problem.message),
            }
        };
        let mut sampler = JsonSampler::new(self.rows_per_file());
        let mut chunks = self.chunks(file).await?;
        let mut ended = Ended::File;
        while let Some(chunk) = chunks
            .try_next()
            .await
            .map_err(|error| inspect_error(self.catalog, &file.display, error))?
        {
            if sampler.push(&chunk).map_err(wrong)? {
                ended = Ended::Sample;
                break;
            }
        }
        sampler.finish(ended).map_err(wrong)
    }

    async fn chunks(&self, file: &DataFile) -> Result<ByteStream> {
        FileBytes::whole(&self.place.store, &file.meta, file.compression)
            .stream()
            .await
            .map_err(|error| match error {
                datafusion::error::DataFusionError::ObjectStore(source) => {
                    store_error(self.catalog, &file.display, &source)
                }
                other => inspect_error(self.catalog, &file.display, other),
            })
    }

    fn rows_per_file(&self) -> u64 {
        let wanted = self.options.infer_rows.unwrap_or(DEFAULT_INFER_ROWS);
        let share = wanted / self.table.files.len().max(1);
        share.max(LEAST_ROWS_PER_FILE.min(wanted)) as u64
    }

    fn refuse_empty(&self, file: &DataFile) -> Result<()> {
        if file.meta.size > 0 {
            return Ok(());
        }
        let message = format!("it is empty, and a {} file cannot be", self.table.format);
        Err(unreadable(self.catalog, &file.display, &message))
    }

    /// One schema for the files, with types that SQL has.
    fn merged(&self, own: &[FileSchema]) -> Result<SchemaRef> {
        let readable: Vec<FileSchema> = own
            .iter()
            .map(|(file, schema)| (file.clone(), sql_schema(file, schema)))
            .collect();
        merge(&readable).map_err(|message| self.cannot_merge(message))
    }

    fn cannot_merge(&self, message: String) -> ConnectorError {
        let message = format!("the files do not make one table: {message}");
        unreadable(self.catalog, self.shown, &message)
    }

    fn misconfigured(&self, message: String, hint: &str) -> ConnectorError {
        ConnectorError::Configuration {
            catalog: self.catalog.to_owned(),
            message,
            hint: hint.to_owned(),
        }
    }
}

/// Statistics are taken in the file's own types; where a column is read as another type, DataFusion has no bounds but
/// says that they are exact. Those of floating-point numbers leave NaN out.
fn forget_untrue_bounds(
    statistics: &mut Statistics,
    file_schema: &Schema,
    own: &Schema,
    doubtful: &HashSet<String>,
) {
    for (field, column) in file_schema
        .fields()
        .iter()
        .zip(&mut statistics.column_statistics)
    {
        let is_other = own
            .column_with_name(field.name())
            .is_some_and(|(_, own)| own.data_type() != field.data_type());
        if is_other || doubtful.contains(field.name()) {
            column.min_value = Precision::Absent;
            column.max_value = Precision::Absent;
        }
        if field.data_type().is_floating() {
            column.min_value = std::mem::take(&mut column.min_value).to_inexact();
            column.max_value = std::mem::take(&mut column.max_value).to_inexact();
        }
    }
}

/// Runs a bounded number of inspections at a time; results are in order.
async fn concurrently<T>(inspections: Vec<BoxFuture<'_, Result<T>>>) -> Result<Vec<T>> {
    futures::stream::iter(inspections)
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

/// SQL names of source names: lower case, unique.
pub fn unique_names(source_names: &[String]) -> Vec<String> {
    let mut columns: Vec<owlet_connector::ColumnMetadata> = source_names
        .iter()
        .map(|name| owlet_connector::ColumnMetadata::new(name.clone(), DataType::Null, ""))
        .collect();
    owlet_connector::TableMetadata::make_names_unique(&mut columns);
    columns.into_iter().map(|column| column.name).collect()
}

fn names(schema: &SchemaRef) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

fn estimate_rows(rows: u64, bytes: u64, file: &DataFile) -> Option<f64> {
    if bytes == 0 {
        return Some(0.0);
    }
    let unpacked = match file.compression {
        Compression::None => file.meta.size as f64,
        _ => file.meta.size as f64 * PACKING_RATIO,
    };
    Some((unpacked * rows as f64 / bytes as f64).max(rows as f64))
}

impl Reader {
    /// The reader for only some columns of the file schema.
    pub fn with_columns(self, kept: &[usize]) -> Self {
        match self {
            Self::Stream(StreamFormat::Csv { settings, columns }) => {
                let columns = Arc::new(kept.iter().map(|index| columns[*index].clone()).collect());
                Self::Stream(StreamFormat::Csv { settings, columns })
            }
            other => other,
        }
    }
}
