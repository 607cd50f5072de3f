//! Connections of the baselines, and the store of the log.

use std::error::Error;
use std::sync::Arc;

use jit_store::{Backend, PostgresBackend, PostgresConfig};
use tokio_postgres::{Client, NoTls};

/// A connection.
pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The store, with its tables.
pub(crate) async fn store(url: &str, early_lock_release: bool) -> Result<Arc<dyn Backend>, Box<dyn Error>> {
    let config = PostgresConfig::new(url.parse()?).early_lock_release(early_lock_release);
    PostgresBackend::migrate(&config).await?;
    Ok(Arc::new(PostgresBackend::connect(config).await?))
}
