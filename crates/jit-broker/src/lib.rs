//! The lifecycle of access: submit, approve, issue, extend, end, expire, revoke, reconcile.
//!
//! A [`Broker`] composes a [`Log`](jit_store::Log), a policy and issuers. It holds no state of its own that matters: what a
//! case is, its records say, so any number of brokers share a log, and one that starts again loads nothing.
//!
//! # What it keeps
//!
//! - **Evidence before effect** (INV-01, INV-02): an issuer is called with a recorded intent, a secret leaves with the receipt of
//!   its `credential.issued`, and what cannot be recorded fails.
//! - **Unknown is a state** (INV-03): what times out is recorded as unknown and found out by [`Broker::sweep`], never tried blindly.
//! - **One effect** (INV-20): a command repeated under its idempotency key is answered from its first record.
//! - **Ends are shared** (INV-15, INV-21): a child cannot be issued while its parent ends, and an end says what still justifies
//!   the access, because both are decided under the same lock.
//!
//! # What it never does
//!
//! It contains no rule of the domain (those are in `jit-core`), no network server, and no way around a record.

mod acting;
mod alarming;
mod announcing;
mod approving;
mod barring;
mod broker;
mod config;
mod ending;
mod ending_many;
mod error;
mod evaluating;
mod extending;
mod issuing;
mod obliging;
mod observing;
mod opening;
mod ops;
mod publishing;
mod reconciling;
mod refusing;
mod reviewing;
mod revoking;
mod sharing;
mod submitting;
mod superseding;
mod sweeping;
mod turn;
mod unsettled;

pub use alarming::{Alarm, Irrevocable};
pub use announcing::{Announcer, Emergency, Unannounced};
pub use approving::{ApprovalAct, ApproverKeys, ListAnswer, ListApproval, Listed};
pub use barring::Bar;
pub use broker::{Broker, BrokerBuilder};
pub use config::{MAX_BACKDATE, Settings};
pub use ending_many::EndedMany;
pub use error::BrokerError;
pub use extending::Extension;
pub use issuing::Issued;
pub use obliging::{OverdueObligation, OverduePage};
pub use observing::RecordedUse;
pub use reconciling::Reconciled;
pub use reviewing::PolicyReviewError;
pub use submitting::Submitted;
pub use sweeping::Swept;
pub use unsettled::{Unsettled, UnsettledPage, UnsettledState};
