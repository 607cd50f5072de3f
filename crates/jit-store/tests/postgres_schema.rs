//! The schema: migrated explicitly and once, refused when it is another, reached over TLS by users without further rights.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod postgres_support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jit_store::{
    Backend, BackendError, Begin, CheckpointRow, DueKey, DueRow, Holder, LeaseRequest, MIGRATIONS, PostgresBackend,
    PostgresConfig, PostgresError, SchemaName,
};
use jit_testkit::{TestDatabase, TestPostgres};
use postgres_support::{append, batch, connected, count, migrated};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;

fn config(database: &TestDatabase) -> PostgresConfig {
    PostgresConfig::new(database.config.clone())
}

#[tokio::test]
async fn migrating_again_or_at_once_does_it_once() {
    let database = TestPostgres::shared().database().await;
    let migrating = (0..6).map(|_| tokio::spawn(async_migrate(config(&database)))).collect::<Vec<_>>();
    let mut applied = Vec::new();
    for task in migrating {
        applied.push(task.await.unwrap().unwrap());
    }
    assert_eq!(applied.iter().sum::<usize>(), MIGRATIONS.len(), "{applied:?}");
    assert_eq!(PostgresBackend::migrate(&config(&database)).await.unwrap(), 0);
    append_first(&database).await;
    assert_eq!(PostgresBackend::migrate(&config(&database)).await.unwrap(), 0);
    assert_eq!(connected(&database).await.head().await.unwrap().size, 1);
}

async fn async_migrate(config: PostgresConfig) -> Result<usize, PostgresError> {
    PostgresBackend::migrate(&config).await
}

async fn append_first(database: &TestDatabase) {
    connected(database).await.create(vec![], batch(0, 1)).await.unwrap();
}

#[tokio::test]
async fn a_database_holds_a_log_in_each_schema() {
    let database = TestPostgres::shared().database().await;
    for name in ["jit", "jit_eu"] {
        let config = config(&database).schema(SchemaName::new(name).unwrap());
        PostgresBackend::migrate(&config).await.unwrap();
        let backend = PostgresBackend::connect(config).await.unwrap();
        assert_eq!(backend.meta().await.unwrap(), None);
        backend.create(name.into(), batch(0, 2)).await.unwrap();
        assert_eq!(backend.meta().await.unwrap(), Some(name.into()));
        append(&backend, 3).await;
    }
}

#[tokio::test]
async fn a_name_that_is_no_identifier_is_no_schema() {
    let long = "a".repeat(49);
    for name in ["", "Jit", "1jit", "jit-eu", "jit eu", "jit\"", "jit\\", "jít", "pg_jit", "{schema}", &long] {
        assert!(matches!(SchemaName::new(name), Err(PostgresError::SchemaName { .. })), "{name}");
    }
    assert_eq!(SchemaName::new(&long[..48]).unwrap().as_str().len(), 48);
}

#[tokio::test]
async fn another_schema_is_refused_and_left_alone() {
    let bare = TestPostgres::shared().database().await;
    let refused = PostgresBackend::connect(config(&bare)).await;
    assert!(matches!(refused, Err(PostgresError::NotMigrated { .. })), "{refused:?}");
    assert_eq!(
        count(&bare.connect().await, "pg_namespace WHERE nspname = 'jit'").await,
        0,
        "connecting never migrates"
    );

    let database = migrated().await;
    let client = database.connect().await;
    let last = MIGRATIONS.len() as i32;
    client.execute("DELETE FROM jit.migration WHERE version = $1", &[&last]).await.unwrap();
    let refused = PostgresBackend::connect(config(&database)).await;
    assert!(
        matches!(refused, Err(PostgresError::OlderSchema { found, needed, .. }) if (found, needed) == (last - 1, last))
    );

    let database = migrated().await;
    let client = database.connect().await;
    let next = "INSERT INTO jit.migration (version, name, digest) VALUES ($1, 'next', $2)";
    client.execute(next, &[&(last + 1), &vec![0_u8; 32]]).await.unwrap();
    for refused in
        [PostgresBackend::connect(config(&database)).await.map(drop), async_migrate(config(&database)).await.map(drop)]
    {
        assert!(
            matches!(refused, Err(PostgresError::NewerSchema { found, known, .. }) if (found, known) == (last + 1, last))
        );
    }

    let database = migrated().await;
    let client = database.connect().await;
    client.execute("UPDATE jit.migration SET digest = $1 WHERE version = 2", &[&vec![0_u8; 32]]).await.unwrap();
    for refused in
        [PostgresBackend::connect(config(&database)).await.map(drop), async_migrate(config(&database)).await.map(drop)]
    {
        assert!(matches!(refused, Err(PostgresError::AlteredMigration { version: 2, .. })), "{refused:?}");
    }
}

/// A user who may log in, a member of the group roles named.
async fn user(database: &TestDatabase, suffix: &str, options: &str) -> PostgresConfig {
    let name = format!("{}_{suffix}", database.name());
    database.connect().await.batch_execute(&format!("CREATE ROLE {name} LOGIN {options}")).await.unwrap();
    let mut connection = database.config.clone();
    connection.user(name);
    PostgresConfig::new(connection)
}

#[tokio::test]
async fn a_user_without_superuser_migrates_and_others_work() {
    let database = TestPostgres::shared().database().await;
    let schema = SchemaName::new("jit_plain").unwrap();
    let operator = user(&database, "operator", "CREATEROLE").await.schema(schema.clone());
    let admin = database.connect().await;
    admin.batch_execute(&format!("GRANT CREATE ON DATABASE {0} TO {0}_operator", database.name())).await.unwrap();
    PostgresBackend::migrate(&operator).await.unwrap();
    PostgresBackend::migrate(&operator).await.unwrap();
    admin.batch_execute("ALTER TABLE jit_plain.log ALTER COLUMN partition_rows SET DEFAULT 4").await.unwrap();

    let stranger = user(&database, "stranger", "").await.schema(schema.clone());
    let refused = PostgresBackend::connect(stranger).await;
    assert!(matches!(refused, Err(PostgresError::NotMigrated { .. })), "{refused:?}");

    let broker = user(&database, "broker", "IN ROLE jit_plain_writer").await.schema(schema.clone());
    let writer = PostgresBackend::connect(broker).await.unwrap();
    writer.create(vec![], batch(0, 1)).await.unwrap();
    let mut next = batch(1, 9);
    let due = DueRow { key: DueKey::from_bytes([1; 32]), at_us: 1, work: vec![] };
    next.projections.due = vec![due.clone()];
    writer.begin(Begin::default()).await.unwrap().commit(next).await.unwrap();
    let request = LeaseRequest { holder: Holder::from_bytes([1; 16]), ttl: Duration::from_secs(9) };
    let claimed = writer.claim(2, 9, request).await.unwrap();
    assert_eq!(claimed[0].0, due);
    writer.release(claimed[0].1).await.unwrap();
    let checkpoint = CheckpointRow { size: 10, note: vec![1], frontier: vec![] };
    assert!(writer.save_checkpoint(None, checkpoint).await.unwrap());
    let refused = writer.rebuild().await.unwrap_err();
    assert!(matches!(refused, BackendError::Refused { .. }), "{refused:?}");
    assert_eq!(append(&writer, 1).await, 11, "the lock is free again");

    let auditor = user(&database, "auditor", "IN ROLE jit_plain_auditor").await.schema(schema.clone());
    let auditor = PostgresBackend::connect(auditor).await.unwrap();
    assert_eq!(auditor.rows(0..99).await.unwrap().len(), 11);
    assert!(auditor.checkpoint(None).await.unwrap().is_some());
    assert!(matches!(auditor.begin(Begin::default()).await, Err(BackendError::Refused { .. })));
    assert!(matches!(auditor.claim(2, 9, request).await, Err(BackendError::Refused { .. })));

    let retention = user(&database, "retention", "IN ROLE jit_plain_retention").await.schema(schema);
    let retention = PostgresBackend::connect(retention).await.unwrap();
    assert_eq!(append(&retention, 20).await, 31);
    retention.rebuild().await.unwrap().commit().await.unwrap();
    assert_eq!(writer.stream_head(postgres_support::stream(1)).await.unwrap(), None);
}

fn trusting(authority: Option<&Path>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authority.map(|path| CertificateDer::from_pem_file(path).unwrap()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[tokio::test]
async fn tls_is_spoken_or_nothing() {
    let server = TestPostgres::fast();
    let database = server.database().await;
    PostgresBackend::migrate(&config(&database)).await.unwrap();
    let over = |connection: &Config, tls| PostgresConfig::new(connection.clone()).tls(tls);
    let plain = PostgresBackend::connect(over(&database.tcp_config, trusting(None))).await;
    assert!(matches!(plain, Err(PostgresError::Backend(_))), "the server speaks no TLS yet: {plain:?}");

    let authority = server.demand_tls().await;
    let in_clear = PostgresBackend::connect(PostgresConfig::new(database.tcp_config.clone())).await;
    assert!(matches!(in_clear, Err(PostgresError::Backend(_))), "the server demands TLS: {in_clear:?}");
    let stranger = PostgresBackend::connect(over(&database.tcp_config, trusting(None))).await;
    assert!(matches!(stranger, Err(PostgresError::Backend(_))), "nobody vouches for the certificate: {stranger:?}");

    let backend = PostgresBackend::connect(over(&database.tcp_config, trusting(Some(&authority)))).await.unwrap();
    backend.create(vec![], batch(0, 1)).await.unwrap();
    append(&backend, 3).await;
    assert_eq!(backend.rows(0..9).await.unwrap().len(), 4);
    let client = database.connect().await;
    let in_clear = "pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'jit-store' AND NOT ssl";
    assert_eq!(count(&client, in_clear).await, 0);
    let encrypted = "pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'jit-store' AND ssl";
    assert!(count(&client, encrypted).await >= 2);
}
