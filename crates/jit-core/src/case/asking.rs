//! What people are asked to approve now, until when, and who is asked next when nobody answers.

use std::collections::BTreeSet;

use crate::{
    case::{
        Case, CaseApproval, CaseDecision, Phase,
        command::{Context, Decided},
        refusal::Refusal,
    },
    digest::LeafHash,
    event::{ApprovalEscalated, ApprovalNarrowed, ApprovalRecorded, ApprovalWithdrawn, Event},
    quorum::{Escalated, NextEscalation, Quorum},
    request::Request,
    scope::Scope,
    text::GroupName,
    time::Timestamp,
    window::Window,
};

/// What people are asked to approve.
pub(super) struct Asked<'c> {
    /// The leaf of what was asked for.
    pub(super) request: LeafHash,
    /// The scope asked for.
    pub(super) scope: &'c Scope,
    /// The window asked for.
    pub(super) window: Window,
    /// The decision that asks them.
    pub(super) decision: &'c CaseDecision,
    /// Until when they may answer.
    pub(super) deadline: Timestamp,
    /// Until when there is something to approve.
    pub(super) end: Timestamp,
    /// Whether it is an extension.
    pub(super) extends: bool,
}

impl Asked<'_> {
    pub(super) fn quorum(&self) -> Option<&Quorum> {
        self.decision.decision.obligations.approvals()
    }
}

impl Case {
    /// What people are asked to approve now: the request, or an extension of its grant.
    pub(super) fn asked(&self) -> Option<Asked<'_>> {
        let (request, scope, window, end, decision, extends);
        if let (Some(extension), Phase::Approved | Phase::Activated) = (self.pending_extension(), self.phase()) {
            let grant = self.grant.as_ref()?;
            decision = self.decision(extension.decision?)?;
            (request, extends) = (extension.leaf, true);
            (scope, window, end) = (&grant.approved.scope, extension.asked.requested, grant.approved.approved.end());
        } else if self.phase() == Phase::AwaitingApprovals {
            decision = self.first_decision()?;
            (request, extends) = (self.request.as_ref()?.leaf, false);
            (scope, window) = (self.standing_scope()?, self.standing_window()?);
            end = window.end();
        } else {
            return None;
        }
        let patience = decision.decision.obligations.approval_deadline();
        let deadline = patience.map_or(end, |within| end.min(decision.at.saturating_add(within.to_duration())));
        Some(Asked { request, scope, window, decision, deadline, end, extends })
    }

    /// What people are asked to approve now, to be judged again under the policy of today. `None` unless approvals are awaited.
    #[must_use]
    pub fn asked_request(&self) -> Option<Request> {
        let (asked, request) = (self.asked()?, self.standing_request()?);
        match self.pending_extension().filter(|_| asked.extends) {
            Some(extension) => Some(request.extended_to(asked.window, extension.asked.justification.clone())),
            None => Some(request),
        }
    }

    /// Until when people may approve what they are asked now: the policy's deadline, or the end of what there is to approve. `None`
    /// unless approvals are awaited.
    #[must_use]
    pub fn approvals_due(&self) -> Option<Timestamp> {
        self.asked().map(|asked| asked.deadline)
    }

    /// The groups asked now, with how many approvals each still misses. Empty unless approvals are awaited.
    #[must_use]
    pub fn missing_approvals(&self) -> Vec<(GroupName, usize)> {
        let Some(asked) = self.asked() else { return Vec::new() };
        let (given, escalated) = (self.given_for(asked.decision.leaf), self.escalated_for(asked.decision.leaf));
        let missing = asked.quorum().into_iter().flat_map(|q| q.missing_after(&given, &escalated));
        missing.map(|(group, lacking)| (group.clone(), lacking)).collect()
    }

    /// The escalation that follows unless enough people answer. `None` if there is none.
    #[must_use]
    pub fn next_escalation(&self) -> Option<NextEscalation> {
        let asked = self.asked()?;
        let (given, escalated) = (self.given_for(asked.decision.leaf), self.escalated_for(asked.decision.leaf));
        let next = asked.quorum()?.next_escalation(asked.decision.at, &given, &escalated)?;
        (next.at < asked.deadline).then_some(next)
    }

    /// When an undecided request lapses. `None` without one.
    pub(super) fn lapses_at(&self) -> Option<Timestamp> {
        self.approvals_due().or_else(|| self.request.as_ref().map(|r| r.submitted.requested.end()))
    }

    /// The groups that approvals were given for, one entry an approval.
    pub(super) fn given_for(&self, decision: LeafHash) -> Vec<GroupName> {
        self.approvals_for(decision).filter_map(|a: &CaseApproval| a.approval.group.clone()).collect()
    }

    /// The escalations of what a decision asks.
    pub(super) fn escalated_for(&self, decision: LeafHash) -> BTreeSet<Escalated> {
        self.escalations.iter().filter(|(of, _)| *of == decision).map(|(_, escalated)| escalated.clone()).collect()
    }

    pub(super) fn escalate(&self, context: &Context) -> Decided {
        match self.next_escalation() {
            Some(next) if next.at <= context.now => {
                let NextEscalation { from, to, .. } = next;
                Decided::done([self.with_next(ApprovalEscalated { from, to, next: None }.into())])
            }
            Some(next) => Decided::refused(Refusal::NotDue(next.at)),
            None => Decided::refused(Refusal::NoEscalation),
        }
    }

    /// The event with the moment when the next group is asked, or the request lapses, after it: a store schedules by one record
    /// alone.
    pub(super) fn with_next(&self, event: Event) -> Event {
        let Some(asked) = self.asked() else { return event };
        let (decision, mut deadline) = (asked.decision, asked.deadline);
        let limited = decision.decision.obligations.approval_deadline().is_some();
        let (mut given, mut escalated) = (self.given_for(decision.leaf), self.escalated_for(decision.leaf));
        match &event {
            Event::ApprovalRecorded(e) => given.extend(e.group.clone()),
            Event::ApprovalWithdrawn(e) => {
                let group =
                    self.approvals.iter().find(|a| a.leaf == e.approval).and_then(|a| a.approval.group.as_ref());
                if let Some(at) = given.iter().position(|g| Some(g) == group) {
                    given.remove(at);
                }
            }
            Event::ApprovalEscalated(e) => drop(escalated.insert((e.from.clone(), e.to.clone()))),
            Event::ApprovalNarrowed(e) => {
                given.clear();
                deadline = deadline.min(e.approved.end());
            }
            _ => {}
        }
        let quorum = decision.decision.obligations.approvals();
        let escalates = quorum.and_then(|q| q.next_escalation(decision.at, &given, &escalated)).map(|e| e.at);
        let escalates = escalates.filter(|at| *at < deadline);
        let next = escalates.or(limited.then_some(deadline));
        match event {
            Event::ApprovalRecorded(e) => ApprovalRecorded { next, ..e }.into(),
            Event::ApprovalWithdrawn(e) => ApprovalWithdrawn { next, ..e }.into(),
            Event::ApprovalEscalated(e) => ApprovalEscalated { next, ..e }.into(),
            Event::ApprovalNarrowed(e) => ApprovalNarrowed { next, ..e }.into(),
            other => other,
        }
    }
}
