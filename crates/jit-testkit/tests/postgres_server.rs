//! The server that other tests rely on: databases of their own, crashes that lose nothing, and no process left behind.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

use jit_testkit::TestPostgres;
use tokio_postgres::NoTls;

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let server = TestPostgres::shared();
    let (one, other) = (server.database().await, server.database().await);
    assert_ne!(one.name(), other.name());
    one.connect().await.batch_execute("CREATE TABLE t (x int)").await.unwrap();
    other.connect().await.batch_execute("CREATE TABLE t (x int)").await.unwrap();
}

#[tokio::test]
async fn the_loopback_port_asks_for_the_password() {
    let database = TestPostgres::shared().database().await;
    let (client, connection) = database.tcp_config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.simple_query("SELECT 1").await.unwrap();
    let mut wrong = database.tcp_config.clone();
    wrong.password("wrong");
    assert!(wrong.connect(NoTls).await.is_err());
}

#[tokio::test]
async fn what_was_committed_survives_each_crash() {
    let server = TestPostgres::durable();
    let database = server.database().await;
    database.connect().await.batch_execute("CREATE TABLE t (x int)").await.unwrap();
    for crash in [TestPostgres::stop_immediate, TestPostgres::kill9] {
        let client = database.connect().await;
        client.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
        crash(&server);
        assert!(client.execute("INSERT INTO t VALUES (1)", &[]).await.is_err());
        server.start();
    }
    let count: i64 = database.connect().await.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 2);
}

#[tokio::test]
async fn nothing_remains_after_a_drop() {
    let server = TestPostgres::fast();
    let folder = server.data_folder();
    let pid = std::fs::read_to_string(folder.join("postmaster.pid")).unwrap().lines().next().unwrap().to_owned();
    drop(server);
    assert!(!folder.exists());
    assert!(!std::path::Path::new("/proc").join(pid).exists());
}
