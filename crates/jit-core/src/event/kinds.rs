//! The record kinds of version 1: kind, stream, fields with their places. What was added to the version later stands last.

use super::{
    EventError, UnknownKind,
    table::{FieldSpec, StreamFamily, events, held, place},
};
use crate::{
    approval::{ApprovalList, ApprovalMethod, ApprovalSignature},
    canonical::{self, CanonicalError, Value},
    credential::{CredentialDescriptor, IssuerCapabilities},
    decision::{Decision, EvaluationPurpose},
    digest::{ExternalDigest, LeafHash, PolicyDigest},
    ending::{EndSelector, Ending},
    external::ExternalRef,
    governance::{HoldSelector, IndexRange, LogPredecessor, RetentionTerms, TargetAct},
    holder_key::HolderKey,
    ids::{CaseId, EntitlementId, GrantId, HoldId, ObligationId},
    justification::Justification,
    obligation::Condition,
    origin::LogOrigin,
    principal::{Principal, PrincipalId},
    provenance::{Provenance, TokenClaims},
    record::{FieldName, StreamHead},
    request::{BreakGlass, ParentGrant},
    scope::Scope,
    source::Seconds,
    text::{Code, ExternalId, GroupName, IssuerName, Line, Prose, RetentionClass, SystemName, Version},
    time::Timestamp,
    window::Window,
};

events! {
    /// Somebody asked for access.
    RequestSubmitted = "request.submitted" in Case {
        /// Who asks.
        keep requester: Principal,
        /// Who receives the privilege.
        keep recipient: PrincipalId,
        /// What is asked for.
        keep scope: Scope,
        /// When it is asked for.
        keep requested: Window,
        /// Why, verbatim; missing only where an emergency defers it, or after an erasure.
        personal justification: Justification,
        /// Whether a justification was given at all.
        keep justified: bool,
        /// The emergency, if it is one.
        keep break_glass: Option<BreakGlass>,
        /// The grant above, if the authority is delegated.
        keep parent: Option<ParentGrant>,
        /// References to other systems.
        keep external: Vec<ExternalRef>,
        /// The requester's attributes as copied from its issuer.
        personal attributes: Value,
        /// Who asserted what of the requester, and the tokens verified for it.
        keep provenance: Option<Provenance>,
        /// The claims of those tokens, verbatim.
        personal claims: Vec<TokenClaims>,
    }
    /// A request could not be accepted: its code, never its content.
    RequestRefused = "request.refused" in CaseOrOps {
        /// Who asked; absent if nobody was authenticated.
        keep requester: Option<PrincipalId>,
        /// Why it was refused.
        keep code: Code,
        /// How many refusals of this requester and code this record stands for.
        keep count: u64,
    }
    /// The requester took the request back.
    RequestWithdrawn = "request.withdrawn" in Case {
        /// Who took it back.
        keep by: PrincipalId,
        /// Why.
        personal reason: Prose,
    }
    /// Nobody decided before the requested window ended.
    RequestLapsed = "request.lapsed" in Case {
        /// When it lapsed.
        keep deadline: Timestamp,
    }
    /// A policy was asked.
    PolicyEvaluated = "policy.evaluated" in Case {
        /// Why it was asked.
        keep purpose: EvaluationPurpose,
        /// The core of the decision.
        keep decision: Decision,
        /// The canonical input, as evaluated: what replay needs.
        personal input: Value,
        /// The approver or reviewer that was judged; absent if the request was.
        keep about: Option<PrincipalId>,
    }
    /// Somebody, or a rule, approved exactly what the references name.
    ApprovalRecorded = "approval.recorded" in Case {
        /// Who approved.
        keep approver: PrincipalId,
        /// How.
        keep method: ApprovalMethod,
        /// For which group of the quorum; absent when a rule approved.
        keep group: Option<GroupName>,
        /// The leaf of the request, which commits to recipient and justification.
        keep request: LeafHash,
        /// The scope approved.
        keep scope: Scope,
        /// The window approved; its end is absolute.
        keep approved: Window,
        /// The conditions approved.
        keep conditions: Vec<Condition>,
        /// What the approver said.
        personal comment: Prose,
        /// How the approver was authenticated.
        personal authentication: Line,
        /// The approver's signature over what was shown.
        keep signature: Option<ApprovalSignature>,
        /// The list that was approved in one act, if it was one; the signature covers it then.
        keep list: Option<ApprovalList>,
        /// The leaf of the decision that the approver may approve, if a policy was asked.
        keep eligibility: Option<LeafHash>,
        /// When the next group is asked, or the request lapses, unless enough people answer.
        keep next: Option<Timestamp>,
    }
    /// An approver narrowed scope or window.
    ApprovalNarrowed = "approval.narrowed" in Case {
        /// Who narrowed it.
        keep by: PrincipalId,
        /// The scope that is left.
        keep scope: Scope,
        /// The window that is left.
        keep approved: Window,
        /// When the next group is asked, or the request lapses, unless enough people answer.
        keep next: Option<Timestamp>,
    }
    /// An approver took an approval back before it had effect.
    ApprovalWithdrawn = "approval.withdrawn" in Case {
        /// Who took it back.
        keep by: PrincipalId,
        /// The leaf of the approval.
        keep approval: LeafHash,
        /// Why.
        personal reason: Prose,
        /// When the next group is asked, or the request lapses, unless enough people answer.
        keep next: Option<Timestamp>,
    }
    /// Approvals no longer count, because what they were given for no longer holds.
    ApprovalVoided = "approval.voided" in Case {
        /// Why.
        keep cause: Code,
    }
    /// Nobody of a group answered in time; another group was asked.
    ApprovalEscalated = "approval.escalated" in Case {
        /// The group that did not answer.
        keep from: GroupName,
        /// The group asked now, besides those asked before.
        keep to: GroupName,
        /// When the next group is asked, or the request lapses, unless enough people answer.
        keep next: Option<Timestamp>,
    }
    /// A condition of a grant was enforced, or was not.
    ConditionReported = "condition.reported" in Case {
        /// The condition.
        keep condition: Code,
        /// Whether it was enforced.
        keep enforced: bool,
        /// Who says so.
        keep by: PrincipalId,
    }
    /// Access is approved: who, what, when, under which conditions.
    GrantApproved = "grant.approved" in Case {
        /// Who receives the privilege.
        keep recipient: PrincipalId,
        /// What is approved.
        keep scope: Scope,
        /// When.
        keep approved: Window,
        /// Under which conditions.
        keep conditions: Vec<Condition>,
        /// The ledger that the grant will be entered in.
        keep entitlement: EntitlementId,
    }
    /// Access is denied.
    GrantDenied = "grant.denied" in Case {
        /// Who denied it; a rule when the policy did.
        keep by: Option<PrincipalId>,
        /// Why, as a code.
        keep cause: Code,
        /// Why, in words.
        personal reason: Prose,
    }
    /// The holder asked for more time.
    ExtensionRequested = "extension.requested" in Case {
        /// Who asked.
        keep by: PrincipalId,
        /// The window asked for.
        keep requested: Window,
        /// Why.
        personal justification: Justification,
    }
    /// The grant lasts longer.
    GrantExtended = "grant.extended" in Case {
        /// The window approved now.
        keep approved: Window,
    }
    /// A credential is about to be minted: what to look for after a crash.
    CredentialIntended = "credential.intended" in Case {
        /// The issuer.
        keep issuer: IssuerName,
        /// What it can do.
        keep capabilities: IssuerCapabilities,
        /// Whom the credential will identify.
        keep subject: PrincipalId,
        /// What it will allow.
        keep scope: Scope,
        /// When it will work.
        keep issued: Window,
        /// By how much its start is set back for slow clocks, in seconds.
        keep backdate_s: u32,
        /// When a recovering process takes over if there is no outcome by then.
        keep resolve_at: Timestamp,
        /// The key that its holder will prove; absent if whoever has the credential can use it, or if it comes with its key.
        keep holder_key: Option<HolderKey>,
    }
    /// The target has prepared the credential; it does not work yet.
    CredentialPrepared = "credential.prepared" in Case {
        /// The credential.
        keep descriptor: CredentialDescriptor,
    }
    /// A credential exists.
    CredentialIssued = "credential.issued" in Case {
        /// The credential.
        keep descriptor: CredentialDescriptor,
    }
    /// No credential was minted.
    CredentialFailed = "credential.failed" in Case {
        /// Why, as a code.
        keep cause: Code,
    }
    /// Nobody knows whether a credential was minted.
    CredentialUnknown = "credential.unknown" in Case {
        /// Why, as a code.
        keep cause: Code,
        /// When to look.
        keep reconcile_at: Timestamp,
    }
    /// It was found out whether a credential was minted.
    CredentialReconciled = "credential.reconciled" in Case {
        /// Whether a credential may exist at the target.
        keep exists: bool,
        /// What was found, as a code.
        keep finding: Code,
        /// The credential, when it exists.
        keep descriptor: Option<CredentialDescriptor>,
    }
    /// A credential stopped working by itself.
    CredentialExpired = "credential.expired" in Case {
        /// When.
        keep expired_at: Timestamp,
    }
    /// Access is active.
    GrantActivated = "grant.activated" in Case {
        /// Since when.
        keep actual_start: Timestamp,
    }
    /// The approved window ended.
    GrantExpired = "grant.expired" in Case {
        /// The circumstances.
        keep ending: Ending,
    }
    /// Somebody ended the access before its time.
    GrantRevoked = "grant.revoked" in Case {
        /// The circumstances.
        keep ending: Ending,
        /// Why, in words.
        personal reason: Prose,
    }
    /// The holder gave the access back before its time.
    GrantTerminated = "grant.terminated" in Case {
        /// The circumstances.
        keep ending: Ending,
        /// Why, in words.
        personal reason: Prose,
    }
    /// Another grant took this one's place.
    GrantSuperseded = "grant.superseded" in Case {
        /// The circumstances.
        keep ending: Ending,
        /// The grant that took its place.
        keep by_grant: GrantId,
    }
    /// The policy no longer permits the access.
    GrantEligibilityWithdrawn = "grant.eligibility_withdrawn" in Case {
        /// The circumstances.
        keep ending: Ending,
    }
    /// The access was changed at the target behind the broker's back.
    GrantExternallyModified = "grant.externally_modified" in Case {
        /// The circumstances.
        keep ending: Ending,
        /// What was found, as a code.
        keep finding: Code,
    }
    /// A credential is about to be taken back.
    RevocationIntended = "revocation.intended" in Case {
        /// Why, as a code.
        keep cause: Code,
        /// Which attempt this is, from 1.
        keep attempt: u32,
        /// When a recovering process takes over if there is no outcome by then.
        keep resolve_at: Timestamp,
    }
    /// A credential is dead, and this was seen.
    RevocationConfirmed = "revocation.confirmed" in Case {
        /// What was seen, as a code.
        keep finding: Code,
    }
    /// An attempt to take a credential back failed; another follows.
    RevocationFailed = "revocation.failed" in Case {
        /// Why, as a code.
        keep cause: Code,
        /// When the next attempt is due.
        keep retry_at: Timestamp,
    }
    /// Nobody knows whether a credential was taken back.
    RevocationUnknown = "revocation.unknown" in Case {
        /// Why, as a code.
        keep cause: Code,
        /// When to look.
        keep reconcile_at: Timestamp,
    }
    /// It was found out whether a credential was taken back.
    RevocationReconciled = "revocation.reconciled" in Case {
        /// Whether the credential is dead.
        keep dead: bool,
        /// What was found, as a code.
        keep finding: Code,
        /// When the next attempt is due, if it is not.
        keep retry_at: Option<Timestamp>,
    }
    /// A credential cannot be taken back. An alarm, unless it dies by itself.
    RevocationIrrevocable = "revocation.irrevocable" in Case {
        /// Why, as a code.
        keep cause: Code,
        /// When it dies by itself; absent if it does not.
        keep until: Option<Timestamp>,
    }
    /// The access was used, as the target says. In a stream of its own where the case is closed, or has enough of them.
    AccessObserved = "access.observed" in CaseOrOps {
        /// The system that says so.
        keep system: SystemName,
        /// When.
        keep occurred_at: Timestamp,
        /// What was done, as a code.
        keep act: Code,
        /// What the target logged.
        personal detail: Prose,
        /// Whom the target took the user for, where it knows that by other means than the credential.
        keep by: Option<PrincipalId>,
        /// SHA-256 of the target's line.
        personal line: ExternalDigest,
    }
    /// An emergency was declared.
    BreakGlassInvoked = "break_glass.invoked" in Case {
        /// By whom.
        keep by: PrincipalId,
        /// The emergency.
        keep emergency: BreakGlass,
    }
    /// Something must be done before a deadline.
    ObligationOpened = "obligation.opened" in Case {
        /// Names the obligation.
        keep obligation: ObligationId,
        /// What must be done: `review` or `justification`.
        keep task: Code,
        /// Until when.
        keep due: Timestamp,
    }
    /// It was done.
    ObligationClosed = "obligation.closed" in Case {
        /// Names the obligation.
        keep obligation: ObligationId,
        /// Who did it.
        keep by: PrincipalId,
        /// What was found, as a code.
        keep finding: Code,
        /// The review, or the justification.
        personal text: Prose,
        /// The leaf of the decision that the reviewer may review, if a policy was asked.
        keep eligibility: Option<LeafHash>,
    }
    /// Another system signalled something about this access.
    SignalReceived = "signal.received" in Case {
        /// The system.
        keep system: SystemName,
        /// The signal, as a code.
        keep signal: Code,
        /// Its id there.
        keep id: ExternalId,
    }
    /// A participant's act came too late, conflicted, or was not theirs to do.
    CommandRefused = "command.refused" in Case {
        /// Who tried.
        keep by: PrincipalId,
        /// What, as a code.
        keep act: Code,
        /// Why it was refused.
        keep code: Code,
    }
    /// The last record of a case.
    CaseClosed = "case.closed" in Case {
        /// How many records the case has, this one included.
        fact count: u64,
    }
    /// A case goes on in this log that began in another.
    CaseContinued = "case.continued" in Case {
        /// The other log.
        fact origin: LogOrigin,
        /// The stream there.
        fact stream: String,
        /// The number of its last record there.
        fact n: u64,
        /// The leaf of its last record there.
        fact leaf: LeafHash,
        /// A checkpoint of the other log that covers it, verbatim.
        fact checkpoint: String,
    }
    /// A grant began or ceased to justify an entitlement.
    EntitlementChanged = "entitlement.changed" in Entitlement {
        /// Whether the grant justifies it now.
        keep held: bool,
        /// The case of the grant.
        keep case: CaseId,
        /// Until when it is planned to.
        keep until: Timestamp,
        /// All grants that justify the entitlement now, sorted.
        keep live: Vec<GrantId>,
    }
    /// A policy snapshot was proposed; the references name it, and its text is in the store under its digest.
    PolicyProposed = "policy.proposed" in Policy {
        /// By whom.
        keep by: PrincipalId,
    }
    /// A policy snapshot was approved; the references name it, and the proposal as the cause.
    PolicyApproved = "policy.approved" in Policy {
        /// By whom.
        keep by: PrincipalId,
        /// For which group; absent where no group was asked.
        keep group: Option<GroupName>,
    }
    /// A policy snapshot is in force; its text is in the store under its digest. Where it was reviewed, the references name the
    /// proposal as the cause, and the approvals.
    PolicyPublished = "policy.published" in Policy {
        /// The digest of its manifest.
        fact snapshot: PolicyDigest,
        /// By whom.
        keep by: PrincipalId,
    }
    /// The log was created.
    LogOpened = "log.opened" in Gov {
        /// The evidence format.
        fact format: Version,
        /// The keys that sign it, as vkeys.
        fact keys: Vec<String>,
        /// How long the log may be silent, in seconds.
        fact heartbeat_s: u32,
        /// The log it follows, if any.
        fact predecessor: Option<LogPredecessor>,
    }
    /// The log takes no more records.
    LogClosed = "log.closed" in Gov {
        /// Why, as a code.
        fact cause: Code,
    }
    /// Another key signs the log.
    LogKeyRotated = "log.key_rotated" in Gov {
        /// The vkey that signed so far.
        fact old: String,
        /// The vkey that signs from here on.
        fact new: String,
        /// The last size that the old key signs alone.
        fact last_size: u64,
    }
    /// Nothing happened for a while, and the log lives. Also written when an operator accepts a missing anchor.
    LogHeartbeat = "log.heartbeat" in Gov {
        /// How long the log was silent at least, in seconds.
        fact silent_s: u32,
        /// Whether an operator accepted that no anchor was found.
        fact anchor_accepted_missing: bool,
    }
    /// A root over all streams. Reserved.
    LogSummary = "log.summary" in Gov {
        /// How many streams it covers.
        fact streams: u64,
        /// The RFC 6962 root over them.
        fact root: LeafHash,
    }
    /// How long which records are kept.
    RetentionDeclared = "retention.declared" in Gov {
        /// The classes.
        fact classes: Vec<RetentionTerms>,
    }
    /// Records must not be purged.
    HoldPlaced = "hold.placed" in Gov {
        /// Names the hold.
        fact hold: HoldId,
        /// Which records.
        fact selector: HoldSelector,
        /// Under what authority.
        fact authority: Line,
    }
    /// A hold covers one more stream.
    HoldExtended = "hold.extended" in Gov {
        /// Names the hold.
        fact hold: HoldId,
        /// The stream.
        fact stream: crate::record::StreamId,
    }
    /// A hold ends.
    HoldReleased = "hold.released" in Gov {
        /// Names the hold.
        fact hold: HoldId,
        /// The two or more who released it.
        fact actors: Vec<PrincipalId>,
    }
    /// An act that needs two persons was proposed.
    ActionProposed = "action.proposed" in Gov {
        /// The act.
        fact act: TargetAct,
        /// By whom.
        fact by: PrincipalId,
    }
    /// An act that needs two persons was approved.
    ActionApproved = "action.approved" in Gov {
        /// The leaf of the proposal.
        fact proposal: LeafHash,
        /// By whom.
        fact by: PrincipalId,
    }
    /// Payloads were removed because their retention is over.
    PurgeExecuted = "purge.executed" in Erasure {
        /// The retention class.
        fact class: RetentionClass,
        /// Whatever ended before this was removed.
        fact cutoff: Timestamp,
        /// How many payloads.
        fact count: u64,
        /// Which indexes, ascending.
        fact ranges: Vec<IndexRange>,
        /// The RFC 6962 root over `(u64be index ‖ leaf hash)` of what went.
        fact root: LeafHash,
    }
    /// Personal fields of a record were removed by an order.
    FieldErased = "field.erased" in Erasure {
        /// The record.
        fact leaf: LeafHash,
        /// Which fields.
        fact names: Vec<FieldName>,
        /// On what basis.
        fact basis: Line,
        /// The two or more who ordered it.
        fact actors: Vec<PrincipalId>,
    }
    /// Somebody read evidence.
    EvidenceRead = "evidence.read" in Ops {
        /// Who.
        keep by: PrincipalId,
        /// What was asked, as a code.
        keep query: Code,
        /// With which parameters.
        personal parameters: Value,
    }
    /// Somebody took evidence out.
    EvidenceExported = "evidence.exported" in Ops {
        /// Who.
        keep by: PrincipalId,
        /// Which case, if it was one.
        keep case: Option<CaseId>,
        /// Which fields were withheld.
        keep withheld: Vec<FieldName>,
        /// Why they were withheld, as a code.
        keep why: Option<Code>,
    }
    /// A credential at a target that no record explains.
    OrphanFound = "orphan.found" in Ops {
        /// The issuer.
        keep issuer: IssuerName,
        /// Its name at the target.
        keep name: ExternalId,
    }
    /// Such a credential was ended.
    OrphanEnded = "orphan.ended" in Ops {
        /// The issuer.
        keep issuer: IssuerName,
        /// Its name at the target.
        keep name: ExternalId,
        /// What was seen, as a code.
        keep finding: Code,
    }
    /// A review of accesses was signed off.
    ReviewSignedOff = "review.signed_off" in Ops {
        /// By whom.
        keep by: PrincipalId,
        /// Where `gov` stood.
        keep gov: StreamHead,
        /// How long the review covers, in seconds before this record.
        keep covers: Seconds,
    }
    /// No more time was given; the grant is as it was.
    ExtensionFailed = "extension.failed" in Case {
        /// Who denied it or took it back; a rule when the policy did, absent when time did.
        keep by: Option<PrincipalId>,
        /// Why, as a code.
        keep cause: Code,
        /// Why, in words.
        personal reason: Prose,
    }
    /// Somebody asked that a credential be tried again that could not be taken back.
    RevocationDemanded = "revocation.demanded" in Case {
        /// Who asked.
        keep by: PrincipalId,
        /// Why.
        personal reason: Prose,
    }
    /// What a credential without secret stands for at its target stays, because another live grant justifies it there: from
    /// here on it ends with that grant (INV-21).
    CredentialHandedOver = "credential.handed_over" in Case {
        /// The grant whose own credential of the same issuer it goes on under.
        keep to: GrantId,
    }
    /// Somebody ordered that many grants end; the record is the cause of each end.
    BulkEndOrdered = "bulk_end.ordered" in Ops {
        /// Who ordered it.
        keep by: PrincipalId,
        /// Which grants.
        keep selector: EndSelector,
        /// Why, as a code.
        keep cause: Code,
        /// Why, in words.
        personal reason: Prose,
    }
    /// Every grant that a bulk act or a bar was about has ended.
    BulkEndCompleted = "bulk_end.completed" in Ops {
        /// How many it ended.
        keep ended: u64,
        /// How many had ended before.
        keep already_ended: u64,
    }
    /// From here on nothing can be requested by or issued for an identity, and its grants end.
    IdentityBarred = "identity.barred" in Ops {
        /// Whose.
        keep identity: PrincipalId,
        /// Who barred it.
        keep by: PrincipalId,
        /// Why, as a code.
        keep cause: Code,
        /// Why, in words.
        personal reason: Prose,
    }
    /// An identity may be given access again.
    IdentityReinstated = "identity.reinstated" in Ops {
        /// Which.
        keep identity: PrincipalId,
        /// Who lifted the bar.
        keep by: PrincipalId,
        /// Why, in words.
        personal reason: Prose,
    }
    /// Something was not done by its deadline. Recorded once; it is still to be done.
    ObligationOverdue = "obligation.overdue" in Case {
        /// Names the obligation.
        keep obligation: ObligationId,
        /// What must be done.
        keep task: Code,
        /// Until when it was to be done.
        keep due: Timestamp,
    }
    /// Somebody was told of an emergency, or was to be told.
    BreakGlassAnnounced = "break_glass.announced" in Case {
        /// By what they are told, as a code.
        keep channel: Code,
        /// Which attempt this was, from 1.
        keep attempt: u32,
        /// Why nobody was told, as a code; absent if somebody was.
        keep failure: Option<Code>,
        /// When it is tried again; absent if somebody was told or it is given up.
        keep retry_at: Option<Timestamp>,
    }
}
