//! What the owner of the tables, who may disable every trigger, does to a log in PostgreSQL is named for what it is.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod postgres_support;
mod support;

use std::sync::Arc;

use jit_store::{FsckReport, MemoryBackend, fsck};
use jit_testkit::{TestDatabase, TestPostgres};
use postgres_support::{connected, migrated};
use support::{
    World, append, begin,
    lived::filled,
    publish,
    verified::{config, names},
};
use tokio_postgres::Client;

/// What is done to the tables, and all that is found.
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE leaf SET leaf = sha256(leaf) WHERE idx = 40", &["edited_leaf"]),
    ("UPDATE leaf SET leaf = sha256(leaf) WHERE idx = 260", &["edited_leaf"]),
    (
        "UPDATE leaf SET header = convert_to(replace(convert_from(header, 'UTF8'), '2026-03-02', '2026-03-03'), 'UTF8') WHERE idx = 40",
        &["edited_header"],
    ),
    (
        "UPDATE payload SET payload = convert_to(replace(convert_from(payload, 'UTF8'), 'requester-0', 'requester-9'), 'UTF8') WHERE idx = 2",
        &["edited_payload"],
    ),
    (
        "UPDATE payload SET payload = convert_to(replace(convert_from(payload, 'UTF8'), '\"salt\":\"0', '\"salt\":\"1'), 'UTF8')
         WHERE idx = (SELECT min(idx) FROM payload WHERE position('\"salt\":\"0'::bytea IN payload) > 0)",
        &["edited_payload"],
    ),
    ("DELETE FROM payload WHERE idx = 40", &["missing_payload"]),
    ("TRUNCATE payload", &["missing_payload"]),
    ("UPDATE tile SET hashes = set_byte(hashes, 77, get_byte(hashes, 77) # 1)", &["edited_tile"]),
    ("UPDATE tile SET root = sha256(root)", &["edited_tile_root"]),
    ("TRUNCATE tile", &["missing_tile"]),
    ("UPDATE head SET frontier = set_byte(frontier, 7, get_byte(frontier, 7) # 1)", &["frontier"]),
    ("UPDATE head SET root = sha256(root)", &["root"]),
    ("UPDATE log SET meta = '\\x00'", &["settings"]),
    (
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint ORDER BY size LIMIT 1) WHERE size = (SELECT max(size) FROM checkpoint)",
        &["checkpoint"],
    ),
    (
        "UPDATE checkpoint SET frontier = set_byte(frontier, 7, get_byte(frontier, 7) # 1) WHERE size = (SELECT max(size) FROM checkpoint)",
        &["checkpoint_frontier"],
    ),
    ("TRUNCATE checkpoint", &["missing_checkpoint"]),
    ("DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)", &["missing_checkpoint"]),
    (
        "CREATE TEMP TABLE gone AS SELECT idx, record FROM leaf WHERE stream = (SELECT stream FROM leaf WHERE idx = 40);
         DELETE FROM payload WHERE idx IN (SELECT idx FROM gone); DELETE FROM leaf WHERE idx IN (SELECT idx FROM gone)",
        &["deleted_stream", "missing_records"],
    ),
    (
        "DELETE FROM payload WHERE idx > 300; DELETE FROM leaf WHERE idx > 300",
        &["deleted_stream", "truncated_records", "truncated_stream"],
    ),
    ("TRUNCATE leaf", &["deleted_stream", "truncated_records"]),
    (
        "UPDATE leaf SET idx = 9999 WHERE idx = 40; UPDATE leaf SET idx = 40 WHERE idx = 41; UPDATE leaf SET idx = 41 WHERE idx = 9999;
         UPDATE payload SET idx = 9999 WHERE idx = 40; UPDATE payload SET idx = 40 WHERE idx = 41; UPDATE payload SET idx = 41 WHERE idx = 9999",
        &["swapped_records"],
    ),
    (
        "UPDATE leaf SET idx = 9999 WHERE idx = 40; UPDATE leaf SET idx = 40 WHERE idx = 260; UPDATE leaf SET idx = 260 WHERE idx = 9999;
         UPDATE payload SET idx = 9999 WHERE idx = 40; UPDATE payload SET idx = 40 WHERE idx = 260; UPDATE payload SET idx = 260 WHERE idx = 9999",
        &["swapped_records"],
    ),
    (
        "INSERT INTO leaf (idx, n, record, stream, leaf, header)
         SELECT (SELECT size FROM head) + 1000, 0, decode(md5('x'), 'hex'), sha256('x'), leaf, header FROM leaf WHERE idx = 40",
        &["surplus_records"],
    ),
    ("UPDATE leaf SET n = 99 WHERE idx = 40", &["edited_column"]),
    ("DELETE FROM record WHERE idx = 40", &["missing_id"]),
    ("TRUNCATE record", &["missing_id"]),
    ("INSERT INTO record VALUES (decode(md5('x'), 'hex'), 40)", &["unknown_id"]),
    ("TRUNCATE stream_head", &["missing_stream_head"]),
    ("DELETE FROM stream_head WHERE stream = (SELECT stream FROM leaf WHERE idx = 40)", &["missing_stream_head"]),
    ("UPDATE stream_head SET closed = NOT closed WHERE stream = (SELECT stream FROM leaf WHERE idx = 40)", &["edited_stream_head"]),
    (
        "UPDATE stream_head SET first_idx = first_idx + 1 WHERE stream = (SELECT stream FROM leaf WHERE idx = 2)",
        &["edited_stream_bounds"],
    ),
    (
        "UPDATE stream_head SET last_idx = last_idx - 1 WHERE stream = (SELECT stream FROM leaf WHERE idx = 2)",
        &["edited_stream_bounds"],
    ),
    ("UPDATE stream_head SET first_idx = 0 WHERE first_idx > 0", &["edited_stream_bounds"]),
    ("UPDATE stream_head SET first_idx = 9999, last_idx = 9999", &["edited_stream_bounds"]),
    ("TRUNCATE lookup", &["missing_lookup"]),
    ("INSERT INTO lookup (idx, key) VALUES (40, sha256('x'))", &["unknown_lookup"]),
    ("TRUNCATE due", &["missing_due"]),
    ("UPDATE due SET at_us = at_us + 1", &["edited_due"]),
    ("INSERT INTO due (at_us, key, work) VALUES (40, sha256('x'), 'x')", &["unknown_due"]),
    ("TRUNCATE blob", &["missing_snapshot"]),
    ("UPDATE blob SET bytes = 'x'", &["edited_snapshot"]),
];

/// A world whose log is in a database that nobody is connected to.
async fn world() -> (World, TestDatabase) {
    let database = migrated().await;
    let mut world = World::over(Arc::new(connected(&database).await));
    drop(filled(&world, 330).await);
    world.backend = Arc::new(MemoryBackend::new());
    (world, database)
}

/// A copy of a database, and its owner with all triggers out of the way.
async fn copy(database: &TestDatabase) -> (TestDatabase, Client) {
    idle(database).await;
    let copied = TestPostgres::shared().copy_of(database).await;
    let owner = copied.connect().await;
    let schema: String = owner
        .query_one("SELECT schemaname::text FROM pg_tables WHERE tablename = 'stream_head'", &[])
        .await
        .unwrap()
        .get(0);
    owner.batch_execute(&format!("SET search_path = {schema}")).await.unwrap();
    let tables = owner
        .query(
            "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relhastriggers",
            &[&schema],
        )
        .await
        .unwrap();
    for table in tables {
        let table: String = table.get(0);
        owner.batch_execute(&format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await.unwrap();
    }
    (copied, owner)
}

/// Waits until what was dropped has let go of the database.
async fn idle(database: &TestDatabase) {
    let (admin, connection) = TestPostgres::shared().config().connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let busy = "SELECT FROM pg_stat_activity WHERE datname = $1";
    while !admin.query(busy, &[&database.name()]).await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn verify(world: &World, database: &TestDatabase) -> FsckReport {
    let backend = connected(database).await;
    fsck(&backend, &config(world), &mut |_| {}).await.unwrap()
}

#[tokio::test]
async fn what_the_owner_does_is_named() {
    let (world, database) = world().await;
    let report = verify(&world, &database).await;
    assert!(report.is_clean(), "{report}");
    let mut wrong = Vec::new();
    for (damage, expected) in DAMAGES {
        let (damaged, owner) = copy(&database).await;
        owner.batch_execute(damage).await.unwrap();
        let report = verify(&world, &damaged).await;
        if names(&report) != *expected {
            wrong.push((damage, names(&report)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn an_older_backup_and_a_merged_log_are_named() {
    let (mut world, database) = world().await;
    let (backup, owner) = copy(&database).await;
    drop(owner);
    world.backend = Arc::new(connected(&database).await);
    let log = world.open().await.unwrap();
    publish(&log, begin(&log, 9000, 3)).await;
    drop(log);
    world.backend = Arc::new(MemoryBackend::new());
    assert!(verify(&world, &database).await.is_clean());
    assert_eq!(names(&verify(&world, &backup).await), ["rollback"]);

    let other_database = migrated().await;
    let other = World::over(Arc::new(connected(&other_database).await));
    let log = other.create_as("other.example/evidence").await;
    append(&log, begin(&log, 1, 3)).await;
    drop((log, other));
    let (merged, owner) = copy(&database).await;
    let (_unchanged, from) = copy(&other_database).await;
    let rows = "SELECT idx, n, record, stream, leaf, header, payload FROM leaf JOIN payload USING (idx)";
    for row in from.query(rows, &[]).await.unwrap() {
        let (index, n): (i64, i64) = (row.get(0), row.get(1));
        let bytes = |column: usize| -> Vec<u8> { row.get(column) };
        owner
            .execute(
                "INSERT INTO leaf (idx, n, record, stream, leaf, header) SELECT size + $1, $2, $3, $4, $5, $6 FROM head",
                &[&index, &n, &bytes(2), &bytes(3), &bytes(4), &bytes(5)],
            )
            .await
            .unwrap();
        owner.execute("INSERT INTO payload SELECT size + $1, $2 FROM head", &[&index, &bytes(6)]).await.unwrap();
    }
    owner.batch_execute("UPDATE head SET size = size + 5").await.unwrap();
    let report = verify(&world, &merged).await;
    assert_eq!(report.damages.iter().filter(|damage| damage.name() == "foreign_record").count(), 5, "{report}");
}
