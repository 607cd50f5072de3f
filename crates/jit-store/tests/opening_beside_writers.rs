//! A log that others write to while it is opened opens: what they sign meanwhile is not taken for a rollback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use jit_store::{
    Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Head, Lease, LeaseKey, LeaseRequest,
    Log, LookupKey, Rebuild, RecordKey, Row, StreamKey, StreamState, Transaction, TreeNodes, TreeRead,
};
use support::{World, append, begin};

/// While it is busy, another process appends and publishes after every call.
struct Busy {
    inner: Arc<dyn Backend>,
    writer: Log,
    busy: Arc<AtomicBool>,
}

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

impl Busy {
    async fn meanwhile(&self) {
        let number = self.writer.size().await.unwrap();
        append(&self.writer, begin(&self.writer, number, 1)).await;
        self.writer.publish().await.unwrap();
    }
}

macro_rules! delegate {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Backend for Busy {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer, BackendError> {
                let answer = self.inner.$name($($arg),*).await;
                if self.busy.load(Ordering::SeqCst) {
                    self.meanwhile().await;
                }
                answer
            })*

            async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
                self.inner.begin(want).await
            }
        }
    };
}

delegate! {
    create(meta: Vec<u8>, first: Batch) -> ();
    meta() -> Option<Vec<u8>>;
    head() -> Head;
    stream_head(key: StreamKey) -> Option<StreamState>;
    rows(range: Range<u64>) -> Vec<Row>;
    stream_rows(key: StreamKey, from_n: u64, limit: usize) -> Vec<Row>;
    lookup(key: LookupKey, from: u64, limit: usize) -> Vec<Row>;
    tree(want: TreeRead) -> TreeNodes;
    due(after: Option<(i64, DueKey)>, before_us: i64, limit: usize) -> Vec<DueRow>;
    scan_streams(after: Option<StreamKey>, limit: usize) -> Vec<(StreamKey, StreamState)>;
    scan_lookups(after: Option<(LookupKey, u64)>, limit: usize) -> Vec<(LookupKey, u64)>;
    scan_records(after: Option<RecordKey>, limit: usize) -> Vec<(RecordKey, u64)>;
    rebuild() -> Box<dyn Rebuild>;
    claim(before_us: i64, limit: usize, request: LeaseRequest) -> Vec<(DueRow, Lease)>;
    lease(key: LeaseKey, request: LeaseRequest) -> Option<Lease>;
    release(lease: Lease) -> ();
    blob(key: BlobKey) -> Option<Vec<u8>>;
    save_checkpoint(after: Option<u64>, row: CheckpointRow) -> bool;
    checkpoint(at_least: Option<u64>) -> Option<CheckpointRow>;
}

#[tokio::test]
async fn what_others_sign_while_a_log_opens_is_no_rollback() {
    let world = World::new();
    let writer = world.create().await;
    append(&writer, begin(&writer, 1, 3)).await;
    writer.publish().await.unwrap();
    let busy = Arc::new(AtomicBool::new(true));
    let backend = Busy { inner: world.backend.clone(), writer, busy: busy.clone() };
    let opened = world.open_on(backend).await.unwrap();
    busy.store(false, Ordering::SeqCst);
    let appended = opened.append(begin(&opened, 1_000_000, 2)).await.unwrap();
    assert_eq!(appended.receipt().await.unwrap().recorded().len(), 2);
}
