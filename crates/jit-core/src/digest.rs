//! Digests under the names of their algorithm, one type per position, so that none can stand in for another.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use jit_log::Hash;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// A text is not a digest in the form `<algorithm>:<64 lower-case hex>` (evidence format, section 2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of the form {expected}:<64 lower-case hex>")]
pub struct DigestError {
    /// The algorithm name expected in this position.
    pub expected: &'static str,
}

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the 32 bytes of a digest.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, ":"))?;
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;
            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.strip_prefix(concat!($prefix, ":"))
                    .and_then(decode_hex32)
                    .map(Self)
                    .ok_or(DigestError { expected: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

digests! {
    /// The leaf hash of a record, `SHA-256(0x00 ‖ header bytes)` (RFC 6962 section 2.1): how one record names another.
    LeafHash = "sha256";
    /// The digest of one payload field under its salt (evidence format, section 4).
    FieldDigest = "blake3";
    /// The commitment of a header to its payload (evidence format, section 4).
    Commitment = "blake3";
    /// The digest of a policy snapshot's manifest (evidence format, section 5).
    PolicyDigest = "blake3";
    /// The digest of a file inside a policy snapshot.
    FileDigest = "blake3";
    /// The salted name of an attachment (evidence format, section 4).
    AttachmentDigest = "blake3";
    /// The digest of something outside the log: an event, a ticket text, a token. Made by whoever names it.
    ExternalDigest = "sha256";
}

impl ExternalDigest {
    /// The SHA-256 digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl LeafHash {
    /// The hash as the tree knows it.
    #[must_use]
    pub fn to_hash(self) -> Hash {
        Hash::from_bytes(self.0)
    }
}

impl From<Hash> for LeafHash {
    fn from(hash: Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

pub(crate) fn decode_hex32(text: &str) -> Option<[u8; 32]> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

/// BLAKE3 `derive_key` over the concatenation of `parts`, under a context string fixed by the digest's position.
pub(crate) fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_strict() {
        let digest = LeafHash::from_bytes([0xab; 32]);
        assert_eq!(digest.to_string().parse::<LeafHash>(), Ok(digest));
        assert!(digest.to_string().to_uppercase().parse::<LeafHash>().is_err());
        assert!(digest.to_string().parse::<PolicyDigest>().is_err());
        assert!("sha256:ab".parse::<LeafHash>().is_err());
    }
}
