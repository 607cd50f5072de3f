//! Reviewing a policy before it is in force: somebody proposes it, others approve exactly that, each on record.

use std::collections::BTreeSet;

use jit_core::{
    Event, Expected, GroupCount, GroupName, LeafHash, PolicyApproved, PolicyDigest, PolicyProposed, Principal,
    PrincipalId, Refs, StreamHead, StreamId,
};
use jit_policy::PolicySnapshot;
use jit_store::{AppendRequest, LogRecord};

use crate::{broker::Broker, error::BrokerError};

/// A policy is not approved or not published, because its review does not allow it. Nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyReviewError {
    /// There is no such proposal.
    #[error("no record {0} proposes a policy")]
    NoSuchProposal(LeafHash),
    /// The proposal was published before; each counts once.
    #[error("proposal {0} was published before")]
    Published(LeafHash),
    /// Nobody proposed it since it was last published.
    #[error("policy {0} is not proposed")]
    NotProposed(PolicyDigest),
    /// Whoever proposed it does not approve it.
    #[error("{0} proposed the policy and does not approve it")]
    Author(PrincipalId),
    /// A rule or an agent does not approve policies.
    #[error("{0} is no person and does not approve policies")]
    NotAPerson(PrincipalId),
    /// They do not belong to the group that reviews policies.
    #[error("{by} does not belong to {group}")]
    NotAMember {
        /// Who.
        by: PrincipalId,
        /// The group.
        group: GroupName,
    },
    /// They have approved it before.
    #[error("{0} has approved the policy before")]
    ApprovedAlready(PrincipalId),
    /// Not enough people have approved it.
    #[error("policy {policy} has {have} approvals of {group}, and needs {need}")]
    NotEnough {
        /// The policy.
        policy: PolicyDigest,
        /// The group that reviews.
        group: GroupName,
        /// How many of it have approved.
        have: usize,
        /// How many must.
        need: usize,
    },
}

/// The stream `policy`, as read.
pub(crate) struct PolicyStream {
    records: Vec<LogRecord>,
}

/// A proposal with the approvals it has.
pub(crate) struct Review {
    /// The leaf of the proposal.
    pub(crate) proposal: LeafHash,
    policy: PolicyDigest,
    author: PrincipalId,
    approvals: Vec<(LeafHash, PrincipalId, Option<GroupName>)>,
}

impl Review {
    /// The leaves of the approvals, sorted.
    pub(crate) fn approvals(&self) -> Vec<LeafHash> {
        let leaves: BTreeSet<LeafHash> = self.approvals.iter().map(|(leaf, ..)| *leaf).collect();
        leaves.into_iter().collect()
    }

    /// Whether the people who must have approved it.
    fn judge(&self, required: &GroupCount) -> Result<(), PolicyReviewError> {
        let for_group = self
            .approvals
            .iter()
            .filter(|(_, by, group)| *by != self.author && group.as_ref() == Some(&required.group));
        let have = for_group.map(|(_, by, _)| by).collect::<BTreeSet<_>>().len();
        let need = usize::from(required.count.get());
        if have >= need {
            return Ok(());
        }
        Err(PolicyReviewError::NotEnough { policy: self.policy, group: required.group.clone(), have, need })
    }
}

impl PolicyStream {
    pub(crate) fn expected(&self) -> Expected {
        let head: Option<StreamHead> = self.records.last().map(|entry| entry.record().head());
        Expected::from_head(head)
    }

    pub(crate) fn has_published(&self, policy: PolicyDigest) -> Result<bool, BrokerError> {
        for entry in &self.records {
            if matches!(entry.record().event()?, Event::PolicyPublished(e) if e.snapshot == policy) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The proposals that were not published yet, in order, with their approvals.
    fn open(&self) -> Result<Vec<Review>, BrokerError> {
        let mut open: Vec<Review> = Vec::new();
        for entry in &self.records {
            let (record, refs) = (entry.record(), &entry.record().header().refs);
            match record.event()? {
                Event::PolicyProposed(e) => {
                    let Some(policy) = refs.policy else { continue };
                    open.push(Review { proposal: record.leaf(), policy, author: e.by, approvals: Vec::new() });
                }
                Event::PolicyApproved(e) => {
                    let of = open.iter_mut().find(|r| Some(r.proposal) == refs.cause && Some(r.policy) == refs.policy);
                    if let Some(review) = of {
                        review.approvals.push((record.leaf(), e.by, e.group));
                    }
                }
                Event::PolicyPublished(_) => open.retain(|review| Some(review.proposal) != refs.cause),
                _ => {}
            }
        }
        Ok(open)
    }

    /// The review on whose strength a snapshot is published: the first that suffices. Without a requirement, the last there
    /// is, if there is one.
    pub(crate) fn review_of(
        &self,
        policy: PolicyDigest,
        required: Option<&GroupCount>,
    ) -> Result<Option<Review>, BrokerError> {
        let mut open = self.open()?;
        open.retain(|review| review.policy == policy);
        let Some(required) = required else { return Ok(open.pop()) };
        let mut refused = PolicyReviewError::NotProposed(policy);
        for review in open {
            match review.judge(required) {
                Ok(()) => return Ok(Some(review)),
                Err(reason) => refused = reason,
            }
        }
        Err(refused.into())
    }
}

impl Broker {
    /// Proposes a policy snapshot: its text goes into the store, and others can approve the proposal, which the leaf names.
    /// What is in force stays in force.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// Whatever kept the proposal from being recorded.
    #[tracing::instrument(skip_all, err, fields(policy = %snapshot.document().digest()))]
    pub async fn propose_policy(
        &self,
        snapshot: &dyn PolicySnapshot,
        by: PrincipalId,
    ) -> Result<LeafHash, BrokerError> {
        let digest = snapshot.document().digest();
        let bytes = snapshot.document().to_bytes().map_err(|error| BrokerError::Policy(error.to_string()))?;
        let refs = Refs { policy: Some(digest), ..Refs::default() };
        let request = self.policy_record(PolicyProposed { by }.into(), refs)?.blob(digest.into(), bytes);
        let appended = self.append(request).await?;
        appended.receipt().await?;
        let record = appended.records().first().ok_or(BrokerError::NotPublished(digest))?;
        Ok(record.record().leaf())
    }

    /// Approves a proposed policy. Whoever proposed it cannot; where [`Settings::policy_review`](crate::Settings::policy_review)
    /// names a group, only its members can.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::PolicyReview`] if they may not, or whatever kept the approval from being recorded.
    #[tracing::instrument(skip_all, err, fields(proposal = %proposal))]
    pub async fn approve_policy(&self, proposal: LeafHash, by: &Principal) -> Result<(), BrokerError> {
        let id = by.id();
        let stream = self.policy_stream().await?;
        let review = stream.open()?.into_iter().find(|review| review.proposal == proposal);
        let Some(review) = review else {
            let known = stream.records.iter().any(|entry| entry.record().leaf() == proposal);
            let reason = if known {
                PolicyReviewError::Published(proposal)
            } else {
                PolicyReviewError::NoSuchProposal(proposal)
            };
            return Err(reason.into());
        };
        if !matches!(by, Principal::Human { .. }) {
            return Err(PolicyReviewError::NotAPerson(id).into());
        }
        if review.author == id {
            return Err(PolicyReviewError::Author(id).into());
        }
        if review.approvals.iter().any(|(_, approver, _)| *approver == id) {
            return Err(PolicyReviewError::ApprovedAlready(id).into());
        }
        let group = self.settings.policy_review.as_ref().map(|required| required.group.clone());
        if let Some(group) = &group
            && !self.groups_of(&id).await?.contains(group)
        {
            return Err(PolicyReviewError::NotAMember { by: id, group: group.clone() }.into());
        }
        let refs = Refs { policy: Some(review.policy), cause: Some(proposal), ..Refs::default() };
        let request = self.policy_record(PolicyApproved { by: id, group }.into(), refs)?;
        // Nobody can approve twice, or what was published meanwhile.
        let request = request.guard(StreamId::Policy, stream.expected());
        self.append(request).await?.receipt().await?;
        Ok(())
    }

    pub(crate) async fn policy_stream(&self) -> Result<PolicyStream, BrokerError> {
        Ok(PolicyStream { records: self.log.stream(&StreamId::Policy).await? })
    }

    /// A request that appends one record to the stream `policy`.
    pub(crate) fn policy_record(&self, event: Event, refs: Refs) -> Result<AppendRequest, BrokerError> {
        let class = self.log.governance_class().clone();
        Ok(AppendRequest::new().draft(self.recorder.draft(StreamId::Policy, event, refs, class, self.clock.now())?))
    }
}
