//! Access tokens as JWTs (RFC 9068), also those that a token exchange gives, with who acts for whom (RFC 8693).

use jit_core::{ExternalId, PrincipalId, Timestamp, code};

use crate::{
    error::TokenError,
    issuer::{Profile, TokenIssuer},
    token::Typ,
    verified::Verified,
};

/// What a client may do for a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessToken {
    /// Whom it is about. Whether that is a person, the token does not say.
    pub subject: PrincipalId,
    /// The client it was issued to.
    pub client: ExternalId,
    /// What the client may ask for (`scope`), verbatim, if it says so.
    pub scope: Option<jit_core::Line>,
}

impl TokenIssuer {
    /// Verifies an access token of type `at+jwt`; the audience is the broker as a resource server. Who acts for its subject is
    /// in [`Verified::on_behalf_of`].
    ///
    /// # Errors
    /// [`TokenError`] with the first rule that it breaks.
    pub fn access_token(&self, token: &str, now: Timestamp) -> Result<Verified<AccessToken>, TokenError> {
        let profile =
            Profile { kind: code!("access_token"), typ: Typ::Named("at+jwt"), anonymous: false, actors: true };
        let admitted = self.admit(profile, token, now)?;
        let claims = admitted.claims();
        // RFC 9068 section 2.2.
        let _: ExternalId = claims.required_as("jti")?;
        let content = AccessToken {
            subject: admitted.subject.clone(),
            client: claims.required_as("client_id")?,
            scope: claims.parsed("scope")?,
        };
        admitted.verified(content, None)
    }
}
