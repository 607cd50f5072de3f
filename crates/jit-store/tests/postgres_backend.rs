//! What the PostgreSQL backend promises beyond the rows: the lock, the connection, the pages, the partitions.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod postgres_support;
mod support;

use std::sync::Arc;
use std::time::Duration;

use jit_store::{
    Backend, BackendError, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Holder, Known, LeaseKey, LeaseRequest,
    LookupKey, PostgresBackend, PostgresConfig, Projections, StreamState, TileKey, TileRow, TreeRead,
};
use postgres_support::{append, as_it_is, batch, connected, count, created, hash, migrated, record, row, stream};

#[tokio::test]
async fn a_log_is_appended_to_by_two_processes_and_opened_again() {
    let database = migrated().await;
    let world = support::World::over(Arc::new(connected(&database).await));
    let log = world.create().await;
    let receipt = support::publish(&log, support::begin(&log, 1, 300)).await;
    assert_eq!(receipt.recorded().len(), 300);
    let other = world.open_on(connected(&database).await).await.unwrap();
    support::publish(&other, support::begin(&other, 2, 3)).await;
    support::publish(&log, support::begin(&log, 3, 3)).await;
    drop((log, other));
    let again = world.open().await.unwrap();
    support::publish(&again, support::begin(&again, 4, 1)).await;
    let (size, root) = support::root_of_rows(&*world.backend).await;
    let head = world.backend.head().await.unwrap();
    assert_eq!((head.size, head.root), (size, root.into()));
    assert_eq!(size, support::FIRST + 307);
}

#[tokio::test]
async fn what_was_committed_is_read_back() {
    let (_database, backend) = created().await;
    let mut next = batch(1, 600);
    let key = |at: u8| LookupKey::from_bytes([at; 32]);
    let due = |at: u8, at_us| DueRow { key: DueKey::from_bytes([at; 32]), at_us, work: vec![at; 3] };
    next.projections.lookups = vec![(key(1), 3), (key(1), 5), (key(2), 4)];
    next.projections.due = vec![due(1, 20), due(2, 10), due(3, -5)];
    next.tiles = vec![
        TileRow { key: TileKey { level: 0, index: 0 }, hashes: vec![1; 8192], root: hash(1) },
        TileRow { key: TileKey { level: 0, index: 1 }, hashes: vec![2; 8192], root: hash(2) },
    ];
    next.blobs = vec![(BlobKey::from_bytes([9; 32]), vec![1, 2, 3])];
    next.rows[10].payload = None;
    next.head.frontier = vec![hash(7), hash(8)];
    let committed = next.clone();
    let transaction = backend.begin(Begin::default()).await.unwrap();
    transaction.commit(next).await.unwrap();

    assert_eq!(backend.head().await.unwrap(), committed.head);
    assert_eq!(backend.rows(1..601).await.unwrap(), committed.rows);
    assert_eq!(backend.rows(599..u64::MAX).await.unwrap(), committed.rows[598..]);
    assert_eq!(backend.stream_rows(stream(1), 590, 5).await.unwrap(), committed.rows[589..594]);
    assert_eq!(backend.stream_rows(stream(2), 0, 5).await.unwrap(), vec![]);
    assert_eq!(backend.stream_head(stream(1)).await.unwrap(), Some(committed.projections.streams[0].1));
    let found = backend.lookup(key(1), 4, 9).await.unwrap();
    assert_eq!(found.iter().map(|row| row.index).collect::<Vec<_>>(), [5]);
    assert_eq!(backend.lookup(key(1), 0, 1).await.unwrap(), committed.rows[2..3]);
    assert_eq!(backend.due(None, 20, 9).await.unwrap(), [due(3, -5), due(2, 10)]);
    assert_eq!(backend.due(Some((-5, DueKey::from_bytes([3; 32]))), 21, 1).await.unwrap(), [due(2, 10)]);
    assert_eq!(backend.scan_lookups(Some((key(1), 3)), 9).await.unwrap(), [(key(1), 5), (key(2), 4)]);
    assert_eq!(backend.scan_streams(None, 9).await.unwrap().len(), 1);
    assert_eq!(backend.scan_records(Some(record(598)), 9).await.unwrap(), [(record(599), 599), (record(600), 600)]);
    assert_eq!(backend.blob(BlobKey::from_bytes([9; 32])).await.unwrap(), Some(vec![1, 2, 3]));
    let tree = TreeRead {
        leaves: vec![598..700, 0..2],
        tiles: vec![TileKey { level: 0, index: 1 }, TileKey { level: 1, index: 0 }],
        roots: vec![(0, 1..5), (1, 0..1)],
    };
    let nodes = backend.tree(tree).await.unwrap();
    assert_eq!(nodes.leaves, [vec![hash(598), hash(599), hash(600)], vec![hash(0), hash(1)]]);
    assert_eq!(nodes.tiles, [Some(committed.tiles[1].clone()), None]);
    assert_eq!(nodes.roots, [vec![hash(2)], vec![]]);
}

#[tokio::test]
async fn what_begin_asks_for_comes_in_its_order() {
    let (_database, backend) = created().await;
    append(&backend, 4).await;
    let want =
        Begin { streams: vec![stream(3), stream(1)], records: vec![record(2), record(99), record(0)], leaves_from: 3 };
    let transaction = backend.begin(want).await.unwrap();
    let locked = transaction.locked();
    assert_eq!(locked.head.size, 5);
    assert_eq!(locked.streams[0], None);
    assert_eq!(locked.streams[1].unwrap().next, 5);
    let known = |index| Some(Known { index, leaf: hash(index) });
    assert_eq!(locked.known, [known(2), None, known(0)]);
    assert_eq!(locked.leaves, [hash(3), hash(4)]);
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_never_empty() {
    let (_database, backend) = created().await;
    let mut large = batch(1, 4);
    for row in &mut large.rows {
        row.payload = Some(vec![7; 5 << 20]);
    }
    let transaction = backend.begin(Begin::default()).await.unwrap();
    transaction.commit(large).await.unwrap();
    assert_eq!(backend.rows(1..5).await.unwrap().len(), 2, "what goes past 8 MiB ends the page");
    assert_eq!(backend.rows(4..5).await.unwrap().len(), 1);
    assert_eq!(backend.stream_rows(stream(1), 1, 4).await.unwrap().len(), 2);
    append(&backend, 2000).await;
    assert_eq!(backend.rows(5..3000).await.unwrap().len(), 1024);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_is_refused_whole() {
    let (database, backend) = created().await;
    let mut gap = batch(1, 2);
    gap.rows[1].index = 3;
    let mut doubled = batch(1, 2);
    doubled.rows[1].record = record(0);
    let mut twice = batch(1, 2);
    twice.rows[1].record = twice.rows[0].record;
    let mut size = batch(1, 2);
    size.head.size = 7;
    let mut short = batch(1, 1);
    short.tiles = vec![TileRow { key: TileKey { level: 0, index: 0 }, hashes: vec![1; 7], root: hash(1) }];
    for wrong in [gap, doubled, twice, size, batch(2, 1), short] {
        let transaction = backend.begin(Begin::default()).await.unwrap();
        let error = transaction.commit(wrong).await.unwrap_err();
        assert!(matches!(error, BackendError::Corrupt { .. }), "{error:?}");
    }
    assert_eq!(backend.head().await.unwrap().size, 1);
    let client = database.connect().await;
    for table in ["leaf", "payload", "record", "tile"] {
        let rows = if table == "tile" { 0 } else { 1 };
        assert_eq!(count(&client, &format!("jit.{table}")).await, rows, "{table}");
    }
    append(&backend, 1).await;
}

#[tokio::test]
async fn the_lock_is_freed_however_a_transaction_ends() {
    let (_database, backend) = created().await;
    let backend = Arc::new(backend);
    drop(backend.begin(Begin::default()).await.unwrap());
    let transaction = backend.begin(Begin::default()).await.unwrap();
    let waiting = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.begin(Begin::default()).await.map(drop) }
    });
    tokio::task::yield_now().await;
    waiting.abort();
    drop(transaction);
    // Dropped at every point where a commit waits.
    for polls in 0..4 {
        let transaction = backend.begin(Begin::default()).await.unwrap();
        let size = transaction.locked().head.size;
        let mut commit = transaction.commit(batch(size, 1));
        for _ in 0..polls {
            if futures_util::poll!(&mut commit).is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        drop(commit);
        let found = backend.begin(Begin::default()).await.unwrap().locked().head.size;
        assert!(found == size || found == size + 1);
        assert!(polls > 0 || found == size, "nothing was sent");
        assert_eq!(backend.rows(0..u64::MAX).await.unwrap().len() as u64, found);
    }
}

#[tokio::test]
async fn a_lock_that_stays_taken_is_a_typed_error() {
    let (database, backend) = created().await;
    let impatient = PostgresConfig::new(database.config.clone()).lock_timeout(Duration::from_millis(100));
    let other = PostgresBackend::connect(impatient).await.unwrap();
    let transaction = backend.begin(Begin::default()).await.unwrap();
    let error = other.begin(Begin::default()).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    transaction.commit(batch(1, 1)).await.unwrap();
    assert_eq!(append(&other, 1).await, 3);
}

#[tokio::test]
async fn what_takes_too_long_is_a_typed_error_and_writes_nothing() {
    let (database, _) = created().await;
    let brief = PostgresConfig::new(database.config.clone()).statement_timeout(Duration::from_millis(200));
    let backend = PostgresBackend::connect(brief).await.unwrap();
    let assumed = as_it_is(&backend).await;
    let mut holder = database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE jit.head, jit.leaf").await.unwrap();
    for answer in [
        backend.write_if(assumed, batch(1, 1)).await.map(drop),
        backend.begin(Begin::default()).await.map(drop),
        backend.rows(0..1).await.map(drop),
    ] {
        assert!(matches!(answer, Err(BackendError::Unavailable { .. })), "the server said that it gave up: {answer:?}");
    }
    held.rollback().await.unwrap();
    assert_eq!(append(&backend, 1).await, 2);
}

#[tokio::test]
async fn a_write_without_the_lock_waits_for_it_as_long_as_others() {
    let (database, _) = created().await;
    let impatient = PostgresConfig::new(database.config.clone()).lock_timeout(Duration::from_millis(100));
    let backend = PostgresBackend::connect(impatient).await.unwrap();
    let assumed = as_it_is(&backend).await;
    let mut holder = database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("SELECT FROM jit.head FOR UPDATE").await.unwrap();
    let error = backend.write_if(assumed, batch(1, 1)).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable { .. }), "{error:?}");
    held.rollback().await.unwrap();
    assert!(backend.write_if(as_it_is(&backend).await, batch(1, 1)).await.unwrap());
}

/// What a database may be told to do for everybody who connects.
const DEFAULTS: &[&str] = &[
    "search_path = elsewhere, pg_catalog",
    "default_transaction_isolation = serializable",
    "default_transaction_read_only = on",
    "synchronous_commit = off",
];

#[tokio::test]
async fn defaults_of_the_database_change_nothing() {
    let (database, _) = created().await;
    let owner = database.connect().await;
    // An equality by which nothing is equal, and a function that fails.
    owner
        .batch_execute(
            "CREATE SCHEMA elsewhere;
             CREATE FUNCTION elsewhere.differ(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
             CREATE OPERATOR elsewhere.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = elsewhere.differ);
             CREATE FUNCTION elsewhere.hashtext(text) RETURNS integer LANGUAGE sql AS 'SELECT 1 / 0'",
        )
        .await
        .unwrap();
    for default in DEFAULTS {
        owner.batch_execute(&format!("ALTER DATABASE {} SET {default}", database.name())).await.unwrap();
    }
    let backend = connected(&database).await;
    assert_eq!(append(&backend, 3).await, 4);
    assert!(backend.write_if(as_it_is(&backend).await, batch(4, 3)).await.unwrap());
    assert_eq!(backend.stream_rows(stream(1), 2, 9).await.unwrap().len(), 5);
    assert!(backend.save_checkpoint(None, CheckpointRow { size: 7, note: vec![], frontier: vec![] }).await.unwrap());
    let request = LeaseRequest { holder: Holder::from_bytes([1; 16]), ttl: Duration::from_secs(60) };
    let lease = backend.lease(LeaseKey::from_bytes([1; 32]), request).await.unwrap().unwrap();
    backend.release(lease).await.unwrap();
    backend.rebuild().await.unwrap().commit().await.unwrap();
    assert_eq!(PostgresBackend::migrate(&PostgresConfig::new(database.config.clone())).await.unwrap(), 0);
}

#[tokio::test]
async fn a_vanished_writer_frees_the_lock() {
    let (database, backend) = created().await;
    let brief = PostgresConfig::new(database.config.clone()).statement_timeout(Duration::from_millis(300));
    let gone = PostgresBackend::connect(brief).await.unwrap();
    let transaction = gone.begin(Begin::default()).await.unwrap();
    // It still holds the lock and says nothing any more.
    assert_eq!(append(&backend, 1).await, 2);
    assert!(transaction.commit(batch(1, 1)).await.unwrap_err().is_retryable());
    assert_eq!(append(&gone, 1).await, 3);
}

#[tokio::test]
async fn a_connection_that_was_cut_is_replaced_under_another_incarnation() {
    let (database, backend) = created().await;
    let before = backend.begin(Begin::default()).await.unwrap().locked().incarnation;
    assert_eq!(backend.begin(Begin::default()).await.unwrap().locked().incarnation, before);
    let held = backend.begin(Begin::default()).await.unwrap();
    let admin = database.connect().await;
    admin
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()", &[])
        .await
        .unwrap();
    let error = held.commit(batch(1, 1)).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable { .. } | BackendError::OutcomeUnknown { .. }), "{error:?}");
    assert_eq!(backend.head().await.unwrap().size, 1);
    let after = backend.begin(Begin::default()).await.unwrap().locked().incarnation;
    assert_ne!(after, before);
    assert_eq!(append(&backend, 1).await, 2);
}

#[tokio::test]
async fn two_processes_append_without_gaps() {
    let (database, one) = created().await;
    let other = connected(&database).await;
    let (one, other) = (Arc::new(one), Arc::new(other));
    let tasks = (0..8).map(|task| {
        let backend = if task % 2 == 0 { Arc::clone(&one) } else { Arc::clone(&other) };
        tokio::spawn(async move {
            for _ in 0..20 {
                append(&*backend, 3).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let rows = one.rows(0..1000).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), (0..481).collect::<Vec<_>>());
}

#[tokio::test]
async fn partitions_are_made_by_the_batch_that_needs_them() {
    let database = migrated().await;
    let client = database.connect().await;
    client.batch_execute("ALTER TABLE jit.log ALTER COLUMN partition_rows SET DEFAULT 10").await.unwrap();
    let backend = connected(&database).await;
    backend.create(vec![], batch(0, 1)).await.unwrap();
    append(&backend, 8).await;
    assert_eq!(count(&client, "pg_inherits WHERE inhparent = 'jit.leaf'::regclass").await, 1);
    let mut across = batch(9, 34);
    let key = LookupKey::from_bytes([5; 32]);
    across.projections.lookups = (9..43).map(|index| (key, index)).collect();
    let other = stream(2);
    across.rows[33].stream = other;
    across.rows[33].n = 0;
    across.projections.streams.push((other, StreamState { next: 1, leaf: hash(42), closed: false }));
    let transaction = backend.begin(Begin::default()).await.unwrap();
    transaction.commit(across).await.unwrap();
    assert_eq!(count(&client, "pg_inherits WHERE inhparent = 'jit.leaf'::regclass").await, 5);
    assert_eq!(count(&client, "ONLY jit.leaf").await, 0);
    let indexes = |rows: Vec<jit_store::Row>| rows.iter().map(|row| row.index).collect::<Vec<_>>();
    assert_eq!(indexes(backend.rows(5..99).await.unwrap()), (5..43).collect::<Vec<_>>());
    assert_eq!(indexes(backend.stream_rows(other, 0, 9).await.unwrap()), [42]);
    assert_eq!(indexes(backend.stream_rows(stream(1), 28, 4).await.unwrap()), [28, 29, 30, 31]);
    assert_eq!(indexes(backend.lookup(key, 17, 5).await.unwrap()), [17, 18, 19, 20, 21]);
    assert_eq!(backend.scan_lookups(Some((key, 38)), 3).await.unwrap(), [(key, 39), (key, 40), (key, 41)]);
    let bounds = |of: u8| {
        let client = &client;
        async move {
            let sql = "SELECT first_idx, last_idx FROM jit.stream_head WHERE stream = $1";
            let row = client.query_one(sql, &[&stream(of).as_bytes().as_slice()]).await.unwrap();
            (row.get::<_, i64>(0), row.get::<_, i64>(1))
        }
    };
    assert_eq!((bounds(1).await, bounds(2).await), ((0, 41), (42, 42)), "other partitions are not searched");
    let state = |of: u8, next| (stream(of), StreamState { next, leaf: hash(0), closed: false });
    let mut rebuild = backend.rebuild().await.unwrap();
    let streams = vec![state(1, 42), state(2, 1), state(3, 7)];
    rebuild.add(Projections { streams, ..Projections::default() }).await.unwrap();
    rebuild.commit().await.unwrap();
    assert_eq!((bounds(1).await, bounds(2).await, bounds(3).await), ((0, 41), (42, 42), (0, i64::MAX)));
    assert_eq!(indexes(backend.stream_rows(stream(1), 28, 4).await.unwrap()), [28, 29, 30, 31]);
}

#[tokio::test]
async fn leases_are_exclusive_on_the_database_clock() {
    let (database, backend) = created().await;
    let mut next = batch(1, 1);
    let due = |at: u8| DueRow { key: DueKey::from_bytes([at; 32]), at_us: i64::from(at), work: vec![at] };
    next.projections.due = (0..10).map(due).collect();
    let transaction = backend.begin(Begin::default()).await.unwrap();
    transaction.commit(next).await.unwrap();
    let other = connected(&database).await;
    let ask =
        |holder: u8, secs| LeaseRequest { holder: Holder::from_bytes([holder; 16]), ttl: Duration::from_secs(secs) };
    let (mine, theirs) = tokio::join!(backend.claim(9, 5, ask(1, 60)), other.claim(9, 5, ask(2, 60)));
    let (mine, theirs) = (mine.unwrap(), theirs.unwrap());
    assert!(mine.iter().all(|(row, _)| theirs.iter().all(|(other, _)| other.key != row.key)));
    assert!(mine.len() <= 5 && theirs.len() <= 5 && mine.len() + theirs.len() >= 5);
    let again = backend.claim(9, 9, ask(1, 60)).await.unwrap();
    assert_eq!(mine, again[..mine.len()], "renewed, with the same fences");
    let taken = again[0].1;
    assert!(other.lease(taken.key, ask(2, 60)).await.unwrap().is_none());
    backend.release(jit_store::Lease { holder: Holder::from_bytes([2; 16]), ..taken }).await.unwrap();
    assert!(other.lease(taken.key, ask(2, 60)).await.unwrap().is_none(), "only its holder gives it back");
    backend.release(taken).await.unwrap();
    let next = other.lease(taken.key, ask(2, u64::MAX)).await.unwrap().unwrap();
    assert!(next.fence > taken.fence);
    let client = database.connect().await;
    client.execute("UPDATE jit.lease SET until = clock_timestamp() - interval '1 hour'", &[]).await.unwrap();
    assert_eq!(backend.claim(i64::MAX, 99, ask(1, 0)).await.unwrap().len(), 10, "all expired");
    assert_eq!(other.claim(i64::MAX, 99, ask(2, 5)).await.unwrap().len(), 10, "a lease of no time expires at once");
}

#[tokio::test]
async fn of_checkpoints_saved_at_once_one_is_kept() {
    let (database, one) = created().await;
    let other = connected(&database).await;
    let row = |size, note: &str| CheckpointRow { size, note: note.into(), frontier: vec![hash(size)] };
    assert!(!one.save_checkpoint(Some(0), row(3, "three")).await.unwrap());
    assert!(one.save_checkpoint(None, row(3, "three")).await.unwrap());
    for size in 4..20 {
        let (one, other) = tokio::join!(
            one.save_checkpoint(Some(size - 1), row(size, "one")),
            other.save_checkpoint(Some(size - 1), row(size + 7, "other")),
        );
        assert!(one.unwrap() ^ other.unwrap());
        let client = database.connect().await;
        client.batch_execute("SET session_replication_role = replica").await.unwrap();
        client.execute("DELETE FROM jit.checkpoint WHERE size > 3", &[]).await.unwrap();
        client.execute("INSERT INTO jit.checkpoint VALUES ($1, '', '')", &[&(size as i64)]).await.unwrap();
    }
    assert!(!one.save_checkpoint(Some(19), row(19, "same")).await.unwrap());
    assert_eq!(one.checkpoint(Some(4)).await.unwrap().unwrap().size, 19);
    assert_eq!(one.checkpoint(Some(2)).await.unwrap().unwrap(), row(3, "three"));
    assert_eq!(one.checkpoint(Some(20)).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_but_create_creates() {
    let database = migrated().await;
    let backend = connected(&database).await;
    assert_eq!(backend.meta().await.unwrap(), None);
    assert!(matches!(backend.head().await, Err(BackendError::NotCreated)));
    assert!(matches!(backend.begin(Begin::default()).await, Err(BackendError::NotCreated)));
    assert!(matches!(backend.rows(0..1).await, Err(BackendError::NotCreated)));
    assert!(matches!(backend.rebuild().await, Err(BackendError::NotCreated)));
    let other = connected(&database).await;
    let (one, two) = tokio::join!(backend.create(vec![1], batch(0, 1)), other.create(vec![2], batch(0, 2)));
    let (Ok(()), Err(BackendError::AlreadyExists)) = (if one.is_ok() { (one, two) } else { (two, one) }) else {
        panic!("one of two creates the log");
    };
    assert_eq!(backend.rows(0..9).await.unwrap().len() as u64, backend.head().await.unwrap().size);
}

#[tokio::test]
async fn a_rebuild_replaces_the_projections_at_once() {
    let (_database, backend) = created().await;
    append(&backend, 3).await;
    let key = LookupKey::from_bytes([5; 32]);
    let state = StreamState { next: 4, leaf: hash(3), closed: true };
    let mut rebuild = backend.rebuild().await.unwrap();
    assert_eq!(rebuild.head().size, 4);
    rebuild.add(Projections { streams: vec![(stream(1), state)], ..Projections::default() }).await.unwrap();
    rebuild.add(Projections { lookups: vec![(key, 2)], ..Projections::default() }).await.unwrap();
    assert!(
        !backend.stream_head(stream(1)).await.unwrap().unwrap().closed,
        "until it is committed the old one is read"
    );
    drop(rebuild);
    assert!(backend.lookup(key, 0, 9).await.unwrap().is_empty());
    let mut rebuild = backend.rebuild().await.unwrap();
    rebuild.add(Projections { streams: vec![(stream(1), state)], ..Projections::default() }).await.unwrap();
    rebuild.add(Projections { lookups: vec![(key, 2)], ..Projections::default() }).await.unwrap();
    rebuild.commit().await.unwrap();
    assert_eq!(backend.stream_head(stream(1)).await.unwrap(), Some(state));
    assert_eq!(backend.lookup(key, 0, 9).await.unwrap()[0], row(2, 1, 2));
    assert_eq!(backend.stream_rows(stream(1), 3, 9).await.unwrap(), [row(3, 1, 3)]);

    let mut broken = backend.rebuild().await.unwrap();
    let twice = Projections { lookups: vec![(key, 2), (key, 2)], ..Projections::default() };
    broken.add(twice).await.unwrap_err();
    broken.commit().await.unwrap_err();
    assert_eq!(backend.stream_head(stream(1)).await.unwrap(), Some(state));
}
