//! Who and what a policy reasons about: entities with attributes and the groups they are in.

use std::{collections::BTreeSet, fmt};

use jit_core::{
    Code, Identity, Principal, PrincipalId, Resource, TextError,
    canonical::{CanonicalError, Object, Value},
};
use serde::{Deserialize, Serialize};

/// The longest entity id, in bytes: as long as the longest resource name.
pub const MAX_ENTITY_ID_BYTES: usize = 4224;

/// Kinds of entity that every engine adapter knows.
pub mod kind {
    /// A person, `issuer|subject`.
    pub const HUMAN: &str = "human";
    /// A workload, its SPIFFE id.
    pub const WORKLOAD: &str = "workload";
    /// An AI agent, `issuer|subject`.
    pub const AGENT: &str = "agent";
    /// A service account, `issuer|subject`.
    pub const SERVICE: &str = "service";
    /// A group of any of them.
    pub const GROUP: &str = "group";
    /// A resource, `kind:path`.
    pub const RESOURCE: &str = "resource";
    /// An identity that a request refers to without saying what kind of principal it is: a recipient, an agent's owner, a
    /// link of a delegation chain. It is in every group in which a principal of this id is.
    pub const IDENTITY: &str = "identity";

    /// The kinds that a [`PrincipalId`](jit_core::PrincipalId) may stand for.
    pub const PRINCIPALS: [&str; 4] = [HUMAN, WORKLOAD, AGENT, SERVICE];
}

/// The id of an entity within its kind: not blank, no control characters, at most [`MAX_ENTITY_ID_BYTES`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntityId(String);

impl EntityId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// [`TextError`] if it is blank, too long or has a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, TextError> {
        const WHAT: &str = "entity id";
        let id = id.into();
        if id.len() > MAX_ENTITY_ID_BYTES {
            return Err(TextError::TooLong { what: WHAT, max: MAX_ENTITY_ID_BYTES });
        }
        if id.trim().is_empty() {
            return Err(TextError::Blank { what: WHAT });
        }
        if id.chars().any(char::is_control) {
            return Err(TextError::Character { what: WHAT });
        }
        Ok(Self(id))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EntityId {
    type Error = TextError;
    fn try_from(id: String) -> Result<Self, TextError> {
        Self::new(id)
    }
}

impl From<EntityId> for String {
    fn from(id: EntityId) -> String {
        id.0
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// An entity's kind and id, by which it is unique. Ordered by kind, then id, by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityUid {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Code,
    /// Which one it is.
    pub id: EntityId,
}

impl EntityUid {
    /// An entity of this kind and id.
    ///
    /// # Errors
    /// [`TextError`] if a part is blank, too long or has a character that is not allowed.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Result<Self, TextError> {
        Ok(Self { kind: Code::new(kind)?, id: EntityId::new(id)? })
    }

    /// The entity of a principal that acts; a rule is none.
    ///
    /// # Errors
    /// [`TextError`] if the principal is of a kind that has no entity.
    pub fn of_principal(principal: &Principal) -> Result<Self, TextError> {
        match principal {
            Principal::Human { identity } => Self::new(kind::HUMAN, identity.to_string()),
            Principal::Service { identity } => Self::new(kind::SERVICE, identity.to_string()),
            Principal::Workload { spiffe_id } => Self::new(kind::WORKLOAD, spiffe_id.to_string()),
            Principal::Agent(agent) => Self::new(kind::AGENT, agent.identity().to_string()),
            _ => Err(TextError::Blank { what: "entity id" }),
        }
    }

    /// The entity of an identity that a request refers to.
    ///
    /// # Errors
    /// [`TextError`] never for an identity or a workload.
    pub fn of_identity(id: &PrincipalId) -> Result<Self, TextError> {
        Self::new(kind::IDENTITY, id.to_string())
    }

    /// The entity of a resource.
    ///
    /// # Errors
    /// [`TextError`] never: a resource's name is a valid id.
    pub fn of_resource(resource: &Resource) -> Result<Self, TextError> {
        Self::new(kind::RESOURCE, resource.to_string())
    }

    /// Every entity that may stand for this identity in a directory.
    pub fn candidates(id: &PrincipalId) -> impl Iterator<Item = Self> {
        let id = id.to_string();
        kind::PRINCIPALS.into_iter().filter_map(move |kind| Self::new(kind, id.clone()).ok())
    }
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

/// Attributes by name: a JSON object without reserved keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Attributes(Object);

impl Attributes {
    /// Checks and wraps an object.
    ///
    /// # Errors
    /// [`CanonicalError`] if a key at any level starts with `$`, or values nest too deeply.
    pub fn new(object: Object) -> Result<Self, CanonicalError> {
        Value::Object(object).try_into()
    }

    /// Attributes that are texts.
    ///
    /// # Errors
    /// [`CanonicalError`] if a text contains U+0000 or a name repeats.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = (&'a str, String)>) -> Result<Self, CanonicalError> {
        let mut object = Object::new();
        for (name, text) in texts {
            object.insert(name, Value::text(text)?)?;
        }
        Self::new(object)
    }

    /// The members.
    #[must_use]
    pub fn as_object(&self) -> &Object {
        &self.0
    }
}

impl TryFrom<Value> for Attributes {
    type Error = CanonicalError;
    fn try_from(value: Value) -> Result<Self, CanonicalError> {
        value.check_no_reserved_keys()?;
        match value {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(CanonicalError::Deserialize { offset: 0 }),
        }
    }
}

impl From<Attributes> for Value {
    fn from(attributes: Attributes) -> Value {
        Value::Object(attributes.0)
    }
}

/// An entity with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// Which one it is.
    pub uid: EntityUid,
    /// What is known about it.
    pub attrs: Attributes,
    /// What it is directly in, sorted.
    pub parents: BTreeSet<EntityUid>,
}

/// The two parts of an identity, as attributes.
pub(crate) fn identity_texts(identity: &Identity) -> [(&'static str, String); 2] {
    [("issuer", identity.issuer.to_string()), ("subject", identity.subject.to_string())]
}
