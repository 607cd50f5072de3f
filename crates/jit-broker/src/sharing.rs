//! Credentials that stand for one state of a target, a membership: it goes when the last grant that has it does (INV-21).
//!
//! One process at a time changes such a state, under a lease on issuer and entitlement: otherwise a membership could be added for
//! one grant while it is taken away for another.

use std::time::Duration;

use jit_core::{
    Case, CaseId, Command, CrashClass, CredentialId, Entitlement, EntitlementId, Expected, GrantId, IssuerName,
    MintState, StepOrigin, StreamId,
};
use jit_issuer::CredentialIssuer;
use jit_store::{Lease, WorkError};

use crate::{broker::Broker, error::BrokerError, turn::NotTaken};

/// How long to wait before a lease is asked for again.
const PAUSE: Duration = Duration::from_millis(20);

impl Broker {
    /// The lease on a shared state, and whether it may be changed: always, if it is not shared; not while somebody else does and
    /// is not done within what a target is waited for.
    pub(crate) async fn shared_lease(
        &self,
        case: &Case,
        issuer: &dyn CredentialIssuer,
    ) -> Result<(bool, Option<Lease>), BrokerError> {
        let Some(request) = case.request().filter(|_| issuer.capabilities().class == CrashClass::RemoteShared) else {
            return Ok((true, None));
        };
        let entitlement = self.index_key.entitlement(&request.submitted.recipient, &request.submitted.scope);
        let name = format!("shared\n{}\n{entitlement}", issuer.name());
        // Longer than everything that is waited for while it is held.
        let ttl: Duration = self.settings.lease.saturating_add(self.settings.mint_timeout.saturating_mul(4));
        let waiting = async {
            loop {
                if let Some(lease) = self.log.lease(name.as_bytes(), ttl).await? {
                    return Ok(lease);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match self.patiently(waiting).await {
            Some(taken) => taken.map(|lease| (true, Some(lease))).map_err(|error: WorkError| error.into()),
            None => Ok((false, None)),
        }
    }

    pub(crate) async fn give_back(&self, lease: Option<Lease>) {
        if let Some(lease) = lease
            && let Err(error) = self.log.give_back(lease).await
        {
            tracing::warn!(%error, "a lease runs out by itself");
        }
    }

    /// Leaves what a credential stands for to another live grant that has it from the same issuer, if there is one. Guards the
    /// other grant and the ledger, so that it cannot end meanwhile.
    pub(crate) async fn hand_over(&self, id: CaseId, credential: CredentialId) -> Result<bool, BrokerError> {
        loop {
            let case = self.load_existing(id).await?;
            let (Some(grant), Some(known), Some(retain)) =
                (case.grant(), case.credentials().get(&credential), case.retain().cloned())
            else {
                return Ok(false);
            };
            let ledger = self.ledger(grant.approved.entitlement).await?;
            let heir = self.heir(&ledger, grant.id, &known.intended.issuer).await?;
            let Some((to, guard)) = heir else { return Ok(false) };
            let guards = vec![guard, (ledger.stream(), ledger.expected())];
            let command = Command::HandOver { credential, to };
            match self.try_turn(case, &[command], &StepOrigin::internal(retain), guards).await {
                Ok(turn) => return Ok(turn.outcome.is_ok()),
                // Each conflict means that one of them got further.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    /// Another live grant of the ledger with a released credential of the same issuer.
    async fn heir(
        &self,
        ledger: &Entitlement,
        own: GrantId,
        issuer: &IssuerName,
    ) -> Result<Option<(GrantId, (StreamId, Expected))>, BrokerError> {
        let now = self.clock.now().at;
        for (grant, case) in ledger.holders_at(now).filter(|(grant, _)| *grant != own) {
            let other = self.load_existing(case).await?;
            let has = other.credentials().values().any(|c| {
                c.mint == MintState::Issued && c.may_live() && !c.is_being_revoked() && c.intended.issuer == *issuer
            });
            if has && other.is_active(now) {
                return Ok(Some((grant, (other.stream(), other.expected()))));
            }
        }
        Ok(None)
    }

    pub(crate) async fn ledger(&self, id: EntitlementId) -> Result<Entitlement, BrokerError> {
        let mut ledger = Entitlement::new(id);
        for record in self.log.stream(&ledger.stream()).await? {
            ledger.apply(record.record())?;
        }
        Ok(ledger)
    }
}
