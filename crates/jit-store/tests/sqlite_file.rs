//! Which files open as an evidence database, for how many, and what the file itself refuses.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jit_store::{Backend, BackendError, Begin, CheckpointRow, OpenError, SqliteBackend, SqliteError};
use rusqlite::Connection;
use support::{World, begin, publish};

/// A closed file with a log of 300 records.
async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("evidence.db");
    let backend = Arc::new(SqliteBackend::create_new(&path).await.unwrap());
    let world = World::over(backend.clone());
    let log = world.create().await;
    publish(&log, begin(&log, 1, 298)).await;
    log.publish().await.unwrap();
    drop((world, log));
    closed(backend).await;
    path
}

/// Waits until nobody but the caller has the file, and closes it.
async fn closed(mut backend: Arc<SqliteBackend>) {
    let backend = loop {
        match Arc::try_unwrap(backend) {
            Ok(last) => break last,
            Err(shared) => backend = shared,
        }
        tokio::task::yield_now().await;
    };
    drop(backend);
}

#[tokio::test]
async fn nothing_but_create_new_creates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.db");
    assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::NotFound { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(&path, "somebody's").unwrap();
    assert!(matches!(SqliteBackend::create_new(&path).await, Err(SqliteError::AlreadyExists { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    let nowhere = folder.path().join("nowhere/evidence.db");
    assert!(matches!(SqliteBackend::create_new(&nowhere).await, Err(SqliteError::Unavailable { .. })));
}

#[tokio::test]
async fn what_a_crash_left_of_a_creation_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("evidence.db.new"), "half").unwrap();
    fs::write(folder.path().join("evidence.db.new-journal"), "half").unwrap();
    let backend = SqliteBackend::create_new(folder.path().join("evidence.db")).await.unwrap();
    assert!(matches!(backend.head().await, Err(BackendError::NotCreated)));
    assert!(!folder.path().join("evidence.db.new").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let _backend = SqliteBackend::create_new(folder.path().join("evidence.db")).await.unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 3, "the database, its write-ahead log and the lock, but {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.db");
    let backend = SqliteBackend::create_new(&path).await.unwrap();
    let clone = backend.clone();
    drop(backend);
    assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::InUse { .. })));
    #[cfg(unix)]
    {
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(SqliteBackend::open(&link).await, Err(SqliteError::InUse { .. })), "by another name too");
    }
    let world = World::over(Arc::new(clone));
    drop(world.create().await);
    let transaction = world.backend.begin(Begin::default()).await.unwrap();
    let first = transaction.locked().incarnation;
    drop(world);
    assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::InUse { .. })), "a transaction is left");
    drop(transaction);
    let again = loop {
        match SqliteBackend::open(&path).await {
            Err(SqliteError::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    assert_ne!(again.begin(Begin::default()).await.unwrap().locked().incarnation, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn fences_grow_over_openings() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let key = jit_store::LeaseKey::from_bytes([1; 32]);
    let mut last = 0;
    for holder in 0..3 {
        let holder = jit_store::Holder::from_bytes([holder; 16]);
        let backend = SqliteBackend::open(&path).await.unwrap();
        let request = jit_store::LeaseRequest { holder, ttl: std::time::Duration::from_secs(3600) };
        let lease = backend.lease(key, request).await.unwrap().expect("leases end with the process");
        assert!(lease.fence > last);
        last = lease.fence;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let garbage: Vec<u8> = (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for content in [Vec::new(), b"notes".to_vec(), garbage] {
        fs::write(&path, &content).unwrap();
        assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::NotEvidence { .. })));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a); PRAGMA user_version = 1").unwrap();
    let content = fs::read(&path).unwrap();
    assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::NotEvidence { .. })));
    assert_eq!(fs::read(&path).unwrap(), content);
    assert!(matches!(SqliteBackend::open(folder.path()).await, Err(SqliteError::Unavailable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    let refused = SqliteBackend::open(&path).await.unwrap_err();
    assert!(matches!(refused, SqliteError::NewerSchema { found: 2, known: 1, .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_or_overwritten_file_is_damaged_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let whole = fs::read(&path).unwrap();
    let (mut at_opening, mut later) = (0, 0);
    for cut in (1..whole.len() / 4096).step_by(7) {
        fs::write(&path, &whole[..cut * 4096]).unwrap();
        assert!(matches!(SqliteBackend::open(&path).await, Err(SqliteError::Damaged { .. })), "cut at page {cut}");
    }
    for page in 0..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096 + 100..(page + 1) * 4096].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        match SqliteBackend::open(&path).await {
            Err(SqliteError::Damaged { .. } | SqliteError::NotEvidence { .. }) => at_opening += 1,
            Err(other) => panic!("page {page}: {other:?}"),
            Ok(backend) => match backend.rows(0..u64::MAX).await {
                Err(BackendError::Corrupt { .. }) => later += 1,
                Err(other) => panic!("page {page}: {other:?}"),
                // A page of an index or a tile, which other reads find, or bytes that the log's hashes find.
                Ok(rows) => assert!(rows.len() <= 300),
            },
        }
    }
    assert!(at_opening > 0 && later > 0, "{at_opening} at the opening, {later} later");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_row_does_not_open_as_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.db");
    let backend = Arc::new(SqliteBackend::create_new(&path).await.unwrap());
    let mut world = World::over(backend.clone());
    let log = world.create().await;
    publish(&log, begin(&log, 1, 298)).await;
    drop(log);
    world.backend = Arc::new(jit_store::MemoryBackend::new());
    closed(backend).await;

    let owner = Connection::open(&path).unwrap();
    let edit = "DROP TRIGGER record_as_written; UPDATE record SET header = zeroblob(length(header)) WHERE idx = 299";
    owner.execute_batch(edit).unwrap();
    owner.close().unwrap();
    world.backend = Arc::new(SqliteBackend::open(&path).await.unwrap());
    assert!(matches!(world.open().await, Err(OpenError::Corrupt(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_not_edited_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let tool = Connection::open(&path).unwrap();
    tool.execute("INSERT INTO blob (key, bytes) VALUES (zeroblob(32), x'00')", []).unwrap();
    for table in ["log", "record", "tile", "checkpoint", "blob"] {
        let count: i64 = tool.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert!(count > 0, "{table} is empty");
        let refused = tool.execute(&format!("DELETE FROM {table}"), []).unwrap_err().to_string();
        assert!(refused.contains("never deleted"), "{table}: {refused}");
    }
    for (table, column) in [
        ("log", "meta"),
        ("record", "header"),
        ("record", "n"),
        ("payload", "bytes"),
        ("tile", "hashes"),
        ("checkpoint", "note"),
        ("blob", "bytes"),
    ] {
        let refused = tool.execute(&format!("UPDATE {table} SET {column} = {column}"), []).unwrap_err().to_string();
        assert!(refused.contains("never changed"), "{table}: {refused}");
    }
    assert!(tool.execute("UPDATE log SET size = size - 1", []).unwrap_err().to_string().contains("never shrinks"));
    assert!(tool.execute("DELETE FROM payload WHERE idx = 3", []).is_ok(), "what may be erased");
    tool.close().unwrap();

    let backend = SqliteBackend::open(&path).await.unwrap();
    let rows = backend.rows(3..5).await.unwrap();
    assert!(rows[0].payload.is_none() && rows[1].payload.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_whole_commits_while_somebody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let backend = SqliteBackend::open(&path).await.unwrap();
    let before = backend.scan_streams(None, 9).await.unwrap();
    let rebuild = backend.rebuild().await.unwrap();
    assert_eq!(backend.scan_streams(None, 9).await.unwrap(), before);
    let checkpoint = CheckpointRow { size: 1 << 40, note: vec![], frontier: vec![] };
    let other = backend.clone();
    let saving = tokio::spawn(async move { other.save_checkpoint(Some(300), checkpoint).await });
    assert_eq!(backend.checkpoint(None).await.unwrap().unwrap().size, 300);
    assert!(!saving.is_finished(), "one at a time writes");
    rebuild.commit().await.unwrap();
    assert!(saving.await.unwrap().unwrap());
    assert_eq!(backend.scan_streams(None, 9).await.unwrap(), []);
    assert_eq!(backend.checkpoint(None).await.unwrap().unwrap().size, 1 << 40);
}
