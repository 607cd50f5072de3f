//! The memory backend keeps the contract of `Backend`, number by number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests may panic")]

use std::time::Duration;

use jit_store::{
    Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Holder, LeaseKey,
    LeaseRequest, LookupKey, MemoryBackend, Projections, RecordKey, Row, StreamKey, StreamState, TreeRead,
};

fn row(index: u64, stream: u8, n: u64) -> Row {
    Row {
        index,
        record: RecordKey::from_bytes((u128::from(index) + 1).to_be_bytes()),
        stream: StreamKey::from_bytes([stream; 32]),
        n,
        leaf: HashBytes::from_bytes([index as u8; 32]),
        header: vec![index as u8; 3],
        payload: Some(vec![7]),
    }
}

fn batch(rows: Vec<Row>) -> Batch {
    let size = rows.last().map_or(0, |row| row.index + 1);
    let streams =
        rows.iter().map(|row| (row.stream, StreamState { next: row.n + 1, leaf: row.leaf, closed: false })).collect();
    Batch {
        head: Head { size, root: HashBytes::from_bytes([size as u8; 32]), frontier: vec![] },
        rows,
        tiles: vec![],
        projections: Projections { streams, ..Projections::default() },
        blobs: vec![],
    }
}

async fn created() -> MemoryBackend {
    let backend = MemoryBackend::new();
    backend.create(b"meta".to_vec(), batch(vec![row(0, 1, 0)])).await.unwrap();
    backend
}

fn ask(holder: u8, secs: u64) -> LeaseRequest {
    LeaseRequest { holder: Holder::from_bytes([holder; 16]), ttl: Duration::from_secs(secs) }
}

#[tokio::test]
async fn nothing_but_create_creates() {
    let backend = MemoryBackend::new();
    assert_eq!(backend.meta().await.unwrap(), None);
    assert!(matches!(backend.head().await, Err(BackendError::NotCreated)));
    assert!(matches!(backend.begin(Begin::default()).await, Err(BackendError::NotCreated)));
    backend.create(b"meta".to_vec(), batch(vec![row(0, 1, 0)])).await.unwrap();
    assert_eq!(backend.meta().await.unwrap(), Some(b"meta".to_vec()));
    assert!(matches!(backend.create(vec![], batch(vec![])).await, Err(BackendError::AlreadyExists)));
}

#[tokio::test]
async fn a_transaction_excludes_others_until_it_ends() {
    let backend = created().await;
    let first = backend.begin(Begin::default()).await.unwrap();
    let other = backend.clone();
    let second = tokio::spawn(async move { other.begin(Begin::default()).await.unwrap().locked().head.size });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    first.commit(batch(vec![row(1, 1, 1)])).await.unwrap();
    assert_eq!(second.await.unwrap(), 2, "the second one sees what the first one wrote");
}

#[tokio::test]
async fn dropping_a_transaction_writes_nothing() {
    let backend = created().await;
    drop(backend.begin(Begin::default()).await.unwrap());
    assert_eq!(backend.head().await.unwrap().size, 1);
    backend.begin(Begin::default()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_batch_is_refused_whole() {
    let backend = created().await;
    let mut doubled = row(1, 1, 1);
    doubled.record = row(0, 1, 0).record;
    let mut short = batch(vec![row(1, 1, 1)]);
    short.head.size = 1;
    for wrong in [batch(vec![row(2, 1, 1)]), batch(vec![row(1, 1, 1), row(3, 1, 2)]), batch(vec![doubled]), short] {
        let tx = backend.begin(Begin::default()).await.unwrap();
        assert!(matches!(tx.commit(wrong).await, Err(BackendError::Corrupt { .. })));
        assert_eq!(backend.head().await.unwrap().size, 1);
        assert_eq!(backend.rows(0..9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn begin_answers_in_the_order_asked() {
    let backend = created().await;
    let want = Begin {
        streams: vec![StreamKey::from_bytes([9; 32]), StreamKey::from_bytes([1; 32])],
        records: vec![row(0, 1, 0).record, row(5, 1, 0).record],
        leaves_from: 0,
    };
    let tx = backend.begin(want).await.unwrap();
    assert_eq!(tx.locked().streams[0], None);
    assert_eq!(tx.locked().streams[1].unwrap().next, 1);
    assert_eq!(tx.locked().known[0].unwrap().index, 0);
    assert_eq!(tx.locked().known[1], None);
    assert_eq!(tx.locked().leaves, [row(0, 1, 0).leaf]);
}

#[tokio::test]
async fn reads_find_rows_by_index_stream_and_key() {
    let backend = created().await;
    let tx = backend.begin(Begin::default()).await.unwrap();
    let mut second = batch(vec![row(1, 2, 0), row(2, 1, 1), row(3, 1, 2)]);
    let key = LookupKey::from_bytes([5; 32]);
    second.projections.lookups = vec![(key, 3), (key, 1), (LookupKey::from_bytes([6; 32]), 2)];
    second.blobs = vec![(BlobKey::from_bytes([1; 32]), vec![1])];
    tx.commit(second).await.unwrap();
    let indexes = |rows: Vec<Row>| rows.iter().map(|row| row.index).collect::<Vec<_>>();
    assert_eq!(indexes(backend.rows(1..3).await.unwrap()), [1, 2]);
    assert_eq!(indexes(backend.rows(9..u64::MAX).await.unwrap()), [0; 0]);
    let stream = StreamKey::from_bytes([1; 32]);
    assert_eq!(indexes(backend.stream_rows(stream, 1, 1).await.unwrap()), [2]);
    assert_eq!(indexes(backend.stream_rows(stream, 0, 9).await.unwrap()), [0, 2, 3]);
    assert_eq!(backend.stream_head(stream).await.unwrap().unwrap().next, 3);
    assert_eq!(indexes(backend.lookup(key, 0, 9).await.unwrap()), [1, 3]);
    assert_eq!(indexes(backend.lookup(key, 2, 9).await.unwrap()), [3]);
    let read = TreeRead { leaves: vec![2..4, 3..9], ..TreeRead::default() };
    let leaf = |index: u8| HashBytes::from_bytes([index; 32]);
    assert_eq!(backend.tree(read).await.unwrap().leaves, [vec![leaf(2), leaf(3)], vec![leaf(3)]]);
    assert_eq!(backend.blob(BlobKey::from_bytes([1; 32])).await.unwrap(), Some(vec![1]));
    assert_eq!(backend.blob(BlobKey::from_bytes([2; 32])).await.unwrap(), None);
}

#[tokio::test]
async fn checkpoints_never_go_back() {
    let backend = created().await;
    let checkpoint = |size: u64| CheckpointRow { size, note: size.to_string().into_bytes(), frontier: vec![] };
    assert!(backend.save_checkpoint(None, checkpoint(2)).await.unwrap());
    assert!(!backend.save_checkpoint(None, checkpoint(3)).await.unwrap(), "there is one already");
    assert!(!backend.save_checkpoint(Some(2), checkpoint(2)).await.unwrap(), "not larger");
    assert!(!backend.save_checkpoint(Some(1), checkpoint(4)).await.unwrap(), "not after that one");
    assert!(backend.save_checkpoint(Some(2), checkpoint(5)).await.unwrap());
    assert_eq!(backend.checkpoint(None).await.unwrap().unwrap().size, 5);
    assert_eq!(backend.checkpoint(Some(1)).await.unwrap().unwrap().size, 2);
    assert_eq!(backend.checkpoint(Some(3)).await.unwrap().unwrap().size, 5);
    assert_eq!(backend.checkpoint(Some(6)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn leases_exclude_expire_and_fence() {
    let backend = created().await;
    let key = LeaseKey::from_bytes([1; 32]);
    let first = backend.lease(key, ask(1, 10)).await.unwrap().unwrap();
    assert_eq!(backend.lease(key, ask(2, 10)).await.unwrap(), None);
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(backend.lease(key, ask(1, 10)).await.unwrap().unwrap().fence, first.fence, "a renewal");
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(backend.lease(key, ask(2, 10)).await.unwrap(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    let second = backend.lease(key, ask(2, u64::MAX)).await.unwrap().unwrap();
    assert!(second.fence > first.fence);
    backend.release(first).await.unwrap();
    assert_eq!(backend.lease(key, ask(1, 10)).await.unwrap(), None, "a stale release frees nothing");
    backend.release(second).await.unwrap();
    assert!(backend.lease(key, ask(1, 10)).await.unwrap().unwrap().fence > second.fence);
}

#[tokio::test(start_paused = true)]
async fn due_work_is_claimed_once_in_order_and_rescheduled_by_key() {
    let backend = created().await;
    let due = |key: u8, at_us: i64| DueRow { key: DueKey::from_bytes([key; 32]), at_us, work: vec![key] };
    let tx = backend.begin(Begin::default()).await.unwrap();
    let mut scheduled = batch(vec![row(1, 1, 1)]);
    scheduled.projections.due = vec![due(1, 30), due(2, 10), due(3, 20), due(4, 40)];
    tx.commit(scheduled).await.unwrap();
    let keys = |rows: &[(DueRow, jit_store::Lease)]| rows.iter().map(|(row, _)| row.work[0]).collect::<Vec<_>>();
    assert_eq!(keys(&backend.claim(40, 2, ask(1, 10)).await.unwrap()), [2, 3]);
    assert_eq!(keys(&backend.claim(40, 9, ask(2, 10)).await.unwrap()), [1], "what others hold is skipped");
    assert_eq!(backend.due(None, 40, 9).await.unwrap().len(), 3);
    let tx = backend.begin(Begin::default()).await.unwrap();
    let mut moved = batch(vec![row(2, 1, 2)]);
    moved.projections.due = vec![due(2, 99)];
    moved.projections.due_done = vec![due(3, 0).key, due(77, 0).key];
    tx.commit(moved).await.unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(keys(&backend.claim(100, 9, ask(3, 10)).await.unwrap()), [1, 4, 2]);
}

#[tokio::test]
async fn projections_are_scanned_whole_and_replaced_whole() {
    let backend = created().await;
    let (one, two) = (LookupKey::from_bytes([1; 32]), LookupKey::from_bytes([2; 32]));
    let tx = backend.begin(Begin::default()).await.unwrap();
    let mut more = batch(vec![row(1, 2, 0), row(2, 3, 0)]);
    more.projections.lookups = vec![(two, 1), (one, 2), (one, 1)];
    more.projections.due = vec![DueRow { key: DueKey::from_bytes([5; 32]), at_us: 5, work: vec![5] }];
    tx.commit(more).await.unwrap();
    let keys =
        |found: Vec<(StreamKey, StreamState)>| found.iter().map(|(key, _)| key.as_bytes()[0]).collect::<Vec<_>>();
    assert_eq!(keys(backend.scan_streams(None, 9).await.unwrap()), [1, 2, 3]);
    assert_eq!(keys(backend.scan_streams(Some(StreamKey::from_bytes([1; 32])), 1).await.unwrap()), [2]);
    assert_eq!(backend.scan_lookups(None, 2).await.unwrap(), [(one, 1), (one, 2)]);
    assert_eq!(backend.scan_lookups(Some((one, 1)), 9).await.unwrap(), [(one, 2), (two, 1)]);
    let records = backend.scan_records(None, 9).await.unwrap();
    assert_eq!(records.iter().map(|(_, index)| *index).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(records.is_sorted());
    assert_eq!(backend.scan_records(Some(records[0].0), 1).await.unwrap(), records[1..2]);
    let due = backend.due(None, 9, 9).await.unwrap();
    assert_eq!(backend.due(Some((due[0].at_us, due[0].key)), 9, 9).await.unwrap(), []);

    let state = StreamState { next: 1, leaf: HashBytes::from_bytes([1; 32]), closed: true };
    let mut rebuild = backend.rebuild().await.unwrap();
    assert_eq!(rebuild.head().size, 3);
    let streams = vec![(StreamKey::from_bytes([2; 32]), state)];
    rebuild.add(Projections { streams, ..Projections::default() }).await.unwrap();
    drop(rebuild);
    assert_eq!(backend.scan_streams(None, 9).await.unwrap().len(), 3, "what was not committed changed nothing");

    let mut rebuild = backend.rebuild().await.unwrap();
    let streams = vec![(StreamKey::from_bytes([2; 32]), state)];
    rebuild.add(Projections { streams: streams.clone(), ..Projections::default() }).await.unwrap();
    rebuild.add(Projections { lookups: vec![(two, 0)], due: due.clone(), ..Projections::default() }).await.unwrap();
    assert_eq!(backend.scan_lookups(None, 9).await.unwrap().len(), 3, "others see the old ones until then");
    rebuild.commit().await.unwrap();
    assert_eq!(backend.scan_streams(None, 9).await.unwrap(), streams);
    assert_eq!(backend.scan_lookups(None, 9).await.unwrap(), [(two, 0)]);
    assert_eq!(backend.due(None, 9, 9).await.unwrap(), due);
}
