//! What a broken connection or server leaves behind: nothing acknowledged is lost, nothing is written twice, doubt is said.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod postgres_support;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jit_store::{AppendError, Backend, BackendError, Begin, CheckpointRow, HashBytes, PostgresBackend, PostgresConfig};
use jit_testkit::{Cut, CuttingProxy, TestPostgres};
use postgres_support::{append, as_it_is, batch, created, hash, migrated, record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn through(proxy: &CuttingProxy, config: &tokio_postgres::Config, early: bool) -> PostgresBackend {
    let config = PostgresConfig::new(proxy.config(config)).early_lock_release(early);
    PostgresBackend::connect(config).await.unwrap()
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_of_unknown_outcome() {
    for early in [false, true] {
        let (database, _) = created().await;
        let proxy = CuttingProxy::before(&database.tcp_config).await;
        let backend = through(&proxy, &database.tcp_config, early).await;
        let mut size = 1;
        for (cut, grows) in [(Cut::BeforeCommit, 0), (Cut::AfterCommit, 1), (Cut::BeforeCommit, 0)] {
            let transaction = backend.begin(Begin::default()).await.unwrap();
            let incarnation = transaction.locked().incarnation;
            proxy.cut_at_commit(cut);
            let error = transaction.commit(batch(size, 1)).await.unwrap_err();
            assert!(matches!(error, BackendError::OutcomeUnknown { .. }), "{error:?}");
            size += grows;
            let want = Begin { records: vec![record(1)], ..Begin::default() };
            let transaction = backend.begin(want).await.unwrap();
            assert_eq!(transaction.locked().head.size, size);
            assert_eq!(transaction.locked().known[0].is_some(), size > 1);
            assert_ne!(transaction.locked().incarnation, incarnation);
        }
        assert_eq!(append(&backend, 1).await, 3);
        assert_eq!(proxy.cuts(), 3);
    }
}

#[tokio::test]
async fn a_connection_cut_before_anything_was_committed_is_no_doubt() {
    let (database, _) = created().await;
    let proxy = CuttingProxy::before(&database.tcp_config).await;
    let backend = through(&proxy, &database.tcp_config, false).await;
    let transaction = backend.begin(Begin::default()).await.unwrap();
    proxy.sever();
    // Until the connection has noticed.
    let admin = database.connect().await;
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while admin.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(transaction.commit(batch(1, 1)).await.unwrap_err().is_retryable());
    assert_eq!(append(&backend, 1).await, 2);
}

#[tokio::test]
async fn a_checkpoint_whose_answer_is_lost_is_of_unknown_outcome() {
    let (database, _) = created().await;
    let proxy = CuttingProxy::before(&database.tcp_config).await;
    let backend = through(&proxy, &database.tcp_config, false).await;
    let row = |size| CheckpointRow { size, note: vec![1], frontier: vec![] };
    for (cut, kept) in [(Cut::BeforeCommit, None), (Cut::AfterCommit, Some(row(1)))] {
        proxy.cut_at_commit(cut);
        let error = backend.save_checkpoint(None, row(1)).await.unwrap_err();
        assert!(matches!(error, BackendError::OutcomeUnknown { .. }), "{error:?}");
        assert_eq!(backend.checkpoint(None).await.unwrap(), kept);
    }
}

#[tokio::test]
async fn a_log_finds_out_and_neither_loses_nor_doubles() {
    let database = migrated().await;
    let proxy = CuttingProxy::before(&database.tcp_config).await;
    let world = support::World::over(Arc::new(through(&proxy, &database.tcp_config, false).await));
    let log = world.create().await;
    support::publish(&log, support::begin(&log, 1, 3)).await;

    proxy.cut_at_commit(Cut::AfterCommit);
    let written = log.append(support::begin(&log, 2, 3)).await.unwrap();
    assert_eq!(written.records()[2].index(), support::FIRST + 5);
    proxy.cut_at_commit(Cut::BeforeCommit);
    let lost = support::begin(&log, 3, 3);
    log.append(lost.clone()).await.unwrap_err();
    support::publish(&log, lost).await;
    assert_eq!(proxy.cuts(), 2);
    let (size, root) = support::root_of_rows(&*world.backend).await;
    assert_eq!(size, support::FIRST + 9);
    assert_eq!(world.backend.head().await.unwrap().root, HashBytes::from(root));
}

#[tokio::test]
async fn what_was_acknowledged_survives_crashes_of_the_server() {
    for (early, crash) in [
        (false, TestPostgres::stop_immediate as fn(&TestPostgres)),
        (true, TestPostgres::stop_immediate),
        (true, TestPostgres::kill9),
    ] {
        let server = TestPostgres::durable();
        let database = server.database().await;
        let config = PostgresConfig::new(database.config.clone()).early_lock_release(early);
        PostgresBackend::migrate(&config).await.unwrap();
        let backend = Arc::new(PostgresBackend::connect(config.clone()).await.unwrap());
        backend.create(vec![], batch(0, 1)).await.unwrap();
        let acknowledged = Arc::new(AtomicU64::new(1));
        let appending = tokio::spawn({
            let (backend, acknowledged) = (Arc::clone(&backend), Arc::clone(&acknowledged));
            async move {
                loop {
                    let Ok(transaction) = backend.begin(Begin::default()).await else { break };
                    let size = transaction.locked().head.size;
                    let Ok(()) = transaction.commit(batch(size, 5)).await else { break };
                    acknowledged.store(size + 5, Ordering::SeqCst);
                }
            }
        });
        while acknowledged.load(Ordering::SeqCst) < 200 {
            tokio::task::yield_now().await;
        }
        crash(&server);
        appending.await.unwrap();
        server.start();
        let head = backend.head().await.unwrap();
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        assert!(head.size == acknowledged || head.size == acknowledged + 5, "{} of {acknowledged}", head.size);
        assert_eq!(head.root, hash(1000 + head.size));
        let again = append(&*backend, 1).await;
        assert_eq!(again, head.size + 1);
        assert_eq!(backend.scan_records(None, usize::MAX).await.unwrap().len() as u64, again);
    }
}

/// A commit of another process that did not wait for the disk, and has not reached it.
async fn commit_lazily(client: &tokio_postgres::Client) -> String {
    client
        .batch_execute("BEGIN; SET LOCAL synchronous_commit = off; UPDATE jit.head SET lazy = true; COMMIT")
        .await
        .unwrap();
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap();
    assert!(!flushed(client, row.get(0)).await, "the test needs a commit that waits in memory");
    row.get(0)
}

async fn flushed(client: &tokio_postgres::Client, up_to: &str) -> bool {
    let sql = format!("SELECT pg_current_wal_flush_lsn() >= '{up_to}'");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn nobody_is_told_of_a_head_that_is_not_on_disk() {
    let server = TestPostgres::with_settings(&["wal_writer_delay=10s", "autovacuum=off", "bgwriter_delay=10s"]);
    let database = server.database().await;
    PostgresBackend::migrate(&PostgresConfig::new(database.config.clone())).await.unwrap();
    for early in [false, true] {
        let config = PostgresConfig::new(database.config.clone()).early_lock_release(early);
        let backend = PostgresBackend::connect(config).await.unwrap();
        if !early {
            backend.create(vec![], batch(0, 1)).await.unwrap();
        }
        drop(backend.begin(Begin::default()).await.unwrap());
        let client = database.connect().await;
        let lazily = commit_lazily(&client).await;
        backend.head().await.unwrap();
        assert!(flushed(&client, &lazily).await, "the head was read");
        let lazily = commit_lazily(&client).await;
        drop(backend.begin(Begin { records: vec![record(9)], ..Begin::default() }).await.unwrap());
        assert!(!flushed(&client, &lazily).await, "nothing was told");
        drop(backend.begin(Begin { records: vec![record(0)], ..Begin::default() }).await.unwrap());
        assert!(flushed(&client, &lazily).await, "a record was found");
        let size = append(&backend, 1).await;
        let lazy: bool = client.query_one("SELECT lazy FROM jit.head", &[]).await.unwrap().get(0);
        assert_eq!(lazy, early);
        assert_eq!(backend.head().await.unwrap().size, size);
    }
}

#[tokio::test]
async fn two_batches_under_way_are_found_out_each() {
    let database = migrated().await;
    let proxy = CuttingProxy::before(&database.tcp_config).await;
    let world = support::World::over(Arc::new(through(&proxy, &database.tcp_config, false).await));
    let log = world.create().await;
    support::publish(&log, support::begin(&log, 0, 1)).await;
    let mut acknowledged = support::FIRST + 1;
    for (round, cut) in [Cut::AfterCommit, Cut::BeforeCommit].into_iter().cycle().take(6).enumerate() {
        proxy.cut_at_commit(cut);
        // Enough for two batches at a time.
        let requests: Vec<_> =
            (0..128).map(|number| support::begin(&log, 1 + round as u64 * 128 + number, 1)).collect();
        let appending: Vec<_> = requests
            .iter()
            .map(|request| {
                let (log, request) = (log.clone(), request.clone());
                tokio::spawn(async move { log.append(request).await })
            })
            .collect();
        for (request, appended) in requests.into_iter().zip(appending) {
            if let Err(error) = appended.await.unwrap() {
                assert!(!matches!(error, AppendError::Conflict { .. } | AppendError::Damaged(_)), "{error:?}");
                // Whatever it was, the same request is written once.
                support::append(&log, request).await;
            }
        }
        acknowledged += 128;
        let (size, root) = support::root_of_rows(&*world.backend).await;
        assert_eq!(size, acknowledged, "nothing is lost and nothing doubled");
        assert_eq!(world.backend.head().await.unwrap().root, HashBytes::from(root));
    }
    assert_eq!(proxy.cuts(), 6);
}

#[tokio::test]
async fn what_still_waits_in_the_server_is_not_written_after_a_reconnect() {
    let (database, _) = created().await;
    let proxy = CuttingProxy::before(&database.tcp_config).await;
    let backend = Arc::new(through(&proxy, &database.tcp_config, false).await);
    let assumed = as_it_is(&*backend).await;
    // Somebody else has the lock, so the statements wait in the server, whose client goes away.
    let mut holder = database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.execute("SELECT 1 FROM jit.head FOR UPDATE", &[]).await.unwrap();
    let writing = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.write_if(assumed, batch(1, 1)).await }
    });
    let watch = database.connect().await;
    let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let pid: i32 = loop {
        if let Some(row) = watch.query_opt(waiting, &[]).await.unwrap() {
            break row.get(0);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    proxy.sever();
    assert!(matches!(writing.await.unwrap(), Err(BackendError::OutcomeUnknown { .. })));
    // Begins as soon as the lock is free, and finds what will stay so.
    let beginning = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.begin(Begin::default()).await.map(|begun| begun.locked().head.size) }
    });
    // Although the lock is not free.
    let gone = async {
        while watch.query_opt("SELECT 1 FROM pg_stat_activity WHERE pid = $1", &[&pid]).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(4), gone).await.expect("the server works no more on what was sent");
    held.rollback().await.unwrap();
    assert_eq!(beginning.await.unwrap().unwrap(), 1, "nothing was written");
    assert_eq!(append(&*backend, 1).await, 2);
}

/// A way to the server on which the next `BEGIN`, and nothing else, is no command that the server knows.
async fn spoiling(server: &tokio_postgres::Config, spoil: Arc<AtomicBool>) -> tokio_postgres::Config {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = server.get_ports()[0];
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let ((mut asked, mut answered), (mut answers, mut asks)) = (near.into_split(), far.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut answered).await });
            let spoil = Arc::clone(&spoil);
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = asked.read(&mut bytes).await {
                    let begin = bytes[..read].windows(6).position(|window| window == b"BEGIN ");
                    if let Some(at) = begin.filter(|_| spoil.swap(false, Ordering::SeqCst)) {
                        bytes[at] = b'X';
                    }
                    asks.write_all(&bytes[..read]).await.unwrap();
                }
            });
        }
    });
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port);
    config.user(server.get_user().unwrap()).dbname(server.get_dbname().unwrap());
    if let Some(password) = server.get_password() {
        config.password(password);
    }
    config
}

#[tokio::test]
async fn a_session_whose_begin_failed_is_given_up() {
    let (database, direct) = created().await;
    let spoil = Arc::new(AtomicBool::new(false));
    let config = spoiling(&database.tcp_config, Arc::clone(&spoil)).await;
    let backend = PostgresBackend::connect(PostgresConfig::new(config)).await.unwrap();
    let assumed = as_it_is(&backend).await;
    spoil.store(true, Ordering::SeqCst);
    backend.begin(Begin::default()).await.unwrap_err();
    assert!(!spoil.load(Ordering::SeqCst), "nothing was spoilt");
    assert!(!backend.write_if(assumed, batch(1, 3)).await.unwrap(), "the session is given up");
    assert_eq!(direct.scan_records(None, usize::MAX).await.unwrap().len(), 1);
    assert_eq!(append(&backend, 3).await, 4);
}

#[tokio::test]
async fn a_process_ended_in_the_middle_leaves_its_outcome_unknown() {
    let (database, backend) = created().await;
    let backend = Arc::new(backend);
    let assumed = as_it_is(&*backend).await;
    let mut holder = database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.execute("SELECT 1 FROM jit.head FOR UPDATE", &[]).await.unwrap();
    let writing = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.write_if(assumed, batch(1, 1)).await }
    });
    let watch = database.connect().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while watch.query_opt(end, &[]).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = writing.await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::OutcomeUnknown { .. }), "{error:?}");
    held.rollback().await.unwrap();
    assert_eq!(append(&*backend, 1).await, 2);
}

/// Sends a signal to processes of a server on this machine.
fn signal(name: &str, pids: &[i32]) {
    let pids = pids.iter().map(i32::to_string);
    assert!(std::process::Command::new("kill").arg(name).args(pids).status().unwrap().success());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = TestPostgres::fast();
    assert!(server.data_folder().is_dir(), "its processes are of this machine");
    let database = server.database().await;
    let config = PostgresConfig::new(database.config.clone()).readers(1).statement_timeout(Duration::from_secs(1));
    PostgresBackend::migrate(&config).await.unwrap();
    let backend = Arc::new(PostgresBackend::connect(config).await.unwrap());
    backend.create(vec![], batch(0, 1)).await.unwrap();
    assert_eq!(backend.rows(0..9).await.unwrap().len(), 1);
    let assumed = as_it_is(&*backend).await;
    let watch = database.connect().await;
    let ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'jit-store'";
    // One that writes and one that reads, as soon as those are gone that came before.
    let frozen: Vec<i32> = loop {
        let found = watch.query(ours, &[]).await.unwrap();
        if found.len() == 2 {
            break found.iter().map(|row| row.get(0)).collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    signal("-STOP", &frozen);
    let checkpoint = CheckpointRow { size: 1, note: vec![], frontier: vec![] };
    let (written, saved) =
        tokio::join!(backend.write_if(assumed, batch(1, 1)), backend.save_checkpoint(None, checkpoint));
    assert!(matches!(written, Err(BackendError::OutcomeUnknown { .. })), "{written:?}");
    assert!(matches!(saved, Err(BackendError::Unavailable { .. })), "nothing to be saved was sent: {saved:?}");
    // Thaws while a new connection ends it.
    let beginning = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.begin(Begin::default()).await.map(|begun| begun.locked().head.size) }
    });
    let ending = "SELECT FROM pg_stat_activity \
                  WHERE state = 'active' AND query LIKE '%pg_terminate_backend%' AND pid <> pg_backend_pid()";
    while watch.query_opt(ending, &[]).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    signal("-CONT", &frozen);
    let size = beginning.await.unwrap().unwrap();
    assert_eq!(backend.rows(0..9).await.unwrap().len() as u64, size);
    assert_eq!(append(&*backend, 1).await, size + 1, "nothing of the old connection came after");
}

async fn wait_for_standby(client: &tokio_postgres::Client, name: &str) {
    client.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'")).await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    while client.query_one("SHOW synchronous_standby_names", &[]).await.unwrap().get::<_, &str>(0) != name {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nobody_is_told_of_a_record_that_the_standby_lacks() {
    let server = TestPostgres::durable();
    let database = server.database().await;
    let config = PostgresConfig::new(database.config.clone()).statement_timeout(Duration::from_millis(500));
    PostgresBackend::migrate(&config).await.unwrap();
    let backend = Arc::new(PostgresBackend::connect(config).await.unwrap());
    backend.create(vec![], batch(0, 1)).await.unwrap();
    let client = database.connect().await;
    wait_for_standby(&client, "ghost").await;
    let appending = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.begin(Begin::default()).await.unwrap().commit(batch(1, 1)).await }
    });
    // As a new connection ends the last one's process, which waits for the standby.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while client.query_opt(end, &[]).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = appending.await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::OutcomeUnknown { .. }), "{error:?}");
    let want = Begin { records: vec![record(1)], ..Begin::default() };
    let error = backend.begin(want.clone()).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable { .. }), "the primary alone has it: {error:?}");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0), 0, "nothing is left behind");
    wait_for_standby(&client, "").await;
    assert!(backend.begin(want).await.unwrap().locked().known[0].is_some());
}
