//! What planning a query made connectors read of tables to find their columns. Must never know plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use owlet_connector::{Connector, QueryWork, SampleWork, ScanDescription};

/// Access path of such reads in the work report.
const ACCESS: &str = "sample";
/// What they ask, for people.
const REMOTE: &str = "items that decide the columns";

/// What samples had cost before the query.
pub(crate) struct Sampling {
    before: Vec<(Arc<dyn Connector>, BTreeMap<String, SampleWork>)>,
}

impl Sampling {
    /// Remembers the counters of these sources.
    pub fn before(sources: impl Iterator<Item = Arc<dyn Connector>>) -> Self {
        Self {
            before: sources
                .map(|connector| {
                    let sampled = connector.sampled();
                    (connector, sampled)
                })
                .collect(),
        }
    }

    /// Adds what was sampled since to the query's work: an entry for each table, and read capacity units that count
    /// against its budget.
    pub fn record(&self, work: &Arc<QueryWork>) {
        for (connector, before) in &self.before {
            for (table, sampled) in connector.sampled() {
                let added = sampled - before.get(&table).copied().unwrap_or_default();
                if added.requests == 0 {
                    continue;
                }
                let recorder = work.recorder(ScanDescription {
                    catalog: connector.catalog().to_owned(),
                    table,
                    access: ACCESS.to_owned(),
                    remote: REMOTE.to_owned(),
                    rcu_estimated: Some(added.capacity_units),
                    ..ScanDescription::default()
                });
                // A budget that is used up refuses the query when it starts: a plan may still be shown.
                let _ = recorder.add_rcu(added.capacity_units);
                let _ = recorder.add_bytes(added.bytes);
                recorder.add_rows_read(added.items);
                (0..added.requests).for_each(|_| recorder.add_request());
            }
        }
    }
}
