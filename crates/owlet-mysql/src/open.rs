//! From a split of a plan to a stream: server and snapshot of its query, the statement, what the work report says. Must never
//! plan.

use std::sync::Arc;

use arrow_schema::Schema;
use futures::TryStreamExt;
use owlet_connector::{
    BatchStream, ConnectorError, PRIMARY, Result, ScanContext, ScanPlan, ServerId,
};
use owlet_remote_sql::SqlConnector;
use owlet_remote_sql::request;

use crate::connector::MysqlConnector;
use crate::plan::{self, SplitPayload};
use crate::replicas::Replicas;
use crate::scan::{self, ScanParts, SplitQuery};
use crate::snapshot::Ticket;

impl MysqlConnector {
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
        let payload: SplitPayload = match serde_json::from_str(&chosen.payload) {
            Ok(payload) => payload,
            Err(error) => {
                return scan::failed(ConnectorError::Internal(format!(
                    "decoding a split: {error}"
                )));
            }
        };
        let ticket = self.snapshots.join(&payload, split, &context);
        let schema = Arc::new(plan.schema.clone());
        let connector = self.clone();
        let (access, remote) = (plan.access.clone(), plan.remote.clone());
        let stream = async move {
            let replicas = Replicas(&connector.pool);
            let server = tokio::select! {
                biased;
                () = context.cancellation.cancelled() => return Err(ConnectorError::Cancelled),
                server = connector.routes.of_query(&replicas, context.work.query()) => server,
            };
            if server != PRIMARY {
                let place = &connector.pool.settings(server)?.place;
                context
                    .work
                    .set_access(format!("{access} at replica {place}"), remote);
            }
            let query = tokio::select! {
                biased;
                () = context.cancellation.cancelled() => return Err(ConnectorError::Cancelled),
                query = connector.split_query(payload, ticket, schema, server, &context) => query?,
            };
            Ok(scan::stream(connector.scan_parts(server)?, query, context))
        };
        Box::pin(futures::stream::once(stream).try_flatten())
    }

    fn scan_parts(&self, server: ServerId) -> Result<ScanParts> {
        Ok(ScanParts {
            pool: Arc::clone(&self.pool),
            settings: Arc::clone(self.pool.settings(server)?),
            cache: Arc::clone(&self.cache),
        })
    }

    /// The statement of a split, narrowed by what joins have found out.
    async fn split_query(
        &self,
        payload: SplitPayload,
        ticket: Option<Ticket>,
        schema: Arc<Schema>,
        server: ServerId,
        context: &ScanContext,
    ) -> Result<SplitQuery> {
        let dialect = self.dialect().await?;
        let origins = plan::output_origins(&payload.relation, &schema);
        let object = plan::table_list(&payload.relation);
        let narrowed = request::narrowed(&payload.relation, &context.dynamic_filters, &*dialect);
        let query = match dialect.render(&narrowed) {
            Ok(query) => query,
            Err(_) => dialect.render(&payload.relation).map_err(|refusal| {
                ConnectorError::Internal(format!("a planned split cannot be rendered: {refusal}"))
            })?,
        };
        Ok(SplitQuery {
            sql: query.sql,
            schema,
            origins,
            object,
            server,
            ticket,
            shared: payload.shared,
        })
    }
}
