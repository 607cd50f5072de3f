//! What the tests of the jit crates share: time, ids and entropy that repeat; records that are proven; faults where one wants
//! them; and instruments for the invariants that records alone cannot show.
//!
//! - [`ManualClock`], [`SeededEntropy`]: every run is the same run.
//! - [`ProvenLog`], [`RecordedCase`]: cases whose records are under signed checkpoints, without a store; authorisations for issuers.
//! - [`MemoryTarget`]: an issuer with a target in memory, that prepares, fails or stays silent as told.
//! - [`EffectCounter`]: how often a target was made to act, by credential (INV-20).
//! - [`Canary`]: whether a planted secret is in bytes, texts or files, in any usual spelling (INV-02, INV-17).
//! - [`conformance`]: what every implementation of [`Backend`](jit_store::Backend), of [`CredentialIssuer`](jit_issuer::CredentialIssuer) and of [`PolicyEngine`](jit_policy::PolicyEngine) must do, for ours and for any other.
//! - [`FailingBackend`]: a database that fails at the k-th call, before or after its effect.
//! - [`KillPoint`]: a process that is killed at the k-th moment at which something outside it changes.
//! - `load` (feature `load`): writers that append without pause, and what must hold afterwards.
//! - `TestPostgres` (feature `postgres`): a real PostgreSQL server, a database for each test; `CuttingProxy`: lost answers.
//! - `TestSlapd` (feature `ldap`): a real OpenLDAP server.
//!
//! A development dependency, used from `tests/` directories. Never part of a production build: everything here panics when it is
//! used wrongly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is set up wrongly must stop at once"
)]

mod canary;
mod clock;
pub mod conformance;
mod effects;
mod entropy;
mod failing_backend;
mod kill_point;
#[cfg(feature = "load")]
pub mod load;
#[cfg(feature = "postgres")]
mod postgres;
mod proven_log;
mod recorded_case;
#[cfg(feature = "ldap")]
mod slapd;
mod target;

pub use canary::Canary;
pub use clock::ManualClock;
pub use effects::{EffectCounter, Effects};
pub use entropy::SeededEntropy;
pub use failing_backend::{Calls, FailingBackend, Fault};
pub use kill_point::KillPoint;
#[cfg(feature = "postgres")]
pub use postgres::{Cut, CuttingProxy, TestDatabase, TestPostgres};
pub use proven_log::ProvenLog;
pub use recorded_case::{CaseSetup, RecordedCase};
#[cfg(feature = "ldap")]
pub use slapd::TestSlapd;
pub use target::{MemoryTarget, Step, Trouble};
