//! Exports to object stores: the same files as in a folder, wherever they are interrupted, and never a step back.
#![cfg(feature = "object-store")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use jit_log::{DirectoryVerifier, Hash, Note, TileSource, leaf_hash};
use jit_store::{
    ExportError, ExportOptions, ExportPayloads, ExportProgress, Exported, Log, MemoryBackend, ObjectTarget, ReadError,
    object_store::{
        Attribute, AttributeValue, GetOptions, ObjectStore, ObjectStoreExt as _, local::LocalFileSystem,
        memory::InMemory,
    },
};
use support::{
    FIRST, World, append, begin,
    doctored::{Doctored, Edit},
    scripted::{Fate, Scripted, objects},
};

struct Objects(BTreeMap<String, Vec<u8>>);

impl TileSource for Objects {
    type Error = Infallible;
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(&format!("logs/a/{path}")).cloned())
    }
}

fn target(store: &Scripted) -> ObjectTarget {
    ObjectTarget::new(Arc::new(store.clone()), "logs/a")
}

async fn grow(log: &Log, case: u64, records: usize) {
    append(log, begin(log, case, records)).await;
}

async fn export(log: &Log, store: &Scripted) -> Result<Exported, ExportError> {
    log.export(target(store), ExportPayloads::Include).await
}

/// How many entries the exported checkpoint proves.
async fn verified(log: &Log, store: &dyn ObjectStore) -> u64 {
    let mut source = Objects(objects(store).await);
    DirectoryVerifier::new(log.trust()).verify(&mut source, |_, _| Ok(())).unwrap().entries()
}

/// How many records the checkpoint in the store covers.
async fn stand(log: &Log, store: &dyn ObjectStore) -> u64 {
    let note = store.get(&"logs/a/checkpoint".into()).await.unwrap().bytes().await.unwrap();
    log.trust().verify(&note).unwrap().checkpoint().size()
}

#[tokio::test]
async fn every_store_gets_what_a_folder_gets() {
    let world = World::new();
    let log = world.create().await;
    grow(&log, 1, 600).await;
    log.export(world.folder("logs/a"), ExportPayloads::Include).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let local = Scripted::over(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()));
    let expected = objects(&LocalFileSystem::new_with_prefix(world.folder("")).unwrap()).await;
    for store in [Scripted::new(), local] {
        let exported = export(&log, &store).await.unwrap();
        let objects = objects(&store).await;
        assert_eq!(exported.size, FIRST + 600);
        assert_eq!(exported.files, objects.len() as u64);
        assert_eq!(exported.bytes, objects.values().map(|bytes| bytes.len() as u64).sum::<u64>());
        for (path, bytes) in &objects {
            assert_eq!(Some(bytes), expected.get(path), "{path}");
        }
        // The anchor lies beside the folder.
        assert_eq!(objects.len() + 2, expected.len());
        assert_eq!(verified(&log, &store).await, FIRST + 600);
    }
}

#[tokio::test]
async fn interrupted_at_any_write_and_resumed_it_is_the_same() {
    let world = World::new();
    let log = world.create().await;
    grow(&log, 1, 300).await;
    let (fresh, before) = (Scripted::new(), Scripted::new());
    export(&log, &before).await.unwrap();
    let before = objects(&before).await;
    grow(&log, 2, 250).await;
    export(&log, &fresh).await.unwrap();
    // An export that finds nothing, and one that finds what is there of a smaller log.
    for held in [BTreeMap::new(), before] {
        let mut writes = 0;
        'cuts: for at in 0.. {
            for fate in [Fate::Refused, Fate::AnswerLost] {
                let store = Scripted::new();
                for (path, bytes) in &held {
                    store.put(&path.as_str().into(), bytes.clone().into()).await.unwrap();
                }
                store.cut_off(at, fate);
                let cut = export(&log, &store).await;
                if cut.is_ok() {
                    writes = at;
                    break 'cuts;
                }
                assert!(matches!(cut, Err(ExportError::File { .. })), "{cut:?}");
                store.mend();
                let has_checkpoint = objects(&store).await.contains_key("logs/a/checkpoint");
                if has_checkpoint {
                    verified(&log, &store).await;
                }
                export(&log, &store).await.unwrap();
                let mut expected = held.clone();
                expected.extend(objects(&fresh).await);
                assert_eq!(objects(&store).await, expected, "cut at {at}");
                store.mend();
                assert_eq!(export(&log, &store).await.unwrap().files, 0);
            }
        }
        assert!(writes >= 8, "{writes}");
    }
}

#[tokio::test]
async fn a_repeated_one_touches_what_is_new() {
    let world = World::new();
    let log = world.create().await;
    for case in 0..5 {
        grow(&log, case, 1000).await;
    }
    let store = Scripted::new();
    let first = export(&log, &store).await.unwrap();
    assert!(first.files > 3 * 5_000 / 256);
    for (case, more) in [(20, 1), (21, 10), (22, 300)] {
        grow(&log, case, usize::try_from(more).unwrap()).await;
        store.mend();
        let exported = export(&log, &store).await.unwrap();
        // Tile, bundle and payloads of each tile of level 0, a tile at either end of each level above, two checkpoints.
        let most = 3 * (more / 256 + 2) + 2 * 2 + 2;
        let requests = store.puts.load(Ordering::SeqCst) + store.gets.load(Ordering::SeqCst);
        assert!(exported.files <= most, "{exported:?} for {more} records");
        assert!(requests <= 2 * most + 4, "{requests} requests for {more} records");
        assert_eq!(verified(&log, &store).await, log.size().await.unwrap());
    }
    store.mend();
    assert_eq!(export(&log, &store).await.unwrap().files, 0);
    assert_eq!(store.puts.load(Ordering::SeqCst), 0, "nothing new, nothing written");
}

#[tokio::test]
async fn the_checkpoint_of_another_log_is_not_touched() {
    let (world, store) = (World::new(), Scripted::new());
    let log = world.create().await;
    grow(&log, 1, 20).await;
    export(&log, &store).await.unwrap();
    let held = objects(&store).await;

    // The same key and name, another history: as large, larger, smaller.
    for records in [20, 30, 3] {
        let forked = World::new();
        let fork = forked.create().await;
        grow(&fork, 2, records).await;
        let refused = export(&fork, &store).await.unwrap_err();
        assert!(matches!(&refused, ExportError::OtherLog { size: 22, .. }), "{refused}");
        assert!(refused.to_string().contains("logs/a/checkpoint"), "{refused}");
        assert_eq!(objects(&store).await, held);
    }
    // Not a checkpoint at all.
    store.put(&"logs/a/checkpoint".into(), "hello\n".into()).await.unwrap();
    let refused = export(&log, &store).await.unwrap_err();
    assert!(matches!(&refused, ExportError::Untrusted { .. }), "{refused}");
    // One that somebody else signed.
    let note = Note::parse(&held["logs/a/checkpoint"]).unwrap();
    let other = Note::sign(note.text(), &[&support::key(support::ORIGIN, 8)]).unwrap();
    store.put(&"logs/a/checkpoint".into(), other.to_bytes().into()).await.unwrap();
    let refused = export(&log, &store).await.unwrap_err();
    assert!(matches!(&refused, ExportError::Untrusted { .. }), "{refused}");
}

#[tokio::test]
async fn an_object_with_other_content_is_named_and_left() {
    let world = World::new();
    let log = world.create().await;
    grow(&log, 1, 300).await;
    let whole = Scripted::new();
    export(&log, &whole).await.unwrap();
    for (path, bytes) in objects(&whole).await {
        if path.contains("payload") || path.ends_with("checkpoint") {
            continue;
        }
        let mut longer = bytes.clone();
        longer.push(0);
        for other in [bytes[1..].to_vec(), longer, Vec::new()] {
            let store = Scripted::new();
            store.put(&path.as_str().into(), other.clone().into()).await.unwrap();
            let refused = export(&log, &store).await.unwrap_err();
            assert!(matches!(&refused, ExportError::Differs { file } if file.ends_with(&path)), "{refused}");
            let objects = objects(&store).await;
            assert_eq!(objects[&path], other);
            assert!(!objects.contains_key("logs/a/checkpoint"));
        }
    }
}

#[tokio::test]
async fn a_slower_export_of_a_smaller_log_does_not_take_it_back() {
    let world = World::new();
    let log = world.create().await;
    grow(&log, 1, 300).await;
    // Before any of its writes, another process exports what it appended meanwhile. The first time there is nothing yet,
    // then what is there is of a smaller log.
    let mut cases = 100..;
    for is_there in [false, true] {
        for at in 0.. {
            let store = Scripted::new();
            if is_there {
                export(&log, &store).await.unwrap();
                grow(&log, cases.next().unwrap(), 5).await;
            }
            let (faster, process, case) = (store.clone(), world.open().await.unwrap(), cases.next().unwrap());
            let is_past = Arc::new(AtomicBool::new(false));
            let past = is_past.clone();
            store.script(move |put, _| {
                let (faster, process, past) = (faster.clone(), process.clone(), past.clone());
                Box::pin(async move {
                    if put == at && !past.swap(true, Ordering::SeqCst) {
                        faster.mend();
                        grow(&process, case, 10).await;
                        export(&process, &faster).await.unwrap();
                    }
                    Fate::Stored
                })
            });
            let slow = export(&log, &store).await.unwrap();
            if !is_past.load(Ordering::SeqCst) {
                assert!(at >= 5, "{at} writes");
                break;
            }
            let size = log.size().await.unwrap();
            assert_eq!(slow.size, size - 10);
            assert_eq!(stand(&log, &store).await, size);
            assert_eq!(verified(&log, &store).await, size);
            let fresh = Scripted::new();
            export(&log, &fresh).await.unwrap();
            let held = objects(&store).await;
            for (path, bytes) in objects(&fresh).await {
                assert_eq!(held.get(&path), Some(&bytes), "{path} after a race at {at}");
            }
        }
    }
}

#[tokio::test]
async fn many_exporters_at_once_end_at_the_largest_checkpoint() {
    let (world, store) = (World::new(), Scripted::new());
    let log = world.create().await;
    let mut tasks = Vec::new();
    for number in 0..4 {
        let (process, store) = (world.open().await.unwrap(), store.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..5 {
                grow(&process, number * 100 + round, 40).await;
                export(&process, &store).await.unwrap();
            }
        }));
    }
    let mut last = 0;
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        if store.get(&"logs/a/checkpoint".into()).await.is_ok() {
            let size = stand(&log, &store).await;
            assert!(size >= last, "{size} after {last}");
            last = size;
        }
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(verified(&log, &store).await, FIRST + 4 * 5 * 40);
}

#[tokio::test]
async fn payloads_may_lie_elsewhere_and_catch_up() {
    let (world, store, vault) = (World::new(), Scripted::new(), Scripted::new());
    let log = world.create().await;
    grow(&log, 1, 300).await;
    log.export(target(&store), ExportPayloads::Leave).await.unwrap();
    let private = || ExportOptions::new().payloads_to(ObjectTarget::new(Arc::new(vault.clone()), "vault"));
    store.mend();
    log.export(target(&store), private()).await.unwrap();
    assert_eq!(store.puts.load(Ordering::SeqCst), 0, "tiles and entries are there");
    let held = objects(&vault).await;
    assert_eq!(Vec::from_iter(held.keys()), ["vault/payload/000", "vault/payload/001", "vault/payload/checkpoint"]);
    assert_eq!(held["vault/payload/001"].iter().filter(|byte| **byte == b'\n').count(), 302 - 256);
    assert!(!objects(&store).await.keys().any(|path| path.contains("payload")));
    grow(&log, 2, 30).await;
    let exported = log.export(target(&store), private()).await.unwrap();
    assert_eq!(exported.files, 2 + 1 + 2, "a tile and its bundle, a payload file, two checkpoints");
    assert_eq!(objects(&vault).await["vault/payload/000"], held["vault/payload/000"]);
    log.export(world.folder("out"), ExportPayloads::Include).await.unwrap();
    for number in ["000", "001"] {
        let folder = std::fs::read(world.folder("out").join("payload").join(number)).unwrap();
        assert_eq!(objects(&vault).await[&format!("vault/payload/{number}")], folder);
    }
}

#[tokio::test]
async fn payloads_erased_since_leave_the_files_when_rechecked() {
    let doctored = Doctored::new(MemoryBackend::new(), Edit::default());
    let (world, store) = (World::over(Arc::new(doctored.clone())), Scripted::new());
    let log = world.create().await;
    grow(&log, 1, 300).await;
    export(&log, &store).await.unwrap();
    let before = objects(&store).await;
    doctored
        .set(Edit { row: Some(|row| row.payload = row.payload.take().filter(|_| row.index != 7)), ..Edit::default() });
    let options = || ExportOptions::from(ExportPayloads::Include).recheck();
    assert_eq!(log.export(target(&store), options()).await.unwrap().files, 1);
    let after = objects(&store).await;
    for (path, bytes) in &before {
        let text = String::from_utf8_lossy(bytes);
        let kept: String = text.split_inclusive('\n').filter(|line| !line.ends_with(",\"index\":7}\n")).collect();
        let expected = if path.ends_with("payload/000") { kept.into_bytes() } else { bytes.clone() };
        assert_eq!(after[path], expected, "{path}");
    }
    assert_ne!(before, after);
    assert_eq!(log.export(target(&store), options()).await.unwrap().files, 0);
}

#[tokio::test]
async fn records_that_are_not_those_of_the_checkpoint_get_none() {
    let doctored = Doctored::new(MemoryBackend::new(), Edit::default());
    let (world, store) = (World::over(Arc::new(doctored.clone())), Scripted::new());
    let log = world.create().await;
    grow(&log, 1, 40).await;
    log.publish().await.unwrap();
    // Well-formed and consistent in itself, and not what was appended.
    doctored.set(Edit {
        row: Some(|row| {
            if row.index == 30 {
                // Another last digit of the writer.
                let text = String::from_utf8(row.header.clone()).unwrap();
                let last = text.find("\"writer\":\"").unwrap() + "\"writer\":\"".len() + 35;
                row.header[last] = if row.header[last] == b'0' { b'1' } else { b'0' };
                row.leaf = Hash::from_bytes(*leaf_hash(&row.header).as_bytes()).into();
            }
        }),
        ..Edit::default()
    });
    let refused = export(&log, &store).await.unwrap_err();
    assert!(matches!(&refused, ExportError::Read(ReadError::Corrupt { .. })), "{refused:?}");
    assert!(!objects(&store).await.contains_key("logs/a/checkpoint"));
}

#[tokio::test]
async fn attributes_and_retention_fit_what_becomes_of_an_object() {
    let (world, store, locking) = (World::new(), Arc::new(InMemory::new()), Scripted::new());
    let log = world.create().await;
    grow(&log, 1, 300).await;
    let target = ObjectTarget::new(store.clone(), "").immutable_through(Arc::new(locking.clone()));
    log.export(target, ExportPayloads::Include).await.unwrap();
    let replaced = Vec::from_iter(objects(&*store).await.into_keys());
    assert_eq!(replaced, ["checkpoint", "payload/000", "payload/001", "payload/checkpoint"]);
    let locked = objects(&locking).await;
    assert!(locked.keys().all(|path| path.starts_with("tile/")));
    let attribute = async |store: &dyn ObjectStore, path: &str, name| {
        let got = store.get_opts(&path.into(), GetOptions::default()).await.unwrap();
        got.attributes.get(&name).map(|value: &AttributeValue| value.as_ref().to_owned())
    };
    let media = async |store, path| attribute(store, path, Attribute::ContentType).await.unwrap();
    let cache = async |store, path| attribute(store, path, Attribute::CacheControl).await.unwrap_or_default();
    assert_eq!(media(&*store, "checkpoint").await, "text/plain; charset=utf-8");
    assert_eq!(cache(&*store, "checkpoint").await, "no-cache");
    assert_eq!(cache(&*store, "payload/000").await, "no-store");
    for path in locked.keys() {
        assert_eq!(media(&locking, path).await, "application/octet-stream");
        assert_eq!(cache(&locking, path).await.ends_with("immutable"), !path.contains(".p/"), "{path}");
    }
}

#[tokio::test]
async fn progress_grows_and_ends_with_what_was_written() {
    let (world, store) = (World::new(), Scripted::new());
    let log = world.create().await;
    grow(&log, 1, 1000).await;
    let seen: Arc<Mutex<Vec<ExportProgress>>> = Arc::default();
    let told = seen.clone();
    let options = ExportOptions::from(ExportPayloads::Include)
        .in_flight(NonZeroUsize::MIN)
        .progress(move |progress| told.lock().unwrap().push(progress));
    let exported = log.export(target(&store), options).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted_by_key(|progress| (progress.records, progress.files, progress.bytes)));
    let last = seen.last().unwrap();
    assert_eq!((last.records, last.of, last.files, last.bytes), (1002, 1002, exported.files, exported.bytes));
}
