//! Who asserted what, as facts: so that a rule can demand that somebody else than the agent says for whom it acts.

use async_trait::async_trait;
use jit_core::{
    Aspect, Principal, Provenance, SystemName,
    canonical::{CanonicalError, Int, Value},
    code,
};

use crate::facts::{Fact, FactError, FactQuery, FactSource, Gathered, NamedFact};

/// Gives policies what a request says of its provenance:
///
/// | fact | is |
/// |---|---|
/// | `verified` | the aspects that somebody else than the requester asserts: `requester`, `principal`, `owner`, … ([`Aspect`]) |
/// | `token_kinds` | the kinds of the tokens that were verified, `transaction_token` for example |
/// | `token_scopes` | what those tokens are for: each word of the scope of each transaction token |
/// | `hops` | how many actors stand between an agent and the principal it acts for |
///
/// The first three are sets of texts, empty if a request says nothing. In Cedar:
///
/// ```text
/// type Facts = { verified: Set<String>, token_kinds: Set<String>, token_scopes: Set<String>, hops: Long };
/// permit(principal is Jit::Agent, …) when { context.facts.verified.contains("principal") && context.facts.hops == 0 };
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

    fn set(&self, mut texts: Vec<&str>) -> Result<Value, FactError> {
        texts.sort_unstable();
        texts.dedup();
        let texts: Result<_, _> = texts.into_iter().map(Value::text).collect();
        texts.map(Value::Array).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &CanonicalError) -> FactError {
        FactError { source_name: self.name.clone(), code: code!("unusable"), message: error.to_string() }
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
        let hops = match query.request.requester() {
            Principal::Agent(agent) => agent.mode().principals().skip(1).count(),
            _ => 0,
        };
        let fact =
            |name, value| NamedFact { name, fact: Fact { value, source: self.name.clone(), fetched_at: query.now } };
        let facts = [
            (code!("verified"), self.set(verified)?),
            (code!("token_kinds"), self.set(kinds)?),
            (code!("token_scopes"), self.set(scopes)?),
            (code!("hops"), Int::try_from(hops as u64).map(Value::Int).map_err(|error| self.unusable(&error))?),
        ];
        let facts = facts.into_iter().map(|(name, value)| fact(name, value)).collect();
        Ok(Gathered { facts, ..Gathered::default() })
    }
}
