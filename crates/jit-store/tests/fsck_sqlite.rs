//! What somebody who may write the file does to a log in SQLite is named for what it is.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jit_store::{FsckReport, MemoryBackend, SqliteBackend, SqliteError, fsck};
use rusqlite::Connection;
use support::{
    World, append, begin,
    lived::filled,
    publish,
    verified::{config, names},
};

/// What is done to the file, and all that is found. None of it says more than one thing is wrong if one thing is.
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE record SET leaf = randomblob(32) WHERE idx = 40", &["edited_leaf"]),
    ("UPDATE record SET leaf = randomblob(32) WHERE idx = 260", &["edited_leaf"]),
    (
        "UPDATE record SET header = CAST(replace(CAST(header AS TEXT), '2026-03-02', '2026-03-03') AS BLOB) WHERE idx = 40",
        &["edited_header"],
    ),
    (
        "UPDATE payload SET bytes = CAST(replace(CAST(bytes AS TEXT), 'requester-0', 'requester-9') AS BLOB) WHERE idx = 2",
        &["edited_payload"],
    ),
    (
        "UPDATE payload SET bytes = CAST(replace(CAST(bytes AS TEXT), '\"salt\":\"0', '\"salt\":\"1') AS BLOB)
         WHERE idx = (SELECT min(idx) FROM payload WHERE instr(CAST(bytes AS TEXT), '\"salt\":\"0'))",
        &["edited_payload"],
    ),
    ("DELETE FROM payload WHERE idx = 40", &["missing_payload"]),
    ("DELETE FROM payload", &["missing_payload"]),
    ("UPDATE tile SET hashes = randomblob(8192)", &["edited_tile"]),
    ("UPDATE tile SET root = randomblob(32)", &["edited_tile_root"]),
    ("DELETE FROM tile", &["missing_tile"]),
    ("UPDATE log SET frontier = randomblob(length(frontier))", &["frontier"]),
    ("UPDATE log SET root = randomblob(32)", &["root"]),
    ("UPDATE log SET meta = x'00'", &["settings"]),
    (
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint ORDER BY size LIMIT 1) WHERE size = (SELECT max(size) FROM checkpoint)",
        &["checkpoint"],
    ),
    ("UPDATE checkpoint SET frontier = randomblob(length(frontier)) WHERE size = (SELECT max(size) FROM checkpoint)", &["checkpoint_frontier"]),
    ("DELETE FROM checkpoint", &["missing_checkpoint"]),
    ("DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)", &["missing_checkpoint"]),
    ("DELETE FROM record", &["deleted_stream", "truncated_records"]),
    (
        "CREATE TABLE gone AS SELECT idx FROM record WHERE stream = (SELECT stream FROM record WHERE idx = 40);
         DELETE FROM payload WHERE idx IN (SELECT idx FROM gone); DELETE FROM record WHERE idx IN (SELECT idx FROM gone)",
        &["deleted_stream", "missing_records"],
    ),
    (
        "DELETE FROM payload WHERE idx > 300; DELETE FROM record WHERE idx > 300",
        &["deleted_stream", "truncated_records", "truncated_stream"],
    ),
    (
        "UPDATE record SET idx = 9999 WHERE idx = 40; UPDATE record SET idx = 40 WHERE idx = 41; UPDATE record SET idx = 41 WHERE idx = 9999;
         UPDATE payload SET idx = 9999 WHERE idx = 40; UPDATE payload SET idx = 40 WHERE idx = 41; UPDATE payload SET idx = 41 WHERE idx = 9999",
        &["swapped_records"],
    ),
    (
        "UPDATE record SET idx = 9999 WHERE idx = 40; UPDATE record SET idx = 40 WHERE idx = 260; UPDATE record SET idx = 260 WHERE idx = 9999;
         UPDATE payload SET idx = 9999 WHERE idx = 40; UPDATE payload SET idx = 40 WHERE idx = 260; UPDATE payload SET idx = 260 WHERE idx = 9999",
        &["swapped_records"],
    ),
    (
        "INSERT INTO record SELECT (SELECT size FROM log) + 1000, randomblob(16), randomblob(32), 0, leaf, header FROM record WHERE idx = 40",
        &["surplus_records"],
    ),
    ("UPDATE record SET n = 99 WHERE idx = 40", &["edited_column"]),
    ("DELETE FROM stream", &["missing_stream_head"]),
    ("DELETE FROM stream WHERE key = (SELECT stream FROM record WHERE idx = 40)", &["missing_stream_head"]),
    ("UPDATE stream SET closed = 1 - closed WHERE key = (SELECT stream FROM record WHERE idx = 40)", &["edited_stream_head"]),
    ("DELETE FROM lookup", &["missing_lookup"]),
    ("INSERT INTO lookup (key, idx) VALUES (randomblob(32), 40)", &["unknown_lookup"]),
    ("DELETE FROM due", &["missing_due"]),
    ("UPDATE due SET at_us = at_us + 1", &["edited_due"]),
    ("INSERT INTO due (key, at_us, work) VALUES (randomblob(32), 40, x'00')", &["unknown_due"]),
    ("DELETE FROM blob", &["missing_snapshot"]),
    ("UPDATE blob SET bytes = x'00'", &["edited_snapshot"]),
];

/// A world whose log is in a file, which nobody has open any more.
async fn world(folder: &Path) -> (World, PathBuf) {
    let path = folder.join("evidence.db");
    let mut world = World::over(Arc::new(SqliteBackend::create_new(&path).await.unwrap()));
    drop(filled(&world, 330).await);
    world.backend = Arc::new(MemoryBackend::new());
    drop(opened(&path).await);
    (world, path)
}

/// Opens the file as soon as the tasks of the log that was dropped let go of it.
async fn opened(path: &Path) -> SqliteBackend {
    loop {
        match SqliteBackend::open(path).await {
            Err(SqliteError::InUse { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

async fn verify(world: &World, path: &Path) -> FsckReport {
    let backend = opened(path).await;
    fsck(&backend, &config(world), &mut |_| {}).await.unwrap()
}

/// A copy of the file in which no trigger stands in the way.
fn copy(path: &Path, name: &str) -> (PathBuf, Connection) {
    let copied = path.with_file_name(name);
    let source = Connection::open(path).unwrap();
    source.execute("VACUUM INTO ?1", [copied.to_str().unwrap()]).unwrap();
    let connection = Connection::open(&copied).unwrap();
    let mut triggers = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let names: Vec<String> = triggers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(triggers);
    for name in names {
        connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    (copied, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (world, path) = world(folder.path()).await;
    let report = verify(&world, &path).await;
    assert!(report.is_clean(), "{report}");
    for (number, (damage, expected)) in DAMAGES.iter().enumerate() {
        let (damaged, connection) = copy(&path, &format!("damaged-{number}.db"));
        connection.execute_batch(damage).unwrap();
        connection.close().unwrap();
        let report = verify(&world, &damaged).await;
        assert_eq!(names(&report), *expected, "{damage}\n{report}");
        std::fs::remove_file(damaged).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_backup_and_a_merged_log_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, path) = world(folder.path()).await;
    let (backup, connection) = copy(&path, "backup.db");
    connection.close().unwrap();

    world.backend = Arc::new(opened(&path).await);
    let log = world.open().await.unwrap();
    publish(&log, begin(&log, 9000, 3)).await;
    drop(log);
    world.backend = Arc::new(MemoryBackend::new());
    assert!(verify(&world, &path).await.is_clean());
    assert_eq!(names(&verify(&world, &backup).await), ["rollback"]);

    let other_path = folder.path().join("other.db");
    let other = World::over(Arc::new(SqliteBackend::create_new(&other_path).await.unwrap()));
    let log = other.create_as("other.example/evidence").await;
    append(&log, begin(&log, 1, 3)).await;
    drop((log, other));
    drop(opened(&other_path).await);
    let (merged, connection) = copy(&path, "merged.db");
    connection.execute("ATTACH ?1 AS other", [other_path.to_str().unwrap()]).unwrap();
    // Its streams have the names of ours, so that they are filed under others.
    connection
        .execute_batch(
            "INSERT INTO record SELECT idx + (SELECT size FROM log), id, randomblob(32), n, leaf, header FROM other.record;
             INSERT INTO payload SELECT idx + (SELECT size FROM log), bytes FROM other.payload;
             UPDATE log SET size = size + (SELECT size FROM other.log)",
        )
        .unwrap();
    connection.close().unwrap();
    let report = verify(&world, &merged).await;
    assert_eq!(report.damages.iter().filter(|damage| damage.name() == "foreign_record").count(), 5, "{report}");
}
