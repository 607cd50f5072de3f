//! The conformance suite of [`jit_issuer::CredentialIssuer`].
//!
//! Whoever implements an issuer says how to get one with a target of its own, by an [`IssuerFactory`], and runs every case: as single
//! tests with [`issuer_conformance!`](crate::issuer_conformance), or all at once with [`run_all`].
//!
//! ```
//! use std::sync::Arc;
//! use async_trait::async_trait;
//! use jit_core::CredentialDescriptor;
//! use jit_issuer::CredentialIssuer;
//! use jit_testkit::{MemoryTarget, conformance::issuer::{IssuerFactory, run_case}};
//!
//! struct InMemory;
//!
//! #[async_trait]
//! impl IssuerFactory for InMemory {
//!     type Target = Arc<MemoryTarget>;
//!
//!     async fn fresh(&self) -> Arc<MemoryTarget> {
//!         Arc::new(MemoryTarget::new())
//!     }
//!
//!     async fn issuer(&self, target: &Arc<MemoryTarget>) -> Arc<dyn CredentialIssuer> {
//!         target.clone()
//!     }
//!
//!     async fn opens(&self, target: &Arc<MemoryTarget>, credential: &CredentialDescriptor, _: Option<&[u8]>) -> Option<bool> {
//!         Some(target.working().contains(&credential.id))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! run_case(InMemory, "what_is_taken_back_is_dead").await?;
//! # Ok::<(), jit_testkit::conformance::Failure>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it cannot see
//!
//! That a lost answer is called unknown (point 6): that needs a target that loses one. That a secret is not logged at the target
//! (point 5), and that the target enforces a window (point 3): the tests of an issuer ask the target.

mod cases;
mod dropping;
mod minting;
mod observing;
mod preparing;
mod revoking;
mod subject;

use std::sync::Arc;

use async_trait::async_trait;
use jit_core::CredentialDescriptor;
use jit_issuer::CredentialIssuer;

pub use super::{Failure, Failures};
use crate::{CaseSetup, conformance};
pub use cases::cases;
pub use subject::Subject;

/// Where the suite gets its issuers from. Everything in it panics if it cannot do what it is for.
#[async_trait]
pub trait IssuerFactory: Send + Sync + 'static {
    /// A target, and what must live as long as it: a server, a folder, a key.
    type Target: Send + Sync + 'static;

    /// A target at which nothing of this issuer exists.
    async fn fresh(&self) -> Self::Target;

    /// An issuer for the target. Asked for again, it is one as another process has it, after a crash of the first: of the same name
    /// and with the same keys, and knowing nothing that the first had in memory alone.
    async fn issuer(&self, target: &Self::Target) -> Arc<dyn CredentialIssuer>;

    /// What a case asks for, so that the issuer can serve it: requester, recipient, scope, window and conditions. Cases of different
    /// seeds must be different. The default is a person who may read a database for an hour.
    fn setup(&self, seed: u64) -> CaseSetup {
        CaseSetup { seed, ..CaseSetup::default() }
    }

    /// Whether the credential opens its target at this moment: asked of the target itself, by using it. `None` if the target cannot
    /// be asked here.
    async fn opens(
        &self,
        target: &Self::Target,
        credential: &CredentialDescriptor,
        secret: Option<&[u8]>,
    ) -> Option<bool>;
}

/// One case of the suite.
pub type Case = conformance::Case<Subject>;

impl Case {
    /// Runs the case at a target of its own, within a Tokio runtime with time enabled.
    ///
    /// # Errors
    /// [`Failure`] if the issuer does not do what the case expects, or takes minutes for it.
    pub async fn run<F: IssuerFactory>(&self, factory: Arc<F>) -> Result<(), Failure> {
        self.run_on(Subject::new(factory)).await
    }
}

/// Runs every case, within a Tokio runtime with time enabled.
///
/// # Errors
/// [`Failures`] names every case that failed.
pub async fn run_all(factory: impl IssuerFactory) -> Result<(), Failures> {
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
pub async fn run_case(factory: impl IssuerFactory, name: &str) -> Result<(), Failure> {
    let case = cases().into_iter().find(|case| case.name() == name);
    case.unwrap_or_else(|| panic!("no case {name}")).run(Arc::new(factory)).await
}

/// Runs the case of this name on a runtime of its own, and panics if it fails: what
/// [`issuer_conformance!`](crate::issuer_conformance) calls.
///
/// # Panics
/// If the case fails, or there is none of this name.
pub fn test_case(factory: impl IssuerFactory, name: &str) {
    conformance::block_on(run_case(factory, name));
}
