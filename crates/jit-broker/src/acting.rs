//! Acts of participants on a case: approve, deny, withdraw, close an obligation. Each under its idempotency key.

use std::collections::BTreeSet;

use jit_core::{
    ApprovalContent, ApprovalSignature, Approve, Case, CaseId, Code, Command, CommandId, Event, GroupName,
    IdempotencyKey, Line, ObligationId, Phase, Principal, PrincipalId, Prose, StepOrigin,
};

use crate::{
    broker::Broker,
    error::BrokerError,
    turn::{NotTaken, Turn},
};

/// An approver's act.
#[derive(Debug, Clone)]
pub struct ApprovalAct {
    /// Who approves, as the caller has authenticated them.
    pub approver: Principal,
    /// For which group of the quorum.
    pub group: GroupName,
    /// What the approver was shown: [`Broker::approval_content`].
    pub content: ApprovalContent,
    /// What the approver said.
    pub comment: Option<Prose>,
    /// How the approver was authenticated.
    pub authentication: Option<Line>,
    /// The approver's signature over the content.
    pub signature: Option<ApprovalSignature>,
}

impl Broker {
    /// Records an approval of exactly what the approver was shown, and the grant or its extension once the quorum is met.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the approver may not approve or what they were shown is not what is asked now (recorded
    /// as `command.refused`), or whatever kept the approval from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn approve(&self, key: &IdempotencyKey, case: CaseId, act: ApprovalAct) -> Result<Phase, BrokerError> {
        let by = act.approver.id();
        let (group, request) = (act.group.clone(), act.content.request);
        let member_of = self.groups_of(&by).await?;
        let ApprovalAct { approver, group: for_group, content, comment, authentication, signature } = act;
        let command = Command::Approve(Approve {
            approver,
            group: for_group,
            member_of,
            content,
            comment,
            authentication,
            signature,
        });
        let repeats = |event: &Event| matches!(event, Event::ApprovalRecorded(e) if e.group.as_ref() == Some(&group) && e.request == request);
        let turn = self.act_once(key, case, &by, &command, repeats).await?.accepted()?;
        self.after_extension(&turn).await;
        Ok(turn.case.phase())
    }

    /// Denies the request or the extension that people are asked about, as a member of a group of the quorum.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the denier may not (recorded as `command.refused`), or whatever kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn deny(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: Principal,
        group: GroupName,
        reason: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let id = by.id();
        let member_of = self.groups_of(&id).await?;
        let command = Command::Deny { by, group, member_of, reason };
        let repeats = |event: &Event| matches!(event, Event::GrantDenied(_) | Event::ExtensionFailed(_));
        self.act(key, case, &id, &command, repeats).await
    }

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

    /// Closes an obligation: a review by somebody without an interest, or a justification by the requester.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if it is not theirs to close (recorded as `command.refused`), or whatever kept it from being
    /// recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn close_obligation(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        obligation: ObligationId,
        by: Principal,
        finding: Code,
        text: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let id = by.id();
        let command = Command::CloseObligation { obligation, by, finding, text };
        let repeats = |event: &Event| matches!(event, Event::ObligationClosed(e) if e.obligation == obligation);
        let phase = self.act(key, case, &id, &command, repeats).await?;
        if let Err(error) = self.settle(case).await {
            tracing::warn!(%case, %error, "a case without open obligations is closed later");
        }
        Ok(phase)
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

    async fn act(
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

    pub(crate) async fn groups_of(&self, by: &PrincipalId) -> Result<BTreeSet<GroupName>, BrokerError> {
        self.eligibility.groups_of(by).await.map_err(|error| BrokerError::Policy(error.to_string()))
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
        Some(Event::CommandRefused(_)) => Err(refused_before(case, command)),
        Some(_) => Err(BrokerError::KeyReused(case.id())),
    }
}

/// What a command that was refused before is answered with.
pub(crate) fn refused_before(case: &Case, command: CommandId) -> BrokerError {
    match case.caused_by(command) {
        Some(Event::RequestRefused(e)) => BrokerError::RefusedBefore { case: case.id(), code: e.code.clone() },
        Some(Event::CommandRefused(e)) => BrokerError::RefusedBefore { case: case.id(), code: e.code.clone() },
        _ => BrokerError::KeyReused(case.id()),
    }
}
