//! Payloads: named fields, each under its own salt, so that one can be erased without breaking the proof of the others.

use std::{collections::BTreeMap, fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    canonical::{self, CanonicalError, Value},
    digest::{Commitment, FieldDigest, decode_hex32, derive},
    ids::RecordId,
};

/// The most fields a payload may have.
pub const MAX_FIELDS: usize = 64;
/// The most bytes a stored payload may have.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// A payload does not construct or parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// A field name is not `[a-z][a-z0-9_]{0,62}`.
    #[error("field name is not of the form [a-z][a-z0-9_]{{0,62}}")]
    FieldName,
    /// Too many fields.
    #[error("payload has more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// Too many bytes.
    #[error("payload is larger than {MAX_PAYLOAD} bytes")]
    TooLarge,
    /// A field has neither a salted value nor a digest, or both.
    #[error("field {0} has neither exactly a salt with a value nor exactly a digest")]
    FieldShape(FieldName),
    /// Not canonical JSON, or not the shape of a payload.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// The name of a payload field, `[a-z][a-z0-9_]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(String);

impl FieldName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FieldName {
    type Err = PayloadError;
    fn from_str(text: &str) -> Result<Self, PayloadError> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if first && rest && text.len() <= 63 { Ok(Self(text.to_owned())) } else { Err(PayloadError::FieldName) }
    }
}

impl TryFrom<String> for FieldName {
    type Error = PayloadError;
    fn try_from(text: String) -> Result<Self, PayloadError> {
        text.parse()
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> String {
        name.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a field may be erased on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldClass {
    /// Stays as long as the record's payload: approver, window, scope, decision, outcome; people as pseudonymous ids.
    Keep,
    /// Personal data, erasable by an order: free text, names, addresses, prompts.
    Personal,
}

impl FieldClass {
    fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Personal => "personal",
        }
    }
}

/// 32 random bytes that make the digest of a low-entropy value unguessable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 32]);

impl Salt {
    /// Wraps random bytes from the operating system (or a test's source).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        decode_hex32(&text).map(Self).ok_or_else(|| de::Error::custom("salt is not 64 lower-case hex digits"))
    }
}

/// What is left of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldContent {
    /// Salt and value are there.
    Present {
        /// The salt of this field alone.
        salt: Salt,
        /// The value.
        value: Value,
    },
    /// Erased or withheld: the digest alone is left.
    Absent {
        /// The digest that the commitment covers.
        digest: FieldDigest,
    },
}

/// One field of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Whether it may be erased on its own.
    pub class: FieldClass,
    /// Its content.
    pub content: FieldContent,
}

impl Field {
    /// The value, unless erased or withheld.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match &self.content {
            FieldContent::Present { value, .. } => Some(value),
            FieldContent::Absent { .. } => None,
        }
    }

    /// The digest that the commitment covers: computed while the value is there, carried afterwards.
    ///
    /// # Errors
    /// [`CanonicalError`] if the value nests too deeply.
    pub fn digest(&self, record: RecordId, name: &FieldName) -> Result<FieldDigest, CanonicalError> {
        match &self.content {
            FieldContent::Present { salt, value } => field_digest(salt, record, name, value),
            FieldContent::Absent { digest } => Ok(*digest),
        }
    }
}

/// `derive_key("jit-evidence/1 field", salt ‖ record id ‖ u16be(len name) ‖ name ‖ canonical(value))` (evidence format, section 4).
fn field_digest(salt: &Salt, record: RecordId, name: &FieldName, value: &Value) -> Result<FieldDigest, CanonicalError> {
    // A name has at most 63 bytes, so its length fits the second byte of the big-endian u16.
    let length = [0, u8::try_from(name.0.len()).unwrap_or(u8::MAX)];
    let value = value.to_bytes()?;
    let parts: [&[u8]; 5] = [salt.as_bytes(), record.as_bytes(), &length, name.0.as_bytes(), &value];
    Ok(FieldDigest::from_bytes(derive("jit-evidence/1 field", &parts)))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldWire {
    c: FieldClass,
    digest: Option<FieldDigest>,
    salt: Option<Salt>,
    value: Option<Value>,
}

/// The fields of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    fields: BTreeMap<FieldName, Field>,
}

impl Payload {
    /// A payload of these fields.
    ///
    /// # Errors
    /// [`PayloadError::TooManyFields`] past [`MAX_FIELDS`].
    pub fn new(fields: BTreeMap<FieldName, Field>) -> Result<Self, PayloadError> {
        if fields.len() > MAX_FIELDS { Err(PayloadError::TooManyFields) } else { Ok(Self { fields }) }
    }

    /// The fields, sorted by name.
    #[must_use]
    pub fn fields(&self) -> &BTreeMap<FieldName, Field> {
        &self.fields
    }

    /// A copy in which these fields keep only name, class and digest: what an erasure leaves, and what a withholding shows.
    ///
    /// # Errors
    /// [`CanonicalError`] if a value nests too deeply.
    pub fn without(&self, record: RecordId, names: &[FieldName]) -> Result<Self, CanonicalError> {
        let mut copy = self.clone();
        for name in names {
            if let Some(field) = copy.fields.get_mut(name) {
                field.content = FieldContent::Absent { digest: field.digest(record, name)? };
            }
        }
        Ok(copy)
    }

    /// The commitment that the header of record `id` carries (evidence format, section 4).
    ///
    /// # Errors
    /// [`CanonicalError`] if a value nests too deeply.
    pub fn commitment(&self, id: RecordId) -> Result<Commitment, CanonicalError> {
        // Names, classes and digests need no escapes, so the canonical object is written as it stands.
        let mut text = String::from("{");
        for (i, (name, field)) in self.fields.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            let digest = field.digest(id, name)?;
            text.push_str(&format!("\"{name}\":{{\"c\":\"{}\",\"d\":\"{digest}\"}}", field.class.as_str()));
        }
        text.push('}');
        Ok(Commitment::from_bytes(derive("jit-evidence/1 payload", &[text.as_bytes()])))
    }

    /// The canonical bytes as stored and as bundles carry them: `{name: {c, salt, value} | {c, digest}}`.
    ///
    /// # Errors
    /// [`PayloadError`] if a value nests too deeply or the whole is larger than [`MAX_PAYLOAD`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, PayloadError> {
        let bytes = canonical::to_bytes(self)?;
        if bytes.len() > MAX_PAYLOAD { Err(PayloadError::TooLarge) } else { Ok(bytes) }
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`PayloadError`] if they are too large, not canonical, or not a payload.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(PayloadError::TooLarge);
        }
        let payload: Self = canonical::from_slice(bytes)?;
        if payload.fields.len() > MAX_FIELDS { Err(PayloadError::TooManyFields) } else { Ok(payload) }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.fields.iter().map(|(name, field)| {
            let wire = match &field.content {
                FieldContent::Present { salt, value } => {
                    FieldWire { c: field.class, digest: None, salt: Some(*salt), value: Some(value.clone()) }
                }
                FieldContent::Absent { digest } => {
                    FieldWire { c: field.class, digest: Some(*digest), salt: None, value: None }
                }
            };
            (name, wire)
        }))
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let wires = BTreeMap::<FieldName, FieldWire>::deserialize(d)?;
        let mut fields = BTreeMap::new();
        for (name, wire) in wires {
            let content = match (wire.salt, wire.value, wire.digest) {
                (Some(salt), Some(value), None) => FieldContent::Present { salt, value },
                (None, None, Some(digest)) => FieldContent::Absent { digest },
                _ => return Err(de::Error::custom(PayloadError::FieldShape(name))),
            };
            fields.insert(name, Field { class: wire.c, content });
        }
        Payload::new(fields).map_err(de::Error::custom)
    }
}
