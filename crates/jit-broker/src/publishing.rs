//! Putting a policy in force: on record first, with its text.

use std::sync::{Arc, PoisonError};

use jit_core::{PolicyDigest, PolicyPublished, PrincipalId, Refs, StreamId};
use jit_policy::{Evaluator, PolicySnapshot};

use crate::{broker::Broker, error::BrokerError, reviewing::Review};

impl Broker {
    /// Publishes a policy snapshot: its text goes into the store beside its record, and once that is under a checkpoint the
    /// snapshot is in force here (INV-11). Where [`Settings::policy_review`](crate::Settings::policy_review) demands it, enough
    /// others must have approved its proposal; the record names proposal and approvals, which count once. Publishing one that
    /// is in the store again puts it on record again, under a review of its own.
    ///
    /// Dropping the future leaves the old policy in force.
    ///
    /// # Errors
    /// [`BrokerError::PolicyReview`] if the snapshot is not approved as it must be, or whatever kept it from being recorded;
    /// the old policy stays in force.
    #[tracing::instrument(skip_all, err, fields(policy = %snapshot.document().digest()))]
    pub async fn publish(
        &self,
        snapshot: Arc<dyn PolicySnapshot>,
        by: PrincipalId,
    ) -> Result<PolicyDigest, BrokerError> {
        let document = snapshot.document();
        let digest = document.digest();
        let bytes = document.to_bytes().map_err(|error| BrokerError::Policy(error.to_string()))?;
        let stream = self.policy_stream().await?;
        let review = stream.review_of(digest, self.settings.policy_review.as_ref())?;
        let refs = Refs {
            policy: Some(digest),
            cause: review.as_ref().map(|review| review.proposal),
            approvals: review.iter().flat_map(Review::approvals).collect(),
            ..Refs::default()
        };
        let request = self.policy_record(PolicyPublished { snapshot: digest, by }.into(), refs)?;
        let mut request = request.blob(digest.into(), bytes);
        if review.is_some() {
            // A review counts once.
            request = request.guard(StreamId::Policy, stream.expected());
        }
        self.append(request).await?.receipt().await?;
        self.put_in_force(snapshot);
        Ok(digest)
    }

    /// Puts a snapshot in force that was published before, by another broker or before a restart.
    ///
    /// # Errors
    /// [`BrokerError::NotPublished`] if no record of the log publishes it, or the store does not have it.
    pub async fn adopt(&self, snapshot: Arc<dyn PolicySnapshot>) -> Result<PolicyDigest, BrokerError> {
        let digest = snapshot.document().digest();
        // What was only proposed is in the store too.
        let published = self.policy_stream().await?.has_published(digest)?;
        if !published || self.log.policy(digest).await?.is_none() {
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
