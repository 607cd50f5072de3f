//! Why a bundle, or a record of it, does not verify.

use jit_core::{
    ApplyError, EventError, FieldName, InvariantId, LogOrigin, ParseRecordError, PolicyDigest, RecordedError, StreamId,
    canonical::CanonicalError,
};
use jit_log::{NoteError, TrustError};
use jit_policy::BundleError as SnapshotError;

use crate::bundle::{BundleDigest, BundleError};

/// Why something is disproved or not provable. [`Reason::disproves`] says which of the two.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes are not a bundle of version 1.
    #[error("not a bundle of version 1: {0}")]
    NotABundle(#[from] BundleError),
    /// The bundle is not what its own digest says: damaged on its way, or changed without care.
    #[error("the file is damaged: it states the digest {stated}, and has {computed}")]
    Damaged {
        /// What it states.
        stated: BundleDigest,
        /// What it has.
        computed: BundleDigest,
    },
    /// There is no record, so nothing is answered.
    #[error("the bundle has no records, and nothing proves nothing")]
    Empty,
    /// Nobody said whose signatures to believe.
    #[error("no trust policy was given")]
    NoTrustPolicy,
    /// This version verifies bundles of one log.
    #[error("the bundle has {0} logs, and this version verifies bundles of one")]
    Logs(usize),
    /// The checkpoint is not accepted.
    #[error("the checkpoint is not accepted: {0}")]
    Checkpoint(TrustError),
    /// The checkpoint is of another log than the bundle says.
    #[error("the checkpoint is of log {signed}, and the bundle says {stated}")]
    Origin {
        /// What the checkpoint says.
        signed: String,
        /// What the bundle says.
        stated: LogOrigin,
    },
    /// The record names a log that the bundle does not have.
    #[error("the record names log number {0}, which the bundle does not have")]
    NoSuchLog(u32),
    /// Records do not ascend by index.
    #[error("the records do not ascend by index")]
    Order,
    /// The header is not canonical, has an unknown key, or a value out of shape; or the record is not under the checkpoint.
    #[error(transparent)]
    Record(#[from] RecordedError),
    /// A hash of the inclusion proof is malformed, or there are too many.
    #[error("the inclusion proof is malformed")]
    Proof,
    /// The payload is not what the header commits to, or malformed.
    #[error("the record does not hang together: {0}")]
    Payload(ParseRecordError),
    /// The record has no payload and names no purge, or has a payload and names one.
    #[error("the record has neither exactly a payload nor exactly a purge")]
    PayloadShape,
    /// The kind may not stand in this stream.
    #[error("a record of kind {kind} may not stand in stream {stream}")]
    Stream {
        /// The kind.
        kind: String,
        /// The stream.
        stream: StreamId,
    },
    /// Another record of the bundle has the same id.
    #[error("another record has the same id")]
    DuplicateId,
    /// Two records of a stream have the same number.
    #[error("stream {stream} has two records with number {n}")]
    Fork {
        /// The stream.
        stream: StreamId,
        /// The number.
        n: u64,
    },
    /// The record does not name the one before it as its predecessor.
    #[error("the record does not follow record {} of stream {stream}", n.saturating_sub(1))]
    Chain {
        /// The stream.
        stream: StreamId,
        /// The record's number.
        n: u64,
    },
    /// The record's clock stands before that of its predecessor, beyond the errors that both declare (INV-14).
    #[error("record {n} of stream {stream} was made before its predecessor")]
    Clock {
        /// The stream.
        stream: StreamId,
        /// The record's number.
        n: u64,
    },
    /// A record follows the one that closed its stream.
    #[error("record {n} of stream {stream} comes after its stream was closed")]
    Closed {
        /// The stream.
        stream: StreamId,
        /// The record's number.
        n: u64,
    },
    /// Records of a case are missing before this one.
    #[error("stream {stream} goes from {} to {n}: records are missing", expected.checked_sub(1).map_or("nothing".to_owned(), |n| n.to_string()))]
    Gap {
        /// The stream.
        stream: StreamId,
        /// The number expected.
        expected: u64,
        /// The number found.
        n: u64,
    },
    /// The last record of a case counts another number of records than there are.
    #[error("the case was closed with {stated} records, and has {found}")]
    Count {
        /// What `case.closed` says.
        stated: u64,
        /// How many there are.
        found: u64,
    },
    /// The case that the bundle is about has no record in it.
    #[error("the bundle has no record of {0}, which it is about")]
    ScopeAbsent(StreamId),
    /// The record does not continue its case.
    #[error("the record does not continue its case: {0}")]
    Case(ApplyError),
    /// What happened cannot be read.
    #[error("what happened cannot be read: {0}")]
    Event(EventError),
    /// The records violate an invariant.
    #[error("{invariant} is violated: {detail}")]
    Invariant {
        /// Which one.
        invariant: InvariantId,
        /// How.
        detail: &'static str,
    },
    /// The snapshot that a decision cites is not in the bundle.
    #[error("policy {0}, which the decision cites, is not in the bundle")]
    PolicyAbsent(PolicyDigest),
    /// The snapshot under this digest is malformed, or a file of it is not what its manifest says.
    #[error("policy {digest} is not what its digest says: {source}")]
    PolicyMalformed {
        /// The digest.
        digest: PolicyDigest,
        /// What is wrong.
        source: SnapshotError,
    },
    /// The snapshot under this digest has another one.
    #[error("what stands as policy {stated} is policy {computed}")]
    PolicyOther {
        /// Where it stands.
        stated: PolicyDigest,
        /// What it is.
        computed: PolicyDigest,
    },
    /// No record before the decision publishes the snapshot.
    #[error("no record of the bundle published policy {0} before the decision")]
    PolicyUnpublished(PolicyDigest),
    /// Something is absent, and nothing in the bundle explains it.
    #[error("{0} is missing, and nothing explains it")]
    Missing(AbsentPart),
    /// A field is withheld, and the caller did not accept that.
    #[error("{0} is withheld, which was not accepted")]
    Withheld(AbsentPart),
    /// A field was erased or its payload purged, and the caller did not accept that.
    #[error("{0} is lawfully gone, which was not accepted")]
    Gone(AbsentPart),
    /// A field was erased, or a payload purged, against the rules.
    #[error("{part} was removed against the rules: {rule}")]
    Unauthorised {
        /// What.
        part: AbsentPart,
        /// The rule.
        rule: &'static str,
    },
    /// A field was erased, or a payload purged, while a hold forbade it.
    #[error("{0} was removed under a hold")]
    HoldViolation(AbsentPart),
    /// Whether an absence is lawful cannot be told.
    #[error("whether {part} is lawfully absent cannot be told: {why}")]
    AbsenceUnknown {
        /// What.
        part: AbsentPart,
        /// Why not: `hold_state` or `unknown_kind`.
        why: &'static str,
    },
    /// The manifest says something else than the records.
    #[error("the manifest states another {0} than the records have")]
    Manifest(&'static str),
    /// A value nests deeper than the canonical form allows.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Reason {
    /// Whether what is in the bundle contradicts what was signed, or itself. Otherwise it is only not provable.
    #[must_use]
    pub fn disproves(&self) -> bool {
        match self {
            Self::Checkpoint(TrustError::Note(NoteError::BadSignature { .. }))
            | Self::Origin { .. }
            | Self::Record(_)
            | Self::Proof
            | Self::Payload(_)
            | Self::Stream { .. }
            | Self::DuplicateId
            | Self::Fork { .. }
            | Self::Chain { .. }
            | Self::Clock { .. }
            | Self::Closed { .. }
            | Self::Count { .. }
            | Self::Case(_)
            | Self::Invariant { .. }
            | Self::PolicyMalformed { .. }
            | Self::PolicyOther { .. }
            | Self::Unauthorised { .. }
            | Self::HoldViolation(_) => true,
            Self::NotABundle(_)
            | Self::Damaged { .. }
            | Self::Empty
            | Self::NoTrustPolicy
            | Self::Logs(_)
            | Self::Checkpoint(_)
            | Self::NoSuchLog(_)
            | Self::Order
            | Self::PayloadShape
            | Self::Gap { .. }
            | Self::ScopeAbsent(_)
            | Self::Event(_)
            | Self::PolicyAbsent(_)
            | Self::PolicyUnpublished(_)
            | Self::Missing(_)
            | Self::Withheld(_)
            | Self::Gone(_)
            | Self::AbsenceUnknown { .. }
            | Self::Manifest(_)
            | Self::Canonical(_) => false,
        }
    }
}

/// What is absent of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbsentPart {
    /// One field.
    Field(FieldName),
    /// The whole payload.
    Payload,
}

impl std::fmt::Display for AbsentPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(name) => write!(f, "field {name}"),
            Self::Payload => f.write_str("the payload"),
        }
    }
}
