//! INV-01: nothing is issued without the chain of records that authorises it.

use super::{
    finding::Report,
    id::InvariantId::Inv01,
    view::{CaseStream, Entry, pick},
};
use crate::{
    approval::ApprovalMethod,
    decision::EvaluationPurpose,
    event::{CredentialIssued, Event, Kind},
};

pub(super) fn needs(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::RequestSubmitted
            | Kind::PolicyEvaluated
            | Kind::ApprovalRecorded
            | Kind::GrantApproved
            | Kind::CredentialIntended
            | Kind::CredentialIssued
    )
}

/// INV-01. From `credential.issued` by `refs.cause` to its intent, by `refs.approved_by` to its grant, by `refs.decision`
/// to the decision, each before the next in the same stream.
pub(super) fn issuance(case: &CaseStream<'_>, report: &mut Report) {
    for (entry, issued) in case.events(pick!(Event::CredentialIssued)) {
        if let Err(detail) = authority(case, entry, issued) {
            report.violated(Inv01, &[entry], detail);
        }
    }
}

fn authority(case: &CaseStream<'_>, entry: &Entry<'_>, issued: &CredentialIssued) -> Result<(), &'static str> {
    let refs = entry.refs();
    let intent = case.earlier(refs.cause, entry).ok_or("no intent of the credential before it")?;
    let Ok(Event::CredentialIntended(intended)) = &intent.event else {
        return Err("what it names as its cause is no intent");
    };
    if refs.credential != Some(issued.descriptor.id) || refs.credential != intent.refs().credential {
        return Err("the intent is of another credential");
    }
    let grant = case.earlier(intent.refs().approved_by, intent).ok_or("no approved grant before the intent")?;
    let Ok(Event::GrantApproved(approved)) = &grant.event else {
        return Err("what the intent names as its approval is no grant");
    };
    let named = grant.refs().grant;
    if named.is_none() || intent.refs().grant != named || refs.grant != named || refs.approved_by != Some(grant.leaf())
    {
        return Err("intent and issuance are of another grant");
    }
    if [grant, intent, entry].iter().any(|e| e.refs().request != Some(case.id)) {
        return Err("a record names another request");
    }
    let (_, submitted) = case.request().filter(|(e, _)| e.n() < grant.n()).ok_or("no request before the grant")?;
    let people = [&approved.recipient, &intended.subject, &issued.descriptor.subject];
    if people.iter().any(|subject| **subject != submitted.recipient) {
        return Err("the credential is for somebody else than the request");
    }
    if issued.descriptor.issuer != intended.issuer {
        return Err("another issuer than the intended one issued it");
    }
    decided(case, grant)
}

fn decided(case: &CaseStream<'_>, grant: &Entry<'_>) -> Result<(), &'static str> {
    let decision = case.earlier(grant.refs().decision, grant).ok_or("no decision before the grant")?;
    let Ok(Event::PolicyEvaluated(evaluated)) = &decision.event else {
        return Err("what the grant names as its decision is none");
    };
    if evaluated.purpose != EvaluationPurpose::Request || !evaluated.decision.permits() {
        return Err("the decision does not permit the request");
    }
    if grant.refs().policy != Some(evaluated.decision.policy) {
        return Err("the grant names another policy than its decision");
    }
    let mut methods = grant.refs().approvals.iter().filter_map(|leaf| match &case.earlier(Some(*leaf), grant)?.event {
        Ok(Event::ApprovalRecorded(approval)) => Some(approval.method),
        _ => None,
    });
    let by_people = evaluated.decision.obligations.approvals().is_some();
    let wanted = if by_people { ApprovalMethod::QuorumMember } else { ApprovalMethod::Rule };
    if methods.any(|method| method == wanted) { Ok(()) } else { Err("no approval before the grant") }
}
