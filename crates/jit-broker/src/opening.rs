//! Windows that open: authority is judged again, and access begins.

use jit_core::{Case, CaseId, Command, EvaluationPurpose, IssuerName, Open, Refusal, StepOrigin};

use crate::{barring::Standing, broker::Broker, error::BrokerError, issuing::Minter, turn::NotTaken};

impl Broker {
    /// Opens a scheduled window: asks the policy again and activates the grant, or ends it, as it does if its identity
    /// was barred. What needs no recipient is minted
    /// on the way, if the broker was told to; a mint that fails is on record and leaves the holder to ask for another.
    pub(crate) async fn open(&self, id: CaseId) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        if !case.may_open(self.clock.now().at) {
            return Ok(());
        }
        if let Some(issuer) = self.unattended(&case) {
            match self.mint_unattended(id, &issuer, false).await {
                Ok(()) | Err(BrokerError::Refused { refusal: Refusal::NoLongerPermitted | Refusal::Barred(_), .. }) => {
                    return Ok(());
                }
                Err(
                    error @ (BrokerError::MintFailed { .. }
                    | BrokerError::MintUnknown(_)
                    | BrokerError::NotMintable { .. }
                    | BrokerError::NotReleased { .. }),
                ) => tracing::warn!(case = %id, %error, "a window opens without a credential"),
                // It stays due.
                Err(error) => return Err(error),
            }
        }
        self.activate(id).await
    }

    async fn activate(&self, id: CaseId) -> Result<(), BrokerError> {
        loop {
            let case = self.load_existing(id).await?;
            let now = self.clock.now().at;
            let (Some(request), Some(retain)) = (case.standing_request(), case.retain().cloned()) else {
                return Ok(());
            };
            if !case.may_open(now) {
                return Ok(());
            }
            let (parent, guard) = self.parent_of(request.parent(), now).await?;
            let guards = match self.standing(request.requester(), request.recipient()).await? {
                Standing::Free(guards) => guards.into_iter().chain(guard).collect(),
                // The answer is for whoever asks; nobody does.
                Standing::Barred(bar) => return Box::pin(self.end_barred(id, bar)).await.map(|_| ()),
            };
            let evaluated = self.evaluate(&request, EvaluationPurpose::Issuance, now).await?;
            let command = Command::Open(Open { evaluated, parent });
            match self.try_turn(case, &[command], &StepOrigin::internal(retain), guards).await {
                Ok(turn) => {
                    return match turn.outcome {
                        Ok(()) => Ok(()),
                        Err(Refusal::NoLongerPermitted) => Box::pin(self.after_end(turn.case)).await.map(|_| ()),
                        Err(refusal) => Err(BrokerError::Refused { case: id, refusal }),
                    };
                }
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    /// The issuer whose credentials for this case nobody needs to be there for.
    pub(crate) fn unattended(&self, case: &Case) -> Option<IssuerName> {
        self.unattended.as_ref().and_then(|choose| choose(case))
    }

    /// Mints while nobody waits for it. A secret would have no recipient: it is erased unread and its credential taken back.
    pub(crate) async fn mint_unattended(
        &self,
        id: CaseId,
        issuer: &IssuerName,
        renew: bool,
    ) -> Result<(), BrokerError> {
        let issued = self.issue_for(Minter::Nobody, id, issuer, renew).await?;
        if issued.secret.is_none() {
            return Ok(());
        }
        let credential = issued.descriptor.id;
        drop(issued);
        self.revoke_credential(id, credential).await?;
        let reason = "a credential with a secret needs somebody to hand it to".to_owned();
        Err(BrokerError::NotReleased { credential, reason })
    }
}
