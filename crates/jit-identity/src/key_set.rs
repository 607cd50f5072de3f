//! The keys of an issuer, as it publishes them (RFC 7517). Fetching them is the caller's.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};

use crate::{
    algorithm::{Algorithm, KeyType},
    error::{KeySetError, TokenError},
    json::{Json, Members},
};

/// The most bytes a key set may have.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// The most keys in a set.
const MAX_KEYS: usize = 256;
/// RSA moduli of 2048 to 8192 bits.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// The public keys of one issuer, in memory. Key types and curves that are not known are passed over (RFC 7517 section 5), as are
/// keys for encryption; a private or shared key is an error.
///
/// ```
/// use jit_identity::KeySet;
/// let keys = KeySet::parse(br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k-1","use":"sig","alg":"EdDSA",
///   "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#)?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), jit_identity::KeySetError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeySet(Vec<Key>);

/// For what a key is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Signatures of tokens; also when nothing is said.
    Signatures,
    /// Signatures of JWT-SVIDs alone (SPIFFE trust domain and bundle, section 4.2.2).
    JwtSvid,
}

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    usage: Option<Usage>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl KeySet {
    /// Reads a JWK Set.
    ///
    /// # Errors
    /// [`KeySetError`] if it is none, has a malformed, weak or secret key, or no key that is of use.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        if bytes.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let set = Members::parse(bytes).map_err(|_| KeySetError::Malformed)?;
        let Some(Json::Array(items)) = set.get("keys") else { return Err(KeySetError::Malformed) };
        if items.len() > MAX_KEYS {
            return Err(KeySetError::TooLarge);
        }
        let mut keys: Vec<Key> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Json::Object(members) = item else { return Err(KeySetError::Malformed) };
            let Some(key) = Key::read(members, index)? else { continue };
            let same = |other: &Key| other.id == key.id && other.material.key_type() == key.material.key_type();
            if key.id.is_some() && keys.iter().any(same) {
                return Err(KeySetError::Repeated { index });
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// How many keys of it can verify.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a set without a key does not parse.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies a signature with the key of this id; without one, with the only key that there is.
    pub(crate) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        usage: Usage,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let mut named: Box<dyn Iterator<Item = &Key>> = match (id, self.0.as_slice()) {
            (Some(id), keys) => Box::new(keys.iter().filter(move |key| key.id.as_deref() == Some(id))),
            (None, [only]) => Box::new(std::iter::once(only)),
            (None, _) => return Err(TokenError::NoKeyId),
        };
        let first = named.next().ok_or(TokenError::UnknownKey)?;
        let fitting = std::iter::once(first).chain(named).find(|key| key.fits(algorithm, usage));
        if fitting.ok_or(TokenError::WrongKey)?.verifies(algorithm, message, signature) {
            Ok(())
        } else {
            Err(TokenError::Signature)
        }
    }
}

impl Key {
    fn read(members: &Members, index: usize) -> Result<Option<Self>, KeySetError> {
        let bad = KeySetError::Key { index };
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(KeySetError::Key { index }),
        };
        let kty = text("kty")?.ok_or(KeySetError::Malformed)?;
        // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.
        if kty == "oct" || ["d", "k", "p", "q", "dp", "dq", "qi", "oth"].into_iter().any(|m| members.contains(m)) {
            return Err(KeySetError::Secret { index });
        }
        let usage = match text("use")? {
            None => None,
            Some("sig") => Some(Usage::Signatures),
            Some("jwt-svid") => Some(Usage::JwtSvid),
            Some(_) => return Ok(None),
        };
        match members.get("key_ops") {
            None => {}
            Some(Json::Array(ops)) if ops.iter().any(|op| matches!(op, Json::Text(op) if op == "verify")) => {}
            Some(Json::Array(_)) => return Ok(None),
            Some(_) => return Err(bad),
        }
        let bytes = |name: &str| -> Result<Vec<u8>, KeySetError> {
            let text = text(name)?.ok_or(KeySetError::Key { index })?;
            BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| KeySetError::Key { index })
        };
        let point = |length: usize| -> Result<Vec<u8>, KeySetError> {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != length || y.len() != length {
                return Err(KeySetError::Key { index });
            }
            // The uncompressed form (SEC 1 section 2.3.3).
            Ok([&[4], x.as_slice(), y.as_slice()].concat())
        };
        let material = match (kty, text("crv")?) {
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x")?),
            ("RSA", _) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
            _ => return Ok(None),
        };
        if !material.is_usable() {
            return Err(bad);
        }
        // A key for an algorithm that is not known verifies nothing here.
        let algorithm = match text("alg")? {
            None => None,
            Some(name) => match Algorithm::from_name(name) {
                Some(algorithm) => Some(algorithm),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { id: text("kid")?.map(str::to_owned), algorithm, usage, material }))
    }

    fn fits(&self, algorithm: Algorithm, usage: Usage) -> bool {
        self.material.key_type() == algorithm.key_type()
            && self.algorithm.is_none_or(|own| own == algorithm)
            && self.usage.is_none_or(|own| own == usage)
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::P256(key) | Material::P384(key) | Material::Ed25519(key) => algorithm
                .simple()
                .is_some_and(|simple| UnparsedPublicKey::new(simple, key).verify(message, signature).is_ok()),
            Material::Rsa { n, e } => algorithm.rsa().is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
        }
    }
}

impl Material {
    fn key_type(&self) -> KeyType {
        match self {
            Self::P256(_) => KeyType::P256,
            Self::P384(_) => KeyType::P384,
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::Rsa { .. } => KeyType::Rsa,
        }
    }

    fn is_usable(&self) -> bool {
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        match self {
            // Whether a point is on its curve is found out when it verifies.
            Self::P256(_) | Self::P384(_) => true,
            Self::Ed25519(key) => key.len() == 32,
            Self::Rsa { n, e } => {
                RSA_MODULUS.contains(&n.len())
                    && n.first().is_some_and(|byte| byte & 0x80 != 0)
                    && odd(n)
                    && odd(e)
                    && *e != [1]
                    && e.first() != Some(&0)
                    && e.len() <= 4
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(keys: &str) -> Result<usize, KeySetError> {
        KeySet::parse(format!("{{\"keys\":[{keys}]}}").as_bytes()).map(|set| set.len())
    }

    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn what_is_foreign_is_passed_over_and_what_is_secret_refused() {
        assert_eq!(parse(ED), Ok(1));
        assert_eq!(parse(&format!(r#"{ED},{{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}}"#)), Ok(1));
        assert_eq!(parse(&format!(r#"{ED},{{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}}"#)), Ok(1));
        assert_eq!(parse(&format!(r#"{ED},{{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}}"#)), Ok(1));
        assert_eq!(parse(&format!("{ED},{ED}")), Err(KeySetError::Repeated { index: 1 }));
        assert_eq!(parse(r#"{"kty":"oct","k":"AAAA"}"#), Err(KeySetError::Secret { index: 0 }));
        let private = ED.replace("\"kid\"", "\"d\":\"AA\",\"kid\"");
        assert_eq!(parse(&private), Err(KeySetError::Secret { index: 0 }));
        assert_eq!(
            parse(&format!(r#"{ED},{{"kty":"RSA","n":"AQAB","e":"AQAB"}}"#)),
            Err(KeySetError::Key { index: 1 })
        );
        assert_eq!(parse(r#"{"kty":"EC","crv":"P-521"}"#), Err(KeySetError::Empty));
        assert_eq!(parse("7"), Err(KeySetError::Malformed));
        assert!(matches!(KeySet::parse(&vec![b' '; MAX_KEY_SET_BYTES + 1]), Err(KeySetError::TooLarge)));
    }
}
