//! How far a PostgreSQL standby is behind. Must never know what is read there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use owlet_connector::{ConnectorError, Lag, ReplicaLag, ServerId};

use crate::failure::{Stage, translate};
use crate::pool::Pool;

/// Seconds behind the primary; NULL when the server cannot tell. A standby that is connected and has replayed all it
/// received is not behind, however long ago the last transaction was.
const LAG: &str = "
SELECT CASE
    WHEN NOT pg_catalog.pg_is_in_recovery() THEN NULL
    WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn()
        AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE pid IS NOT NULL) THEN 0
    ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
    END::double precision";

/// The standbys of a catalog, asked over its pool.
pub(crate) struct Replicas<'a>(pub(crate) &'a Arc<Pool>);

#[async_trait]
impl ReplicaLag for Replicas<'_> {
    async fn lag(&self, server: ServerId, limit: Option<Duration>) -> Result<Lag, ConnectorError> {
        let pool = self.0;
        let mut lease = pool.acquire(server).await?;
        if !lease.session()?.seems_alive().await {
            drop(lease);
            lease = pool.acquire_fresh(server).await?;
        }
        // Not every server that can be read like a standby knows these functions (Aurora readers).
        let sql = match limit {
            Some(_) => LAG,
            None => "SELECT NULL::double precision",
        };
        lease.statement_started();
        let result = lease.session()?.query(sql, &[]).await;
        lease.statement_finished();
        let settings = pool.settings(server)?;
        let fail = |error: &tokio_postgres::Error| {
            translate(error, Stage::Prepare, &settings.catalog, &settings.place)
        };
        let rows = result.map_err(|error| fail(&error))?;
        lease.release();
        let seconds: Option<f64> = rows
            .first()
            .map_or(Ok(None), |row| row.try_get(0))
            .map_err(|error| fail(&error))?;
        Ok(seconds.map_or_else(|| Lag::Unknown(String::new()), Lag::Seconds))
    }
}
