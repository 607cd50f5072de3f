//! The backend on PostgreSQL does what every backend must do.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod postgres_support;

use std::sync::Arc;

use async_trait::async_trait;
use jit_store::Backend;
use jit_testkit::TestDatabase;
use jit_testkit::conformance::backend::BackendFactory;
use postgres_support::{connected, migrated};

struct OnPostgres;

#[async_trait]
impl BackendFactory for OnPostgres {
    type Guard = TestDatabase;

    async fn fresh(&self) -> (Arc<dyn Backend>, TestDatabase) {
        let database = migrated().await;
        (Arc::new(connected(&database).await), database)
    }

    async fn beside(&self, database: &TestDatabase) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(connected(database).await))
    }

    async fn reopen(&self, database: &TestDatabase) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(connected(database).await))
    }
}

jit_testkit::backend_conformance!(OnPostgres);

/// The same with the lock released before the commit is on disk.
mod early_lock_release {
    use jit_store::{PostgresBackend, PostgresConfig};

    use super::*;

    struct Early;

    #[async_trait]
    impl BackendFactory for Early {
        type Guard = TestDatabase;

        async fn fresh(&self) -> (Arc<dyn Backend>, TestDatabase) {
            let database = migrated().await;
            (self.reopen(&database).await.unwrap(), database)
        }

        async fn beside(&self, database: &TestDatabase) -> Option<Arc<dyn Backend>> {
            self.reopen(database).await
        }

        async fn reopen(&self, database: &TestDatabase) -> Option<Arc<dyn Backend>> {
            let config = PostgresConfig::new(database.config.clone()).early_lock_release(true);
            Some(Arc::new(PostgresBackend::connect(config).await.unwrap()))
        }
    }

    jit_testkit::backend_conformance!(Early);
}
