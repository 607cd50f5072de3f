//! What a policy decides on: one canonical document, recorded beside the decision, so that the decision can be run again.

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{
    Action, Code, EvaluationPurpose, GroupName, Principal, Request, Resource, TextError, Timestamp,
    canonical::{self, CanonicalError, Object, Value},
    code,
};
use serde::{Deserialize, Serialize};

use crate::{
    entity::{Attributes, Entity, EntityUid, identity_texts},
    facts::{Fact, Gathered, SourceRead, Unavailable},
};

/// The most bytes an input may have.
pub const MAX_INPUT_BYTES: usize = 512 * 1024;
/// The most entities an input may carry.
pub const MAX_ENTITIES: usize = 4096;

/// The version of the input's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputSchema {
    /// Version 1.
    #[serde(rename = "jit.eval-input/1")]
    V1,
}

/// An input does not construct or parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Not canonical JSON, or not the shape of an input.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A name is not acceptable.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Too many bytes.
    #[error("input is larger than {MAX_INPUT_BYTES} bytes")]
    TooLarge,
    /// Nothing is asked for.
    #[error("input has no action")]
    NoAction,
    /// Too many entities.
    #[error("input has more than {MAX_ENTITIES} entities")]
    TooManyEntities,
    /// Entities are not sorted, or one stands there twice.
    #[error("entities are not strictly ascending at {0}")]
    EntityOrder(EntityUid),
    /// Two sources disagree about an entity.
    #[error("entity {0} is described twice and differently")]
    EntityConflict(EntityUid),
    /// Two sources gave a fact of the same name.
    #[error("fact {0} is given twice")]
    FactConflict(Code),
}

/// The parts of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputParts {
    /// The version of this shape.
    pub schema: InputSchema,
    /// Who asks.
    pub subject: EntityUid,
    /// What is to be done: each is decided, and all must be permitted.
    pub actions: BTreeSet<Action>,
    /// On what.
    pub resource: EntityUid,
    /// The circumstances.
    pub context: InputContext,
    /// The exact slice of entities given to the engine, ascending.
    pub entities: Vec<Entity>,
    /// Facts read beforehand, by name, with where they came from.
    pub facts: BTreeMap<Code, Fact>,
    /// Sources that gave nothing, or what was too old, which makes the decision indeterminate.
    pub unavailable: Vec<Unavailable>,
    /// When sources were read, ascending by name, as far as they say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRead>,
}

/// The circumstances of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputContext {
    /// The moment of the decision, in seconds since 1970-01-01T00:00:00Z. There is no other clock in a policy.
    pub now: i64,
    /// Why the policy is asked.
    pub purpose: EvaluationPurpose,
    /// When access is to begin, in seconds since 1970.
    pub requested_start: i64,
    /// When access is to end, in seconds since 1970.
    pub requested_end: i64,
    /// For how long access is asked, in seconds, rounded up.
    pub requested_duration: i64,
    /// Whether a justification is given, and how long it is in bytes. Its text stays out of decisions.
    pub justification_length: i64,
    /// Whether it is an emergency.
    pub break_glass: bool,
    /// Who receives the privilege.
    pub recipient: EntityUid,
    /// For whom an agent acts, if for somebody.
    pub on_behalf_of: Option<EntityUid>,
    /// How many grants are above the request.
    pub delegation_depth: i64,
    /// Whose request is judged, if it is asked about somebody who wants to approve or review one.
    pub judging: Option<Judging>,
}

/// The request that somebody wants to approve or review; they are the subject of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judging {
    /// Who made the request.
    pub requester: EntityUid,
    /// What it asks for.
    pub actions: BTreeSet<Action>,
    /// The group that they would approve for; absent for a review.
    pub group: Option<GroupName>,
    /// Whether they answer for the agent that made it.
    pub owner: bool,
}

/// An input: its canonical bytes, and the same content read. What is recorded is what is evaluated.
///
/// It has no recorded digest: an unsalted one would let anyone confirm a guess after an erasure. The salted digest of the
/// record's field binds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalInput {
    bytes: Vec<u8>,
    value: Value,
    parts: InputParts,
}

impl CanonicalInput {
    /// The input for a request, with everything that was gathered for it.
    ///
    /// # Errors
    /// [`InputError`] if sources contradict each other or the whole is too large.
    pub fn of_request(
        request: &Request,
        purpose: EvaluationPurpose,
        now: Timestamp,
        gathered: Gathered,
    ) -> Result<Self, InputError> {
        Self::build(request, purpose, now, gathered, None)
    }

    /// The input for somebody who wants to approve (for a group) or to review `of`. `judged` is that request as
    /// [`Request::judged_by`] them, for which everything was gathered.
    ///
    /// # Errors
    /// [`InputError`] if sources contradict each other or the whole is too large.
    pub fn of_judge(
        judged: &Request,
        of: &Request,
        group: Option<&GroupName>,
        purpose: EvaluationPurpose,
        now: Timestamp,
        gathered: Gathered,
    ) -> Result<Self, InputError> {
        let judging = Judging {
            requester: EntityUid::of_identity(&of.requester().id())?,
            actions: of.scope().actions().clone(),
            group: group.cloned(),
            owner: of.requester().owner().is_some_and(|owner| owner == judged.requester().id()),
        };
        Self::build(judged, purpose, now, gathered, Some(judging))
    }

    fn build(
        request: &Request,
        purpose: EvaluationPurpose,
        now: Timestamp,
        gathered: Gathered,
        judging: Option<Judging>,
    ) -> Result<Self, InputError> {
        let subject = EntityUid::of_principal(request.requester())?;
        let resource = EntityUid::of_resource(request.scope().resource())?;
        let on_behalf_of = match request.requester() {
            Principal::Agent(agent) => agent.mode().principals().next().map(EntityUid::of_identity).transpose()?,
            _ => None,
        };
        let recipient = EntityUid::of_identity(request.recipient())?;
        let mut entities = Entities::default();
        entities.add(subject_entity(request.requester(), subject.clone())?)?;
        for entity in resource_entities(request.scope().resource())? {
            entities.add(entity)?;
        }
        entities.add(bare(recipient.clone()))?;
        if let Some(principal) = &on_behalf_of {
            entities.add(bare(principal.clone()))?;
        }
        if let Some(judging) = &judging {
            entities.add(bare(judging.requester.clone()))?;
        }
        let mut facts = BTreeMap::new();
        for fact in gathered.facts {
            if facts.insert(fact.name.clone(), fact.fact.clone()).is_some() {
                return Err(InputError::FactConflict(fact.name));
            }
        }
        for entity in gathered.entities {
            entities.add(entity)?;
        }
        let sources = first_read(gathered.sources);
        let mut unavailable = gathered.unavailable;
        let stale = sources.iter().filter(|read| read.is_stale(now));
        unavailable.extend(stale.map(|read| Unavailable { source: read.source.clone(), code: code!("stale") }));
        unavailable.sort();
        let window = request.window();
        let seconds = |t: Timestamp| t.unix_seconds();
        let length = request.justification().map_or(0, |j| i64::try_from(j.as_str().len()).unwrap_or(i64::MAX));
        Self::new(InputParts {
            schema: InputSchema::V1,
            subject,
            actions: request.scope().actions().clone(),
            resource,
            context: InputContext {
                now: seconds(now),
                purpose,
                requested_start: seconds(window.start()),
                requested_end: window.end().unix_seconds_ceil(),
                requested_duration: i64::try_from(window.duration().as_micros().div_ceil(1_000_000))
                    .unwrap_or(i64::MAX),
                justification_length: length,
                break_glass: request.emergency().is_some(),
                recipient,
                on_behalf_of,
                delegation_depth: request.parent().map_or(0, |p| i64::try_from(p.depth()).unwrap_or(i64::MAX)),
                judging,
            },
            entities: entities.into_sorted(),
            facts,
            unavailable,
            sources,
        })
    }

    /// An input of these parts.
    ///
    /// # Errors
    /// [`InputError`] if entities are not ascending or a limit is passed.
    pub fn new(parts: InputParts) -> Result<Self, InputError> {
        if parts.entities.len() > MAX_ENTITIES {
            return Err(InputError::TooManyEntities);
        }
        if parts.actions.is_empty() {
            return Err(InputError::NoAction);
        }
        for fact in parts.facts.values() {
            fact.value.check_no_reserved_keys()?;
        }
        for pair in parts.entities.windows(2) {
            if let [a, b] = pair
                && a.uid >= b.uid
            {
                return Err(InputError::EntityOrder(b.uid.clone()));
            }
        }
        let value = canonical::to_value(&parts)?;
        let bytes = value.to_bytes()?;
        if bytes.len() > MAX_INPUT_BYTES { Err(InputError::TooLarge) } else { Ok(Self { bytes, value, parts }) }
    }

    /// Reads the canonical bytes of an input.
    ///
    /// # Errors
    /// [`InputError`] if they are too many, not canonical or not an input.
    pub fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        if bytes.len() > MAX_INPUT_BYTES {
            return Err(InputError::TooLarge);
        }
        let input = Self::new(canonical::from_slice(bytes)?)?;
        // Sets that were not sorted would be read as others than they are.
        if input.bytes == bytes { Ok(input) } else { Err(CanonicalError::Deserialize { offset: 0 }.into()) }
    }

    /// Reads an input as a record carries it.
    ///
    /// # Errors
    /// [`InputError`] if it is not one.
    pub fn from_value(value: &Value) -> Result<Self, InputError> {
        let input = Self::new(canonical::from_value(value)?)?;
        // What was recorded is what must be evaluated, member for member.
        if input.value == *value { Ok(input) } else { Err(CanonicalError::Deserialize { offset: 0 }.into()) }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The input as a record carries it.
    #[must_use]
    pub fn as_value(&self) -> &Value {
        &self.value
    }

    /// The input, read.
    #[must_use]
    pub fn parts(&self) -> &InputParts {
        &self.parts
    }

    /// A digest for caches and tests, never for records.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        blake3::derive_key("jit-policy/1 input", &self.bytes)
    }
}

/// Of each source the reading that is the first to be too old.
fn first_read(mut sources: Vec<SourceRead>) -> Vec<SourceRead> {
    let until = |read: &SourceRead| read.fetched_at.saturating_add(read.max_age_s.to_duration());
    sources.sort_by(|a, b| a.source.cmp(&b.source).then(until(a).cmp(&until(b))).then(a.cmp(b)));
    sources.dedup_by(|later, first| later.source == first.source);
    sources
}

#[derive(Default)]
struct Entities(BTreeMap<EntityUid, Entity>);

impl Entities {
    /// Adds an entity; what two sources say about one is united, unless they contradict each other.
    fn add(&mut self, entity: Entity) -> Result<(), InputError> {
        let Some(known) = self.0.get_mut(&entity.uid) else {
            self.0.insert(entity.uid.clone(), entity);
            return Ok(());
        };
        let mut attrs = known.attrs.as_object().clone();
        for (name, value) in entity.attrs.as_object().iter() {
            match attrs.get(name) {
                Some(same) if same == value => {}
                Some(_) => return Err(InputError::EntityConflict(entity.uid)),
                None => attrs.insert(name, value.clone())?,
            }
        }
        known.attrs = Attributes::new(attrs)?;
        known.parents.extend(entity.parents);
        Ok(())
    }

    fn into_sorted(self) -> Vec<Entity> {
        self.0.into_values().collect()
    }
}

fn bare(uid: EntityUid) -> Entity {
    Entity { uid, attrs: Attributes::default(), parents: BTreeSet::new() }
}

fn subject_entity(principal: &Principal, uid: EntityUid) -> Result<Entity, InputError> {
    let attrs = match principal {
        Principal::Human { identity } | Principal::Service { identity } => {
            Attributes::of_texts(identity_texts(identity))?
        }
        Principal::Workload { spiffe_id } => Attributes::of_texts([("spiffe_id", spiffe_id.to_string())])?,
        Principal::Agent(agent) => {
            let mut object = Object::new();
            for (name, text) in identity_texts(agent.identity()) {
                object.insert(name, Value::text(text)?)?;
            }
            for (name, text) in [
                ("owner", agent.owner().to_string()),
                ("version", agent.version().to_string()),
                ("model", agent.model().to_string()),
                ("task", agent.task().to_string()),
                ("workload", agent.workload().to_string()),
                ("event", agent.initiating_event().kind.to_string()),
            ] {
                object.insert(name, Value::text(text)?)?;
            }
            object.insert("autonomous", Value::Bool(agent.mode().principals().next().is_none()))?;
            Attributes::new(object)?
        }
        _ => Attributes::default(),
    };
    Ok(Entity { uid, attrs, parents: BTreeSet::new() })
}

/// A resource and everything that contains it, so that a rule for the general covers the particular.
fn resource_entities(resource: &Resource) -> Result<Vec<Entity>, InputError> {
    let path = resource.path();
    let prefixes = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut entities: Vec<Entity> = Vec::new();
    for end in prefixes {
        let Some(prefix) = path.get(..end) else { continue };
        let uid = EntityUid::new(crate::entity::kind::RESOURCE, format!("{}:{prefix}", resource.kind()))?;
        let attrs = Attributes::of_texts([("kind", resource.kind().to_string()), ("path", prefix.to_owned())])?;
        let parents = entities.last().map(|above| above.uid.clone()).into_iter().collect();
        entities.push(Entity { uid, attrs, parents });
    }
    Ok(entities)
}
