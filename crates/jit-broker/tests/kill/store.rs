//! The database a log is in, as two processes reach it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jit_store::{Backend, PostgresBackend, PostgresConfig, SqliteBackend, SqliteError};
use jit_testkit::{TestDatabase, TestPostgres};
use tokio_postgres::{Config, NoTls, config::Host};

/// How long a database file may stay in use by a process that is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// A database, and the folder of everything else that outlives a process.
pub struct Store {
    pub kind: StoreKind,
    pub folder: tempfile::TempDir,
    _database: Option<TestDatabase>,
}

/// What a process is told of it.
#[derive(Clone)]
pub enum StoreKind {
    Sqlite,
    Postgres(String),
}

impl Store {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        SqliteBackend::create_new(file(folder.path())).await.unwrap();
        Self { kind: StoreKind::Sqlite, folder, _database: None }
    }

    pub async fn postgres(server: fn() -> &'static TestPostgres) -> Self {
        let database = server().database().await;
        PostgresBackend::migrate(&PostgresConfig::new(database.config.clone())).await.unwrap();
        let kind = StoreKind::Postgres(connection_string(&database.config));
        Self { kind, folder: tempfile::tempdir().unwrap(), _database: Some(database) }
    }
}

impl StoreKind {
    /// Waits for a process that had the file before.
    pub async fn open(&self, folder: &Path) -> Arc<dyn Backend> {
        match self {
            Self::Sqlite => {
                let until = Instant::now() + PATIENCE;
                loop {
                    match SqliteBackend::open(file(folder)).await {
                        Ok(backend) => return Arc::new(backend),
                        Err(SqliteError::InUse { .. }) if Instant::now() < until => {
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            Self::Postgres(connection) => {
                let config = PostgresConfig::new(connection.parse().unwrap());
                Arc::new(PostgresBackend::connect(config).await.unwrap())
            }
        }
    }

    /// Loses all leases, as a store may when it starts again: that on a membership lasts longer than any test.
    pub async fn forget_leases(&self) {
        let Self::Postgres(connection) = self else { return };
        let (client, driver) = tokio_postgres::connect(connection, NoTls).await.unwrap();
        tokio::spawn(driver);
        client.batch_execute("DELETE FROM jit.lease").await.unwrap();
    }

    pub fn to_text(&self) -> String {
        match self {
            Self::Sqlite => "sqlite".to_owned(),
            Self::Postgres(connection) => connection.clone(),
        }
    }

    pub fn from_text(text: &str) -> Self {
        if text == "sqlite" { Self::Sqlite } else { Self::Postgres(text.to_owned()) }
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("evidence.db")
}

/// How another process connects to a server of this one.
pub fn connection_string(config: &Config) -> String {
    let Host::Unix(folder) = &config.get_hosts()[0] else { panic!("this test needs a server of its own") };
    let (port, user) = (config.get_ports()[0], config.get_user().unwrap());
    format!("host={} port={port} user={user} dbname={}", folder.display(), config.get_dbname().unwrap())
}
