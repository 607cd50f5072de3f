//! Groups from a directory: who asks, who receives and for whom an agent acts stand in them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jit_core::{GroupName, Principal, PrincipalId, Seconds, SystemName};

use super::{FactError, FactQuery, FactSource, Gathered, SourceRead, reader::Reader};
use crate::entity::{Attributes, Entity, EntityUid, kind};

/// The groups of everybody whom a request names, read from a directory.
///
/// What it gives are entities: a person `in Jit::Group::"oncall"`. A directory that has groups in groups answers with all of
/// them, however far above.
#[derive(Debug, Clone)]
pub struct DirectoryGroups<R> {
    name: SystemName,
    reader: R,
    max_age: Seconds,
}

impl<R: Reader<PrincipalId, BTreeSet<GroupName>>> DirectoryGroups<R> {
    /// Reads groups with `reader`; an answer that is older than `max_age` makes the decision indeterminate.
    #[must_use]
    pub fn new(name: SystemName, reader: R, max_age: Seconds) -> Self {
        Self { name, reader, max_age }
    }
}

#[async_trait]
impl<R: Reader<PrincipalId, BTreeSet<GroupName>>> FactSource for DirectoryGroups<R> {
    fn name(&self) -> &SystemName {
        &self.name
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        let requester = query.request.requester();
        let wrong = |error: &dyn std::error::Error| FactError::unusable(&self.name, error);
        // By identity: as themselves, and as those whom the request refers to.
        let mut asked: BTreeMap<PrincipalId, BTreeSet<EntityUid>> = BTreeMap::new();
        let mut ask = |id: &PrincipalId, uid| asked.entry(id.clone()).or_default().insert(uid);
        ask(&requester.id(), EntityUid::of_principal(requester).map_err(|e| wrong(&e))?);
        let mut referred = vec![query.request.recipient()];
        if let Principal::Agent(agent) = requester {
            referred.extend(agent.mode().principals());
        }
        for id in referred {
            ask(id, EntityUid::of_identity(id).map_err(|e| wrong(&e))?);
        }
        let (mut entities, mut sources) = (BTreeMap::new(), Vec::new());
        for (id, uids) in asked {
            let read = self.reader.read(&id, query.now).await.map_err(|error| error.of(&self.name))?;
            sources.push(SourceRead::new(&self.name, read.fetched_at, self.max_age));
            let mut parents = BTreeSet::new();
            for group in &read.value {
                parents.insert(EntityUid::new(kind::GROUP, group.as_str()).map_err(|e| wrong(&e))?);
            }
            for uid in parents.iter().cloned() {
                entities.entry(uid.clone()).or_insert_with(|| entity(uid, BTreeSet::new()));
            }
            for uid in uids {
                entities.insert(uid.clone(), entity(uid, parents.clone()));
            }
        }
        Ok(Gathered { entities: entities.into_values().collect(), sources, ..Gathered::default() })
    }
}

fn entity(uid: EntityUid, parents: BTreeSet<EntityUid>) -> Entity {
    Entity { uid, attrs: Attributes::default(), parents }
}
