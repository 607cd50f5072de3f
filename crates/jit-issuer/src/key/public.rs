//! Public keys, and the one name each has.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::signature::Verifier as _;
use pkcs8::{
    DecodePublicKey as _, ObjectIdentifier,
    der::{
        self, Decode as _, Encode as _, Reader as _, SliceReader,
        asn1::{AnyRef, BitStringRef, UintRef},
    },
    spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef},
};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use sha2::{Digest as _, Sha256};

use super::{KeyAlgorithm, KeyError, SigningKey};

/// RFC 8410 section 3.
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 5480 section 2.1.1.
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 8017 appendix A.1.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// All of an Ed25519 key's `SubjectPublicKeyInfo` that stands before its point.
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The longest encoded key read; an RSA key of 8192 bits has about 1060 bytes.
const MAX_DER: usize = 2048;
/// RSA moduli are of 2048 to 8192 bits (NIST SP 800-131A).
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// The name of a key: the SHA-256 thumbprint of its public part (RFC 7638), shown in base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// A thumbprint that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

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

/// The public half of a signing key, checked to be usable.
///
/// ```
/// use jit_issuer::key::{LocalKey, PublicKey};
/// let key = LocalKey::from_ed25519_seed([7; 32]); // from a key store, never a constant
/// let public = PublicKey::of(&key)?;
/// assert_eq!(format!("{key:?}"), format!("LocalKey(Ed25519, {}, secret)", public.thumbprint()));
/// # Ok::<(), jit_issuer::key::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    der: Vec<u8>,
    parts: PublicKeyParts,
}

/// What a public key consists of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicKeyParts {
    /// The encoded point (RFC 8032 section 5.1.2), not one of small order.
    Ed25519([u8; 32]),
    /// The point, on the curve, as big-endian numbers.
    P256 {
        /// Its x coordinate.
        x: [u8; 32],
        /// Its y coordinate.
        y: [u8; 32],
    },
    /// Big-endian numbers without leading zeros; the modulus has 2048 to 8192 bits.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// A key from its DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
    ///
    /// # Errors
    /// [`KeyError::NotPublic`] if it is none of a known algorithm, or too weak.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let parts = (der.len() <= MAX_DER).then(|| parse(der)).flatten().ok_or(KeyError::NotPublic)?;
        Ok(Self { der: der.to_vec(), parts })
    }

    /// The public half of a signing key.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`], [`KeyError::OtherAlgorithm`] if the key does not keep its contract.
    pub fn of(key: &dyn SigningKey) -> Result<Self, KeyError> {
        let public = Self::from_spki_der(key.public_key())?;
        if public.algorithm() == key.algorithm() { Ok(public) } else { Err(KeyError::OtherAlgorithm(key.algorithm())) }
    }

    /// From a point that is known to be one.
    pub(super) fn from_ed25519(point: [u8; 32]) -> Self {
        Self { der: [ED25519_SPKI.as_slice(), &point].concat(), parts: PublicKeyParts::Ed25519(point) }
    }

    /// From an RSAPublicKey (RFC 8017 appendix A.1.1).
    pub(super) fn from_pkcs1(key: &[u8]) -> Option<Self> {
        let algorithm = AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) };
        let subject_public_key = BitStringRef::from_bytes(key).ok()?;
        let der = SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().ok()?;
        Self::from_spki_der(&der).ok()
    }

    /// How it verifies.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        match self.parts {
            PublicKeyParts::Ed25519(_) => KeyAlgorithm::Ed25519,
            PublicKeyParts::P256 { .. } => KeyAlgorithm::EcdsaP256Sha256,
            PublicKeyParts::Rsa { .. } => KeyAlgorithm::RsaPkcs1Sha256,
        }
    }

    /// The DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// What it consists of.
    #[must_use]
    pub fn parts(&self) -> &PublicKeyParts {
        &self.parts
    }

    /// Whether a signature as [`SigningKey::sign`] gives it is one of this key over the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.parts {
            PublicKeyParts::Ed25519(point) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(point);
                let signature = ed25519_dalek::Signature::from_slice(signature);
                key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()))
            }
            PublicKeyParts::P256 { .. } => {
                let key = p256::ecdsa::VerifyingKey::from_public_key_der(&self.der);
                let signature = p256::ecdsa::Signature::from_slice(signature);
                key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
            }
            PublicKeyParts::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }

    /// The name of the key, which tokens carry as `kid`.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        // The required members in the order and spelling of RFC 7638 section 3.2 and RFC 8037 section 2.
        let members = match &self.parts {
            PublicKeyParts::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
            PublicKeyParts::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
            }
            PublicKeyParts::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
        };
        Thumbprint(Sha256::digest(members).into())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.algorithm(), self.thumbprint())
    }
}

fn parse(der: &[u8]) -> Option<PublicKeyParts> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let key = info.subject_public_key.as_bytes()?;
    let parameters = info.algorithm.parameters;
    match info.algorithm.oid {
        ED25519 if parameters.is_none() => {
            let bytes: [u8; 32] = key.try_into().ok()?;
            let point = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok()?;
            (!point.is_weak()).then_some(PublicKeyParts::Ed25519(bytes))
        }
        EC if parameters.and_then(|any| any.decode_as().ok()) == Some(P256) => p256_parts(key),
        RSA if parameters == Some(AnyRef::NULL) => rsa_parts(key),
        _ => None,
    }
}

fn p256_parts(point: &[u8]) -> Option<PublicKeyParts> {
    p256::PublicKey::from_sec1_bytes(point).ok()?;
    // The uncompressed form (SEC 1 section 2.3.3); no other has 65 bytes.
    let coordinates = point.strip_prefix(&[4])?;
    let (x, y) = coordinates.split_first_chunk::<32>()?;
    Some(PublicKeyParts::P256 { x: *x, y: y.try_into().ok()? })
}

fn rsa_parts(der: &[u8]) -> Option<PublicKeyParts> {
    let mut reader = SliceReader::new(der).ok()?;
    let (n, e) =
        reader.sequence(|inner| Ok::<_, der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?))).ok()?;
    let (n, e) = (n.as_bytes(), e.as_bytes());
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    // As `ring` and others: an exponent of more than 33 bits only makes verifying slow.
    let usable =
        RSA_MODULUS.contains(&n.len()) && n.first()? & 0x80 != 0 && odd(n) && odd(e) && e != [1] && e.len() <= 4;
    (reader.is_finished() && usable).then(|| PublicKeyParts::Rsa { n: n.to_vec(), e: e.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let encoded = PublicKey::from_ed25519(identity);
        assert!(matches!(PublicKey::from_spki_der(encoded.as_der()), Err(KeyError::NotPublic)));
    }
}
