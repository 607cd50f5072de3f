//! Whether what was asked would still be permitted, and whether somebody may approve or review: decisions that precede an act.

use crate::{
    case::{
        Case, CaseObligation, Eligible,
        command::{Decided, EvaluatedDecision},
        refusal::Refusal,
    },
    code,
    decision::EvaluationPurpose,
    event::{ApprovalVoided, Event, ExtensionFailed, GrantDenied, PolicyEvaluated},
    ids::ObligationId,
    principal::PrincipalId,
    text::Code,
};

impl Case {
    pub(super) fn confirm(&self, evaluated: &EvaluatedDecision) -> Decided {
        let Some(asked) = self.asked() else {
            return Decided::refused(Refusal::Phase(self.phase()));
        };
        let decision = &evaluated.decision;
        let record = evaluated_event(EvaluationPurpose::Confirmation, evaluated, None);
        let stricter = !decision.obligations.no_stricter_than(&asked.decision.decision.obligations);
        if decision.permits() && !stricter {
            return Decided::done([record]);
        }
        let cause = if decision.permits() { code!("stricter_obligations") } else { code!("no_longer_permitted") };
        let by = decision.determining.first().map(|d| PrincipalId::Rule(d.rule.clone()));
        let over: Vec<Event> = if asked.extends {
            // What was granted before is judged at issuance; only what is asked for now is over.
            vec![record, ExtensionFailed { by, cause, reason: None }.into()]
        } else {
            let voided = ApprovalVoided { cause: cause.clone() };
            vec![record, voided.into(), GrantDenied { by, cause, reason: None }.into()]
        };
        Decided::done(over).but(Refusal::NoLongerPermitted)
    }

    pub(super) fn judge_approver(&self, by: &PrincipalId, evaluated: &EvaluatedDecision) -> Decided {
        if self.asked().is_none() {
            return self.refused_act(by.clone(), code!("approve"), Refusal::Phase(self.phase()));
        }
        let mut judged = self.judge(by, evaluated, EvaluationPurpose::Approval, code!("approve"));
        let owner = self.owner().is_some_and(|owner| owner == *by);
        if owner && judged.outcome.is_ok() && !evaluated.decision.lets_owner_approve() {
            let refused = self.refused_act(by.clone(), code!("approve"), Refusal::Interested(by.clone()));
            judged.steps = if refused.steps.is_empty() { Vec::new() } else { [judged.steps, refused.steps].concat() };
            judged.outcome = refused.outcome;
        }
        judged
    }

    pub(super) fn judge_reviewer(&self, by: &PrincipalId, evaluated: &EvaluatedDecision) -> Decided {
        if self.open_review().is_none() {
            return self.refused_act(by.clone(), code!("close_obligation"), Refusal::Phase(self.phase()));
        }
        self.judge(by, evaluated, EvaluationPurpose::Review, code!("close_obligation"))
    }

    fn judge(&self, by: &PrincipalId, evaluated: &EvaluatedDecision, purpose: EvaluationPurpose, act: Code) -> Decided {
        let record = evaluated_event(purpose, evaluated, Some(by.clone()));
        if evaluated.decision.permits() {
            return Decided::done([record]);
        }
        let mut refused = self.refused_act(by.clone(), act, Refusal::NotEligible(by.clone()));
        // Where a refusal is no longer recorded, what led to it is not either.
        if !refused.steps.is_empty() {
            refused.steps.splice(0..0, Decided::done([record]).steps);
        }
        refused
    }

    /// The decision recorded directly before, if it lets this person do this.
    pub(super) fn eligibility(&self, who: &PrincipalId, purpose: EvaluationPurpose) -> Option<&Eligible> {
        self.eligible.as_ref().filter(|eligible| eligible.who == *who && eligible.purpose == purpose)
    }

    /// The review that an emergency opened, while it is open.
    pub(super) fn open_review(&self) -> Option<(&ObligationId, &CaseObligation)> {
        self.obligations.iter().find(|(_, o)| !o.closed && o.task == code!("review"))
    }
}

fn evaluated_event(purpose: EvaluationPurpose, evaluated: &EvaluatedDecision, about: Option<PrincipalId>) -> Event {
    let EvaluatedDecision { decision, input } = evaluated.clone();
    PolicyEvaluated { purpose, decision, input: Some(input), about }.into()
}
