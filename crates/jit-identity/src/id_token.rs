//! OpenID Connect id tokens (OpenID Connect Core 1.0, sections 2 and 3.1.3.7): people.

use jit_core::{ExternalId, Identity, Principal, PrincipalId, Timestamp, code};

use crate::{
    error::TokenError,
    issuer::{Profile, TokenIssuer},
    json::Json,
    token::Typ,
    verified::Verified,
};

/// A person whom an identity provider authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdToken {
    /// The person, by issuer and subject; never by a name or address.
    pub identity: Identity,
    /// When they were authenticated (`auth_time`), if the provider says so.
    pub authenticated_at: Option<Timestamp>,
    /// How strongly (`acr`), if the provider says so.
    pub context: Option<ExternalId>,
}

impl IdToken {
    /// The person.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::human(self.identity.clone())
    }
}

impl TokenIssuer {
    /// Verifies an id token; the audience is the broker's client id. `nonce` is the one of the authentication request, if it had one.
    ///
    /// That the person was authenticated for this request is the caller's to see to: an id token is a bearer token.
    ///
    /// # Errors
    /// [`TokenError`] with the first rule that it breaks.
    pub fn id_token(&self, token: &str, nonce: Option<&str>, now: Timestamp) -> Result<Verified<IdToken>, TokenError> {
        let profile = Profile { kind: code!("oidc_id_token"), typ: Typ::Plain, anonymous: false, actors: false };
        let admitted = self.admit(profile, token, now)?;
        let claims = admitted.claims();
        let several = matches!(claims.get("aud"), Some(Json::Array(all)) if all.len() > 1);
        match claims.text("azp")? {
            Some(party) if party != self.audience().as_str() => return Err(TokenError::Audience),
            None if several => return Err(TokenError::Missing("azp")),
            _ => {}
        }
        if nonce.is_some() && claims.text("nonce")? != nonce {
            return Err(TokenError::Nonce);
        }
        let PrincipalId::Identity(identity) = &admitted.subject else { return Err(TokenError::Claim("sub")) };
        let seconds = claims.seconds("auth_time")?;
        let micros = seconds.map(|s| s.checked_mul(jit_core::MICROS_PER_SECOND).ok_or(TokenError::Claim("auth_time")));
        let authenticated_at = micros.transpose()?.map(Timestamp::from_micros).transpose();
        let content = IdToken {
            identity: identity.clone(),
            authenticated_at: authenticated_at.map_err(|_| TokenError::Claim("auth_time"))?,
            context: claims.parsed("acr")?,
        };
        admitted.verified(content, None)
    }
}
