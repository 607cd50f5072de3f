//! Commands to a case, what they need to know, and what comes of them.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    approval::{ApprovalContent, ApprovalList, ApprovalSignature},
    canonical::Value,
    case::Refusal,
    credential::{CredentialDescriptor, IssuerCapabilities},
    decision::Decision,
    digest::LeafHash,
    event::{AccessObserved, Event},
    holder_key::HolderKey,
    ids::{CredentialId, EntitlementId, GrantId, ObligationId},
    justification::Justification,
    principal::{Principal, PrincipalId},
    request::{Request, RequestLimits},
    scope::Scope,
    text::{Code, GroupName, IssuerName, Line, Prose},
    time::Timestamp,
    window::Window,
};

/// A decision with the input it was made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedDecision {
    /// What was decided.
    pub decision: Decision,
    /// The canonical input, as evaluated.
    pub input: Value,
}

/// An approver's act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approve {
    /// Who approves.
    pub approver: Principal,
    /// For which group of the quorum.
    pub group: GroupName,
    /// The groups the approver belongs to, as the caller has established.
    pub member_of: BTreeSet<GroupName>,
    /// What the approver was shown. Anything else than what the case asks for now is refused.
    pub content: ApprovalContent,
    /// What the approver said.
    pub comment: Option<Prose>,
    /// How the approver was authenticated.
    pub authentication: Option<Line>,
    /// The approver's signature over the content, or over the list.
    pub signature: Option<ApprovalSignature>,
    /// The list that was approved in one act, if it was one.
    pub list: Option<ApprovalList>,
}

/// An approver's wish to approve less than was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrow {
    /// Who narrows it.
    pub approver: Principal,
    /// For which group of the quorum.
    pub group: GroupName,
    /// The groups the approver belongs to, as the caller has established.
    pub member_of: BTreeSet<GroupName>,
    /// The scope to leave.
    pub scope: Scope,
    /// The window to leave.
    pub window: Window,
}

/// The intent to mint a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intend {
    /// The id of the credential, fixed now.
    pub credential: CredentialId,
    /// The issuer.
    pub issuer: IssuerName,
    /// What it can do.
    pub capabilities: IssuerCapabilities,
    /// When the credential will work.
    pub issued: Window,
    /// By how much its start is set back.
    pub backdate: Duration,
    /// The key that its holder will prove.
    pub holder_key: Option<HolderKey>,
    /// When a recovering process takes over if there is no outcome by then.
    pub resolve_at: Timestamp,
    /// The decision at issuance.
    pub evaluated: EvaluatedDecision,
    /// What is known of the parent grant.
    pub parent: ParentState,
}

/// What is known of the parent grant at issuance (INV-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentState {
    /// The request has no parent.
    None,
    /// The parent is active, and its stream is guarded by the append.
    Active,
    /// The parent is not active.
    Gone,
}

/// What is known of the parent grant when a grant below it is to last longer (INV-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentExtent {
    /// The request has no parent.
    None,
    /// The parent is active in this window, and its stream is guarded by the append.
    Active(Window),
    /// The parent is not active.
    Gone,
}

/// The wish for more time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extend {
    /// Who asks.
    pub by: PrincipalId,
    /// Until when access is asked for.
    pub until: Timestamp,
    /// Why.
    pub justification: Justification,
    /// What is known of the parent grant.
    pub parent: ParentExtent,
}

/// The opening of a window that was scheduled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The decision at the opening.
    pub evaluated: EvaluatedDecision,
    /// What is known of the parent grant.
    pub parent: ParentState,
}

/// Who ends a grant before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndBy {
    /// Its holder.
    Holder(PrincipalId),
    /// Somebody else who may.
    Other(PrincipalId),
    /// The end of its parent, by the parent's end record. A request that is not granted yet is denied.
    Parent(LeafHash),
    /// Somebody else who may, together with others. A request that is not granted yet is denied.
    Bulk {
        /// Who.
        by: PrincipalId,
        /// The record of the bulk act.
        act: LeafHash,
    },
    /// Another grant that takes its place.
    Grant {
        /// Who put it there.
        by: PrincipalId,
        /// The other grant, live and of the same recipient, as the caller has established under a guard.
        grant: GrantId,
        /// The record of its approval.
        approved: LeafHash,
    },
    /// The bar of an identity that the access serves. A request that is not granted yet is denied.
    Bar {
        /// Who barred it.
        by: PrincipalId,
        /// The record of the bar.
        bar: LeafHash,
    },
    /// Its target, where something was changed behind the broker's back.
    Target {
        /// What was found.
        finding: Code,
    },
}

/// What came of taking a credential back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// It is dead, and this was seen.
    Confirmed {
        /// What was seen.
        finding: Code,
    },
    /// It failed and is due again.
    Failed {
        /// Why.
        cause: Code,
        /// When.
        retry_at: Timestamp,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        cause: Code,
        /// When to look.
        reconcile_at: Timestamp,
    },
    /// It cannot be taken back.
    Irrevocable {
        /// Why.
        cause: Code,
        /// When it dies by itself.
        until: Option<Timestamp>,
    },
}

/// Something that a participant or the broker wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "commands are made one at a time")]
pub enum Command {
    /// Ask for access.
    Submit(Request),
    /// Record the policy's decision on the request.
    Evaluate(EvaluatedDecision),
    /// Record the policy's decision, at the last approval, that what was asked would still be permitted.
    Confirm(EvaluatedDecision),
    /// Record the policy's decision whether somebody may approve; they approve directly after it.
    JudgeApprover {
        /// Who.
        by: PrincipalId,
        /// The decision.
        evaluated: EvaluatedDecision,
    },
    /// Approve it.
    Approve(Approve),
    /// Take an own approval back before it had effect.
    WithdrawApproval {
        /// Who takes it back.
        by: PrincipalId,
        /// Why.
        reason: Option<Prose>,
    },
    /// Leave less of the request; whoever approved it before is asked again.
    Narrow(Narrow),
    /// A group did not answer in time, so another one is asked.
    Escalate,
    /// Deny it, as a member of a group of the quorum.
    Deny {
        /// Who denies.
        by: Principal,
        /// For which group.
        group: GroupName,
        /// The groups the denier belongs to, as the caller has established.
        member_of: BTreeSet<GroupName>,
        /// Why.
        reason: Option<Prose>,
    },
    /// Take the request back.
    Withdraw {
        /// Who takes it back.
        by: PrincipalId,
        /// Why.
        reason: Option<Prose>,
    },
    /// Nobody decided in time.
    Lapse,
    /// The approved window opened.
    Open(Open),
    /// Ask for more time.
    Extend(Extend),
    /// Record the policy's decision on the extension asked for.
    EvaluateExtension(EvaluatedDecision),
    /// Take the extension asked for back.
    WithdrawExtension {
        /// Who takes it back.
        by: PrincipalId,
        /// Why.
        reason: Option<Prose>,
    },
    /// Nobody decided on the extension in time.
    LapseExtension,
    /// Intend to mint.
    Intend(Intend),
    /// Intend to mint a fresh credential while an earlier one still lives.
    Renew(Intend),
    /// Record that the target prepared the credential.
    Prepared {
        /// Which.
        credential: CredentialId,
        /// What will exist.
        descriptor: CredentialDescriptor,
    },
    /// Record that the credential exists.
    Issued {
        /// Which.
        credential: CredentialId,
        /// What exists.
        descriptor: CredentialDescriptor,
    },
    /// Record that there is none.
    MintFailed {
        /// Which.
        credential: CredentialId,
        /// Why.
        cause: Code,
    },
    /// Record that nobody knows.
    MintUnknown {
        /// Which.
        credential: CredentialId,
        /// Why.
        cause: Code,
        /// When to look.
        reconcile_at: Timestamp,
    },
    /// Record what was found out.
    MintReconciled {
        /// Which.
        credential: CredentialId,
        /// What exists, if anything does.
        existing: Option<CredentialDescriptor>,
        /// What was found.
        finding: Code,
    },
    /// The approved window ended.
    Expire,
    /// End the access before its time.
    End {
        /// Who ends it.
        by: EndBy,
        /// Why, as a code.
        cause: Code,
        /// Why, in words.
        reason: Option<Prose>,
    },
    /// Intend to take a credential back.
    IntendRevocation {
        /// Which.
        credential: CredentialId,
        /// Why.
        cause: Code,
        /// When a recovering process takes over if there is no outcome by then.
        resolve_at: Timestamp,
    },
    /// Record what came of it.
    Revocation {
        /// Which.
        credential: CredentialId,
        /// What came of it.
        outcome: RevocationOutcome,
    },
    /// Record what was found out after an unknown outcome.
    RevocationReconciled {
        /// Which.
        credential: CredentialId,
        /// Whether it is dead.
        dead: bool,
        /// What was found.
        finding: Code,
        /// When the next attempt is due, if it is not.
        retry_at: Option<Timestamp>,
    },
    /// Ask that a credential that could not be taken back be tried again.
    DemandRevocation {
        /// Which.
        credential: CredentialId,
        /// Who asks.
        by: PrincipalId,
        /// Why.
        reason: Option<Prose>,
    },
    /// What a credential stands for at its target stays, because another live grant has it there too.
    HandOver {
        /// Which.
        credential: CredentialId,
        /// The other grant, as the caller has established under a guard.
        to: GrantId,
    },
    /// A credential stopped working by itself.
    CredentialExpired {
        /// Which.
        credential: CredentialId,
    },
    /// An obligation was not met in time.
    ObligationOverdue {
        /// Which.
        obligation: ObligationId,
    },
    /// Somebody was told of the emergency, or could not be.
    Announced {
        /// By what.
        channel: Code,
        /// Why nobody was told, if so.
        failure: Option<Code>,
        /// When it is tried again, if so.
        retry_at: Option<Timestamp>,
    },
    /// Record the policy's decision whether somebody may review; they close the review directly after it.
    JudgeReviewer {
        /// Who.
        by: PrincipalId,
        /// The decision.
        evaluated: EvaluatedDecision,
    },
    /// Record that the access was used, as its target says.
    Observe {
        /// With which credential.
        credential: CredentialId,
        /// What the target says.
        used: AccessObserved,
    },
    /// Close an obligation.
    CloseObligation {
        /// Which.
        obligation: ObligationId,
        /// Who closes it.
        by: Principal,
        /// What was found.
        finding: Code,
        /// The review, or the justification.
        text: Option<Prose>,
    },
    /// Put on record whether a condition of the grant was enforced.
    ReportCondition {
        /// Which.
        condition: Code,
        /// Whether it was enforced.
        enforced: bool,
        /// Who says so.
        by: PrincipalId,
    },
    /// Put on record that a participant's act was refused by the caller, who knows something the case does not.
    Refuse {
        /// Who tried.
        by: PrincipalId,
        /// What, as a code.
        act: Code,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// Close the case.
    Close,
}

/// What a decision may depend on besides case and command. Nothing else is read.
#[derive(Debug, Clone)]
pub struct Context {
    /// The moment of the decision.
    pub now: Timestamp,
    /// What the broker accepts at most.
    pub limits: RequestLimits,
    /// The ledger that a grant of this case is entered in.
    pub entitlement: EntitlementId,
    /// Other live grants on the same entitlement, for an end.
    pub still_justified_by: Vec<GrantId>,
}

/// One event of a decided command, with the credential it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happened.
    pub event: Event,
    /// The credential it is about.
    pub about: Option<CredentialId>,
}

/// What comes of a command. A refusal may have events too: they are recorded, and the command is refused all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the events must be recorded"]
pub struct Decided {
    /// What to record, in order.
    pub steps: Vec<Step>,
    /// Whether the command did what it asked for.
    pub outcome: Result<(), Refusal>,
}

impl Decided {
    pub(super) fn done(events: impl IntoIterator<Item = Event>) -> Self {
        Self { steps: events.into_iter().map(|event| Step { event, about: None }).collect(), outcome: Ok(()) }
    }

    pub(super) fn about(credential: CredentialId, events: impl IntoIterator<Item = Event>) -> Self {
        let steps = events.into_iter().map(|event| Step { event, about: Some(credential) }).collect();
        Self { steps, outcome: Ok(()) }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { steps: Vec::new(), outcome: Err(refusal) }
    }

    pub(super) fn but(mut self, refusal: Refusal) -> Self {
        self.outcome = Err(refusal);
        self
    }
}
