//! What a verifier found, what it leaves open, and what is only claimed.

use std::fmt;

use jit_core::{FieldName, Finding, Kind, LeafHash, Line, PolicyDigest, RecordId, StreamId};
use jit_log::VerifiedCheckpoint;

use crate::{
    bundle::{Manifest, Scope},
    verify::reason::Reason,
};

/// The answer. There are three, and an empty bundle is never proved.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'a> {
    /// Everything in the bundle hangs under a trusted checkpoint and together.
    Proved,
    /// Something in it contradicts what was signed, or itself.
    Disproved(&'a Failure),
    /// Something is missing without which it proves nothing.
    NotProvable(&'a Failure),
}

impl Verdict<'_> {
    /// Whether it is [`Verdict::Proved`].
    #[must_use]
    pub fn is_proved(&self) -> bool {
        matches!(self, Self::Proved)
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved => f.write_str("Proved"),
            Self::Disproved(_) => f.write_str("Disproved"),
            Self::NotProvable(_) => f.write_str("NotProvable"),
        }
    }
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The position of its log in the bundle's list of logs.
    pub log: u32,
    /// Its index in that log, from 0.
    pub index: u64,
    /// Its id, if its header can be read.
    pub id: Option<RecordId>,
    /// Its kind, if its header can be read.
    pub kind: Option<Kind>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.index)?;
        match (&self.kind, &self.id) {
            (Some(kind), Some(id)) => write!(f, " ({kind}, id {id})"),
            _ => f.write_str(" (its header cannot be read)"),
        }
    }
}

/// One thing that does not verify.
#[derive(Debug)]
pub struct Failure {
    /// The record, if it is about one.
    pub place: Option<Place>,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.reason),
            None => fmt::Display::fmt(&self.reason, f),
        }
    }
}

/// How a field, or a record as the worst of its fields, stands (evidence format, section 4). Ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// There, and what the header commits to.
    Intact,
    /// Erased by an order that a record of the bundle states.
    Erased,
    /// Purged after its retention, as a record of the bundle states.
    Purged,
    /// There, though a record says that it was removed.
    NotYetErased,
    /// Left out of this copy; that the log still has it is a claim.
    Withheld,
    /// Absent, and whether lawfully cannot be told.
    NotProvable,
    /// Absent, and nothing explains it.
    Missing,
    /// Removed against the rules.
    Unauthorised,
    /// Removed while a hold forbade it.
    HoldViolation,
    /// Not what the header commits to, or not under the checkpoint.
    Tampered,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intact => "intact",
            Self::Erased => "erased",
            Self::Purged => "purged",
            Self::NotYetErased => "not yet erased",
            Self::Withheld => "withheld",
            Self::NotProvable => "not provable",
            Self::Missing => "missing",
            Self::Unauthorised => "removed without authority",
            Self::HoldViolation => "removed under a hold",
            Self::Tampered => "tampered with",
        })
    }
}

/// How one record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordReport {
    /// Which record.
    pub place: Place,
    /// Whether its header is proven to be under a checkpoint that is trusted.
    pub proven: bool,
    /// The worst standing of its fields.
    pub standing: Standing,
    /// The fields that are not intact.
    pub fields: Vec<(FieldName, Standing)>,
}

/// How much of a stream a bundle has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamState {
    /// From its first record to the one that closes it.
    Complete,
    /// From its first record to this number. There may be more: that there are not is not proven.
    OpenAt(u64),
    /// Records are missing in the middle, or at the beginning of a case.
    Gap,
    /// A selection of a stream of which no case needs the whole.
    Part,
}

impl fmt::Display for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::OpenAt(n) => write!(f, "open at {n}"),
            Self::Gap => f.write_str("with a gap"),
            Self::Part => f.write_str("in part"),
        }
    }
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Which stream.
    pub stream: StreamId,
    /// How much of it there is.
    pub state: StreamState,
    /// How many of its records there are.
    pub records: u64,
}

/// Something that a reader should know and that changes no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A kind that this version does not know.
    UnknownKind(Place),
    /// A reference that this version does not know.
    UnknownReference(Place, String),
    /// A payload field that this version does not know.
    UnknownField(Place, FieldName),
    /// A reference to a record that the bundle does not have.
    DanglingReference(Place, LeafHash),
    /// A part of the bundle that this version does not evaluate.
    NotEvaluated(&'static str),
    /// A snapshot that no decision of the bundle cites: nothing proves anything about it.
    UncitedPolicy(PolicyDigest),
    /// The case cannot be followed, because a record of it does not show enough.
    CaseNotFollowed(Place),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(place) => write!(f, "{place}: this version does not know the kind"),
            Self::UnknownReference(place, name) => {
                write!(f, "{place}: this version does not know the reference {name:?}")
            }
            Self::UnknownField(place, name) => write!(f, "{place}: this version does not know the field {name}"),
            Self::DanglingReference(place, leaf) => write!(f, "{place}: refers to a record that is not here, {leaf}"),
            Self::NotEvaluated(part) => write!(f, "the bundle has {part}, which this version does not evaluate"),
            Self::UncitedPolicy(digest) => write!(f, "no decision cites policy {digest}"),
            Self::CaseNotFollowed(place) => write!(f, "{place}: the case cannot be followed from here on"),
        }
    }
}

/// What only whoever exported the bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The question it is to answer.
    pub scope: Scope,
    /// What it is said to hold, who made it, when and with what.
    pub manifest: Manifest,
    /// What it is said not to prove.
    pub limits: Vec<Line>,
}

/// What a verifier found.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) failures: Vec<Failure>,
    pub(super) checkpoint: Option<VerifiedCheckpoint>,
    pub(super) records: Vec<RecordReport>,
    pub(super) streams: Vec<StreamReport>,
    pub(super) findings: Vec<Finding>,
    pub(super) notices: Vec<Notice>,
    pub(super) claims: Option<Claims>,
}

impl Report {
    /// The answer: the first failure that disproves, else the first that leaves something open, else proved.
    #[must_use]
    pub fn verdict(&self) -> Verdict<'_> {
        let disproves = self.failures.iter().find(|failure| failure.reason.disproves());
        match (disproves, self.failures.first()) {
            (Some(failure), _) => Verdict::Disproved(failure),
            (None, Some(failure)) => Verdict::NotProvable(failure),
            (None, None) => Verdict::Proved,
        }
    }

    /// Everything that does not verify: what is about the whole bundle first, then record by record, then mere claims.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// The checkpoint that everything hangs under, if it is trusted.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&VerifiedCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// The records, in the order of the bundle.
    #[must_use]
    pub fn records(&self) -> &[RecordReport] {
        &self.records
    }

    /// The streams that the records belong to.
    #[must_use]
    pub fn streams(&self) -> &[StreamReport] {
        &self.streams
    }

    /// What the invariants say about the records: violated, or not provable from a part of the log.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What a reader should know besides.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// What the bundle only claims.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    /// Puts what is about the whole bundle first, then what is about a record, then what only its claims contradict.
    pub(super) fn order(&mut self) {
        self.failures.sort_by_key(|failure| {
            let claimed = matches!(failure.reason, Reason::Damaged { .. } | Reason::Manifest(_));
            (claimed, failure.place.as_ref().map(|place| (place.log, place.index)))
        });
    }

    pub(super) fn fail(&mut self, place: Option<&Place>, reason: impl Into<Reason>) {
        self.failures.push(Failure { place: place.cloned(), reason: reason.into() });
    }
}
