//! Effects that require witnesses wait for as many as the quorum demands, and what was cosigned is what is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

#[cfg(feature = "postgres")]
mod postgres_support;
mod support;

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jit_core::Recorded;
use jit_log::{Note, Origin, TrustError};
use jit_store::{
    Backend, ConfigError, CosignError, CosigningError, CreateError, EffectRequirement, ExportPayloads, FileAnchor,
    Holder, LeaseKey, LeaseRequest, Log, LogConfig, MemoryBackend, OpenError, ReceiptError, WitnessAnchor,
    WitnessError,
};
use support::{
    FIRST, ORIGIN, World, append, begin,
    doctored::copy_of,
    key, publish,
    witnesses::{LocalWitness, Mood, clients, cosigning, policy, policy_of},
};

struct Witnessed {
    world: World,
    witnesses: Vec<Arc<LocalWitness>>,
    threshold: usize,
}

/// Runs tests on every store, each on an empty one of its own.
macro_rules! on_every_store {
    ($($test:ident),*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::World::new()).await;
            })*
        }

        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                let backend = jit_store::SqliteBackend::create_new(folder.path().join("evidence.db")).await.unwrap();
                super::$test(super::World::over(super::Arc::new(backend))).await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            use super::postgres_support::{connected, migrated};

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let database = migrated().await;
                super::$test(super::World::over(super::Arc::new(connected(&database).await))).await;
            })*
        }
    };
}

on_every_store!(
    a_receipt_rests_on_a_quorum_which_is_kept_in_the_database_and_the_anchor,
    a_quorum_that_is_out_of_reach_leaves_the_records_without_a_receipt,
    a_witness_that_was_away_is_proved_to_from_where_it_stands,
    many_processes_bring_one_history_to_the_witnesses,
    what_was_kept_before_witnesses_were_required_gets_cosigned_all_the_same,
    a_heartbeat_is_cosigned_and_published
);

impl Witnessed {
    fn new(witnesses: u8, threshold: usize) -> Self {
        Self::over(World::new(), witnesses, threshold)
    }

    fn over(world: World, witnesses: u8, threshold: usize) -> Self {
        Self { world, witnesses: (0..witnesses).map(LocalWitness::new).collect(), threshold }
    }

    fn config(&self) -> LogConfig {
        self.world.config().effects(EffectRequirement::Cosigned(cosigning(&self.witnesses, self.threshold)))
    }

    async fn create(&self) -> Log {
        Log::create(self.world.backend.clone(), self.config()).await.unwrap()
    }

    async fn open(&self) -> Result<Log, OpenError> {
        Log::open(self.world.backend.clone(), self.config()).await
    }

    async fn kept(&self) -> Vec<u8> {
        self.world.backend.checkpoint(None).await.unwrap().unwrap().note
    }
}

async fn a_receipt_rests_on_a_quorum_which_is_kept_in_the_database_and_the_anchor(world: World) {
    let witnessed = Witnessed::over(world, 3, 2);
    let log = witnessed.create().await;
    witnessed.witnesses[0].set(Mood::Away);
    let receipt = publish(&log, begin(&log, 1, 3)).await;
    let note = receipt.checkpoint().note();
    assert_eq!(witnessed.kept().await, note);
    assert_eq!(fs::read(witnessed.world.anchor()).unwrap(), note);

    // What a stranger has: the policy, and the bytes of the receipt.
    let trust = policy(&witnessed.witnesses, 2);
    assert_eq!(*log.trust(), trust);
    let verified = trust.verify(note).unwrap();
    assert_eq!(verified.cosignatures().len(), 2);
    assert!(verified.cosignatures().iter().all(|by| by.time().unix_seconds() >= 1_700_000_000));
    for recorded in receipt.recorded() {
        Recorded::verify(recorded.header_bytes(), recorded.index(), recorded.proof(), note, &trust).unwrap();
        let all = policy(&witnessed.witnesses, 3);
        assert!(Recorded::verify(recorded.header_bytes(), recorded.index(), recorded.proof(), note, &all).is_err());
    }
    drop(log);
    let log = witnessed.open().await.unwrap();
    assert_eq!(log.checkpoint(FIRST + 3).await.unwrap().note(), note, "and it is still good when opened again");
}

/// In real time, which not every store can do without, and without moods that take any.
async fn a_quorum_that_is_out_of_reach_leaves_the_records_without_a_receipt(world: World) {
    let witnessed = Witnessed::over(world, 3, 2);
    let log = witnessed.create().await;
    let before = witnessed.kept().await;
    witnessed.witnesses[0].set(Mood::Away);
    for mood in [Mood::Away, Mood::OtherKey, Mood::Boasts] {
        witnessed.witnesses[1].set(mood);
        let size = log.size().await.unwrap();
        let appended = log.append(begin(&log, size, 1)).await.unwrap();
        assert!(matches!(appended.receipt().await, Err(ReceiptError::Cosign(_))), "{mood:?}");
        assert_eq!(witnessed.kept().await, before, "nothing is kept that is not cosigned");
        assert_eq!(log.size().await.unwrap(), size + 1, "and the record is there");
    }
    // A process that knows of none of this goes on where the witnesses stand.
    drop(log);
    witnessed.witnesses[1].set(Mood::Honest);
    let log = witnessed.open().await.unwrap();
    let receipt = log.receipt(&[FIRST, FIRST + 1, FIRST + 2]).await.unwrap();
    assert_eq!(witnessed.kept().await, receipt.checkpoint().note());
    policy(&witnessed.witnesses, 2).verify(receipt.checkpoint().note()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_there_is_no_receipt_and_the_records_stay() {
    let witnessed = Witnessed::new(3, 2);
    let log = witnessed.create().await;
    let before = witnessed.kept().await;
    witnessed.witnesses[0].set(Mood::Away);
    for mood in [Mood::Away, Mood::Silent, Mood::LosesAnswers, Mood::OtherKey, Mood::Boasts, Mood::Wavers] {
        witnessed.witnesses[1].set(mood);
        let size = log.size().await.unwrap();
        let appended = log.append(begin(&log, size, 1)).await.unwrap();
        let Err(ReceiptError::Cosign(error)) = appended.receipt().await else { panic!("{mood:?}") };
        let CosignError::Quorum { cosigned, silent, failures, .. } = &*error else { panic!("{error}") };
        assert_eq!((*cosigned, *silent, failures.len()), if mood == Mood::Silent { (1, 1, 1) } else { (1, 0, 2) });
        let failure = |is: fn(&WitnessError) -> bool| failures.iter().any(is);
        assert!(match mood {
            Mood::OtherKey => failure(|failure| matches!(failure, WitnessError::Malformed { .. })),
            Mood::Boasts => failure(|failure| matches!(failure, WitnessError::Ahead { held: u64::MAX, .. })),
            Mood::Wavers => failure(|failure| matches!(failure, WitnessError::Unsettled { .. })),
            _ => failure(|failure| matches!(failure, WitnessError::Unavailable { .. })),
        });
        assert_eq!(witnessed.kept().await, before, "nothing is kept that is not cosigned");
        assert_eq!(fs::read(witnessed.world.anchor()).unwrap(), before);
        assert_eq!(log.size().await.unwrap(), size + 1, "and the record is there");
    }
    witnessed.witnesses[1].set(Mood::Honest);
    let records: Vec<u64> = (FIRST..log.size().await.unwrap()).collect();
    assert_eq!(log.receipt(&records).await.unwrap().recorded().len(), 6, "all get one when the witnesses are back");
    assert!(witnessed.witnesses[1].conflicts.load(Ordering::SeqCst) > 0, "it was ahead of what the log knew of it");
}

async fn a_witness_that_was_away_is_proved_to_from_where_it_stands(world: World) {
    let witnessed = Witnessed::over(world, 2, 1);
    let log = witnessed.create().await;
    let sleeper = &witnessed.witnesses[0];
    sleeper.set(Mood::Away);
    let stood = sleeper.size();
    for number in 0..5 {
        publish(&log, begin(&log, number, 100)).await;
    }
    assert_eq!(sleeper.size(), stood);
    sleeper.set(Mood::Honest);
    witnessed.witnesses[1].set(Mood::Away);
    publish(&log, begin(&log, 9, 1)).await;
    assert_eq!(sleeper.size(), Some(FIRST + 501));
    // A new process knows nothing of the witnesses, and learns it.
    drop(log);
    let log = witnessed.open().await.unwrap();
    publish(&log, begin(&log, 10, 1)).await;
    assert_eq!(sleeper.size(), Some(FIRST + 502));
    assert!(sleeper.conflicts.load(Ordering::SeqCst) >= 1);
}

async fn many_processes_bring_one_history_to_the_witnesses(world: World) {
    let witnessed = Witnessed::over(world, 3, 2);
    let mut handles = vec![witnessed.create().await];
    for _ in 0..3 {
        handles.push(witnessed.open().await.unwrap());
    }
    let mut tasks = Vec::new();
    for number in 0..60 {
        let log = handles[number % handles.len()].clone();
        tasks.push(tokio::spawn(async move { publish(&log, begin(&log, number as u64, 1)).await }));
    }
    let trust = policy(&witnessed.witnesses, 2);
    for task in tasks {
        let receipt = task.await.unwrap();
        trust.verify(receipt.checkpoint().note()).unwrap();
    }
    assert_eq!(trust.verify(&witnessed.kept().await).unwrap().checkpoint().size(), FIRST + 60);
    for witness in &witnessed.witnesses {
        let cosigned = witness.cosigned.lock().unwrap();
        assert!(cosigned.windows(2).all(|pair| pair[0] <= pair[1]), "never back: {cosigned:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_died_is_waited_for_and_replaced() {
    let witnessed = Witnessed::new(1, 1);
    let log = witnessed.create().await;
    let lease = LeaseKey::from_bytes(blake3_of("publisher"));
    let request = LeaseRequest { holder: Holder::from_bytes([9; 16]), ttl: Duration::from_secs(5) };
    witnessed.world.backend.lease(lease, request).await.unwrap().unwrap();
    let started = tokio::time::Instant::now();
    publish(&log, begin(&log, 1, 1)).await;
    assert!(started.elapsed() >= Duration::from_secs(5), "while the lease lasts nobody else publishes");
    // One who never gives it back holds the others up, and they say so.
    let request = LeaseRequest { ttl: Duration::from_secs(3600), ..request };
    witnessed.world.backend.lease(lease, request).await.unwrap().unwrap();
    let appended = log.append(begin(&log, 2, 1)).await.unwrap();
    assert!(matches!(appended.receipt().await, Err(ReceiptError::Contended)));
}

async fn what_was_kept_before_witnesses_were_required_gets_cosigned_all_the_same(world: World) {
    let witnessed = Witnessed::over(world, 1, 1);
    let log = witnessed.world.create().await;
    publish(&log, begin(&log, 1, 3)).await;
    let exported = witnessed.world.folder("exported");
    log.export(&exported, ExportPayloads::Leave).await.unwrap();
    drop(log);
    let log = witnessed.open().await.unwrap();
    let trust = policy(&witnessed.witnesses, 1);
    let kept = witnessed.kept().await;
    assert!(matches!(trust.verify(&kept), Err(TrustError::QuorumNotMet { .. })));
    // The database holds one checkpoint of each size, so this one stays as it is.
    let receipt = log.receipt(&[FIRST]).await.unwrap();
    assert_eq!(trust.verify(receipt.checkpoint().note()).unwrap().checkpoint().size(), FIRST + 3);
    assert_eq!(witnessed.kept().await, kept);
    let receipt = publish(&log, begin(&log, 2, 1)).await;
    assert_eq!(witnessed.kept().await, receipt.checkpoint().note());
    log.export(&exported, ExportPayloads::Leave).await.unwrap();
    let published = fs::read(exported.join("checkpoint")).unwrap();
    assert_eq!(trust.verify(&published).unwrap().checkpoint().size(), FIRST + 4);
}

async fn a_heartbeat_is_cosigned_and_published(world: World) {
    let witnessed = Witnessed::over(world, 1, 1);
    let log = witnessed.create().await;
    assert!(!log.heartbeat().await.unwrap());
    witnessed.world.clock.advance(Duration::from_secs(3600));
    assert!(log.heartbeat().await.unwrap());
    let verified = policy(&witnessed.witnesses, 1).verify(&fs::read(witnessed.world.anchor()).unwrap()).unwrap();
    assert_eq!(verified.checkpoint().size(), FIRST + 1);
    assert_eq!(witnessed.witnesses[0].size(), Some(FIRST + 1));
}

#[tokio::test]
async fn settings_that_can_never_be_met_are_refused() {
    let witnesses = [LocalWitness::new(0), LocalWitness::new(1)];
    let known = &witnesses[..1];
    let none = jit_log::TrustPolicy::new_log_only(key(ORIGIN, 7).verifier()).unwrap();
    let refused = |policy, witnesses| jit_store::Cosigning::new(policy, clients(witnesses)).unwrap_err();
    assert_eq!(refused(none, &witnesses), CosigningError::NoQuorum);
    assert!(matches!(refused(policy(known, 1), &witnesses), CosigningError::UnknownWitness { .. }));
    assert!(matches!(refused(policy(&witnesses, 2), known), CosigningError::OutOfReach { quorum } if quorum == "g"));
    let twice = [witnesses[0].clone(), witnesses[0].clone()];
    assert!(matches!(refused(policy(&witnesses, 2), &twice), CosigningError::OutOfReach { .. }), "one counts once");

    let world = World::new();
    let foreign = jit_store::Cosigning::new(policy_of(&key(ORIGIN, 8), known, 1), clients(known)).unwrap();
    let config = world.config().effects(EffectRequirement::Cosigned(foreign));
    let error = Log::create(world.backend.clone(), config).await.unwrap_err();
    let CreateError::Open(OpenError::Config(ConfigError::LogNotInPolicy { .. })) = error else { panic!("{error}") };
    assert_eq!(world.backend.meta().await.unwrap(), None);
}

/// A log that is anchored in a file and in a witness.
struct Twice {
    world: World,
    witness: Arc<LocalWitness>,
}

impl Twice {
    fn new() -> Self {
        Self { world: World::new(), witness: LocalWitness::new(0) }
    }

    fn config(&self, backend: &Arc<dyn Backend>) -> LogConfig {
        let origin = Origin::parse(ORIGIN).unwrap();
        let anchor = WitnessAnchor::new(self.witness.clone(), backend.clone(), origin);
        self.world.config().also_anchor(Arc::new(anchor))
    }

    async fn create(&self) -> Log {
        Log::create(self.world.backend.clone(), self.config(&self.world.backend)).await.unwrap()
    }

    async fn open_on(&self, backend: MemoryBackend) -> Result<Log, OpenError> {
        let backend: Arc<dyn Backend> = Arc::new(backend);
        Log::open(backend.clone(), self.config(&backend)).await
    }
}

#[tokio::test]
async fn a_database_restored_together_with_its_anchor_is_caught_by_the_witness() {
    let twice = Twice::new();
    let log = twice.create().await;
    publish(&log, begin(&log, 1, 3)).await;
    let (backup, anchor) = (copy_of(&*twice.world.backend).await, fs::read(twice.world.anchor()).unwrap());
    twice.open_on(backup.clone()).await.expect("while nothing newer was signed");
    publish(&log, begin(&log, 2, 5)).await;
    drop(log);

    fs::write(twice.world.anchor(), &anchor).unwrap();
    twice.world.open_on(backup.clone()).await.expect("database and file agree with each other");
    let error = twice.open_on(backup.clone()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Rollback { signed, stored } if (signed, stored) == (FIRST + 8, FIRST + 3)),
        "{error}"
    );
    // Records that were appended since make it a fork.
    let elsewhere = twice.world.open_on(backup.clone()).await.unwrap();
    append(&elsewhere, begin(&elsewhere, 3, 9)).await;
    drop(elsewhere);
    let error = twice.open_on(backup).await.unwrap_err();
    assert!(matches!(error, OpenError::Fork { size, .. } if size == FIRST + 8), "{error}");
}

#[tokio::test]
async fn a_cosigned_log_restored_with_its_anchor_cannot_go_on_either() {
    let witnessed = Witnessed::new(1, 1);
    let log = witnessed.create().await;
    publish(&log, begin(&log, 1, 3)).await;
    let (backup, anchor) = (copy_of(&*witnessed.world.backend).await, fs::read(witnessed.world.anchor()).unwrap());
    publish(&log, begin(&log, 2, 5)).await;
    drop(log);
    fs::write(witnessed.world.anchor(), anchor).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(backup);
    // Nobody asked the witness at the opening, but it does not cosign what it cannot follow.
    let log = Log::open(backend, witnessed.config()).await.unwrap();
    for (number, count) in [(3, 1), (4, 20)] {
        let appended = log.append(begin(&log, number, count)).await.unwrap();
        assert!(matches!(appended.receipt().await, Err(ReceiptError::Cosign(_))));
    }
    assert_eq!(witnessed.witnesses[0].size(), Some(FIRST + 8));
}

#[tokio::test]
async fn a_witness_is_an_anchor_like_any_other() {
    let twice = Twice::new();
    let log = twice.create().await;
    for number in 0..3 {
        let receipt = publish(&log, begin(&log, number, 2)).await;
        let held = Note::parse(&twice.witness.note().unwrap()).unwrap();
        assert_eq!(held.text(), Note::parse(receipt.checkpoint().note()).unwrap().text());
    }
    twice.witness.set(Mood::Away);
    let appended = log.append(begin(&log, 7, 1)).await.unwrap();
    assert!(matches!(appended.receipt().await, Err(ReceiptError::Anchor(_))), "every anchor counts");
    let copy = copy_of(&*twice.world.backend).await;
    assert!(matches!(twice.open_on(copy.clone()).await, Err(OpenError::Anchor(_))), "nothing shows a rollback then");
    twice.witness.set(Mood::Honest);
    appended.receipt().await.unwrap();
    twice.open_on(copy).await.unwrap();

    // A witness that never saw the log is an anchor that is missing.
    let fresh = Twice { witness: LocalWitness::new(1), world: twice.world };
    let backend = fresh.world.backend.clone();
    let error = Log::open(backend.clone(), fresh.config(&backend)).await.unwrap_err();
    assert!(matches!(error, OpenError::AnchorMissing { .. }), "{error}");
    let config = fresh.config(&backend).accept_missing_anchor();
    Log::open(backend.clone(), config).await.unwrap();
    assert_eq!(fresh.witness.size(), Some(FIRST + 8), "the acceptance is recorded and published there");
    Log::open(backend.clone(), fresh.config(&backend)).await.unwrap();
}

#[tokio::test]
async fn an_anchor_that_others_moved_is_followed() {
    let twice = Twice::new();
    let log = twice.create().await;
    let backend = twice.world.backend.clone();
    let other = Log::open(backend.clone(), twice.config(&backend)).await.unwrap();
    for number in 0..6 {
        publish(if number % 2 == 0 { &log } else { &other }, begin(&log, number, 1)).await;
    }
    assert_eq!(twice.witness.size(), Some(FIRST + 6));
    // An anchor behind the others, as after a crash between the two, catches up.
    let behind = FileAnchor::new(twice.world.folder("second"));
    fs::copy(twice.world.anchor(), twice.world.folder("second")).unwrap();
    publish(&log, begin(&log, 50, 1)).await;
    let log = Log::open(backend.clone(), twice.config(&backend).also_anchor(Arc::new(behind))).await.unwrap();
    log.checkpoint(FIRST + 7).await.unwrap();
    let second = fs::read(twice.world.folder("second")).unwrap();
    assert_eq!(log.trust().verify(&second).unwrap().checkpoint().size(), FIRST + 7);
}

fn blake3_of(what: &str) -> [u8; 32] {
    blake3::derive_key("jit-store/1 lease", what.as_bytes())
}

#[tokio::test]
async fn the_clock_of_the_witness_dates_the_log() {
    let witnessed = Witnessed::new(1, 1);
    let log = witnessed.create().await;
    let mut times = Vec::new();
    for number in 0..3 {
        let receipt = publish(&log, begin(&log, number, 1)).await;
        times.push(receipt.checkpoint().cosignatures()[0].time().unix_seconds());
    }
    assert!(times.is_sorted_by(|one, next| one < next) && times[0] > 1_700_000_000, "{times:?}");
}
