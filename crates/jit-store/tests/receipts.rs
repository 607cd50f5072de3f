//! A receipt proves records to anyone who has the log's public key; what has no receipt yet is durable all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use async_trait::async_trait;
use jit_core::{IndexKey, Recorded, WriterId};
use jit_log::{NoteSignature, TrustPolicy, VerifierKey};
use jit_store::{
    Anchor, AnchorError, CheckpointSigner, Ed25519Signer, EffectRequirement, FileAnchor, HashBytes, Log, LogConfig,
    LogRecord, Published, ReceiptError, SignError,
};
use support::{
    FIRST, ORIGIN, World, append, begin,
    doctored::{Doctored, Edit},
    key, publish, retention,
};

/// Signs as told: rightly, not at all, another text, or with another key under its own name.
#[derive(Debug, Default)]
struct MoodySigner(AtomicU8);

const RIGHT: u8 = 0;
const NEVER: u8 = 1;
const OTHER_TEXT: u8 = 2;
const OTHER_KEY: u8 = 3;
const OTHER_NAME: u8 = 4;

#[async_trait]
impl CheckpointSigner for MoodySigner {
    fn verifier(&self) -> VerifierKey {
        key(ORIGIN, 7).verifier()
    }

    async fn sign(&self, text: &str) -> Result<NoteSignature, SignError> {
        match self.0.load(Ordering::SeqCst) {
            NEVER => Err(SignError { source: "the key service is away".into() }),
            OTHER_TEXT => Ok(key(ORIGIN, 7).sign("something else\n")),
            OTHER_KEY => Ok(key(ORIGIN, 8).sign(text)),
            OTHER_NAME => Ok(key("store.example/other", 7).sign(text)),
            _ => Ok(key(ORIGIN, 7).sign(text)),
        }
    }
}

/// An anchor that is away when told.
#[derive(Debug)]
struct MoodyAnchor(FileAnchor, AtomicU8);

#[async_trait]
impl Anchor for MoodyAnchor {
    async fn load(&self) -> Result<Option<Vec<u8>>, AnchorError> {
        self.0.load().await
    }

    async fn publish(&self, expected: Option<&[u8]>, note: &[u8]) -> Result<Published, AnchorError> {
        if self.1.load(Ordering::SeqCst) == NEVER {
            return Err(AnchorError::Unavailable { place: "elsewhere".to_owned(), source: "away".into() });
        }
        self.0.publish(expected, note).await
    }
}

fn config(world: &World, signer: Arc<dyn CheckpointSigner>, anchor: Arc<dyn Anchor>) -> LogConfig {
    let (index_key, writer) = (IndexKey::from_bytes([5; 32]), WriterId::v8([88; 16]));
    LogConfig::new(signer, anchor, retention(10), index_key, writer, world.clock.clone())
}

fn anchored(world: &World) -> u64 {
    let trust = TrustPolicy::new_log_only(key(ORIGIN, 7).verifier()).unwrap();
    trust.verify(&fs::read(world.anchor()).unwrap()).unwrap().checkpoint().size()
}

#[tokio::test]
async fn a_receipt_verifies_with_nothing_but_the_public_key() {
    let world = World::new();
    let log = world.create().await;
    append(&log, begin(&log, 1, 300)).await;
    let receipt = publish(&log, begin(&log, 2, 3)).await;
    append(&log, begin(&log, 3, 10)).await;

    // What a stranger has: one line of text, and the bytes of the receipt.
    let line = key(ORIGIN, 7).verifier().to_string();
    let trust = TrustPolicy::new_log_only(VerifierKey::parse(&line).unwrap()).unwrap();
    assert_eq!(receipt.recorded().len(), 3);
    for (n, recorded) in receipt.recorded().iter().enumerate() {
        let (bytes, proof, note) = (recorded.header_bytes(), recorded.proof(), receipt.checkpoint().note());
        let proven = Recorded::verify(bytes, recorded.index(), proof, note, &trust).unwrap();
        assert_eq!((proven.index(), proven.header().n), (FIRST + 300 + n as u64, n as u64));

        let mut edited = bytes.to_vec();
        let at = edited.windows(12).position(|window| window == b"not_eligible");
        assert_eq!(at, None, "payloads are not in headers");
        let place = edited.windows(6).position(|window| window == b"access").unwrap();
        edited[place] = b'A';
        assert!(Recorded::verify(&edited, recorded.index(), proof, note, &trust).is_err());
        assert!(Recorded::verify(bytes, recorded.index() + 1, proof, note, &trust).is_err());
        let stranger = TrustPolicy::new_log_only(key(ORIGIN, 8).verifier()).unwrap();
        assert!(Recorded::verify(bytes, recorded.index(), proof, note, &stranger).is_err());
    }
}

#[tokio::test]
async fn a_receipt_can_be_had_later_and_elsewhere() {
    let world = World::new();
    let log = world.create().await;
    let appended = append(&log, begin(&log, 1, 3)).await;
    let indexes: Vec<u64> = appended.iter().map(jit_store::LogRecord::index).collect();
    let other = world.open().await.unwrap();
    let receipt = other.receipt(&indexes).await.unwrap();
    for (entry, recorded) in appended.iter().zip(receipt.recorded()) {
        assert_eq!((entry.index(), entry.record().leaf()), (recorded.index(), recorded.leaf()));
    }
    assert!(other.receipt(&[FIRST + 3]).await.is_err(), "there is no such record");
    let error = other.checkpoint(FIRST + 4).await.unwrap_err();
    assert!(matches!(error, ReceiptError::NotInLog { index } if index == FIRST + 3), "{error}");
}

#[tokio::test]
async fn an_anchored_receipt_is_in_the_anchor_before_it_is_given() {
    let world = World::new();
    let log = world.create().await;
    for number in 0..5 {
        let receipt = publish(&log, begin(&log, number, 2)).await;
        assert_eq!(fs::read(world.anchor()).unwrap(), receipt.checkpoint().note());
        let kept = world.backend.checkpoint(None).await.unwrap().unwrap();
        assert_eq!(kept.note, receipt.checkpoint().note(), "and in the database");
    }
}

#[tokio::test]
async fn an_anchor_that_is_away_holds_up_anchored_effects_only() {
    for effects in [EffectRequirement::Anchored, EffectRequirement::Signed] {
        let world = World::new();
        let anchor = Arc::new(MoodyAnchor(FileAnchor::new(world.anchor()), AtomicU8::new(RIGHT)));
        let signer = Arc::new(Ed25519Signer::new(key(ORIGIN, 7)));
        let log = Log::create(world.backend.clone(), config(&world, signer, anchor.clone()).effects(effects.clone()))
            .await
            .unwrap();
        anchor.1.store(NEVER, Ordering::SeqCst);
        let appended = log.append(begin(&log, 1, 2)).await.unwrap();
        let receipt = appended.receipt().await;
        match &effects {
            EffectRequirement::Signed => {
                assert_eq!(receipt.unwrap().checkpoint().checkpoint().size(), FIRST + 2);
            }
            _ => assert!(matches!(receipt, Err(ReceiptError::Anchor(_))), "{receipt:?}"),
        }
        anchor.1.store(RIGHT, Ordering::SeqCst);
        publish(&log, begin(&log, 2, 1)).await;
        // Where effects wait for the signature only, the anchor follows; the next request waits for that.
        log.checkpoint(0).await.unwrap();
        assert_eq!(anchored(&world), FIRST + 3, "{effects:?}");
        appended.receipt().await.unwrap();
    }
}

#[tokio::test]
async fn what_could_not_be_signed_is_durable_and_signed_later() {
    let world = World::new();
    let signer = Arc::new(MoodySigner::default());
    let anchor = Arc::new(FileAnchor::new(world.anchor()));
    let log = Log::create(world.backend.clone(), config(&world, signer.clone(), anchor)).await.unwrap();
    signer.0.store(NEVER, Ordering::SeqCst);
    let appended = log.append(begin(&log, 1, 2)).await.unwrap();
    assert!(matches!(appended.receipt().await, Err(ReceiptError::Sign(_))));
    assert_eq!(log.size().await.unwrap(), FIRST + 2);
    assert_eq!(anchored(&world), FIRST);
    append(&log, begin(&log, 2, 1)).await;

    let other = world.open().await.unwrap();
    assert_eq!(other.receipt(&[FIRST, FIRST + 1]).await.unwrap().recorded().len(), 2, "another process can sign it");
    signer.0.store(RIGHT, Ordering::SeqCst);
    assert_eq!(appended.receipt().await.unwrap().recorded().len(), 2, "and so can this one, when it is back");
}

#[tokio::test]
async fn a_signer_that_signs_wrongly_is_noticed() {
    let world = World::new();
    let signer = Arc::new(MoodySigner::default());
    let anchor = Arc::new(FileAnchor::new(world.anchor()));
    let log = Log::create(world.backend.clone(), config(&world, signer.clone(), anchor)).await.unwrap();
    let appended = log.append(begin(&log, 1, 2)).await.unwrap();
    for mood in [OTHER_TEXT, OTHER_KEY, OTHER_NAME] {
        signer.0.store(mood, Ordering::SeqCst);
        let error = appended.receipt().await.unwrap_err();
        assert!(matches!(error, ReceiptError::Signature(_)), "{error}");
        assert_eq!(anchored(&world), FIRST);
        assert_eq!(world.backend.checkpoint(None).await.unwrap().unwrap().size, FIRST, "it is not kept either");
    }
}

/// Misreads the last leaf hash of any answer.
fn misread() -> Edit {
    Edit {
        leaves: Some(|(_, leaves)| {
            leaves.iter_mut().rev().take(1).for_each(|leaf| *leaf = HashBytes::from_bytes([9; 32]))
        }),
        ..Edit::default()
    }
}

#[tokio::test]
async fn nothing_is_signed_that_the_leaves_do_not_lead_to() {
    for written_by_another in [false, true] {
        for heals_between in [false, true] {
            let memory = Doctored::default();
            let world = World::over(Arc::new(memory.clone()));
            let log = world.create().await;
            let other = world.open().await.unwrap();
            let writer = if written_by_another { &other } else { &log };
            let written = append(writer, begin(writer, 1, 3)).await;
            let indexes: Vec<u64> = written.iter().map(LogRecord::index).collect();
            memory.set(misread());
            let error = log.receipt(&indexes).await.unwrap_err();
            assert!(matches!(error, ReceiptError::Read(_)), "{error}");
            assert_eq!(anchored(&world), FIRST);
            // Whoever asks again asks the same leaves, and what was misread before is forgotten.
            if heals_between {
                memory.set(Edit::default());
                assert_eq!(log.receipt(&indexes).await.unwrap().recorded().len(), 3);
                assert_eq!(anchored(&world), FIRST + 3);
            } else {
                assert!(log.receipt(&indexes).await.is_err());
                assert_eq!(anchored(&world), FIRST);
                memory.set(Edit::default());
            }
            log.receipt(&indexes).await.unwrap();
            world.open().await.unwrap();
        }
    }
}

#[tokio::test]
async fn leaves_misread_below_somebody_elses_checkpoint_are_forgotten_too() {
    let memory = Doctored::default();
    let world = World::over(Arc::new(memory.clone()));
    let log = world.create().await;
    let other = world.open().await.unwrap();
    let mine = append(&log, begin(&log, 1, 1)).await;
    // The other one is further, so this one has to adopt its checkpoint.
    publish(&other, begin(&other, 2, 3)).await;
    memory.set(misread());
    let indexes: Vec<u64> = mine.iter().map(LogRecord::index).collect();
    assert!(log.receipt(&indexes).await.is_err());
    memory.set(Edit::default());
    assert_eq!(log.receipt(&indexes).await.unwrap().recorded().len(), 1);
    publish(&log, begin(&log, 3, 2)).await;
    world.open().await.unwrap();
}

#[tokio::test]
async fn an_anchor_lost_while_the_log_is_open_is_said() {
    let world = World::new();
    let log = world.create().await;
    fs::remove_file(world.anchor()).unwrap();
    let appended = log.append(begin(&log, 1, 1)).await.unwrap();
    let error = appended.receipt().await.unwrap_err();
    assert!(matches!(error, ReceiptError::AnchorLost), "{error}");
    assert!(!world.anchor().exists(), "it is not silently begun again");
}

#[tokio::test]
async fn one_who_published_a_fork_is_noticed_by_the_others() {
    let world = World::new();
    let log = world.create().await;
    // Somebody with the key signs a tree of other leaves.
    let origin = jit_log::Origin::parse(ORIGIN).unwrap();
    let fork = jit_log::Checkpoint::new(origin, FIRST + 1, jit_log::Hash::from_bytes([9; 32])).unwrap();
    let note = fork.sign(&[&key(ORIGIN, 7)]).unwrap().to_bytes();
    let held = fs::read(world.anchor()).unwrap();
    let published = FileAnchor::new(world.anchor()).publish(Some(&held), &note).await.unwrap();
    assert_eq!(published, Published::Stored);
    let appended = log.append(begin(&log, 1, 5)).await.unwrap();
    let error = appended.receipt().await.unwrap_err();
    assert!(matches!(error, ReceiptError::Refused(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_agree() {
    let world = World::new();
    let handles = [world.create().await, world.open().await.unwrap()];
    let mut tasks = Vec::new();
    for number in 0..40 {
        let log = handles[number % 2].clone();
        tasks.push(tokio::spawn(async move { publish(&log, begin(&log, number as u64, 1)).await }));
    }
    for task in tasks {
        let receipt = task.await.unwrap();
        assert!(receipt.checkpoint().checkpoint().size() <= anchored(&world));
    }
    assert_eq!(anchored(&world), FIRST + 40);
}
