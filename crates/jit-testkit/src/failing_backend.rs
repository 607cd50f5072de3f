//! A database that fails at the k-th call, before or after its effect.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jit_store::{
    Assumed, Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Head, Lease, LeaseKey,
    LeaseRequest, Locked, LookupKey, Projections, Rebuild, RecordKey, Row, StreamKey, StreamState, Transaction,
    TreeNodes, TreeRead,
};

use crate::KillPoint;

/// Which calls count and may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Commits of appended records.
    Commits,
    /// Everything that may change the database: creations, commits, checkpoints, claims, leases.
    Writes,
    /// Every call.
    All,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened, and the database says so.
    Before,
    /// Nothing happened, and nobody knows.
    LostBefore,
    /// It happened, and nobody knows.
    LostAfter,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    calls: Calls,
    /// Number of the call that fails, from 1; `None`: none does.
    at: Option<u64>,
    fault: Fault,
    /// Whether every later call fails too.
    stays_down: bool,
}

#[derive(Debug)]
struct Faults {
    plan: Mutex<Plan>,
    counted: AtomicU64,
    kill: Option<Arc<KillPoint>>,
}

impl Faults {
    fn fault(&self, of: Calls) -> Option<Fault> {
        let plan = *self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = match plan.calls {
            Calls::All => true,
            Calls::Writes => of != Calls::All,
            Calls::Commits => of == Calls::Commits,
        };
        if !counts {
            return None;
        }
        let number = self.counted.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = plan.at.is_some_and(|at| number == at || (plan.stays_down && number > at));
        fails.then_some(plan.fault)
    }

    /// Makes the call, unless it is the one that fails.
    async fn call<T>(&self, of: Calls, call: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        match self.fault(of) {
            None => match &self.kill {
                Some(point) if of != Calls::All => point.around(&format!("{of:?}").to_lowercase(), call).await,
                _ => call.await,
            },
            Some(Fault::LostAfter) => {
                call.await?;
                Err(unknown(of))
            }
            Some(Fault::LostBefore) => Err(unknown(of)),
            Some(Fault::Before) => Err(unavailable()),
        }
    }
}

/// Only a change can have an unknown outcome.
fn unknown(of: Calls) -> BackendError {
    match of {
        Calls::All => unavailable(),
        Calls::Writes | Calls::Commits => {
            BackendError::OutcomeUnknown { source: "the answer was lost, as told".into() }
        }
    }
}

fn unavailable() -> BackendError {
    BackendError::Unavailable { source: "told to fail".into() }
}

/// Wraps a backend and fails once, or from then on, at the call it is told.
///
/// ```
/// use std::sync::Arc;
/// use jit_testkit::{Calls, FailingBackend, Fault};
/// let backend = FailingBackend::new(Arc::new(jit_store::MemoryBackend::new()));
/// backend.fail_at(3, Calls::Commits, Fault::LostAfter);
/// ```
pub struct FailingBackend {
    inner: Arc<dyn Backend>,
    faults: Arc<Faults>,
}

impl FailingBackend {
    /// Wraps a backend; nothing fails yet, and all calls are counted.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self::with(inner, None)
    }

    /// Wraps a backend whose process may be killed before or after each call that may change the database.
    #[must_use]
    pub fn with_kill_point(inner: Arc<dyn Backend>, point: Arc<KillPoint>) -> Self {
        Self::with(inner, Some(point))
    }

    fn with(inner: Arc<dyn Backend>, kill: Option<Arc<KillPoint>>) -> Self {
        let plan = Plan { calls: Calls::All, at: None, fault: Fault::Before, stays_down: false };
        Self { inner, faults: Arc::new(Faults { plan: Mutex::new(plan), counted: AtomicU64::new(0), kill }) }
    }

    /// Fails at the k-th of these calls from now on, counted from 1, and works again afterwards.
    pub fn fail_at(&self, k: u64, calls: Calls, fault: Fault) {
        self.arm(Plan { calls, at: Some(k), fault, stays_down: false });
    }

    /// Fails at the k-th of these calls from now on, and at every later one.
    pub fn fail_from(&self, k: u64, calls: Calls, fault: Fault) {
        self.arm(Plan { calls, at: Some(k), fault, stays_down: true });
    }

    /// Fails no more, and counts these calls from zero.
    pub fn heal(&self, calls: Calls) {
        self.arm(Plan { calls, at: None, fault: Fault::Before, stays_down: false });
    }

    /// How many calls were counted since the last order: whoever fails each of them in turn has tried them all.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.faults.counted.load(Ordering::SeqCst)
    }

    fn arm(&self, plan: Plan) {
        *self.faults.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.faults.counted.store(0, Ordering::SeqCst);
    }
}

impl fmt::Debug for FailingBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailingBackend").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for FailingBackend {
    async fn create(&self, meta: Vec<u8>, first: Batch) -> Result<(), BackendError> {
        self.faults.call(Calls::Writes, self.inner.create(meta, first)).await
    }

    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        self.faults.call(Calls::All, self.inner.meta()).await
    }

    async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
        let inner = self.faults.call(Calls::All, self.inner.begin(want)).await?;
        Ok(Box::new(FailingTransaction { inner, faults: self.faults.clone() }))
    }

    async fn write_if(&self, assumed: Assumed, batch: Batch) -> Result<bool, BackendError> {
        self.faults.call(Calls::Commits, self.inner.write_if(assumed, batch)).await
    }

    async fn head(&self) -> Result<Head, BackendError> {
        self.faults.call(Calls::All, self.inner.head()).await
    }

    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        self.faults.call(Calls::All, self.inner.stream_head(key)).await
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        self.faults.call(Calls::All, self.inner.rows(range)).await
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        self.faults.call(Calls::All, self.inner.stream_rows(key, from_n, limit)).await
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        self.faults.call(Calls::All, self.inner.lookup(key, from, limit)).await
    }

    async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
        self.faults.call(Calls::All, self.inner.tree(want)).await
    }

    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        self.faults.call(Calls::All, self.inner.due(after, before_us, limit)).await
    }

    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        self.faults.call(Calls::All, self.inner.scan_streams(after, limit)).await
    }

    async fn scan_stream_bounds(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, bool)>, BackendError> {
        self.faults.call(Calls::All, self.inner.scan_stream_bounds(after, limit)).await
    }

    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        self.faults.call(Calls::All, self.inner.scan_lookups(after, limit)).await
    }

    async fn scan_records(
        &self,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        self.faults.call(Calls::All, self.inner.scan_records(after, limit)).await
    }

    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        self.faults.call(Calls::Writes, self.inner.claim(before_us, limit, request)).await
    }

    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        self.faults.call(Calls::Writes, self.inner.lease(key, request)).await
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        self.faults.call(Calls::Writes, self.inner.release(lease)).await
    }

    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        self.faults.call(Calls::All, self.inner.blob(key)).await
    }

    async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError> {
        self.faults.call(Calls::Writes, self.inner.save_checkpoint(after, row)).await
    }

    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        self.faults.call(Calls::All, self.inner.checkpoint(at_least)).await
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError> {
        let inner = self.faults.call(Calls::All, self.inner.rebuild()).await?;
        Ok(Box::new(FailingRebuild { inner, faults: self.faults.clone() }))
    }
}

#[derive(Debug)]
struct FailingTransaction {
    inner: Box<dyn Transaction>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Transaction for FailingTransaction {
    fn locked(&self) -> &Locked {
        self.inner.locked()
    }

    async fn commit(self: Box<Self>, batch: Batch) -> Result<(), BackendError> {
        self.faults.call(Calls::Commits, self.inner.commit(batch)).await
    }
}

#[derive(Debug)]
struct FailingRebuild {
    inner: Box<dyn Rebuild>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Rebuild for FailingRebuild {
    fn head(&self) -> &Head {
        self.inner.head()
    }

    async fn add(&mut self, projections: Projections) -> Result<(), BackendError> {
        self.faults.call(Calls::All, self.inner.add(projections)).await
    }

    async fn commit(self: Box<Self>) -> Result<(), BackendError> {
        self.faults.call(Calls::Commits, self.inner.commit()).await
    }
}
