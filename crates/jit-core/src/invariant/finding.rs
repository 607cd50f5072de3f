//! What a check finds.

use super::{id::InvariantId, view::Entry};

/// Why an invariant cannot be judged on these records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Records of the stream are not in the history.
    Partial,
    /// Another stream that decides it is not in the history.
    OtherStream,
    /// A payload is purged.
    Purged,
    /// A field is erased or withheld.
    Absent,
    /// A record does not read as what its kind says.
    Unreadable,
    /// A record of `gov` or `erasure` has a kind that this version does not know.
    UnknownKind,
    /// Stream `gov` is not in the history in full, so retention and holds are not known.
    HoldState,
    /// There are more holds or retention terms than a check weighs.
    TooManyTerms,
    /// Nobody said which policy snapshots were retrieved.
    SnapshotsNotGiven,
}

/// The answer to one invariant that is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The records show that it does not hold.
    Violated,
    /// The records do not show whether it holds.
    NotProvable(Reason),
}

/// An invariant that is violated or not provable, with the records that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The invariant.
    pub invariant: InvariantId,
    /// What is the matter with it.
    pub verdict: Verdict,
    /// The log indexes of the records concerned, ascending.
    pub records: Vec<u64>,
    /// What is wrong, for people.
    pub detail: &'static str,
}

impl Finding {
    /// Whether the invariant does not hold.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.verdict == Verdict::Violated
    }
}

#[derive(Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn violated(&mut self, invariant: InvariantId, records: &[&Entry<'_>], detail: &'static str) {
        let mut records: Vec<u64> = records.iter().map(|entry| entry.index).collect();
        records.sort_unstable();
        self.0.push(Finding { invariant, verdict: Verdict::Violated, records, detail });
    }

    pub(super) fn not_provable(
        &mut self,
        invariant: InvariantId,
        reason: Reason,
        at: Option<&Entry<'_>>,
        detail: &'static str,
    ) {
        let records = at.iter().map(|entry| entry.index).collect();
        self.0.push(Finding { invariant, verdict: Verdict::NotProvable(reason), records, detail });
    }

    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.0.sort_by(|a, b| (a.invariant, &a.records).cmp(&(b.invariant, &b.records)));
        self.0
    }
}
