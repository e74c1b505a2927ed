//! DataFusion's Parquet reader, whose errors say which file they are about, and what Arrow does not tell of a file's
//! columns. Must never know how a table was found.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::parquet::basic::LogicalType;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::schema::types::SchemaDescriptor;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use owlet_connector::ConnectorError;

use crate::error::{store_error, through_datafusion, unreadable};
use crate::pruning::Bounds;
use crate::read_as::Unfit;
use crate::schema::mark_uuid;
use crate::source::{FileDisplay, TableName};

/// The schema with the fields marked that the file says are UUIDs; Arrow has only their bytes.
pub fn with_uuids_marked(schema: &Schema, stored: &SchemaDescriptor) -> Schema {
    let leaves: usize = schema.fields().iter().map(|field| leaves(field)).sum();
    if leaves != stored.num_columns() {
        return schema.clone();
    }
    let mut is_uuid = (0..leaves)
        .map(|leaf| stored.column(leaf).logical_type_ref() == Some(&LogicalType::Uuid))
        .collect::<Vec<bool>>()
        .into_iter();
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field| marked(field, &mut is_uuid))
        .collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// Columns that Parquet stores for a field.
fn leaves(field: &Field) -> usize {
    match field.data_type() {
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::ListView(inner)
        | DataType::LargeListView(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _) => leaves(inner),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field)).sum(),
        _ => 1,
    }
}

/// The field, with its own leaves marked; takes the next leaves of the file.
fn marked(field: &FieldRef, is_uuid: &mut impl Iterator<Item = bool>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::List(element) => DataType::List(marked(element, is_uuid)),
        DataType::LargeList(element) => DataType::LargeList(marked(element, is_uuid)),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| marked(field, is_uuid)).collect())
        }
        _ => {
            let own: Vec<bool> = is_uuid.by_ref().take(leaves(field)).collect();
            return match own.as_slice() {
                [true] if *field.data_type() == DataType::FixedSizeBinary(16) => {
                    Arc::new(mark_uuid(field))
                }
                _ => Arc::clone(field),
            };
        }
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// A Parquet source whose errors name the file, and that skips nothing by bounds that do not tell the truth.
pub struct NamedParquet {
    inner: Arc<dyn FileSource>,
    catalog: Arc<str>,
    asked_as: TableName,
    bounds: Bounds,
}

impl NamedParquet {
    /// Reads what `inner` reads. `catalog` is for errors, `asked_as` for plans.
    pub fn new(
        catalog: &str,
        asked_as: &TableName,
        bounds: Bounds,
        inner: Arc<dyn FileSource>,
    ) -> Self {
        Self {
            inner,
            catalog: Arc::from(catalog),
            asked_as: asked_as.clone(),
            bounds,
        }
    }

    fn around(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self {
            inner,
            catalog: Arc::clone(&self.catalog),
            asked_as: self.asked_as.clone(),
            bounds: self.bounds.clone(),
        })
    }
}

impl FileSource for NamedParquet {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner
            .create_file_opener(object_store, base_config, partition)
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self
            .inner
            .create_morselizer(object_store, base_config, partition)?;
        Ok(Box::new(NamedMorselizer {
            inner,
            catalog: Arc::clone(&self.catalog),
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.around(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(
        &self,
        format: DisplayFormatType,
        formatter: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        write!(formatter, ", {}", self.asked_as)?;
        self.inner.fmt_extra(format, formatter)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let sound = self.bounds.tell(&filters);
        let given = filters
            .into_iter()
            .zip(&sound)
            .filter(|(_, sound)| **sound)
            .map(|(filter, _)| filter)
            .collect();
        let pushed = self.inner.try_pushdown_filters(given, config)?;
        let mut answers = pushed.filters.into_iter();
        let answer = |sound: &bool| match sound {
            true => answers.next().unwrap_or(PushedDown::No),
            false => PushedDown::No,
        };
        Ok(FilterPushdownPropagation {
            filters: sound.iter().map(answer).collect(),
            updated_node: pushed.updated_node.map(|inner| self.around(inner)),
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_sort(order, eq_properties)?;
        Ok(pushed.map(|inner| self.around(inner)))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_projection(projection)?;
        Ok(pushed.map(|inner| self.around(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

#[derive(Debug)]
struct NamedMorselizer {
    inner: Box<dyn Morselizer>,
    catalog: Arc<str>,
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let display = file.extension::<FileDisplay>().map_or_else(
            || file.object_meta.location.to_string(),
            |display| display.0.clone(),
        );
        let file_name = FileName {
            catalog: Arc::clone(&self.catalog),
            display: Arc::from(display),
        };
        let inner = self
            .inner
            .plan_file(file)
            .map_err(|error| file_name.named(error))?;
        Ok(file_name.planner(inner))
    }
}

/// The file that is read, for messages.
#[derive(Debug, Clone)]
struct FileName {
    catalog: Arc<str>,
    display: Arc<str>,
}

impl FileName {
    fn planner(&self, inner: Box<dyn MorselPlanner>) -> Box<dyn MorselPlanner> {
        Box::new(NamedPlanner {
            inner,
            file: self.clone(),
        })
    }

    fn morsel(&self, inner: Box<dyn Morsel>) -> Box<dyn Morsel> {
        Box::new(NamedMorsel {
            inner,
            file: self.clone(),
        })
    }

    /// An error of reading, said about this file. Expressions are evaluated within the scan too: their errors are not
    /// about the file.
    fn named(&self, error: DataFusionError) -> DataFusionError {
        let about_file = match error.find_root() {
            DataFusionError::ObjectStore(source) => {
                Some(store_error(&self.catalog, &self.display, source))
            }
            DataFusionError::ParquetError(source) => Some(self.parquet_error(source)),
            DataFusionError::ArrowError(source, _) => match source.as_ref() {
                ArrowError::ParquetError(message) => {
                    Some(unreadable(&self.catalog, &self.display, message))
                }
                _ => None,
            },
            DataFusionError::External(source) => source
                .downcast_ref::<Unfit>()
                .map(|unfit| unreadable(&self.catalog, &self.display, &unfit.to_string()))
                .or_else(|| {
                    let source = source.downcast_ref::<ParquetError>()?;
                    Some(self.parquet_error(source))
                }),
            _ => None,
        };
        about_file.map_or(error, through_datafusion)
    }

    fn parquet_error(&self, error: &ParquetError) -> ConnectorError {
        if let ParquetError::External(source) = error
            && let Some(source) = source.downcast_ref::<object_store::Error>()
        {
            return store_error(&self.catalog, &self.display, source);
        }
        unreadable(&self.catalog, &self.display, &error.to_string())
    }
}

#[derive(Debug)]
struct NamedPlanner {
    inner: Box<dyn MorselPlanner>,
    file: FileName,
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, file } = *self;
        let Some(mut plan) = inner.plan().map_err(|error| file.named(error))? else {
            return Ok(None);
        };
        let morsels = plan.take_morsels();
        let planners = plan.take_ready_planners();
        let mut named = MorselPlan::new()
            .with_morsels(
                morsels
                    .into_iter()
                    .map(|inner| file.morsel(inner))
                    .collect(),
            )
            .with_planners(
                planners
                    .into_iter()
                    .map(|inner| file.planner(inner))
                    .collect(),
            );
        if let Some(pending) = plan.take_pending_planner() {
            named.set_pending_planner(async move {
                match pending.await {
                    Ok(inner) => Ok(file.planner(inner)),
                    Err(error) => Err(file.named(error)),
                }
            });
        }
        Ok(Some(named))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    inner: Box<dyn Morsel>,
    file: FileName,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, file } = *self;
        inner
            .into_stream()
            .map_err(move |error| file.named(error))
            .boxed()
    }
}
