//! Connections whose transactions see the same snapshot. Must never know splits.
//!
//! Neither MySQL nor MariaDB lets a later transaction join the snapshot of an earlier one. So all begin at once, each
//! with a snapshot of its own; then they prove that these are the same:
//!
//! * MariaDB with a binary log tells each snapshot's position in it; equal positions mean that nothing was committed
//!   in between.
//! * Otherwise InnoDB's status tells the bounds of each transaction's read view; equal bounds with no transaction
//!   active between them see the same rows (needs the `PROCESS` privilege).
//!
//! Without a proof after some tries, only the first connection is kept: fewer readers, never another answer. No lock
//! is taken but the metadata lock every `SELECT` takes.

use std::sync::Arc;
use std::time::SystemTime;

use mysql_async::Error;
use owlet_connector::{ConnectorError, ServerId};
use owlet_remote_sql::mysql::Product;

use crate::catalog::text;
use crate::failure::{Stage, is_connection_failure, translate};
use crate::options::SnapshotPolicy;
use crate::pool::{Lease, Pool};
use crate::settings::Settings;

/// How often snapshots are taken again because they turned out to be different, or the connection dead.
const TRIES: usize = 3;

/// Where the snapshots are taken, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) server: ServerId,
    pub(crate) settings: &'a Settings,
    /// For messages.
    pub(crate) object: &'a str,
    /// A table that all connections will read, as schema and name: none may be left waiting for its metadata lock
    /// behind somebody's `ALTER TABLE` that waits for the others.
    pub(crate) table: Option<(&'a str, &'a str)>,
}

/// When the snapshots were taken: after the first and before the second moment, which are equal when all are the same
/// snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) after: SystemTime,
    pub(crate) until: SystemTime,
}

impl Taken {
    fn now() -> Self {
        let now = SystemTime::now();
        Self {
            after: now,
            until: now,
        }
    }
}

/// Opens connections in one snapshot: at least one, at most `wanted`, as many as are free now and can prove it.
pub(crate) async fn open(
    source: Source<'_>,
    wanted: usize,
) -> Result<(Vec<Lease>, Taken), ConnectorError> {
    let (first, taken) = first(source).await?;
    let mut leases = vec![first];
    while leases.len() < wanted {
        // A place that is not free now is another scan's; a server that takes no more is asked for no more.
        match source.pool.try_acquire(source.server).await {
            Ok(Some(lease)) => leases.push(lease),
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "fewer connections for this snapshot");
                break;
            }
        }
    }
    agree(leases, taken, source).await
}

/// Ends the transaction and gives the connection back to the pool.
pub(crate) async fn end(mut lease: Lease) {
    let Ok(session) = lease.session_mut() else {
        return;
    };
    match session.run("COMMIT").await {
        Ok(()) => lease.release(),
        Err(error) => tracing::debug!(%error, "a connection was lost after its last split"),
    }
}

/// A first connection that can read the table.
async fn first(source: Source<'_>) -> Result<(Lease, Taken), ConnectorError> {
    let mut lease = source.pool.acquire(source.server).await?;
    let mut tried = 1;
    loop {
        let taken = Taken::now();
        let error = match begin(&mut lease, source.table).await {
            Ok(()) => return Ok((lease, taken)),
            Err(error) => translate(&error, Stage::Prepare, source.settings, source.object),
        };
        if tried == TRIES || !is_connection_failure(&error) {
            return Err(error);
        }
        drop(lease);
        lease = source.pool.acquire_fresh(source.server).await?;
        tried += 1;
    }
}

/// Takes a snapshot in each of the connections until they are the same; the first alone when that does not succeed.
async fn agree(
    mut leases: Vec<Lease>,
    mut taken: Taken,
    source: Source<'_>,
) -> Result<(Vec<Lease>, Taken), ConnectorError> {
    let fail = |error: Error| translate(&error, Stage::Prepare, source.settings, source.object);
    for _ in 0..TRIES {
        if leases.len() == 1 {
            break;
        }
        taken = Taken::now();
        let begun = leases.iter_mut().map(|lease| begin(lease, source.table));
        for begun in futures::future::join_all(begun).await {
            begun.map_err(fail)?;
        }
        if source.settings.options.snapshot == SnapshotPolicy::PerConnection {
            taken.until = SystemTime::now();
            return Ok((leases, taken));
        }
        let mut marks = futures::future::join_all(leases.iter_mut().map(binary_log_mark)).await;
        if marks.iter().any(Option::is_none) {
            marks = read_view_marks(&mut leases).await;
        }
        match marks.first() {
            Some(Some(mark)) if marks.iter().all(|other| other.as_ref() == Some(mark)) => {
                return Ok((leases, taken));
            }
            // No transaction was seen by some and not by others, but none of the proofs is to be had.
            Some(None) => break,
            _ => {}
        }
    }
    let surplus = leases.split_off(1);
    if !surplus.is_empty() {
        tracing::debug!(
            object = source.object,
            "no common snapshot; one connection reads all parts"
        );
    }
    for lease in surplus {
        end(lease).await;
    }
    Ok((leases, taken))
}

/// Begins a transaction with a snapshot, and keeps others from changing the table's definition.
async fn begin(lease: &mut Lease, table: Option<(&str, &str)>) -> Result<(), Error> {
    lease.statement_started();
    let Ok(session) = lease.session_mut() else {
        return Ok(());
    };
    session
        .run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    if let Some((schema, name)) = table {
        let sql = format!("SELECT 1 FROM {}.{} LIMIT 0", quote(schema), quote(name));
        session.run(&sql).await?;
    }
    lease.statement_finished();
    Ok(())
}

/// Where in the binary log the snapshot is; `None` when the server does not tell.
async fn binary_log_mark(lease: &mut Lease) -> Option<String> {
    let session = lease.session_mut().ok()?;
    if session.server.product != Product::MariaDb {
        return None;
    }
    let rows = session
        .query("SHOW STATUS LIKE 'binlog_snapshot_%'", &[])
        .await
        .ok()?;
    let value = |name: &str| {
        rows.iter()
            .find(|row| text(row, 0).is_some_and(|found| found.eq_ignore_ascii_case(name)))
            .and_then(|row| text(row, 1))
            .filter(|value| !value.is_empty())
    };
    Some(format!(
        "{}:{}",
        value("binlog_snapshot_file")?,
        value("binlog_snapshot_position")?
    ))
}

/// The read view of each connection's transaction, where nothing is active between its bounds.
async fn read_view_marks(leases: &mut [Lease]) -> Vec<Option<String>> {
    let ids: Vec<u32> = leases
        .iter()
        .filter_map(|lease| lease.session().ok().map(crate::session::Session::id))
        .collect();
    let status = match leases.first_mut().map(Lease::session_mut) {
        Some(Ok(session)) => session.query("SHOW ENGINE INNODB STATUS", &[]).await.ok(),
        _ => None,
    };
    let status = status
        .and_then(|rows| rows.first().and_then(|row| text(row, 2)))
        .unwrap_or_default();
    ids.iter().map(|id| read_view_of(&status, *id)).collect()
}

/// The upper bound of a thread's read view, if it is the lower one too: no transaction was active when it was taken.
fn read_view_of(status: &str, thread: u32) -> Option<String> {
    let mut current = None;
    for line in status.lines() {
        if line.starts_with("---TRANSACTION") {
            current = None;
        } else if let Some((_, rest)) = line.split_once("thread id ") {
            current = rest.split(',').next().and_then(|id| id.trim().parse().ok());
        } else if current == Some(thread)
            && let Some(rest) = line.strip_prefix("Trx read view will not see trx with id >= ")
        {
            let (beyond, below) = rest.split_once(", sees < ")?;
            return (beyond.trim() == below.trim()).then(|| beyond.trim().to_owned());
        }
    }
    None
}

fn quote(identifier: &str) -> String {
    format!("`{}`", identifier.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::read_view_of;

    const STATUS: &str = "\
---TRANSACTION (0x7ff56c8d6b80), ACTIVE 0 sec
0 lock struct(s), heap size 1128, 0 row lock(s)
MariaDB thread id 41, OS thread handle 140691, query id 3 localhost owlet
Trx read view will not see trx with id >= 15, sees < 15
---TRANSACTION (0x7ff56c8d5380), not started
0 lock struct(s), heap size 1128, 0 row lock(s)
---TRANSACTION 421, ACTIVE 0 sec
MySQL thread id 42, OS thread handle 140692, query id 4 localhost owlet
Trx read view will not see trx with id >= 15, sees < 12
";

    #[test]
    fn a_read_view_proves_something_only_without_active_transactions() {
        assert_eq!(read_view_of(STATUS, 41).as_deref(), Some("15"));
        assert_eq!(read_view_of(STATUS, 42), None);
        assert_eq!(read_view_of(STATUS, 43), None);
    }
}
