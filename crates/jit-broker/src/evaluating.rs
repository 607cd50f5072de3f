//! Asking the policy: gather first, then evaluate.

use jit_core::{EvaluatedDecision, EvaluationPurpose, Request, Timestamp};
use jit_policy::{CanonicalInput, FactQuery, gather};

use crate::{broker::Broker, error::BrokerError};

impl Broker {
    /// The decision of the policy in force, with the input it was made on. A source that gives nothing makes the decision
    /// indeterminate; only an input that cannot be built is an error.
    pub(crate) async fn evaluate(
        &self,
        request: &Request,
        purpose: EvaluationPurpose,
        now: Timestamp,
    ) -> Result<EvaluatedDecision, BrokerError> {
        let evaluator = self.evaluator()?;
        let gathered = gather(&self.sources, FactQuery { request, now }).await;
        let input = CanonicalInput::of_request(request, purpose, now, gathered)
            .map_err(|error| BrokerError::Policy(error.to_string()))?;
        let decision = evaluator.evaluate(&input);
        Ok(EvaluatedDecision { decision, input: input.as_value().clone() })
    }
}
