//! Why a token, a certificate or a key set is refused. Never holds any of it.

use jit_core::{Code, MAX_CHAIN, Timestamp, code};

use crate::{key_set::MAX_KEY_SET_BYTES, token::MAX_TOKEN_BYTES};

/// A token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// More bytes than any token needs.
    #[error("token is larger than {MAX_TOKEN_BYTES} bytes")]
    TooLarge,
    /// Not a JWS in compact form with JSON inside (RFC 7515 section 3.1).
    #[error("token is no signed token in compact form")]
    Malformed,
    /// A member stands there twice, so that two readers may read two tokens.
    #[error("token has a member twice")]
    Repeated,
    /// It is encrypted, or holds another token (RFC 7519 appendix A.2).
    #[error("token is encrypted or nested")]
    Nested,
    /// Its header has a parameter that changes how it is read or names its own key: `crit`, `b64`, `zip`, `jwk`, `jku`, `x5c`, `x5u`;
    /// or, in a JWT-SVID, any but `alg`, `kid` and `typ`; or one is not a text that it can be.
    #[error("token has a header parameter that is not allowed")]
    Header,
    /// It is not signed (`alg` is `none`).
    #[error("token is not signed")]
    Unsigned,
    /// It is signed with a shared secret, an unknown algorithm, or one that is not accepted here.
    #[error("token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// Its `typ` is that of another kind of token.
    #[error("token is not of type {expected}")]
    Type {
        /// What was expected.
        expected: &'static str,
    },
    /// It names no key, and the issuer has several.
    #[error("token names no key")]
    NoKeyId,
    /// It names a key that the issuer does not have.
    #[error("token is signed with a key that is not known")]
    UnknownKey,
    /// The key it names is not for this algorithm or this use.
    #[error("the key that the token names is not for its algorithm or use")]
    WrongKey,
    /// The signature does not verify.
    #[error("signature of the token does not verify")]
    Signature,
    /// A claim that must be there is not.
    #[error("token has no claim {0}")]
    Missing(&'static str),
    /// A claim has another type or content than it may have.
    #[error("claim {0} of the token is not acceptable")]
    Claim(&'static str),
    /// Somebody else issued it.
    #[error("token is from another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("token is for another audience")]
    Audience,
    /// It is over.
    #[error("token expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It is not valid yet.
    #[error("token is not valid before {at}")]
    NotYetValid {
        /// From when on.
        at: Timestamp,
    },
    /// It says that it was issued in the future.
    #[error("token is issued in the future, at {at}")]
    IssuedInFuture {
        /// When.
        at: Timestamp,
    },
    /// It was issued too long ago, or lives too long.
    #[error("token is older, or lives longer, than is accepted")]
    TooOld,
    /// It answers another authentication request (OpenID Connect Core section 3.1.3.7, 11).
    #[error("token has another nonce")]
    Nonce,
    /// More actors than a chain may have.
    #[error("token has more than {MAX_CHAIN} actors")]
    ChainTooDeep,
    /// An actor stands there twice, or is the subject.
    #[error("token names an actor twice")]
    ChainLoop,
    /// The SPIFFE id is of another trust domain.
    #[error("token is of another trust domain")]
    TrustDomain,
    /// It names somebody of an issuer or trust domain for which its issuer does not speak.
    #[error("token names somebody for whom its issuer does not speak")]
    NotItsOwn,
}

impl TokenError {
    /// A stable code for records.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge => code!("token_too_large"),
            Self::Malformed => code!("token_malformed"),
            Self::Repeated => code!("token_repeated_member"),
            Self::Nested => code!("token_nested"),
            Self::Header => code!("token_header"),
            Self::Unsigned => code!("token_unsigned"),
            Self::Algorithm => code!("token_algorithm"),
            Self::Type { .. } => code!("token_type"),
            Self::NoKeyId => code!("token_no_key_id"),
            Self::UnknownKey => code!("token_unknown_key"),
            Self::WrongKey => code!("token_wrong_key"),
            Self::Signature => code!("token_signature"),
            Self::Missing(_) => code!("token_claim_missing"),
            Self::Claim(_) => code!("token_claim"),
            Self::Issuer => code!("token_issuer"),
            Self::Audience => code!("token_audience"),
            Self::Expired { .. } => code!("token_expired"),
            Self::NotYetValid { .. } => code!("token_not_yet_valid"),
            Self::IssuedInFuture { .. } => code!("token_issued_in_future"),
            Self::TooOld => code!("token_too_old"),
            Self::Nonce => code!("token_nonce"),
            Self::ChainTooDeep => code!("token_chain_too_deep"),
            Self::ChainLoop => code!("token_chain_loop"),
            Self::TrustDomain => code!("token_trust_domain"),
            Self::NotItsOwn => code!("token_not_its_own"),
        }
    }
}

/// A key set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// More bytes than any key set needs.
    #[error("key set is larger than {MAX_KEY_SET_BYTES} bytes")]
    TooLarge,
    /// Not a JWK Set (RFC 7517 section 5).
    #[error("not a jwk set")]
    Malformed,
    /// A key that is understood is malformed or too weak.
    #[error("key {index} of the set is malformed or too weak")]
    Key {
        /// Its place in the set.
        index: usize,
    },
    /// A key is private or shared: it should not be here, and whoever sees the set could sign.
    #[error("key {index} of the set is secret")]
    Secret {
        /// Its place in the set.
        index: usize,
    },
    /// Two keys of the same type have the same id.
    #[error("key {index} of the set has the id of another")]
    Repeated {
        /// Its place in the set.
        index: usize,
    },
    /// No key of the set can verify a signature.
    #[error("key set has no key that verifies signatures")]
    Empty,
}
