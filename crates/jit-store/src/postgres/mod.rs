//! A log in PostgreSQL, for many brokers.

mod batch;
mod config;
mod connection;
mod error;
mod migration;
mod reader;
mod rebuild;
mod sql;
mod value;
mod writer;

use std::ops::Range;

use async_trait::async_trait;

pub use self::config::{PostgresConfig, SchemaName};
use self::connection::Connector;
pub use self::error::PostgresError;
pub use self::migration::{MIGRATIONS, Migration};
use self::reader::Reader;
use self::rebuild::PostgresRebuild;
use self::writer::Writer;
use crate::backend::{Backend, BackendError, Rebuild, Transaction};
use crate::row::{
    Assumed, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Head, Lease, LeaseKey, LeaseRequest, LookupKey,
    RecordKey, Row, StreamKey, StreamState, TreeNodes, TreeRead,
};

/// A [`Backend`] in one schema of a PostgreSQL database (14 or newer), for any number of processes.
///
/// - **Group commit at the speed of the disk**: a transaction is two round trips, one to take the log's lock and read under it,
///   one to write and commit.
/// - **Billions of rows**: records, payloads and look-up entries are partitioned by index; partitions are made when they are
///   needed, by the transaction that needs them.
/// - **Insert only, by the database**: the writer's role may not change or delete evidence, triggers refuse it to others, and
///   payloads are deleted only together with a record that covers them and no hold on them.
/// - **Explicit migrations**: [`migrate`](Self::migrate) is called by an operator; [`connect`](Self::connect) refuses another
///   version of the schema.
///
/// It is used within a Tokio runtime.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use jit_store::{Backend, PostgresBackend, PostgresConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let owner = PostgresConfig::new("postgresql://operator@db.example/evidence".parse()?);
/// PostgresBackend::migrate(&owner).await?;
///
/// let writer = PostgresConfig::new("postgresql://broker@db.example/evidence".parse()?);
/// let backend: Arc<dyn Backend> = Arc::new(PostgresBackend::connect(writer).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PostgresBackend {
    config: PostgresConfig,
    reader: Reader,
    writer: Writer,
}

impl PostgresBackend {
    /// Connects to a schema that was migrated.
    ///
    /// # Errors
    /// [`PostgresError::NotMigrated`], [`OlderSchema`](PostgresError::OlderSchema), [`NewerSchema`](PostgresError::NewerSchema)
    /// and [`AlteredMigration`](PostgresError::AlteredMigration) if the schema is not the one that this version of the library
    /// works with.
    pub async fn connect(config: PostgresConfig) -> Result<Self, PostgresError> {
        let connector = Connector::new(&config);
        migration::check_current(&connector.session().await?, &config.schema).await?;
        let reader = Reader::new(connector.clone(), &config)?;
        let writer = Writer::new(connector, config.schema.clone(), config.patience(), config.early_lock_release);
        Ok(Self { config, reader, writer })
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    async fn create(&self, meta: Vec<u8>, first: Batch) -> Result<(), BackendError> {
        self.writer.create(&meta, &first).await
    }

    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        self.reader.meta().await
    }

    async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
        Ok(Box::new(self.writer.begin(&want).await?))
    }

    async fn write_if(&self, assumed: Assumed, batch: Batch) -> Result<bool, BackendError> {
        self.writer.write_if(&assumed, &batch).await
    }

    async fn head(&self) -> Result<Head, BackendError> {
        self.reader.head().await
    }

    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        self.reader.stream_head(key).await
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        self.reader.rows(range).await
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        self.reader.stream_rows(key, from_n, limit).await
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        self.reader.lookup(key, from, limit).await
    }

    async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
        self.reader.tree(want).await
    }

    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        self.reader.due(after, before_us, limit).await
    }

    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        self.reader.scan_streams(after, limit).await
    }

    async fn scan_stream_bounds(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, bool)>, BackendError> {
        self.reader.scan_stream_bounds(after, limit).await
    }

    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        self.reader.scan_lookups(after, limit).await
    }

    async fn scan_records(
        &self,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        self.reader.scan_records(after, limit).await
    }

    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        self.reader.claim(before_us, limit, request).await
    }

    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        self.reader.lease(key, request).await
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        self.reader.release(lease).await
    }

    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        self.reader.blob(key).await
    }

    async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError> {
        self.reader.save_checkpoint(after, row).await
    }

    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        self.reader.checkpoint(at_least).await
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError> {
        let patience = self.config.patience();
        Ok(Box::new(PostgresRebuild::begin(&self.writer, &self.config.schema, patience).await?))
    }
}
