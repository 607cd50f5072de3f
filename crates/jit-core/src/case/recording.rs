//! Deciding a command, and making the records of what was decided.

use crate::{
    case::{
        Case, CaseDecision,
        apply::ApplyError,
        command::{Command, Context, Decided, EndBy, Step},
        refusal::Refusal,
    },
    decision::EvaluationPurpose,
    digest::LeafHash,
    event::{Event, Kind, ObligationClosed, ObligationOverdue},
    ids::{CommandId, CredentialId},
    project::is_end,
    record::{Record, RecordError, Recorder, Refs},
    source::ClockReading,
    text::RetentionClass,
    time::Timestamp,
};

/// Records of a case could not be made. Nothing was written, and the case is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordCaseError {
    /// A record could not be made.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What was recorded does not follow from the case.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The clock reads a moment before the case's last record, beyond the declared errors (INV-14).
    #[error("clock reads {now}, before the last record of the case at {last}")]
    ClockBehind {
        /// What the clock reads.
        now: Timestamp,
        /// When the last record was made.
        last: Timestamp,
    },
}

impl Case {
    /// Decides a command: which events to record, and whether it is refused. Reads nothing but its arguments.
    pub fn decide(&self, command: &Command, context: &Context) -> Decided {
        if self.closed {
            return Decided::refused(Refusal::Closed);
        }
        self.with_review(self.decide_open(command, context))
    }

    fn decide_open(&self, command: &Command, context: &Context) -> Decided {
        match command {
            Command::Submit(request) => self.submit(request, context),
            Command::Evaluate(evaluated) => self.evaluate(evaluated, context),
            Command::Confirm(evaluated) => self.confirm(evaluated),
            Command::JudgeApprover { by, evaluated } => self.judge_approver(by, evaluated),
            Command::Approve(act) => self.approve(act, context),
            Command::WithdrawApproval { by, reason } => self.withdraw_approval(by, reason.as_ref(), context),
            Command::Narrow(narrow) => self.narrow(narrow, context),
            Command::Escalate => self.escalate(context),
            Command::Deny { by, group, member_of, reason } => self.deny(by, group, member_of, reason.as_ref(), context),
            Command::Withdraw { by, reason } => self.withdraw(by, reason.as_ref()),
            Command::Lapse => self.lapse(context),
            Command::Open(open) => self.open(open, context),
            Command::Extend(extend) => self.extend(extend, context),
            Command::EvaluateExtension(evaluated) => self.evaluate_extension(evaluated, context),
            Command::WithdrawExtension { by, reason } => self.withdraw_extension(by, reason.as_ref()),
            Command::LapseExtension => self.lapse_extension(context),
            Command::Intend(intend) => self.intend(intend, false, context),
            Command::Renew(intend) => self.intend(intend, true, context),
            Command::Prepared { credential, descriptor } => self.prepared(*credential, descriptor),
            Command::Issued { credential, descriptor } => self.issued(*credential, descriptor, context),
            Command::MintFailed { credential, cause } => self.mint_failed(*credential, cause),
            Command::MintUnknown { credential, cause, reconcile_at } => {
                self.mint_unknown(*credential, cause, *reconcile_at)
            }
            Command::MintReconciled { credential, existing, finding } => {
                self.mint_reconciled(*credential, existing.as_ref(), finding)
            }
            Command::Expire => self.expire(context),
            Command::End { by, cause, reason } => self.end(by, cause, reason.as_ref(), context),
            Command::IntendRevocation { credential, cause, resolve_at } => {
                self.intend_revocation(*credential, cause, *resolve_at)
            }
            Command::Revocation { credential, outcome } => self.revocation(*credential, outcome),
            Command::RevocationReconciled { credential, dead, finding, retry_at } => {
                self.revocation_reconciled(*credential, *dead, finding, *retry_at)
            }
            Command::DemandRevocation { credential, by, reason } => {
                self.demand_revocation(*credential, by, reason.as_ref())
            }
            Command::HandOver { credential, to } => self.hand_over(*credential, *to),
            Command::CredentialExpired { credential } => self.credential_expired(*credential, context),
            Command::ObligationOverdue { obligation } => self.obligation_overdue(*obligation, context),
            Command::Announced { channel, failure, retry_at } => self.announced(channel, failure.as_ref(), *retry_at),
            Command::JudgeReviewer { by, evaluated } => self.judge_reviewer(by, evaluated),
            Command::Observe { credential, used } => self.observe(*credential, used),
            Command::CloseObligation { obligation, by, finding, text } => {
                self.close_obligation(*obligation, by, finding, text.as_ref(), context)
            }
            Command::ReportCondition { condition, enforced, by } => self.report_condition(by, condition, *enforced),
            Command::Refuse { by, act, refusal } => self.refused_act(by.clone(), act.clone(), refusal.clone()),
            Command::Close => self.close(),
        }
    }

    /// Makes the records of decided steps and applies them to the case, all or none. `retain` is the class of a case that
    /// begins; afterwards the case keeps its own.
    ///
    /// # Errors
    /// [`RecordCaseError`] if a record cannot be made; the case is unchanged then.
    pub fn record(
        &mut self,
        steps: &[Step],
        origin: &StepOrigin,
        recorder: &Recorder,
        read: &ClockReading,
    ) -> Result<Vec<Record>, RecordCaseError> {
        if let Some(last) = self.last.as_ref().filter(|last| !read.may_follow(last)) {
            return Err(RecordCaseError::ClockBehind { now: read.at, last: last.at });
        }
        let mut next = self.clone();
        let mut records = Vec::with_capacity(steps.len());
        for step in steps {
            let retain = next.retain.clone().unwrap_or_else(|| origin.retain.clone());
            let refs = next.refs(&step.event, step.about, origin);
            let draft = recorder.draft(next.stream(), step.event.clone(), refs, retain, read.clone())?;
            let record = draft.seal(next.head, None)?;
            next.apply(&record)?;
            records.push(record);
        }
        *self = next;
        Ok(records)
    }

    /// What a record of this event refers to, from the state before it.
    fn refs(&self, event: &Event, about: Option<CredentialId>, origin: &StepOrigin) -> Refs {
        let first = self.first_decision();
        let extension = self.pending_extension();
        let on_extension = extension.and_then(|e| self.decision(e.decision?));
        let request_leaf = self.request.as_ref().map(|r| r.leaf);
        let end_leaf = self.grant.as_ref().and_then(|g| g.end.as_ref()).map(|e| e.leaf);
        let grant_leaf = self.grant.as_ref().map(|g| g.leaf);
        let mut refs = Refs {
            request: Some(self.id),
            grant: self.grant.as_ref().map(|g| g.id),
            credential: about,
            parent: self.request.as_ref().and_then(|r| r.submitted.parent.as_ref()).map(|p| p.grant),
            command: origin.command,
            ..Refs::default()
        };
        let known = about.and_then(|id| self.credentials.get(&id));
        match event {
            Event::RequestSubmitted(e) => refs.parent = e.parent.as_ref().map(|p| p.grant),
            Event::PolicyEvaluated(e) => {
                refs.policy = Some(e.decision.policy);
                refs.cause = match e.purpose {
                    EvaluationPurpose::Request => request_leaf,
                    EvaluationPurpose::Issuance => self.standing_decisions().last().map(|d| d.leaf),
                    EvaluationPurpose::Extension => extension.map(|e| e.leaf),
                    EvaluationPurpose::Confirmation | EvaluationPurpose::Approval => {
                        self.asked().map(|a| a.decision.leaf)
                    }
                    EvaluationPurpose::Review => self.open_review().map(|(_, review)| review.leaf),
                };
            }
            Event::ExtensionRequested(_) => refs.approved_by = grant_leaf,
            Event::ApprovalRecorded(_) | Event::ExtensionFailed(_) | Event::GrantExtended(_) if extension.is_some() => {
                refs.decision = on_extension.map(|d| d.leaf);
                refs.policy = on_extension.map(|d| d.decision.policy);
                refs.cause = extension.map(|e| e.leaf);
                if matches!(event, Event::GrantExtended(_)) {
                    refs.approved_by = grant_leaf;
                    refs.approvals = self.approval_leaves(on_extension);
                }
            }
            Event::ApprovalRecorded(_) | Event::GrantDenied(_) => {
                refs.decision = first.map(|d| d.leaf);
                refs.policy = first.map(|d| d.decision.policy);
                // What ends other grants denies the requests that still wait.
                refs.cause = origin.end_cause.filter(|_| event.kind() == Kind::GrantDenied).or(request_leaf);
            }
            Event::GrantApproved(_) => {
                refs.grant = Some(self.grant_id());
                refs.decision = first.map(|d| d.leaf);
                refs.policy = first.map(|d| d.decision.policy);
                refs.approvals = self.approval_leaves(first);
            }
            Event::ApprovalNarrowed(_) | Event::ApprovalWithdrawn(_) | Event::ApprovalEscalated(_) => {
                let asked = self.asked();
                refs.decision = asked.as_ref().map(|a| a.decision.leaf);
                refs.policy = asked.as_ref().map(|a| a.decision.decision.policy);
                refs.cause = asked.map(|a| a.request);
            }
            Event::ApprovalVoided(_) => refs.cause = self.decisions.last().map(|d| d.leaf),
            Event::CredentialIntended(_) => {
                refs.decision = self.decisions.last().map(|d| d.leaf);
                refs.policy = self.decisions.last().map(|d| d.decision.policy);
                refs.approved_by = grant_leaf;
                refs.approvals = self.approval_leaves(self.standing_decisions());
            }
            Event::CredentialPrepared(_)
            | Event::CredentialIssued(_)
            | Event::CredentialFailed(_)
            | Event::CredentialUnknown(_) => {
                refs.decision = known.and_then(|c| c.decision);
                refs.approved_by = grant_leaf;
                refs.approvals = self.approval_leaves(self.standing_decisions());
                refs.cause = known.map(|c| c.intended_leaf);
            }
            Event::AccessObserved(_) => refs.cause = known.map(|c| c.intended_leaf),
            Event::RevocationIntended(_) | Event::CredentialHandedOver(_) => {
                refs.cause = end_leaf.or(known.map(|c| c.latest))
            }
            Event::RevocationConfirmed(_)
            | Event::RevocationFailed(_)
            | Event::RevocationUnknown(_)
            | Event::RevocationIrrevocable(_) => refs.cause = known.and_then(|c| c.revocation_leaf),
            Event::CredentialReconciled(_)
            | Event::CredentialExpired(_)
            | Event::RevocationReconciled(_)
            | Event::RevocationDemanded(_) => refs.cause = known.map(|c| c.latest),
            // With a credential, by it; else by the decision at the opening.
            Event::GrantActivated(_) => {
                refs.cause = known.map(|c| c.latest).or_else(|| self.decisions.last().map(|d| d.leaf));
            }
            Event::ObligationClosed(ObligationClosed { obligation, .. })
            | Event::ObligationOverdue(ObligationOverdue { obligation, .. }) => {
                refs.cause = self.obligations.get(obligation).map(|o| o.leaf);
            }
            Event::BreakGlassInvoked(_) | Event::ObligationOpened(_) | Event::BreakGlassAnnounced(_) => {
                refs.cause = request_leaf;
            }
            other if is_end(&other.kind()) => {
                refs.approved_by = grant_leaf;
                refs.cause = origin.end_cause.or_else(|| {
                    // Without a bar it is a policy that no longer permits.
                    (other.kind() == Kind::GrantEligibilityWithdrawn)
                        .then(|| self.decisions.last().map(|d| d.leaf))
                        .flatten()
                });
            }
            _ => {}
        }
        refs
    }

    fn approval_leaves<'c>(&'c self, of: impl IntoIterator<Item = &'c CaseDecision>) -> Vec<LeafHash> {
        let mut leaves: Vec<_> = of.into_iter().flat_map(|d| self.approvals_for(d.leaf)).map(|a| a.leaf).collect();
        leaves.sort();
        leaves
    }
}

/// Where steps come from, as their records name it.
#[derive(Debug, Clone)]
pub struct StepOrigin {
    /// The command under its idempotency key, if it came with one.
    pub command: Option<CommandId>,
    /// The retention class of a case that begins.
    pub retain: RetentionClass,
    /// The record that causes the end: the parent's end, a bulk act, a bar, the approval of the grant that takes its place. The
    /// first three cause denials too.
    pub end_cause: Option<LeafHash>,
}

impl StepOrigin {
    /// Steps that no participant's command caused.
    #[must_use]
    pub fn internal(retain: RetentionClass) -> Self {
        Self { command: None, retain, end_cause: None }
    }

    /// Steps that a command caused.
    #[must_use]
    pub fn command(command: CommandId, retain: RetentionClass) -> Self {
        Self { command: Some(command), retain, end_cause: None }
    }

    /// Names the record that causes the end, if there is one.
    #[must_use]
    pub fn ended_by(mut self, by: &EndBy) -> Self {
        match by {
            EndBy::Parent(leaf)
            | EndBy::Bulk { act: leaf, .. }
            | EndBy::Grant { approved: leaf, .. }
            | EndBy::Bar { bar: leaf, .. } => self.end_cause = Some(*leaf),
            EndBy::Holder(_) | EndBy::Other(_) | EndBy::Target { .. } => {}
        }
        self
    }
}
