//! A database of one test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, Config, NoTls};

use super::cluster::TestPostgres;

/// A database that one test has to itself.
#[derive(Debug)]
pub struct TestDatabase {
    /// How to connect to it as superuser, over the Unix socket where the server is our own.
    pub config: Config,
    /// The same over TCP.
    pub tcp_config: Config,
    /// Where the database is to be dropped, if it would outlive the tests.
    drop_from: Option<Config>,
}

impl TestDatabase {
    pub(super) async fn create(server: &TestPostgres, template: &str) -> Self {
        let name = unique_name();
        let admin = connect(&server.config()).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.expect("a new database");
        let (mut config, mut tcp_config) = (server.config(), server.tcp_config());
        config.dbname(&name);
        tcp_config.dbname(&name);
        Self { config, tcp_config, drop_from: server.is_given().then(|| server.config()) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.config.get_dbname().expect("it was named when it was created")
    }

    /// A connection as superuser.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn connect(&self) -> Client {
        connect(&self.config).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(config) = self.drop_from.take() else { return };
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name());
        let dropping = async move { connect(&config).await.batch_execute(&sql).await };
        // A runtime cannot run inside another, and a drop cannot await.
        let dropper = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(dropping).map_err(std::io::Error::other)
        });
        let _ = dropper.join();
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("PostgreSQL takes connections");
    tokio::spawn(connection);
    client
}

fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("jit_test_{}_{}_{since:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
