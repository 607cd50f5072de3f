//! A database whose answers a test can falsify while it runs.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use jit_store::{
    Assumed, Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Incarnation,
    Lease, LeaseKey, LeaseRequest, Locked, LookupKey, MemoryBackend, Projections, Rebuild, RecordKey, Row, StreamKey,
    StreamState, TileKey, TileRow, Transaction, TreeNodes, TreeRead,
};
use tokio::sync::watch;

type Change<T> = Option<fn(&mut T)>;

/// What is changed in answers.
#[derive(Clone, Default)]
pub(crate) struct Edit {
    pub(crate) head: Change<Head>,
    pub(crate) row: Change<Row>,
    /// The leaf hashes read, with the index of the first.
    pub(crate) leaves: Change<(u64, Vec<HashBytes>)>,
    pub(crate) tile: Change<TileRow>,
    pub(crate) checkpoint: Change<CheckpointRow>,
    /// Tiles that are gone.
    pub(crate) no_tiles: bool,
    pub(crate) incarnation: u8,
    /// Of two batches sent without the lock the first is written, and both answers are lost.
    pub(crate) flights_lost: bool,
}

/// Falsifies what a memory backend answers.
#[derive(Clone, Default)]
pub(crate) struct Doctored {
    pub(crate) inner: MemoryBackend,
    edit: Arc<Mutex<Edit>>,
    /// How many batches were sent of those whose answers are lost.
    pub(crate) flights: Arc<watch::Sender<u64>>,
}

impl std::fmt::Debug for Doctored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doctored")
    }
}

impl Doctored {
    pub(crate) fn new(inner: MemoryBackend, edit: Edit) -> Self {
        Self { inner, edit: Arc::new(Mutex::new(edit)), ..Self::default() }
    }

    pub(crate) fn set(&self, edit: Edit) {
        *self.edit.lock().unwrap() = edit;
    }

    fn edit(&self) -> Edit {
        self.edit.lock().unwrap().clone()
    }

    fn changed<T>(change: Change<T>, mut answer: T) -> T {
        if let Some(change) = change {
            change(&mut answer);
        }
        answer
    }

    fn rows_changed(&self, rows: Vec<Row>) -> Vec<Row> {
        rows.into_iter().map(|row| Self::changed(self.edit().row, row)).collect()
    }
}

#[async_trait]
impl Backend for Doctored {
    async fn create(&self, meta: Vec<u8>, first: Batch) -> Result<(), BackendError> {
        self.inner.create(meta, first).await
    }

    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.meta().await
    }

    async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
        let from = want.leaves_from;
        let inner = self.inner.begin(want).await?;
        let mut locked = inner.locked().clone();
        let edit = self.edit();
        locked.head = Self::changed(edit.head, locked.head);
        locked.leaves = Self::changed(edit.leaves, (from, locked.leaves)).1;
        locked.incarnation = Incarnation::from_bytes([edit.incarnation; 16]);
        Ok(Box::new(DoctoredTransaction { inner, locked }))
    }

    async fn write_if(&self, assumed: Assumed, batch: Batch) -> Result<bool, BackendError> {
        let lost = self.edit().flights_lost;
        if lost {
            self.flights.send_modify(|flights| *flights += 1);
        }
        if !lost || *self.flights.borrow() == 1 {
            let streams = assumed.streams.iter().map(|(key, _)| *key).collect();
            let records = batch.rows.iter().map(|row| row.record).collect();
            let transaction = self.begin(Begin { streams, records, leaves_from: assumed.head.size }).await?;
            let locked = transaction.locked();
            if !assumed.holds(locked) || locked.known.iter().any(Option::is_some) {
                return Ok(false);
            }
            transaction.commit(batch).await?;
        }
        if lost {
            self.flights.subscribe().wait_for(|flights| *flights == 2).await.unwrap();
            return Err(BackendError::OutcomeUnknown { source: "the answer is lost".into() });
        }
        Ok(true)
    }

    async fn head(&self) -> Result<Head, BackendError> {
        Ok(Self::changed(self.edit().head, self.inner.head().await?))
    }

    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        self.inner.stream_head(key).await
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        Ok(self.rows_changed(self.inner.rows(range).await?))
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        Ok(self.rows_changed(self.inner.stream_rows(key, from_n, limit).await?))
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        Ok(self.rows_changed(self.inner.lookup(key, from, limit).await?))
    }

    async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
        let edit = self.edit();
        let starts: Vec<u64> = want.leaves.iter().map(|range| range.start).collect();
        let mut nodes = self.inner.tree(want).await?;
        let leaves = starts.into_iter().zip(nodes.leaves);
        nodes.leaves = leaves.map(|leaves| Self::changed(edit.leaves, leaves).1).collect();
        let kept = |tile: &TileRow| !edit.no_tiles && tile.hashes.len() == 8192;
        let tiles = nodes.tiles.into_iter();
        nodes.tiles = tiles.map(|tile| tile.filter(kept).map(|tile| Self::changed(edit.tile, tile))).collect();
        Ok(nodes)
    }

    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        self.inner.due(after, before_us, limit).await
    }

    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        self.inner.scan_streams(after, limit).await
    }

    async fn scan_stream_bounds(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, bool)>, BackendError> {
        self.inner.scan_stream_bounds(after, limit).await
    }

    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        self.inner.scan_lookups(after, limit).await
    }

    async fn scan_records(
        &self,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        self.inner.scan_records(after, limit).await
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError> {
        self.inner.rebuild().await
    }

    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        self.inner.claim(before_us, limit, request).await
    }

    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        self.inner.lease(key, request).await
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        self.inner.release(lease).await
    }

    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.blob(key).await
    }

    async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError> {
        self.inner.save_checkpoint(after, row).await
    }

    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        let found = self.inner.checkpoint(at_least).await?;
        Ok(found.map(|row| Self::changed(self.edit().checkpoint, row)))
    }
}

#[derive(Debug)]
struct DoctoredTransaction {
    inner: Box<dyn Transaction>,
    locked: Locked,
}

#[async_trait]
impl Transaction for DoctoredTransaction {
    fn locked(&self) -> &Locked {
        &self.locked
    }

    async fn commit(self: Box<Self>, batch: Batch) -> Result<(), BackendError> {
        self.inner.commit(batch).await
    }
}

/// A backup: another database with what this one holds now, except look-ups, due work and leases.
pub(crate) async fn copy_of(backend: &dyn Backend) -> MemoryBackend {
    let (head, rows) = (backend.head().await.unwrap(), backend.rows(0..u64::MAX).await.unwrap());
    let (mut streams, mut tiles) = (Vec::new(), Vec::new());
    for row in rows.iter().filter(|row| row.n == 0) {
        streams.push((row.stream, backend.stream_head(row.stream).await.unwrap().unwrap()));
    }
    let keys: Vec<TileKey> = (0..head.size / 256).map(|index| TileKey { level: 0, index }).collect();
    let read = TreeRead { tiles: keys, ..TreeRead::default() };
    tiles.extend(backend.tree(read).await.unwrap().tiles.into_iter().flatten());
    let projections = Projections { streams, ..Projections::default() };
    let batch = Batch { head, rows, tiles, projections, blobs: vec![] };
    let copy = MemoryBackend::new();
    copy.create(backend.meta().await.unwrap().unwrap(), batch).await.unwrap();
    if let Some(row) = backend.checkpoint(None).await.unwrap() {
        copy.save_checkpoint(None, row).await.unwrap();
    }
    copy
}
