//! Submitting, evaluating, withdrawing and lapsing.

use crate::{
    approval::ApprovalMethod,
    case::{
        Case, Phase,
        command::{Context, Decided, EvaluatedDecision},
        refusal::Refusal,
    },
    code,
    decision::{Decision, EvaluationPurpose},
    event::{
        ApprovalRecorded, BreakGlassInvoked, CaseClosed, Event, GrantApproved, GrantDenied, ObligationOpened,
        PolicyEvaluated, RequestLapsed, RequestRefused, RequestWithdrawn,
    },
    justification::Justification,
    principal::PrincipalId,
    record::StreamHead,
    request::Request,
    text::{Code, Prose},
    time::Timestamp,
};

impl Case {
    pub(super) fn submit(&self, request: &Request, context: &Context) -> Decided {
        if self.phase() != Phase::New {
            return Decided::refused(Refusal::Phase(self.phase()));
        }
        if let Err(error) = request.check_submittable(context.now, &context.limits) {
            let refusal = Refusal::from(error);
            let refused = RequestRefused { requester: Some(request.requester().id()), code: refusal.code(), count: 1 };
            return Decided::done([refused.into()]).but(refusal);
        }
        let mut events: Vec<Event> = vec![request.to_submitted().into()];
        if let Some(emergency) = request.emergency() {
            let by = request.requester().id();
            events.push(BreakGlassInvoked { by, emergency: emergency.clone() }.into());
            let review_due = context.now.saturating_add(emergency.review_within.to_duration());
            events.push(self.open_obligation(code!("review"), review_due));
            if request.justification().is_none() {
                let due = context.now.saturating_add(emergency.justify_within.to_duration());
                events.push(self.open_obligation(code!("justification"), due));
            }
        }
        Decided::done(events)
    }

    pub(super) fn open_obligation(&self, task: Code, due: Timestamp) -> Event {
        ObligationOpened { obligation: self.obligation_id(&task), task, due }.into()
    }

    pub(super) fn evaluate(&self, evaluated: &EvaluatedDecision, context: &Context) -> Decided {
        let (Phase::Submitted, Some(request)) = (self.phase(), &self.request) else {
            return Decided::refused(Refusal::Phase(self.phase()));
        };
        let decision = &evaluated.decision;
        let record = PolicyEvaluated {
            purpose: EvaluationPurpose::Request,
            decision: decision.clone(),
            input: Some(evaluated.input.clone()),
            about: None,
        };
        let denied = |by: Option<PrincipalId>, cause| {
            Decided::done([record.clone().into(), GrantDenied { by, cause, reason: None }.into()])
        };
        if !decision.permits() {
            let by = decision.determining.first().map(|d| PrincipalId::Rule(d.rule.clone()));
            return denied(by, decision.denial());
        }
        let Some(rule) = decision.permitting_rule() else {
            return denied(None, code!("no_rule_permits"));
        };
        let rule = PrincipalId::Rule(rule.clone());
        let requested = request.submitted.requested;
        if decision.obligations.max_duration().is_some_and(|max| requested.duration() > max.to_duration()) {
            return denied(Some(rule), code!("exceeds_max_duration"));
        }
        if let Some(lack) = self.justification_lack(decision, request.submitted.justification.as_ref()) {
            return denied(Some(rule), lack);
        }
        if decision.obligations.approvals().is_some() {
            return Decided::done([record.into()]);
        }
        let Some(approved) = self.approved_window(context.now) else {
            return denied(None, code!("window_over"));
        };
        let conditions = decision.obligations.conditions().to_vec();
        let approval = ApprovalRecorded {
            approver: rule,
            method: ApprovalMethod::Rule,
            group: None,
            request: request.leaf,
            scope: request.submitted.scope.clone(),
            approved: requested,
            conditions: conditions.clone(),
            comment: None,
            authentication: None,
            signature: None,
            list: None,
            eligibility: None,
            next: None,
        };
        let grant = GrantApproved {
            recipient: request.submitted.recipient.clone(),
            scope: request.submitted.scope.clone(),
            approved,
            conditions,
            entitlement: context.entitlement,
        };
        Decided::done([record.into(), approval.into(), grant.into()])
    }

    /// What a justification lacks that the policy demands, as a code. One that an emergency defers is judged when it follows.
    pub(super) fn justification_lack(&self, decision: &Decision, given: Option<&Justification>) -> Option<Code> {
        let demand = decision.obligations.justification()?;
        let external = self.request.as_ref().map(|r| r.submitted.external.as_slice()).unwrap_or_default();
        demand.check(given?, external).err().map(|lack| lack.code())
    }

    pub(super) fn withdraw(&self, by: &PrincipalId, reason: Option<&Prose>) -> Decided {
        match (&self.request, self.phase()) {
            (Some(request), Phase::Submitted | Phase::AwaitingApprovals) => {
                if request.submitted.requester.id() != *by {
                    return self.refused_act(by.clone(), code!("withdraw"), Refusal::NotOwn(by.clone()));
                }
                Decided::done([RequestWithdrawn { by: by.clone(), reason: reason.cloned() }.into()])
            }
            (_, phase) => self.refused_act(by.clone(), code!("withdraw"), Refusal::Phase(phase)),
        }
    }

    pub(super) fn lapse(&self, context: &Context) -> Decided {
        let (Phase::Submitted | Phase::AwaitingApprovals, Some(deadline)) = (self.phase(), self.lapses_at()) else {
            return Decided::refused(Refusal::Phase(self.phase()));
        };
        if context.now < deadline {
            return Decided::refused(Refusal::NotDue(deadline));
        }
        Decided::done([RequestLapsed { deadline }.into()])
    }

    pub(super) fn close(&self) -> Decided {
        match self.head {
            Some(StreamHead { n, .. }) if self.is_settled() => {
                Decided::done([CaseClosed { count: n.saturating_add(2) }.into()])
            }
            _ => Decided::refused(Refusal::NotSettled),
        }
    }
}
