//! What the log says about itself: retention, holds, purges, predecessors.

use serde::{Deserialize, Serialize};

use crate::{
    event::Kind,
    origin::LogOrigin,
    record::StreamId,
    text::{Code, Line, RetentionClass},
    time::Timestamp,
};

/// How long records of one class are kept, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionTerms {
    /// The class.
    pub class: RetentionClass,
    /// At least so long, in seconds, from `case.closed` or the record's own `at`.
    pub min_s: u64,
    /// At most so long, in seconds, if limited.
    pub max_s: Option<u64>,
    /// The rule that asks for it.
    pub basis: Line,
    /// Who reviewed the choice.
    pub reviewer: Line,
}

/// The log that this one follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPredecessor {
    /// Its origin.
    pub origin: LogOrigin,
    /// Its last checkpoint, verbatim.
    pub checkpoint: String,
}

/// Which records a hold covers; evaluable on headers alone. Absent members select everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldSelector {
    /// These streams.
    pub streams: Option<Vec<StreamId>>,
    /// This class.
    pub class: Option<RetentionClass>,
    /// These kinds.
    pub kinds: Option<Vec<Kind>>,
    /// Recorded from here.
    pub from: Option<Timestamp>,
    /// Recorded before here.
    pub until: Option<Timestamp>,
}

/// A range of log indexes, start included, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexRange {
    /// The first index.
    pub start: u64,
    /// The first index no longer in it.
    pub end: u64,
}

/// An act that needs two persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetAct {
    /// What is to be done, `hold_release` for example.
    pub act: Code,
    /// On what, as the act names it.
    pub target: Line,
}
