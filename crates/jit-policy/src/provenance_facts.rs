//! Who asserted what, as facts: so that a rule can demand that somebody else than the agent says for whom it acts.

use async_trait::async_trait;
use jit_core::{Aspect, Provenance, SystemName, canonical::Value, code};

use crate::facts::{Fact, FactError, FactQuery, FactSource, Gathered, NamedFact};

/// Gives policies what a request says of its provenance:
///
/// | fact | is |
/// |---|---|
/// | `verified` | the aspects that somebody else than the requester asserts: `requester`, `principal`, `owner`, … ([`Aspect`]) |
/// | `token_kinds` | the kinds of the tokens that were verified, `transaction_token` for example |
/// | `token_scopes` | what those tokens are for: each word of the scope of each transaction token |
///
/// All are sets of texts, empty if a request says nothing. In Cedar:
///
/// ```text
/// type Facts = { verified: Set<String>, token_kinds: Set<String>, token_scopes: Set<String> };
/// permit(principal is Jit::Agent, …) when { context.facts.verified.contains("principal") };
/// ```
#[derive(Debug, Clone)]
pub struct ProvenanceFacts {
    name: SystemName,
}

impl ProvenanceFacts {
    /// The source, under the name by which inputs record it.
    #[must_use]
    pub fn new(name: SystemName) -> Self {
        Self { name }
    }
}

#[async_trait]
impl FactSource for ProvenanceFacts {
    fn name(&self) -> &SystemName {
        &self.name
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        let provenance = query.request.provenance();
        let (mut verified, mut kinds, mut scopes) = (Vec::new(), Vec::new(), Vec::new());
        for aspect in Aspect::OF_AGENTS {
            if provenance.is_some_and(|provenance| provenance.is_verified(aspect)) {
                verified.push(aspect.as_str());
            }
        }
        for token in provenance.map_or(&[][..], Provenance::tokens) {
            kinds.push(token.kind.as_str());
            let scope = token.transaction.as_ref().map(|transaction| transaction.scope.as_str());
            scopes.extend(scope.unwrap_or_default().split_whitespace());
        }
        let mut facts = Vec::new();
        for (name, mut texts) in
            [(code!("verified"), verified), (code!("token_kinds"), kinds), (code!("token_scopes"), scopes)]
        {
            texts.sort_unstable();
            texts.dedup();
            let unusable = |error: jit_core::canonical::CanonicalError| FactError {
                source_name: self.name.clone(),
                code: code!("unusable"),
                message: error.to_string(),
            };
            let texts: Result<Vec<Value>, _> = texts.into_iter().map(Value::text).collect();
            let value = Value::Array(texts.map_err(unusable)?);
            facts.push(NamedFact { name, fact: Fact { value, source: self.name.clone(), fetched_at: query.now } });
        }
        Ok(Gathered { facts, ..Gathered::default() })
    }
}
