//! The answers: what happened, who approved it and why, as evidence that a stranger verifies offline.
//!
//! ```text
//! Log ──BundleBuilder──▶ Bundle ──bytes──▶ verify(bytes, trust) ──▶ Report: Proved | Disproved | NotProvable
//!                                               └ Examination ──▶ Story    what happened, for people
//!                                                             └─▶ replay   every decision, made again
//! exported tiles ──scan_log──▶ Scan            a whole log, every stream, every number once
//! ```
//!
//! - [`BundleBuilder`] takes everything about one case out of a log, under one signed checkpoint.
//! - [`verify()`] needs the bytes and a trust policy (C2SP tlog-policy) and nothing else: no clock, network or store. It
//!   names the first record that fails, by index, id and kind, and says why.
//! - [`trace`] finds a case, and every other name of it, by any one name.
//! - [`Story`] tells the case, each line with the record that says so, and whether that is proven or only claimed.
//! - [`replay()`] makes every decision again; [`backtest_log`] and [`backtest_export`] run another policy over what was decided;
//!   [`scan_log`] verifies a whole exported log.
//! - [`PolicyHistory`] says who proposed, approved and published which policy, and when; [`Decisions::of_policy`] which decisions
//!   it made.
//! - [`SelfCheck`] follows a log while it grows, and reports breaks, grants without what must stand behind them, ends that
//!   nobody confirmed, missing policies, and how far it is behind.
//!
//! What it keeps to: an empty input never verifies. What is not signed for is a claim, and reports keep the two apart. Missing,
//! withheld, erased and purged are told apart by evidence, and accepted only when the caller says so. Hostile bytes cost time in
//! proportion to their length, and never panic.
//!
//! It never writes to the log, but to record that evidence was exported ([`BundleBuilder::record_export`]).
//!
//! # The verdict
//!
//! | verdict | means | exit of `jit-audit verify` |
//! |---|---|---|
//! | [`Verdict::Proved`] | all records hang under a trusted checkpoint, are what they commit to, and violate no invariant | 0 |
//! | [`Verdict::Disproved`] | something contradicts what was signed, or itself | 1 |
//! | [`Verdict::NotProvable`] | something is missing without which nothing is proved | 1 |
//!
//! # Features
//!
//! - `cli`: the `jit-audit` program, for people who do not write Rust. Implies `cedar`.
//! - `cedar`: the Cedar engine for [`replay()`].
//! - `fsck`: `jit-audit fsck`, which verifies a whole database, if `cli` is on as well.
//! - `witness`: a witness that auditors run themselves, also as `jit-audit witness` if `cli` is on as well.

mod build;
mod bundle;
mod decisions;
mod history;
mod replay;
mod scan;
mod self_check;
mod story;
mod trace;
mod usage;
mod verify;
#[cfg(feature = "witness")]
mod witness;

pub use build::{BuildError, BundleBuilder, RecordingError};
pub use bundle::{
    Bundle, BundleDigest, BundleDigestError, BundleError, BundleFormat, BundleLog, BundleRecord, Exclusion, MAX_BUNDLE,
    MEDIA_TYPE, Manifest, Scope, Tool,
};
pub use decisions::{BacktestError, Decisions, backtest_export, backtest_log, decisions_of};
pub use history::{PolicyAct, PolicyHistory, PolicyPublication, PolicyUse};
pub use replay::{Replayed, replay};
pub use scan::{Scan, ScanError, scan_log, scan_records};
pub use self_check::{Lag, Problem, SelfCheck, SelfCheckState, SelfChecked};
pub use story::{Basis, OpenMatter, Story, StoryLine};
pub use trace::{Traced, trace};
pub use usage::{CredentialUsage, ObservedAccess, Usage, UsageError, usage};
pub use verify::{
    AbsentPart, Claims, Examination, ExaminedRecord, Failure, Notice, Place, Reason, RecordReport, Report, Standing,
    StreamReport, StreamState, Verdict, VerifyOptions, verify,
};
#[cfg(feature = "witness")]
pub use witness::{AskError, StateError, WitnessServer, WitnessState};
