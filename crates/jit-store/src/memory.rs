//! A log in memory: for tests, examples and as the model of what a backend is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::backend::{Backend, BackendError, Transaction};
use crate::row::{
    Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Holder, Incarnation, Known, Lease, LeaseKey,
    LeaseRequest, Locked, LookupKey, RecordKey, Row, StreamKey, StreamState, TileKey, TileRow,
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
    records: HashMap<RecordKey, u64>,
    streams: HashMap<StreamKey, (StreamState, Vec<u64>)>,
    lookups: BTreeSet<(LookupKey, u64)>,
    tiles: HashMap<TileKey, TileRow>,
    due: BTreeMap<(i64, DueKey), Vec<u8>>,
    due_at: HashMap<DueKey, i64>,
    blobs: HashMap<BlobKey, Vec<u8>>,
    checkpoints: BTreeMap<u64, CheckpointRow>,
    leases: HashMap<LeaseKey, Held>,
    fence: u64,
}

#[derive(Debug)]
struct Held {
    holder: Holder,
    fence: u64,
    until: Option<Instant>,
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
        for row in &batch.rows {
            if row.index != next || self.records.contains_key(&row.record) {
                return Err(BackendError::Corrupt {
                    what: format!("row {} does not belong at index {next}", row.index),
                });
            }
            next = next.saturating_add(1);
        }
        if batch.head.size != next {
            return Err(BackendError::Corrupt { what: format!("head size {} after {next} rows", batch.head.size) });
        }
        for row in batch.rows {
            self.records.insert(row.record, row.index);
            let empty = StreamState { next: 0, leaf: row.leaf, closed: false };
            self.streams.entry(row.stream).or_insert((empty, Vec::new())).1.push(row.index);
            self.rows.push(row);
        }
        for (key, head) in batch.streams {
            self.streams.entry(key).or_insert((head, Vec::new())).0 = head;
        }
        self.lookups.extend(batch.lookups);
        self.tiles.extend(batch.tiles.into_iter().map(|tile| (tile.key, tile)));
        for key in batch.due_done {
            self.unschedule(key);
        }
        for DueRow { key, at_us, work } in batch.due {
            self.unschedule(key);
            self.due_at.insert(key, at_us);
            self.due.insert((at_us, key), work);
        }
        for (key, bytes) in batch.blobs {
            self.blobs.entry(key).or_insert(bytes);
        }
        self.head = Some(batch.head);
        Ok(())
    }

    fn unschedule(&mut self, key: DueKey) {
        if let Some(at) = self.due_at.remove(&key) {
            self.due.remove(&(at, key));
        }
    }

    fn due_rows(&self, before_us: i64) -> impl Iterator<Item = DueRow> {
        self.due.range(..(before_us, DueKey::from_bytes([0; 32]))).map(|((at_us, key), work)| DueRow {
            key: *key,
            at_us: *at_us,
            work: work.clone(),
        })
    }

    fn lease(&mut self, key: LeaseKey, request: LeaseRequest) -> Option<Lease> {
        let now = Instant::now();
        let lives = |held: &&Held| held.until.is_none_or(|until| until > now);
        let fence = match self.leases.get(&key).filter(lives) {
            Some(held) if held.holder != request.holder => return None,
            Some(held) => held.fence,
            None => {
                self.fence = self.fence.saturating_add(1);
                self.fence
            }
        };
        let holder = request.holder;
        // A deadline beyond what the clock can express is no deadline.
        let until = now.checked_add(request.ttl);
        self.leases.insert(key, Held { holder, fence, until });
        Some(Lease { key, holder, fence })
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
        let stream = |key| log.streams.get(key).map(|(head, _)| *head);
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
        Ok(self.read()?.streams.get(&key).map(|(head, _)| *head))
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        Ok(slice(&self.read()?.rows, &range).to_vec())
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        let log = self.read()?;
        let indexes = log.streams.get(&key).map_or(&[][..], |(_, indexes)| indexes);
        Ok(log.rows_at(slice(indexes, &(from_n..u64::MAX)).iter().take(limit)))
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        let log = self.read()?;
        let found = log.lookups.range((key, from)..=(key, u64::MAX)).map(|(_, index)| index);
        Ok(log.rows_at(found.take(limit)))
    }

    async fn leaves(&self, range: Range<u64>) -> Result<Vec<HashBytes>, BackendError> {
        Ok(slice(&self.read()?.rows, &range).iter().map(|row| row.leaf).collect())
    }

    async fn tiles(&self, keys: &[TileKey]) -> Result<Vec<Option<TileRow>>, BackendError> {
        let log = self.read()?;
        Ok(keys.iter().map(|key| log.tiles.get(key).cloned()).collect())
    }

    async fn tile_roots(&self, level: u8, range: Range<u64>) -> Result<Vec<HashBytes>, BackendError> {
        let log = self.read()?;
        let keys = range.map(|index| TileKey { level, index });
        Ok(keys.map_while(|key| log.tiles.get(&key).map(|tile| tile.root)).collect())
    }

    async fn due(&self, before_us: i64, limit: usize) -> Result<Vec<DueRow>, BackendError> {
        Ok(self.read()?.due_rows(before_us).take(limit).collect())
    }

    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        let mut log = self.write()?;
        let due: Vec<DueRow> = log.due_rows(before_us).collect();
        let claimed = due.into_iter().filter_map(|row| log.lease(row.key.into(), request).map(|lease| (row, lease)));
        Ok(claimed.take(limit).collect())
    }

    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        Ok(self.write()?.lease(key, request))
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        let mut log = self.write()?;
        if log.leases.get(&lease.key).is_some_and(|held| held.holder == lease.holder && held.fence == lease.fence) {
            log.leases.remove(&lease.key);
        }
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

/// The part of `items` that lies within `range`.
fn slice<'a, T>(items: &'a [T], range: &Range<u64>) -> &'a [T] {
    let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(items.len());
    items.get(clamp(range.start)..clamp(range.end)).unwrap_or(&[])
}
