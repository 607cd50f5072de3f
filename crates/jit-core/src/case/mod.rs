//! The case: one access request from submission to close, as a pure state machine.
//!
//! [`Case::decide`] turns a command into events or a typed refusal, and reads nothing but its arguments. [`Case::record`]
//! makes the records, and [`Case::apply`] folds records into the next state. The same fold serves the broker, a restart, and
//! an auditor.

mod apply;
mod approving;
mod asking;
mod command;
mod conditions;
mod ending;
mod entitlement;
mod extending;
mod judging;
mod minting;
mod obliging;
mod observing;
mod opening;
mod recording;
mod refusal;
mod requesting;
mod revoking;

use std::collections::BTreeMap;

pub use apply::ApplyError;
pub(crate) use apply::keeps_eligibility;
pub use command::{
    Approve, Command, Context, Decided, EndBy, EvaluatedDecision, Extend, Intend, Narrow, Open, ParentExtent,
    ParentState, RevocationOutcome, Step,
};
pub use conditions::ReportedCondition;
pub use entitlement::{Entitlement, EntitlementError};
pub use extending::{CaseExtension, ExtensionState, MAX_EXTENSIONS};
pub use observing::{MAX_USES, UseFinding};
pub use recording::{RecordCaseError, StepOrigin};
pub use refusal::Refusal;

use crate::{
    approval::ApprovalContent,
    code,
    credential::{CrashClass, CredentialDescriptor},
    decision::{Decision, EvaluationPurpose},
    digest::{LeafHash, derive},
    ending::{Ending, ResidualAccess, ResidualCredential},
    event::{ApprovalRecorded, CredentialIntended, Event, GrantApproved, Kind, RequestSubmitted},
    ids::{CaseId, CommandId, CredentialId, GrantId, ObligationId, RecordId},
    origin::LogOrigin,
    principal::{Principal, PrincipalId},
    quorum::Escalated,
    record::{Expected, FormatVersion, StreamHead, StreamId},
    scope::Scope,
    source::ClockReading,
    text::{Code, RetentionClass},
    time::Timestamp,
    window::Window,
};

/// How many refused acts of participants one case records: who may not act must not make it grow without end.
pub const MAX_REFUSALS: usize = 64;

/// How often approvers may narrow a request or take approvals back in one case: they must not make it grow without end either.
pub const MAX_CHANGES: usize = 64;

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Nothing is recorded yet.
    New,
    /// The request could not be accepted.
    Refused,
    /// Submitted, not yet evaluated.
    Submitted,
    /// Permitted, if people approve.
    AwaitingApprovals,
    /// Denied by policy or by a person.
    Denied,
    /// Taken back by the requester.
    Withdrawn,
    /// Nobody decided in time.
    Lapsed,
    /// Approved; no credential has been released.
    Approved,
    /// A credential has been issued.
    Activated,
    /// The grant has ended.
    Ended,
}

/// The request as recorded.
#[derive(Debug, Clone)]
pub struct CaseRequest {
    /// Its leaf.
    pub leaf: LeafHash,
    /// What was submitted.
    pub submitted: RequestSubmitted,
}

/// A decision as recorded.
#[derive(Debug, Clone)]
pub struct CaseDecision {
    /// Its id.
    pub id: RecordId,
    /// Its leaf.
    pub leaf: LeafHash,
    /// Why the policy was asked.
    pub purpose: EvaluationPurpose,
    /// What it decided.
    pub decision: Decision,
    /// When.
    pub at: Timestamp,
}

/// An approval as recorded.
#[derive(Debug, Clone)]
pub struct CaseApproval {
    /// Its leaf.
    pub leaf: LeafHash,
    /// What was approved, by whom.
    pub approval: ApprovalRecorded,
    /// The leaf of the decision that asked for it.
    pub decision: Option<LeafHash>,
    /// Whether it still counts.
    pub counts: bool,
}

/// The grant as recorded.
#[derive(Debug, Clone)]
pub struct CaseGrant {
    /// Its id.
    pub id: GrantId,
    /// The leaf of its approval.
    pub leaf: LeafHash,
    /// What was approved.
    pub approved: GrantApproved,
    /// The leaf of the last extension, after which `approved` has the longer window.
    pub extended: Option<LeafHash>,
    /// Since when it was active.
    pub activated: Option<Timestamp>,
    /// How it ended.
    pub end: Option<CaseEnd>,
}

/// The end of the grant as recorded.
#[derive(Debug, Clone)]
pub struct CaseEnd {
    /// Which kind of end.
    pub kind: Kind,
    /// The leaf of the end.
    pub leaf: LeafHash,
    /// The record that caused it, if one did.
    pub cause: Option<LeafHash>,
    /// Its circumstances.
    pub ending: Ending,
    /// When it was recorded.
    pub at: Timestamp,
}

/// What is known of a mint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MintState {
    /// Intended; no outcome yet.
    Pending,
    /// Prepared at the target; no outcome yet.
    Prepared,
    /// The credential exists.
    Issued,
    /// There is no credential.
    Failed,
    /// Nobody knows.
    Unknown,
    /// Found out: the credential never came to be.
    NeverExisted,
    /// Found out: the credential exists, and was never released.
    FoundExisting,
}

/// What is known of taking a credential back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationState {
    /// Nobody has tried.
    None,
    /// Intended; no outcome yet.
    Pending,
    /// Failed; due again.
    Failed,
    /// Nobody knows.
    Unknown,
    /// It cannot be taken back.
    Irrevocable,
    /// It is dead, and this was seen.
    Confirmed,
    /// What it stands for goes on under another grant, and ends with that one.
    HandedOver,
}

/// A credential as recorded.
#[derive(Debug, Clone)]
pub struct CaseCredential {
    /// The leaf of its intent; the credential carries it as its evidence digest.
    pub intended_leaf: LeafHash,
    /// What was intended.
    pub intended: CredentialIntended,
    /// The command that asked for it, if it came with an idempotency key.
    pub command: Option<CommandId>,
    /// The leaf of the decision at issuance.
    pub decision: Option<LeafHash>,
    /// What became of it.
    pub mint: MintState,
    /// What exists, once it does.
    pub descriptor: Option<CredentialDescriptor>,
    /// Whether it expired by itself.
    pub expired: bool,
    /// Whether and how it was taken back.
    pub revocation: RevocationState,
    /// How often that was tried.
    pub attempts: u32,
    /// How often of these before somebody demanded that it be tried again.
    pub attempts_before_demand: u32,
    /// The leaf of the latest record about it.
    pub latest: LeafHash,
    /// The leaf of the latest revocation intent.
    pub revocation_leaf: Option<LeafHash>,
}

impl CaseCredential {
    /// Whether the credential may still work: it exists or may exist, and its death is neither seen nor due.
    #[must_use]
    pub fn may_live(&self) -> bool {
        let none = matches!(self.mint, MintState::Failed | MintState::NeverExisted);
        let over = matches!(self.revocation, RevocationState::Confirmed | RevocationState::HandedOver);
        !none && !self.expired && !over
    }

    /// Whether it stands for a state of the target that other grants may have too: a membership, not something of its own.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.intended.capabilities.class == CrashClass::RemoteShared
    }

    /// Whether an attempt to take it back still lacks an outcome, or a reconciliation.
    #[must_use]
    pub fn is_being_revoked(&self) -> bool {
        matches!(self.revocation, RevocationState::Pending | RevocationState::Unknown)
    }

    /// Whether its mint still lacks an outcome.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        matches!(self.mint, MintState::Pending | MintState::Prepared | MintState::Unknown)
    }

    /// Until when the credential works at its target, verifiers' leeway included; `None` if it has no end of its own.
    #[must_use]
    pub fn dies_at(&self) -> Option<Timestamp> {
        match &self.descriptor {
            Some(descriptor) => descriptor.dies_at(),
            None => self.intended.capabilities.dies_at(&self.intended.issued),
        }
    }
}

/// An obligation as recorded.
#[derive(Debug, Clone)]
pub struct CaseObligation {
    /// The leaf that opened it.
    pub leaf: LeafHash,
    /// What must be done.
    pub task: Code,
    /// Until when.
    pub due: Timestamp,
    /// Whether it was done.
    pub closed: bool,
    /// Whether it is recorded that it was not done in time.
    pub overdue: bool,
}

/// What an approver left of a request.
#[derive(Debug, Clone)]
pub struct CaseNarrowing {
    /// The leaf of the narrowing.
    pub leaf: LeafHash,
    /// The scope that is left.
    pub scope: Scope,
    /// The window that is left.
    pub window: Window,
}

/// Whether anybody was told of an emergency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// Nobody yet; this many attempts failed, and another follows.
    Pending {
        /// The attempts.
        attempts: u32,
    },
    /// Somebody was told.
    Delivered,
    /// Nobody was told, and it is not tried again.
    GivenUp,
}

/// A decision that somebody may approve or review, after which nothing was recorded but what keeps it.
#[derive(Debug, Clone)]
struct Eligible {
    leaf: LeafHash,
    who: PrincipalId,
    purpose: EvaluationPurpose,
    owner_may: bool,
}

/// One case, folded from its records.
#[derive(Debug, Clone)]
pub struct Case {
    id: CaseId,
    log: LogOrigin,
    head: Option<StreamHead>,
    last: Option<ClockReading>,
    retain: Option<RetentionClass>,
    refused: bool,
    closed: bool,
    request: Option<CaseRequest>,
    decisions: Vec<CaseDecision>,
    approvals: Vec<CaseApproval>,
    narrowed: Option<CaseNarrowing>,
    /// The last record after which approvals must be given anew, and how many there are.
    reset: Option<LeafHash>,
    resets: usize,
    /// The escalations so far, each of the decision that asks.
    escalations: Vec<(LeafHash, Escalated)>,
    /// Who may approve or review next, by a decision that was just recorded.
    eligible: Option<Eligible>,
    announcement: Option<Announcement>,
    unsuccessful: Option<Phase>,
    denied_because: Option<LeafHash>,
    extensions: Vec<CaseExtension>,
    grant: Option<CaseGrant>,
    credentials: BTreeMap<CredentialId, CaseCredential>,
    obligations: BTreeMap<ObligationId, CaseObligation>,
    reported: conditions::Reported,
    commands: BTreeMap<CommandId, Event>,
    refusals: usize,
    uses: usize,
}

impl Case {
    /// A case of which nothing is recorded yet.
    #[must_use]
    pub fn new(log: LogOrigin, id: CaseId) -> Self {
        Self {
            id,
            log,
            head: None,
            last: None,
            retain: None,
            refused: false,
            closed: false,
            request: None,
            decisions: Vec::new(),
            approvals: Vec::new(),
            narrowed: None,
            reset: None,
            resets: 0,
            escalations: Vec::new(),
            eligible: None,
            announcement: None,
            unsuccessful: None,
            denied_because: None,
            extensions: Vec::new(),
            grant: None,
            credentials: BTreeMap::new(),
            obligations: BTreeMap::new(),
            reported: BTreeMap::new(),
            commands: BTreeMap::new(),
            refusals: 0,
            uses: 0,
        }
    }

    /// The case's id, which is the request's.
    #[must_use]
    pub fn id(&self) -> CaseId {
        self.id
    }

    /// The log it lives in.
    #[must_use]
    pub fn log(&self) -> &LogOrigin {
        &self.log
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        StreamId::Case(self.id)
    }

    /// Its last record.
    #[must_use]
    pub fn head(&self) -> Option<StreamHead> {
        self.head
    }

    /// What an append must find.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected::from_head(self.head)
    }

    /// The retention class of its records.
    #[must_use]
    pub fn retain(&self) -> Option<&RetentionClass> {
        self.retain.as_ref()
    }

    /// Whether `case.closed` is recorded.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Option<&CaseRequest> {
        self.request.as_ref()
    }

    /// The decisions, in order.
    #[must_use]
    pub fn decisions(&self) -> &[CaseDecision] {
        &self.decisions
    }

    /// The approvals, in order.
    #[must_use]
    pub fn approvals(&self) -> &[CaseApproval] {
        &self.approvals
    }

    /// The grant.
    #[must_use]
    pub fn grant(&self) -> Option<&CaseGrant> {
        self.grant.as_ref()
    }

    /// The record that a denial names as its cause: the request, or what ended other grants and denied this one too.
    #[must_use]
    pub fn denied_because(&self) -> Option<LeafHash> {
        self.denied_because
    }

    /// The credentials.
    #[must_use]
    pub fn credentials(&self) -> &BTreeMap<CredentialId, CaseCredential> {
        &self.credentials
    }

    /// The obligations.
    #[must_use]
    pub fn obligations(&self) -> &BTreeMap<ObligationId, CaseObligation> {
        &self.obligations
    }

    /// What a command first caused, to answer it again under its idempotency key.
    #[must_use]
    pub fn caused_by(&self, command: CommandId) -> Option<&Event> {
        self.commands.get(&command)
    }

    /// Where the request stands, by its records alone.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.refused {
            return Phase::Refused;
        }
        if let Some(phase) = self.unsuccessful {
            return phase;
        }
        match (&self.grant, &self.request) {
            (Some(grant), _) if grant.end.is_some() => Phase::Ended,
            (Some(grant), _) if grant.activated.is_some() => Phase::Activated,
            (Some(_), _) => Phase::Approved,
            (None, Some(_)) if self.first_decision().is_some() => Phase::AwaitingApprovals,
            (None, Some(_)) => Phase::Submitted,
            (None, None) => Phase::New,
        }
    }

    /// Whether access is active at a moment: recorded as such, not ended, and inside the approved window. The window
    /// alone ends it, whether or not any process is alive.
    #[must_use]
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.grant.as_ref().is_some_and(|grant| {
            grant.activated.is_some_and(|since| since <= at)
                && grant.end.as_ref().is_none_or(|end| at < end.at)
                && grant.approved.approved.contains(at)
        })
    }

    /// The decision on the request, which approvals are bound to.
    #[must_use]
    pub fn first_decision(&self) -> Option<&CaseDecision> {
        self.decisions.iter().find(|d| d.purpose == EvaluationPurpose::Request)
    }

    /// The approvals that count now.
    pub fn counting_approvals(&self) -> impl Iterator<Item = &CaseApproval> {
        self.approvals.iter().filter(|a| a.counts)
    }

    /// What an approver must be shown: the request or the extension, the decision, the policy, the window and the conditions, by digest.
    /// `None` unless approvals are awaited.
    #[must_use]
    pub fn approval_content(&self, approver: &Principal) -> Option<ApprovalContent> {
        let asked = self.asked()?;
        Some(ApprovalContent {
            v: FormatVersion::V1,
            log: self.log.clone(),
            request: asked.request,
            decision: asked.decision.leaf,
            policy: asked.decision.decision.policy,
            window: asked.window,
            conditions: asked.decision.decision.obligations.conditions().to_vec(),
            approver: approver.id(),
            after: self.reset,
        })
    }

    /// What an approver left of the request, if one narrowed it.
    #[must_use]
    pub fn narrowing(&self) -> Option<&CaseNarrowing> {
        self.narrowed.as_ref()
    }

    /// What is asked for now: the scope requested, or what an approver left of it. `None` without a request.
    #[must_use]
    pub fn standing_scope(&self) -> Option<&Scope> {
        self.narrowed.as_ref().map(|n| &n.scope).or_else(|| self.request.as_ref().map(|r| &r.submitted.scope))
    }

    /// When: the window requested, or what an approver left of it. `None` without a request.
    #[must_use]
    pub fn standing_window(&self) -> Option<Window> {
        self.narrowed.as_ref().map(|n| n.window).or_else(|| self.request.as_ref().map(|r| r.submitted.requested))
    }

    /// Whether anybody was told of the emergency; `None` if it is none.
    #[must_use]
    pub fn announcement(&self) -> Option<Announcement> {
        self.announcement
    }

    /// Everyone in whose interest the request is: requester, recipient and principals acted for.
    #[must_use]
    pub fn interested(&self) -> Vec<PrincipalId> {
        let Some(request) = &self.request else {
            return Vec::new();
        };
        let mut all = request.submitted.requester.interested();
        all.push(request.submitted.recipient.clone());
        all
    }

    /// Everyone who may not approve or review: whoever has an interest, the owner of the agent that asks, and the holders of the
    /// grants above (INV-07).
    #[must_use]
    pub fn barred(&self) -> Vec<PrincipalId> {
        let mut all = self.barred_but_owner();
        all.extend(self.owner());
        all
    }

    /// Who answers for the agent that asks, if one does.
    fn owner(&self) -> Option<PrincipalId> {
        self.request.as_ref()?.submitted.requester.owner()
    }

    fn barred_but_owner(&self) -> Vec<PrincipalId> {
        let mut all = self.interested();
        let parent = self.request.as_ref().and_then(|request| request.submitted.parent.as_ref());
        all.extend(parent.into_iter().flat_map(|parent| parent.holders.iter().cloned()));
        all
    }

    /// What is due by itself at a moment, most pressing first.
    #[must_use]
    pub fn due_command(&self, now: Timestamp) -> Option<Command> {
        if self.closed {
            return None;
        }
        if let Some((obligation, _)) = self.obligations.iter().find(|(_, o)| !o.closed && !o.overdue && o.due <= now) {
            return Some(Command::ObligationOverdue { obligation: *obligation });
        }
        if matches!(self.phase(), Phase::Submitted | Phase::AwaitingApprovals)
            && self.lapses_at().is_some_and(|at| at <= now)
        {
            return Some(Command::Lapse);
        }
        if self.lapsed_extension(now).is_some() {
            return Some(Command::LapseExtension);
        }
        if self.next_escalation().is_some_and(|next| next.at <= now) {
            return Some(Command::Escalate);
        }
        if let Some(grant) = &self.grant
            && grant.end.is_none()
            && grant.approved.approved.end() <= now
        {
            return Some(Command::Expire);
        }
        for (id, credential) in &self.credentials {
            let known = matches!(credential.mint, MintState::Issued | MintState::FoundExisting);
            let settled = known && credential.may_live() && !credential.is_being_revoked();
            if settled && credential.dies_at().is_some_and(|at| at <= now) {
                return Some(Command::CredentialExpired { credential: *id });
            }
        }
        self.is_settled().then_some(Command::Close)
    }

    /// Whether nothing can follow: the request is over, no credential may live, every obligation is closed.
    fn is_settled(&self) -> bool {
        let over =
            matches!(self.phase(), Phase::Refused | Phase::Denied | Phase::Withdrawn | Phase::Lapsed | Phase::Ended);
        over && self.pending_extension().is_none()
            && !self.credentials.values().any(|c| c.may_live() || c.is_unresolved() || c.is_being_revoked())
            && self.obligations.values().all(|o| o.closed)
    }

    /// What may outlive an end at this moment.
    fn residual_access(&self, justified_by_others: bool) -> ResidualAccess {
        let living = self.credentials.iter().filter(|(_, c)| c.may_live());
        // A session outlives the credential that opened it, unless that was never released.
        let opened = |c: &CaseCredential| c.mint == MintState::Issued || c.may_live();
        let sessions = self.credentials.values().any(|c| opened(c) && !c.intended.capabilities.cuts_sessions);
        let credentials = living
            .map(|(id, c)| {
                let why = match (&c.mint, c.intended.capabilities.can_revoke) {
                    (MintState::Pending | MintState::Prepared, _) => code!("mint_under_way"),
                    (MintState::Unknown, _) => code!("outcome_unknown"),
                    _ if justified_by_others && c.is_shared() => code!("still_justified"),
                    (_, true) => code!("revocation_follows"),
                    (_, false) => code!("cannot_recall"),
                };
                ResidualCredential { credential: *id, until: c.dies_at(), why }
            })
            .collect();
        ResidualAccess { credentials, sessions }
    }

    /// The id that this case's grant has or will have.
    #[must_use]
    pub fn grant_id(&self) -> GrantId {
        GrantId::v8(self.derived_id("jit-evidence/1 grant id", b""))
    }

    fn obligation_id(&self, task: &Code) -> ObligationId {
        ObligationId::v8(self.derived_id("jit-evidence/1 obligation id", task.as_str().as_bytes()))
    }

    fn derived_id(&self, context: &str, of: &[u8]) -> [u8; 16] {
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(derive(context, &[self.id.as_bytes(), of])) {
            *to = from;
        }
        id
    }

    fn approved_window(&self, now: Timestamp) -> Option<Window> {
        self.standing_window()?.remainder(now)
    }
}
