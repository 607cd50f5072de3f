//! The one writing connection and its transactions.

use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use super::error::commit_failed;
use super::file::WriterLock;
use crate::backend::BackendError;

/// The connection that writes, for whoever holds the mutex around it.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    /// Whether the last commit failed, so that part of it may lie in the write-ahead log.
    in_doubt: bool,
    // Below the connection, because fields are dropped in order: the file is closed before another process may open it.
    _lock: WriterLock,
}

impl Writer {
    pub(super) fn new(connection: Connection, lock: WriterLock) -> Self {
        Self { connection, in_doubt: false, _lock: lock }
    }

    /// Writes durably, so that whatever recovery found in the write-ahead log is durable too, and what it did not find never
    /// comes back: the frames of a commit in doubt are written over. Returns a number that grows with every call.
    pub(super) fn settle(&mut self) -> rusqlite::Result<u64> {
        let count: i64 = self
            .connection
            .prepare_cached("UPDATE opening SET count = count + 1 RETURNING count")?
            .query_row([], |row| row.get(0))?;
        self.in_doubt = false;
        Ok(count.unsigned_abs())
    }
}

/// A transaction that holds the lock of the log. Dropping it rolls back, on whatever thread that happens; this writes nothing,
/// so it does not block for long.
#[derive(Debug)]
pub(super) struct Open(OwnedMutexGuard<Writer>);

impl Open {
    pub(super) fn begin(mut writer: OwnedMutexGuard<Writer>) -> Result<Self, BackendError> {
        if writer.in_doubt {
            writer.settle()?;
        }
        writer.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(writer))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    pub(super) fn commit(mut self) -> Result<(), BackendError> {
        let committed = self.0.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        committed.map(drop).map_err(|error| {
            self.0.in_doubt = true;
            commit_failed(error)
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let connection = &self.0.connection;
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction did not roll back");
        }
    }
}
