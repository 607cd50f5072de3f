//! INV-01: nothing is issued without the chain of records that authorises it.

use super::{
    finding::Report,
    id::InvariantId::Inv01,
    view::{CaseStream, Entry, pick},
};
use crate::{
    approval::ApprovalMethod,
    decision::EvaluationPurpose,
    event::{CredentialIssued, Event, Kind, PolicyEvaluated},
};

pub(super) fn needs(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::RequestSubmitted
            | Kind::PolicyEvaluated
            | Kind::ApprovalRecorded
            | Kind::GrantApproved
            | Kind::GrantExtended
            | Kind::CredentialIntended
            | Kind::CredentialIssued
    )
}

/// INV-01. From `credential.issued` by `refs.cause` to its intent, by `refs.approved_by` to its grant, by `refs.decision`
/// to the decision, each before the next in the same stream. What is intended after an extension rests on it too.
pub(super) fn issuance(case: &CaseStream<'_>, report: &mut Report) {
    let extended: Vec<&Entry<'_>> = case.events(pick!(Event::GrantExtended)).map(|(entry, _)| entry).collect();
    for (entry, issued) in case.events(pick!(Event::CredentialIssued)) {
        if let Err(detail) = authority(case, entry, issued).and_then(|(grant, intent)| {
            let last = extended.partition_point(|extension| extension.n() < intent.n()).checked_sub(1);
            last.and_then(|last| extended.get(last)).map_or(Ok(()), |extension| prolonged(case, grant, extension))
        }) {
            report.violated(Inv01, &[entry], detail);
        }
    }
}

/// The grant and the intent that an issuance rests on.
fn authority<'v>(
    case: &CaseStream<'v>,
    entry: &Entry<'_>,
    issued: &CredentialIssued,
) -> Result<(&'v Entry<'v>, &'v Entry<'v>), &'static str> {
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
    decided(case, grant)?;
    Ok((grant, intent))
}

/// That an extension has a decision, and approvals at all, is INV-05's to report.
fn prolonged(case: &CaseStream<'_>, grant: &Entry<'_>, extension: &Entry<'_>) -> Result<(), &'static str> {
    let refs = extension.refs();
    if refs.grant != grant.refs().grant || refs.approved_by != Some(grant.leaf()) || refs.request != Some(case.id) {
        return Err("the extension before the intent is of another grant");
    }
    let Some(Ok(Event::PolicyEvaluated(evaluated))) = case.earlier(refs.decision, extension).map(|d| &d.event) else {
        return Ok(());
    };
    if refs.policy != Some(evaluated.decision.policy) {
        return Err("the extension names another policy than its decision");
    }
    if refs.approvals.is_empty() || approved_as_asked(case, extension, evaluated) {
        Ok(())
    } else {
        Err("no approval before the extension")
    }
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
    if approved_as_asked(case, grant, evaluated) { Ok(()) } else { Err("no approval before the grant") }
}

/// Whether what was given lists an approval by people if its decision asks for some, else one by rule.
fn approved_as_asked(case: &CaseStream<'_>, given: &Entry<'_>, evaluated: &PolicyEvaluated) -> bool {
    let mut methods = given.refs().approvals.iter().filter_map(|leaf| match &case.earlier(Some(*leaf), given)?.event {
        Ok(Event::ApprovalRecorded(approval)) => Some(approval.method),
        _ => None,
    });
    let by_people = evaluated.decision.obligations.approvals().is_some();
    let wanted = if by_people { ApprovalMethod::QuorumMember } else { ApprovalMethod::Rule };
    methods.any(|method| method == wanted)
}
