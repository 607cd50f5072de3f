//! Databases with the schema in them, and batches that need no log to be made.
#![allow(dead_code, reason = "each test uses its part")]

use jit_store::{
    Assumed, Backend, Batch, Begin, HashBytes, Head, PostgresBackend, PostgresConfig, Projections, RecordKey, Row,
    StreamKey, StreamState,
};
use jit_testkit::{TestDatabase, TestPostgres};
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// A database with the schema and no log, on the server that the tests of this process share.
pub(crate) async fn migrated() -> TestDatabase {
    static TEMPLATE: OnceCell<TestDatabase> = OnceCell::const_new();
    let server = TestPostgres::shared();
    let template = TEMPLATE
        .get_or_init(|| async {
            let database = server.database().await;
            PostgresBackend::migrate(&PostgresConfig::new(database.config.clone())).await.unwrap();
            database
        })
        .await;
    // What migrated may still be leaving.
    let admin = server.config().connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(admin.1);
    while let Ok(rows) = admin.0.query("SELECT FROM pg_stat_activity WHERE datname = $1", &[&template.name()]).await {
        if rows.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.copy_of(template).await
}

pub(crate) async fn connected(database: &TestDatabase) -> PostgresBackend {
    PostgresBackend::connect(PostgresConfig::new(database.config.clone())).await.unwrap()
}

/// A backend over a log of one record.
pub(crate) async fn created() -> (TestDatabase, PostgresBackend) {
    let database = migrated().await;
    let backend = connected(&database).await;
    backend.create(b"meta".to_vec(), batch(0, 1)).await.unwrap();
    (database, backend)
}

/// So many records from an index on, in one stream.
pub(crate) fn batch(from: u64, count: u64) -> Batch {
    let size = from + count;
    let rows: Vec<Row> = (from..size).map(|index| row(index, 1, index)).collect();
    let state = StreamState { next: size, leaf: hash(size), closed: false };
    Batch {
        head: Head { size, root: hash(1000 + size), frontier: vec![] },
        rows,
        tiles: vec![],
        projections: Projections { streams: vec![(stream(1), state)], ..Projections::default() },
        blobs: vec![],
    }
}

pub(crate) fn row(index: u64, of: u8, n: u64) -> Row {
    Row {
        index,
        record: record(index),
        stream: stream(of),
        n,
        leaf: hash(index),
        header: format!("header {index}").into_bytes(),
        payload: Some(format!("payload {index}").into_bytes()),
    }
}

pub(crate) fn record(index: u64) -> RecordKey {
    RecordKey::from_bytes((u128::from(index) + 1).to_be_bytes())
}

pub(crate) fn stream(of: u8) -> StreamKey {
    StreamKey::from_bytes([of; 32])
}

pub(crate) fn hash(of: u64) -> HashBytes {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&of.to_be_bytes());
    HashBytes::from_bytes(bytes)
}

/// Appends so many records to the end.
pub(crate) async fn append(backend: &dyn Backend, count: u64) -> u64 {
    let transaction = backend.begin(Begin::default()).await.unwrap();
    let size = transaction.locked().head.size;
    transaction.commit(batch(size, count)).await.unwrap();
    size + count
}

/// What a writer that has just held the lock assumes of the log.
pub(crate) async fn as_it_is(backend: &dyn Backend) -> Assumed {
    let transaction = backend.begin(Begin::default()).await.unwrap();
    let locked = transaction.locked();
    Assumed { incarnation: locked.incarnation, head: locked.head.clone(), streams: vec![] }
}

/// How many rows a query counts.
pub(crate) async fn count(client: &Client, of: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {of}"), &[]).await.unwrap().get(0)
}
