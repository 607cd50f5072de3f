//! Folding records into a case.

use crate::{
    case::{
        Announcement, Case, CaseApproval, CaseCredential, CaseDecision, CaseEnd, CaseExtension, CaseGrant,
        CaseNarrowing, CaseObligation, CaseRequest, Eligible, ExtensionState, MintState, Phase, RevocationState,
    },
    decision::EvaluationPurpose,
    digest::LeafHash,
    ending::Ending,
    event::{Event, EventError, Kind, PolicyEvaluated},
    ids::{CredentialId, RecordId},
    record::{Record, StreamId},
    source::ClockReading,
};

/// A record does not continue the case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// It belongs to another stream or log.
    #[error("record {record} is of stream {stream}, not of this case")]
    OtherStream {
        /// The record.
        record: RecordId,
        /// Its stream.
        stream: StreamId,
    },
    /// It does not follow the last record (INV-13).
    #[error("record {record} with number {n} does not follow the last record of the case")]
    NotNext {
        /// The record.
        record: RecordId,
        /// Its number.
        n: u64,
    },
    /// The case is closed.
    #[error("record {0} comes after the case was closed")]
    AfterClose(RecordId),
    /// What happened cannot be read.
    #[error("record {record}: {source}")]
    Event {
        /// The record.
        record: RecordId,
        /// Why.
        source: EventError,
    },
    /// It is about something that the case does not have.
    #[error("record {0} is about something the case does not have")]
    Subject(RecordId),
}

impl Case {
    /// Folds the next record of the case into it. It must follow the last one by number and by leaf hash, so a case that
    /// was folded is the case that its last leaf commits to.
    ///
    /// # Errors
    /// [`ApplyError`] if the record does not continue the case; the case is unchanged then.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        let header = record.header();
        let id = header.id;
        if header.stream != self.stream() || header.log != self.log {
            return Err(ApplyError::OtherStream { record: id, stream: header.stream });
        }
        let next = self.head.map_or(Some(0), |head| head.n.checked_add(1));
        if next != Some(header.n) || header.prev != self.head.map(|head| head.leaf) {
            return Err(ApplyError::NotNext { record: id, n: header.n });
        }
        if self.closed {
            return Err(ApplyError::AfterClose(id));
        }
        let event = record.event().map_err(|source| ApplyError::Event { record: id, source })?;
        self.fold(record, &event).ok_or(ApplyError::Subject(id))?;
        self.head = Some(record.head());
        self.last = Some(ClockReading { at: header.at, clock: header.clock.clone() });
        self.retain.get_or_insert_with(|| header.retain.clone());
        if let Some(command) = header.refs.command.filter(|_| !is_preliminary(&event)) {
            self.commands.entry(command).or_insert(event);
        }
        Ok(())
    }

    /// Folds all records of a case.
    ///
    /// # Errors
    /// [`ApplyError`] at the first record that does not continue the case.
    pub fn fold_all<'a>(mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<Self, ApplyError> {
        for record in records {
            self.apply(record)?;
        }
        Ok(self)
    }

    /// `None` if the event is about something that the case does not have.
    fn fold(&mut self, record: &Record, event: &Event) -> Option<()> {
        let header = record.header();
        let leaf = record.leaf();
        let mut eligible = None;
        match event {
            Event::RequestSubmitted(e) => self.request = Some(CaseRequest { leaf, submitted: e.clone() }),
            Event::RequestRefused(_) => self.refused = true,
            Event::CommandRefused(_) => self.refusals = self.refusals.saturating_add(1),
            Event::RequestWithdrawn(_) => self.unsuccessful = Some(Phase::Withdrawn),
            Event::RequestLapsed(_) => self.unsuccessful = Some(Phase::Lapsed),
            Event::GrantDenied(_) => {
                self.unsuccessful = Some(Phase::Denied);
                self.denied_because = header.refs.cause;
            }
            Event::PolicyEvaluated(e) => {
                if e.purpose == EvaluationPurpose::Extension {
                    self.pending()?.decision = Some(leaf);
                }
                let (purpose, decision, at) = (e.purpose, e.decision.clone(), header.at);
                self.decisions.push(CaseDecision { id: header.id, leaf, purpose, decision, at });
                eligible = Eligible::from_evaluated(leaf, e);
            }
            Event::ApprovalRecorded(e) => {
                let decision = header.refs.decision;
                self.approvals.push(CaseApproval { leaf, approval: e.clone(), decision, counts: true });
            }
            Event::ApprovalWithdrawn(e) => {
                self.approvals.iter_mut().find(|a| a.leaf == e.approval)?.counts = false;
                self.reset(leaf);
            }
            Event::ApprovalNarrowed(e) => {
                self.approvals.iter_mut().for_each(|a| a.counts = false);
                self.narrowed = Some(CaseNarrowing { leaf, scope: e.scope.clone(), window: e.approved });
                self.reset(leaf);
            }
            Event::ApprovalVoided(_) => self.approvals.iter_mut().for_each(|a| a.counts = false),
            Event::ApprovalEscalated(e) => {
                self.escalations.push((header.refs.decision?, (e.from.clone(), e.to.clone())));
            }
            Event::BreakGlassInvoked(_) => self.announcement = Some(Announcement::Pending { attempts: 0 }),
            Event::BreakGlassAnnounced(e) => {
                self.announcement = Some(match (&e.failure, e.retry_at) {
                    (None, _) => Announcement::Delivered,
                    (Some(_), Some(_)) => Announcement::Pending { attempts: e.attempt },
                    (Some(_), None) => Announcement::GivenUp,
                });
            }
            Event::GrantApproved(e) => {
                let id = header.refs.grant?;
                self.grant =
                    Some(CaseGrant { id, leaf, approved: e.clone(), extended: None, activated: None, end: None });
            }
            Event::ExtensionRequested(e) => self.extensions.push(CaseExtension {
                leaf,
                asked: e.clone(),
                command: header.refs.command,
                decision: None,
                state: ExtensionState::Pending,
            }),
            Event::ExtensionFailed(e) => {
                let extension = self.pending()?;
                extension.state = ExtensionState::Failed(e.cause.clone());
                let decision = extension.decision;
                let given = self.approvals.iter_mut().filter(|a| decision.is_some() && a.decision == decision);
                given.for_each(|a| a.counts = false);
            }
            Event::GrantExtended(e) => {
                self.pending()?.state = ExtensionState::Granted;
                let grant = self.grant.as_mut()?;
                grant.approved.approved = e.approved;
                grant.extended = Some(leaf);
            }
            Event::GrantActivated(e) => self.grant.as_mut()?.activated = Some(e.actual_start),
            Event::GrantExpired(e) => self.fold_end(record, &e.ending)?,
            Event::GrantRevoked(e) => self.fold_end(record, &e.ending)?,
            Event::GrantTerminated(e) => self.fold_end(record, &e.ending)?,
            Event::GrantSuperseded(e) => self.fold_end(record, &e.ending)?,
            Event::GrantEligibilityWithdrawn(e) => self.fold_end(record, &e.ending)?,
            Event::GrantExternallyModified(e) => self.fold_end(record, &e.ending)?,
            Event::ObligationOpened(e) => {
                let open = CaseObligation { leaf, task: e.task.clone(), due: e.due, closed: false, overdue: false };
                self.obligations.insert(e.obligation, open);
            }
            Event::ObligationOverdue(e) => self.obligations.get_mut(&e.obligation)?.overdue = true,
            Event::ObligationClosed(e) => self.obligations.get_mut(&e.obligation)?.closed = true,
            Event::ConditionReported(e) => self.fold_report(leaf, e),
            Event::AccessObserved(_) => {
                self.uses = self.uses.saturating_add(1);
                header.refs.credential.is_none_or(|id| self.credentials.contains_key(&id)).then_some(())?;
            }
            Event::CaseClosed(_) => self.closed = true,
            Event::CredentialIntended(e) => {
                let fresh = CaseCredential {
                    intended_leaf: leaf,
                    intended: e.clone(),
                    command: header.refs.command,
                    decision: header.refs.decision,
                    mint: MintState::Pending,
                    descriptor: None,
                    expired: false,
                    revocation: RevocationState::None,
                    attempts: 0,
                    attempts_before_demand: 0,
                    latest: leaf,
                    revocation_leaf: None,
                };
                self.credentials.insert(header.refs.credential?, fresh);
            }
            other => {
                if let Some(id) = header.refs.credential {
                    self.fold_credential(id, other, leaf)?;
                }
            }
        }
        // What is said in between about the request or a deadline takes nobody's leave away.
        let keeps = eligible.is_none() && keeps_eligibility(event);
        if !keeps {
            self.eligible = eligible;
        }
        Some(())
    }

    fn reset(&mut self, leaf: LeafHash) {
        self.reset = Some(leaf);
        self.resets = self.resets.saturating_add(1);
    }

    fn pending(&mut self) -> Option<&mut CaseExtension> {
        self.extensions.last_mut().filter(|e| e.state == ExtensionState::Pending)
    }

    fn fold_end(&mut self, record: &Record, ending: &Ending) -> Option<()> {
        let kind: Kind = record.header().kind.clone();
        let header = record.header();
        let end =
            CaseEnd { kind, leaf: record.leaf(), cause: header.refs.cause, ending: ending.clone(), at: header.at };
        self.grant.as_mut()?.end = Some(end);
        Some(())
    }

    fn fold_credential(&mut self, id: CredentialId, event: &Event, leaf: LeafHash) -> Option<()> {
        let credential = self.credentials.get_mut(&id)?;
        match event {
            Event::CredentialPrepared(e) => {
                credential.mint = MintState::Prepared;
                credential.descriptor = Some(e.descriptor.clone());
            }
            Event::CredentialIssued(e) => {
                credential.mint = MintState::Issued;
                credential.descriptor = Some(e.descriptor.clone());
            }
            Event::CredentialFailed(_) => credential.mint = MintState::Failed,
            Event::CredentialUnknown(_) => credential.mint = MintState::Unknown,
            Event::CredentialReconciled(e) => {
                credential.mint = if e.exists { MintState::FoundExisting } else { MintState::NeverExisted };
                credential.descriptor.clone_from(&e.descriptor);
            }
            Event::CredentialExpired(_) => credential.expired = true,
            Event::RevocationIntended(e) => {
                credential.revocation = RevocationState::Pending;
                credential.attempts = e.attempt;
                credential.revocation_leaf = Some(leaf);
            }
            Event::RevocationConfirmed(_) => credential.revocation = RevocationState::Confirmed,
            Event::RevocationFailed(_) => credential.revocation = RevocationState::Failed,
            Event::RevocationUnknown(_) => credential.revocation = RevocationState::Unknown,
            Event::RevocationIrrevocable(_) => credential.revocation = RevocationState::Irrevocable,
            Event::RevocationDemanded(_) => {
                credential.revocation = RevocationState::Failed;
                credential.attempts_before_demand = credential.attempts;
            }
            Event::CredentialHandedOver(_) => credential.revocation = RevocationState::HandedOver,
            Event::RevocationReconciled(e) => {
                credential.revocation = if e.dead { RevocationState::Confirmed } else { RevocationState::Failed };
            }
            _ => return Some(()),
        }
        credential.latest = leaf;
        Some(())
    }
}

impl Eligible {
    fn from_evaluated(leaf: LeafHash, evaluated: &PolicyEvaluated) -> Option<Self> {
        let PolicyEvaluated { purpose, decision, about, .. } = evaluated;
        let judges = matches!(purpose, EvaluationPurpose::Approval | EvaluationPurpose::Review);
        let who = about.clone().filter(|_| judges && decision.permits())?;
        Some(Self { leaf, who, purpose: *purpose, owner_may: decision.lets_owner_approve() })
    }
}

/// Whether the decision that somebody may approve or review still stands directly before their act when this was recorded after it.
pub(crate) fn keeps_eligibility(event: &Event) -> bool {
    match event {
        Event::PolicyEvaluated(e) => e.purpose == EvaluationPurpose::Confirmation,
        Event::ObligationOverdue(_) => true,
        _ => false,
    }
}

/// Whether a command that begins with this event is answered by what comes after it.
fn is_preliminary(event: &Event) -> bool {
    match event {
        Event::PolicyEvaluated(e) => {
            matches!(
                e.purpose,
                EvaluationPurpose::Confirmation | EvaluationPurpose::Approval | EvaluationPurpose::Review
            )
        }
        Event::ObligationOverdue(_) => true,
        _ => false,
    }
}
