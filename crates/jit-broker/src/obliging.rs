//! What an emergency owes: closing its obligations, and listing those that were not met in time.

use jit_core::{
    CaseId, Code, Command, DueTask, Event, IdempotencyKey, ObligationId, Phase, Principal, PrincipalId, Prose, Refusal,
    StepOrigin, StreamId, Timestamp, UNSETTLED, code,
};
use jit_store::ScheduleCursor;

use crate::{acting::first_effect, broker::Broker, error::BrokerError, turn::NotTaken};

/// An obligation that was not met in time, and is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueObligation {
    /// Its case.
    pub case: CaseId,
    /// Which.
    pub obligation: ObligationId,
    /// What must be done: `review` or `justification`.
    pub task: Code,
    /// Until when it was to be done.
    pub due: Timestamp,
    /// Who made the request.
    pub requester: PrincipalId,
}

/// A part of the list.
#[derive(Debug, Clone)]
#[must_use]
pub struct OverduePage {
    /// The obligations.
    pub found: Vec<OverdueObligation>,
    /// Where to go on; `None` at the end.
    pub next: Option<ScheduleCursor>,
}

impl Broker {
    /// Closes an obligation: a review by somebody without an interest (of the group that [`Settings`](crate::Settings) names, and let
    /// by the policy if it is asked), or a justification by the requester.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if it is not theirs to close (recorded as `command.refused`), or whatever kept it from being
    /// recorded.
    #[tracing::instrument(skip_all, err, fields(case = %id))]
    pub async fn close_obligation(
        &self,
        key: &IdempotencyKey,
        id: CaseId,
        obligation: ObligationId,
        by: Principal,
        finding: Code,
        text: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let who = by.id();
        let command = self.index_key.command_in(id, &who, key);
        let repeats = |event: &Event| matches!(event, Event::ObligationClosed(e) if e.obligation == obligation);
        let close = Command::CloseObligation { obligation, by: by.clone(), finding, text: text.clone() };
        let phase = loop {
            let case = self.load_existing(id).await?;
            if first_effect(&case, command, repeats)? {
                break case.phase();
            }
            let mut commands = Vec::new();
            let open = case.may_close_obligation(obligation, &by, text.as_ref(), &self.settings.limits.justification);
            let reviews = case.obligations().get(&obligation).is_some_and(|o| o.task == code!("review"));
            if open.is_ok() && reviews {
                commands.extend(self.before_review(&case, &by).await?);
            }
            commands.push(close.clone());
            let retain = case.retain().cloned().ok_or(BrokerError::NoSuchCase(id))?;
            match self.try_turn(case, &commands, &StepOrigin::command(command, retain), Vec::new()).await {
                Ok(turn) => break turn.accepted()?.case.phase(),
                // Each conflict means that somebody else got further, so this ends when they are done.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        };
        if let Err(error) = self.settle(id).await {
            tracing::warn!(case = %id, %error, "a case without open obligations is closed later");
        }
        Ok(phase)
    }

    async fn before_review(&self, case: &jit_core::Case, by: &Principal) -> Result<Option<Command>, BrokerError> {
        let who = by.id();
        if let Some(group) = &self.settings.reviewers
            && !self.groups_of(&who).await?.contains(group)
        {
            let refusal = Refusal::NotAMember { by: who.clone(), group: group.clone() };
            return Ok(Some(Command::Refuse { by: who, act: code!("close_obligation"), refusal }));
        }
        match case.standing_request().filter(|_| self.settings.judged_by_policy) {
            Some(request) => {
                let evaluated = self.evaluate_reviewer(&request, by, self.clock.now().at).await?;
                Ok(Some(Command::JudgeReviewer { by: who, evaluated }))
            }
            None => Ok(None),
        }
    }

    /// Lists what emergencies owe and did not do in time: at most `limit` entries looked at after a position. Each is also an
    /// `obligation.overdue` in the log. It reads what is open now, through an index that every record keeps, and not the log.
    ///
    /// # Errors
    /// [`BrokerError::Read`] or [`BrokerError::Apply`] if that could not be read.
    #[tracing::instrument(skip_all, err)]
    pub async fn overdue(&self, after: Option<ScheduleCursor>, limit: usize) -> Result<OverduePage, BrokerError> {
        let schedule = self.log.scheduled(UNSETTLED, after, limit).await?;
        let mut found = Vec::new();
        for work in &schedule.work {
            let (StreamId::Case(id), DueTask::Overdue(obligation)) = (work.id().stream, work.id().task) else {
                continue;
            };
            let case = self.load_existing(id).await?;
            let open = case.obligations().get(&obligation).filter(|o| !o.closed);
            let (Some(open), Some(request)) = (open, case.request()) else { continue };
            let (task, due) = (open.task.clone(), open.due);
            let requester = request.submitted.requester.id();
            found.push(OverdueObligation { case: id, obligation, task, due, requester });
        }
        Ok(OverduePage { found, next: schedule.next })
    }
}
