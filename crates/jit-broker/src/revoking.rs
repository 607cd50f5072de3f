//! Taking credentials back: intent, effect, outcome; again until it is known.

use jit_core::{
    Case, CaseId, Command, CredentialDescriptor, CredentialId, IssuerName, MintState, RevocationOutcome,
    RevocationState, Timestamp, code,
};
use jit_issuer::{ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome};

use crate::{broker::Broker, error::BrokerError, issuing::backoff, turn::Turn};

impl Broker {
    /// Takes back every credential of an ended grant that may still live and has not been tried.
    pub(crate) async fn revoke_credentials(&self, case: &Case) -> Result<(), BrokerError> {
        if case.grant().is_none_or(|g| g.end.is_none()) {
            return Ok(());
        }
        let live = case.credentials().iter().filter(|(_, c)| c.may_live() && c.revocation == RevocationState::None);
        for (credential, _) in live.filter(|(_, c)| matches!(c.mint, MintState::Issued | MintState::FoundExisting)) {
            self.revoke_credential(case.id(), *credential).await?;
        }
        Ok(())
    }

    /// One attempt to take a credential back.
    pub(crate) async fn revoke_credential(&self, id: CaseId, credential: CredentialId) -> Result<(), BrokerError> {
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
        let descriptor = named_as_intended(descriptor, credential, &known.intended.issuer);
        let receipt = appended.receipt().await?;
        let recorded = receipt.recorded().iter().find(|r| Some(r.leaf()) == known.revocation_leaf);
        let issuer = self.issuer(&descriptor.issuer)?;
        let outcome = match recorded.map(|r| RevokeAuthorization::recorded(&turn.case, r)) {
            Some(Ok(authorization)) => {
                let revoking = issuer.revoke(&authorization, &descriptor);
                match self.patiently(revoking).await {
                    Some(Ok(outcome)) => self.revoked(outcome, &descriptor, known.attempts)?,
                    Some(Err(RevokeError::Unknown { cause })) => {
                        RevocationOutcome::Unknown { cause, reconcile_at: self.retry_at(known.attempts)? }
                    }
                    Some(Err(error)) => self.failed(error.code(), known.attempts)?,
                    None => RevocationOutcome::Unknown {
                        cause: code!("timed_out"),
                        reconcile_at: self.retry_at(known.attempts)?,
                    },
                }
            }
            _ => self.failed(code!("not_authorized"), known.attempts)?,
        };
        self.outcome_turn(id, &Command::Revocation { credential, outcome }).await?;
        Ok(())
    }

    fn revoked(
        &self,
        outcome: RevokeOutcome,
        descriptor: &jit_core::CredentialDescriptor,
        attempts: u32,
    ) -> Result<RevocationOutcome, BrokerError> {
        Ok(match outcome {
            RevokeOutcome::Revoked { finding } => RevocationOutcome::Confirmed { finding },
            RevokeOutcome::AlreadyGone => RevocationOutcome::Confirmed { finding: code!("already_gone") },
            RevokeOutcome::CannotRevoke { .. } => {
                RevocationOutcome::Irrevocable { cause: code!("cannot_recall"), until: descriptor.dies_at() }
            }
            _ => self.failed(code!("partial"), attempts)?,
        })
    }

    /// A failed attempt: another follows, until there have been too many.
    fn failed(&self, cause: jit_core::Code, attempts: u32) -> Result<RevocationOutcome, BrokerError> {
        if attempts >= self.settings.revocation.attempts.get() {
            tracing::error!(%cause, attempts, "a credential cannot be revoked");
            return Ok(RevocationOutcome::Irrevocable { cause, until: None });
        }
        Ok(RevocationOutcome::Failed { cause, retry_at: self.retry_at(attempts)? })
    }

    pub(crate) fn retry_at(&self, attempts: u32) -> Result<Timestamp, BrokerError> {
        let [jitter] = self.recorder.random()?;
        let schedule = self.settings.revocation;
        Ok(self.clock.now().at.saturating_add(backoff(schedule.first, schedule.longest, attempts, jitter)))
    }

    /// Works on a revocation that is due: without outcome, with an unknown one, or to be tried again.
    pub(crate) async fn resolve_revocation(&self, id: CaseId, credential: CredentialId) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let Some(known) = case.credentials().get(&credential) else { return Ok(()) };
        let (attempts, state) = (known.attempts, known.revocation.clone());
        if state == RevocationState::Pending {
            let cause = code!("no_outcome");
            let outcome = RevocationOutcome::Unknown { cause, reconcile_at: self.clock.now().at };
            self.outcome_turn(id, &Command::Revocation { credential, outcome }).await?;
        }
        if matches!(state, RevocationState::Pending | RevocationState::Unknown) {
            let issuer = self.issuer(&known.intended.issuer)?;
            let query = ReconcileQuery::new(credential, known.intended.clone());
            let dead = known.intended.capabilities.can_confirm
                && matches!(self.patiently(issuer.reconcile(&query)).await, Some(Ok(jit_issuer::Observed::Gone)));
            let (finding, retry_at) = if dead {
                (code!("gone_at_target"), None)
            } else {
                (code!("not_confirmed"), Some(self.retry_at(attempts)?))
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
            // It stays unknown, and due; the lease passes it on.
            unknown => {
                let error = unknown.and_then(Result::err).map(|error| error.to_string());
                let error = error.unwrap_or_else(|| "the target does not answer".to_owned());
                tracing::warn!(case = %id, %credential, %error, "a mint cannot be reconciled yet");
                return Ok(());
            }
        };
        let (existing, finding) = match observed {
            jit_issuer::Observed::Exists(descriptor) => (Some(*descriptor), code!("exists_unreleased")),
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
