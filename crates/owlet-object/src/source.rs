//! DataFusion's file source for the formats that are read as a stream of bytes: CSV, JSON, Arrow IPC, Avro.
//! Parquet has DataFusion's own. Must never know how a table was found.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr_adapter::BatchAdapterFactory;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, apply_expression_roots};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use owlet_connector::ConnectorError;

use crate::csv::decode::{CsvDecoder, Header, Problem, WantedColumn};
use crate::csv::{CsvSampler, CsvSettings, Ended, Splitting};
use crate::error::{store_error, through_datafusion, unreadable};
use crate::format::FileName;
use crate::handoff::stream_from_thread;
use crate::json::{JsonDecoder, JsonProblem};
use crate::preamble::Start;
use crate::pull::PullFormat;
use crate::read::{ByteStream, FileBytes, whole_lines, whole_lines_offset};
use crate::read_as::{ReadAsFactory, Unfit};

/// The columns of one file in its own order; travels with the file in the plan.
#[derive(Debug, Clone)]
pub struct FileFields(pub SchemaRef);

/// The name of one file for messages; travels with the file in the plan.
#[derive(Debug, Clone)]
pub struct FileDisplay(pub String);

/// The table that a file is read for, in the words of whoever asks; travels with the file in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The catalog; for a path in place of a table, the store it is in (`file://`, `s3://bucket`).
    pub catalog: String,
    /// The table, or the path as written.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "catalog={}, table={}", self.catalog, self.table)
    }
}

/// A CSV column: how the header spells it, and which of equally spelled ones it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvColumn {
    /// Header text.
    pub source_name: String,
    /// Counted from 0.
    pub occurrence: usize,
    /// SQL name, for messages.
    pub name: String,
}

/// How the bytes become rows.
#[derive(Debug, Clone)]
pub enum StreamFormat {
    /// CSV or TSV.
    Csv {
        /// Checked options.
        settings: Arc<CsvSettings>,
        /// One entry a column of the file schema.
        columns: Arc<Vec<CsvColumn>>,
    },
    /// JSON.
    Json {
        /// Whether files may be read in parts (not when one is an array).
        splitting: Splitting,
    },
    /// Arrow IPC or Avro.
    Pulled(PullFormat),
}

/// The file source.
#[derive(Clone)]
pub struct StreamSource {
    catalog: Arc<str>,
    asked_as: TableName,
    format: StreamFormat,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

const DEFAULT_BATCH_ROWS: usize = 8192;

impl StreamSource {
    /// Reads all columns of `table_schema`. `catalog` is for errors, `asked_as` for plans.
    pub fn new(
        catalog: &str,
        asked_as: &TableName,
        format: StreamFormat,
        table_schema: TableSchema,
    ) -> Self {
        Self {
            catalog: Arc::from(catalog),
            asked_as: asked_as.clone(),
            format,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_rows: DEFAULT_BATCH_ROWS,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for StreamSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let opener = Arc::new(StreamOpener {
            source: self.clone(),
            object_store,
            partition,
        });
        ProjectionOpener::try_new(
            self.projection.clone(),
            opener,
            self.table_schema.file_schema(),
        )
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self {
            batch_rows: batch_size,
            ..self.clone()
        })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        match &self.format {
            StreamFormat::Csv { .. } => "csv",
            StreamFormat::Json { .. } => "json",
            StreamFormat::Pulled(PullFormat::Arrow) => "arrow",
            StreamFormat::Pulled(PullFormat::Avro) => "avro",
        }
    }

    fn fmt_extra(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, ", {}", self.asked_as)
    }

    fn supports_repartitioning(&self) -> bool {
        match &self.format {
            StreamFormat::Csv { settings, .. } => settings.splitting == Splitting::AtLines,
            StreamFormat::Json { splitting } => *splitting == Splitting::AtLines,
            StreamFormat::Pulled(_) => false,
        }
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self {
            projection,
            ..self.clone()
        })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), f)
    }
}

struct StreamOpener {
    source: StreamSource,
    object_store: Arc<dyn ObjectStore>,
    partition: usize,
}

impl FileOpener for StreamOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let source = &self.source;
        let file_schema = source.table_schema.file_schema();
        let wanted = Arc::new(file_schema.project(&source.projection.file_indices)?);
        let display = file.extension::<FileDisplay>().map_or_else(
            || file.object_meta.location.to_string(),
            |display| display.0.clone(),
        );
        let reading = Reading {
            catalog: Arc::clone(&source.catalog),
            display,
            bytes: FileBytes {
                store: Arc::clone(&self.object_store),
                compression: FileName::parse(
                    file.object_meta.location.filename().unwrap_or_default(),
                )
                .compression,
                meta: file.object_meta.clone(),
                start: 0,
                scanned: Some(
                    MetricBuilder::new(&source.metrics).counter("bytes_scanned", self.partition),
                ),
            },
            range: file_range(&file),
            wanted,
            batch_rows: source.batch_rows,
        };
        match &source.format {
            StreamFormat::Csv { settings, columns } => {
                let wanted_columns = source
                    .projection
                    .file_indices
                    .iter()
                    .map(|index| WantedColumn {
                        source_name: columns[*index].source_name.clone(),
                        occurrence: columns[*index].occurrence,
                        name: columns[*index].name.clone(),
                        data_type: file_schema.field(*index).data_type().clone(),
                        origin: settings.origin(&columns[*index].name),
                    })
                    .collect();
                Ok(Box::pin(reading.csv(Arc::clone(settings), wanted_columns)))
            }
            StreamFormat::Json { .. } => Ok(Box::pin(reading.json())),
            StreamFormat::Pulled(format) => {
                let fields = file.extension::<FileFields>().cloned();
                Ok(Box::pin(reading.pulled(*format, fields)))
            }
        }
    }
}

/// Part of a file, when it is not read whole.
#[derive(Debug, Clone, Copy)]
struct PartOfFile {
    start: u64,
    end: u64,
}

fn file_range(file: &PartitionedFile) -> Option<PartOfFile> {
    let range = file.range.as_ref()?;
    let start = u64::try_from(range.start).unwrap_or(0);
    let end = u64::try_from(range.end).unwrap_or(0);
    (start > 0 || end < file.object_meta.size).then_some(PartOfFile { start, end })
}

type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// One file on its way to batches.
#[derive(Clone)]
struct Reading {
    catalog: Arc<str>,
    display: String,
    bytes: FileBytes,
    range: Option<PartOfFile>,
    wanted: SchemaRef,
    batch_rows: usize,
}

impl Reading {
    async fn chunks(&self) -> Result<ByteStream> {
        match self.range {
            None => self
                .bytes
                .clone()
                .stream()
                .await
                .map_err(|error| self.failed(error)),
            Some(PartOfFile { start, end }) => {
                let part = FileBytes {
                    start: whole_lines_offset(start),
                    ..self.bytes.clone()
                };
                let chunks = part.stream().await.map_err(|error| self.failed(error))?;
                Ok(whole_lines(chunks, start, end))
            }
        }
    }

    fn start(&self) -> Start {
        match self.range {
            Some(PartOfFile { start, .. }) if start > 0 => Start::Inside,
            _ => Start::Beginning,
        }
    }

    async fn csv(
        self,
        settings: Arc<CsvSettings>,
        wanted: Vec<WantedColumn>,
    ) -> Result<BatchStream> {
        let layout = settings.layout.clone();
        let mut decoder = CsvDecoder::new(layout.clone(), wanted, self.batch_rows);
        if self.start() == Start::Inside {
            let names = self.header(&settings).await?;
            decoder = decoder.resume(&names);
        }
        let chunks = self.chunks().await?;
        Ok(self.decode(chunks, Decoder::Csv(Box::new(decoder))))
    }

    /// The column names of a file of which only a later part is read.
    async fn header(&self, settings: &CsvSettings) -> Result<Vec<String>> {
        let most_rows = u64::from(settings.layout.header == Header::Absent);
        let mut sampler = CsvSampler::new(&settings.layout, most_rows);
        let mut chunks = self
            .bytes
            .clone()
            .stream()
            .await
            .map_err(|error| self.failed(error))?;
        let mut ended = Ended::File;
        while let Some(chunk) = chunks
            .try_next()
            .await
            .map_err(|error| self.failed(error))?
        {
            if sampler
                .push(&chunk)
                .map_err(|problem| self.csv_problem(&problem, 0))?
            {
                ended = Ended::Sample;
                break;
            }
        }
        let sample = sampler
            .finish(ended)
            .map_err(|problem| self.csv_problem(&problem, 0))?;
        Ok(sample.names.unwrap_or_default())
    }

    async fn json(self) -> Result<BatchStream> {
        let decoder = JsonDecoder::new(Arc::clone(&self.wanted), self.batch_rows, self.start())?;
        let chunks = self.chunks().await?;
        Ok(self.decode(chunks, Decoder::Json(Box::new(decoder))))
    }

    fn decode(self, chunks: ByteStream, decoder: Decoder) -> BatchStream {
        let state = Decoding {
            reading: self,
            chunks: Some(chunks),
            decoder,
            ready: VecDeque::new(),
        };
        futures::stream::try_unfold(state, |mut state| async move {
            loop {
                if let Some(batch) = state.ready.pop_front() {
                    return Ok(Some((batch, state)));
                }
                if !state.advance().await? {
                    return Ok(None);
                }
            }
        })
        .boxed()
    }

    async fn pulled(self, format: PullFormat, fields: Option<FileFields>) -> Result<BatchStream> {
        let mut reader = self
            .bytes
            .clone()
            .reader()
            .await
            .map_err(|error| self.failed(error))?;
        let guard = reader.take_guard();
        let Some(FileFields(file_schema)) = fields else {
            return Err(through_datafusion(ConnectorError::Internal(format!(
                "the columns of {} are not in the plan",
                self.display
            ))));
        };
        let wanted_positions: Vec<usize> = file_schema
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| self.wanted.column_with_name(field.name()).is_some())
            .map(|(position, _)| position)
            .collect();
        let batches = stream_from_thread(2, guard, move |sender| {
            let wrong = |error: &dyn fmt::Display| {
                through_datafusion(unreadable(&self.catalog, &self.display, &error.to_string()))
            };
            let projected = Arc::new(file_schema.project(&wanted_positions)?);
            let adapter = BatchAdapterFactory::new(Arc::clone(&self.wanted))
                .with_adapter_factory(Arc::new(ReadAsFactory))
                .make_adapter(&projected)?;
            let batches = format
                .batches(reader, wanted_positions, self.batch_rows)
                .map_err(|error| wrong(&error))?;
            for batch in batches {
                let batch = batch.map_err(|error| wrong(&error))?;
                let adapted = adapter.adapt_batch(&batch).map_err(|error| match &error {
                    DataFusionError::External(source) if source.is::<Unfit>() => wrong(source),
                    _ => error,
                })?;
                if sender.send(adapted).is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(batches.boxed())
    }

    /// An error of the store, said about this file.
    fn failed(&self, error: DataFusionError) -> DataFusionError {
        match error {
            DataFusionError::ObjectStore(source)
                if matches!(*source, object_store::Error::Precondition { .. }) =>
            {
                through_datafusion(ConnectorError::Source {
                    catalog: self.catalog.to_string(),
                    code: None,
                    message: format!(
                        "{} was changed after the query was planned; run it again",
                        self.display
                    ),
                })
            }
            DataFusionError::ObjectStore(source) => {
                through_datafusion(store_error(&self.catalog, &self.display, &source))
            }
            DataFusionError::External(_) => error,
            other => through_datafusion(unreadable(
                &self.catalog,
                &self.display,
                &other.strip_backtrace(),
            )),
        }
    }

    fn csv_problem(&self, problem: &Problem, lines_before: u64) -> DataFusionError {
        let column = problem
            .column
            .as_ref()
            .map(|column| format!(", column {column}"))
            .unwrap_or_default();
        let line = problem.line + lines_before;
        through_datafusion(ConnectorError::Source {
            catalog: self.catalog.to_string(),
            code: None,
            message: format!("{} line {line}{column}: {}", self.display, problem.message),
        })
    }

    fn json_problem(&self, problem: &JsonProblem) -> DataFusionError {
        let line = problem
            .line
            .map(|line| format!(" line {line}"))
            .unwrap_or_default();
        through_datafusion(ConnectorError::Source {
            catalog: self.catalog.to_string(),
            code: None,
            message: format!("{}{line}: {}", self.display, problem.message),
        })
    }

    /// Lines before the part of the file that is read; only counted to say where an error is.
    async fn lines_before(&self) -> Result<u64> {
        let Some(PartOfFile { start, .. }) = self.range else {
            return Ok(0);
        };
        if start == 0 {
            return Ok(0);
        }
        let mut chunks = self.bytes.clone().stream().await?;
        let (mut position, mut lines, mut in_line) = (0_u64, 0_u64, false);
        // The part begins after the first line end at or after `start - 1`.
        while let Some(chunk) = chunks.try_next().await? {
            for byte in chunk.iter() {
                let at_or_after = position >= whole_lines_offset(start);
                position += 1;
                in_line = true;
                if *byte == b'\n' {
                    lines += 1;
                    in_line = false;
                    if at_or_after {
                        return Ok(lines);
                    }
                }
            }
        }
        Ok(lines + u64::from(in_line))
    }

    /// Finds the first line that does not decode, by decoding line by line.
    async fn locate(&self, problem: JsonProblem) -> JsonProblem {
        self.first_wrong_line()
            .await
            .ok()
            .flatten()
            .unwrap_or(problem)
    }

    async fn first_wrong_line(&self) -> Result<Option<JsonProblem>> {
        let mut decoder = JsonDecoder::new(Arc::clone(&self.wanted), 1, Start::Beginning)?;
        let mut chunks = self.bytes.clone().stream().await?;
        let mut line = 1_u64;
        let mut batches = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
                let decoded = decoder
                    .push(piece, &mut batches)
                    .and_then(|()| decoder.flush_whole_rows());
                if let Err(wrong) = decoded {
                    return Ok(Some(JsonProblem {
                        line: Some(line),
                        ..wrong
                    }));
                }
                batches.clear();
                line += u64::from(piece.ends_with(b"\n"));
            }
        }
        Ok(None)
    }
}

enum Decoder {
    Csv(Box<CsvDecoder>),
    Json(Box<JsonDecoder>),
}

struct Decoding {
    reading: Reading,
    /// `None` once the file has ended.
    chunks: Option<ByteStream>,
    decoder: Decoder,
    ready: VecDeque<RecordBatch>,
}

impl Decoding {
    /// Decodes one more chunk; false when there is nothing left.
    async fn advance(&mut self) -> Result<bool> {
        let Some(chunks) = self.chunks.as_mut() else {
            return Ok(false);
        };
        let chunk = chunks
            .try_next()
            .await
            .map_err(|error| self.reading.failed(error))?;
        if chunk.is_none() {
            self.chunks = None;
        }
        let mut batches = Vec::new();
        let decoded = match (&mut self.decoder, &chunk) {
            (Decoder::Csv(decoder), Some(chunk)) => {
                decoder.push(chunk, &mut batches).map_err(Wrong::Csv)
            }
            (Decoder::Csv(decoder), None) => decoder.finish(&mut batches).map_err(Wrong::Csv),
            (Decoder::Json(decoder), Some(chunk)) => {
                decoder.push(chunk, &mut batches).map_err(Wrong::Json)
            }
            (Decoder::Json(decoder), None) => decoder.finish(&mut batches).map_err(Wrong::Json),
        };
        match decoded {
            Ok(()) => {}
            Err(Wrong::Csv(problem)) => {
                let before = self.reading.lines_before().await?;
                return Err(self.reading.csv_problem(&problem, before));
            }
            Err(Wrong::Json(problem)) => {
                let problem = self.reading.locate(problem).await;
                return Err(self.reading.json_problem(&problem));
            }
        }
        self.ready.extend(batches);
        Ok(true)
    }
}

enum Wrong {
    Csv(Problem),
    Json(JsonProblem),
}
