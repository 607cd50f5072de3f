//! The backend on a SQLite file does what every backend must do.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use jit_store::{Backend, SqliteBackend, SqliteError};
use jit_testkit::conformance::backend::BackendFactory;
use tempfile::TempDir;

struct OnSqlite;

#[async_trait]
impl BackendFactory for OnSqlite {
    type Guard = TempDir;

    async fn fresh(&self) -> (Arc<dyn Backend>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::create_new(folder.path().join("evidence.db")).await.unwrap();
        (Arc::new(backend), folder)
    }

    async fn beside(&self, _: &TempDir) -> Option<Arc<dyn Backend>> {
        None
    }

    async fn reopen(&self, folder: &TempDir) -> Option<Arc<dyn Backend>> {
        loop {
            match SqliteBackend::open(folder.path().join("evidence.db")).await {
                // Work under way keeps the file open for another moment.
                Err(SqliteError::InUse { .. }) => tokio::task::yield_now().await,
                opened => return Some(Arc::new(opened.unwrap())),
            }
        }
    }
}

jit_testkit::backend_conformance!(OnSqlite);
