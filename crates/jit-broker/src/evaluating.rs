//! Asking the policy: gather first, then evaluate.

use jit_core::{EvaluatedDecision, EvaluationPurpose, Request, SystemName, Timestamp, code};
use jit_policy::{CanonicalInput, FactQuery, Gathered, Unavailable, gather};

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
        let input = CanonicalInput::of_request(request, purpose, now, gathered).or_else(|error| {
            // Sources that contradict each other say nothing, and the decision says so.
            tracing::warn!(%error, "what was gathered cannot be used");
            let unavailable = vec![Unavailable { source: SystemName::new("sources")?, code: code!("contradiction") }];
            CanonicalInput::of_request(request, purpose, now, Gathered { unavailable, ..Gathered::default() })
        });
        let input = input.map_err(|error| BrokerError::Policy(error.to_string()))?;
        let decision = evaluator.evaluate(&input);
        Ok(EvaluatedDecision { decision, input: input.as_value().clone() })
    }
}
