//! The domain of just-in-time access, and the evidence it leaves: who asked for what and why, what the policy said, who approved
//! exactly that, what was issued, and how it ended, as records that a stranger can verify years later.
//!
//! Everything here is a function from values to values. A [`Case`] is folded from its records; [`Case::decide`] turns a command
//! into events or a typed [`Refusal`]; [`Case::record`] seals events as [`Record`]s that chain by leaf hash; [`check`] reads any
//! range of records and says which invariants they violate.
//!
//! ```text
//!  Command ──decide──▶ events ──record──▶ Record = header (leaf of the log) ─commits to─▶ payload of salted fields
//!     ▲                                     │
//!     └──────────── Case ◀─────apply────────┘             History of records ──check──▶ findings
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use jit_core::*;
//! # struct Still;
//! # impl Clock for Still {
//! #     fn now(&self) -> ClockReading {
//! #         let at = "2026-01-31T10:00:00.000000Z".parse().unwrap();
//! #         ClockReading { at, clock: ClockInfo { source: ClockSource::new("ntp").unwrap(), error_us: 0 } }
//! #     }
//! # }
//! # struct Zeros;
//! # impl Entropy for Zeros {
//! #     fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> { buffer.fill(0); Ok(()) }
//! # }
//! let (clock, log): (_, LogOrigin) = (Arc::new(Still), "log.example/prod".parse()?);
//! let recorder = Recorder::new(log.clone(), WriterId::v8([1; 16]), clock.clone(), Arc::new(Zeros));
//! let read = clock.now();
//!
//! let request = Request::builder(
//!     Principal::human(Identity::new("idp.example", "u-1042")?),
//!     Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?,
//!     Window::new(read.at, "2026-01-31T11:00:00.000000Z".parse()?)?,
//!     Justification::new("restore order 42, INC-7")?,
//!     RetentionClass::new("access")?,
//! )
//! .build()?;
//!
//! let mut case = Case::new(log, CaseId::v8([2; 16]));
//! let origin = StepOrigin::internal(request.retain().clone());
//! let context = Context {
//!     now: read.at,
//!     limits: RequestLimits::default(),
//!     entitlement: EntitlementId::v8([3; 16]),
//!     still_justified_by: Vec::new(),
//! };
//! let decided = case.decide(&Command::Submit(request), &context);
//! let records = case.record(&decided.steps, &origin, &recorder, &read)?;
//!
//! assert_eq!(case.phase(), Phase::Submitted);
//! assert_eq!(records[0].header().kind.as_str(), "request.submitted");
//! let history = History::part((0..).zip(&records));
//! assert!(check(&history, read.at).iter().all(|finding| !finding.is_violated()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it keeps
//!
//! - The invariants `INV-01` to `INV-22` ([`InvariantId`]): the state machine never makes records that violate one that records
//!   can show, and [`check`] finds those of anybody else.
//! - What must not be forgotten is an argument: an agent's owner and initiating event, a request's window and justification. What
//!   must not be zero is not: a quorum, a window.
//! - One value has one sequence of bytes ([`canonical`]); what is hashed is what is stored; each field has its own salt, so that
//!   erasing one leaves the proof of the others.
//! - No input makes it panic, and work grows with the size of the input.
//!
//! # What it never does
//!
//! It reads no clock and no file, waits for nothing, and knows no database, policy engine or credential issuer. Time and randomness
//! come in through [`Clock`] and [`Entropy`]. It never sees a secret: a credential is a [`CredentialDescriptor`].

pub mod canonical;
pub mod condition;

mod agent;
mod approval;
mod case;
mod credential;
mod decision;
mod demand;
mod digest;
mod ending;
mod event;
mod external;
mod governance;
mod holder_key;
mod ids;
mod index_key;
mod invariant;
mod justification;
mod obligation;
mod origin;
mod principal;
mod project;
mod provenance;
mod quorum;
mod record;
mod request;
mod scope;
mod source;
mod text;
mod time;
mod window;

pub use agent::*;
pub use approval::*;
pub use case::*;
pub use condition::ConditionError;
pub use credential::*;
pub use decision::*;
pub use demand::*;
pub use digest::*;
pub use ending::*;
pub use event::*;
pub use external::*;
pub use governance::*;
pub use holder_key::*;
pub use ids::*;
pub use index_key::*;
pub use invariant::{Finding, History, InvariantId, Observation, Reason, SWEEP_ALLOWANCE, Verdict, check};
pub use justification::*;
pub use obligation::*;
pub use origin::*;
pub use principal::*;
pub use project::*;
pub use provenance::*;
pub use quorum::*;
pub use record::*;
pub use request::*;
pub use scope::*;
pub use source::*;
pub use text::*;
pub use time::*;
pub use window::*;
