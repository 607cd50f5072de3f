//! The backend in memory does what every backend must do.

use std::sync::Arc;

use async_trait::async_trait;
use jit_store::{Backend, MemoryBackend};
use jit_testkit::conformance::backend::BackendFactory;

struct InMemory;

#[async_trait]
impl BackendFactory for InMemory {
    type Guard = MemoryBackend;

    async fn fresh(&self) -> (Arc<dyn Backend>, MemoryBackend) {
        let backend = MemoryBackend::new();
        (Arc::new(backend.clone()), backend)
    }

    async fn beside(&self, database: &MemoryBackend) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(database.clone()))
    }

    async fn reopen(&self, database: &MemoryBackend) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(database.clone()))
    }
}

jit_testkit::backend_conformance!(InMemory);
