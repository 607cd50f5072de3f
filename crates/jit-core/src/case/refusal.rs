//! Why a command is refused.

use crate::{
    case::Phase,
    code,
    credential::CredentialDescriptor,
    demand::JustificationLack,
    ids::{CredentialId, GrantId, ObligationId},
    principal::PrincipalId,
    request::RequestError,
    text::{Code, GroupName},
    time::Timestamp,
};

/// Why a command was refused. What was recorded about it stands beside it in `Decided`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The case is closed.
    #[error("case is closed")]
    Closed,
    /// The command does not fit where the case stands.
    #[error("not possible while the case is {0:?}")]
    Phase(Phase),
    /// The request may not be made.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Not the requester's or holder's own act.
    #[error("{0} is neither requester nor holder")]
    NotOwn(PrincipalId),
    /// Somebody with an interest cannot approve or review (INV-07, INV-19).
    #[error("{0} has an interest in the request")]
    Interested(PrincipalId),
    /// An approver counts once (INV-07).
    #[error("{0} has approved already")]
    ApprovedAlready(PrincipalId),
    /// A rule, not a person, wants to approve as a member of a group.
    #[error("a rule or agent cannot approve as a member of a group")]
    NotAPerson,
    /// The quorum names no such group, or its count is met.
    #[error("group {0} is not asked")]
    GroupNotAsked(GroupName),
    /// Somebody wants to approve or deny for a group they do not belong to.
    #[error("{by} does not belong to group {group}")]
    NotAMember {
        /// Who.
        by: PrincipalId,
        /// For which group.
        group: GroupName,
    },
    /// A policy says that somebody may not approve or review.
    #[error("the policy does not let {0} judge this request")]
    NotEligible(PrincipalId),
    /// The signature is not what its scheme says, or its key is not the approver's.
    #[error("the signature of the approval is not the approver's")]
    Signature,
    /// An approval must be signed by a key of the approver's that can be verified here.
    #[error("the approval must be signed by a known key of the approver's")]
    SignatureMissing,
    /// There is no approval of theirs that could be taken back.
    #[error("{0} has no approval that counts here")]
    NoApproval(PrincipalId),
    /// What an approver wants to leave is not less than what is asked for now.
    #[error("that is not narrower than what is asked for")]
    NotNarrower,
    /// What is asked has been narrowed, and approvals have been taken back, too often.
    #[error("too many approvals were taken back or narrowed")]
    TooManyChanges,
    /// No group has been silent for too long.
    #[error("no escalation is due")]
    NoEscalation,
    /// The time for approvals is over.
    #[error("approvals were due before {0}")]
    DeadlinePassed(Timestamp),
    /// A justification that follows lacks something.
    #[error(transparent)]
    Justification(#[from] JustificationLack),
    /// Nobody is to be told of an emergency here.
    #[error("no announcement is due")]
    NoAnnouncement,
    /// What the approver was shown is not what is asked now (INV-08).
    #[error("what was approved is not what is asked now")]
    Content,
    /// It is too early or too late.
    #[error("nothing can be issued at {now}: the approved window is not open")]
    WindowNotOpen {
        /// The moment of the command.
        now: Timestamp,
    },
    /// The issuer's target gives nothing for so short a time.
    #[error("what is left of the approved window is shorter than the {0} s that the issuer can mint")]
    TooShort(u32),
    /// Not due yet.
    #[error("not due before {0}")]
    NotDue(Timestamp),
    /// The issued window or scope is not within what was approved (INV-05).
    #[error("the window to be issued is not within the approved one")]
    BeyondApproved,
    /// The policy no longer permits, or demands more than was approved (INV-08). The grant has ended.
    #[error("the policy no longer permits the access as approved")]
    NoLongerPermitted,
    /// The approved window is over, so it cannot be made longer.
    #[error("the approved window ended at {0}")]
    WindowOver(Timestamp),
    /// An extension asks for nothing that is not approved already.
    #[error("access is approved until {0} already")]
    NotLonger(Timestamp),
    /// An extension would outlast the parent grant (INV-15).
    #[error("the parent grant ends at {0}")]
    BeyondParent(Timestamp),
    /// An earlier extension is not decided yet.
    #[error("an extension is asked for already and not decided yet")]
    ExtensionPending,
    /// No extension awaits a decision.
    #[error("no extension awaits a decision")]
    NoExtension,
    /// The case takes no more of them.
    #[error("too many extensions were asked for")]
    TooManyExtensions,
    /// The parent grant is not active (INV-15).
    #[error("the parent grant is not active")]
    ParentGone,
    /// An earlier mint has no outcome yet.
    #[error("credential {0} has no outcome yet")]
    Unresolved(CredentialId),
    /// A credential is issued; its secret was handed out once and is not retained.
    #[error("credential {} is issued already and its secret is not retained", .0.id)]
    SecretNotRetained(Box<CredentialDescriptor>),
    /// No such credential, or not in a state for this.
    #[error("credential {0} is not in a state for this")]
    Credential(CredentialId),
    /// What the issuer made is not what was intended (another subject, a longer life, another id).
    #[error("credential {0} is not what was intended")]
    NotAsIntended(CredentialId),
    /// The case ended while the credential was being minted: it must be revoked and not released.
    #[error("the grant ended before credential {0} was recorded")]
    EndedMeanwhile(CredentialId),
    /// No such open obligation.
    #[error("obligation {0} is not open")]
    Obligation(ObligationId),
    /// A justification that is due must be given.
    #[error("obligation {0} needs a text")]
    TextMissing(ObligationId),
    /// A grant cannot take its own place, nor that of another recipient's, nor if it is not active.
    #[error("grant {0} cannot take this one's place")]
    NotAnotherGrant(GrantId),
    /// An identity that the access serves is barred.
    #[error("{0} is barred")]
    Barred(PrincipalId),
    /// The grant has no such condition.
    #[error("the grant has no condition {0}")]
    NoSuchCondition(Code),
    /// A condition must be enforced before anything is minted, and nobody has reported that it was.
    #[error("condition {0} is not reported as enforced")]
    ConditionUnmet(Code),
    /// The case takes no more of them; they are recorded beside it.
    #[error("too many uses of the access are on record in the case")]
    TooManyUses,
    /// Something is still open.
    #[error("case cannot be closed yet")]
    NotSettled,
}

impl Refusal {
    /// A stable code for records.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Closed => code!("closed"),
            Self::Phase(_) => code!("phase"),
            Self::Request(error) => error.code(),
            Self::NotOwn(_) => code!("not_own"),
            Self::Interested(_) => code!("interested"),
            Self::ApprovedAlready(_) => code!("approved_already"),
            Self::NotAPerson => code!("not_a_person"),
            Self::GroupNotAsked(_) => code!("group_not_asked"),
            Self::NotAMember { .. } => code!("not_a_member"),
            Self::NotEligible(_) => code!("not_eligible"),
            Self::Signature => code!("signature"),
            Self::SignatureMissing => code!("signature_missing"),
            Self::NoApproval(_) => code!("no_approval"),
            Self::NotNarrower => code!("not_narrower"),
            Self::TooManyChanges => code!("too_many_changes"),
            Self::NoEscalation => code!("no_escalation"),
            Self::DeadlinePassed(_) => code!("deadline_passed"),
            Self::Justification(lack) => lack.code(),
            Self::NoAnnouncement => code!("no_announcement"),
            Self::Content => code!("content"),
            Self::WindowNotOpen { .. } => code!("window_not_open"),
            Self::TooShort(_) => code!("too_short"),
            Self::NotDue(_) => code!("not_due"),
            Self::BeyondApproved => code!("beyond_approved"),
            Self::NoLongerPermitted => code!("no_longer_permitted"),
            Self::WindowOver(_) => code!("window_over"),
            Self::NotLonger(_) => code!("not_longer"),
            Self::BeyondParent(_) => code!("beyond_parent"),
            Self::ExtensionPending => code!("extension_pending"),
            Self::NoExtension => code!("no_extension"),
            Self::TooManyExtensions => code!("too_many_extensions"),
            Self::ParentGone => code!("parent_gone"),
            Self::Unresolved(_) => code!("unresolved"),
            Self::SecretNotRetained(_) => code!("secret_not_retained"),
            Self::Credential(_) => code!("credential"),
            Self::NotAsIntended(_) => code!("not_as_intended"),
            Self::EndedMeanwhile(_) => code!("ended_meanwhile"),
            Self::Obligation(_) => code!("obligation"),
            Self::TextMissing(_) => code!("text_missing"),
            Self::NotAnotherGrant(_) => code!("not_another_grant"),
            Self::Barred(_) => code!("barred"),
            Self::NoSuchCondition(_) => code!("no_such_condition"),
            Self::ConditionUnmet(_) => code!("condition_unmet"),
            Self::TooManyUses => code!("too_many_uses"),
            Self::NotSettled => code!("not_settled"),
        }
    }
}
