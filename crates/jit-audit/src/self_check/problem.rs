//! What a self-check finds, each once.

use std::ops::Range;

use jit_core::{CaseId, Code, DueId, Finding, InvariantId, PolicyDigest, PrincipalId, StreamId, Timestamp};

/// Something that is wrong with a log, as far as its feed shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Records are gone from the feed, or are not what their leaf or commitment says.
    #[error("records from {} to {} cannot be read: {what}", records.start, records.end)]
    Break {
        /// Which indexes.
        records: Range<u64>,
        /// What is wrong with the first.
        what: String,
    },
    /// A stream has gaps, or its records do not follow each other.
    #[error("stream {stream} does not hold together: {what}")]
    Stream {
        /// The stream.
        stream: StreamId,
        /// What is wrong with it.
        what: String,
    },
    /// The tree in the store is not that of the records read.
    #[error("the tree of {size} records is not that of the records read")]
    Tree {
        /// How many records were read.
        size: u64,
    },
    /// A grant or a credential without what must stand behind it: request, decision, approvals (INV-01, INV-05 to INV-09).
    #[error("{case} has a grant without what must stand behind it: {}", finding.detail)]
    Unbacked {
        /// The case.
        case: CaseId,
        /// What is violated, by which records.
        finding: Finding,
    },
    /// An end, or what must follow it, is missing past its deadline (INV-03, INV-04, INV-22).
    #[error("{case} has not ended as it must: {}", finding.detail)]
    Unconfirmed {
        /// The case.
        case: CaseId,
        /// What is violated, by which records.
        finding: Finding,
    },
    /// A condition of a grant was last reported as not enforced.
    #[error("condition {condition} of {case} is not enforced, says {by}")]
    NotEnforced {
        /// The case.
        case: CaseId,
        /// The condition.
        condition: Code,
        /// Who says so.
        by: PrincipalId,
        /// The record of the report.
        index: u64,
    },
    /// Another invariant is violated.
    #[error("{} is violated in stream {stream}: {}", finding.invariant, finding.detail)]
    Violated {
        /// The stream.
        stream: StreamId,
        /// What is violated, by which records.
        finding: Finding,
    },
    /// Work is due for longer than a sweep may take.
    #[error("work on stream {} is due since {since} and not done: {:?}", work.stream, work.task)]
    Overdue {
        /// What was to be done.
        work: DueId,
        /// Since when.
        since: Timestamp,
    },
    /// A policy snapshot that a record cites cannot be retrieved.
    #[error("policy {policy}, which record {index} cites, cannot be retrieved")]
    SnapshotMissing {
        /// Its digest.
        policy: PolicyDigest,
        /// The record.
        index: u64,
    },
    /// What is stored under the digest of a policy is another text.
    #[error("what stands as policy {policy} is not that policy")]
    SnapshotEdited {
        /// The digest.
        policy: PolicyDigest,
        /// The record that cites it.
        index: u64,
    },
}

impl Problem {
    /// A violated invariant of a stream.
    pub(super) fn of(stream: StreamId, finding: Finding) -> Self {
        use InvariantId::{Inv01, Inv03, Inv04, Inv05, Inv06, Inv07, Inv08, Inv09, Inv22};
        match (stream, finding.invariant) {
            (StreamId::Case(case), Inv01 | Inv05 | Inv06 | Inv07 | Inv08 | Inv09) => Self::Unbacked { case, finding },
            (StreamId::Case(case), Inv03 | Inv04 | Inv22) => Self::Unconfirmed { case, finding },
            _ => Self::Violated { stream, finding },
        }
    }

    /// A digest under which it is remembered as reported.
    pub(super) fn key(&self) -> String {
        let told = match self {
            // What is wrong may be put in other words from one version to the next; where it is stays.
            Self::Break { records, .. } => format!("break {records:?}"),
            Self::Stream { stream, .. } => format!("stream {stream}"),
            Self::Tree { .. } => "tree".to_owned(),
            Self::Unbacked { finding, .. } | Self::Unconfirmed { finding, .. } | Self::Violated { finding, .. } => {
                format!("{} {:?}", finding.invariant, finding.records)
            }
            Self::NotEnforced { case, condition, index, .. } => format!("not enforced {case} {condition} {index}"),
            Self::Overdue { work, since } => format!("overdue {work:?} {since}"),
            Self::SnapshotMissing { policy, .. } => format!("snapshot missing {policy}"),
            Self::SnapshotEdited { policy, .. } => format!("snapshot edited {policy}"),
        };
        blake3::hash(told.as_bytes()).to_hex().get(..32).unwrap_or_default().to_owned()
    }
}
