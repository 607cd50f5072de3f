//! INV-07, INV-08 and INV-09: who approved, what exactly, and whether it was enough.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use super::{
    finding::Report,
    id::InvariantId::{Inv07, Inv08, Inv09},
    view::{CaseStream, Entry, pick},
};
use crate::{
    approval::{ApprovalContent, ApprovalMethod, ApprovalSignature, Signed},
    case::keeps_eligibility,
    decision::EvaluationPurpose,
    digest::LeafHash,
    event::{ApprovalRecorded, Event, Kind, PolicyEvaluated, RequestSubmitted},
    obligation::Obligations,
    principal::PrincipalId,
    quorum::Escalated,
    record::FormatVersion,
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
            | Kind::ApprovalEscalated
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

/// The same with whoever answers for the agent that asks.
pub(super) fn interested_and_owner(request: &RequestSubmitted) -> BTreeSet<PrincipalId> {
    let mut all = interested(request);
    all.extend(request.requester.owner());
    all
}

/// INV-07. Among the approvals that count at one time no approver stands twice, and none is interested. The owner of the agent that
/// asks approves only where a decision about them says so. What an approval names as that decision stands directly before it, or
/// before the confirmation of what is asked; it is about its approver, permits, and has the decision that asks as its cause.
pub(super) fn approvers(case: &CaseStream<'_>, report: &mut Report) {
    let mut barred = case.request().map(|(_, request)| interested(request)).unwrap_or_default();
    if let Some(parent) = case.request().and_then(|(_, request)| case.view.case(request.parent.as_ref()?.case)) {
        barred.extend(parent.request().map(|(_, request)| interested_and_owner(request)).unwrap_or_default());
    }
    let owner = case.request().and_then(|(_, request)| request.requester.owner());
    // One person may approve the request, and later an extension: each decision asks anew.
    let mut counting: HashMap<(&PrincipalId, Option<LeafHash>), LeafHash> = HashMap::new();
    for entry in case.entries() {
        match &entry.event {
            Ok(Event::ApprovalRecorded(e)) if e.method == ApprovalMethod::QuorumMember => {
                let owner = owner.as_ref() == Some(&e.approver);
                let eligible =
                    e.eligibility.map(|leaf| judged(case, entry, leaf, &e.approver, EvaluationPurpose::Approval));
                if eligible.is_some_and(|e| e.is_none_or(|(by, _)| by.refs().cause != entry.refs().decision)) {
                    report.violated(Inv07, &[entry], "the decision it names does not let the approver approve");
                }
                let let_by_policy = || eligible.flatten().is_some_and(|(_, e)| e.decision.lets_owner_approve());
                if barred.contains(&e.approver) || (owner && !let_by_policy()) {
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

/// The decision of this leaf, if it permits, is about this person, and stands before a record with nothing in between but what is
/// said about the request or a deadline.
pub(super) fn judged<'v>(
    case: &CaseStream<'v>,
    entry: &Entry<'_>,
    leaf: LeafHash,
    who: &PrincipalId,
    purpose: EvaluationPurpose,
) -> Option<(&'v Entry<'v>, &'v PolicyEvaluated)> {
    let decision = case.earlier(Some(leaf), entry)?;
    let mut before = case.earlier(entry.header().prev, entry)?;
    while before.leaf() != leaf {
        if !before.event.as_ref().is_ok_and(keeps_eligibility) {
            return None;
        }
        before = case.earlier(before.header().prev, before)?;
    }
    match &decision.event {
        Ok(Event::PolicyEvaluated(e))
            if e.purpose == purpose && e.decision.permits() && e.about.as_ref() == Some(who) =>
        {
            Some((decision, e))
        }
        _ => None,
    }
}

/// INV-08. Each `approval.recorded` against request, first decision and what narrowing left of them; each leaf in
/// `refs.approvals` of a grant counts there and nowhere else; each intent after a decision of its own. The same for each
/// extension and the approvals of its own decision; what it demanded is met from then on. A signature is over what was approved, or
/// over the list that has it; after a confirmation that fails nothing is granted.
pub(super) fn content(case: &CaseStream<'_>, report: &mut Report) {
    let Some((request_entry, request)) = case.request() else { return };
    let first = case.events(pick!(Event::PolicyEvaluated)).find(|(_, e)| e.purpose == EvaluationPurpose::Request);
    let mut asked = Asked { request: request_entry, first, scope: &request.scope, window: request.requested };
    let mut standing = Standing::of(first);
    let mut extension: Option<Asked<'_>> = None;
    let mut counting: HashSet<LeafHash> = HashSet::new();
    let mut refused: Option<&Entry<'_>> = None;
    let mut void = false;
    let mut after = None;
    for entry in case.entries() {
        let Ok(event) = &entry.event else { continue };
        match event {
            Event::ApprovalRecorded(e) => {
                counting.insert(entry.leaf());
                if !is_bound(entry, e, after) {
                    report.violated(Inv08, &[entry], "neither its signature nor its list is of what was approved");
                }
                let of_extension = extension.as_ref().filter(|x| x.decided() == entry.refs().decision);
                if !of_extension.unwrap_or(&asked).is_named_by(entry, e) {
                    report.violated(Inv08, &[entry], "the approval is not of what was asked");
                }
            }
            Event::ApprovalNarrowed(e) => {
                counting.clear();
                (asked.scope, asked.window) = (&e.scope, e.approved);
                after = Some(entry.leaf());
            }
            Event::ApprovalWithdrawn(e) => {
                counting.remove(&e.approval);
                after = Some(entry.leaf());
            }
            Event::ApprovalVoided(_) => {
                counting.clear();
                void = true;
                refused = refused.filter(|decision| entry.refs().cause != Some(decision.leaf()));
            }
            Event::ExtensionRequested(e) => {
                extension = Some(Asked { request: entry, first: None, scope: asked.scope, window: e.requested });
            }
            Event::ExtensionFailed(_) => {
                extension = None;
                refused = refused.filter(|decision| !is_of(decision, EvaluationPurpose::Confirmation));
            }
            Event::GrantExtended(_) | Event::GrantApproved(_)
                if refused.is_some_and(|d| is_of(d, EvaluationPurpose::Confirmation)) =>
            {
                report.violated(Inv08, &[entry], "granted though what was asked is no longer permitted");
            }
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
            Event::PolicyEvaluated(e) if e.purpose == EvaluationPurpose::Confirmation => {
                let asking = extension.as_ref().filter(|x| x.first.is_some()).unwrap_or(&asked);
                if asking.decided().is_none() || entry.refs().cause != asking.decided() {
                    report.violated(
                        Inv08,
                        &[entry],
                        "the confirmation does not name as its cause the decision that asks",
                    );
                }
                if !Standing::of(asking.first).is_still_met(e) {
                    refused = Some(entry);
                }
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

fn is_of(entry: &Entry<'_>, purpose: EvaluationPurpose) -> bool {
    matches!(&entry.event, Ok(Event::PolicyEvaluated(e)) if e.purpose == purpose)
}

/// Whether list and signature, if there are any, are of what an approval by people names. `after` is the last record before it
/// after which approvals had to be given anew.
fn is_bound(entry: &Entry<'_>, approval: &ApprovalRecorded, after: Option<LeafHash>) -> bool {
    if approval.signature.is_none() && approval.list.is_none() {
        return true;
    }
    let (Some(decision), Some(policy)) = (entry.refs().decision, entry.refs().policy) else { return false };
    let content = ApprovalContent {
        v: FormatVersion::V1,
        log: entry.header().log.clone(),
        request: approval.request,
        decision,
        policy,
        window: approval.approved,
        conditions: approval.conditions.clone(),
        approver: approval.approver.clone(),
        after,
    };
    let list = approval.list.as_ref();
    let genuine = |signature: &ApprovalSignature| {
        content.signed_bytes(list).is_ok_and(|bytes| signature.verify(&bytes) != Signed::Forged)
    };
    list.is_none_or(|list| list.shows(&content)) && approval.signature.as_ref().is_none_or(genuine)
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

/// INV-09. The approvals that a grant or an extension lists meet the quorum of the decision it names, after the escalations before
/// it. Each escalation is one that the decision has in store, not before its time, and an approval for a group that was not asked
/// from the beginning comes after the one that asks it. That they are approvals at all is INV-01's and INV-08's to report.
pub(super) fn quorums(case: &CaseStream<'_>, report: &mut Report) {
    let none = BTreeSet::new();
    let mut escalated: HashMap<Option<LeafHash>, BTreeSet<Escalated>> = HashMap::new();
    for entry in case.entries() {
        let Ok(event) = &entry.event else { continue };
        if !matches!(
            event,
            Event::ApprovalEscalated(_)
                | Event::ApprovalRecorded(_)
                | Event::GrantApproved(_)
                | Event::GrantExtended(_)
        ) {
            continue;
        }
        let decision = entry.refs().decision;
        let asks = match case.earlier(decision, entry).map(|d| (d.header().at, &d.event)) {
            Some((at, Ok(Event::PolicyEvaluated(e)))) => e.decision.obligations.approvals().map(|quorum| (at, quorum)),
            _ => None,
        };
        let so_far = escalated.get(&decision).unwrap_or(&none);
        match event {
            Event::ApprovalEscalated(e) => {
                let step = (e.from.clone(), e.to.clone());
                let due = asks.and_then(|(at, quorum)| quorum.escalates_at(at, &step));
                // Two brokers' clocks may differ by their errors, which INV-14 bounds.
                let error = Duration::from_micros(u64::from(entry.header().clock.error_us)).saturating_mul(2);
                if due.is_none_or(|due| entry.header().at.saturating_add(error) < due) {
                    report.violated(Inv09, &[entry], "no such escalation was due");
                }
                escalated.entry(decision).or_default().insert(step);
            }
            Event::ApprovalRecorded(e) => {
                // What names no decision that asks is INV-08's to report.
                if let (Some((_, quorum)), Some(group)) = (asks, &e.group)
                    && !quorum.asks(group, so_far)
                {
                    report.violated(Inv09, &[entry], "an approval for a group that was not asked");
                }
            }
            _ => {
                let Some((_, quorum)) = asks else { continue };
                let group_of = |leaf: &LeafHash| match &case.earlier(Some(*leaf), entry)?.event {
                    Ok(Event::ApprovalRecorded(approval)) => approval.group.clone(),
                    _ => None,
                };
                let approvals = &entry.refs().approvals;
                let given: Vec<GroupName> = approvals.iter().filter_map(group_of).collect();
                if !approvals.is_empty() && !quorum.is_met_after(&given, so_far) {
                    report.violated(Inv09, &[entry], "the quorum is not met");
                }
            }
        }
    }
}
