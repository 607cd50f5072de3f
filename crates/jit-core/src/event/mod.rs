//! Evidence events: what happened, as typed values, and how they become fields of a record and back.

mod kinds;
mod table;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use kinds::*;
pub use table::{FieldPlace, FieldSpec, StreamFamily};

use crate::{
    canonical::{CanonicalError, Object, Value},
    record::{FieldClass, Header, Payload},
};

/// A record does not say what happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// This version does not know the kind.
    #[error("unknown record kind {0}")]
    UnknownKind(UnknownKind),
    /// The payload was purged.
    #[error("payload is purged")]
    Purged,
    /// A field that must be kept was erased or withheld.
    #[error("field {0} is erased or withheld")]
    Absent(&'static str),
    /// The header has a fact that this kind does not have.
    #[error("kind {0} has an unknown fact")]
    UnknownFact(String),
    /// A field is missing or malformed.
    #[error("fields do not fit the kind: {0}")]
    Malformed(CanonicalError),
    /// The kind stands in a stream where it may not.
    #[error("kind {0} may not stand in this stream")]
    Stream(String),
}

/// The name of a kind that this version does not know: `[a-z_]+(.[a-z_]+)+`, at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownKind(String);

impl UnknownKind {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the name of a record kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a record kind")]
pub struct KindError;

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        if let Some(kind) = Self::known(text) {
            return Ok(kind);
        }
        let well_formed = text.len() <= 64
            && text.contains('.')
            && text
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        if well_formed { Ok(Self::Unknown(UnknownKind(text.to_owned()))) } else { Err(KindError) }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl Event {
    /// The fields that go into the header, if this kind has any.
    ///
    /// # Errors
    /// [`CanonicalError`] if a value has no canonical form.
    pub fn facts(&self) -> Result<Option<Object>, CanonicalError> {
        let kind = self.kind();
        if !kind.fields().iter().any(|f| f.place == FieldPlace::Fact) {
            return Ok(None);
        }
        let value = self.to_object()?;
        let mut facts = Object::new();
        for spec in kind.fields().iter().filter(|f| f.place == FieldPlace::Fact) {
            if let Some(fact) = value.as_object().and_then(|o| o.get(spec.name)) {
                facts.insert(spec.name, fact.clone())?;
            }
        }
        Ok(Some(facts))
    }

    /// The fields that go into the payload, with their class.
    ///
    /// # Errors
    /// [`CanonicalError`] if a value has no canonical form.
    pub fn fields(&self) -> Result<Vec<(&'static str, FieldClass, Value)>, CanonicalError> {
        let value = self.to_object()?;
        let mut fields = Vec::new();
        for spec in self.kind().fields() {
            let class = match spec.place {
                FieldPlace::Fact => continue,
                FieldPlace::Keep => FieldClass::Keep,
                FieldPlace::Personal => FieldClass::Personal,
            };
            if let Some(value) = value.as_object().and_then(|o| o.get(spec.name)) {
                fields.push((spec.name, class, value.clone()));
            }
        }
        Ok(fields)
    }

    /// Reads an event from a header and its payload. Erased personal fields are `None`; an erased or withheld field that
    /// must be kept is an error, and so is a purged payload unless the kind has none.
    ///
    /// # Errors
    /// [`EventError`] naming what is missing or malformed.
    pub fn read(header: &Header, payload: Option<&Payload>) -> Result<Self, EventError> {
        let specs = header.kind.fields();
        let mut object = Object::new();
        if let Some(Value::Object(facts)) = &header.facts {
            for (name, value) in facts.iter() {
                // Records of stream `erasure` carry the position of `gov` beside the facts of their kind.
                let position = name == "gov" && header.kind.family() == Some(StreamFamily::Erasure);
                let known = specs.iter().any(|s| s.place == FieldPlace::Fact && s.name == name);
                if known {
                    object.insert(name, value.clone()).map_err(EventError::Malformed)?;
                } else if !position {
                    return Err(EventError::UnknownFact(header.kind.to_string()));
                }
            }
        }
        for spec in specs.iter().filter(|s| s.place != FieldPlace::Fact) {
            let payload = payload.ok_or(EventError::Purged)?;
            let Some((_, field)) = payload.fields().iter().find(|(name, _)| name.as_str() == spec.name) else {
                continue;
            };
            match field.value() {
                Some(value) => object.insert(spec.name, value.clone()).map_err(EventError::Malformed)?,
                None if spec.place == FieldPlace::Personal => continue,
                None => return Err(EventError::Absent(spec.name)),
            };
        }
        Self::from_object(&header.kind, &Value::Object(object))
    }
}
