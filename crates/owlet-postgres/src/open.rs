//! From a split of a plan to a stream: the server and the snapshot of its query, the statement, what the work report
//! says. Must never plan.

use std::sync::Arc;

use arrow_schema::Schema;
use futures::TryStreamExt;
use owlet_connector::{
    BatchStream, ConnectorError, PRIMARY, Result, ScanContext, ScanPlan, ServerId,
};
use owlet_remote_sql::request;
use owlet_remote_sql::{Dialect, SqlConnector};

use crate::connector::PostgresConnector;
use crate::plan::{self, SplitPayload};
use crate::replicas::Replicas;
use crate::scan::{self, Ending, ScanParts, SplitQuery};
use crate::snapshot::Ticket;
use crate::source_query::{self, SourceQueryPayload};

impl PostgresConnector {
    /// Starts reading one split; see [`owlet_connector::Connector::open`].
    pub(crate) fn open_split(
        &self,
        plan: &ScanPlan,
        split: usize,
        context: ScanContext,
    ) -> BatchStream {
        let Some(chosen) = plan.splits.get(split) else {
            return scan::failed(ConnectorError::Internal(format!(
                "the plan has no split {split}"
            )));
        };
        if let Ok(payload) = serde_json::from_str::<SourceQueryPayload>(&chosen.payload) {
            return self.open_source_query(plan, payload, context);
        }
        let payload: SplitPayload = match serde_json::from_str(&chosen.payload) {
            Ok(payload) => payload,
            Err(error) => {
                return scan::failed(ConnectorError::Internal(format!(
                    "decoding a split: {error}"
                )));
            }
        };
        let ticket = payload
            .shared
            .is_some()
            .then(|| self.snapshots.join(&payload, split, &context.work));
        let schema = Arc::new(plan.schema.clone());
        let connector = self.clone();
        let description = Described {
            access: plan.access.clone(),
            remote: plan.remote.clone(),
        };
        let stream = async move {
            let query = tokio::select! {
                biased;
                () = context.cancellation.cancelled() => return Err(ConnectorError::Cancelled),
                query = connector.split_query(payload, description, ticket, schema, &context) => query?,
            };
            Ok(scan::stream(connector.scan_parts(), query, context))
        };
        Box::pin(futures::stream::once(stream).try_flatten())
    }

    fn scan_parts(&self) -> ScanParts {
        ScanParts {
            pool: Arc::clone(&self.pool),
            settings: Arc::clone(&self.settings),
            cache: Arc::clone(&self.cache),
        }
    }

    /// Puts into the work report what was decided after planning: the server, and what joins have found out.
    fn report(
        &self,
        dialect: &dyn Dialect,
        payload: &SplitPayload,
        mut described: Described,
        server: ServerId,
        context: &ScanContext,
    ) -> Result<()> {
        if server != PRIMARY {
            let place = &self.pool.settings(server)?.place;
            described.access = format!("{} at replica {place}", described.access);
        }
        let found = request::findings(&context.dynamic_filters);
        if let Some(found) = &found {
            let whole = match payload.shared {
                Some(_) => plan::unrestricted(&payload.relation),
                None => payload.relation.clone(),
            };
            let shown = request::narrowed(&whole, &found.shortened, dialect);
            // The statement is reported as planned where its short form cannot be said.
            if let Ok(query) = dialect.render(&shown) {
                described.access = format!("{}, by {}", described.access, found.phrase);
                described.remote = format!("{}{}", query.sql, found.remark);
            }
        }
        if server != PRIMARY || found.is_some() {
            context.work.set_access(described.access, described.remote);
        }
        Ok(())
    }

    /// The statement of a split, narrowed by what joins have found out.
    async fn split_query(
        &self,
        payload: SplitPayload,
        described: Described,
        ticket: Option<Ticket>,
        schema: Arc<Schema>,
        context: &ScanContext,
    ) -> Result<SplitQuery> {
        let dialect = self.dialect().await?;
        let server = self
            .routes
            .of_query(&Replicas(&self.pool), context.work.query())
            .await;
        let anchor = self
            .anchors
            .of_query((&self.pool, server), &self.settings.catalog, context)
            .await?;
        let origins = plan::output_origins(&payload.relation);
        let object = plan::table_list(&payload.relation);
        let tables = plan::table_names(&payload.relation);
        self.report(&*dialect, &payload, described, server, context)?;
        let narrowed = request::narrowed(&payload.relation, &context.dynamic_filters, &*dialect);
        let query = match dialect.render(&narrowed) {
            Ok(query) => query,
            Err(_) => dialect.render(&payload.relation).map_err(|refusal| {
                ConnectorError::Internal(format!("a planned split cannot be rendered: {refusal}"))
            })?,
        };
        let shared = ticket.zip(payload.shared);
        Ok(SplitQuery {
            sql: query.sql,
            schema,
            origins,
            object,
            tables,
            server,
            anchor,
            ending: Ending::Commit,
            shared,
        })
    }

    /// Reads a query in the server's own language.
    fn open_source_query(
        &self,
        plan: &ScanPlan,
        payload: SourceQueryPayload,
        context: ScanContext,
    ) -> BatchStream {
        let schema = Arc::new(plan.schema.clone());
        let object = plan.table.clone();
        let connector = self.clone();
        let stream = async move {
            let chosen = async {
                let server = connector
                    .routes
                    .of_query(&Replicas(&connector.pool), context.work.query())
                    .await;
                let anchor = connector
                    .anchors
                    .of_query(
                        (&connector.pool, server),
                        &connector.settings.catalog,
                        &context,
                    )
                    .await?;
                Ok::<_, ConnectorError>((server, anchor))
            };
            let (server, anchor) = tokio::select! {
                biased;
                () = context.cancellation.cancelled() => return Err(ConnectorError::Cancelled),
                chosen = chosen => chosen?,
            };
            let query = SplitQuery {
                sql: payload.source_sql,
                origins: source_query::origins(&schema),
                schema,
                object,
                tables: Vec::new(),
                server,
                anchor,
                ending: Ending::Rollback,
                shared: None,
            };
            Ok(scan::stream(connector.scan_parts(), query, context))
        };
        Box::pin(futures::stream::once(stream).try_flatten())
    }
}

/// How a plan describes itself in the work report.
#[derive(Debug)]
struct Described {
    access: String,
    remote: String,
}
