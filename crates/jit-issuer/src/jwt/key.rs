//! Ed25519 keys for tokens, and how they are published (RFC 8037, RFC 7517, RFC 7638).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use jit_core::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// The name of a key: the SHA-256 thumbprint of its public part (RFC 7638), shown in base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes are not a usable Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Ed25519 public key")]
pub struct JwtKeyError;

/// The public part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwtPublicKey([u8; 32]);

impl JwtPublicKey {
    /// A key from its 32 bytes (RFC 8032 section 5.1.2).
    ///
    /// # Errors
    /// [`JwtKeyError`] if they are no point of the curve, or one of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, JwtKeyError> {
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(JwtKeyError),
        }
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name of the key, which tokens carry as `kid`.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        // The required members in the order and spelling of RFC 7638 section 3.2.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL_NOPAD.encode(&self.0));
        Thumbprint(Sha256::digest(members).into())
    }
}

/// A private signing key. Erased from memory when dropped, never shown.
///
/// ```
/// use jit_issuer::jwt::JwtKey;
/// let key = JwtKey::from_seed([7; 32]); // from a key store, never a constant
/// assert_eq!(format!("{key:?}"), format!("JwtKey({}, secret)", key.public().thumbprint()));
/// ```
pub struct JwtKey {
    key: SigningKey,
    not_after: Option<Timestamp>,
}

impl JwtKey {
    /// A key from its 32-byte seed (RFC 8032 section 5.1.5).
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self { key, not_after: None }
    }

    /// Lets no token live past the end of the key.
    #[must_use]
    pub fn with_not_after(mut self, not_after: Timestamp) -> Self {
        self.not_after = Some(not_after);
        self
    }

    /// The end of the key, if it has one.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> JwtPublicKey {
        JwtPublicKey(self.key.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtKey({}, secret)", self.public().thumbprint())
    }
}

/// A JWK Set (RFC 7517 section 5): the keys under which tokens verify. Serialises to the document to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

impl Jwks {
    pub(super) fn new<'a>(keys: impl IntoIterator<Item = &'a JwtPublicKey>) -> Self {
        let jwk = |key: &JwtPublicKey| Jwk {
            kty: "OKP",
            crv: "Ed25519",
            x: BASE64URL_NOPAD.encode(key.as_bytes()),
            kid: key.thumbprint().to_string(),
            usage: "sig",
            alg: "EdDSA",
        };
        Self { keys: keys.into_iter().map(jwk).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.1 to A.3.
    #[test]
    fn the_thumbprint_of_the_rfc_is_reproduced() {
        let seed = BASE64URL_NOPAD.decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let public = JwtKey::from_seed(seed.try_into().unwrap()).public();
        assert_eq!(BASE64URL_NOPAD.encode(public.as_bytes()), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(public.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(JwtPublicKey::from_bytes(identity), Err(JwtKeyError));
    }
}
