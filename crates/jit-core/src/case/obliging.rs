//! What an emergency owes: a review by somebody else, a justification that follows, and that somebody was told.

use crate::{
    case::{
        Announcement, Case, Phase,
        command::{Context, Decided},
        refusal::Refusal,
    },
    code,
    decision::EvaluationPurpose,
    demand::JustificationDemand,
    event::{BreakGlassAnnounced, Event, ObligationClosed, ObligationOverdue},
    ids::ObligationId,
    principal::Principal,
    text::{Code, Prose},
    time::Timestamp,
};

impl Case {
    pub(super) fn obligation_overdue(&self, obligation: ObligationId, context: &Context) -> Decided {
        let open = self.obligations.get(&obligation).filter(|o| !o.closed && !o.overdue);
        match (open, self.said_late(obligation, context.now)) {
            (_, Some(late)) => Decided::done([late]),
            (Some(open), None) => Decided::refused(Refusal::NotDue(open.due)),
            (None, None) => Decided::refused(Refusal::Obligation(obligation)),
        }
    }

    /// The record that an obligation was not met in time, if it was not and none says so yet.
    pub(super) fn said_late(&self, obligation: ObligationId, now: Timestamp) -> Option<Event> {
        let open = self.obligations.get(&obligation).filter(|o| !o.closed && !o.overdue && o.due <= now)?;
        Some(ObligationOverdue { obligation, task: open.task.clone(), due: open.due }.into())
    }

    pub(super) fn announced(&self, channel: &Code, failure: Option<&Code>, retry_at: Option<Timestamp>) -> Decided {
        let Some(Announcement::Pending { attempts }) = self.announcement else {
            return Decided::refused(Refusal::NoAnnouncement);
        };
        let announced = BreakGlassAnnounced {
            channel: channel.clone(),
            attempt: attempts.saturating_add(1),
            failure: failure.cloned(),
            retry_at: retry_at.filter(|_| failure.is_some()),
        };
        Decided::done([announced.into()])
    }

    pub(super) fn close_obligation(
        &self,
        obligation: ObligationId,
        by: &Principal,
        finding: &Code,
        text: Option<&Prose>,
        context: &Context,
    ) -> Decided {
        let id = by.id();
        match self.may_close_obligation(obligation, by, text, &context.limits.justification) {
            Ok(()) => {
                let eligibility = self.eligibility(&id, EvaluationPurpose::Review).map(|eligible| eligible.leaf);
                let (finding, text) = (finding.clone(), text.cloned());
                let closed = ObligationClosed { obligation, by: id, finding, text, eligibility };
                let mut events: Vec<Event> = self.said_late(obligation, context.now).into_iter().collect();
                events.push(closed.into());
                Decided::done(events)
            }
            Err(refusal) => self.refused_act(id, code!("close_obligation"), refusal),
        }
    }

    /// Whether somebody may close an obligation now, but for what a policy says about a reviewer.
    ///
    /// # Errors
    /// [`Refusal`] naming what stands against it.
    pub fn may_close_obligation(
        &self,
        obligation: ObligationId,
        by: &Principal,
        text: Option<&Prose>,
        demanded: &JustificationDemand,
    ) -> Result<(), Refusal> {
        let open = self.obligations.get(&obligation).filter(|o| !o.closed);
        let Some(open) = open else {
            return Err(Refusal::Obligation(obligation));
        };
        let interested = self.interested().contains(&by.id());
        if open.task == code!("justification") {
            // The justification is the requester's to give, and it must be what any other would have to be.
            return match (interested, text) {
                (false, _) => Err(Refusal::NotOwn(by.id())),
                (true, None) => Err(Refusal::TextMissing(obligation)),
                (true, Some(text)) => {
                    let by_policy = self.first_decision().and_then(|d| d.decision.obligations.justification());
                    let mut demands = std::iter::once(demanded).chain(by_policy);
                    Ok(demands.try_for_each(|demand| demand.check_text(text.as_str()))?)
                }
            };
        }
        if self.barred().contains(&by.id()) {
            return Err(Refusal::Interested(by.id()));
        }
        match (by, self.phase()) {
            (Principal::Human { .. }, Phase::Ended | Phase::Denied | Phase::Withdrawn | Phase::Lapsed) => Ok(()),
            (Principal::Human { .. }, phase) => Err(Refusal::Phase(phase)),
            _ => Err(Refusal::NotAPerson),
        }
    }
}
