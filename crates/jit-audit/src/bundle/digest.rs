//! The digest that a bundle states of itself.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const PREFIX: &str = "blake3:";

/// A text is not the digest of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of the form blake3:<64 lower-case hex>")]
pub struct BundleDigestError;

/// `derive_key("jit-bundle/1", canonical(bundle without digest and envelope))` (evidence format, section 7). It notices
/// accidents; whoever changes a bundle on purpose computes it anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BundleDigest([u8; 32]);

impl BundleDigest {
    pub(super) fn of(canonical: &[u8]) -> Self {
        Self(blake3::derive_key("jit-bundle/1", canonical))
    }
}

impl fmt::Display for BundleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for BundleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BundleDigest {
    type Err = BundleDigestError;
    fn from_str(text: &str) -> Result<Self, BundleDigestError> {
        let hex = text.strip_prefix(PREFIX).ok_or(BundleDigestError)?;
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| BundleDigestError)?;
        bytes.try_into().map(Self).map_err(|_| BundleDigestError)
    }
}

impl Serialize for BundleDigest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BundleDigest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
