//! A table of files as DataFusion sees it: pruned by partition, with statistics, columns renamed inside the scan so
//! that filters and projections still reach the files. Must never know how a location is listed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use owlet_connector::{ColumnMetadata, ConnectorError, Result, RowCount, TableKind, TableMetadata};

use crate::connector::SCHEMA;
use crate::error::through_datafusion;
use crate::listing::{DataFile, TableFiles};
use crate::options::EffectiveOptions;
use crate::parquet::NamedParquet;
use crate::partitions::{PartitionPath, parse_folders, unite};
use crate::place::Place;
use crate::pruning::Bounds;
use crate::read_as::ReadAsFactory;
use crate::sample::{Contents, FileContents, Reader, inspect, unique_names};
use crate::schema::why_unreadable;
use crate::source::{FileDisplay, FileFields, StreamSource, TableName};
use crate::sql_type::{display_type, parse_sql_type};
use crate::statistics::{merged_statistics, partition_statistics, statistics_of, table_size};

/// A table of files, looked into and ready to be scanned.
#[derive(Clone)]
pub struct FileTable {
    catalog: String,
    name: String,
    place: Place,
    files: Vec<ScanFile>,
    reader: Reader,
    /// Names as the reader expects them, then the partition columns.
    table_schema: TableSchema,
    /// SQL names, in the same order.
    schema: SchemaRef,
    columns: Vec<ColumnMetadata>,
    first_partition: usize,
    /// The table in the words of whoever asks, for the work report.
    asked_as: TableName,
}

/// One file with everything the plan carries along.
#[derive(Debug, Clone)]
struct ScanFile {
    file: DataFile,
    contents: FileContents,
    partition: Vec<ScalarValue>,
}

impl fmt::Debug for FileTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileTable")
            .field("name", &self.name)
            .field("files", &self.files.len())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl FileTable {
    /// Looks into the files and decides columns and types.
    pub async fn open(
        session: &dyn Session,
        catalog: &str,
        name: &str,
        place: Place,
        table: TableFiles,
        options: &EffectiveOptions,
    ) -> Result<Self> {
        let shown = match table.files.as_slice() {
            [one] => one.display.clone(),
            _ => name.to_owned(),
        };
        let invalid = |message: String| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: format!("table {name}: {message}"),
            hint: String::new(),
        };
        let paths: Vec<PartitionPath> = table
            .files
            .iter()
            .map(|file| parse_folders(file.folders.iter().map(String::as_str)))
            .collect();
        let displays: Vec<String> = table
            .files
            .iter()
            .map(|file| file.display.clone())
            .collect();
        let mut declared = BTreeMap::new();
        for (column, type_name) in &options.partition_types {
            let data_type = parse_sql_type(type_name)
                .map_err(|message| invalid(format!("partition {column}: {message}")))?;
            let column = column.to_lowercase();
            let is_there = paths
                .iter()
                .flatten()
                .any(|(key, _)| key.to_lowercase() == column);
            if is_there || options.own_names.partitions.contains(&column) {
                declared.insert(column, data_type);
            }
        }
        let partitions = unite(&paths, &displays, &declared).map_err(invalid)?;
        let contents = inspect(session, catalog, &place, &shown, &table, options).await?;
        let contents = without_columns(contents, &partitions.columns);

        let mut source_names = contents.source_names.clone();
        source_names.extend(partitions.columns.iter().map(|(name, _)| name.clone()));
        let sql_names = unique_names(&source_names);
        let first_partition = contents.file_schema.fields().len();
        let partition_fields: Vec<Field> = partitions
            .columns
            .iter()
            .enumerate()
            .map(|(index, (name, data_type))| {
                let has_null = partitions
                    .values
                    .iter()
                    .any(|values| values[index].is_null());
                Field::new(name, data_type.clone(), has_null)
            })
            .collect();
        let table_schema = TableSchema::builder(Arc::clone(&contents.file_schema))
            .with_table_partition_cols(
                partition_fields
                    .into_iter()
                    .map(Arc::new)
                    .collect::<Vec<_>>(),
            )
            .build();
        let fields: Vec<Field> = table_schema
            .table_schema()
            .fields()
            .iter()
            .zip(&sql_names)
            .map(|(field, name)| field.as_ref().clone().with_name(name))
            .collect();
        let columns = fields
            .iter()
            .zip(&source_names)
            .map(|(field, source_name)| {
                let shown_type = display_type(field.data_type());
                let (native_type, unreadable) = match why_unreadable(field) {
                    Some((native_type, reason)) => (native_type, Some(reason.to_owned())),
                    None => (shown_type.as_str(), None),
                };
                ColumnMetadata {
                    name: field.name().clone(),
                    nullable: field.is_nullable(),
                    unreadable,
                    ..ColumnMetadata::new(
                        source_name.clone(),
                        field.data_type().clone(),
                        native_type,
                    )
                }
            })
            .collect();
        let partition_values = match partitions.columns.is_empty() {
            true => vec![Vec::new(); table.files.len()],
            false => partitions.values,
        };
        let files = table
            .files
            .into_iter()
            .zip(contents.files)
            .zip(partition_values)
            .map(|((file, contents), partition)| ScanFile {
                file,
                contents,
                partition,
            })
            .collect();
        Ok(Self {
            catalog: catalog.to_owned(),
            name: name.to_owned(),
            place,
            files,
            reader: contents.reader,
            table_schema,
            schema: Arc::new(Schema::new(
                fields
                    .into_iter()
                    .map(|field| match why_unreadable(&field) {
                        Some(_) => field.with_metadata(HashMap::new()),
                        None => field,
                    })
                    .collect::<Vec<Field>>(),
            )),
            columns,
            first_partition,
            asked_as: TableName {
                catalog: catalog.to_owned(),
                table: name.to_owned(),
            },
        })
    }

    /// The table under the name of a place that no catalog stands for.
    pub fn asked_of(mut self, place: String) -> Self {
        self.asked_as.catalog = place;
        self
    }

    /// Metadata for the catalog.
    pub fn metadata(&self) -> TableMetadata {
        TableMetadata {
            schema: SCHEMA.to_owned(),
            name: self.name.clone(),
            kind: TableKind::Table,
            columns: self.columns.clone(),
            rows: self.row_count(),
            bytes: Some(self.files.iter().map(|file| file.file.meta.size).sum()),
            primary_key: Vec::new(),
            comment: None,
        }
    }

    fn row_count(&self) -> RowCount {
        let mut exact = true;
        let mut total = 0.0_f64;
        for file in &self.files {
            let counted =
                file.contents.statistics.as_ref().and_then(|statistics| {
                    match statistics.num_rows {
                        Precision::Exact(rows) => Some(rows as f64),
                        _ => None,
                    }
                });
            exact &= counted.is_some();
            match counted.or(file.contents.estimated_rows) {
                Some(rows) => total += rows,
                None => return RowCount::Unknown,
            }
        }
        if exact {
            RowCount::Exact(total as u64)
        } else {
            RowCount::Estimated(total as u64)
        }
    }

    /// A filter that can be decided for a whole file by its partition values.
    fn is_partition_filter(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        !columns.is_empty()
            && !filter.is_volatile()
            && columns.iter().all(|column| {
                self.schema
                    .index_of(&column.name)
                    .is_ok_and(|index| index >= self.first_partition)
            })
    }

    /// The files whose partition values pass all partition filters.
    fn pruned(&self, session: &dyn Session, filters: &[Expr]) -> DataFusionResult<Vec<&ScanFile>> {
        let filters: Vec<&Expr> = filters
            .iter()
            .filter(|filter| self.is_partition_filter(filter))
            .collect();
        if filters.is_empty() || self.files.is_empty() {
            return Ok(self.files.iter().collect());
        }
        let fields: Vec<Field> = self.schema.fields()[self.first_partition..]
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let arrays = (0..schema.fields().len())
            .map(|index| {
                ScalarValue::iter_to_array(
                    self.files.iter().map(|file| file.partition[index].clone()),
                )
            })
            .collect::<DataFusionResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.files.len()));
        let values = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
        let plan_schema = DFSchema::try_from(schema)?;
        let mut keep = vec![true; self.files.len()];
        for filter in filters {
            let unqualified = unqualified(filter.clone())?;
            let decided = session
                .create_physical_expr(unqualified, &plan_schema)?
                .evaluate(&values)?
                .into_array(self.files.len())?;
            let decided = decided.as_boolean_opt().ok_or_else(|| {
                DataFusionError::Internal(format!("partition filter {filter} is not boolean"))
            })?;
            for (index, keep) in keep.iter_mut().enumerate() {
                *keep &= decided.is_valid(index) && decided.value(index);
            }
        }
        Ok(self
            .files
            .iter()
            .zip(keep)
            .filter(|(_, keep)| *keep)
            .map(|(file, _)| file)
            .collect())
    }

    fn partitioned_file(&self, file: &ScanFile) -> PartitionedFile {
        let mut partitioned = PartitionedFile::from(file.file.meta.clone())
            .with_partition_values(file.partition.clone())
            .with_extension(FileDisplay(file.file.display.clone()))
            .with_extension(self.asked_as.clone());
        if let Some(schema) = &file.contents.own_schema {
            partitioned = partitioned.with_extension(FileFields(Arc::clone(schema)));
        }
        partitioned.statistics = Some(Arc::new(self.file_statistics(file)));
        partitioned
    }

    /// Statistics of one file over all columns of the table.
    fn file_statistics(&self, file: &ScanFile) -> Statistics {
        let mut statistics = match &file.contents.statistics {
            Some(statistics) => statistics.as_ref().clone(),
            None => {
                let mut unknown = Statistics::new_unknown(self.table_schema.file_schema());
                if let Some(rows) = file.contents.estimated_rows {
                    unknown.num_rows = Precision::Inexact(rows as usize);
                }
                unknown.total_byte_size =
                    Precision::Inexact(usize::try_from(file.file.meta.size).unwrap_or(usize::MAX));
                unknown
            }
        };
        let rows = statistics.num_rows;
        for value in &file.partition {
            statistics
                .column_statistics
                .push(partition_statistics(value, rows));
        }
        statistics
    }

    fn projection(&self, indices: &[usize]) -> ProjectionExprs {
        let inside = self.table_schema.table_schema();
        ProjectionExprs::new(indices.iter().map(|index| {
            let column = Column::new(inside.field(*index).name(), *index);
            ProjectionExpr::new(Arc::new(column), self.schema.field(*index).name().clone())
        }))
    }

    /// A column that no query can read is an error of the queries that want it only.
    fn refuse_unreadable(&self, indices: &[usize]) -> DataFusionResult<()> {
        for column in indices.iter().map(|index| &self.columns[*index]) {
            if let Some(message) = &column.unreadable {
                return Err(through_datafusion(ConnectorError::UnreadableColumn {
                    table: self.name.clone(),
                    column: column.source_name.clone(),
                    native_type: column.native_type.clone(),
                    message: message.clone(),
                }));
            }
        }
        Ok(())
    }

    /// The plan of DataFusion's Parquet format, whose source says which file an error is about.
    fn with_file_names(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let config = plan
            .downcast_ref::<DataSourceExec>()
            .and_then(|exec| {
                (exec.data_source().as_ref() as &dyn std::any::Any).downcast_ref::<FileScanConfig>()
            })
            .ok_or_else(|| {
                DataFusionError::Internal("the plan of a Parquet scan is no file scan".to_owned())
            })?;
        let source = NamedParquet::new(
            &self.catalog,
            &self.asked_as,
            self.bounds(),
            Arc::clone(config.file_source()),
        );
        let named = FileScanConfigBuilder::from(config.clone())
            .with_source(Arc::new(source))
            .build();
        Ok(DataSourceExec::from_data_source(named))
    }

    fn bounds(&self) -> Bounds {
        let doubtful = self
            .files
            .iter()
            .flat_map(|file| file.contents.doubtful.iter().cloned());
        Bounds::new(self.table_schema.table_schema(), doubtful)
    }

    /// The source, which skips what `filters` rule out. They are checked again: what a file is skipped by is a superset.
    fn skipping(
        &self,
        source: Arc<dyn FileSource>,
        session: &dyn Session,
        filters: &[Expr],
    ) -> DataFusionResult<Arc<dyn FileSource>> {
        if !matches!(self.reader, Reader::Parquet(_)) {
            return Ok(source);
        }
        let plan_schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let bounds = self.bounds();
        let conditions = filters
            .iter()
            .filter(|filter| !filter.is_volatile() && !self.is_partition_filter(filter))
            .filter_map(|filter| {
                let unqualified = unqualified(filter.clone()).ok()?;
                // What has no plan of its own, as a subquery, skips nothing.
                let condition = session
                    .create_physical_expr(unqualified, &plan_schema)
                    .ok()?;
                bounds.in_own_names(condition).ok()
            })
            .collect();
        let conditions = bounds.sound(conditions);
        if conditions.is_empty() {
            return Ok(source);
        }
        let pushed = source.try_pushdown_filters(conditions, session.config_options())?;
        Ok(pushed.updated_node.unwrap_or(source))
    }

    fn file_source(&self) -> Arc<dyn FileSource> {
        match &self.reader {
            Reader::Parquet(format) => format.file_source(self.table_schema.clone()),
            Reader::Stream(format) => Arc::new(StreamSource::new(
                &self.catalog,
                &self.asked_as,
                format.clone(),
                self.table_schema.clone(),
            )),
        }
    }
}

/// A column that is also a partition key is read from the path, as Athena does.
fn without_columns(contents: Contents, partitions: &[(String, DataType)]) -> Contents {
    let is_partition = |name: &String| {
        partitions
            .iter()
            .any(|(partition, _)| *partition == name.to_lowercase())
    };
    let kept: Vec<usize> = contents
        .source_names
        .iter()
        .enumerate()
        .filter(|(_, name)| !is_partition(name))
        .map(|(index, _)| index)
        .collect();
    if kept.len() == contents.source_names.len() {
        return contents;
    }
    let fields: Vec<Field> = kept
        .iter()
        .map(|index| contents.file_schema.field(*index).clone())
        .collect();
    let files = contents
        .files
        .into_iter()
        .map(|file| FileContents {
            statistics: file
                .statistics
                .map(|statistics| Arc::new(statistics_of(&statistics, &kept))),
            ..file
        })
        .collect();
    Contents {
        file_schema: Arc::new(Schema::new(fields)),
        source_names: kept
            .iter()
            .map(|index| contents.source_names[*index].clone())
            .collect(),
        reader: contents.reader.with_columns(&kept),
        files,
    }
}

/// The expression with column names only, for a schema without qualifiers.
fn unqualified(filter: Expr) -> DataFusionResult<Expr> {
    filter
        .transform(|expression| match expression {
            Expr::Column(column) if column.relation.is_some() => Ok(Transformed::yes(
                Expr::Column(datafusion::common::Column::new_unqualified(column.name)),
            )),
            other => Ok(Transformed::no(other)),
        })
        .data()
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Rows and bytes of all files, without I/O.
    fn statistics(&self) -> Option<Statistics> {
        let bytes = self.files.iter().map(|file| file.file.meta.size).sum();
        Some(table_size(self.row_count(), bytes, &self.schema))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.is_partition_filter(filter) {
                true => TableProviderFilterPushDown::Exact,
                // The Parquet reader skips row groups and pages by it; what it reads is checked.
                false => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let indices = projection.unwrap_or(&all);
        self.refuse_unreadable(indices)?;
        let files = self.pruned(session, filters)?;
        let files: Vec<PartitionedFile> = files
            .into_iter()
            .filter(|file| file.file.meta.size > 0)
            .map(|file| self.partitioned_file(file))
            .collect();
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(
                self.schema.project(indices)?,
            ))));
        }
        let table_statistics = merged_statistics(&files, self.table_schema.table_schema())?;
        let partitions = session.config().target_partitions().max(1);
        let groups = FileGroup::new(files)
            .split_files(partitions)
            .into_iter()
            .map(|group| {
                let statistics =
                    merged_statistics(group.files(), self.table_schema.table_schema())?;
                Ok(group.with_statistics(Arc::new(statistics)))
            })
            .collect::<DataFusionResult<Vec<_>>>()?;
        let source = self.skipping(self.file_source(), session, filters)?;
        let source = source
            .try_pushdown_projection(&self.projection(indices))?
            .ok_or_else(|| {
                DataFusionError::Internal(format!(
                    "{} files take no projection",
                    source.file_type()
                ))
            })?;
        let all_filters_decided = filters
            .iter()
            .all(|filter| self.is_partition_filter(filter));
        let config = FileScanConfigBuilder::new(self.place.url.clone(), source)
            .with_file_groups(groups)
            .with_statistics(table_statistics)
            .with_limit(limit.filter(|_| all_filters_decided))
            .with_expr_adapter(Some(Arc::new(ReadAsFactory)))
            .build();
        match &self.reader {
            Reader::Parquet(format) => {
                let plan = format.create_physical_plan(session, config).await?;
                self.with_file_names(&plan)
            }
            Reader::Stream(_) => Ok(DataSourceExec::from_data_source(config)),
        }
    }
}
