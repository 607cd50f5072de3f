//! Projections: what a store derives from one record, so that the record is found again and its work falls due.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    credential::{CrashClass, CredentialDescriptor},
    decision::EvaluationPurpose,
    ending::Ending,
    event::{Event, Kind, PolicyEvaluated},
    ids::{CredentialId, ObligationId},
    principal::{Principal, PrincipalId},
    record::{Header, Record, StreamId},
    text::{ExternalId, IssuerName, SystemName},
    time::Timestamp,
};

/// By what a record can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LookupFamily {
    /// A request, by case id.
    Request,
    /// A decision, by record id.
    Decision,
    /// An approval, by record id.
    Approval,
    /// A grant.
    Grant,
    /// The cases whose authority derives from a grant.
    Parent,
    /// A credential, by id.
    Credential,
    /// A credential, by fingerprint.
    Fingerprint,
    /// A resource, by its exact name.
    Resource,
    /// Somebody involved: requester, recipient, owner, principal acted for, approver.
    Subject,
    /// Something in another system.
    External,
    /// The grants that a policy snapshot permitted, by its digest.
    Policy,
    /// A credential at a target that no record explains, by issuer and name there.
    Orphan,
    /// Credentials that stand for one shared state of a target, by issuer and name there.
    Shared,
    /// Uses of access, by the credential that was used.
    Use,
}

impl LookupFamily {
    /// The name under which the store keys its digests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Decision => "decision",
            Self::Approval => "approval",
            Self::Grant => "grant",
            Self::Parent => "parent",
            Self::Credential => "credential",
            Self::Fingerprint => "fingerprint",
            Self::Resource => "resource",
            Self::Subject => "subject",
            Self::External => "external",
            Self::Policy => "policy",
            Self::Orphan => "orphan",
            Self::Shared => "shared",
            Self::Use => "use",
        }
    }
}

/// One name under which a record is found. The store keeps its keyed digest only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup {
    /// By what.
    pub family: LookupFamily,
    /// The name.
    pub value: String,
}

impl Lookup {
    /// A look-up of an id, a resource or a subject by its text.
    pub fn new(family: LookupFamily, value: impl std::fmt::Display) -> Self {
        Self { family, value: value.to_string() }
    }

    /// A look-up of something in another system.
    #[must_use]
    pub fn external(system: &SystemName, id: &impl std::fmt::Display) -> Self {
        Self::new(LookupFamily::External, format_args!("{system}\n{id}"))
    }

    /// A look-up of credentials that stand for one shared state of a target.
    #[must_use]
    pub fn shared(issuer: &IssuerName, name: &ExternalId) -> Self {
        Self::new(LookupFamily::Shared, format_args!("{issuer}\n{name}"))
    }

    /// A look-up of a credential that no record explains.
    #[must_use]
    pub fn orphan(issuer: &IssuerName, name: &ExternalId) -> Self {
        Self::new(LookupFamily::Orphan, format_args!("{issuer}\n{name}"))
    }
}

/// Work that a record schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task", content = "of")]
#[non_exhaustive]
pub enum DueTask {
    /// The request lapses.
    Lapse,
    /// The grant's window opens.
    Open,
    /// The grant's window ends.
    Expire,
    /// The grant has ended: credentials are taken back and what hangs below ends too, until the case is closed.
    FollowEnd,
    /// A mint has no outcome, or an unknown one.
    ResolveMint(CredentialId),
    /// A credential expires by itself.
    CredentialExpiry(CredentialId),
    /// A revocation has no outcome, an unknown one, or is due again.
    Revocation(CredentialId),
    /// Nobody has established that a credential is dead which should be, or whether it exists. At no moment, [`UNSETTLED`]:
    /// nothing is to be done by this, it is there to be listed.
    Unsettled(CredentialId),
    /// A bulk act or a bar has grants left to end.
    EndMany,
    /// Too few people have approved: the next group is asked, or the request lapses.
    Approvals,
    /// An obligation is to be met.
    Obligation(ObligationId),
    /// An obligation was not met in time, and is still open. At no moment, [`UNSETTLED`]: it is there to be listed.
    Overdue(ObligationId),
    /// Somebody is to be told of an emergency.
    Announce,
}

/// How long whoever recorded an emergency has to tell somebody, before a sweep does.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(10);

/// The moment of what is only listed: never.
pub const UNSETTLED: Timestamp = Timestamp::MAX;

/// Names one piece of work: at most one of a kind is scheduled for a stream and subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DueId {
    /// The stream it is about.
    pub stream: StreamId,
    /// What is to be done.
    #[serde(flatten)]
    pub task: DueTask,
}

/// Everything a store derives from one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// The names under which it is found.
    pub lookups: Vec<Lookup>,
    /// The work it schedules; replaces what is scheduled under the same id.
    pub due: Vec<(DueId, Timestamp)>,
    /// The work it does or makes needless; removed before `due` is added.
    pub done: Vec<DueId>,
}

/// What a store derives from a record: a function of this one record, so that it can be rebuilt from the log.
/// A record whose payload is gone, or whose kind is unknown, gives nothing.
#[must_use]
pub fn project(record: &Record) -> Projection {
    let mut p = Projection::default();
    let Ok(event) = record.event() else { return p };
    let header = record.header();
    let due = |task| DueId { stream: header.stream, task };
    let credential = header.refs.credential;
    match &event {
        Event::RequestSubmitted(e) => {
            if let Some(request) = header.refs.request {
                p.lookups.push(Lookup::new(LookupFamily::Request, request));
            }
            p.lookups.push(Lookup::new(LookupFamily::Resource, e.scope.resource()));
            p.lookups.extend(subjects(&e.requester, &e.recipient));
            p.lookups.extend(e.parent.iter().map(|parent| Lookup::new(LookupFamily::Parent, parent.grant)));
            p.lookups.extend(e.external.iter().map(|r| Lookup::external(&r.system, &r.id)));
            p.due.push((due(DueTask::Lapse), e.requested.end()));
        }
        Event::PolicyEvaluated(e) => {
            p.lookups.push(Lookup::new(LookupFamily::Decision, header.id));
            p.due.extend(first_due(e, header.at).map(|at| (due(DueTask::Approvals), at)));
        }
        Event::ApprovalRecorded(e) => {
            p.lookups.push(Lookup::new(LookupFamily::Approval, header.id));
            p.lookups.push(Lookup::new(LookupFamily::Subject, &e.approver));
            schedule(&mut p, due(DueTask::Approvals), e.next);
        }
        Event::ApprovalWithdrawn(e) => schedule(&mut p, due(DueTask::Approvals), e.next),
        Event::ApprovalEscalated(e) => schedule(&mut p, due(DueTask::Approvals), e.next),
        Event::ApprovalNarrowed(e) => {
            schedule(&mut p, due(DueTask::Approvals), e.next);
            p.due.push((due(DueTask::Lapse), e.approved.end()));
        }
        Event::BreakGlassInvoked(_) => {
            p.due.push((due(DueTask::Announce), header.at.saturating_add(ANNOUNCED_WITHIN)));
        }
        Event::BreakGlassAnnounced(e) => schedule(&mut p, due(DueTask::Announce), e.retry_at),
        Event::ObligationOpened(e) => p.due.push((due(DueTask::Obligation(e.obligation)), e.due)),
        Event::ObligationOverdue(e) => {
            p.done.push(due(DueTask::Obligation(e.obligation)));
            p.due.push((due(DueTask::Overdue(e.obligation)), UNSETTLED));
        }
        Event::ObligationClosed(e) => {
            p.done.extend([due(DueTask::Obligation(e.obligation)), due(DueTask::Overdue(e.obligation))]);
        }
        Event::GrantApproved(e) => {
            p.lookups.extend(header.refs.grant.map(|grant| Lookup::new(LookupFamily::Grant, grant)));
            p.lookups.extend(header.refs.policy.map(|policy| Lookup::new(LookupFamily::Policy, policy)));
            p.done.extend([due(DueTask::Lapse), due(DueTask::Approvals)]);
            p.due.push((due(DueTask::Expire), e.approved.end()));
            // A window that is open already has its holder at hand.
            p.due.extend((header.at < e.approved.start()).then(|| (due(DueTask::Open), e.approved.start())));
        }
        Event::GrantActivated(_) => p.done.push(due(DueTask::Open)),
        Event::GrantExtended(e) => {
            p.done.push(due(DueTask::Approvals));
            p.due.push((due(DueTask::Expire), e.approved.end()));
        }
        Event::ExtensionFailed(_) => p.done.push(due(DueTask::Approvals)),
        Event::GrantDenied(_) | Event::RequestWithdrawn(_) | Event::RequestLapsed(_) => {
            p.done.extend([due(DueTask::Lapse), due(DueTask::Approvals)]);
        }
        Event::AccessObserved(_) => p.lookups.extend(credential.map(|id| Lookup::new(LookupFamily::Use, id))),
        Event::SignalReceived(e) => p.lookups.push(Lookup::external(&e.system, &e.id)),
        Event::OrphanFound(e) => p.lookups.push(Lookup::orphan(&e.issuer, &e.name)),
        Event::OrphanEnded(e) => p.lookups.push(Lookup::orphan(&e.issuer, &e.name)),
        Event::BulkEndOrdered(_) | Event::IdentityBarred(_) => p.due.push((due(DueTask::EndMany), header.at)),
        Event::BulkEndCompleted(_) | Event::IdentityReinstated(_) => p.done.push(due(DueTask::EndMany)),
        // An end is not done with when it is recorded: what follows from it may fail, and is due until the case is closed.
        _ if is_end(&header.kind) => {
            p.done.extend([due(DueTask::Open), due(DueTask::Expire)]);
            p.due.push((due(DueTask::FollowEnd), header.at));
            let left = ending(&event).into_iter().flat_map(|ending| &ending.residual.credentials);
            let left = left.filter(|residual| residual.until.is_none_or(|until| until > header.at));
            p.due.extend(left.map(|residual| (due(DueTask::Unsettled(residual.credential)), UNSETTLED)));
        }
        Event::CaseClosed(_) => p.done.extend([due(DueTask::FollowEnd), due(DueTask::Announce)]),
        _ => {
            if let Some(credential) = credential {
                project_credential(&mut p, &event, header, credential);
            }
        }
    }
    p.lookups.sort();
    p.lookups.dedup();
    p
}

fn schedule(p: &mut Projection, task: DueId, next: Option<Timestamp>) {
    match next {
        Some(at) => p.due.push((task, at)),
        None => p.done.push(task),
    }
}

/// When too few approvals for what a decision asks are first of consequence, if before what is asked for is over.
fn first_due(evaluated: &PolicyEvaluated, at: Timestamp) -> Option<Timestamp> {
    if !matches!(evaluated.purpose, EvaluationPurpose::Request | EvaluationPurpose::Extension)
        || !evaluated.decision.permits()
    {
        return None;
    }
    let obligations = &evaluated.decision.obligations;
    let quorum = obligations.approvals()?;
    let escalates = quorum.next_escalation(at, &[], &BTreeSet::new()).map(|next| next.at);
    let lapses = obligations.approval_deadline().map(|within| at.saturating_add(within.to_duration()));
    escalates.into_iter().chain(lapses).min()
}

/// Whether the kind ends a grant.
#[must_use]
pub fn is_end(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::GrantExpired
            | Kind::GrantRevoked
            | Kind::GrantTerminated
            | Kind::GrantSuperseded
            | Kind::GrantEligibilityWithdrawn
            | Kind::GrantExternallyModified
    )
}

/// The circumstances, if the event is an end.
pub(crate) fn ending(event: &Event) -> Option<&Ending> {
    match event {
        Event::GrantExpired(e) => Some(&e.ending),
        Event::GrantRevoked(e) => Some(&e.ending),
        Event::GrantTerminated(e) => Some(&e.ending),
        Event::GrantSuperseded(e) => Some(&e.ending),
        Event::GrantEligibilityWithdrawn(e) => Some(&e.ending),
        Event::GrantExternallyModified(e) => Some(&e.ending),
        _ => None,
    }
}

fn project_credential(p: &mut Projection, event: &Event, header: &Header, credential: CredentialId) {
    let due = |task| DueId { stream: header.stream, task };
    let mint = due(DueTask::ResolveMint(credential));
    let expiry = due(DueTask::CredentialExpiry(credential));
    let revocation = due(DueTask::Revocation(credential));
    let unsettled = due(DueTask::Unsettled(credential));
    let named = |d: &CredentialDescriptor| {
        let fingerprint = Lookup::new(LookupFamily::Fingerprint, d.fingerprint);
        let shared = d.capabilities.class == CrashClass::RemoteShared;
        std::iter::once(fingerprint).chain(shared.then(|| Lookup::shared(&d.issuer, &d.serial)))
    };
    let expires = |d: &CredentialDescriptor| d.dies_at().map(|at| (expiry, at));
    match event {
        Event::CredentialIntended(e) => {
            p.lookups.push(Lookup::new(LookupFamily::Credential, credential));
            p.due.push((mint, e.resolve_at));
        }
        Event::CredentialIssued(e) => {
            p.lookups.extend(named(&e.descriptor));
            p.done.push(mint);
            p.due.extend(expires(&e.descriptor));
        }
        Event::CredentialFailed(_) => p.done.extend([mint, unsettled]),
        Event::CredentialUnknown(e) => p.due.extend([(mint, e.reconcile_at), (unsettled, UNSETTLED)]),
        Event::CredentialReconciled(e) => {
            p.done.push(mint);
            match &e.descriptor {
                Some(descriptor) => {
                    p.lookups.extend(named(descriptor));
                    p.due.extend(expires(descriptor));
                    // It exists and was never released, so it is taken back.
                    p.due.push((revocation, header.at));
                }
                None => p.done.push(unsettled),
            }
        }
        Event::CredentialExpired(_) | Event::RevocationConfirmed(_) | Event::CredentialHandedOver(_) => {
            p.done.extend([expiry, revocation, unsettled]);
        }
        Event::RevocationIntended(e) => p.due.extend([(revocation, e.resolve_at), (unsettled, UNSETTLED)]),
        Event::RevocationFailed(e) => p.due.push((revocation, e.retry_at)),
        Event::RevocationUnknown(e) => p.due.push((revocation, e.reconcile_at)),
        Event::RevocationReconciled(e) => match e.retry_at {
            _ if e.dead => p.done.extend([expiry, revocation, unsettled]),
            Some(at) => p.due.push((revocation, at)),
            None => p.done.push(revocation),
        },
        Event::RevocationIrrevocable(_) => p.done.push(revocation),
        Event::RevocationDemanded(_) => p.due.push((revocation, header.at)),
        _ => {}
    }
}

fn subjects(requester: &Principal, recipient: &PrincipalId) -> Vec<Lookup> {
    let mut all: Vec<Lookup> = requester.interested().iter().map(|id| Lookup::new(LookupFamily::Subject, id)).collect();
    all.push(Lookup::new(LookupFamily::Subject, recipient));
    if let Principal::Agent(agent) = requester {
        all.push(Lookup::new(LookupFamily::Subject, PrincipalId::Identity(agent.owner().clone())));
    }
    all
}
