//! Asking the policy: gather first, then evaluate.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jit_core::{
    Action, EvaluatedDecision, EvaluationPurpose, GroupName, Principal, Request, SystemName, Timestamp, code,
};
use jit_policy::{
    CanonicalInput, Explanation, FactError, FactQuery, FactSource, Gathered, InputError, Unavailable, gather,
};

use crate::{broker::Broker, error::BrokerError};

impl Broker {
    /// What the policy in force would answer to a request now, why, and what would help. Nothing is recorded and nothing is
    /// promised: whoever then submits is decided on anew.
    ///
    /// Cancellation-safe: it only reads.
    ///
    /// # Errors
    /// [`BrokerError::NoPolicy`], or [`BrokerError::Policy`] if an input cannot be built.
    pub async fn dry_run(&self, request: &Request) -> Result<Explanation, BrokerError> {
        let evaluator = self.evaluator()?;
        let input = self.input_of(request, EvaluationPurpose::Request, self.clock.now().at).await?;
        Ok(Explanation::of(&evaluator, &input))
    }

    /// The decision of the policy in force, with the input it was made on. A source that gives nothing makes the decision
    /// indeterminate; only an input that cannot be built is an error.
    pub(crate) async fn evaluate(
        &self,
        request: &Request,
        purpose: EvaluationPurpose,
        now: Timestamp,
    ) -> Result<EvaluatedDecision, BrokerError> {
        self.evaluate_with(request, now, |gathered| CanonicalInput::of_request(request, purpose, now, gathered)).await
    }

    /// Whether somebody may approve a request for a group.
    pub(crate) async fn evaluate_approver(
        &self,
        of: &Request,
        by: &Principal,
        group: &GroupName,
        now: Timestamp,
    ) -> Result<EvaluatedDecision, BrokerError> {
        self.evaluate_judge(of, by, Some(group), EvaluationPurpose::Approval, "approve", now).await
    }

    /// Whether somebody may review an emergency.
    pub(crate) async fn evaluate_reviewer(
        &self,
        of: &Request,
        by: &Principal,
        now: Timestamp,
    ) -> Result<EvaluatedDecision, BrokerError> {
        self.evaluate_judge(of, by, None, EvaluationPurpose::Review, "review", now).await
    }

    async fn evaluate_judge(
        &self,
        of: &Request,
        by: &Principal,
        group: Option<&GroupName>,
        purpose: EvaluationPurpose,
        act: &'static str,
        now: Timestamp,
    ) -> Result<EvaluatedDecision, BrokerError> {
        let unasked = |error: &dyn std::fmt::Display| BrokerError::Policy(error.to_string());
        let act = Action::new(act).map_err(|error| unasked(&error))?;
        let judged = of.judged_by(by.clone(), act).map_err(|error| unasked(&error))?;
        let input = |gathered| CanonicalInput::of_judge(&judged, of, group, purpose, now, gathered);
        self.evaluate_with(&judged, now, input).await
    }

    async fn evaluate_with(
        &self,
        request: &Request,
        now: Timestamp,
        input: impl Fn(Gathered) -> Result<CanonicalInput, InputError>,
    ) -> Result<EvaluatedDecision, BrokerError> {
        let evaluator = self.evaluator()?;
        let input = self.input_with(request, now, input).await?;
        let decision = evaluator.evaluate(&input);
        Ok(EvaluatedDecision { decision, input: input.as_value().clone() })
    }

    async fn input_of(
        &self,
        request: &Request,
        purpose: EvaluationPurpose,
        now: Timestamp,
    ) -> Result<CanonicalInput, BrokerError> {
        self.input_with(request, now, |gathered| CanonicalInput::of_request(request, purpose, now, gathered)).await
    }

    async fn input_with(
        &self,
        request: &Request,
        now: Timestamp,
        input: impl Fn(Gathered) -> Result<CanonicalInput, InputError>,
    ) -> Result<CanonicalInput, BrokerError> {
        let gathered = gather(&self.sources, FactQuery { request, now }).await;
        let input = input(gathered).or_else(|error| {
            // Sources that contradict each other say nothing, and the decision says so.
            tracing::warn!(%error, "what was gathered cannot be used");
            let unavailable = vec![Unavailable { source: SystemName::new("sources")?, code: code!("contradiction") }];
            input(Gathered { unavailable, ..Gathered::default() })
        });
        input.map_err(|error| BrokerError::Policy(error.to_string()))
    }
}

/// A source that is waited for so long and no longer; after that it counts as one that gave nothing.
pub(crate) struct Patient {
    pub(crate) source: Arc<dyn FactSource>,
    pub(crate) timeout: Duration,
}

#[async_trait]
impl FactSource for Patient {
    fn name(&self) -> &SystemName {
        self.source.name()
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        match tokio::time::timeout(self.timeout, self.source.resolve(query)).await {
            Ok(resolved) => resolved,
            Err(_) => {
                let waited = format!("no answer within {:?}", self.timeout);
                Err(FactError::new(self.name(), code!("timed_out"), waited))
            }
        }
    }
}
