//! The pages of one unit of work, one after the other, each counted. Must never know splits.

use std::time::Instant;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use owlet_connector::ConnectorError;
use serde_json::{Map, Value};

use super::request::{SortTest, Unit, document};
use super::{Job, Result};
use crate::catalog::partition_sizes::{PartitionId, PartitionSize};
use crate::decode::{ItemDecoder, PageFacts, decode_page};
use crate::description::KeySchema;
use crate::options::Consistency;
use crate::plan::cost::{PAGE_BYTES, unit_price};
use crate::plan::payload::Counting;
use crate::transport::{Consumption, Request, Target, backoff, cancellable};

/// Most items of a page; DynamoDB's `Limit` is a positive integer of 32 bits.
const MAX_PAGE_ITEMS: f64 = 1_000_000_000.0;

/// Reads the pages of one unit.
pub(super) struct Pages<'j> {
    job: &'j Job,
    unit: Unit,
    decoder: ItemDecoder,
    /// The next request, without `Limit`; `None` when the last page was read.
    next: Option<Map<String, Value>>,
    /// Answers in a row that left keys unprocessed.
    unprocessed: u32,
    consistency: Consistency,
    /// Capacity units of all pages so far.
    units: f64,
    /// Items that the service read for them.
    items: f64,
}

impl Consumption for PageFacts {
    fn capacity_units(&self) -> f64 {
        self.capacity_units
    }
}

impl<'j> Pages<'j> {
    pub(super) fn new(job: &'j Job, unit: Unit) -> Self {
        let read = &job.read;
        let decoder = ItemDecoder::new(
            &read.table,
            read.keys
                .attributes()
                .map(|attribute| attribute.name.clone())
                .collect(),
            read.columns.clone(),
            read.outputs.clone(),
            job.options.on_type_mismatch,
        );
        let key_names = match &unit {
            Unit::Range { keys, .. } => key_names(keys),
            _ => Vec::new(),
        };
        let is_global_index = unit.index().is_some() && !is_local(&unit, read);
        let consistency = if is_global_index {
            Consistency::Eventual
        } else {
            job.options.consistency
        };
        let next = Some(document(
            &unit,
            read,
            job.filter_beside(&key_names),
            consistency,
        ));
        Self {
            job,
            unit,
            decoder,
            next,
            unprocessed: 0,
            consistency,
            units: 0.0,
            items: 0.0,
        }
    }

    /// The rows of the next page that has any.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(mut document) = self.next.take() else {
                self.learn_size();
                return Ok(None);
            };
            if self.job.is_satisfied() {
                return Ok(None);
            }
            if let Some(limit) = self.page_limit()? {
                document.insert("Limit".to_owned(), limit.into());
            }
            let facts = self.request(&document).await?;
            let batch = self.rows(&facts)?;
            self.count(&facts, batch.num_rows() as u64)?;
            self.next = self.following(document, facts).await?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }

    /// After the last page: a partition that was read whole has a known size.
    fn learn_size(&self) {
        let Unit::Range {
            index,
            hash,
            test: SortTest::Any,
            ..
        } = &self.unit
        else {
            return;
        };
        let partition = PartitionId::new(index.as_deref(), hash);
        let size = PartitionSize::of_read(self.items, self.units, self.consistency);
        self.job.read_whole(partition, size);
    }

    async fn request(&mut self, document: &Map<String, Value>) -> Result<PageFacts> {
        let job = self.job;
        let body = serde_json::to_string(document)
            .map_err(|error| ConnectorError::Internal(error.to_string()))?;
        let request = Request {
            target: Target {
                operation: self.unit.operation(),
                table: Some(&job.read.table),
                index: self.unit.index(),
            },
            body,
            expected_units: self.expected_units(document),
        };
        let decoder = &mut self.decoder;
        let started = Instant::now();
        let answer = job
            .transport
            .call(&request, &job.watch, |body| {
                decode_page(body, decoder).inspect_err(|_| decoder.reset())
            })
            .await?;
        let facts = &answer.value;
        let scanned = facts.scanned.unwrap_or(facts.items);
        job.took(facts.capacity_units, scanned, started.elapsed());
        self.units += facts.capacity_units;
        self.items += scanned as f64;
        job.context.work.add_bytes(answer.bytes)?;
        Ok(answer.value)
    }

    fn rows(&mut self, facts: &PageFacts) -> Result<RecordBatch> {
        let nulled = self.decoder.take_nulled();
        if nulled > 0 {
            self.job.context.work.add_nulled_values(nulled);
            tracing::warn!(table = %self.job.read.table, nulled, "values that did not fit their columns became NULL");
        }
        if self.job.read.counting == Counting::ByItems {
            return self.decoder.finish();
        }
        let rows = usize::try_from(facts.count.unwrap_or(0)).unwrap_or(usize::MAX);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options)
            .map_err(|error| ConnectorError::Internal(error.to_string()))
    }

    fn count(&self, facts: &PageFacts, rows: u64) -> Result<()> {
        let work = &self.job.context.work;
        work.add_rows_read(facts.scanned.unwrap_or(facts.items));
        work.add_rcu(facts.capacity_units)?;
        work.add_rows_returned(rows)
    }

    /// The request after this answer; `None` after the last page.
    async fn following(
        &mut self,
        mut document: Map<String, Value>,
        facts: PageFacts,
    ) -> Result<Option<Map<String, Value>>> {
        if let Some(keys) = facts.unprocessed {
            let waits = if facts.items == 0 {
                self.unprocessed + 1
            } else {
                0
            };
            self.unprocessed = waits;
            if waits > 0 {
                // The service could do nothing: it is throttling.
                cancellable(
                    &self.job.watch.cancellation,
                    tokio::time::sleep(backoff(waits)),
                )
                .await?;
            }
            document.insert("RequestItems".to_owned(), parsed(&keys)?);
            return Ok(Some(document));
        }
        if matches!(self.unit, Unit::Statement { .. }) {
            return Ok(facts.next_token.map(|token| {
                document.insert("NextToken".to_owned(), token.into());
                document.remove("Limit");
                document
            }));
        }
        match facts.last_key {
            None => Ok(None),
            Some(key) => {
                document.insert("ExclusiveStartKey".to_owned(), parsed(&key)?);
                document.remove("Limit");
                Ok(Some(document))
            }
        }
    }

    /// How many items a page may read: what the query still wants, a second's worth of the rate limit, and what
    /// the budget has left.
    fn page_limit(&self) -> Result<Option<u64>> {
        if matches!(self.unit, Unit::Keys(_)) {
            self.check_budget()?;
            return Ok(None);
        }
        let left = self.check_budget()?;
        let limit = self
            .job
            .transport
            .units_per_second(&self.job.read.table, self.unit.index());
        let by_units = [limit, left]
            .into_iter()
            .flatten()
            .map(|units| units / unit_price(self.job.options.consistency) * 4096.0)
            // A whole page needs no limit.
            .filter(|bytes| *bytes < PAGE_BYTES)
            .map(|bytes| {
                (bytes / self.job.read.item_bytes.max(1.0)).clamp(1.0, MAX_PAGE_ITEMS) as u64
            })
            .min();
        let wanted = self
            .job
            .remaining()
            .filter(|_| self.job.read.filter.is_none())
            .map(|rows| rows.clamp(1, MAX_PAGE_ITEMS as u64));
        Ok([by_units, wanted].into_iter().flatten().min())
    }

    /// Read capacity units left; an error when there are none.
    fn check_budget(&self) -> Result<Option<f64>> {
        let left = self.job.context.work.rcu_left();
        if left.is_some_and(|left| left <= 0.0) {
            return Err(ConnectorError::BudgetExceeded {
                limit: "max_rcu".to_owned(),
                allowed: "no further read".to_owned(),
                situation: format!("table {} has more to read", self.job.read.table),
                hint: "narrow the query, or raise the limit".to_owned(),
            });
        }
        Ok(left)
    }

    fn expected_units(&self, document: &Map<String, Value>) -> f64 {
        let price = unit_price(self.job.options.consistency);
        let item_bytes = self.job.read.item_bytes.max(1.0);
        if let Unit::Keys(keys) = &self.unit {
            return keys.len() as f64 * (item_bytes / 4096.0).ceil() * price;
        }
        let limited = document
            .get("Limit")
            .and_then(Value::as_u64)
            .map(|items| items as f64 * item_bytes);
        (limited.unwrap_or(PAGE_BYTES).min(PAGE_BYTES) / 4096.0).ceil() * price
    }
}

fn key_names(keys: &KeySchema) -> Vec<&str> {
    keys.attributes()
        .map(|attribute| attribute.name.as_str())
        .collect()
}

/// A local index shares the table's partition key and can be read consistently. A global index may share it too;
/// then a consistent read of it is never planned.
fn is_local(unit: &Unit, read: &crate::plan::payload::ReadSpecification) -> bool {
    match unit {
        Unit::Range { keys, .. } => keys.hash.name == read.keys.hash.name,
        _ => false,
    }
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| ConnectorError::Internal(error.to_string()))
}
