//! Putting a policy in force: on record first, with its text.

use std::sync::{Arc, PoisonError};

use jit_core::{PolicyDigest, PolicyPublished, PrincipalId, Refs, StreamId};
use jit_policy::{Evaluator, PolicySnapshot};
use jit_store::AppendRequest;

use crate::{broker::Broker, error::BrokerError};

impl Broker {
    /// Publishes a policy snapshot: its text goes into the store beside its record, and once that is under a checkpoint the
    /// snapshot is in force here (INV-11). Publishing one that is in the store again puts it on record again.
    ///
    /// Dropping the future leaves the old policy in force.
    ///
    /// # Errors
    /// Whatever kept the snapshot from being recorded; the old policy stays in force.
    #[tracing::instrument(skip_all, err, fields(policy = %snapshot.document().digest()))]
    pub async fn publish(
        &self,
        snapshot: Arc<dyn PolicySnapshot>,
        by: PrincipalId,
    ) -> Result<PolicyDigest, BrokerError> {
        let document = snapshot.document();
        let digest = document.digest();
        let bytes = document.to_bytes().map_err(|error| BrokerError::Policy(error.to_string()))?;
        let event = PolicyPublished { snapshot: digest, by }.into();
        let refs = Refs { policy: Some(digest), ..Refs::default() };
        let draft = self.recorder.draft(
            StreamId::Policy,
            event,
            refs,
            self.log.governance_class().clone(),
            self.clock.now(),
        )?;
        let request = AppendRequest::new().draft(draft).blob(digest.into(), bytes);
        self.log.append(request).await?.receipt().await?;
        self.put_in_force(snapshot);
        Ok(digest)
    }

    /// Puts a snapshot in force that was published before, by another broker or before a restart.
    ///
    /// # Errors
    /// [`BrokerError::NotPublished`] if the store does not have it.
    pub async fn adopt(&self, snapshot: Arc<dyn PolicySnapshot>) -> Result<PolicyDigest, BrokerError> {
        let digest = snapshot.document().digest();
        if self.log.policy(digest).await?.is_none() {
            return Err(BrokerError::NotPublished(digest));
        }
        self.put_in_force(snapshot);
        Ok(digest)
    }

    fn put_in_force(&self, snapshot: Arc<dyn PolicySnapshot>) {
        let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        *policy = Some(Arc::new(Evaluator::new(snapshot)));
    }
}
