//! Who proposed, approved and published which policy, when, and what it decided.

use std::collections::BTreeMap;

use jit_core::{Event, Kind, LeafHash, PolicyDigest, PrincipalId, Record, StreamId, Timestamp};
use jit_log::{TileSource, TrustPolicy};
use jit_store::{Log, ReadError};

use crate::scan::{ScanError, scan_records};

/// An act on a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAct {
    /// The index of its record.
    pub index: u64,
    /// The leaf of its record.
    pub leaf: LeafHash,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who did it.
    pub by: PrincipalId,
}

/// A publication, with the review that its record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPublication {
    /// The publication.
    pub act: PolicyAct,
    /// The proposal that its record names; absent when it was published without review.
    pub proposal: Option<PolicyAct>,
    /// The approvals that its record names.
    pub approvals: Vec<PolicyAct>,
}

impl PolicyPublication {
    /// Whether somebody approved it who did not propose it.
    #[must_use]
    pub fn is_reviewed(&self) -> bool {
        let author = self.proposal.as_ref().map(|proposal| &proposal.by);
        author.is_some_and(|author| self.approvals.iter().any(|approval| approval.by != *author))
    }
}

/// The decisions that a policy made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyUse {
    /// How many.
    pub decisions: u64,
    /// The index of the first.
    pub first: u64,
    /// The index of the last.
    pub last: u64,
}

/// What a log says about its policies.
///
/// ```
/// # async fn example(log: &jit_store::Log) -> Result<(), jit_store::ReadError> {
/// use jit_audit::PolicyHistory;
/// for (policy, published) in PolicyHistory::of(log).await?.publications() {
///     println!("{policy} by {} at {}, reviewed: {}", published.act.by, published.act.at, published.is_reviewed());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyHistory {
    proposals: Vec<(PolicyDigest, PolicyAct)>,
    approvals: Vec<(PolicyDigest, PolicyAct)>,
    publications: Vec<(PolicyDigest, PolicyPublication)>,
    uses: BTreeMap<PolicyDigest, PolicyUse>,
}

impl PolicyHistory {
    /// Reads the stream `policy` of a log. Which decisions a policy made is asked of
    /// [`Decisions::of_policy`](crate::Decisions::of_policy).
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn of(log: &Log) -> Result<Self, ReadError> {
        let mut history = Self::default();
        for entry in log.stream(&StreamId::Policy).await? {
            history.add(entry.index(), entry.record());
        }
        Ok(history)
    }

    /// Verifies an exported log, as [`scan_log`](crate::scan_log) does, and reads all of it.
    ///
    /// # Errors
    /// [`ScanError`] if the export does not verify.
    pub fn of_export(
        tiles: &mut impl TileSource,
        payloads: &mut impl TileSource,
        trust: &TrustPolicy,
    ) -> Result<Self, ScanError> {
        let mut history = Self::default();
        scan_records(tiles, payloads, trust, |index, record| history.add(index, record))?;
        Ok(history)
    }

    fn add(&mut self, index: u64, record: &Record) {
        let header = record.header();
        let refs = &header.refs;
        let act = |by| PolicyAct { index, leaf: record.leaf(), at: header.at, by };
        if header.kind == Kind::PolicyEvaluated {
            if let Some(policy) = refs.policy {
                let used = self.uses.entry(policy).or_insert(PolicyUse { decisions: 0, first: index, last: index });
                *used = PolicyUse { decisions: used.decisions.saturating_add(1), last: index, ..*used };
            }
            return;
        }
        match (record.event(), refs.policy) {
            (Ok(Event::PolicyProposed(e)), Some(policy)) => self.proposals.push((policy, act(e.by))),
            (Ok(Event::PolicyApproved(e)), Some(policy)) => self.approvals.push((policy, act(e.by))),
            (Ok(Event::PolicyPublished(e)), _) => {
                let named = |acts: &[(PolicyDigest, PolicyAct)], leaf: LeafHash| {
                    acts.iter()
                        .find(|(policy, act)| act.leaf == leaf && *policy == e.snapshot)
                        .map(|(_, act)| act.clone())
                };
                let proposal = refs.cause.and_then(|leaf| named(&self.proposals, leaf));
                let approvals = refs.approvals.iter().filter_map(|leaf| named(&self.approvals, *leaf)).collect();
                self.publications.push((e.snapshot, PolicyPublication { act: act(e.by), proposal, approvals }));
            }
            _ => {}
        }
    }

    /// The publications, in the order of the log.
    pub fn publications(&self) -> impl DoubleEndedIterator<Item = &(PolicyDigest, PolicyPublication)> {
        self.publications.iter()
    }

    /// The proposals, in the order of the log.
    pub fn proposals(&self) -> impl DoubleEndedIterator<Item = &(PolicyDigest, PolicyAct)> {
        self.proposals.iter()
    }

    /// The approvals, in the order of the log.
    pub fn approvals(&self) -> impl DoubleEndedIterator<Item = &(PolicyDigest, PolicyAct)> {
        self.approvals.iter()
    }

    /// The publications of one snapshot, in the order of the log.
    pub fn of_policy(&self, policy: PolicyDigest) -> impl Iterator<Item = &PolicyPublication> {
        self.publications.iter().filter(move |(digest, _)| *digest == policy).map(|(_, published)| published)
    }

    /// The decisions that a snapshot made, if the whole log was read.
    #[must_use]
    pub fn use_of(&self, policy: PolicyDigest) -> Option<PolicyUse> {
        self.uses.get(&policy).copied()
    }
}
