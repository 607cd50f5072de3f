//! A log in one SQLite file, for one broker on one machine.

mod error;
mod file;
mod readers;
mod reading;
mod writer;
mod writing;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

pub use self::error::SqliteError;
use self::file::WriterLock;
use self::readers::Readers;
use self::writer::{Open, Writer};
use crate::backend::{Backend, BackendError, Rebuild, Transaction};
use crate::lease::Leases;
use crate::row::{
    Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Head, Incarnation, Lease, LeaseKey, LeaseRequest, Locked,
    LookupKey, Projections, RecordKey, Row, StreamKey, StreamState, TreeNodes, TreeRead,
};

/// A [`Backend`] in one SQLite file, on a local disk of the one machine whose one process has it open.
///
/// - **Durable**: a write-ahead log with `synchronous=FULL`: a commit is answered when it was flushed.
/// - **One writer**: a lock of the operating system on `<path>.lock` refuses a second one, of this process or another, for as
///   long as a clone, a transaction or work under way is left. It goes with the process, so nothing is cleaned up after a crash.
/// - **Many readers**: each method reads whole commits, also while a transaction is open.
/// - **Leases** live in this process, as everybody who could hold one does.
///
/// It is used within a Tokio runtime, on whose blocking threads all work is done. A future that is dropped leaves work under
/// way to finish.
///
/// ```
/// use jit_store::{Backend, SqliteBackend, SqliteError};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("evidence.db");
/// assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::NotFound { .. })));
/// let backend = SqliteBackend::create_new(&path).await?;
/// assert!(backend.meta().await?.is_none(), "a file, and no log in it yet");
/// assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::InUse { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteBackend {
    // Above the writer, so that the writer closes last and leaves one file behind.
    readers: Arc<Readers>,
    writer: Arc<tokio::sync::Mutex<Writer>>,
    leases: Arc<Mutex<Leases>>,
    incarnation: Incarnation,
}

impl SqliteBackend {
    /// Creates the file, readable for its owner alone, and opens it; [`Log::create`](crate::Log::create) then creates a log
    /// in it. Its folder must exist.
    ///
    /// # Errors
    /// [`SqliteError::AlreadyExists`] if there is a file; then it is left as it is.
    pub async fn create_new(path: impl AsRef<Path>) -> Result<Self, SqliteError> {
        Self::blocking(path.as_ref(), |path| {
            file::create(path)?;
            Self::open_file(path)
        })
        .await
    }

    /// Opens the file for writing.
    ///
    /// # Errors
    /// [`SqliteError`]; except for [`Unavailable`](SqliteError::Unavailable), the database was left as it is.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, SqliteError> {
        Self::blocking(path.as_ref(), Self::open_file).await
    }

    async fn blocking(
        path: &Path,
        open: impl FnOnce(&Path) -> Result<Self, SqliteError> + Send + 'static,
    ) -> Result<Self, SqliteError> {
        let owned = PathBuf::from(path);
        let opened = tokio::task::spawn_blocking(move || open(&owned)).await;
        opened.map_err(|error| SqliteError::unavailable(path, error))?
    }

    fn open_file(path: &Path) -> Result<Self, SqliteError> {
        let path = file::resolve(path)?;
        let lock = WriterLock::take(&path)?;
        let mut writer = Writer::new(file::open_writer(&path)?, lock);
        let openings = writer.settle().map_err(|error| SqliteError::from_sqlite(&path, error))?;
        let mut incarnation = [0; 16];
        getrandom::fill(&mut incarnation).map_err(|error| SqliteError::unavailable(&path, error))?;
        Ok(Self {
            readers: Readers::new(path),
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            // Fences of earlier openings are smaller: no process gives out four billion.
            leases: Arc::new(Mutex::new(Leases::after(openings.saturating_mul(1 << 32)))),
            incarnation: Incarnation::from_bytes(incarnation),
        })
    }

    /// Takes the lock of the log and begins. If nobody waits any more when that is done, the transaction is dropped.
    async fn transaction<T: Send + 'static>(
        &self,
        first: impl FnOnce(&Connection) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<(Open, T), BackendError> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        tokio::task::spawn_blocking(move || {
            let open = Open::begin(writer)?;
            let found = first(open.connection())?;
            Ok((open, found))
        })
        .await?
    }

    fn leases(&self) -> impl std::ops::DerefMut<Target = Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes and commits; goes on if nobody waits for it.
async fn commit<T: Send + 'static>(
    open: Open,
    write: impl FnOnce(&Connection) -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    let written = tokio::task::spawn_blocking(move || {
        let written = write(open.connection())?;
        open.commit()?;
        Ok(written)
    });
    // Without an answer nobody knows how far it came.
    written.await.unwrap_or_else(|error| Err(BackendError::OutcomeUnknown { source: error.into() }))
}

#[async_trait]
impl Backend for SqliteBackend {
    async fn create(&self, meta: Vec<u8>, first: Batch) -> Result<(), BackendError> {
        let (open, ()) = self.transaction(|_| Ok(())).await?;
        commit(open, move |connection| writing::create(connection, &meta, &first)).await
    }

    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        self.readers.snapshot(reading::meta).await
    }

    async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
        let incarnation = self.incarnation;
        let (open, locked) =
            self.transaction(move |connection| reading::locked(connection, &want, incarnation)).await?;
        Ok(Box::new(SqliteTransaction { open, locked }))
    }

    async fn head(&self) -> Result<Head, BackendError> {
        self.readers.read(reading::head).await
    }

    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        self.readers.read(move |connection| reading::stream_head(connection, key)).await
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        self.readers.read(move |connection| reading::rows(connection, &range)).await
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        self.readers.read(move |connection| reading::stream_rows(connection, key, from_n, limit)).await
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        self.readers.read(move |connection| reading::lookup(connection, key, from, limit)).await
    }

    async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
        self.readers.read(move |connection| reading::tree(connection, &want)).await
    }

    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        self.readers.read(move |connection| reading::due(connection, after, before_us, limit)).await
    }

    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        self.readers.read(move |connection| reading::scan_streams(connection, after, limit)).await
    }

    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        self.readers.read(move |connection| reading::scan_lookups(connection, after, limit)).await
    }

    async fn scan_records(
        &self,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        self.readers.read(move |connection| reading::scan_records(connection, after, limit)).await
    }

    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        let this = self.clone();
        self.readers
            .read(move |connection| reading::claim(connection, &mut this.leases(), before_us, limit, request))
            .await
    }

    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        self.readers.read(|_| Ok(())).await?;
        Ok(self.leases().take(key, request))
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        self.readers.read(|_| Ok(())).await?;
        self.leases().give_back(lease);
        Ok(())
    }

    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        self.readers.read(move |connection| reading::blob(connection, key)).await
    }

    async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError> {
        let (open, ()) = self.transaction(|_| Ok(())).await?;
        commit(open, move |connection| writing::save_checkpoint(connection, after, &row)).await
    }

    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        self.readers.read(move |connection| reading::checkpoint(connection, at_least)).await
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError> {
        let first = |connection: &Connection| {
            let head = reading::head(connection)?;
            writing::clear_projections(connection)?;
            Ok(head)
        };
        let (open, head) = self.transaction(first).await?;
        Ok(Box::new(SqliteRebuild { open: Some(open), head }))
    }
}

#[derive(Debug)]
struct SqliteTransaction {
    open: Open,
    locked: Locked,
}

#[async_trait]
impl Transaction for SqliteTransaction {
    fn locked(&self) -> &Locked {
        &self.locked
    }

    async fn commit(self: Box<Self>, batch: Batch) -> Result<(), BackendError> {
        let Self { open, locked } = *self;
        commit(open, move |connection| writing::append(connection, &batch, locked.head.size)).await
    }
}

#[derive(Debug)]
struct SqliteRebuild {
    /// Absent after an addition that failed or was not waited for; that rolled back.
    open: Option<Open>,
    head: Head,
}

impl SqliteRebuild {
    fn take(&mut self) -> Result<Open, BackendError> {
        let source = "the rebuild was abandoned";
        self.open.take().ok_or_else(|| BackendError::Unavailable { source: source.into() })
    }
}

#[async_trait]
impl Rebuild for SqliteRebuild {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn add(&mut self, projections: Projections) -> Result<(), BackendError> {
        let open = self.take()?;
        let added = tokio::task::spawn_blocking(move || {
            writing::add_projections(open.connection(), &projections)?;
            Ok::<_, BackendError>(open)
        });
        self.open = Some(added.await??);
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BackendError> {
        commit(self.take()?, |_| Ok(())).await
    }
}
