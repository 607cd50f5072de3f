//! A failing backend fails exactly where it was told, and its faults are what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::sync::Arc;

use jit_store::{
    Backend, BackendError, Batch, Begin, HashBytes, Head, MemoryBackend, Projections, RecordKey, Row, StreamKey,
    StreamState,
};
use jit_testkit::{Calls, FailingBackend, Fault};

/// A batch of one record at this index.
fn batch(index: u64) -> Batch {
    let mut record = [0; 16];
    record[..8].copy_from_slice(&(index + 1).to_be_bytes());
    let leaf = HashBytes::from_bytes([1; 32]);
    let stream = StreamKey::from_bytes([2; 32]);
    Batch {
        head: Head { size: index + 1, root: leaf, frontier: vec![] },
        rows: vec![Row {
            index,
            record: RecordKey::from_bytes(record),
            stream,
            n: index,
            leaf,
            header: vec![0],
            payload: None,
        }],
        tiles: vec![],
        projections: Projections {
            streams: vec![(stream, StreamState { next: index + 1, leaf, closed: false })],
            ..Projections::default()
        },
        blobs: vec![],
    }
}

async fn created() -> FailingBackend {
    let backend = FailingBackend::new(Arc::new(MemoryBackend::new()));
    backend.create(vec![], batch(0)).await.unwrap();
    backend
}

async fn append(backend: &FailingBackend) -> Result<(), BackendError> {
    let transaction = backend.begin(Begin::default()).await?;
    let index = transaction.locked().head.size;
    transaction.commit(batch(index)).await
}

async fn size(backend: &FailingBackend) -> u64 {
    backend.head().await.unwrap().size
}

#[tokio::test]
async fn only_the_kth_commit_fails() {
    for (fault, written) in [(Fault::Before, 2), (Fault::LostBefore, 2), (Fault::LostAfter, 3)] {
        let backend = created().await;
        backend.fail_at(2, Calls::Commits, fault);
        append(&backend).await.unwrap();
        let error = append(&backend).await.unwrap_err();
        assert_eq!(error.is_retryable(), fault == Fault::Before, "{error}");
        assert_eq!(matches!(error, BackendError::OutcomeUnknown { .. }), fault != Fault::Before, "{error}");
        assert_eq!(size(&backend).await, written);
        append(&backend).await.unwrap();
        assert_eq!((size(&backend).await, backend.counted()), (written + 1, 3));
    }
}

#[tokio::test]
async fn a_database_that_stays_down_stays_down_until_it_is_healed() {
    let backend = created().await;
    backend.fail_from(2, Calls::All, Fault::LostAfter);
    assert_eq!(size(&backend).await, 1);
    for _ in 0..3 {
        // A read has no outcome that could be unknown.
        assert!(matches!(backend.head().await, Err(BackendError::Unavailable { .. })));
        assert!(append(&backend).await.is_err());
    }
    backend.heal(Calls::Commits);
    append(&backend).await.unwrap();
    assert_eq!((size(&backend).await, backend.counted()), (2, 1));
}

#[tokio::test]
async fn writes_besides_commits_can_fail_too() {
    let backend = created().await;
    backend.fail_at(1, Calls::Writes, Fault::LostAfter);
    assert_eq!(size(&backend).await, 1);
    let row = jit_store::CheckpointRow { size: 1, note: vec![1], frontier: vec![] };
    assert!(matches!(backend.save_checkpoint(None, row).await, Err(BackendError::OutcomeUnknown { .. })));
    assert_eq!(backend.checkpoint(None).await.unwrap().unwrap().size, 1);
}
