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
    obligation::Obligations,
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
            | Kind::ExtensionRequested
            | Kind::ExtensionFailed
            | Kind::GrantExtended
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
    // One person may approve the request, and later an extension: each decision asks anew.
    let mut counting: HashMap<(&PrincipalId, Option<LeafHash>), LeafHash> = HashMap::new();
    for entry in case.entries() {
        match &entry.event {
            Ok(Event::ApprovalRecorded(e)) if e.method == ApprovalMethod::QuorumMember => {
                if barred.contains(&e.approver) {
                    report.violated(Inv07, &[entry], "the approver has an interest in the request");
                }
                if counting.insert((&e.approver, entry.refs().decision), entry.leaf()).is_some() {
                    report.violated(Inv07, &[entry], "the approver has approved already");
                }
            }
            Ok(Event::ApprovalWithdrawn(e)) => {
                let of = case.earlier(Some(e.approval), entry).and_then(|approval| approval.refs().decision);
                if counting.get(&(&e.by, of)) == Some(&e.approval) {
                    counting.remove(&(&e.by, of));
                }
            }
            Ok(Event::ApprovalNarrowed(_) | Event::ApprovalVoided(_)) => counting.clear(),
            _ => {}
        }
    }
}

/// INV-08. Each `approval.recorded` against request, first decision and what narrowing left of them; each leaf in
/// `refs.approvals` of a grant counts there and nowhere else; each intent after a decision of its own. The same for each
/// extension and the approvals of its own decision; what it demanded is met from then on.
pub(super) fn content(case: &CaseStream<'_>, report: &mut Report) {
    let Some((request_entry, request)) = case.request() else { return };
    let first = case.events(pick!(Event::PolicyEvaluated)).find(|(_, e)| e.purpose == EvaluationPurpose::Request);
    let mut asked = Asked { request: request_entry, first, scope: &request.scope, window: request.requested };
    let mut standing = Standing::of(first);
    let mut extension: Option<Asked<'_>> = None;
    let mut counting: HashSet<LeafHash> = HashSet::new();
    let mut refused: Option<&Entry<'_>> = None;
    let mut void = false;
    for entry in case.entries() {
        let Ok(event) = &entry.event else { continue };
        match event {
            Event::ApprovalRecorded(e) => {
                counting.insert(entry.leaf());
                let of_extension = extension.as_ref().filter(|x| x.decided() == entry.refs().decision);
                if !of_extension.unwrap_or(&asked).is_named_by(entry, e) {
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
            Event::ExtensionRequested(e) => {
                extension = Some(Asked { request: entry, first: None, scope: asked.scope, window: e.requested });
            }
            Event::ExtensionFailed(_) => extension = None,
            Event::GrantExtended(_) => {
                let own = extension.take().filter(|x| x.first.is_some() && x.decided() == entry.refs().decision);
                let of_own = |leaf: &LeafHash| {
                    let given = case.earlier(Some(*leaf), entry);
                    given.is_some_and(|given| given.refs().decision == entry.refs().decision)
                };
                if !entry.refs().approvals.iter().all(|leaf| of_own(leaf) && counting.remove(leaf)) {
                    report.violated(Inv08, &[entry], "an approval it counts is not of this extension, or has counted");
                }
                standing.extend(own.and_then(|x| x.first));
            }
            Event::PolicyEvaluated(e) if e.purpose == EvaluationPurpose::Extension => match &mut extension {
                Some(extension) if entry.refs().cause == Some(extension.request.leaf()) => {
                    extension.first = Some((entry, e));
                }
                _ => report.violated(Inv08, &[entry], "the decision on an extension does not name one as its cause"),
            },
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
                if entry.refs().cause != standing.decision {
                    report.violated(
                        Inv08,
                        &[entry],
                        "the decision at issuance does not name as its cause the one that the window rests on",
                    );
                }
                if !standing.is_still_met(e) {
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

    fn decided(&self) -> Option<LeafHash> {
        self.first.map(|(decision, _)| decision.leaf())
    }
}

/// What a grant rests on at a moment.
struct Standing {
    /// The last decision that gave it its window.
    decision: Option<LeafHash>,
    /// What was demanded so far, and met.
    met: Option<Obligations>,
}

impl Standing {
    fn of(first: Option<(&Entry<'_>, &PolicyEvaluated)>) -> Self {
        Self {
            decision: first.map(|(entry, _)| entry.leaf()),
            met: first.map(|(_, evaluated)| evaluated.decision.obligations.clone()),
        }
    }

    /// An extension without a decision of its own is INV-05's to report, and changes nothing here.
    fn extend(&mut self, by: Option<(&Entry<'_>, &PolicyEvaluated)>) {
        if let Some((entry, evaluated)) = by {
            self.decision = Some(entry.leaf());
            self.met = self.met.take().map(|met| met.extended_by(&evaluated.decision.obligations));
        }
    }

    fn is_still_met(&self, again: &PolicyEvaluated) -> bool {
        let met = self.met.as_ref();
        again.decision.permits() && met.is_some_and(|met| again.decision.obligations.no_stricter_than(met))
    }
}

fn decided_anew(case: &CaseStream<'_>, intent: &Entry<'_>) -> bool {
    let decision = case.earlier(intent.refs().decision, intent).map(|entry| &entry.event);
    matches!(decision, Some(Ok(Event::PolicyEvaluated(e))) if e.purpose == EvaluationPurpose::Issuance)
}

/// INV-09. The approvals that a grant or an extension lists meet the quorum of the decision it names. That they are approvals at all is
/// INV-01's and INV-08's to report.
pub(super) fn quorums(case: &CaseStream<'_>, report: &mut Report) {
    let granted = case.entries().filter(|e| matches!(e.event, Ok(Event::GrantApproved(_) | Event::GrantExtended(_))));
    for entry in granted {
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
