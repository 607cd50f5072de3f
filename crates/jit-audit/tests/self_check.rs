//! A log that is followed while it grows: what is wrong is reported once, and what is right never.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jit_audit::{Problem, SelfCheck, SelfCheckState};
use jit_core::{
    CaseId, CredentialDescriptor, CredentialId, CredentialIssued, DueTask, Event, Expected, GrantId, InvariantId, Kind,
    PolicyDigest, PolicyPublished, Record, Refs, RetentionClass, StreamHead, StreamId,
};
use jit_store::{
    AppendRequest, Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Lease,
    LeaseKey, LeaseRequest, LookupKey, MemoryBackend, Rebuild, RecordKey, Row, StreamKey, StreamState, Transaction,
    TreeNodes, TreeRead,
};
use support::{Plan, World, person};
use tokio::sync::watch;

fn check(world: &World) -> SelfCheck {
    SelfCheck::new(world.log.clone(), world.clock.clone(), SelfCheckState::start())
}

async fn problems(check: &mut SelfCheck) -> Vec<Problem> {
    check.pass().await.unwrap().problems
}

#[tokio::test]
async fn what_is_right_is_never_reported() {
    let world = World::new().await;
    let mut check = check(&world);
    for (name, plan) in [("a", Plan::Granted), ("b", Plan::Denied), ("c", Plan::Refused), ("d", Plan::Granted)] {
        world.run(name, plan).await;
        assert_eq!(problems(&mut check).await, []);
        world.clock.advance(Duration::from_secs(1000));
        assert_eq!(problems(&mut check).await, []);
    }
    assert_eq!(check.state().cursor().seen(), world.log.size().await.unwrap());
}

#[tokio::test]
async fn an_end_that_nobody_records_is_reported_once_and_not_before_its_time() {
    let world = World::new().await;
    let case = world.run("a", Plan::Active).await;
    let mut check = check(&world);
    assert_eq!(problems(&mut check).await, []);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(problems(&mut check).await, [], "a sweep has its time");
    world.clock.advance(Duration::from_secs(400));
    let found = problems(&mut check).await;
    let ends = |problem: &Problem| matches!(problem, Problem::Unconfirmed { case: of, finding } if *of == case && finding.invariant == InvariantId::Inv04);
    assert_eq!(found.iter().filter(|problem| ends(problem)).count(), 1, "{found:?}");
    let undone = |problem: &Problem| matches!(problem, Problem::Overdue { work, .. } if work.task == DueTask::Expire);
    assert_eq!(found.iter().filter(|problem| undone(problem)).count(), 1, "{found:?}");
    assert_eq!(problems(&mut check).await, []);

    // Nor is it reported again after a restart.
    let kept = check.state().to_bytes().unwrap();
    let state = SelfCheckState::parse(&kept).unwrap();
    assert_eq!(&state, check.state());
    let mut resumed = SelfCheck::new(world.log.clone(), world.clock.clone(), state);
    assert_eq!(problems(&mut resumed).await, []);
    assert_eq!(check_from_start(&world).await.len(), found.len());
}

async fn check_from_start(world: &World) -> Vec<Problem> {
    problems(&mut check(world)).await
}

/// A record in a case that no state machine would make.
async fn forge(world: &World, case: CaseId, event: Event, refs: Refs) -> Record {
    let stream = StreamId::Case(case);
    let head: Option<StreamHead> = world.log.stream(&stream).await.unwrap().last().map(|last| last.record().head());
    let recorder = world.log.recorder();
    let retain = RetentionClass::new("access").unwrap();
    let record = recorder.draft(stream, event, refs, retain, recorder.clock().now()).unwrap().seal(head, None).unwrap();
    let request = AppendRequest::new().records(stream, Expected::from_head(head), vec![record.clone()]);
    assert!(!world.log.append(request).await.unwrap().is_repeated());
    record
}

async fn issued(world: &World, case: CaseId) -> CredentialDescriptor {
    let records = world.log.stream(&StreamId::Case(case)).await.unwrap();
    let issued = records.iter().find(|record| record.record().header().kind == Kind::CredentialIssued).unwrap();
    let Ok(Event::CredentialIssued(CredentialIssued { descriptor })) = issued.record().event() else {
        panic!("issued")
    };
    descriptor
}

#[tokio::test]
async fn a_credential_without_a_decision_is_reported() {
    let world = World::new().await;
    let real = world.run("a", Plan::Active).await;
    let mut check = check(&world);
    assert_eq!(problems(&mut check).await, []);
    let credential = CredentialId::v8([9; 16]);
    let descriptor = CredentialDescriptor { id: credential, ..issued(&world, real).await };
    let refs = Refs {
        request: Some(real),
        grant: Some(GrantId::v8([9; 16])),
        credential: Some(credential),
        ..Refs::default()
    };
    forge(&world, real, CredentialIssued { descriptor }.into(), refs).await;
    let found = problems(&mut check).await;
    let unbacked = |problem: &Problem| matches!(problem, Problem::Unbacked { case, finding } if *case == real && finding.invariant == InvariantId::Inv01);
    assert_eq!(found.iter().filter(|problem| unbacked(problem)).count(), 1, "{found:?}");
    assert_eq!(problems(&mut check).await, []);
}

#[tokio::test]
async fn a_policy_that_is_gone_or_another_is_reported() {
    let world = World::new().await;
    let mut check = check(&world);
    assert_eq!(problems(&mut check).await, []);
    let policy = PolicyDigest::from_bytes([7; 32]);
    let event = PolicyPublished { snapshot: policy, by: person("policy-admin").id() };
    let index = world.govern(StreamId::Policy, event.into()).await;
    assert_eq!(problems(&mut check).await, [Problem::SnapshotMissing { policy, index }]);

    let other = PolicyDigest::from_bytes([8; 32]);
    let event = PolicyPublished { snapshot: other, by: person("policy-admin").id() };
    let recorder = world.log.recorder();
    let retain = world.log.governance_class().clone();
    let draft =
        recorder.draft(StreamId::Policy, event.into(), Refs::default(), retain, recorder.clock().now()).unwrap();
    let text = world.log.policy(world.policy()).await.unwrap().unwrap();
    let appended = world.log.append(AppendRequest::new().draft(draft).blob(other.into(), text)).await.unwrap();
    let index = appended.records()[0].index();
    assert_eq!(problems(&mut check).await, [Problem::SnapshotEdited { policy: other, index }]);
    assert_eq!(problems(&mut check).await, []);
}

#[tokio::test]
async fn damage_is_passed_over_and_reported_once() {
    let edits = Arc::new(Mutex::new(Edits::default()));
    let world = World::over(Arc::new(Edited { inner: MemoryBackend::new(), edits: edits.clone() })).await;
    for name in ["a", "b", "c", "d"] {
        world.run(name, Plan::Granted).await;
    }
    assert_eq!(check_from_start(&world).await, []);
    let size = world.log.size().await.unwrap();

    edits.lock().unwrap().header = Some(5);
    let mut first = check(&world);
    let found = problems(&mut first).await;
    assert!(matches!(&found[0], Problem::Break { records, .. } if *records == (5..6)), "{found:?}");
    assert!(
        found.iter().any(|problem| matches!(problem, Problem::Stream { stream: StreamId::Case(_), .. })),
        "{found:?}"
    );
    assert_eq!(first.state().cursor().seen(), size, "what follows is read");
    assert_eq!(problems(&mut first).await, []);

    *edits.lock().unwrap() = Edits { gone: 4..9, ..Edits::default() };
    let found = check_from_start(&world).await;
    assert!(
        found.iter().any(|problem| matches!(problem, Problem::Break { records, .. } if *records == (4..9))),
        "{found:?}"
    );

    *edits.lock().unwrap() = Edits { leaf: Some(6), ..Edits::default() };
    assert_eq!(check_from_start(&world).await, [Problem::Tree { size }]);

    *edits.lock().unwrap() = Edits::default();
    assert_eq!(check_from_start(&world).await, []);
}

#[tokio::test]
async fn a_database_that_is_away_is_no_problem_of_the_log() {
    let edits = Arc::new(Mutex::new(Edits::default()));
    let world = World::over(Arc::new(Edited { inner: MemoryBackend::new(), edits: edits.clone() })).await;
    let mut check = check(&world);
    edits.lock().unwrap().away = true;
    assert!(check.pass().await.is_err());
    edits.lock().unwrap().away = false;
    assert_eq!(problems(&mut check).await, []);
}

#[tokio::test]
async fn it_says_how_far_it_is_behind() {
    let world = World::new().await;
    let mut check = check(&world);
    for number in 0..17_000 / 1000 {
        let mut request = AppendRequest::new();
        for _ in 0..1000 {
            let recorder = world.log.recorder();
            let event = jit_core::LogHeartbeat { silent_s: number, anchor_accepted_missing: false };
            let retain = world.log.governance_class().clone();
            let read = recorder.clock().now();
            request =
                request.draft(recorder.draft(StreamId::Gov, event.into(), Refs::default(), retain, read).unwrap());
        }
        assert!(!world.log.append(request).await.unwrap().is_repeated());
        world.clock.advance(Duration::from_secs(10));
    }
    let checked = check.pass().await.unwrap();
    assert_eq!(checked.problems, []);
    assert_eq!(checked.lag.records, world.log.size().await.unwrap() - 16_384);
    assert_eq!(checked.lag.behind, Duration::from_secs(10));
    let checked = check.pass().await.unwrap();
    assert_eq!((checked.problems, checked.lag.records, checked.lag.behind), (vec![], 0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_worker_follows_until_it_is_stopped() {
    let world = World::new().await;
    let (stop, stopped) = watch::channel(false);
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let worker = tokio::spawn(check(&world).run(Duration::from_secs(60), stopped, move |checked, state| {
        seen.lock().unwrap().push((checked.unwrap().problems.len(), state.cursor().seen()));
    }));
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.run("a", Plan::Granted).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    stop.send(true).unwrap();
    worker.await.unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 2);
    assert_eq!(told[1], (0, world.log.size().await.unwrap()));
    assert!(told[0].1 < told[1].1);
}

/// What is changed in answers.
#[derive(Debug, Default)]
struct Edits {
    /// The record whose header is cut short.
    header: Option<u64>,
    /// Records that are gone.
    gone: Range<u64>,
    /// The leaf hash that is another in the tree.
    leaf: Option<u64>,
    away: bool,
}

/// A database whose answers are falsified while it runs.
#[derive(Debug)]
struct Edited {
    inner: MemoryBackend,
    edits: Arc<Mutex<Edits>>,
}

impl Edited {
    fn rows_edited(&self, mut rows: Vec<Row>) -> Result<Vec<Row>, BackendError> {
        let edits = self.edits.lock().unwrap();
        if edits.away {
            return Err(BackendError::Unavailable { source: "away".into() });
        }
        rows.retain(|row| !edits.gone.contains(&row.index));
        for row in rows.iter_mut().filter(|row| edits.header == Some(row.index)) {
            row.header.truncate(9);
        }
        Ok(rows)
    }
}

macro_rules! delegate {
    ($( $name:ident($( $arg:ident: $type:ty ),*) -> $answer:ty; )*) => {
        #[async_trait]
        impl Backend for Edited {
            $(
                async fn $name(&self, $( $arg: $type ),*) -> Result<$answer, BackendError> {
                    self.inner.$name($( $arg ),*).await
                }
            )*

            async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
                self.rows_edited(self.inner.rows(range).await?)
            }

            async fn stream_rows(&self, key: StreamKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
                self.rows_edited(self.inner.stream_rows(key, from, limit).await?)
            }

            async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
                let starts: Vec<u64> = want.leaves.iter().map(|range| range.start).collect();
                let mut nodes = self.inner.tree(want).await?;
                let edited = self.edits.lock().unwrap().leaf;
                for (start, leaves) in starts.into_iter().zip(&mut nodes.leaves) {
                    let at = edited.and_then(|index| usize::try_from(index.checked_sub(start)?).ok());
                    if let Some(leaf) = at.and_then(|at| leaves.get_mut(at)) {
                        *leaf = HashBytes::from_bytes([1; 32]);
                    }
                }
                Ok(nodes)
            }
        }
    };
}

delegate! {
    create(meta: Vec<u8>, first: Batch) -> ();
    meta() -> Option<Vec<u8>>;
    begin(want: Begin) -> Box<dyn Transaction>;
    head() -> Head;
    stream_head(key: StreamKey) -> Option<StreamState>;
    lookup(key: LookupKey, from: u64, limit: usize) -> Vec<Row>;
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
