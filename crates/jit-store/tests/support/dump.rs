//! Everything that a database holds, copied out through its own reads, for a test to damage and to read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use async_trait::async_trait;
use jit_store::{
    Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Head, Lease, LeaseKey, LeaseRequest,
    LookupKey, Rebuild, RecordKey, Row, StreamKey, StreamState, TileKey, TileRow, Transaction, TreeNodes, TreeRead,
};

/// A database at rest.
#[derive(Clone, Debug)]
pub(crate) struct Dump {
    pub(crate) meta: Vec<u8>,
    pub(crate) head: Head,
    pub(crate) rows: BTreeMap<u64, Row>,
    pub(crate) tiles: BTreeMap<TileKey, TileRow>,
    pub(crate) streams: BTreeMap<StreamKey, StreamState>,
    pub(crate) lookups: BTreeSet<(LookupKey, u64)>,
    pub(crate) records: BTreeMap<RecordKey, u64>,
    pub(crate) due: BTreeMap<(i64, DueKey), Vec<u8>>,
    pub(crate) blobs: BTreeMap<BlobKey, Vec<u8>>,
    pub(crate) checkpoints: BTreeMap<u64, CheckpointRow>,
}

impl Dump {
    /// A copy of a database, with these blobs of it.
    pub(crate) async fn of(backend: &dyn Backend, blobs: &[BlobKey]) -> Self {
        let head = backend.head().await.unwrap();
        let mut dump = Self {
            meta: backend.meta().await.unwrap().unwrap(),
            rows: backend.rows(0..head.size).await.unwrap().into_iter().map(|row| (row.index, row)).collect(),
            tiles: BTreeMap::new(),
            streams: backend.scan_streams(None, usize::MAX).await.unwrap().into_iter().collect(),
            lookups: backend.scan_lookups(None, usize::MAX).await.unwrap().into_iter().collect(),
            records: backend.scan_records(None, usize::MAX).await.unwrap().into_iter().collect(),
            due: BTreeMap::new(),
            blobs: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            head,
        };
        let (mut level, mut tiles) = (0, dump.head.size / 256);
        while tiles > 0 {
            let keys = (0..tiles).map(|index| TileKey { level, index }).collect();
            let read = backend.tree(TreeRead { tiles: keys, ..TreeRead::default() }).await.unwrap();
            dump.tiles.extend(read.tiles.into_iter().flatten().map(|tile| (tile.key, tile)));
            (level, tiles) = (level + 1, tiles / 256);
        }
        for row in backend.due(None, i64::MAX, usize::MAX).await.unwrap() {
            dump.due.insert((row.at_us, row.key), row.work);
        }
        for key in blobs {
            dump.blobs.extend(backend.blob(*key).await.unwrap().map(|blob| (*key, blob)));
        }
        let mut size = 0;
        while let Some(row) = backend.checkpoint(Some(size)).await.unwrap() {
            size = row.size + 1;
            dump.checkpoints.insert(row.size, row);
        }
        dump
    }
}

fn refused<T>() -> Result<T, BackendError> {
    Err(BackendError::Refused { source: "a dump is read only".into() })
}

#[async_trait]
impl Backend for Dump {
    async fn create(&self, _: Vec<u8>, _: Batch) -> Result<(), BackendError> {
        refused()
    }

    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(Some(self.meta.clone()))
    }

    async fn begin(&self, _: Begin) -> Result<Box<dyn Transaction>, BackendError> {
        refused()
    }

    async fn head(&self) -> Result<Head, BackendError> {
        Ok(self.head.clone())
    }

    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        Ok(self.streams.get(&key).copied())
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        Ok(self.rows.range(range).map(|(index, row)| Row { index: *index, ..row.clone() }).collect())
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        let of_stream = self.rows.iter().filter(|(_, row)| row.stream == key && row.n >= from_n);
        let mut rows: Vec<Row> = of_stream.map(|(index, row)| Row { index: *index, ..row.clone() }).collect();
        rows.sort_by_key(|row| (row.n, row.index));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        let found = self.lookups.range((key, from)..=(key, u64::MAX));
        Ok(found.filter_map(|(_, index)| self.rows.get(index).cloned()).take(limit).collect())
    }

    async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
        let root = |level, index| self.tiles.get(&TileKey { level, index }).map(|tile| tile.root);
        Ok(TreeNodes {
            leaves: want.leaves.into_iter().map(|r| self.rows.range(r).map(|(_, row)| row.leaf).collect()).collect(),
            tiles: want.tiles.iter().map(|key| self.tiles.get(key).cloned()).collect(),
            roots: want.roots.into_iter().map(|(level, r)| r.map_while(|index| root(level, index)).collect()).collect(),
        })
    }

    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        let rows =
            self.due.iter().filter(|((at, key), _)| after.is_none_or(|after| (*at, *key) > after) && *at < before_us);
        Ok(rows
            .map(|((at_us, key), work)| DueRow { key: *key, at_us: *at_us, work: work.clone() })
            .take(limit)
            .collect())
    }

    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        let found = self.streams.iter().filter(|(key, _)| after.is_none_or(|after| **key > after));
        Ok(found.map(|(key, state)| (*key, *state)).take(limit).collect())
    }

    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        Ok(self.lookups.iter().filter(|entry| after.is_none_or(|after| **entry > after)).copied().take(limit).collect())
    }

    async fn scan_records(
        &self,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        let found = self.records.iter().filter(|(key, _)| after.is_none_or(|after| **key > after));
        Ok(found.map(|(key, index)| (*key, *index)).take(limit).collect())
    }

    async fn claim(&self, _: i64, _: usize, _: LeaseRequest) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        refused()
    }

    async fn lease(&self, _: LeaseKey, _: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        refused()
    }

    async fn release(&self, _: Lease) -> Result<(), BackendError> {
        refused()
    }

    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.blobs.get(&key).cloned())
    }

    async fn save_checkpoint(&self, _: Option<u64>, _: CheckpointRow) -> Result<bool, BackendError> {
        refused()
    }

    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        Ok(match at_least {
            Some(size) => self.checkpoints.range(size..).next(),
            None => self.checkpoints.iter().next_back(),
        }
        .map(|(_, row)| row.clone()))
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError> {
        refused()
    }
}
