//! What opens is the log that was signed; everything else is refused, and the error says which.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{fs, sync::Arc};

use jit_core::{Event, IndexKey, Kind, StreamId, WriterId};
use jit_log::{Checkpoint, Hash, Note, Origin};
use jit_store::{
    AGENT_CLASS, AppendError, Backend, CreateError, Ed25519Signer, FileAnchor, GOVERNANCE_CLASS, HashBytes, Log,
    LogConfig, MemoryBackend, OpenError, Projections, RetentionError, RetentionPolicy,
};
use support::{
    CLASS, FIRST, ORIGIN, World, append, begin,
    doctored::{Doctored, Edit, copy_of},
    key, publish, retention, root_of_rows, terms,
};

/// A log of `FIRST + records` records, all under its anchor.
async fn written(records: u64) -> World {
    let world = World::new();
    let log = world.create().await;
    grow(&log, 0, records).await;
    log.publish().await.unwrap();
    world
}

async fn grow(log: &Log, first: u64, records: u64) {
    let mut done = 0;
    while done < records {
        let count = 1000.min(records - done);
        append(log, begin(log, first + done, usize::try_from(count).unwrap())).await;
        done += count;
    }
}

async fn doctored(world: &World, edit: Edit) -> OpenError {
    let copy = copy_of(&*world.backend).await;
    world.open_on(copy.clone()).await.expect("the copy itself is good");
    world.open_on(Doctored::new(copy, edit)).await.unwrap_err()
}

/// Settings like those of the world, but for what a test replaces.
fn settings(world: &World, seed: u8, origin: &str, index_key: u8, years: u64, anchor: &str) -> LogConfig {
    LogConfig::new(
        Arc::new(Ed25519Signer::new(key(origin, seed))),
        Arc::new(FileAnchor::new(world.folder(anchor))),
        retention(years),
        IndexKey::from_bytes([index_key; 32]),
        WriterId::v8([77; 16]),
        world.clock.clone(),
    )
}

#[tokio::test]
async fn opening_never_creates() {
    let world = World::new();
    assert!(matches!(world.open().await, Err(OpenError::NotCreated)));
    assert_eq!(world.backend.meta().await.unwrap(), None);
    assert!(!world.anchor().exists());
}

#[tokio::test]
async fn what_was_written_opens_again_and_goes_on() {
    let world = written(300).await;
    for number in 0..3 {
        let log = world.open().await.unwrap();
        assert_eq!(log.size().await.unwrap(), FIRST + 300 + number);
        publish(&log, begin(&log, 1000 + number, 1)).await;
    }
}

#[tokio::test]
async fn a_log_begins_with_what_it_declares() {
    let world = World::new();
    let log = world.create().await;
    let gov = log.stream(&StreamId::Gov).await.unwrap();
    let kinds: Vec<Kind> = gov.iter().map(|entry| entry.record().header().kind.clone()).collect();
    assert_eq!(kinds, [Kind::LogOpened, Kind::RetentionDeclared]);
    let Event::LogOpened(opened) = gov[0].record().event().unwrap() else { panic!("log.opened") };
    assert_eq!(opened.keys, [key(ORIGIN, 7).verifier().to_string()]);
    assert_eq!((opened.format.to_string().as_str(), opened.heartbeat_s), ("jit-evidence/1", 3600));
    let Event::RetentionDeclared(declared) = gov[1].record().event().unwrap() else { panic!("retention.declared") };
    assert_eq!(declared, retention(10).to_event());
    let anchored = log.trust().verify(&fs::read(world.anchor()).unwrap()).unwrap();
    assert_eq!(anchored.checkpoint().size(), FIRST, "the first checkpoint is published");
}

#[tokio::test]
async fn creating_twice_is_refused() {
    let world = written(1).await;
    let again = Log::create(world.backend.clone(), world.config()).await;
    assert!(matches!(again, Err(CreateError::AlreadyExists)));
    assert_eq!(root_of_rows(&*world.backend).await.0, FIRST + 1);
}

#[tokio::test]
async fn an_anchor_in_use_belongs_to_no_new_log() {
    let world = written(1).await;
    let again = Log::create(Arc::new(MemoryBackend::new()), world.config()).await;
    assert!(matches!(again, Err(CreateError::AnchorInUse)), "{again:?}");
    // Neither does one of another log.
    let other = World::new();
    fs::copy(world.anchor(), other.anchor()).unwrap();
    let again =
        Log::create(other.backend.clone(), settings(&other, 8, "store.example/other", 5, 10, "checkpoint")).await;
    assert!(matches!(again, Err(CreateError::AnchorInUse)), "{again:?}");
    assert_eq!(other.backend.meta().await.unwrap(), None, "and nothing is created");
}

#[tokio::test]
async fn creation_interrupted_after_its_anchor_is_finished_by_the_next() {
    let world = World::new();
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), 0, Hash::EMPTY_ROOT).unwrap();
    fs::write(world.anchor(), checkpoint.sign(&[&key(ORIGIN, 7)]).unwrap().to_bytes()).unwrap();
    world.create().await;
    world.open().await.unwrap();
}

#[tokio::test]
async fn a_restored_backup_is_a_rollback() {
    let world = World::new();
    let log = world.create().await;
    grow(&log, 0, 10).await;
    let backup = copy_of(&*world.backend).await;
    world.open_on(backup.clone()).await.expect("while nothing newer was signed");
    publish(&log, begin(&log, 50, 3)).await;
    let error = world.open_on(backup).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Rollback { signed, stored } if (signed, stored) == (FIRST + 13, FIRST + 10)),
        "{error}"
    );
}

#[tokio::test]
async fn a_backup_that_went_its_own_way_is_a_fork() {
    for extra in [0, 5, 300] {
        let world = World::new();
        let log = world.create().await;
        grow(&log, 0, 10).await;
        let backup = copy_of(&*world.backend).await;
        let elsewhere = World::over(Arc::new(backup.clone()));
        fs::copy(world.anchor(), elsewhere.anchor()).unwrap();
        publish(&log, begin(&log, 50, 3)).await;
        // Unsigned, so that only the leaves can tell.
        let fork = Log::open(elsewhere.backend.clone(), elsewhere.config()).await.unwrap();
        append(&fork, begin(&fork, 60, 3)).await;
        grow(&fork, 100, extra).await;
        drop(fork);
        let error = world.open_on(backup).await.unwrap_err();
        let OpenError::Fork { size, signed } = error else { panic!("{error}") };
        let anchored = log.trust().verify(&fs::read(world.anchor()).unwrap()).unwrap();
        assert_eq!((size, signed), (FIRST + 13, anchored.checkpoint().root()));
    }
}

#[tokio::test]
async fn truncated_leaves_and_tiles_are_noticed() {
    let world = written(600).await;
    let error = doctored(&world, Edit { leaves: Some(|(_, leaves)| leaves.truncate(1)), ..Edit::default() }).await;
    assert!(matches!(error, OpenError::Truncated { .. }), "{error}");
    let error = doctored(&world, Edit { no_tiles: true, ..Edit::default() }).await;
    assert!(matches!(error, OpenError::Truncated { .. }), "{error}");
}

#[tokio::test]
async fn whatever_is_edited_below_the_head_is_noticed() {
    let world = written(600).await;
    fn other(hash: &mut HashBytes) {
        *hash = HashBytes::from_bytes([1; 32]);
    }
    let edits: [(&str, Edit); 8] = [
        ("root", Edit { head: Some(|head| other(&mut head.root)), ..Edit::default() }),
        ("frontier", Edit { head: Some(|head| other(&mut head.frontier[0])), ..Edit::default() }),
        ("short frontier", Edit { head: Some(|head| head.frontier.truncate(1)), ..Edit::default() }),
        ("leaf", Edit { leaves: Some(|(_, leaves)| other(leaves.last_mut().unwrap())), ..Edit::default() }),
        ("tile", Edit { tile: Some(|tile| tile.hashes[40] ^= 1), ..Edit::default() }),
        ("tile root", Edit { tile: Some(|tile| other(&mut tile.root)), ..Edit::default() }),
        ("short tile", Edit { tile: Some(|tile| tile.hashes.truncate(8191)), ..Edit::default() }),
        (
            "header",
            Edit {
                row: Some(|row| {
                    if row.index == 601 {
                        row.header[20] ^= 1
                    }
                }),
                ..Edit::default()
            },
        ),
    ];
    for (what, edit) in edits {
        let error = doctored(&world, edit).await;
        assert!(matches!(error, OpenError::Corrupt(_)), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_head_that_hangs_together_over_other_leaves_is_noticed() {
    let world = written(20).await;
    // Root and frontier of a tree of the same size over nothing that was ever appended.
    let error = doctored(
        &world,
        Edit {
            head: Some(|head| {
                let mut frontier = jit_log::Frontier::new();
                (0..head.size).for_each(|_| frontier.push(Hash::from_bytes([3; 32])).unwrap());
                head.root = frontier.root().into();
                head.frontier = frontier.nodes().iter().map(|node| HashBytes::from(*node)).collect();
            }),
            ..Edit::default()
        },
    )
    .await;
    assert!(matches!(error, OpenError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_stored_checkpoint_under_another_key_is_noticed() {
    let world = written(5).await;
    let error = doctored(
        &world,
        Edit {
            checkpoint: Some(|row| {
                let text = Note::parse(&row.note).unwrap().text().to_owned();
                row.note = Note::sign(&text, &[&key(ORIGIN, 99)]).unwrap().to_bytes();
            }),
            ..Edit::default()
        },
    )
    .await;
    assert!(matches!(error, OpenError::CheckpointUntrusted(_)), "{error}");
}

#[tokio::test]
async fn a_missing_anchor_is_refused_unless_accepted_and_then_recorded() {
    let world = written(5).await;
    fs::remove_file(world.anchor()).unwrap();
    let error = world.open().await.unwrap_err();
    assert!(matches!(error, OpenError::AnchorMissing { size } if size == FIRST + 5), "{error}");
    assert!(!world.anchor().exists(), "a refusal publishes nothing");

    let log = Log::open(world.backend.clone(), world.config().accept_missing_anchor()).await.unwrap();
    let gov = log.stream(&StreamId::Gov).await.unwrap();
    let Event::LogHeartbeat(event) = gov.last().unwrap().record().event().unwrap() else { panic!("a heartbeat") };
    assert!(event.anchor_accepted_missing);
    let anchored = log.trust().verify(&fs::read(world.anchor()).unwrap()).unwrap();
    assert_eq!(anchored.checkpoint().size(), FIRST + 6);
    drop(log);
    let size = FIRST + 6;
    let log = Log::open(world.backend.clone(), world.config().accept_missing_anchor()).await.unwrap();
    assert_eq!(log.size().await.unwrap(), size, "an anchor that is there needs no accepting");
    world.open().await.unwrap();
}

#[tokio::test]
async fn accepting_a_missing_anchor_does_not_accept_a_rollback_that_still_shows() {
    let world = written(5).await;
    fs::remove_file(world.anchor()).unwrap();
    let copy = copy_of(&*world.backend).await;
    // The head went back, the last checkpoint in the database did not.
    let edit = Edit {
        head: Some(|head| {
            head.size = 0;
            head.root = Hash::EMPTY_ROOT.into();
            head.frontier.clear();
        }),
        ..Edit::default()
    };
    let config = world.config().accept_missing_anchor();
    let error = Log::open(Arc::new(Doctored::new(copy, edit)), config).await.unwrap_err();
    assert!(matches!(error, OpenError::Rollback { .. }), "{error}");
}

#[tokio::test]
async fn other_settings_do_not_open_the_log() {
    let world = written(5).await;
    let open = |config| Log::open(world.backend.clone(), config);
    fs::copy(world.anchor(), world.folder("same")).unwrap();

    let error = open(settings(&world, 7, "store.example/other", 5, 10, "same")).await.unwrap_err();
    assert!(matches!(&error, OpenError::OtherOrigin { stored, .. } if stored.to_string() == ORIGIN), "{error}");
    let error = open(settings(&world, 7, ORIGIN, 6, 10, "same")).await.unwrap_err();
    assert!(matches!(error, OpenError::OtherIndexKey), "{error}");
    let error = open(settings(&world, 8, ORIGIN, 5, 10, "same")).await.unwrap_err();
    assert!(matches!(error, OpenError::AnchorUntrusted(_)), "another key: {error}");
    let error = open(settings(&world, 7, ORIGIN, 5, 11, "same")).await.unwrap_err();
    assert!(matches!(error, OpenError::OtherRetention), "{error}");
    open(settings(&world, 7, ORIGIN, 5, 10, "same")).await.expect("the same settings");
}

#[tokio::test]
async fn a_key_that_the_log_never_declared_does_not_open_it() {
    let world = written(5).await;
    // Neither the anchor nor a stored checkpoint is there to tell.
    fs::remove_file(world.anchor()).unwrap();
    let bare = MemoryBackend::new();
    let full = copy_of(&*world.backend).await;
    let meta = full.meta().await.unwrap().unwrap();
    let rows = full.rows(0..u64::MAX).await.unwrap();
    let mut streams = Vec::new();
    for row in rows.iter().filter(|row| row.n == 0) {
        streams.push((row.stream, full.stream_head(row.stream).await.unwrap().unwrap()));
    }
    let head = full.head().await.unwrap();
    let batch = jit_store::Batch {
        head,
        rows,
        projections: Projections { streams, ..Projections::default() },
        tiles: vec![],
        blobs: vec![],
    };
    bare.create(meta, batch).await.unwrap();
    let config = settings(&world, 8, ORIGIN, 5, 10, "checkpoint").accept_missing_anchor();
    let error = Log::open(Arc::new(bare), config).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::UndeclaredKey { key: undeclared } if **undeclared == key(ORIGIN, 8).verifier()),
        "{error}"
    );
    assert!(!world.anchor().exists(), "and it publishes nothing");
}

#[tokio::test]
async fn an_anchor_of_something_else_is_untrusted() {
    let world = written(5).await;
    let of = |origin: &str, seed| {
        let checkpoint = Checkpoint::new(Origin::parse(origin).unwrap(), 1, Hash::from_bytes([1; 32])).unwrap();
        checkpoint.sign(&[&key(origin, seed)]).unwrap().to_bytes()
    };
    for note in [of(ORIGIN, 8), of("store.example/other", 7), b"".to_vec(), b"not a note".to_vec()] {
        fs::write(world.anchor(), note).unwrap();
        let error = world.open().await.unwrap_err();
        assert!(matches!(error, OpenError::AnchorUntrusted(_)), "{error}");
    }
}

#[tokio::test]
async fn settings_of_an_unknown_format_are_not_guessed_at() {
    let world = World::new();
    world.create().await;
    let copy = MemoryBackend::new();
    let rows = world.backend.rows(0..u64::MAX).await.unwrap();
    let head = world.backend.head().await.unwrap();
    let batch = jit_store::Batch { head, rows, projections: Projections::default(), tiles: vec![], blobs: vec![] };
    copy.create(br#"{"format":"jit-store/2"}"#.to_vec(), batch).await.unwrap();
    assert!(matches!(world.open_on(copy).await, Err(OpenError::UnknownFormat)));
}

#[tokio::test]
async fn a_log_needs_terms_for_agents_and_for_itself() {
    let only = |classes: &[&str]| RetentionPolicy::new(classes.iter().map(|class| terms(class, 1)).collect());
    assert_eq!(only(&[GOVERNANCE_CLASS, CLASS]), Err(RetentionError::NoAgentClass));
    assert_eq!(only(&[AGENT_CLASS, CLASS]), Err(RetentionError::NoGovernanceClass));
    assert_eq!(only(&[]), Err(RetentionError::NoGovernanceClass));
    let class = terms(CLASS, 1).class;
    assert_eq!(
        only(&[GOVERNANCE_CLASS, AGENT_CLASS, CLASS, CLASS]),
        Err(RetentionError::Twice { class: class.clone() })
    );
    let mut shrinking = terms(CLASS, 1);
    shrinking.max_s = Some(shrinking.min_s - 1);
    let all = vec![terms(GOVERNANCE_CLASS, 1), terms(AGENT_CLASS, 1), shrinking];
    assert_eq!(RetentionPolicy::new(all), Err(RetentionError::Contradiction { class }));
}

#[tokio::test]
async fn a_database_that_changed_under_an_open_log_is_checked_again() {
    let memory = Doctored::default();
    let world = World::over(Arc::new(memory.clone()));
    let log = world.create().await;
    publish(&log, begin(&log, 1, 1)).await;
    memory.set(Edit { incarnation: 1, ..Edit::default() });
    append(&log, begin(&log, 2, 1)).await;
    log.publish().await.unwrap();
    memory.set(Edit { incarnation: 2, head: Some(|head| head.size = 2), ..Edit::default() });
    let error = log.append(begin(&log, 3, 1)).await.unwrap_err();
    assert!(matches!(&error, AppendError::Refused(why) if matches!(**why, OpenError::Rollback { .. })), "{error:?}");
    assert_eq!(memory.inner.head().await.unwrap().size, FIRST + 2);
}

#[tokio::test]
async fn a_log_damaged_while_open_takes_no_more_records() {
    fn other(hash: &mut HashBytes) {
        *hash = HashBytes::from_bytes([1; 32]);
    }
    let edits = [
        Edit { head: Some(|head| other(&mut head.root)), ..Edit::default() },
        Edit { head: Some(|head| other(&mut head.frontier[0])), ..Edit::default() },
        Edit { head: Some(|head| head.size -= 1), ..Edit::default() },
    ];
    for edit in edits {
        let memory = Doctored::default();
        let world = World::over(Arc::new(memory.clone()));
        let log = world.create().await;
        append(&log, begin(&log, 1, 2)).await;
        memory.set(edit);
        let error = log.append(begin(&log, 2, 1)).await.unwrap_err();
        assert!(matches!(error, AppendError::Damaged(_)), "{error}");
        assert_eq!(memory.inner.head().await.unwrap().size, FIRST + 2, "nothing was written");
        memory.set(Edit::default());
        append(&log, begin(&log, 2, 1)).await;
    }
}

#[tokio::test]
async fn what_another_process_wrote_is_believed_only_if_it_hangs_together() {
    let memory = Doctored::default();
    let world = World::over(Arc::new(memory.clone()));
    let (log, other) = (world.create().await, world.open().await.unwrap());
    append(&other, begin(&other, 1, 3)).await;
    memory.set(Edit {
        leaves: Some(|(_, leaves)| {
            if let Some(leaf) = leaves.first_mut() {
                *leaf = HashBytes::from_bytes([1; 32]);
            }
        }),
        ..Edit::default()
    });
    let error = log.append(begin(&log, 2, 1)).await.unwrap_err();
    assert!(matches!(error, AppendError::Damaged(_)), "{error}");
}
