//! A log in memory: for tests, examples and as the model of what a backend is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{Bound, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::backend::{Backend, BackendError, Rebuild, Transaction};
use crate::lease::Leases;
use crate::row::{
    Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Head, Incarnation, Known, Lease, LeaseKey, LeaseRequest,
    Locked, LookupKey, Projections, RecordKey, Row, StreamKey, StreamState, TileKey, TileRow, TreeNodes, TreeRead,
};

/// A [`Backend`] that keeps everything in memory. Clones share the same log; what is durable lasts
/// as long as the last clone.
///
/// ```
/// use jit_store::{Backend, MemoryBackend};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let backend = MemoryBackend::new();
/// assert!(backend.meta().await?.is_none(), "nothing exists before it was created");
/// # Ok::<(), jit_store::BackendError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    stored: Arc<RwLock<Stored>>,
    writer: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Stored {
    meta: Vec<u8>,
    /// Absent until the log is created.
    head: Option<Head>,
    rows: Vec<Row>,
    records: BTreeMap<RecordKey, u64>,
    by_stream: HashMap<StreamKey, Vec<u64>>,
    tiles: HashMap<TileKey, TileRow>,
    derived: Derived,
    blobs: HashMap<BlobKey, Vec<u8>>,
    checkpoints: BTreeMap<u64, CheckpointRow>,
    leases: Leases,
}

/// What [`Projections`] add up to.
#[derive(Debug, Default)]
struct Derived {
    streams: BTreeMap<StreamKey, StreamState>,
    lookups: BTreeSet<(LookupKey, u64)>,
    due: BTreeMap<(i64, DueKey), Vec<u8>>,
    due_at: HashMap<DueKey, i64>,
}

impl MemoryBackend {
    /// A database without a log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // A writer that panicked left the state whole, because `apply` checks before it changes anything.
    fn lock(&self) -> RwLockWriteGuard<'_, Stored> {
        self.stored.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Stored>, BackendError> {
        Some(self.lock()).filter(|log| log.head.is_some()).ok_or(BackendError::NotCreated)
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Stored>, BackendError> {
        let log = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        Some(log).filter(|log| log.head.is_some()).ok_or(BackendError::NotCreated)
    }
}

impl Stored {
    fn rows_at<'a>(&self, indexes: impl Iterator<Item = &'a u64>) -> Vec<Row> {
        indexes.filter_map(|index| self.rows.get(usize::try_from(*index).ok()?).cloned()).collect()
    }

    fn apply(&mut self, batch: Batch) -> Result<(), BackendError> {
        let mut next = self.rows.len() as u64;
        let mut records = HashSet::with_capacity(batch.rows.len());
        for row in &batch.rows {
            if row.index != next || self.records.contains_key(&row.record) || !records.insert(row.record) {
                return Err(BackendError::Corrupt {
                    what: format!("row {} does not belong at index {next}", row.index),
                });
            }
            next = next.saturating_add(1);
        }
        if batch.head.size != next {
            return Err(BackendError::Corrupt { what: format!("head size {} after {next} rows", batch.head.size) });
        }
        if let Some(tile) = batch.tiles.iter().find(|tile| self.tiles.contains_key(&tile.key)) {
            return Err(BackendError::Corrupt { what: format!("{:?} is there already", tile.key) });
        }
        for row in batch.rows {
            self.records.insert(row.record, row.index);
            self.by_stream.entry(row.stream).or_default().push(row.index);
            self.rows.push(row);
        }
        self.tiles.extend(batch.tiles.into_iter().map(|tile| (tile.key, tile)));
        self.derived.add(batch.projections);
        for (key, bytes) in batch.blobs {
            self.blobs.entry(key).or_insert(bytes);
        }
        self.head = Some(batch.head);
        Ok(())
    }
}

impl Derived {
    fn add(&mut self, added: Projections) {
        self.streams.extend(added.streams);
        self.lookups.extend(added.lookups);
        for key in added.due_done {
            self.unschedule(key);
        }
        for DueRow { key, at_us, work } in added.due {
            self.unschedule(key);
            self.due_at.insert(key, at_us);
            self.due.insert((at_us, key), work);
        }
    }

    fn unschedule(&mut self, key: DueKey) {
        if let Some(at) = self.due_at.remove(&key) {
            self.due.remove(&(at, key));
        }
    }

    fn due_rows(&self, after: Option<(i64, DueKey)>, before_us: i64) -> impl Iterator<Item = DueRow> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.due.range((start, Bound::Unbounded)).take_while(move |((at_us, _), _)| *at_us < before_us);
        rows.map(|((at_us, key), work)| DueRow { key: *key, at_us: *at_us, work: work.clone() })
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn create(&self, meta: Vec<u8>, first: Batch) -> Result<(), BackendError> {
        let mut log = self.lock();
        if log.head.is_some() {
            return Err(BackendError::AlreadyExists);
        }
        log.apply(first)?;
        log.meta = meta;
        Ok(())
    }

    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.read().ok().map(|log| log.meta.clone()))
    }

    async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
        let lock = Arc::clone(&self.writer).lock_owned().await;
        let log = self.read()?;
        let stream = |key| log.derived.streams.get(key).copied();
        let streams = want.streams.iter().map(stream).collect();
        let known = |key| {
            let index = *log.records.get(key)?;
            let leaf = log.rows.get(usize::try_from(index).ok()?)?.leaf;
            Some(Known { index, leaf })
        };
        let known = want.records.iter().map(known).collect();
        let mut leaves = Vec::new();
        let tail = slice(&log.rows, &(want.leaves_from..u64::MAX));
        if tail.len() <= Begin::MAX_LEAVES {
            leaves.extend(tail.iter().map(|row| row.leaf));
        }
        let head = log.head.clone().ok_or(BackendError::NotCreated)?;
        let locked = Locked { head, streams, known, leaves, incarnation: Incarnation::from_bytes([0; 16]) };
        Ok(Box::new(MemoryTransaction { backend: self.clone(), _lock: lock, locked }))
    }

    async fn head(&self) -> Result<Head, BackendError> {
        self.read()?.head.clone().ok_or(BackendError::NotCreated)
    }

    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        Ok(self.read()?.derived.streams.get(&key).copied())
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        Ok(slice(&self.read()?.rows, &range).to_vec())
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        let log = self.read()?;
        let indexes = log.by_stream.get(&key).map_or(&[][..], Vec::as_slice);
        Ok(log.rows_at(slice(indexes, &(from_n..u64::MAX)).iter().take(limit)))
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        let log = self.read()?;
        let found = log.derived.lookups.range((key, from)..=(key, u64::MAX)).map(|(_, index)| index);
        Ok(log.rows_at(found.take(limit)))
    }

    async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
        let log = self.read()?;
        let leaves = |range: &Range<u64>| slice(&log.rows, range).iter().map(|row| row.leaf).collect();
        let root = |level, index| log.tiles.get(&TileKey { level, index }).map(|tile| tile.root);
        let roots = |(level, range): (u8, Range<u64>)| range.map_while(|index| root(level, index)).collect();
        Ok(TreeNodes {
            leaves: want.leaves.iter().map(leaves).collect(),
            tiles: want.tiles.iter().map(|key| log.tiles.get(key).cloned()).collect(),
            roots: want.roots.into_iter().map(roots).collect(),
        })
    }

    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        Ok(self.read()?.derived.due_rows(after, before_us).take(limit).collect())
    }

    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        let log = self.read()?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = log.derived.streams.range((start, Bound::Unbounded)).take(limit);
        Ok(found.map(|(key, state)| (*key, *state)).collect())
    }

    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        let log = self.read()?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(log.derived.lookups.range((start, Bound::Unbounded)).take(limit).copied().collect())
    }

    async fn scan_records(
        &self,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        let log = self.read()?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = log.records.range((start, Bound::Unbounded)).take(limit);
        Ok(found.map(|(key, index)| (*key, *index)).collect())
    }

    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        let mut log = self.write()?;
        let Stored { derived, leases, .. } = &mut *log;
        let due = derived.due_rows(None, before_us);
        let claimed = due.filter_map(|row| leases.take(row.key.into(), request).map(|lease| (row, lease)));
        Ok(claimed.take(limit).collect())
    }

    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        Ok(self.write()?.leases.take(key, request))
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        self.write()?.leases.give_back(lease);
        Ok(())
    }

    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.read()?.blobs.get(&key).cloned())
    }

    async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError> {
        let mut log = self.write()?;
        let largest = log.checkpoints.keys().next_back().copied();
        let fits = largest == after && largest.is_none_or(|size| row.size > size);
        if fits {
            log.checkpoints.insert(row.size, row);
        }
        Ok(fits)
    }

    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        let log = self.read()?;
        let checkpoints = &log.checkpoints;
        let found = match at_least {
            Some(size) => checkpoints.range(size..).next(),
            None => checkpoints.iter().next_back(),
        };
        Ok(found.map(|(_, row)| row.clone()))
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError> {
        let lock = Arc::clone(&self.writer).lock_owned().await;
        let head = self.read()?.head.clone().ok_or(BackendError::NotCreated)?;
        Ok(Box::new(MemoryRebuild { backend: self.clone(), _lock: lock, head, derived: Derived::default() }))
    }
}

#[derive(Debug)]
struct MemoryTransaction {
    backend: MemoryBackend,
    _lock: OwnedMutexGuard<()>,
    locked: Locked,
}

#[async_trait]
impl Transaction for MemoryTransaction {
    fn locked(&self) -> &Locked {
        &self.locked
    }

    async fn commit(self: Box<Self>, batch: Batch) -> Result<(), BackendError> {
        self.backend.write()?.apply(batch)
    }
}

#[derive(Debug)]
struct MemoryRebuild {
    backend: MemoryBackend,
    _lock: OwnedMutexGuard<()>,
    head: Head,
    derived: Derived,
}

#[async_trait]
impl Rebuild for MemoryRebuild {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn add(&mut self, projections: Projections) -> Result<(), BackendError> {
        self.derived.add(projections);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), BackendError> {
        self.backend.write()?.derived = self.derived;
        Ok(())
    }
}

/// The part of `items` that lies within `range`.
fn slice<'a, T>(items: &'a [T], range: &Range<u64>) -> &'a [T] {
    let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(items.len());
    items.get(clamp(range.start)..clamp(range.end)).unwrap_or(&[])
}
