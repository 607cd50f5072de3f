//! An export is a log of its own: files that any tlog-tiles verifier accepts, whole or resumable, and the same every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Arc};

use jit_core::{Record, canonical::Value};
use jit_log::{DirectoryError, DirectoryVerifier, TileSource};
use jit_store::{ExportError, ExportOptions, ExportPayloads, Log};
use support::{
    FIRST, World, append, begin,
    doctored::{Doctored, Edit},
    key,
};
use tokio::sync::Notify;

struct Folder(PathBuf);

impl TileSource for Folder {
    type Error = io::Error;
    fn read(&mut self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Every file under a folder, by its path.
fn files(folder: &PathBuf) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.clone()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

async fn written(world: &World, records: u64) -> Log {
    let log = world.create().await;
    for number in 0..records.div_ceil(100) {
        append(&log, begin(&log, number, usize::try_from(100.min(records - number * 100)).unwrap())).await;
    }
    log
}

fn verified(log: &Log, folder: PathBuf) -> Result<u64, DirectoryError> {
    let report = DirectoryVerifier::new(log.trust()).verify(&mut Folder(folder), |index, entry| {
        let record = Record::parse(entry.to_vec(), None)?;
        // Cases hold a hundred records each, after the two of stream gov.
        let expected = if index < FIRST { index } else { (index - FIRST) % 100 };
        if record.header().n == expected { Ok(()) } else { Err("a record in another place".into()) }
    })?;
    Ok(report.entries())
}

#[tokio::test]
async fn a_verifier_of_tile_directories_accepts_it() {
    for records in [0, 254, 600] {
        let world = World::new();
        let log = written(&world, records).await;
        let exported = log.export(world.folder("out"), ExportPayloads::Leave).await.unwrap();
        assert_eq!(exported.size, FIRST + records);
        assert_eq!(exported.files, files(&world.folder("out")).len() as u64);
        assert_eq!(verified(&log, world.folder("out")).unwrap(), FIRST + records);
        assert!(!world.folder("out").join("payload").exists());
    }
}

#[tokio::test]
async fn a_verifier_notices_one_changed_byte_of_any_file() {
    let world = World::new();
    let log = written(&world, 600).await;
    let folder = world.folder("out");
    log.export(&folder, ExportPayloads::Leave).await.unwrap();
    for (path, bytes) in files(&folder) {
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(folder.join(&path), changed).unwrap();
        assert!(verified(&log, folder.clone()).is_err(), "{}", path.display());
        fs::write(folder.join(&path), bytes).unwrap();
    }
    verified(&log, folder).unwrap();
    let stranger = jit_log::TrustPolicy::new_log_only(key(support::ORIGIN, 8).verifier()).unwrap();
    let other = DirectoryVerifier::new(&stranger).verify(&mut Folder(world.folder("out")), |_, _| Ok(()));
    assert!(matches!(other, Err(DirectoryError::Trust(_))), "{other:?}");
}

#[tokio::test]
async fn repeating_it_writes_nothing() {
    let world = World::new();
    let log = written(&world, 600).await;
    log.export(world.folder("out"), ExportPayloads::Include).await.unwrap();
    let before = files(&world.folder("out"));
    let again = world.open().await.unwrap().export(world.folder("out"), ExportPayloads::Include).await.unwrap();
    assert_eq!((again.size, again.files, again.bytes), (FIRST + 600, 0, 0));
    assert_eq!(files(&world.folder("out")), before);
}

#[tokio::test]
async fn an_interrupted_and_resumed_one_is_the_same_as_a_fresh_one() {
    let world = World::new();
    let log = written(&world, 600).await;
    log.export(world.folder("fresh"), ExportPayloads::Include).await.unwrap();
    let fresh = files(&world.folder("fresh"));
    // Whatever the interruption left undone: every file in turn, and everything after it.
    for cut in 0..fresh.len() {
        for alone in [true, false] {
            let folder = world.folder(&format!("cut-{cut}-{alone}"));
            for (at, (path, bytes)) in fresh.iter().enumerate() {
                let written = !path.ends_with("checkpoint") && at < cut;
                if (alone && at != cut) || (!alone && written) {
                    fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
                    fs::write(folder.join(path), bytes).unwrap();
                }
            }
            // A file alone that is gone was not lost to an interruption: the checkpoint is there.
            let options = ExportOptions::from(ExportPayloads::Include);
            log.export(&folder, if alone { options.recheck() } else { options }).await.unwrap();
            assert_eq!(files(&folder), fresh);
        }
    }
}

#[tokio::test]
async fn one_that_grew_with_the_log_has_all_that_a_fresh_one_has() {
    let world = World::new();
    let log = world.create().await;
    for number in 0..7 {
        append(&log, begin(&log, number, 100)).await;
        log.export(world.folder("grown"), ExportPayloads::Include).await.unwrap();
        assert_eq!(verified(&log, world.folder("grown")).unwrap(), log.size().await.unwrap());
    }
    log.export(world.folder("fresh"), ExportPayloads::Include).await.unwrap();
    let grown = files(&world.folder("grown"));
    for (path, bytes) in files(&world.folder("fresh")) {
        assert_eq!(grown.get(&path), Some(&bytes), "{}", path.display());
    }
}

#[tokio::test]
async fn payload_lines_are_canonical_and_fit_their_records() {
    let world = World::new();
    let log = written(&world, 600).await;
    log.export(world.folder("out"), ExportPayloads::Include).await.unwrap();
    let mut expected = 0;
    for file in ["000", "001", "002"] {
        let text = fs::read_to_string(world.folder("out").join("payload").join(file)).unwrap();
        for line in text.lines() {
            let value = Value::parse(line.as_bytes()).unwrap();
            assert_eq!(value.to_bytes().unwrap(), line.as_bytes(), "canonical as it stands");
            let Value::Object(object) = value else { panic!("a line is an object") };
            assert_eq!(object.get("index").unwrap().to_bytes().unwrap(), expected.to_string().as_bytes());
            let fields = object.get("fields").unwrap().to_bytes().unwrap();
            let header = log.records(&[expected]).await.unwrap()[0].record().header_bytes().to_vec();
            Record::parse(header, Some(&fields)).expect("what the header commits to");
            expected += 1;
        }
        assert!(expected % 256 == 0 || file == "002", "256 records a file");
    }
    assert_eq!(expected, FIRST + 600);
}

#[tokio::test]
async fn a_damaged_record_is_not_exported_and_no_checkpoint_covers_it() {
    let memory = Doctored::default();
    let world = World::over(Arc::new(memory.clone()));
    let log = written(&world, 300).await;
    memory.set(Edit {
        row: Some(|row| {
            if row.index == 270 {
                row.header[20] ^= 1;
            }
        }),
        ..Edit::default()
    });
    let error = log.export(world.folder("out"), ExportPayloads::Leave).await.unwrap_err();
    assert!(matches!(error, ExportError::Read(_)), "{error}");
    assert!(!world.folder("out").join("checkpoint").exists());
    memory.set(Edit::default());
    log.export(world.folder("out"), ExportPayloads::Leave).await.unwrap();
    verified(&log, world.folder("out")).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let world = World::new();
    let log = written(&world, 1).await;
    fs::write(world.folder("file"), b"in the way").unwrap();
    let error = log.export(world.folder("file"), ExportPayloads::Leave).await.unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn one_that_was_dropped_at_any_file_is_resumed_at_once() {
    let world = World::new();
    let log = written(&world, 300).await;
    let fresh = log.export(world.folder("fresh"), ExportPayloads::Include).await.unwrap();
    for at in 1..=fresh.files {
        let folder = world.folder(&format!("dropped-{at}"));
        let reached = Arc::new(Notify::new());
        let tell = reached.clone();
        let options = ExportOptions::from(ExportPayloads::Include).progress(move |progress| {
            if progress.files == at {
                tell.notify_one();
            }
        });
        tokio::select! {
            biased;
            () = reached.notified() => {}
            exported = log.export(&folder, options) => assert_eq!(at, exported.unwrap().files),
        }
        log.export(&folder, ExportPayloads::Include).await.unwrap();
        assert_eq!(files(&folder), files(&world.folder("fresh")), "dropped at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_at_a_time_do_not_write_one_folder() {
    let world = World::new();
    let log = written(&world, 3).await;
    let folder = world.folder("out");
    fs::create_dir(&folder).unwrap();
    let other = fs::File::open(&folder).unwrap();
    other.lock().unwrap();
    let refused = log.export(&folder, ExportPayloads::Include).await.unwrap_err();
    assert!(
        matches!(&refused, ExportError::Busy { folder: busy } if *busy == folder.display().to_string()),
        "{refused}"
    );
    drop(other);
    log.export(&folder, ExportPayloads::Include).await.unwrap();
    verified(&log, folder).unwrap();
}
