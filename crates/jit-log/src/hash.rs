//! The 32-byte SHA-256 hashes of the tree and their two hash rules (RFC 6962 section 2.1).

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::base64;

/// A SHA-256 hash in the tree: of a leaf, of an inner node, or a root.
///
/// Displayed as 64 lower-case hex digits; notes and proofs carry it as padded base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Root of the empty tree: SHA-256 of the empty string (RFC 6962 section 2.1).
    pub const EMPTY_ROOT: Hash = Hash([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// Length of a hash in bytes.
    pub const LEN: usize = 32;

    /// Wraps 32 bytes that are already a hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes exactly 32 bytes.
    ///
    /// # Errors
    ///
    /// [`HashError::Length`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, HashError> {
        let array = bytes.try_into().map_err(|_| HashError::Length { bytes: bytes.len() })?;
        Ok(Self(array))
    }

    /// Parses 64 lower-case hex digits.
    ///
    /// # Errors
    ///
    /// [`HashError::Hex`] for anything else, upper-case digits included.
    pub fn from_hex(text: &str) -> Result<Self, HashError> {
        let bytes = if text.len() == 64 { HEXLOWER.decode(text.as_bytes()).ok() } else { None };
        bytes.and_then(|bytes| Self::from_slice(&bytes).ok()).ok_or(HashError::Hex)
    }

    /// Parses 44 characters of padded standard base64 (RFC 4648 section 4) with zero trailing bits.
    ///
    /// # Errors
    ///
    /// [`HashError::Base64`] for anything else.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let bytes = if text.len() == 44 { base64::decode(text) } else { None };
        bytes.and_then(|bytes| Self::from_slice(&bytes).ok()).ok_or(HashError::Base64)
    }

    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// 44 characters of padded standard base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hash of a leaf: `SHA-256(0x00 ‖ data)` (RFC 6962 section 2.1).
///
/// ```
/// use jit_log::leaf_hash;
///
/// assert_eq!(
///     leaf_hash(b"").to_hex(),
///     "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
/// );
/// ```
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x00]);
    hasher.update(data);
    Hash(hasher.finalize().into())
}

/// Hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)` (RFC 6962 section 2.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x01]);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

/// Why bytes or text are not a [`Hash`](struct@Hash).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The byte string is not 32 bytes long.
    #[error("a hash is 32 bytes, not {bytes}")]
    Length {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The text is not 64 lower-case hex digits.
    #[error("a hash in hex is 64 lower-case hex digits")]
    Hex,
    /// The text is not the canonical base64 of 32 bytes.
    #[error("a hash in base64 is 44 characters of canonical padded base64")]
    Base64,
}
