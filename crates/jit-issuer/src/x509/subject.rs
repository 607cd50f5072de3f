//! Whose key a certificate is for: one made here, or one that its holder made and keeps.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jit_core::{Code, Entropy, code};
use x509_cert::{
    der::{Decode as _, Document, Encode as _},
    request::CertReq,
};
use zeroize::Zeroizing;

use super::signed::Signed;
use crate::{
    MintAuthorization, MintError,
    key::{KeyAlgorithm, LocalKey, PublicKey},
};

/// The most bytes of a request that are read.
pub const MAX_REQUEST: usize = 16_384;

/// Bytes are not a public key that its holder has shown to have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectKeyError {
    /// The request is longer than [`MAX_REQUEST`].
    #[error("certificate request is longer than {MAX_REQUEST} bytes")]
    TooLong,
    /// The bytes are no request (RFC 2986).
    #[error("not a certificate request")]
    Malformed,
    /// The key is of no known algorithm, or too weak: Ed25519, P-256 and RSA of at least 2048 bits are known.
    #[error("public key is of no known algorithm, or too weak")]
    Unusable,
    /// The request is not signed with its own key.
    #[error("certificate request is not signed with its own key")]
    WrongSignature,
}

/// The public key of a subject who keeps the private one (RFC 5280 section 4.1.2.7).
///
/// ```
/// use jit_issuer::x509::{SubjectKey, SubjectKeyError};
/// assert_eq!(SubjectKey::from_csr_pem("anything else"), Err(SubjectKeyError::Malformed));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubjectKey(PublicKey);

impl SubjectKey {
    /// The key of a DER certificate request (RFC 2986) that is signed with it. The subject, the names and the attributes that the
    /// request asks for are not looked at.
    ///
    /// # Errors
    /// [`SubjectKeyError`] naming what is wrong.
    pub fn from_csr_der(der: &[u8]) -> Result<Self, SubjectKeyError> {
        if der.len() > MAX_REQUEST {
            return Err(SubjectKeyError::TooLong);
        }
        let request = CertReq::from_der(der).map_err(|_| SubjectKeyError::Malformed)?;
        let key = request.info.public_key.to_der().map_err(|_| SubjectKeyError::Malformed)?;
        let key = Self::from_spki_der(&key)?;
        let signed = Signed::parse(der).ok_or(SubjectKeyError::Malformed)?;
        if signed.is_by(key.0.as_der()) { Ok(key) } else { Err(SubjectKeyError::WrongSignature) }
    }

    /// The same of a request in PEM (RFC 7468).
    ///
    /// # Errors
    /// [`SubjectKeyError`] naming what is wrong.
    pub fn from_csr_pem(pem: &str) -> Result<Self, SubjectKeyError> {
        if pem.len() > 2 * MAX_REQUEST {
            return Err(SubjectKeyError::TooLong);
        }
        match Document::from_pem(pem) {
            Ok(("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST", document)) => {
                Self::from_csr_der(document.as_bytes())
            }
            _ => Err(SubjectKeyError::Malformed),
        }
    }

    /// The key of a DER `SubjectPublicKeyInfo`, from someone who was asked elsewhere to show that they have the private one.
    ///
    /// # Errors
    /// [`SubjectKeyError::Unusable`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, SubjectKeyError> {
        PublicKey::from_spki_der(der).map(Self).map_err(|_| SubjectKeyError::Unusable)
    }

    /// The key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.0
    }
}

/// Knows the keys of subjects: a service that takes their certificate requests, for example.
#[async_trait]
pub trait SubjectKeys: Send + Sync + fmt::Debug {
    /// The key for the credential that is about to be minted. It must come from the authorisation's
    /// [`subject`](MintAuthorization::subject) itself. Cancellation-safe.
    ///
    /// # Errors
    /// A code for the record if there is none.
    async fn subject_key(&self, authorization: &MintAuthorization) -> Result<SubjectKey, Code>;
}

/// The key that whoever claims the credential named, if it can be certified.
pub(super) fn named(key: Option<&jit_core::HolderKey>) -> Result<Option<SubjectKey>, Code> {
    match key {
        None => Ok(None),
        Some(jit_core::HolderKey::PublicKey(key)) => {
            SubjectKey::from_spki_der(key.as_der()).map(Some).map_err(|_| code!("holder_key_unusable"))
        }
        Some(_) => Err(code!("cannot_bind")),
    }
}

/// Where the keys of certificates come from, if the authorisation names none.
pub(super) enum Keys {
    Made { algorithm: KeyAlgorithm },
    Held(Arc<dyn SubjectKeys>),
}

/// A key to certify.
pub(super) struct Subject {
    pub(super) public: PublicKey,
    /// PKCS#8 in PEM, if the key was made here.
    pub(super) private: Option<Zeroizing<String>>,
}

impl Keys {
    pub(super) async fn subject(
        &self,
        authorization: &MintAuthorization,
        entropy: &dyn Entropy,
    ) -> Result<Subject, MintError> {
        let named = named(authorization.holder_key()).map_err(|cause| MintError::Refused { cause })?;
        if let Some(key) = named {
            return Ok(Subject { public: key.0, private: None });
        }
        match self {
            Self::Made { algorithm } => {
                let failed = |_| MintError::Failed { cause: code!("no_key_made") };
                let key = LocalKey::generate(*algorithm, entropy).map_err(failed)?;
                let private = Some(key.to_pkcs8_pem().map_err(failed)?);
                Ok(Subject { public: key.public().clone(), private })
            }
            Self::Held(keys) => {
                let key = keys.subject_key(authorization).await.map_err(|cause| MintError::Failed { cause })?;
                Ok(Subject { public: key.0, private: None })
            }
        }
    }
}
