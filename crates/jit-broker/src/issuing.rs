//! From an approved grant to a secret in the caller's hands, in the order that leaves evidence before every effect.
//!
//! 1. The policy is asked again, and the case authorises.
//! 2. `credential.intended` is appended and waits for its receipt.
//! 3. The issuer mints; the secret comes back sealed.
//! 4. `credential.issued`, `credential.failed` or `credential.unknown` is appended.
//! 5. The receipt of `credential.issued` opens the seal. Otherwise the credential is revoked and nothing is released.

use std::time::Duration;

use jit_core::{
    Case, CaseId, Code, Command, CommandId, CrashClass, CredentialDescriptor, CredentialId, EndBy, EvaluationPurpose,
    Event, Expected, HolderKey, IdempotencyKey, Intend, IssuerName, ParentExtent, ParentGrant, ParentState,
    PrincipalId, Recorded, Refusal, StepOrigin, StreamId, Timestamp, code,
};
use jit_issuer::{
    CredentialIssuer, MintAuthorization, MintError, MintPlan, Minted, Minting, RevokeAuthorization, Secret,
};

use crate::{
    acting::refused_before,
    barring::{Bar, Standing},
    broker::Broker,
    error::BrokerError,
    revoking::named_as_intended,
    turn::{NotTaken, Turn},
};

/// What an issuance gives its caller.
#[derive(Debug)]
#[must_use = "the secret is handed out this once and is not retained"]
pub struct Issued {
    /// The credential.
    pub descriptor: CredentialDescriptor,
    /// The secret, for credentials that have one.
    pub secret: Option<Secret>,
}

impl Broker {
    /// Issues a credential for an approved grant, once its window is open. While the credential lives, a repetition, under this
    /// or any key, is refused with [`Refusal::SecretNotRetained`] and the descriptor: a secret is handed out once. When it has
    /// died by itself within the approved window, another key gets another one.
    ///
    /// Dropping the future may leave an intent without outcome, which the sweep resolves; no secret is released then.
    ///
    /// # Errors
    /// [`BrokerError`]; no secret is released with any of them.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn issue(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: &PrincipalId,
        issuer: &IssuerName,
    ) -> Result<Issued, BrokerError> {
        let command = self.index_key.command_in(case, by, key);
        self.issue_for(Minter::Holder { by, command, key: None }, case, issuer, false).await
    }

    /// As [`issue`](Self::issue), bound to a key that the holder proves wherever it uses the credential; the intent records the key.
    /// An issuer that cannot bind refuses. A renewal is bound to the same key.
    ///
    /// # Errors
    /// [`BrokerError`]; no secret is released with any of them.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn issue_bound(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: &PrincipalId,
        issuer: &IssuerName,
        holder: &HolderKey,
    ) -> Result<Issued, BrokerError> {
        let command = self.index_key.command_in(case, by, key);
        self.issue_for(Minter::Holder { by, command, key: Some(holder) }, case, issuer, false).await
    }

    /// Issues a fresh credential while an earlier one of the same issuer still lives: for the rest of the window, or for a
    /// window that was extended. The earlier one is taken back once the new secret is out of its seal, as far as its issuer
    /// can; the record says what came of it.
    ///
    /// Dropping the future may leave an intent without outcome, which the sweep resolves; no secret is released then.
    ///
    /// # Errors
    /// [`BrokerError`]; no secret is released with any of them, and the earlier credential stays unless the grant has ended.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn renew(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: &PrincipalId,
        issuer: &IssuerName,
    ) -> Result<Issued, BrokerError> {
        let command = self.index_key.command_in(case, by, key);
        self.issue_for(Minter::Holder { by, command, key: None }, case, issuer, true).await
    }

    pub(crate) async fn issue_for(
        &self,
        minter: Minter<'_>,
        case: CaseId,
        issuer: &IssuerName,
        renew: bool,
    ) -> Result<Issued, BrokerError> {
        let issuer = &**self.issuer(issuer)?;
        let (free, lease) = self.shared_lease(&self.load_existing(case).await?, issuer).await?;
        if !free {
            return Err(BrokerError::Contended(case));
        }
        let issued = self.issue_alone(minter, case, issuer, renew).await;
        self.give_back(lease).await;
        issued
    }

    async fn issue_alone(
        &self,
        minter: Minter<'_>,
        case: CaseId,
        issuer: &dyn CredentialIssuer,
        renew: bool,
    ) -> Result<Issued, BrokerError> {
        let (turn, credential) = self.intend(case, minter, issuer, renew).await?;
        let intended = self.proven(&turn, &turn.case, credential).await?;
        let authorization = MintAuthorization::new(&turn.case, &intended)
            .map_err(|error| BrokerError::NotMintable { case, reason: error.to_string() })?;
        let minted = self.mint(issuer, &authorization, &turn.case, credential).await?;
        self.release(issuer, case, credential, minted, renew).await
    }

    /// Steps 1 and 2, again whenever somebody else writes to the case in between.
    async fn intend(
        &self,
        id: CaseId,
        minter: Minter<'_>,
        issuer: &dyn CredentialIssuer,
        renew: bool,
    ) -> Result<(Turn, CredentialId), BrokerError> {
        loop {
            let case = self.load_existing(id).await?;
            let refused = |refusal| BrokerError::Refused { case: id, refusal };
            let read = self.clock.now();
            let (Some(request), Some(retain)) = (case.request(), case.retain()) else {
                return Err(refused(Refusal::Phase(case.phase())));
            };
            if let Minter::Holder { by, .. } = minter
                && !case.interested().contains(by)
            {
                let refusal = Refusal::NotOwn(by.clone());
                let command = Command::Refuse { by: by.clone(), act: code!("issue"), refusal };
                return Err(self.outcome_turn(id, &command).await?.refused());
            }
            if let Some(before) = minter.command().and_then(|command| issued_before(&case, command)) {
                return Err(before);
            }
            case.may_mint(read.at, renew).map_err(refused)?;
            let capabilities = issuer.capabilities();
            let window = case.issuable_window(read.at, self.settings.backdate, &capabilities).map_err(refused)?;
            let issued = issuer.fit(window).ok_or_else(|| BrokerError::NotMintable {
                case: id,
                reason: "the target cannot express what is left of the window".to_owned(),
            })?;
            // Ids ascend with time: the latest credential of this issuer is the one that is renewed.
            let latest = case.credentials().values().rev().find(|c| renew && c.intended.issuer == *issuer.name());
            let holder = minter.key().or_else(|| latest.and_then(|c| c.intended.holder_key.as_ref())).cloned();
            if let Some(grant) = case.grant() {
                let not_mintable = |reason| BrokerError::NotMintable { case: id, reason };
                let plan = MintPlan::new(grant, issued).with_holder_key(holder.clone());
                match self.patiently(issuer.preflight(&plan)).await {
                    Some(Ok(())) => {}
                    Some(Err(refused)) => return Err(not_mintable(refused.to_string())),
                    None => return Err(not_mintable("the target does not answer".to_owned())),
                }
            }
            let (parent, guard) = self.parent_of(request.submitted.parent.as_ref(), read.at).await?;
            let guards = match self.standing(&request.submitted.requester, &request.submitted.recipient).await? {
                Standing::Free(guards) => guards.into_iter().chain(guard).collect(),
                Standing::Barred(bar) => return Err(Box::pin(self.end_barred(id, bar)).await?),
            };
            let request = case.standing_request().ok_or_else(|| refused(Refusal::Phase(case.phase())))?;
            let evaluated = self.evaluate(&request, EvaluationPurpose::Issuance, read.at).await?;
            let credential = CredentialId::v7(read.at, self.recorder.random()?);
            let intend = Intend {
                credential,
                issuer: issuer.name().clone(),
                capabilities,
                issued,
                backdate: self.settings.backdate,
                holder_key: holder,
                resolve_at: read.at.saturating_add(self.settings.resolve_after),
                evaluated,
                parent,
            };
            let intend = if renew { Command::Renew(intend) } else { Command::Intend(intend) };
            let origin = StepOrigin { command: minter.command(), ..StepOrigin::internal(retain.clone()) };
            match self.try_turn(case, &[intend], &origin, guards).await {
                Ok(turn) => {
                    if turn.outcome == Err(Refusal::NoLongerPermitted) {
                        Box::pin(self.after_end(turn.case.clone())).await?;
                    }
                    return Ok((turn.accepted()?, credential));
                }
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    /// A grant that was approved after its identity was barred ends when it is asked for.
    pub(crate) async fn end_barred(&self, id: CaseId, bar: Bar) -> Result<BrokerError, BrokerError> {
        let case = self.load_existing(id).await?;
        let retain = case.retain().cloned().ok_or(BrokerError::NoSuchCase(id))?;
        let by = EndBy::Bar { by: bar.by, bar: bar.leaf };
        let origin = StepOrigin::internal(retain).ended_by(&by);
        let turn = self.turn(id, &Command::End { by, cause: bar.cause, reason: None }, &origin).await?;
        if turn.outcome.is_ok() {
            self.after_end(turn.case).await?;
        }
        Ok(BrokerError::Refused { case: id, refusal: Refusal::Barred(bar.identity) })
    }

    /// What is known of the parent grant; its stream is guarded, so that it cannot end meanwhile (INV-15).
    pub(crate) async fn parent_of(
        &self,
        parent: Option<&ParentGrant>,
        now: Timestamp,
    ) -> Result<(ParentState, Option<(StreamId, Expected)>), BrokerError> {
        let (extent, guard) = self.parent_extent(parent, now).await?;
        let state = match extent {
            ParentExtent::None => ParentState::None,
            ParentExtent::Active(_) => ParentState::Active,
            ParentExtent::Gone => ParentState::Gone,
        };
        Ok((state, guard))
    }

    /// The same, with the window that the parent grant has now.
    pub(crate) async fn parent_extent(
        &self,
        parent: Option<&ParentGrant>,
        now: Timestamp,
    ) -> Result<(ParentExtent, Option<(StreamId, Expected)>), BrokerError> {
        let Some(parent) = parent else { return Ok((ParentExtent::None, None)) };
        let above = self.load(parent.case).await?;
        let path = above.request().and_then(|r| r.submitted.parent.as_ref()).map(|p| {
            let mut path = p.path.clone();
            path.push(p.grant);
            path
        });
        let as_claimed = above.grant().filter(|g| {
            g.id == parent.grant
                && parent.scope.is_within(&g.approved.scope)
                && parent.window.is_within(&g.approved.approved)
                && parent.path == path.unwrap_or_default()
                && above.barred().iter().all(|holder| parent.holders.contains(holder))
        });
        let window = as_claimed.filter(|_| above.is_active(now)).map(|g| g.approved.approved);
        let extent = window.map_or(ParentExtent::Gone, ParentExtent::Active);
        Ok((extent, Some((above.stream(), above.expected()))))
    }

    /// The proven record of a turn that is about a credential.
    async fn proven(&self, turn: &Turn, case: &Case, credential: CredentialId) -> Result<Recorded, BrokerError> {
        let appended = turn.appended.as_ref().ok_or(BrokerError::NoSuchCase(case.id()))?;
        let receipt = appended.receipt().await?;
        let latest = case.credentials().get(&credential).map(|c| c.latest);
        receipt.into_recorded().into_iter().find(|r| Some(r.leaf()) == latest).ok_or(BrokerError::NoSuchCase(case.id()))
    }

    /// Step 3, and the failures of step 4.
    async fn mint(
        &self,
        issuer: &dyn CredentialIssuer,
        authorization: &MintAuthorization,
        case: &Case,
        credential: CredentialId,
    ) -> Result<Minted, BrokerError> {
        let minting = self.in_time(issuer.mint(authorization)).await;
        let outcome = match minting {
            Ok(Minting::Done(minted)) => Ok(minted),
            Ok(Minting::Prepared(prepared)) => {
                let command = Command::Prepared { credential, descriptor: prepared.descriptor().clone() };
                let turn = self.outcome_turn(case.id(), &command).await?;
                if turn.outcome.is_err() {
                    if let Err(error) = self.in_time(issuer.abandon(prepared)).await {
                        self.mint_unknown(case.id(), credential, error.code()).await?;
                        return Err(BrokerError::MintUnknown(credential));
                    }
                    return Err(self.mint_failed(case.id(), credential, code!("not_as_intended")).await?);
                }
                let recorded = self.proven(&turn, &turn.case, credential).await?;
                self.in_time(issuer.commit(prepared, &recorded)).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(minted) => Ok(minted),
            Err(MintError::Unknown { cause }) => {
                self.mint_unknown(case.id(), credential, cause).await?;
                Err(BrokerError::MintUnknown(credential))
            }
            Err(other) => Err(self.mint_failed(case.id(), credential, other.code()).await?),
        }
    }

    async fn mint_unknown(&self, case: CaseId, credential: CredentialId, cause: Code) -> Result<(), BrokerError> {
        let reconcile_at = self.clock.now().at.saturating_add(self.settings.resolve_after);
        self.outcome_turn(case, &Command::MintUnknown { credential, cause, reconcile_at }).await?;
        Ok(())
    }

    async fn mint_failed(
        &self,
        case: CaseId,
        credential: CredentialId,
        cause: Code,
    ) -> Result<BrokerError, BrokerError> {
        let reason = cause.to_string();
        self.outcome_turn(case, &Command::MintFailed { credential, cause }).await?;
        Ok(BrokerError::MintFailed { credential, cause: reason })
    }

    /// Waits for an issuer, but not for ever: what takes too long has an unknown outcome.
    async fn in_time<T>(&self, minting: impl Future<Output = Result<T, MintError>>) -> Result<T, MintError> {
        self.patiently(minting).await.unwrap_or(Err(MintError::Unknown { cause: code!("timed_out") }))
    }

    /// The answer of an issuer, if it comes in time. Nothing that an issuer does is waited for in another way.
    pub(crate) async fn patiently<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.settings.mint_timeout, answer).await.ok()
    }

    /// Records an outcome; it is never lost to somebody else's record.
    pub(crate) async fn outcome_turn(&self, id: CaseId, command: &Command) -> Result<Turn, BrokerError> {
        let case = self.load_existing(id).await?;
        let retain = case.retain().cloned().ok_or(BrokerError::NoSuchCase(id))?;
        self.turn(id, command, &StepOrigin::internal(retain)).await
    }

    /// Steps 4 and 5.
    async fn release(
        &self,
        issuer: &dyn CredentialIssuer,
        case: CaseId,
        credential: CredentialId,
        minted: Minted,
        renew: bool,
    ) -> Result<Issued, BrokerError> {
        let Minted { descriptor, secret } = minted;
        let reason = match self.issued_turn(case, credential, &descriptor, renew).await {
            Ok(turn) => match (&turn.outcome, self.proven(&turn, &turn.case, credential).await) {
                (Ok(()), Ok(recorded)) => match secret.map(|sealed| sealed.open(&recorded)).transpose() {
                    Ok(secret) => {
                        Box::pin(self.take_superseded_back(&turn, credential)).await;
                        return Ok(Issued { descriptor, secret });
                    }
                    Err(error) => error.to_string(),
                },
                (Err(refusal), _) => {
                    let reason = refusal.to_string();
                    if matches!(refusal, Refusal::EndedMeanwhile(_)) {
                        // The record is there; the revocation is recorded like any other.
                        Box::pin(self.revoke_credentials(&turn.case)).await?;
                        return Err(BrokerError::NotReleased { credential, reason });
                    }
                    reason
                }
                (Ok(()), Err(error)) => {
                    // The record is there, so its revocation can be recorded like any other.
                    if Box::pin(self.revoke_credential(case, credential)).await.is_ok() {
                        return Err(BrokerError::NotReleased { credential, reason: error.to_string() });
                    }
                    error.to_string()
                }
            },
            Err(error) => error.to_string(),
        };
        if issuer.capabilities().class == CrashClass::RemoteShared {
            // Another grant may have it too, and without the log nobody knows: the sweep finds out.
            return Err(BrokerError::NotReleased { credential, reason });
        }
        // The record is missing or not proven, so the credential dies first and its record follows (late).
        let descriptor = named_as_intended(descriptor, credential, issuer.name());
        let authorization = RevokeAuthorization::store_down(code!("not_recorded"), self.clock.now().at, &descriptor);
        let revoked = self.patiently(issuer.revoke(&authorization, &descriptor)).await;
        if !matches!(revoked, Some(Ok(_))) {
            tracing::error!(%case, %credential, "a credential that was not released could not be revoked");
        }
        Err(BrokerError::NotReleased { credential, reason })
    }
}

/// Who has a credential issued.
#[derive(Clone, Copy)]
pub(crate) enum Minter<'a> {
    /// Its holder, under an idempotency key.
    Holder {
        /// Who.
        by: &'a PrincipalId,
        /// The command.
        command: CommandId,
        /// The key that it will prove, if it names one.
        key: Option<&'a HolderKey>,
    },
    /// Nobody: its window opened or was extended.
    Nobody,
}

impl Minter<'_> {
    fn command(&self) -> Option<CommandId> {
        match self {
            Self::Holder { command, .. } => Some(*command),
            Self::Nobody => None,
        }
    }

    fn key(&self) -> Option<&HolderKey> {
        match self {
            Self::Holder { key, .. } => *key,
            Self::Nobody => None,
        }
    }
}

/// What a command that had a credential issued before is answered with (INV-20).
fn issued_before(case: &Case, command: CommandId) -> Option<BrokerError> {
    let first = case.caused_by(command)?;
    let refused = |refusal| Some(BrokerError::Refused { case: case.id(), refusal });
    if !matches!(first, Event::PolicyEvaluated(_)) {
        return Some(refused_before(case, command));
    }
    match case.credentials().iter().find(|(_, c)| c.command == Some(command)) {
        None => refused(Refusal::Phase(case.phase())),
        Some((id, credential)) => match &credential.descriptor {
            Some(descriptor) => refused(Refusal::SecretNotRetained(Box::new(descriptor.clone()))),
            None if credential.is_unresolved() => refused(Refusal::Unresolved(*id)),
            None => refused(Refusal::Credential(*id)),
        },
    }
}

/// The pause before the next attempt: doubling from the first, capped, with jitter of up to a quarter.
pub(crate) fn backoff(first: Duration, longest: Duration, attempt: u32, jitter: u8) -> Duration {
    let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = first.saturating_mul(factor).min(longest);
    pause.saturating_add(pause.saturating_mul(jitter.into()) / 1024)
}
