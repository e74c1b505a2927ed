//! Connections whose transactions see the same snapshot. Must never know splits.
//!
//! Neither MySQL nor MariaDB lets a later transaction join the snapshot of an earlier one. So all begin at once, each
//! with a snapshot of its own; then they prove that these are the same:
//!
//! * MariaDB with a binary log counts its commits, under the lock that also orders them against the beginning of
//!   snapshots; an equal count before the first snapshot and after the last one means that nothing was committed in
//!   between. (It also tells each snapshot's position in the log. That is no proof: all sessions write it to one
//!   variable and read it back from there, so `SHOW STATUS` of one session may show the position of another.)
//! * Otherwise InnoDB's status tells the bounds of each transaction's read view; equal bounds with no transaction
//!   active between them see the same rows (needs the `PROCESS` privilege).
//!
//! Without a proof after some tries, only the first connection is kept: fewer readers, never another answer. No lock
//! is taken but the metadata lock every `SELECT` takes.

use std::sync::Arc;
use std::time::SystemTime;

use mysql_async::{Error, Row};
use owlet_connector::{ConnectorError, ServerId};
use owlet_remote_sql::mysql::Product;

use crate::catalog::text;
use crate::failure::{Stage, is_connection_failure, translate};
use crate::options::SnapshotPolicy;
use crate::pool::{Lease, Pool};
use crate::settings::Settings;

/// How often a connection is replaced that turned out to be dead, and how often snapshots are compared by InnoDB's
/// status, which is not cheap for the server.
const TRIES: usize = 3;
/// How often snapshots are taken again because something was committed meanwhile. If commits come at random, 1,000 a
/// second, and a try takes 1.2 ms, then one try succeeds with a probability of 0.3, and eight with 0.94.
const COUNTED_TRIES: usize = 8;

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
    if leases.len() == 1 {
        return Ok((leases, taken));
    }
    let needs_proof = source.settings.options.snapshot != SnapshotPolicy::PerConnection;
    let are_commits_counted = needs_proof && are_commits_counted(&mut leases[0]).await;
    let tries = if are_commits_counted {
        COUNTED_TRIES
    } else {
        TRIES
    };
    for _ in 0..tries {
        let committed_before = if are_commits_counted {
            commits(&mut leases[0]).await
        } else {
            None
        };
        taken = Taken::now();
        for begun in futures::future::join_all(leases.iter_mut().map(take_snapshot)).await {
            begun.map_err(fail)?;
        }
        let outcome = if !needs_proof {
            taken.until = SystemTime::now();
            Outcome::Same
        } else if are_commits_counted {
            let committed_after = commits(&mut leases[0]).await;
            Outcome::of(committed_before.is_some() && committed_before == committed_after)
        } else {
            compare(&read_view_marks(&mut leases).await)
        };
        let locking = leases.iter_mut().map(|lease| lock(lease, source.table));
        match outcome {
            Outcome::Same => {
                for locked in futures::future::join_all(locking).await {
                    locked.map_err(fail)?;
                }
                return Ok((leases, taken));
            }
            Outcome::Different => {}
            Outcome::Unknown => break,
        }
    }
    let surplus = leases.split_off(1);
    tracing::debug!(
        object = source.object,
        "no common snapshot; one connection reads all parts"
    );
    for lease in surplus {
        end(lease).await;
    }
    lock(&mut leases[0], source.table).await.map_err(fail)?;
    Ok((leases, taken))
}

/// What is known of the snapshots of several transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    /// Not proved to be the same; they may be when taken again.
    Different,
    /// The server does not tell.
    Unknown,
}

impl Outcome {
    fn of(are_same: bool) -> Self {
        if are_same {
            Self::Same
        } else {
            Self::Different
        }
    }
}

/// Begins a transaction with a snapshot, and keeps others from changing the table's definition.
async fn begin(lease: &mut Lease, table: Option<(&str, &str)>) -> Result<(), Error> {
    take_snapshot(lease).await?;
    lock(lease, table).await
}

async fn take_snapshot(lease: &mut Lease) -> Result<(), Error> {
    lease.statement_started();
    let Ok(session) = lease.session_mut() else {
        return Ok(());
    };
    session
        .run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    lease.statement_finished();
    Ok(())
}

/// Takes the metadata lock that every `SELECT` takes.
async fn lock(lease: &mut Lease, table: Option<(&str, &str)>) -> Result<(), Error> {
    let Some((schema, name)) = table else {
        return Ok(());
    };
    lease.statement_started();
    let Ok(session) = lease.session_mut() else {
        return Ok(());
    };
    let sql = format!("SELECT 1 FROM {}.{} LIMIT 0", quote(schema), quote(name));
    session.run(&sql).await?;
    lease.statement_finished();
    Ok(())
}

/// Whether every commit is in the binary log, and so in its count: not what a replica or a cluster's node applies
/// without `log_slave_updates`, and not what the log leaves out by the name of the database. Of a log that a storage
/// engine keeps (MariaDB 12.3) it is not known when it counts.
async fn are_commits_counted(lease: &mut Lease) -> bool {
    let Ok(session) = lease.session_mut() else {
        return false;
    };
    if session.server.product != Product::MariaDb {
        return false;
    }
    let variables = session
        .query(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
             ('log_bin', 'log_slave_updates', 'wsrep_on', 'binlog_do_db', 'binlog_ignore_db', 'binlog_storage_engine')",
            &[],
        )
        .await;
    let Ok(variables) = variables else {
        return false;
    };
    let value = |name: &str| named(&variables, name).unwrap_or_default();
    let is_on = |name: &str| value(name).eq_ignore_ascii_case("ON");
    let is_special = ["binlog_do_db", "binlog_ignore_db", "binlog_storage_engine"]
        .into_iter()
        .any(|name| !value(name).is_empty());
    if !is_on("log_bin") || is_special {
        return false;
    }
    if is_on("log_slave_updates") {
        return true;
    }
    let replicating = session
        .query("SHOW STATUS LIKE 'Slaves_running'", &[])
        .await;
    let is_replica = !replicating
        .is_ok_and(|rows| named(&rows, "Slaves_running").is_some_and(|running| running == "0"));
    !is_replica && !is_on("wsrep_on")
}

/// How many transactions the binary log has been given so far; `None` when the server does not tell.
async fn commits(lease: &mut Lease) -> Option<u64> {
    let session = lease.session_mut().ok()?;
    let rows = session
        .query("SHOW STATUS LIKE 'Binlog_commits'", &[])
        .await
        .ok()?;
    named(&rows, "Binlog_commits")?.parse().ok()
}

/// The value beside this name.
fn named(rows: &[Row], name: &str) -> Option<String> {
    rows.iter()
        .find(|row| text(row, 0).is_some_and(|found| found.eq_ignore_ascii_case(name)))
        .and_then(|row| text(row, 1))
}

/// Whether read views are the same by their marks.
fn compare(marks: &[Option<String>]) -> Outcome {
    match marks.first() {
        Some(Some(mark)) => Outcome::of(marks.iter().all(|other| other.as_ref() == Some(mark))),
        _ => Outcome::Unknown,
    }
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
