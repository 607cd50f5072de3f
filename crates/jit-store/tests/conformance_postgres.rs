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
