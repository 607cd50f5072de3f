//! What kind of token an issuer makes: which rules of which standard it keeps.

use jit_core::{Code, ExternalId, HolderKey, Principal, PrincipalId, Scope, code};

use super::claims::Confirmation;
use crate::key::{KeyAlgorithm, PublicKey};

/// The kind of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Profile {
    /// `typ` is `JWT`, and any key signs. The subject is a person, service or workload.
    #[default]
    Grant,
    /// An OAuth 2.0 access token (RFC 9068): `typ` is `at+jwt`, and `client_id` is the service, workload or agent that asked.
    AccessToken {
        /// The client id of the software through which people ask.
        client: ExternalId,
    },
    /// A JWT-SVID (SPIFFE): the subject is a workload and nobody else, and no key signs with EdDSA.
    JwtSvid,
}

/// A schedule has a key that tokens of a profile cannot be signed with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tokens of this profile are not signed with {algorithm:?}")]
pub struct ProfileError {
    /// How the key signs.
    pub algorithm: KeyAlgorithm,
}

impl Profile {
    /// JWT-SVID specification, section 2.1.
    pub(super) fn allows(&self, algorithm: KeyAlgorithm) -> bool {
        !matches!((self, algorithm), (Self::JwtSvid, KeyAlgorithm::Ed25519))
    }

    pub(super) fn typ(&self) -> &'static str {
        match self {
            Self::Grant | Self::JwtSvid => "JWT",
            Self::AccessToken { .. } => "at+jwt",
        }
    }

    /// The `sub` claim. The two forms never collide: `issuer|subject` has a bar, a SPIFFE id has none.
    pub(super) fn subject(&self, subject: &PrincipalId) -> Result<String, Code> {
        match (self, subject) {
            (_, PrincipalId::Workload(_)) | (Self::Grant | Self::AccessToken { .. }, PrincipalId::Identity(_)) => {
                Ok(subject.to_string())
            }
            (Self::JwtSvid, _) => Err(code!("subject_not_workload")),
            _ => Err(code!("subject_cannot_hold")),
        }
    }

    /// RFC 8693 section 4.3.
    pub(super) fn client(&self, requester: &Principal) -> Option<String> {
        let Self::AccessToken { client } = self else { return None };
        Some(match requester {
            Principal::Human { .. } => client.to_string(),
            other => other.id().to_string(),
        })
    }

    /// The actions, where all of them are scope tokens (RFC 6749 section 3.3).
    pub(super) fn scope(&self, scope: &Scope) -> Option<String> {
        let is_token = |text: &str| text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        let actions: Vec<&str> = scope.actions().iter().map(jit_core::Action::as_str).collect();
        let fits = matches!(self, Self::AccessToken { .. }) && actions.iter().all(|action| is_token(action));
        fits.then(|| actions.join(" "))
    }
}

/// The `cnf` claim for the key of a holder, if a token can be bound to it.
pub(super) fn confirmation(key: Option<&HolderKey>) -> Result<Option<Confirmation>, Code> {
    match key {
        None => Ok(None),
        Some(HolderKey::PublicKey(key)) => match PublicKey::from_spki_der(key.as_der()) {
            Ok(key) => Ok(Some(Confirmation::Jkt(key.thumbprint().to_string()))),
            Err(_) => Err(code!("holder_key_unusable")),
        },
        Some(HolderKey::Certificate(digest)) => Ok(Some(Confirmation::certificate(digest))),
        Some(_) => Err(code!("cannot_bind")),
    }
}
