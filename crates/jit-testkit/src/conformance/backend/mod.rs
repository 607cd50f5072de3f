//! The conformance suite of [`jit_store::Backend`].
//!
//! Whoever implements a backend says how to get an empty one, by a [`BackendFactory`], and runs every case, each on a database of
//! its own: as single tests with [`backend_conformance!`](crate::backend_conformance), or all at once with [`run_all`].
//!
//! ```
//! use std::sync::Arc;
//! use async_trait::async_trait;
//! use jit_store::{Backend, MemoryBackend};
//! use jit_testkit::conformance::backend::{BackendFactory, run_case};
//!
//! struct InMemory;
//!
//! #[async_trait]
//! impl BackendFactory for InMemory {
//!     type Guard = MemoryBackend;
//!
//!     async fn fresh(&self) -> (Arc<dyn Backend>, MemoryBackend) {
//!         let backend = MemoryBackend::new();
//!         (Arc::new(backend.clone()), backend)
//!     }
//!
//!     async fn beside(&self, database: &MemoryBackend) -> Option<Arc<dyn Backend>> {
//!         Some(Arc::new(database.clone()))
//!     }
//!
//!     async fn reopen(&self, database: &MemoryBackend) -> Option<Arc<dyn Backend>> {
//!         Some(Arc::new(database.clone()))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! run_case(InMemory, "creating_twice_changes_nothing").await?;
//! # Ok::<(), jit_testkit::conformance::backend::Failure>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it cannot see
//!
//! That a commit survives a crash (point 3 of the contract; here only that it survives closing and opening), that a lost answer
//! is called unknown (point 4), and that two processes, not only two handles, exclude each other. Those need the database itself:
//! the tests of a backend show them.

mod assuming;
mod cases;
mod checkpointing;
mod committing;
mod creating;
mod dropping;
mod leasing;
mod locking;
mod model;
mod pages;
mod racing;
mod reading;
mod rebuilding;
mod scheduling;
mod subject;

use std::sync::Arc;

use async_trait::async_trait;
use jit_store::Backend;

pub use super::{Failure, Failures};
use crate::conformance;
pub use cases::cases;
pub use subject::Subject;

/// Where the suite gets its databases from. Everything in it panics if it cannot do what it is for.
#[async_trait]
pub trait BackendFactory: Send + Sync + 'static {
    /// What must live as long as the database: a folder, a server, a name to drop.
    type Guard: Send + Sync + 'static;

    /// An empty database in which no log was created, ready for [`Backend::create`]. Waiting for the log's lock must not
    /// time out before a minute.
    async fn fresh(&self) -> (Arc<dyn Backend>, Self::Guard);

    /// Another handle on the same database while the first one is in use, as another process would have it; `None` if the database
    /// allows one only.
    async fn beside(&self, guard: &Self::Guard) -> Option<Arc<dyn Backend>>;

    /// A new handle after all others were dropped; `None` if nothing outlives them.
    async fn reopen(&self, guard: &Self::Guard) -> Option<Arc<dyn Backend>>;
}

/// One case of the suite.
pub type Case = conformance::Case<Subject>;

impl Case {
    /// Runs the case on a database of its own, within a Tokio runtime with time enabled.
    ///
    /// # Errors
    /// [`Failure`] if the backend does not do what the case expects, or takes minutes for it.
    pub async fn run<F: BackendFactory>(&self, factory: Arc<F>) -> Result<(), Failure> {
        self.run_on(Subject::new(factory)).await
    }
}

/// Runs every case, within a Tokio runtime with time enabled.
///
/// # Errors
/// [`Failures`] names every case that failed.
pub async fn run_all(factory: impl BackendFactory) -> Result<(), Failures> {
    let factory = Arc::new(factory);
    let mut failures = Vec::new();
    for case in cases() {
        failures.extend(case.run(Arc::clone(&factory)).await.err());
    }
    Failures::of(failures, cases().len())
}

/// Runs the case of this name, within a Tokio runtime with time enabled.
///
/// # Errors
/// [`Failure`] if it fails.
///
/// # Panics
/// If there is no case of this name.
pub async fn run_case(factory: impl BackendFactory, name: &str) -> Result<(), Failure> {
    let case = cases().into_iter().find(|case| case.name() == name);
    case.unwrap_or_else(|| panic!("no case {name}")).run(Arc::new(factory)).await
}

/// Runs the case of this name on a runtime of its own, and panics if it fails: what
/// [`backend_conformance!`](crate::backend_conformance) calls.
///
/// # Panics
/// If the case fails, or there is none of this name.
pub fn test_case(factory: impl BackendFactory, name: &str) {
    conformance::block_on(run_case(factory, name));
}
