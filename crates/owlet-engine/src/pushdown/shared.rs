//! Catalogs of one query that reach the same server as the same user: the first of them asks it for all, so that joins
//! between them are pushed as one and all their tables are read at one snapshot. Must never know what a server is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use owlet_connector::{Connector, ServerIdentity};
use owlet_remote_sql::SqlConnector;

use crate::catalogs::SourceTable;
use crate::engine::Source;
use crate::passthrough::SourceQuery;

/// A catalog with its connector.
#[derive(Debug)]
pub struct Member<C: ?Sized> {
    /// Configured name.
    pub catalog: String,
    /// Its connector.
    pub connector: Arc<C>,
}

// Derived, it would ask for a connector that can be cloned.
impl<C: ?Sized> Clone for Member<C> {
    fn clone(&self) -> Self {
        Self {
            catalog: self.catalog.clone(),
            connector: Arc::clone(&self.connector),
        }
    }
}

/// Who asks for whom.
#[derive(Debug, Default)]
pub struct SharedServers {
    /// By the name of the catalog that does not ask itself.
    askers: BTreeMap<String, Member<dyn SqlConnector>>,
}

impl SharedServers {
    /// The catalogs of a plan. One that is also asked in its own language keeps asking for itself: its connector holds
    /// the snapshot of that query.
    pub fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut members: Vec<Member<dyn SqlConnector>> = Vec::new();
        let mut asked_otherwise = BTreeSet::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                if let Some(query) = SourceQuery::of(scan) {
                    asked_otherwise.insert(query.catalog().to_owned());
                } else if let Some(table) = SourceTable::of(scan)
                    && let Source::Sql(connector) = &table.source
                    && members.iter().all(|member| member.catalog != table.catalog)
                {
                    members.push(Member {
                        catalog: table.catalog.clone(),
                        connector: Arc::clone(connector),
                    });
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        members.retain(|member| !asked_otherwise.contains(&member.catalog));
        let mut askers = BTreeMap::new();
        let mut servers: Vec<(ServerIdentity, Member<dyn SqlConnector>)> = Vec::new();
        for member in members {
            let Some(identity) = member.connector.server_identity() else {
                continue;
            };
            match servers.iter().find(|(known, _)| *known == identity) {
                Some((_, asker)) => {
                    askers.insert(member.catalog, asker.clone());
                }
                None => servers.push((identity, member)),
            }
        }
        Ok(Self { askers })
    }

    /// Who asks for this catalog, if not itself.
    pub fn asker(&self, catalog: &str) -> Option<&Member<dyn SqlConnector>> {
        self.askers.get(catalog)
    }
}

/// Catalogs whose tables a scan reads.
#[derive(Debug, Clone, Default)]
pub struct Owners(Vec<Member<dyn Connector>>);

impl Owners {
    /// The owner of one table.
    pub fn one(catalog: &str, connector: Arc<dyn Connector>) -> Self {
        Self(vec![Member {
            catalog: catalog.to_owned(),
            connector,
        }])
    }

    /// All of these, each once, in order of appearance.
    pub fn united<'a>(several: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut united: Vec<Member<dyn Connector>> = Vec::new();
        for member in several.into_iter().flat_map(|owners| &owners.0) {
            if united.iter().all(|known| known.catalog != member.catalog) {
                united.push(member.clone());
            }
        }
        Self(united)
    }

    /// Names and connectors.
    pub fn members(&self) -> &[Member<dyn Connector>] {
        &self.0
    }

    /// The names, where they are not just that of the catalog that asks.
    pub fn unlike(&self, asker: &str) -> Vec<String> {
        if self.0.iter().all(|member| member.catalog == asker) {
            return Vec::new();
        }
        self.0.iter().map(|member| member.catalog.clone()).collect()
    }
}

/// Who asks for whom, for people.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The catalog that asks.
    pub asker: &'a str,
    /// [`Owners::unlike`] it.
    pub tables_of: &'a [String],
}

impl fmt::Display for Asking<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asker, tables_of } = self;
        if tables_of.is_empty() {
            return formatter.write_str(asker);
        }
        formatter.write_str(&tables_of.join(" + "))?;
        if tables_of.iter().any(|catalog| catalog == asker) {
            return Ok(());
        }
        write!(formatter, " through {asker}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_whose_tables_are_read_and_who_asks() {
        let shown = |asker, tables_of: &[&str]| {
            let tables_of: Vec<String> = tables_of.iter().map(|name| (*name).to_owned()).collect();
            let asking = Asking {
                asker,
                tables_of: &tables_of,
            };
            asking.to_string()
        };
        assert_eq!(shown("shop", &[]), "shop");
        assert_eq!(shown("shop", &["crm", "shop"]), "crm + shop");
        assert_eq!(shown("shop", &["crm"]), "crm through shop");
    }
}
