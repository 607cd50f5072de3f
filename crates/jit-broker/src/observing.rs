//! That access was used, as its target says.

use jit_core::{AccessObserved, CaseId, CredentialId, Refusal, Step, StepOrigin, StreamId};
use jit_store::{AppendError, AppendRequest};

use crate::{broker::Broker, error::BrokerError, turn::MAX_CONFLICTS};

impl Broker {
    /// Records that a credential was used. Who may say so, and that it is said once, is for the caller to establish: a target that
    /// reports twice is recorded twice.
    ///
    /// Dropping the future leaves either nothing or the record.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the case has no such credential or is closed (nothing is recorded then), or whatever kept it from
    /// being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %id))]
    pub async fn observe(&self, id: CaseId, credential: CredentialId, seen: AccessObserved) -> Result<(), BrokerError> {
        for _ in 0..MAX_CONFLICTS {
            let mut case = self.load_existing(id).await?;
            let refused = |refusal| BrokerError::Refused { case: id, refusal };
            let (Some(retain), true) = (case.retain().cloned(), case.credentials().contains_key(&credential)) else {
                return Err(refused(Refusal::Credential(credential)));
            };
            if case.is_closed() {
                return Err(refused(Refusal::Closed));
            }
            let expected = case.expected();
            let step = Step { event: seen.clone().into(), about: Some(credential) };
            let read = self.clock.now();
            let records = case.record(&[step], &StepOrigin::internal(retain), &self.recorder, &read)?;
            match self.append(AppendRequest::new().records(case.stream(), expected, records)).await {
                Ok(appended) => return Ok(appended.receipt().await.map(drop)?),
                // Somebody wrote to the case, or closed it; a closed log stays closed.
                Err(AppendError::Conflict { .. }) => {}
                Err(AppendError::Closed { stream }) if stream == StreamId::Case(id) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(BrokerError::Contended(id))
    }
}
