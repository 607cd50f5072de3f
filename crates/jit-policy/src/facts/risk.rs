//! How risky a system for that purpose thinks somebody is.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jit_core::{
    Code, PrincipalId, Seconds, SystemName,
    canonical::{Int, Value},
};

use super::{FactError, FactQuery, FactSource, Gathered, NamedFact, SourceRead, members, reader::Reader};

/// How risky somebody is, from 0 (nothing known against them) to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RiskScore(u8);

impl RiskScore {
    /// A score; `None` above 100.
    #[must_use]
    pub const fn new(score: u8) -> Option<Self> {
        if score <= 100 { Some(Self(score)) } else { None }
    }

    /// The score.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What a risk system says about somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// How risky they are.
    pub score: RiskScore,
    /// Why, as codes: `impossible_travel`.
    pub signals: BTreeSet<Code>,
}

/// The risk of everybody on whose behalf a request is made: the requester, and for whom an agent acts. The highest counts.
///
/// The fact is a record: `.score`, from 0 to 100, and `.signals`, a set of texts.
#[derive(Debug, Clone)]
pub struct RiskScoring<R> {
    name: SystemName,
    fact: Code,
    reader: R,
    max_age: Seconds,
}

impl<R: Reader<PrincipalId, Risk>> RiskScoring<R> {
    /// Reads risks, as the fact `fact`.
    #[must_use]
    pub fn new(name: SystemName, fact: Code, reader: R, max_age: Seconds) -> Self {
        Self { name, fact, reader, max_age }
    }
}

#[async_trait]
impl<R: Reader<PrincipalId, Risk>> FactSource for RiskScoring<R> {
    fn name(&self) -> &SystemName {
        &self.name
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        let (mut score, mut signals, mut sources) = (RiskScore(0), BTreeSet::new(), Vec::new());
        for id in query.request.requester().interested() {
            let read = self.reader.read(&id, query.now).await.map_err(|error| error.of(&self.name))?;
            sources.push(SourceRead::new(&self.name, read.fetched_at, self.max_age));
            score = score.max(read.value.score);
            signals.extend(read.value.signals);
        }
        let wrong = |error: &dyn std::error::Error| FactError::unusable(&self.name, error);
        let signals: Result<Vec<Value>, _> = signals.iter().map(|signal| Value::text(signal.as_str())).collect();
        let value = members([
            ("score", Value::Int(Int::new(i64::from(score.get())).map_err(|e| wrong(&e))?)),
            ("signals", Value::Array(signals.map_err(|e| wrong(&e))?)),
        ])
        .map_err(|e| wrong(&e))?;
        let fetched_at = sources.iter().map(|read| read.fetched_at).min().unwrap_or(query.now);
        let facts = vec![NamedFact::new(&self.fact, value, &self.name, fetched_at)];
        Ok(Gathered { facts, sources, ..Gathered::default() })
    }
}
