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

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use jit_store::Backend;

pub use cases::cases;
pub use subject::Subject;

/// How long one case may take; only one that hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

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
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    contract: &'static str,
    run: fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Case {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The points of the contract of [`Backend`] it tests, or the method whose documentation it tests.
    #[must_use]
    pub fn contract(&self) -> &'static str {
        self.contract
    }

    /// Runs the case on a database of its own, within a Tokio runtime with time enabled.
    ///
    /// # Errors
    /// [`Failure`] if the backend does not do what the case expects, or takes minutes for it.
    pub async fn run<F: BackendFactory>(&self, factory: Arc<F>) -> Result<(), Failure> {
        let case = *self;
        let mut task = tokio::spawn(async move { (case.run)(Subject::new(factory).await).await });
        let what = match tokio::time::timeout(PATIENCE, &mut task).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => match error.try_into_panic() {
                Ok(panic) => match panic.downcast::<String>() {
                    Ok(text) => *text,
                    Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".into(), |text| (*text).into()),
                },
                Err(error) => error.to_string(),
            },
            Err(_) => {
                task.abort();
                format!("hangs for {PATIENCE:?}")
            }
        };
        Err(Failure { case: self.name, contract: self.contract, what })
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("contract", &self.contract).finish_non_exhaustive()
    }
}

/// What a backend got wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{case} (contract: {contract}): {what}")]
pub struct Failure {
    /// Which case.
    pub case: &'static str,
    /// The points of the contract that it tests, or the method whose documentation it tests.
    pub contract: &'static str,
    /// What was expected and what came.
    pub what: String,
}

/// All that a backend got wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Failures(
    /// In the order of the suite, at least one.
    pub Vec<Failure>,
);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} cases failed", self.0.len(), cases().len())?;
        self.0.iter().try_for_each(|failure| write!(f, "\n- {failure}"))
    }
}

/// As [`fmt::Display`], for `unwrap`.
impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failures {}

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
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

/// Runs the case of this name, within a Tokio runtime with time enabled.
///
/// # Errors
/// [`Failure`] if it fails.
///
/// # Panics
/// If there is no case of this name.
pub async fn run_case(factory: impl BackendFactory, name: &str) -> Result<(), Failure> {
    let case = cases().into_iter().find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("no case {name}")).run(Arc::new(factory)).await
}

/// Runs the case of this name on a runtime of its own, and panics if it fails: what
/// [`backend_conformance!`](crate::backend_conformance) calls.
///
/// # Panics
/// If the case fails, or there is none of this name.
pub fn test_case(factory: impl BackendFactory, name: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if let Err(failure) = runtime.block_on(run_case(factory, name)) {
        panic!("{failure}");
    }
}
