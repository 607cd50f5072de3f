//! One log in memory with its anchor in a file, as many processes as a test wants on it, and records to append.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod anchors;
pub(crate) mod doctored;
pub(crate) mod dump;
pub(crate) mod lived;
#[cfg(feature = "object-store")]
pub(crate) mod scripted;
pub(crate) mod verified;
pub(crate) mod witnesses;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jit_core::{
    CaseId, Draft, Event, Expected, IndexKey, LogHeartbeat, Record, Refs, RequestRefused, RetentionClass,
    RetentionTerms, StreamHead, StreamId, Timestamp, WriterId, code,
};
use jit_log::{Frontier, Hash, KeyName, SignerKey, leaf_hash};
use jit_store::{
    AGENT_CLASS, AppendRequest, Backend, Ed25519Signer, FileAnchor, GOVERNANCE_CLASS, Log, LogConfig, LogRecord,
    MemoryBackend, OpenError, Receipt, RetentionPolicy,
};
use jit_testkit::{ManualClock, SeededEntropy};

pub(crate) const ORIGIN: &str = "store.example/evidence";
/// The class of the records that tests append.
pub(crate) const CLASS: &str = "access";
/// `log.opened` and `retention.declared`.
pub(crate) const FIRST: u64 = 2;

/// A database, an anchor and a clock that all processes share.
pub(crate) struct World {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: tempfile::TempDir,
}

/// How many processes there were in any world, so that no two share their randomness.
static PROCESSES: AtomicU64 = AtomicU64::new(0);

impl World {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryBackend::new()))
    }

    pub(crate) fn over(backend: Arc<dyn Backend>) -> Self {
        let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00.000000Z".parse().unwrap()));
        Self { backend, clock, folder: tempfile::tempdir().unwrap() }
    }

    /// The settings of another process: its own writer id and randomness, everything else alike.
    pub(crate) fn config(&self) -> LogConfig {
        self.config_of(PROCESSES.fetch_add(1, Ordering::SeqCst))
    }

    /// The settings of the process of this number, which are the same in every world.
    pub(crate) fn config_of(&self, process: u64) -> LogConfig {
        self.config_as(ORIGIN, process)
    }

    fn config_as(&self, origin: &str, process: u64) -> LogConfig {
        LogConfig::new(
            Arc::new(Ed25519Signer::new(key(origin, 7))),
            Arc::new(FileAnchor::new(self.anchor())),
            retention(10),
            IndexKey::from_bytes([5; 32]),
            WriterId::v8(u128::from(process).to_be_bytes()),
            self.clock.clone(),
        )
        .entropy(Arc::new(SeededEntropy::new(process + 1)))
    }

    pub(crate) fn anchor(&self) -> PathBuf {
        self.folder.path().join("checkpoint")
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn create(&self) -> Log {
        Log::create(self.backend.clone(), self.config()).await.unwrap()
    }

    /// Creates a log of another name.
    pub(crate) async fn create_as(&self, origin: &str) -> Log {
        Log::create(self.backend.clone(), self.config_as(origin, PROCESSES.fetch_add(1, Ordering::SeqCst)))
            .await
            .unwrap()
    }

    pub(crate) async fn open(&self) -> Result<Log, OpenError> {
        Log::open(self.backend.clone(), self.config()).await
    }

    /// Whether the same settings open this database.
    pub(crate) async fn open_on(&self, backend: impl Backend) -> Result<Log, OpenError> {
        Log::open(Arc::new(backend), self.config()).await
    }
}

pub(crate) fn key(origin: &str, seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::parse(origin).unwrap(), [seed; 32])
}

pub(crate) fn terms(class: &str, years: u64) -> RetentionTerms {
    RetentionTerms {
        class: RetentionClass::new(class).unwrap(),
        min_s: years * 365 * 24 * 3600,
        max_s: None,
        basis: "internal audit rule 7".to_owned().try_into().unwrap(),
        reviewer: "records board".to_owned().try_into().unwrap(),
    }
}

pub(crate) fn retention(years: u64) -> RetentionPolicy {
    RetentionPolicy::new([GOVERNANCE_CLASS, AGENT_CLASS, CLASS].map(|class| terms(class, years)).into()).unwrap()
}

pub(crate) fn case(number: u64) -> StreamId {
    StreamId::Case(CaseId::v7(Timestamp::from_micros(i64::try_from(number).unwrap() * 1000).unwrap(), [0; 10]))
}

/// A draft of any event, now.
pub(crate) fn draft(log: &Log, stream: StreamId, event: impl Into<Event>, class: &str) -> Draft {
    let recorder = log.recorder();
    let read = recorder.clock().now();
    recorder.draft(stream, event.into(), Refs::default(), RetentionClass::new(class).unwrap(), read).unwrap()
}

/// A finished record that may stand anywhere in a case.
pub(crate) fn record(log: &Log, stream: StreamId, head: Option<StreamHead>) -> Record {
    let event = RequestRefused { requester: None, code: code!("not_eligible"), count: 1 };
    draft(log, stream, event, CLASS).seal(head, None).unwrap()
}

/// Finished records that follow each other.
pub(crate) fn chain(log: &Log, stream: StreamId, mut head: Option<StreamHead>, count: usize) -> Vec<Record> {
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let record = record(log, stream, head);
        head = Some(record.head());
        records.push(record);
    }
    records
}

/// A request that begins a case with so many records.
pub(crate) fn begin(log: &Log, number: u64, count: usize) -> AppendRequest {
    AppendRequest::new().records(case(number), Expected::Empty, chain(log, case(number), None, count))
}

/// A draft for stream `gov`.
pub(crate) fn heartbeat(log: &Log) -> Draft {
    draft(log, StreamId::Gov, LogHeartbeat { silent_s: 0, anchor_accepted_missing: false }, GOVERNANCE_CLASS)
}

/// The root over what is stored, from the header bytes alone.
pub(crate) async fn root_of_rows(backend: &dyn Backend) -> (u64, Hash) {
    let mut frontier = Frontier::new();
    for row in backend.rows(0..u64::MAX).await.unwrap() {
        assert_eq!(row.index, frontier.size(), "indexes are dense");
        frontier.push(leaf_hash(&row.header)).unwrap();
    }
    (frontier.size(), frontier.root())
}

/// Appends what must be appendable, and does not ask for a receipt.
pub(crate) async fn append(log: &Log, request: AppendRequest) -> Vec<LogRecord> {
    log.append(request).await.unwrap().records().to_vec()
}

/// Appends what must be appendable, and waits for its receipt.
pub(crate) async fn publish(log: &Log, request: AppendRequest) -> Receipt {
    log.append(request).await.unwrap().receipt().await.unwrap()
}
