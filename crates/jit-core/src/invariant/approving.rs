//! INV-07, INV-08 and INV-09: who approved, what exactly, and whether it was enough.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    num::NonZeroU16,
};

use super::{
    finding::Report,
    id::InvariantId::{Inv07, Inv08, Inv09},
    view::{CaseStream, Entry, pick},
};
use crate::{
    approval::ApprovalMethod,
    decision::EvaluationPurpose,
    digest::LeafHash,
    event::{ApprovalRecorded, Event, Kind, PolicyEvaluated, RequestSubmitted},
    principal::PrincipalId,
    request::MAX_HOLDERS,
    scope::Scope,
    text::GroupName,
    window::Window,
};

pub(super) fn needs(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::RequestSubmitted
            | Kind::PolicyEvaluated
            | Kind::ApprovalRecorded
            | Kind::ApprovalNarrowed
            | Kind::ApprovalWithdrawn
            | Kind::ApprovalVoided
            | Kind::GrantApproved
            | Kind::CredentialIntended
    )
}

/// Everyone with an interest in a request, by its own record.
pub(super) fn interested(request: &RequestSubmitted) -> BTreeSet<PrincipalId> {
    let above = request.parent.iter().flat_map(|parent| parent.holders.iter().take(MAX_HOLDERS).cloned());
    request.requester.interested().into_iter().chain([request.recipient.clone()]).chain(above).collect()
}

/// INV-07. Among the approvals that count at one time no approver stands twice, and none is interested.
pub(super) fn approvers(case: &CaseStream<'_>, report: &mut Report) {
    let mut barred = case.request().map(|(_, request)| interested(request)).unwrap_or_default();
    if let Some(parent) = case.request().and_then(|(_, request)| case.view.case(request.parent.as_ref()?.case)) {
        barred.extend(parent.request().map(|(_, request)| interested(request)).unwrap_or_default());
    }
    let mut counting: HashMap<&PrincipalId, LeafHash> = HashMap::new();
    for entry in case.entries() {
        match &entry.event {
            Ok(Event::ApprovalRecorded(e)) if e.method == ApprovalMethod::QuorumMember => {
                if barred.contains(&e.approver) {
                    report.violated(Inv07, &[entry], "the approver has an interest in the request");
                }
                if counting.insert(&e.approver, entry.leaf()).is_some() {
                    report.violated(Inv07, &[entry], "the approver has approved already");
                }
            }
            Ok(Event::ApprovalWithdrawn(e)) if counting.get(&e.by) == Some(&e.approval) => {
                counting.remove(&e.by);
            }
            Ok(Event::ApprovalNarrowed(_) | Event::ApprovalVoided(_)) => counting.clear(),
            _ => {}
        }
    }
}

/// INV-08. Each `approval.recorded` against request, first decision and what narrowing left of them; each leaf in
/// `refs.approvals` of a grant counts there and nowhere else; each intent after a decision of its own.
pub(super) fn content(case: &CaseStream<'_>, report: &mut Report) {
    let Some((request_entry, request)) = case.request() else { return };
    let first = case.events(pick!(Event::PolicyEvaluated)).find(|(_, e)| e.purpose == EvaluationPurpose::Request);
    let mut asked = Asked { request: request_entry, first, scope: &request.scope, window: request.requested };
    let mut counting: HashSet<LeafHash> = HashSet::new();
    let mut refused: Option<&Entry<'_>> = None;
    let mut void = false;
    for entry in case.entries() {
        let Ok(event) = &entry.event else { continue };
        match event {
            Event::ApprovalRecorded(e) => {
                counting.insert(entry.leaf());
                if !asked.is_named_by(entry, e) {
                    report.violated(Inv08, &[entry], "the approval is not of what was asked");
                }
            }
            Event::ApprovalNarrowed(e) => {
                counting.clear();
                (asked.scope, asked.window) = (&e.scope, e.approved);
            }
            Event::ApprovalWithdrawn(e) => {
                counting.remove(&e.approval);
            }
            Event::ApprovalVoided(_) => {
                counting.clear();
                void = true;
                refused = refused.filter(|decision| entry.refs().cause != Some(decision.leaf()));
            }
            Event::GrantApproved(_) => {
                void = false;
                // Taking each leaf out makes an approval count once.
                if !entry.refs().approvals.iter().all(|leaf| counting.remove(leaf)) {
                    report.violated(
                        Inv08,
                        &[entry],
                        "an approval it counts does not count here, or has counted already",
                    );
                }
            }
            Event::PolicyEvaluated(e) if e.purpose == EvaluationPurpose::Issuance => {
                if entry.refs().cause != first.map(|(first, _)| first.leaf()) {
                    report.violated(Inv08, &[entry], "the decision at issuance does not name the first as its cause");
                }
                if !asked.is_still_met(e) {
                    refused = Some(entry);
                }
            }
            Event::CredentialIntended(_) => {
                if refused.is_some() || void {
                    report.violated(Inv08, &[entry], "a mint is intended though the approvals no longer count");
                } else if !decided_anew(case, entry) {
                    report.violated(Inv08, &[entry], "no decision at issuance before the intent");
                }
            }
            _ => {}
        }
    }
    if let Some(decision) = refused.filter(|decision| case.is_overdue_after(decision)) {
        report.violated(Inv08, &[decision], "the policy no longer permits, and the approvals were not voided");
    }
}

/// What approvers are asked at a moment.
struct Asked<'v> {
    request: &'v Entry<'v>,
    first: Option<(&'v Entry<'v>, &'v PolicyEvaluated)>,
    scope: &'v Scope,
    window: Window,
}

impl Asked<'_> {
    fn is_named_by(&self, entry: &Entry<'_>, approval: &ApprovalRecorded) -> bool {
        let Some((first, evaluated)) = self.first else { return false };
        let decision = &evaluated.decision;
        first.n() < entry.n()
            && approval.request == self.request.leaf()
            && entry.refs().decision == Some(first.leaf())
            && entry.refs().policy == Some(decision.policy)
            && approval.scope == *self.scope
            && approval.approved == self.window
            && approval.conditions == decision.obligations.conditions()
    }

    fn is_still_met(&self, again: &PolicyEvaluated) -> bool {
        let Some((_, first)) = self.first else { return false };
        again.decision.permits() && again.decision.obligations.no_stricter_than(&first.decision.obligations)
    }
}

fn decided_anew(case: &CaseStream<'_>, intent: &Entry<'_>) -> bool {
    let decision = case.earlier(intent.refs().decision, intent).map(|entry| &entry.event);
    matches!(decision, Some(Ok(Event::PolicyEvaluated(e))) if e.purpose == EvaluationPurpose::Issuance)
}

/// INV-09. The approvals that a grant lists meet the quorum of the decision it names. That they are approvals at all is
/// INV-01's and INV-08's to report.
pub(super) fn quorums(case: &CaseStream<'_>, report: &mut Report) {
    for (entry, _) in case.events(pick!(Event::GrantApproved)) {
        let Some(Ok(Event::PolicyEvaluated(e))) = case.earlier(entry.refs().decision, entry).map(|d| &d.event) else {
            continue;
        };
        let Some(quorum) = e.decision.obligations.approvals() else { continue };
        let approvals = &entry.refs().approvals;
        let mut given: HashMap<&GroupName, usize> = HashMap::new();
        for leaf in approvals {
            if let Some(Ok(Event::ApprovalRecorded(ApprovalRecorded { group: Some(group), .. }))) =
                case.earlier(Some(*leaf), entry).map(|approval| &approval.event)
            {
                *given.entry(group).or_default() += 1;
            }
        }
        let met = |(group, count): (&GroupName, NonZeroU16)| {
            given.get(group).is_some_and(|given| usize::from(count.get()) <= *given)
        };
        if !approvals.is_empty() && !quorum.groups().all(met) {
            report.violated(Inv09, &[entry], "the quorum is not met");
        }
    }
}
