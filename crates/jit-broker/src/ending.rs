//! Ending access before its time, with everything that hangs below it.

use jit_core::{
    Case, CaseId, Code, Command, EndBy, Event, IdempotencyKey, LeafHash, Lookup, LookupFamily, Phase, PrincipalId,
    Prose, Refusal, StepOrigin, StreamId, code, is_end,
};

use crate::{acting::first_effect, broker::Broker, error::BrokerError, turn::NotTaken};

/// How many children are ended between two look-ups.
const CHILDREN: usize = 256;

impl Broker {
    /// The holder gives the access back.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if it is not the holder's act or the grant has ended (recorded as `command.refused`), or
    /// whatever kept the end from being recorded. An error after the end was recorded leaves the work to the sweep.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn terminate(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: PrincipalId,
        reason: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let cause = code!("given_back");
        let command = Command::End { by: EndBy::Holder(by.clone()), cause, reason };
        self.end_once(key, case, &by, &command).await
    }

    /// Somebody who may takes the access away. Who may is for the caller to establish.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the grant has ended (recorded as `command.refused`), or whatever kept the end from being
    /// recorded. An error after the end was recorded leaves the work to the sweep.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn revoke(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: PrincipalId,
        cause: Code,
        reason: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let command = Command::End { by: EndBy::Other(by.clone()), cause, reason };
        self.end_once(key, case, &by, &command).await
    }

    /// Another active grant of the same recipient takes this one's place. Who may say so is for the caller to establish.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the other grant cannot take its place, or it has ended (recorded as `command.refused`), or
    /// whatever kept the end from being recorded. An error after the end was recorded leaves the work to the sweep.
    #[tracing::instrument(skip_all, err, fields(case = %id, by_case = %by_case))]
    pub async fn supersede(
        &self,
        key: &IdempotencyKey,
        id: CaseId,
        by_case: CaseId,
        by: PrincipalId,
    ) -> Result<Phase, BrokerError> {
        let command_id = self.index_key.command_in(id, &by, key);
        loop {
            let (case, other) = (self.load_existing(id).await?, self.load_existing(by_case).await?);
            if first_effect(&case, command_id, |event| matches!(event, Event::GrantSuperseded(_)))? {
                return Ok(self.after_end(case).await?.phase());
            }
            let retain = case.retain().cloned().ok_or(BrokerError::NoSuchCase(id))?;
            let active = other.grant().filter(|_| id != by_case && other.is_active(self.clock.now().at));
            let recipient = |case: &Case| case.grant().map(|g| g.approved.recipient.clone());
            let (command, guards) = match active.filter(|_| recipient(&case) == recipient(&other)) {
                Some(grant) => {
                    let by = EndBy::Grant { by: by.clone(), grant: grant.id, approved: grant.leaf };
                    // It stays active until this is recorded.
                    let guards = vec![(other.stream(), other.expected())];
                    (Command::End { by, cause: code!("superseded"), reason: None }, guards)
                }
                None => {
                    let refusal = Refusal::NotAnotherGrant(other.grant_id());
                    (Command::Refuse { by: by.clone(), act: code!("supersede"), refusal }, Vec::new())
                }
            };
            let mut origin = StepOrigin::command(command_id, retain);
            if let Command::End { by, .. } = &command {
                origin = origin.ended_by(by);
            }
            match self.try_turn(case, &[command], &origin, guards).await {
                Ok(turn) => return Ok(self.after_end(turn.accepted()?.case).await?.phase()),
                // Each conflict means that one of them got further.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    async fn end_once(
        &self,
        key: &IdempotencyKey,
        id: CaseId,
        by: &PrincipalId,
        command: &Command,
    ) -> Result<Phase, BrokerError> {
        let turn = self.act_once(key, id, by, command, |event| is_end(&event.kind())).await?.accepted()?;
        Ok(self.after_end(turn.case).await?.phase())
    }

    /// What follows an end: credentials are taken back, what hangs below ends too, and the case is closed once it can be.
    /// Done again whenever it is due; what was done is not done twice. A failure leaves the case open and keeps nothing else
    /// from being done. Gives the case as it is afterwards.
    pub(crate) async fn after_end(&self, case: Case) -> Result<Case, BrokerError> {
        let own = Box::pin(self.revoke_credentials(&case)).await;
        let below = Box::pin(self.end_children(&case)).await;
        own.and(below)?;
        Box::pin(self.settle_after(case.id(), true)).await
    }

    /// Ends every live grant derived from one that ended, each with the parent's end as its cause (INV-15), and denies requests that
    /// still wait; the first error if some could not be ended.
    pub(crate) async fn end_children(&self, case: &Case) -> Result<(), BrokerError> {
        let Some((grant, end)) = case.grant().and_then(|g| g.end.as_ref().map(|e| (g.id, e.leaf))) else {
            return Ok(());
        };
        let (children, mut ended, mut from) = (Lookup::new(LookupFamily::Parent, grant), Ok(()), 0);
        loop {
            let found = self.log.find(&children, from, CHILDREN).await?;
            let Some(last) = found.last() else { return ended };
            from = last.index().saturating_add(1);
            for record in &found {
                if let (StreamId::Case(child), Ok(Event::RequestSubmitted(_))) =
                    (record.record().header().stream, record.record().event())
                {
                    let one = self.end_child(child, end).await;
                    ended = ended.and(one);
                }
            }
        }
    }

    async fn end_child(&self, id: CaseId, parent_end: LeafHash) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let Some(retain) = case.retain().cloned() else { return Ok(()) };
        let by = EndBy::Parent(parent_end);
        let origin = StepOrigin::internal(retain).ended_by(&by);
        let cause = code!("parent_ended");
        let turn = self.turn(id, &Command::End { by, cause, reason: None }, &origin).await?;
        if turn.outcome.is_ok() {
            Box::pin(self.after_end(turn.case)).await?;
        }
        Ok(())
    }
}
