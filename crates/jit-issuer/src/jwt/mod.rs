//! Short-lived JSON Web Tokens signed with Ed25519 (RFC 7519, RFC 8037), bound to grant, decision and evidence.
//!
//! | claim | holds |
//! |---|---|
//! | `iss`, `aud` | as configured |
//! | `sub` | the recipient of the grant: `issuer\|subject`, or a SPIFFE id |
//! | `iat`, `nbf`, `exp` | the issued window in whole seconds: start rounded up, end rounded down |
//! | `jti` | the credential id |
//! | `txn` | the grant id (RFC 8417) |
//! | `authorization_details` | one entry of type `<iss>/grant/v1` (RFC 9396): `grant_id`, `decision_id`, `actions`, `resource`, the `conditions` that the target has to enforce, and `evidence`: `digest` is the leaf of the `credential.intended`, `sha256:<hex>`, in the log `log` |
//! | `act` | for an agent that acts on behalf of someone: the agent, and nested in it, from the latest to the first, those it acts through and for (RFC 8693 section 4.1). For the record only: rights are `sub`'s |
//!
//! A token cannot be taken back: it dies by itself at `exp`, plus the leeway that verifiers allow.

mod claims;
mod key;
mod token;

use std::time::Duration;

use async_trait::async_trait;
use jit_core::{
    CrashClass, CredentialDescriptor, ExternalDigest, ExternalId, Issuer, IssuerCapabilities, IssuerName, PrincipalId,
    Recorded, Seconds, Timestamp, Window, code,
};
use sha2::{Digest as _, Sha256};

use crate::{
    CredentialIssuer, Cursor, FoundPage, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError,
    Observed, PlanRefused, Prepared, ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome,
};
use claims::Claims;
pub use key::{Jwks, JwtKey, JwtKeyError, JwtPublicKey, Thumbprint};

/// The longest life of a token unless configured otherwise, in seconds.
pub const DEFAULT_MAX_TTL_S: u32 = 3600;
/// How much later than `exp` verifiers may still accept a token unless configured otherwise, in seconds.
pub const DEFAULT_LEEWAY_S: u32 = 60;

/// Issues tokens for one audience.
///
/// ```
/// use jit_core::{ExternalId, Issuer, IssuerName};
/// use jit_issuer::jwt::{JwtIssuer, JwtKey};
///
/// let issuer = JwtIssuer::new(
///     IssuerName::new("orders-api")?,
///     Issuer::new("https://access.example.org")?,
///     ExternalId::new("https://orders.example.org")?,
///     JwtKey::from_seed([7; 32]), // from a key store, never a constant
/// );
/// let document = serde_json::to_string(&issuer.jwks())?;
/// assert!(document.starts_with(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JwtIssuer {
    name: IssuerName,
    iss: Issuer,
    audience: ExternalId,
    key: JwtKey,
    published: Vec<JwtPublicKey>,
    max_ttl_s: u32,
    leeway_s: u32,
}

impl JwtIssuer {
    /// An issuer known to records as `name` and to verifiers as `iss`, for one audience. Tokens live for at most
    /// [`DEFAULT_MAX_TTL_S`], and verifiers are taken to allow [`DEFAULT_LEEWAY_S`].
    #[must_use]
    pub fn new(name: IssuerName, iss: Issuer, audience: ExternalId, key: JwtKey) -> Self {
        Self {
            name,
            iss,
            audience,
            key,
            published: Vec::new(),
            max_ttl_s: DEFAULT_MAX_TTL_S,
            leeway_s: DEFAULT_LEEWAY_S,
        }
    }

    /// Lets tokens live for at most this long.
    #[must_use]
    pub fn with_max_ttl(mut self, max: Seconds) -> Self {
        self.max_ttl_s = max.get();
        self
    }

    /// Declares for how many seconds after `exp` verifiers may still accept a token.
    #[must_use]
    pub fn with_leeway_s(mut self, leeway_s: u32) -> Self {
        self.leeway_s = leeway_s;
        self
    }

    /// Publishes another key beside the signing one: the next before its first use, the last until its tokens are dead.
    #[must_use]
    pub fn with_published(mut self, key: JwtPublicKey) -> Self {
        self.published.push(key);
        self
    }

    /// The keys under which tokens verify, the signing one first.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        Jwks::new([&self.key.public()].into_iter().chain(&self.published))
    }
}

#[async_trait]
impl CredentialIssuer for JwtIssuer {
    fn name(&self) -> &IssuerName {
        &self.name
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::SelfContained,
            prepares: false,
            can_revoke: false,
            can_confirm: false,
            native_expiry: true,
            // Ed25519 is deterministic, and every claim comes from the authorisation.
            idempotent_mint: true,
            cuts_sessions: false,
            leeway_s: self.leeway_s,
            min_ttl_s: 1,
            max_ttl_s: self.max_ttl_s,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        let end = self.key.not_after().map_or(window.end(), |end| end.min(window.end()));
        let open = Window::new(window.start(), end).ok()?;
        open.whole_seconds()?.shortened_to(Duration::from_secs(self.max_ttl_s.into()))
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        if !matches!(plan.subject(), PrincipalId::Identity(_) | PrincipalId::Workload(_)) {
            return Err(PlanRefused { cause: code!("subject_cannot_hold") });
        }
        match self.fit(plan.window()) {
            Some(_) => Ok(()),
            None => Err(PlanRefused { cause: code!("window_not_expressible") }),
        }
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        if *authorization.issuer() != self.name || *authorization.capabilities() != self.capabilities() {
            return Err(MintError::Refused { cause: code!("other_issuer_intended") });
        }
        let Some(window) = self.fit(authorization.issued()) else {
            return Err(MintError::Refused { cause: code!("window_not_expressible") });
        };
        let Some(claims) = Claims::new(authorization, &self.iss, &self.audience, window) else {
            return Err(MintError::Refused { cause: code!("subject_cannot_hold") });
        };
        let not_encodable = MintError::Failed { cause: code!("not_encodable") };
        let token = token::sign(&claims, &self.key).map_err(|_| not_encodable.clone())?;
        let descriptor = CredentialDescriptor {
            id: authorization.credential(),
            issuer: self.name.clone(),
            fingerprint: ExternalDigest::from_bytes(Sha256::digest(&token).into()),
            serial: ExternalId::new(authorization.credential().to_string()).map_err(|_| not_encodable)?,
            subject: authorization.subject().clone(),
            window,
            capabilities: self.capabilities(),
        };
        let secret = authorization.seal(token).map_err(|_| MintError::Failed { cause: code!("token_too_long") })?;
        Ok(Minting::Done(Minted { descriptor, secret: Some(secret) }))
    }

    async fn commit(&self, _prepared: Prepared, _recorded: &Recorded) -> Result<Minted, MintError> {
        Err(MintError::Refused { cause: code!("never_prepares") })
    }

    async fn abandon(&self, _prepared: Prepared) -> Result<(), MintError> {
        Err(MintError::Refused { cause: code!("never_prepares") })
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        if authorization.credential() != descriptor.id || descriptor.issuer != self.name {
            return Err(RevokeError::Refused { cause: code!("other_credential") });
        }
        Ok(RevokeOutcome::CannotRevoke { until: descriptor.dies_at() })
    }

    /// A token whose `credential.issued` is not recorded was never released: it died with the process that signed it.
    async fn reconcile(&self, _query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        Ok(Observed::NeverExisted)
    }

    async fn list(&self, _since: Timestamp, _after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        Err(ObserveError::Unsupported)
    }
}
