//! The connections that read, each a snapshot of whole commits while others write.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::file::open_reader;
use crate::backend::BackendError;

/// So many read at once; the rest wait.
const READERS: usize = 8;

/// A pool of reading connections, opened as they are needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    /// Whether the log was seen to exist; it never ceases to.
    created: AtomicBool,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(READERS));
        Arc::new(Self { path, permits, idle: Mutex::default(), created: AtomicBool::new(false) })
    }

    /// Reads one snapshot of the log, which must have been created.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let readers = Arc::clone(self);
        self.snapshot(move |connection| {
            readers.check_created(connection)?;
            work(connection)
        })
        .await
    }

    /// Reads one snapshot of the file, whether or not there is a log in it.
    pub(super) async fn snapshot<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let closed = |error| BackendError::Unavailable { source: Box::new(error) };
        // The task that blocks takes the permit along, because it goes on when nobody waits for it any more.
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let readers = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = readers.take()?;
            // A connection whose transaction did not end is not used again.
            let transaction = connection.unchecked_transaction()?;
            let found = work(&transaction)?;
            transaction.commit()?;
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok(found)
        })
        .await?
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open_reader(&self.path), Ok)
    }

    fn check_created(&self, connection: &Connection) -> Result<(), BackendError> {
        if !self.created.load(Ordering::Relaxed) {
            if !connection.prepare_cached("SELECT 1 FROM log")?.exists([])? {
                return Err(BackendError::NotCreated);
            }
            self.created.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
