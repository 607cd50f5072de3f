//! More time for a grant: a decision of its own, on the whole of the longer window.

use jit_core::{
    Case, CaseId, Code, Command, CommandId, EvaluationPurpose, Event, Extend, ExtensionState, IdempotencyKey,
    Justification, PrincipalId, Prose, Refusal, StepOrigin, Timestamp, Window,
};

use crate::{
    acting::refused_before,
    broker::Broker,
    error::BrokerError,
    turn::{NotTaken, Turn},
};

/// What came of asking for more time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extension {
    /// The grant lasts for this window now.
    Granted(Window),
    /// People are to approve it; the grant is as it was.
    AwaitingApprovals,
    /// No more time was given, for this reason; the grant is as it was.
    Failed(Code),
}

impl Broker {
    /// Asks that a grant last until `until`, and records the policy's decision on it, together. The policy is asked about the
    /// window from the grant's start to the new end; whatever it demands is met anew. A credential is not changed by it:
    /// [`Broker::renew`] gets one for the longer window.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if it is not the holder's act, too late, no longer than the present window, beyond the parent
    /// grant, or another extension is undecided (recorded as `command.refused`); [`BrokerError::KeyReused`] if the key was used
    /// for something else; or whatever kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn extend(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: PrincipalId,
        until: Timestamp,
        justification: Justification,
    ) -> Result<Extension, BrokerError> {
        let command = self.index_key.command_in(case, &by, key);
        loop {
            let known = self.load_existing(case).await?;
            if let Some(first) = known.caused_by(command) {
                return extended_before(&known, command, first, until);
            }
            let (Some(request), Some(retain)) = (known.request(), known.retain().cloned()) else {
                return Err(BrokerError::Refused { case, refusal: Refusal::Phase(known.phase()) });
            };
            let now = self.clock.now().at;
            let (parent, guard) = self.parent_extent(request.submitted.parent.as_ref(), now).await?;
            let extend = Extend { by: by.clone(), until, justification: justification.clone(), parent };
            let mut commands = Vec::new();
            // What cannot be asked is refused on record, and the policy is left alone.
            if let Ok(request) = known.extended_request(&extend, now, &self.settings.limits) {
                let evaluated = self.evaluate(&request, EvaluationPurpose::Extension, now).await?;
                commands.push(Command::EvaluateExtension(evaluated));
            }
            commands.insert(0, Command::Extend(extend));
            match self
                .try_turn(known, &commands, &StepOrigin::command(command, retain), guard.into_iter().collect())
                .await
            {
                Ok(turn) => {
                    let turn = turn.accepted()?;
                    self.after_extension(&turn).await;
                    return outcome(&turn.case, command).ok_or(BrokerError::Contended(case));
                }
                // Each conflict means that somebody else got further, so this ends when they are done.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    /// Takes an extension back that is not decided yet. The grant stays as it is.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if there is none, or somebody else asked for it (recorded as `command.refused`), or whatever
    /// kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn withdraw_extension(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: PrincipalId,
        reason: Option<Prose>,
    ) -> Result<(), BrokerError> {
        let command = Command::WithdrawExtension { by: by.clone(), reason };
        let repeats = |event: &Event| matches!(event, Event::ExtensionFailed(e) if e.by.as_ref() == Some(&by));
        self.act_once(key, case, &by, &command, repeats).await?.accepted()?;
        Ok(())
    }

    /// What follows an extension that a turn ended with: what needs no recipient is minted for the longer window. The extension
    /// stands if that fails; the holder may renew.
    pub(crate) async fn after_extension(&self, turn: &Turn) {
        let case = &turn.case;
        let extended = case.grant().filter(|g| g.activated.is_some()).and_then(|g| g.extended);
        let granted_now =
            turn.appended.is_some() && extended.is_some() && extended == case.head().map(|head| head.leaf);
        let Some(issuer) = self.unattended(case).filter(|_| granted_now) else { return };
        if !case.credentials().values().any(|c| c.may_live() && c.intended.issuer == issuer) {
            return;
        }
        if let Err(error) = self.mint_unattended(case.id(), &issuer, true).await {
            tracing::warn!(case = %case.id(), %error, "an extended grant has no credential for the longer window yet");
        }
    }
}

/// What an extension under this command came to.
fn outcome(case: &Case, command: CommandId) -> Option<Extension> {
    let extension = case.extensions().iter().find(|e| e.command == Some(command))?;
    Some(match &extension.state {
        ExtensionState::Pending => Extension::AwaitingApprovals,
        ExtensionState::Granted => Extension::Granted(extension.asked.requested),
        ExtensionState::Failed(cause) => Extension::Failed(cause.clone()),
    })
}

fn extended_before(case: &Case, command: CommandId, first: &Event, until: Timestamp) -> Result<Extension, BrokerError> {
    match (first, outcome(case, command)) {
        (Event::ExtensionRequested(e), Some(outcome)) if e.requested.end() == until => Ok(outcome),
        (Event::CommandRefused(_), _) => Err(refused_before(case, command)),
        _ => Err(BrokerError::KeyReused(case.id())),
    }
}
