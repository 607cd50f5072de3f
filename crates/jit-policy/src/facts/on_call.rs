//! Who is on call, from a schedule.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jit_core::{Code, Principal, PrincipalId, Seconds, SystemName, canonical::Value};

use super::{FactError, FactQuery, FactSource, Gathered, NamedFact, SourceRead, members, reader::Reader};

/// Whether whoever asks, receives or is acted for is on call in one schedule now.
///
/// The fact is a record of booleans: `context.facts.<name>.requester`, `.recipient`, and `.principal`, which is for whom an
/// agent acts, and false where nobody is.
#[derive(Debug, Clone)]
pub struct OnCallSchedule<R> {
    name: SystemName,
    fact: Code,
    schedule: Code,
    reader: R,
    max_age: Seconds,
}

impl<R: Reader<Code, BTreeSet<PrincipalId>>> OnCallSchedule<R> {
    /// Reads who is on call in `schedule`, as the fact `fact`.
    #[must_use]
    pub fn new(name: SystemName, fact: Code, schedule: Code, reader: R, max_age: Seconds) -> Self {
        Self { name, fact, schedule, reader, max_age }
    }
}

#[async_trait]
impl<R: Reader<Code, BTreeSet<PrincipalId>>> FactSource for OnCallSchedule<R> {
    fn name(&self) -> &SystemName {
        &self.name
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        let read = self.reader.read(&self.schedule, query.now).await.map_err(|error| error.of(&self.name))?;
        let principal = match query.request.requester() {
            Principal::Agent(agent) => agent.mode().principals().next(),
            _ => None,
        };
        let value = members([
            ("principal", Value::Bool(principal.is_some_and(|id| read.value.contains(id)))),
            ("recipient", Value::Bool(read.value.contains(query.request.recipient()))),
            ("requester", Value::Bool(read.value.contains(&query.request.requester().id()))),
        ])
        .map_err(|error| FactError::unusable(&self.name, &error))?;
        Ok(Gathered {
            facts: vec![NamedFact::new(&self.fact, value, &self.name, read.fetched_at)],
            sources: vec![SourceRead::new(&self.name, read.fetched_at, self.max_age)],
            ..Gathered::default()
        })
    }
}
