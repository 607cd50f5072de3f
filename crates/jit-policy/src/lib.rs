//! Policy evaluation that can be run again: snapshots, canonical input, decisions, obligations, replay.
//!
//! ```text
//! sources ──gather──▶ input ──┐
//!                             ├─▶ engine's snapshot ─▶ Evaluator ─▶ Decision    (recorded with the input)
//! files ────load────▶ snapshot┘
//! ```
//!
//! - Whatever must be fetched is fetched *before* ([`gather`]) and frozen into the [`CanonicalInput`]; evaluation itself is
//!   synchronous and pure, and the clock is part of the input.
//! - A [`PolicySnapshot`] says what it finds; the [`Evaluator`], which nobody else can implement, sorts it, merges obligations
//!   and fails closed, so a decision is the same bytes in every process and no engine can go around the rules (INV-12).
//! - [`replay()`] runs a recorded decision again and says exactly what came of it; a [`Backtest`] runs another policy over what
//!   was decided, and says what would change.
//! - An [`Explanation`] says why a policy answers as it does and what would help. A [`SnapshotDiff`] says rule by rule how two snapshots differ.
//!
//! It never reads a clock, does I/O inside an evaluation, or records an unsalted digest of an input.
//!
//! # Features
//!
//! `cedar`: the adapter for Cedar; `rego`: the adapter for Rego, by regorus. Off by default: the engines take minutes to compile.

mod ancestry;
mod backtest;
mod bundle;
#[cfg(feature = "cedar")]
pub mod cedar;
mod diff;
mod engine;
mod entity;
mod evaluator;
mod explain;
mod facts;
mod input;
mod lint;
mod provenance_facts;
#[cfg(feature = "rego")]
pub mod rego;
mod replay;
mod snapshot;

pub use ancestry::MAX_ANCESTRY;
pub use backtest::{Answer, Backtest, BacktestReport, Change, PastDecision};
pub use bundle::{
    BundleError, FilePath, MAX_BUNDLE_BYTES, MAX_FILE_BYTES, MAX_FILES, MAX_PATH_BYTES, PolicyBundle, Target,
};
pub use diff::{FileChange, RuleChange, SnapshotDiff};
pub use engine::{LoadError, PolicyEngine, PolicySnapshot, RawEvaluation, RawObligation, RuleForm};
pub use entity::{Attributes, Entity, EntityId, EntityUid, MAX_ENTITY_ID_BYTES, kind};
pub use evaluator::Evaluator;
pub use explain::{Explanation, Met, Part, Requirement, RuleExplanation, Suggestion};
pub use facts::{
    Cached, DirectoryError, DirectoryGroups, Eligibility, EntityDirectory, Fact, FactError, FactQuery, FactSource,
    Gathered, MAX_DIRECTORY_BYTES, MAX_TICKETS, NamedFact, OnCallSchedule, Reader, ReaderError, Reading, Risk,
    RiskScore, RiskScoring, SourceRead, Ticket, TicketState, Unavailable, gather,
};
pub use input::{
    CanonicalInput, InputContext, InputError, InputParts, InputSchema, Judging, MAX_ENTITIES, MAX_INPUT_BYTES,
};
pub use lint::{LintFinding, LintKind};
pub use provenance_facts::ProvenanceFacts;
pub use replay::{RecordedInput, ReplayVerdict, Replayer, replay};
pub use snapshot::{
    FILE_CONTEXT, FileEntry, MAX_DOCUMENT_BYTES, POLICY_CONTEXT, RuleEntry, SnapshotDocument, SnapshotManifest,
};
