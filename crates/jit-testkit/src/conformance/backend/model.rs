//! What a log should hold, and the batches that make it grow.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use jit_store::{
    Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Holder, LeaseKey,
    LeaseRequest, LookupKey, Projections, RecordKey, Row, StreamKey, StreamState, TileKey, TileRow, TreeRead,
};

use super::pages;

/// The records of a log and the heads of its streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) rows: Vec<Row>,
    pub(super) streams: BTreeMap<StreamKey, StreamState>,
}

impl Model {
    pub(super) fn size(&self) -> u64 {
        self.rows.len() as u64
    }

    /// The batch that adds one record to each of these streams, in this order.
    pub(super) fn next(&self, streams: &[u8]) -> Batch {
        let mut heads: BTreeMap<StreamKey, StreamState> = BTreeMap::new();
        let mut rows = Vec::with_capacity(streams.len());
        for (index, number) in (self.size()..).zip(streams) {
            let key = stream(*number);
            let n = heads.get(&key).or_else(|| self.streams.get(&key)).map_or(0, |state| state.next);
            let row = row(index, *number, n);
            heads.insert(key, StreamState { next: n + 1, leaf: row.leaf, closed: false });
            rows.push(row);
        }
        Batch {
            head: head(self.size() + rows.len() as u64),
            rows,
            tiles: Vec::new(),
            projections: Projections { streams: heads.into_iter().collect(), ..Projections::default() },
            blobs: Vec::new(),
        }
    }

    /// What the log holds after this batch.
    pub(super) fn apply(&mut self, batch: &Batch) {
        self.rows.extend(batch.rows.iter().cloned());
        self.streams.extend(batch.projections.streams.iter().copied());
    }

    /// Commits a batch.
    pub(super) async fn commit(&mut self, backend: &dyn Backend, batch: Batch) {
        let transaction = backend.begin(Begin::default()).await.expect("the lock is free");
        assert_eq!(transaction.locked().head, head(self.size()), "the head under the lock");
        transaction.commit(batch.clone()).await.expect("a batch that is right is committed");
        self.apply(&batch);
    }

    /// Commits one record to each of these streams.
    pub(super) async fn write(&mut self, backend: &dyn Backend, streams: &[u8]) {
        let batch = self.next(streams);
        self.commit(backend, batch).await;
    }

    /// Asserts that the database holds this and nothing else: head, records, streams.
    pub(super) async fn check(&self, backend: &dyn Backend) {
        assert_eq!(backend.head().await.unwrap(), head(self.size()), "the head");
        same_rows(&pages::rows(backend, 0..u64::MAX).await, &self.rows);
        let streams: Vec<_> = self.streams.iter().map(|(key, state)| (*key, *state)).collect();
        assert_eq!(pages::scan_streams(backend, 100).await, streams, "the heads of all streams");
        let mut records: Vec<_> = self.rows.iter().map(|row| (row.record, row.index)).collect();
        records.sort_unstable();
        assert_eq!(pages::scan_records(backend, 1000).await, records, "the ids of all records");
        for (key, state) in streams {
            assert_eq!(backend.stream_head(key).await.unwrap(), Some(state), "the head of {key:?}");
            let rows: Vec<Row> = self.rows.iter().filter(|row| row.stream == key).cloned().collect();
            same_rows(&pages::stream_rows(backend, key, 0, 100).await, &rows);
        }
    }
}

/// Asserts that the rows are equal, without printing megabytes.
pub(super) fn same_rows(found: &[Row], expected: &[Row]) {
    let indexes = |rows: &[Row]| rows.iter().map(|row| row.index).collect::<Vec<_>>();
    assert_eq!(indexes(found), indexes(expected), "which rows, in which order");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.header == expected.header, "row {}: another header", expected.index);
        assert!(found.payload == expected.payload, "row {}: another payload", expected.index);
        assert!(found == expected, "row {}: another record, stream, number or leaf hash", expected.index);
    }
}

pub(super) fn row(index: u64, stream_number: u8, n: u64) -> Row {
    Row {
        index,
        record: record(index),
        stream: stream(stream_number),
        n,
        leaf: hash(b'l', index),
        header: format!("header {index}").into_bytes(),
        payload: Some(format!("payload {index}").into_bytes()),
    }
}

pub(super) fn head(size: u64) -> Head {
    let frontier = (0..u64::from(size.count_ones())).map(|at| hash(b'f', (size << 8) | at)).collect();
    Head { size, root: hash(b'r', size), frontier }
}

pub(super) fn checkpoint(size: u64) -> CheckpointRow {
    let frontier = (0..u64::from(size.count_ones())).map(|at| hash(b'f', at)).collect();
    CheckpointRow { size, note: format!("checkpoint {size}").into_bytes(), frontier }
}

pub(super) fn tile(level: u8, index: u64) -> TileRow {
    let hashes = (0..256).flat_map(|slot| *hash(b't', (index << 8) | slot).as_bytes()).collect();
    TileRow { key: TileKey { level, index }, hashes, root: hash(b'R' ^ level, index) }
}

/// A hash that nothing else has.
pub(super) fn hash(kind: u8, number: u64) -> HashBytes {
    let mut bytes = [kind; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    HashBytes::from_bytes(bytes)
}

/// Record ids are not in the order of indexes.
pub(super) fn record(index: u64) -> RecordKey {
    RecordKey::from_bytes(
        (u128::from(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(index)).to_be_bytes(),
    )
}

pub(super) fn stream(number: u8) -> StreamKey {
    StreamKey::from_bytes([number; 32])
}

pub(super) fn look_up(number: u8) -> LookupKey {
    LookupKey::from_bytes([number; 32])
}

pub(super) fn blob(number: u8) -> BlobKey {
    BlobKey::from_bytes([number; 32])
}

pub(super) fn due_key(number: u8) -> DueKey {
    DueKey::from_bytes([number; 32])
}

pub(super) fn due(number: u8, at_us: i64) -> DueRow {
    DueRow { key: due_key(number), at_us, work: format!("work {number}").into_bytes() }
}

pub(super) fn lease_key(number: u8) -> LeaseKey {
    LeaseKey::from_bytes([number; 32])
}

pub(super) fn ask(holder: u8, ttl: Duration) -> LeaseRequest {
    LeaseRequest { holder: Holder::from_bytes([holder; 16]), ttl }
}

/// A lease that outlasts every case.
pub(super) const LONG: Duration = Duration::from_secs(3600);

pub(super) fn all_leaves(range: Range<u64>) -> TreeRead {
    TreeRead { leaves: Vec::from([range]), ..TreeRead::default() }
}

pub(super) fn is_corrupt<T>(result: &Result<T, BackendError>) -> bool {
    matches!(result, Err(BackendError::Corrupt { .. }))
}
