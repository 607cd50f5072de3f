//! The tickets that a request refers to, and their state.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jit_core::{Code, ExternalId, PrincipalId, Seconds, SystemName, canonical::Value};

use super::{FactError, FactQuery, FactSource, Gathered, NamedFact, SourceRead, members, reader::Reader};

/// The most tickets of one request that are read.
pub const MAX_TICKETS: usize = 16;

/// The state of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its status, in the words of the system, as a code: `in_progress`.
    pub status: Code,
    /// Whether work on it is under way or still to come.
    pub open: bool,
    /// Who it is assigned to.
    pub assignees: BTreeSet<PrincipalId>,
}

/// The state of the tickets that a request refers to in one system.
///
/// The fact is a record: `.referenced` (there is a reference), `.open` (there is one, and all that are referred to exist and
/// are open), `.assigned` (the requester, or for whom an agent acts, is an assignee of one of them), `.statuses` (a set).
#[derive(Debug, Clone)]
pub struct TicketState<R> {
    name: SystemName,
    fact: Code,
    system: SystemName,
    reader: R,
    max_age: Seconds,
}

impl<R: Reader<ExternalId, Option<Ticket>>> TicketState<R> {
    /// Reads the tickets that requests refer to under the name `system`, as the fact `fact`. `None` is a ticket that does not
    /// exist.
    #[must_use]
    pub fn new(name: SystemName, fact: Code, system: SystemName, reader: R, max_age: Seconds) -> Self {
        Self { name, fact, system, reader, max_age }
    }
}

#[async_trait]
impl<R: Reader<ExternalId, Option<Ticket>>> FactSource for TicketState<R> {
    fn name(&self) -> &SystemName {
        &self.name
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        let named = query.request.external().iter().filter(|reference| reference.system == self.system);
        let ids: BTreeSet<&ExternalId> = named.map(|reference| &reference.id).collect();
        if ids.len() > MAX_TICKETS {
            return Err(FactError::new(
                &self.name,
                jit_core::code!("too_many_tickets"),
                format!("{} tickets", ids.len()),
            ));
        }
        let interested = query.request.requester().interested();
        let (mut open, mut assigned, mut statuses) = (!ids.is_empty(), false, BTreeSet::new());
        let mut sources = Vec::new();
        for id in &ids {
            let read = self.reader.read(id, query.now).await.map_err(|error| error.of(&self.name))?;
            sources.push(SourceRead::new(&self.name, read.fetched_at, self.max_age));
            let Some(ticket) = read.value else {
                open = false;
                continue;
            };
            open &= ticket.open;
            assigned |= interested.iter().any(|id| ticket.assignees.contains(id));
            statuses.insert(ticket.status);
        }
        let wrong = |error: &dyn std::error::Error| FactError::unusable(&self.name, error);
        let statuses: Result<Vec<Value>, _> = statuses.iter().map(|status| Value::text(status.as_str())).collect();
        let value = members([
            ("assigned", Value::Bool(assigned)),
            ("open", Value::Bool(open)),
            ("referenced", Value::Bool(!ids.is_empty())),
            ("statuses", Value::Array(statuses.map_err(|e| wrong(&e))?)),
        ])
        .map_err(|e| wrong(&e))?;
        let fetched_at = sources.iter().map(|read: &SourceRead| read.fetched_at).min().unwrap_or(query.now);
        let facts = vec![NamedFact::new(&self.fact, value, &self.name, fetched_at)];
        Ok(Gathered { facts, sources, ..Gathered::default() })
    }
}
