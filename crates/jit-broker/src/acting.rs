//! Acts of participants on a case, each under its idempotency key.

use jit_core::{Case, CaseId, Code, Command, CommandId, Event, IdempotencyKey, Phase, PrincipalId, Prose, StepOrigin};

use crate::{
    broker::Broker,
    error::BrokerError,
    turn::{NotTaken, Turn},
};

impl Broker {
    /// Takes the request back.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if it is not the requester's act or too late (recorded as `command.refused`), or whatever
    /// kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn withdraw(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: PrincipalId,
        reason: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let command = Command::Withdraw { by: by.clone(), reason };
        self.act(key, case, &by, &command, |event| matches!(event, Event::RequestWithdrawn(_))).await
    }

    /// Puts on record whether a condition of the grant was enforced, as `by` says. A condition that the broker enforces keeps
    /// anything from being minted until this says that it was.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the grant has no such condition, or whatever kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn report_condition(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        condition: Code,
        enforced: bool,
        by: PrincipalId,
    ) -> Result<Phase, BrokerError> {
        let command = Command::ReportCondition { condition: condition.clone(), enforced, by: by.clone() };
        let repeats = |event: &Event| matches!(event, Event::ConditionReported(e) if e.condition == condition && e.enforced == enforced);
        self.act(key, case, &by, &command, repeats).await
    }

    pub(crate) async fn act(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: &PrincipalId,
        command: &Command,
        repeats: impl Fn(&Event) -> bool,
    ) -> Result<Phase, BrokerError> {
        let turn = self.act_once(key, case, by, command, repeats).await?;
        Ok(turn.accepted()?.case.phase())
    }

    /// Takes a participant's turn, or answers from the first one under the same key.
    pub(crate) async fn act_once(
        &self,
        key: &IdempotencyKey,
        id: CaseId,
        by: &PrincipalId,
        command: &Command,
        repeats: impl Fn(&Event) -> bool,
    ) -> Result<Turn, BrokerError> {
        let command_id = self.index_key.command_in(id, by, key);
        loop {
            let case = self.load_existing(id).await?;
            if first_effect(&case, command_id, &repeats)? {
                return Ok(Turn { case, appended: None, outcome: Ok(()) });
            }
            let retain = case.retain().cloned().ok_or(BrokerError::NoSuchCase(id))?;
            let mut origin = StepOrigin::command(command_id, retain);
            if let Command::End { by, .. } = command {
                origin = origin.ended_by(by);
            }
            match self.try_turn(case, std::slice::from_ref(command), &origin, Vec::new()).await {
                Ok(turn) => return Ok(turn),
                // Each conflict means that somebody else got further, so this ends when they are done.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }
}

/// Whether a command had its effect before; an error if it was refused, or was another one.
pub(crate) fn first_effect(
    case: &Case,
    command: CommandId,
    repeats: impl Fn(&Event) -> bool,
) -> Result<bool, BrokerError> {
    match case.caused_by(command) {
        None => Ok(false),
        Some(first) if repeats(first) => Ok(true),
        Some(Event::CommandRefused(_) | Event::ApprovalVoided(_)) => Err(refused_before(case, command)),
        Some(_) => Err(BrokerError::KeyReused(case.id())),
    }
}

/// What a command that was refused before is answered with.
pub(crate) fn refused_before(case: &Case, command: CommandId) -> BrokerError {
    match case.caused_by(command) {
        Some(Event::RequestRefused(e)) => BrokerError::RefusedBefore { case: case.id(), code: e.code.clone() },
        Some(Event::CommandRefused(e)) => BrokerError::RefusedBefore { case: case.id(), code: e.code.clone() },
        Some(Event::ApprovalVoided(e)) => BrokerError::RefusedBefore { case: case.id(), code: e.cause.clone() },
        _ => BrokerError::KeyReused(case.id()),
    }
}
