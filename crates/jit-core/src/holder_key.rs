//! The key that the holder of a credential proves: whoever has the credential alone cannot use it (RFC 7800).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::digest::ExternalDigest;

/// The most bytes an encoded public key may have.
pub const MAX_PUBLIC_KEY: usize = 2048;

/// Bytes are no encoded public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a DER SubjectPublicKeyInfo of at most {MAX_PUBLIC_KEY} bytes")]
pub struct HolderKeyError;

/// What a credential is bound to, named by whoever claims it and recorded with the intent to mint.
///
/// ```
/// use jit_core::{HolderKey, SubjectPublicKey};
/// # let der = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &[9; 32]].concat();
/// let bound = HolderKey::PublicKey(SubjectPublicKey::from_der(der)?);
/// # Ok::<(), jit_core::HolderKeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HolderKey {
    /// A public key: tokens carry its thumbprint (RFC 9449 section 6.1), certificates certify it.
    PublicKey(SubjectPublicKey),
    /// The SHA-256 of the certificate with which the holder opens TLS connections, in DER (RFC 8705 section 3.1).
    Certificate(ExternalDigest),
}

/// A DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7); written in base64url. That it is a usable key is for issuers to check.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectPublicKey(Vec<u8>);

impl SubjectPublicKey {
    /// A key from its encoding.
    ///
    /// # Errors
    /// [`HolderKeyError`] if that is no DER sequence, or too long.
    pub fn from_der(der: impl Into<Vec<u8>>) -> Result<Self, HolderKeyError> {
        let der = der.into();
        if der.first() == Some(&0x30) && der.len() <= MAX_PUBLIC_KEY { Ok(Self(der)) } else { Err(HolderKeyError) }
    }

    /// The encoding.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for SubjectPublicKey {
    type Error = HolderKeyError;
    fn try_from(text: String) -> Result<Self, HolderKeyError> {
        if text.len() > BASE64URL_NOPAD.encode_len(MAX_PUBLIC_KEY) {
            return Err(HolderKeyError);
        }
        Self::from_der(BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| HolderKeyError)?)
    }
}

impl From<SubjectPublicKey> for String {
    fn from(key: SubjectPublicKey) -> String {
        BASE64URL_NOPAD.encode(&key.0)
    }
}

impl fmt::Debug for SubjectPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectPublicKey({})", BASE64URL_NOPAD.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical;

    #[test]
    fn keys_are_written_and_read_and_bounded() {
        let der = [&[0x30, 0x2a][..], &[9; 42]].concat();
        let keys = [
            HolderKey::PublicKey(SubjectPublicKey::from_der(der.clone()).unwrap()),
            HolderKey::Certificate(ExternalDigest::from_bytes([7; 32])),
        ];
        for key in keys {
            let bytes = canonical::to_bytes(&key).unwrap();
            assert_eq!(canonical::from_slice::<HolderKey>(&bytes).unwrap(), key);
        }
        let text = BASE64URL_NOPAD.encode(&der);
        assert!(SubjectPublicKey::try_from(text.clone()).is_ok());
        let long = BASE64URL_NOPAD.encode(&[0x30; MAX_PUBLIC_KEY + 1]);
        for bad in [String::new(), "a".to_owned(), text.replace('C', "="), long] {
            assert_eq!(SubjectPublicKey::try_from(bad), Err(HolderKeyError));
        }
    }
}
