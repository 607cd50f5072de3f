//! What is read before an evaluation, so that the evaluation itself reads nothing: facts and entities, with where they came from.

mod groups;
mod on_call;
mod reader;
mod risk;
mod ticket;

use std::{
    collections::{BTreeMap, BTreeSet},
    future,
    sync::Arc,
    task::Poll,
};

use async_trait::async_trait;
use jit_core::{
    Code, GroupName, PrincipalId, Request, Seconds, SystemName, TextError, Timestamp,
    canonical::{self, CanonicalError, Object, Value},
    code,
};
use serde::{Deserialize, Serialize};

pub use self::{
    groups::DirectoryGroups,
    on_call::OnCallSchedule,
    reader::{Cached, Reader, ReaderError, Reading},
    risk::{Risk, RiskScore, RiskScoring},
    ticket::{MAX_TICKETS, Ticket, TicketState},
};
use crate::entity::{Entity, EntityUid};

/// The most bytes a directory document may have.
pub const MAX_DIRECTORY_BYTES: usize = 16 << 20;
/// How many steps upwards a directory follows.
const MAX_STEPS: usize = 4096;

/// A source gave nothing. Its message stays out of records; its code goes in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source {source_name}: {code}: {message}")]
pub struct FactError {
    /// Which source.
    pub source_name: SystemName,
    /// What went wrong, as a stable code.
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
}

impl FactError {
    /// A source that gave nothing, with a stable code for the record and a message for people.
    #[must_use]
    pub fn new(source: &SystemName, code: Code, message: impl Into<String>) -> Self {
        Self { source_name: source.clone(), code, message: message.into() }
    }

    fn unusable(source: &SystemName, error: &dyn std::error::Error) -> Self {
        Self::new(source, code!("unusable_answer"), error.to_string())
    }
}

impl ReaderError {
    fn of(self, source: &SystemName) -> FactError {
        FactError::new(source, self.code, self.message)
    }
}

/// One fact as the input carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What is so.
    pub value: Value,
    /// Who says so.
    pub source: SystemName,
    /// When it was read.
    pub fetched_at: Timestamp,
}

/// A fact under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFact {
    /// The name under which a policy finds it.
    pub name: Code,
    /// The fact.
    pub fact: Fact,
}

impl NamedFact {
    fn new(name: &Code, value: Value, source: &SystemName, fetched_at: Timestamp) -> Self {
        Self { name: name.clone(), fact: Fact { value, source: source.clone(), fetched_at } }
    }
}

/// When a source was read, and how old what it says may be, as the input carries it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRead {
    /// Which source.
    pub source: SystemName,
    /// When it was read; of several readings the first.
    pub fetched_at: Timestamp,
    /// How old that may be when it is decided on, in seconds.
    pub max_age_s: Seconds,
}

impl SourceRead {
    /// A source that was read at this moment.
    #[must_use]
    pub fn new(source: &SystemName, fetched_at: Timestamp, max_age: Seconds) -> Self {
        Self { source: source.clone(), fetched_at, max_age_s: max_age }
    }

    /// Whether it is older at `now` than it may be.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.fetched_at) > self.max_age_s.to_duration()
    }
}

/// A source that gave nothing, as the input carries it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unavailable {
    /// Which source.
    pub source: SystemName,
    /// What went wrong.
    pub code: Code,
}

/// Everything gathered for one evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Facts.
    pub facts: Vec<NamedFact>,
    /// Entities.
    pub entities: Vec<Entity>,
    /// Sources that gave nothing: the decision will be indeterminate, and deny.
    pub unavailable: Vec<Unavailable>,
    /// When sources were read. One whose answer is too old counts as one that gave nothing.
    pub sources: Vec<SourceRead>,
}

/// What is about to be decided.
#[derive(Debug, Clone, Copy)]
pub struct FactQuery<'a> {
    /// The request.
    pub request: &'a Request,
    /// The moment of the decision.
    pub now: Timestamp,
}

/// A source of facts: a directory, an on-call schedule, a ticket system.
#[async_trait]
pub trait FactSource: Send + Sync + 'static {
    /// Its name, as inputs record it.
    fn name(&self) -> &SystemName;

    /// Reads what a policy may need for this request. Cancellation-safe: it only reads.
    ///
    /// # Errors
    /// [`FactError`] if it cannot; the decision is indeterminate then.
    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError>;
}

/// Who belongs to which group of approvers.
#[async_trait]
pub trait Eligibility: Send + Sync + 'static {
    /// The groups that this identity may approve for. Cancellation-safe: it only reads.
    ///
    /// # Errors
    /// [`FactError`] if that cannot be said; nobody is eligible then.
    async fn groups_of(&self, by: &PrincipalId) -> Result<BTreeSet<GroupName>, FactError>;
}

/// Asks every source, all at once. One that fails is named in the result, and makes the decision indeterminate.
/// Cancellation-safe: sources only read.
pub async fn gather(sources: &[Arc<dyn FactSource>], query: FactQuery<'_>) -> Gathered {
    let mut asked: Vec<_> = sources.iter().map(|source| (source, source.resolve(query), None)).collect();
    future::poll_fn(|context| {
        for (_, answering, answer) in asked.iter_mut().filter(|(_, _, answer)| answer.is_none()) {
            if let Poll::Ready(ready) = answering.as_mut().poll(context) {
                *answer = Some(ready);
            }
        }
        if asked.iter().all(|(_, _, answer)| answer.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let mut all = Gathered::default();
    for (source, _, answer) in asked {
        match answer {
            Some(Ok(mut gathered)) => {
                all.facts.append(&mut gathered.facts);
                all.entities.append(&mut gathered.entities);
                all.unavailable.append(&mut gathered.unavailable);
                all.sources.append(&mut gathered.sources);
            }
            Some(Err(error)) => all.unavailable.push(Unavailable { source: source.name().clone(), code: error.code }),
            None => {}
        }
    }
    all
}

/// An object of these members.
fn members<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Value, CanonicalError> {
    let mut object = Object::new();
    for (name, value) in members {
        object.insert(name, value)?;
    }
    Ok(Value::Object(object))
}

/// A directory document does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Too many bytes.
    #[error("directory is larger than {MAX_DIRECTORY_BYTES} bytes")]
    TooLarge,
    /// Not JSON within the restrictions, or not the shape of a directory.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// An entity stands there twice.
    #[error("entity {0} is described twice")]
    Repeated(EntityUid),
    /// A name is not acceptable.
    #[error(transparent)]
    Text(#[from] TextError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectoryDocument {
    entities: Vec<Entity>,
    approvers: BTreeMap<GroupName, Vec<PrincipalId>>,
}

/// A directory held in memory: who is in which group, and who may approve for which.
///
/// ```
/// use jit_core::SystemName;
/// use jit_policy::EntityDirectory;
/// let document = br#"{"entities":[{"uid":{"type":"human","id":"idp|u-1"},"attrs":{},
///   "parents":[{"type":"group","id":"oncall"}]}],
///   "approvers":{"sre":[{"identity":{"issuer":"idp","subject":"u-2"}}]}}"#;
/// let directory = EntityDirectory::parse(SystemName::new("directory")?, document)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct EntityDirectory {
    name: SystemName,
    entities: BTreeMap<EntityUid, Entity>,
    approvers: BTreeMap<GroupName, Vec<PrincipalId>>,
}

impl EntityDirectory {
    /// Reads a directory from JSON: `entities` (uid, attrs, parents) and `approvers` (group → identities).
    ///
    /// # Errors
    /// [`DirectoryError`] if it is too large, malformed, or describes an entity twice.
    pub fn parse(name: SystemName, bytes: &[u8]) -> Result<Self, DirectoryError> {
        if bytes.len() > MAX_DIRECTORY_BYTES {
            return Err(DirectoryError::TooLarge);
        }
        let document: DirectoryDocument = canonical::from_value(&Value::parse(bytes)?)?;
        let mut entities = BTreeMap::new();
        for entity in document.entities {
            let uid = entity.uid.clone();
            if entities.insert(uid.clone(), entity).is_some() {
                return Err(DirectoryError::Repeated(uid));
            }
        }
        Ok(Self { name, entities, approvers: document.approvers })
    }

    /// An entity and everything it is in, as far as the directory knows them.
    fn with_ancestors(&self, uid: &EntityUid, found: &mut BTreeMap<EntityUid, Entity>) {
        let mut open = vec![uid.clone()];
        while let Some(uid) = open.pop() {
            if found.contains_key(&uid) || found.len() >= MAX_STEPS {
                continue;
            }
            let Some(entity) = self.entities.get(&uid) else { continue };
            open.extend(entity.parents.iter().cloned());
            found.insert(uid, entity.clone());
        }
    }
}

#[async_trait]
impl FactSource for EntityDirectory {
    fn name(&self) -> &SystemName {
        &self.name
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        let mut found = BTreeMap::new();
        if let Ok(uid) = EntityUid::of_principal(query.request.requester()) {
            self.with_ancestors(&uid, &mut found);
        }
        if let Ok(uid) = EntityUid::of_resource(query.request.scope().resource()) {
            self.with_ancestors(&uid, &mut found);
        }
        let mut entities: Vec<Entity> = found.values().cloned().collect();
        // Somebody a request only refers to stands in the groups of whatever principal has that identity.
        let mut referred: Vec<&PrincipalId> = vec![query.request.recipient()];
        if let jit_core::Principal::Agent(agent) = query.request.requester() {
            referred.extend(agent.mode().principals());
        }
        for id in referred {
            let Ok(uid) = EntityUid::of_identity(id) else { continue };
            let mut parents = BTreeSet::new();
            for candidate in EntityUid::candidates(id) {
                if let Some(entity) = self.entities.get(&candidate) {
                    parents.extend(entity.parents.iter().cloned());
                }
            }
            let mut above = BTreeMap::new();
            for parent in &parents {
                self.with_ancestors(parent, &mut above);
            }
            entities.extend(above.into_values());
            entities.push(Entity { uid, attrs: crate::entity::Attributes::default(), parents });
        }
        Ok(Gathered { entities, ..Gathered::default() })
    }
}

#[async_trait]
impl Eligibility for EntityDirectory {
    async fn groups_of(&self, by: &PrincipalId) -> Result<BTreeSet<GroupName>, FactError> {
        Ok(self.approvers.iter().filter(|(_, who)| who.contains(by)).map(|(group, _)| group.clone()).collect())
    }
}
