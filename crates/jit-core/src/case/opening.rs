//! The opening of a window: authority is judged again when access begins, not only when it was approved.

use crate::{
    case::{
        Case,
        command::{Context, Decided, EvaluatedDecision, Open, ParentState},
        refusal::Refusal,
    },
    code,
    decision::EvaluationPurpose,
    event::{ApprovalVoided, Event, GrantActivated, GrantEligibilityWithdrawn, PolicyEvaluated},
    time::Timestamp,
};

impl Case {
    /// Whether the approved window has opened and access is not active yet.
    #[must_use]
    pub fn may_open(&self, now: Timestamp) -> bool {
        self.live_grant().is_ok_and(|grant| grant.activated.is_none() && grant.approved.approved.contains(now))
    }

    pub(super) fn open(&self, open: &Open, context: &Context) -> Decided {
        match self.try_open(open, context) {
            Ok(decided) => decided,
            Err(refusal) => Decided::refused(refusal),
        }
    }

    fn try_open(&self, open: &Open, context: &Context) -> Result<Decided, Refusal> {
        let grant = self.live_grant()?;
        if grant.activated.is_some() {
            return Err(Refusal::Phase(self.phase()));
        }
        if !grant.approved.approved.contains(context.now) {
            return Err(Refusal::WindowNotOpen { now: context.now });
        }
        self.has_parent(open.parent)?;
        let record = match self.decide_anew(&open.evaluated, context)? {
            Ok(record) => record,
            Err(withdrawn) => return Ok(withdrawn),
        };
        Ok(Decided::done([record, GrantActivated { actual_start: context.now }.into()]))
    }

    /// Whether what the request derives from is there.
    pub(super) fn has_parent(&self, parent: ParentState) -> Result<(), Refusal> {
        let derived = self.request.as_ref().is_some_and(|r| r.submitted.parent.is_some());
        match (parent, derived) {
            (ParentState::None, false) | (ParentState::Active, true) => Ok(()),
            _ => Err(Refusal::ParentGone),
        }
    }

    /// The record of a decision made again, if it still permits with no stricter demands than were met; else the end of the
    /// grant (INV-08).
    pub(super) fn decide_anew(
        &self,
        evaluated: &EvaluatedDecision,
        context: &Context,
    ) -> Result<Result<Event, Decided>, Refusal> {
        let met = self.met_obligations().ok_or_else(|| Refusal::Phase(self.phase()))?;
        let decision = &evaluated.decision;
        let record: Event = PolicyEvaluated {
            purpose: EvaluationPurpose::Issuance,
            decision: decision.clone(),
            input: Some(evaluated.input.clone()),
            about: None,
        }
        .into();
        let stricter = !decision.obligations.no_stricter_than(&met);
        if decision.permits() && !stricter {
            return Ok(Ok(record));
        }
        let cause = if stricter { code!("stricter_obligations") } else { code!("no_longer_permitted") };
        let ending = self.ending(None, cause.clone(), context)?;
        let withdrawn = [record, ApprovalVoided { cause }.into(), GrantEligibilityWithdrawn { ending }.into()];
        Ok(Err(Decided::done(withdrawn).but(Refusal::NoLongerPermitted)))
    }
}
