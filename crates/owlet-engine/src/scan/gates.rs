//! The doors of the catalogs that a plan reads ([`owlet_connector::Gate`]). Must never know why a door is closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use owlet_connector::{Connector, ConnectorError, Gate, Place, QueryWork};

use crate::scan::exec::ScanExec;

/// The connectors of a plan that have a gate, once each. In the order of their names, so that two queries never wait
/// for each other's places.
pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn Connector>> {
    let mut found = BTreeMap::new();
    collect(plan, &mut found);
    found.into_values().collect()
}

fn collect(plan: &Arc<dyn ExecutionPlan>, found: &mut BTreeMap<String, Arc<dyn Connector>>) {
    if let Some(exec) = plan.downcast_ref::<ScanExec>() {
        let scan = exec.scan();
        let owners = scan.owners.members().iter();
        let owners = owners.map(|owner| (&owner.catalog, &owner.connector));
        for (catalog, connector) in owners.chain([(&scan.catalog, &scan.connector)]) {
            if connector.gate().is_some() {
                found.insert(catalog.clone(), Arc::clone(connector));
            }
        }
    }
    for child in plan.children() {
        collect(child, found);
    }
}

/// Waits for a place at each; the query leaves when they are dropped. Catalogs of one server share its places, and a
/// query needs one of them: that of the strictest catalog.
pub async fn enter(
    connectors: &[Arc<dyn Connector>],
    work: &QueryWork,
) -> Result<Vec<Place>, ConnectorError> {
    let mut places = Vec::with_capacity(connectors.len());
    let gates: Vec<&Gate> = connectors
        .iter()
        .filter_map(|connector| connector.gate())
        .collect();
    for (position, gate) in gates.iter().enumerate() {
        let is_another_stricter = gates.iter().enumerate().any(|(other, stricter)| {
            other != position
                && gate.shares_places_with(stricter)
                && (stricter.limit(), other) < (gate.limit(), position)
        });
        if is_another_stricter {
            gate.check_open()?;
        } else {
            places.push(gate.enter(work).await?);
        }
    }
    Ok(places)
}
