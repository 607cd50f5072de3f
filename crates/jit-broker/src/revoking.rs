//! Taking credentials back: intent, effect, outcome; again until it is known, or given up on record.

use jit_core::{
    Case, CaseCredential, CaseId, Code, Command, CredentialDescriptor, CredentialId, Event, IdempotencyKey, IssuerName,
    MintState, PrincipalId, Prose, RevocationOutcome, RevocationState, Timestamp, code,
};
use jit_issuer::{
    CredentialIssuer, ObserveError, Observed, ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome,
};

use crate::{alarming::Irrevocable, broker::Broker, error::BrokerError, issuing::backoff, turn::Turn};

impl Broker {
    /// Takes back every credential of an ended grant that may still live and has not been tried; the first error if some could
    /// not be worked.
    pub(crate) async fn revoke_credentials(&self, case: &Case) -> Result<(), BrokerError> {
        if case.grant().is_none_or(|g| g.end.is_none()) {
            return Ok(());
        }
        let mut done = Ok(());
        let live = case.credentials().iter().filter(|(_, c)| c.may_live() && c.revocation == RevocationState::None);
        for (credential, _) in live.filter(|(_, c)| matches!(c.mint, MintState::Issued | MintState::FoundExisting)) {
            let one = self.revoke_credential(case.id(), *credential).await;
            done = done.and(one);
        }
        done
    }

    /// Takes a credential back: one attempt, unless what it stands for goes on under another grant. While somebody else changes
    /// the same shared state, it is left to the sweep.
    pub(crate) async fn revoke_credential(&self, id: CaseId, credential: CredentialId) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let Some(known) = case.credentials().get(&credential) else { return Ok(()) };
        if !known.is_shared() {
            return self.attempt(id, credential).await;
        }
        let issuer = self.issuer(&known.intended.issuer)?;
        let (true, lease) = self.shared_lease(&case, &**issuer).await? else { return Ok(()) };
        let done = match self.hand_over(id, credential).await {
            Ok(true) => Ok(()),
            Ok(false) => self.attempt(id, credential).await,
            Err(error) => Err(error),
        };
        self.give_back(lease).await;
        done
    }

    async fn attempt(&self, id: CaseId, credential: CredentialId) -> Result<(), BrokerError> {
        let now = self.clock.now().at;
        let resolve_at = now.saturating_add(self.settings.resolve_after);
        let intend = Command::IntendRevocation { credential, cause: code!("grant_ended"), resolve_at };
        let turn = self.outcome_turn(id, &intend).await?;
        if turn.outcome.is_err() {
            // Somebody else is at it, or it is dead already.
            return Ok(());
        }
        self.take_back(&turn, credential).await
    }

    /// The effect and the outcome of an attempt that a turn put on record.
    pub(crate) async fn take_back(&self, turn: &Turn, credential: CredentialId) -> Result<(), BrokerError> {
        let id = turn.case.id();
        let Some(appended) = &turn.appended else { return Ok(()) };
        let Some(known) = turn.case.credentials().get(&credential) else { return Ok(()) };
        let Some(descriptor) = known.descriptor.clone() else { return Ok(()) };
        let descriptor = &named_as_intended(descriptor, credential, &known.intended.issuer);
        let receipt = appended.receipt().await?;
        let recorded = receipt.recorded().iter().find(|r| Some(r.leaf()) == known.revocation_leaf);
        let issuer = self.issuer(&descriptor.issuer)?;
        let outcome = match recorded.map(|r| RevokeAuthorization::recorded(&turn.case, r)) {
            Some(Ok(authorization)) => match self.patiently(issuer.revoke(&authorization, descriptor)).await {
                Some(Ok(RevokeOutcome::Revoked { finding })) => RevocationOutcome::Confirmed { finding },
                Some(Ok(RevokeOutcome::AlreadyGone)) => RevocationOutcome::Confirmed { finding: code!("already_gone") },
                Some(Ok(RevokeOutcome::CannotRevoke { .. })) => {
                    RevocationOutcome::Irrevocable { cause: code!("cannot_recall"), until: descriptor.dies_at() }
                }
                Some(Ok(RevokeOutcome::Listed { honoured_by })) => {
                    RevocationOutcome::Unknown { cause: code!("old_list_may_be_used"), reconcile_at: honoured_by }
                }
                Some(Ok(_)) => self.failed(code!("partial"), known)?,
                Some(Err(RevokeError::Unknown { cause })) => self.unknown(cause, credential, known, &**issuer).await?,
                Some(Err(error)) => self.failed(error.code(), known)?,
                None => self.unknown(code!("timed_out"), credential, known, &**issuer).await?,
            },
            _ => self.failed(code!("not_authorized"), known)?,
        };
        let given_up = match &outcome {
            RevocationOutcome::Irrevocable { cause, until } if known.intended.capabilities.can_revoke => {
                Some(Irrevocable {
                    case: id,
                    credential,
                    issuer: descriptor.issuer.clone(),
                    cause: cause.clone(),
                    attempts: known.attempts,
                    until: *until,
                })
            }
            _ => None,
        };
        let turn = self.outcome_turn(id, &Command::Revocation { credential, outcome }).await?;
        if let (Some(given_up), Ok(())) = (given_up, turn.outcome) {
            self.alarm.irrevocable(&given_up);
        }
        Ok(())
    }

    /// Whether this attempt is the last one, unless somebody demands more.
    fn is_last(&self, known: &CaseCredential) -> bool {
        known.attempts.saturating_sub(known.attempts_before_demand) >= self.settings.revocation.attempts.get()
    }

    /// A failed attempt: another follows, until there have been too many.
    fn failed(&self, cause: Code, known: &CaseCredential) -> Result<RevocationOutcome, BrokerError> {
        if self.is_last(known) {
            return Ok(RevocationOutcome::Irrevocable { cause, until: known.dies_at() });
        }
        Ok(RevocationOutcome::Failed { cause, retry_at: self.retry_at(known)? })
    }

    /// An attempt of which nobody knows: it will be found out, after the last one at once.
    async fn unknown(
        &self,
        cause: Code,
        credential: CredentialId,
        known: &CaseCredential,
        issuer: &dyn CredentialIssuer,
    ) -> Result<RevocationOutcome, BrokerError> {
        if !self.is_last(known) {
            return Ok(RevocationOutcome::Unknown { cause, reconcile_at: self.retry_at(known)? });
        }
        if self.seen_dead(credential, known, issuer).await {
            return Ok(RevocationOutcome::Confirmed { finding: code!("gone_at_target") });
        }
        Ok(RevocationOutcome::Irrevocable { cause, until: known.dies_at() })
    }

    async fn seen_dead(&self, credential: CredentialId, known: &CaseCredential, issuer: &dyn CredentialIssuer) -> bool {
        let query = ReconcileQuery::new(credential, known.intended.clone());
        known.intended.capabilities.can_confirm
            && matches!(self.patiently(issuer.reconcile(&query)).await, Some(Ok(Observed::Gone)))
    }

    /// When the next attempt is due: the pause doubles with each since the first or the last demand.
    fn retry_at(&self, known: &CaseCredential) -> Result<Timestamp, BrokerError> {
        let [jitter] = self.recorder.random()?;
        let (schedule, attempts) =
            (self.settings.revocation, known.attempts.saturating_sub(known.attempts_before_demand));
        Ok(self.clock.now().at.saturating_add(backoff(schedule.first, schedule.longest, attempts, jitter)))
    }

    /// Has a credential tried again that could not be taken back, with as many attempts as at first. Who may is for the caller to
    /// establish.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the credential is not irrevocable (recorded as `command.refused`), or whatever kept the demand
    /// from being recorded. An error after it was recorded leaves the work to the sweep.
    #[tracing::instrument(skip_all, err, fields(case = %case, credential = %credential))]
    pub async fn retry_revocation(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        credential: CredentialId,
        by: PrincipalId,
        reason: Option<Prose>,
    ) -> Result<(), BrokerError> {
        let command = Command::DemandRevocation { credential, by: by.clone(), reason };
        let demanded = |event: &Event| matches!(event, Event::RevocationDemanded(_));
        let turn = self.act_once(key, case, &by, &command, demanded).await?.accepted()?;
        if turn.appended.is_some() {
            self.revoke_credential(case, credential).await?;
            self.settle(case).await?;
        }
        Ok(())
    }

    /// Works on a revocation that is due: without outcome, with an unknown one, or to be tried again.
    pub(crate) async fn resolve_revocation(&self, id: CaseId, credential: CredentialId) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let Some(known) = case.credentials().get(&credential) else { return Ok(()) };
        let state = known.revocation.clone();
        if state == RevocationState::Pending {
            let cause = code!("no_outcome");
            let outcome = RevocationOutcome::Unknown { cause, reconcile_at: self.clock.now().at };
            self.outcome_turn(id, &Command::Revocation { credential, outcome }).await?;
        }
        if matches!(state, RevocationState::Pending | RevocationState::Unknown) {
            let issuer = self.issuer(&known.intended.issuer)?;
            let dead = self.seen_dead(credential, known, &**issuer).await;
            let (finding, retry_at) = if dead {
                (code!("gone_at_target"), None)
            } else {
                (code!("not_confirmed"), Some(self.retry_at(known)?))
            };
            let command = Command::RevocationReconciled { credential, dead, finding, retry_at };
            self.outcome_turn(id, &command).await?;
        }
        if matches!(state, RevocationState::None | RevocationState::Failed) {
            self.revoke_credential(id, credential).await?;
        }
        Ok(())
    }

    /// Finds out what became of a mint that has no outcome, and revokes what exists and was never released.
    pub(crate) async fn resolve_mint(&self, id: CaseId, credential: CredentialId) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let Some(known) = case.credentials().get(&credential).filter(|c| c.is_unresolved()) else { return Ok(()) };
        let issuer = self.issuer(&known.intended.issuer)?;
        if known.mint != MintState::Unknown {
            let unknown =
                Command::MintUnknown { credential, cause: code!("no_outcome"), reconcile_at: self.clock.now().at };
            self.outcome_turn(id, &unknown).await?;
        }
        let query = ReconcileQuery::new(credential, known.intended.clone());
        let observed = match self.patiently(issuer.reconcile(&query)).await {
            Some(Ok(observed)) => observed,
            // Its target has no list: nobody can find out, and after its end there is nothing to find.
            Some(Err(ObserveError::Unsupported)) if known.dies_at().is_some_and(|at| at <= self.clock.now().at) => {
                let died = Command::MintReconciled { credential, existing: None, finding: code!("died_unobserved") };
                self.outcome_turn(id, &died).await?;
                return Ok(());
            }
            // It stays unknown, and due; the lease passes it on.
            unknown => {
                let error = unknown.and_then(Result::err).map(|error| error.to_string());
                let error = error.unwrap_or_else(|| "the target does not answer".to_owned());
                tracing::warn!(case = %id, %credential, %error, "a mint cannot be reconciled yet");
                return Ok(());
            }
        };
        let (existing, finding) = match observed {
            Observed::Exists(descriptor) => (Some(*descriptor), code!("exists_unreleased")),
            _ => (None, code!("never_released")),
        };
        let exists = existing.is_some();
        let turn = self.outcome_turn(id, &Command::MintReconciled { credential, existing, finding }).await?;
        if exists && turn.outcome.is_ok() {
            self.revoke_credential(id, credential).await?;
        }
        Ok(())
    }
}

/// The descriptor under the name that was intended: that is how the target is asked about it, whatever it said of it.
pub(crate) fn named_as_intended(
    descriptor: CredentialDescriptor,
    id: CredentialId,
    issuer: &IssuerName,
) -> CredentialDescriptor {
    CredentialDescriptor { id, issuer: issuer.clone(), ..descriptor }
}
