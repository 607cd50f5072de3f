//! Bundles: one file that proves one case to a stranger.

mod digest;
mod parts;

use std::collections::BTreeMap;

pub use digest::{BundleDigest, BundleDigestError};
use jit_core::{
    LeafHash, Line, PolicyDigest,
    canonical::{self, CanonicalError, Value},
};
pub use parts::{BundleFormat, BundleLog, BundleRecord, Exclusion, Manifest, Scope, Tool};
use serde::{
    Deserialize, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.jit.bundle+json";
/// The most bytes a bundle may have, 64 MiB.
pub const MAX_BUNDLE: usize = 64 << 20;
/// The keys that a bundle may have.
const KEYS: [&str; 13] = [
    "derived_from",
    "digest",
    "envelope",
    "format",
    "inputs",
    "limits",
    "logs",
    "manifest",
    "policies",
    "records",
    "renewals",
    "scope",
    "stream_proofs",
];
/// As much of an unknown key as an error repeats, in characters.
const SHOWN_KEY: usize = 64;

/// Bytes are not a bundle of version 1, or a bundle cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Too many bytes.
    #[error("bundle is larger than {MAX_BUNDLE} bytes")]
    TooLarge,
    /// A top-level key that version 1 does not have.
    #[error("version 1 has no top-level key {key:?}")]
    UnknownKey {
        /// The key, cut to 64 characters.
        key: String,
    },
    /// Not canonical JSON, or not the shape of a bundle.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// A bundle, `application/vnd.jit.bundle+json`. Reading one proves nothing; [`verify`](crate::verify()) does.
///
/// ```
/// use jit_audit::{Bundle, BundleError};
///
/// assert!(matches!(Bundle::parse(b"{\"colour\":1}"), Err(BundleError::UnknownKey { .. })));
/// assert!(Bundle::parse(b"{}").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The format.
    pub format: BundleFormat,
    /// The question it answers.
    pub scope: Scope,
    /// The logs, with their checkpoints.
    pub logs: Vec<BundleLog>,
    /// The records, ascending by log and index.
    pub records: Vec<BundleRecord>,
    /// The policy snapshots that decisions cite: digest → manifest and files.
    pub policies: BTreeMap<PolicyDigest, Value>,
    /// Inputs of decisions, by the leaf of the decision, where they are not in a field. Read by nothing in this version.
    pub inputs: BTreeMap<LeafHash, Value>,
    /// Consistency proofs for retired keys. Read by nothing in this version.
    pub renewals: Option<Value>,
    /// Reserved.
    pub stream_proofs: Option<Value>,
    /// What whoever exported it says it holds.
    pub manifest: Manifest,
    /// What it does not prove, in words.
    pub limits: Vec<Line>,
    /// The digest of the bundle that this one withholds from.
    pub derived_from: Option<BundleDigest>,
    /// What the bytes that were read state; written anew by [`Bundle::to_bytes`].
    digest: BundleDigest,
    /// A signature of whoever exported it. Read by nothing in this version.
    pub envelope: Option<Value>,
}

/// What every bundle has.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    pub(crate) scope: Scope,
    pub(crate) log: BundleLog,
    pub(crate) records: Vec<BundleRecord>,
    pub(crate) policies: BTreeMap<PolicyDigest, Value>,
    pub(crate) manifest: Manifest,
    pub(crate) limits: Vec<Line>,
}

impl Bundle {
    pub(crate) fn new(contents: Contents) -> Result<Self, BundleError> {
        let mut bundle = Self {
            format: BundleFormat::V1,
            scope: contents.scope,
            logs: vec![contents.log],
            records: contents.records,
            policies: contents.policies,
            inputs: BTreeMap::new(),
            renewals: None,
            stream_proofs: None,
            manifest: contents.manifest,
            limits: contents.limits,
            derived_from: None,
            digest: BundleDigest::of(&[]),
            envelope: None,
        };
        bundle.digest = bundle.computed_digest()?;
        Ok(bundle)
    }

    /// Reads a bundle. The bytes must be canonical and have no top-level key but those of version 1.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(BundleError::TooLarge);
        }
        canonical::recognise(bytes)?;
        if let Ok(keys) = serde_json::from_slice::<Keys>(bytes)
            && let Some(key) = keys.0.into_iter().find(|key| !KEYS.contains(&key.as_str()))
        {
            return Err(BundleError::UnknownKey { key: key.chars().take(SHOWN_KEY).collect() });
        }
        Ok(canonical::from_slice(bytes)?)
    }

    /// The canonical bytes, with the digest of what is in them now.
    ///
    /// # Errors
    /// [`BundleError`] if a value nests too deeply or the whole is larger than [`MAX_BUNDLE`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        let digest = self.computed_digest()?;
        let Value::Object(mut object) = canonical::to_value(self)? else {
            return Err(CanonicalError::Serialize.into());
        };
        object.remove("digest");
        object.insert("digest", canonical::to_value(&digest)?)?;
        let bytes = Value::Object(object).to_bytes()?;
        if bytes.len() > MAX_BUNDLE { Err(BundleError::TooLarge) } else { Ok(bytes) }
    }

    /// The digest that the bundle states of itself.
    #[must_use]
    pub fn digest(&self) -> BundleDigest {
        self.digest
    }

    /// The digest of what is in the bundle; another than it states means that it was damaged, or changed without care.
    ///
    /// # Errors
    /// [`BundleError::Canonical`] if a value nests too deeply.
    pub fn computed_digest(&self) -> Result<BundleDigest, BundleError> {
        let Value::Object(mut object) = canonical::to_value(self)? else {
            return Err(CanonicalError::Serialize.into());
        };
        object.remove("digest");
        object.remove("envelope");
        Ok(BundleDigest::of(&Value::Object(object).to_bytes()?))
    }
}

/// The keys of a JSON object, without its values.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry()? {
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}
