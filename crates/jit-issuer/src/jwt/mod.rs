//! Short-lived JSON Web Tokens (RFC 7519), bound to grant, decision and evidence, signed with EdDSA, ES256 or RS256.
//!
//! | claim | holds |
//! |---|---|
//! | `iss`, `aud` | as configured |
//! | `sub` | the recipient of the grant: `issuer\|subject`, or a SPIFFE id |
//! | `client_id`, `scope` | in an access token only: who asked, and the actions if they are scope tokens (RFC 9068 section 2.2) |
//! | `iat`, `nbf`, `exp` | the issued window in whole seconds: start rounded up, end rounded down |
//! | `jti` | the credential id |
//! | `txn` | the grant id (RFC 8417) |
//! | `authorization_details` | one entry of type `<iss>/grant/v1` (RFC 9396): `grant_id`, `decision_id`, `actions`, `resource`, the `conditions` that the target has to enforce, and `evidence`: `digest` is the leaf of the `credential.intended`, `sha256:<hex>`, in the log `log` |
//! | `act` | for an agent that acts on behalf of someone: the agent, and nested in it, from the latest to the first, those it acts through and for (RFC 8693 section 4.1). For the record only: rights are `sub`'s |
//! | `cnf` | the key that the holder named when it claimed the token: `jkt` (RFC 9449) or `x5t#S256` (RFC 8705) |
//! | `status` | where to look whether the token is revoked, if the issuer has status lists |
//!
//! [`Profile`] chooses the rules: a plain token, an OAuth 2.0 access token, or a JWT-SVID. Keys follow one another as a
//! [`KeySchedule`] says.
//!
//! Without [`StatusLists`] a token cannot be taken back: it dies by itself at `exp`, plus the leeway that verifiers allow. With them,
//! verifiers that check the status turn a revoked one down as soon as the copies of the list from before have run out.

mod claims;
mod introspection;
mod jwks;
mod profile;
mod schedule;
mod status;
mod token;

use std::time::Duration;

use async_trait::async_trait;
use jit_core::{
    Case, Code, CrashClass, CredentialDescriptor, CredentialId, ExternalDigest, ExternalId, HolderKey, Issuer,
    IssuerCapabilities, IssuerName, PrincipalId, Seconds, Timestamp, Window, code,
};
use sha2::{Digest as _, Sha256};

use crate::{
    CredentialIssuer, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError, Observed, PlanRefused,
    ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome, key::KeyAlgorithm,
};
use claims::{Claims, Facts};
pub use introspection::Introspection;
pub use jwks::Jwks;
pub use profile::{Profile, ProfileError};
pub use schedule::{KeySchedule, ScheduleError};
use status::Place;
pub use status::{LIST_LEN, StatusListError, StatusLists};
use token::TokenError;

/// The longest life of a token unless configured otherwise, in seconds.
pub const DEFAULT_MAX_TTL_S: u32 = 3600;
/// How much later than `exp` verifiers may still accept a token unless configured otherwise, in seconds.
pub const DEFAULT_LEEWAY_S: u32 = 60;

/// Issues tokens for one audience.
///
/// ```
/// use std::sync::Arc;
/// use jit_core::{ExternalId, Issuer, IssuerName, Timestamp};
/// use jit_issuer::{jwt::{JwtIssuer, KeySchedule}, key::LocalKey};
///
/// let key = LocalKey::from_ed25519_seed([7; 32]); // from a key store, never a constant
/// let issuer = JwtIssuer::new(
///     IssuerName::new("orders-api")?,
///     Issuer::new("https://access.example.org")?,
///     ExternalId::new("https://orders.example.org")?,
///     KeySchedule::new(Arc::new(key))?,
/// );
/// let document = serde_json::to_string(&issuer.jwks(Timestamp::EPOCH))?;
/// assert!(document.starts_with(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JwtIssuer {
    name: IssuerName,
    iss: Issuer,
    audience: ExternalId,
    keys: KeySchedule,
    profile: Profile,
    status: Option<StatusLists>,
    max_ttl_s: u32,
    leeway_s: u32,
}

impl JwtIssuer {
    /// An issuer known to records as `name` and to verifiers as `iss`, for one audience, of plain tokens. They live for at most
    /// [`DEFAULT_MAX_TTL_S`], and verifiers are taken to allow [`DEFAULT_LEEWAY_S`].
    #[must_use]
    pub fn new(name: IssuerName, iss: Issuer, audience: ExternalId, keys: KeySchedule) -> Self {
        Self {
            name,
            iss,
            audience,
            keys,
            profile: Profile::default(),
            status: None,
            max_ttl_s: DEFAULT_MAX_TTL_S,
            leeway_s: DEFAULT_LEEWAY_S,
        }
    }

    /// Makes tokens of another profile.
    ///
    /// # Errors
    /// [`ProfileError`] if a key of the schedule signs in a way that the profile forbids.
    pub fn with_profile(mut self, profile: Profile) -> Result<Self, ProfileError> {
        let forbidden = self.keys.turns().map(|turn| turn.public.algorithm()).find(|key| !profile.allows(*key));
        match forbidden {
            Some(algorithm) => Err(ProfileError { algorithm }),
            None => {
                self.profile = profile;
                Ok(self)
            }
        }
    }

    /// Lets tokens be taken back, by status lists published under `<base>/<number>` and used for `ttl` at most. To configure this is
    /// to declare that every verifier checks the status.
    #[must_use]
    pub fn with_status_lists(mut self, base: ExternalId, ttl: Seconds) -> Self {
        self.status = Some(StatusLists::new(self.name.clone(), base, ttl));
        self
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

    /// The keys to publish at a moment: the signing one first, those that follow soon, and those whose last tokens may still live.
    #[must_use]
    pub fn jwks(&self, at: Timestamp) -> Jwks {
        Jwks::new(self.keys.published_at(at, self.key_life()), "sig")
    }

    /// The same keys as part of a SPIFFE bundle (SPIFFE Trust Domain and Bundle specification, section 4.2.2).
    #[must_use]
    pub fn spiffe_bundle(&self, at: Timestamp) -> Jwks {
        Jwks::new(self.keys.published_at(at, self.key_life()), "jwt-svid")
    }

    /// The status lists, if there are any; apply to them the records of the log.
    #[must_use]
    pub fn status_lists(&self) -> Option<&StatusLists> {
        self.status.as_ref()
    }

    /// The list to publish under `<base>/<number>`, as `application/statuslist+jwt`. Serve it for a part of the `ttl`; do not sign one
    /// for every caller. Cancellation-safe.
    ///
    /// # Errors
    /// [`StatusListError`] if this process does not follow the log as it must, or there is no signature.
    pub async fn status_list(&self, number: u64, now: Timestamp) -> Result<Option<String>, StatusListError> {
        let Some(lists) = &self.status else { return Ok(None) };
        let claims = lists.list_claims(number, now)?;
        match token::sign("statuslist+jwt", &claims, self.keys.signing_at(now)).await {
            Ok(mut token) => Ok(String::from_utf8(std::mem::take(&mut *token)).ok()),
            Err(TokenError::Signing(error)) => Err(error.into()),
            Err(TokenError::NotEncodable) => Ok(None),
        }
    }

    /// What to answer about a token whose `jti` is this credential of this case (RFC 7662). Evidence answers, not the token: a verifier
    /// that asks learns of a revocation at once. The caller is to be a protected resource that may ask (section 4).
    #[must_use]
    pub fn introspect<'a>(&'a self, case: &'a Case, credential: CredentialId, at: Timestamp) -> Introspection<'a> {
        let working = introspection::working(case, credential, at).filter(|found| found.issuer == self.name);
        let claims = working.and_then(|descriptor| {
            let status = self.status.as_ref().zip(descriptor.serial.as_str().parse().ok());
            let status = status.map(|(lists, place)| lists.claim(place));
            Claims::new(&Facts::issued(case, descriptor)?, self.voice(), descriptor.window, status).ok()
        });
        Introspection::new(claims, credential, at)
    }

    fn voice(&self) -> (&Issuer, &ExternalId, &Profile) {
        (&self.iss, &self.audience, &self.profile)
    }

    /// For how long something may be accepted after a key signed it. The start of a token is rounded up, by less than a second.
    fn key_life(&self) -> Duration {
        let list_ttl = self.status.as_ref().map_or(0, |lists| lists.ttl().get());
        Duration::from_secs(u64::from(self.max_ttl_s.max(list_ttl)) + u64::from(self.leeway_s) + 1)
    }

    /// Why no token can be made for this subject and key, if so.
    fn holdable(&self, subject: &PrincipalId, key: Option<&HolderKey>) -> Result<(), Code> {
        self.profile.subject(subject)?;
        profile::confirmation(key)?;
        Ok(())
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
            can_revoke: self.status.is_some(),
            can_confirm: self.status.is_some(),
            native_expiry: true,
            // Every claim comes from the authorisation; ECDSA may sign it anew each time.
            idempotent_mint: !self.keys.turns().any(|turn| turn.public.algorithm() == KeyAlgorithm::EcdsaP256Sha256),
            cuts_sessions: false,
            leeway_s: self.leeway_s,
            min_ttl_s: 1,
            max_ttl_s: self.max_ttl_s,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        let end = self.keys.end().map_or(window.end(), |end| end.min(window.end()));
        let open = Window::new(window.start(), end).ok()?;
        open.whole_seconds()?.shortened_to(Duration::from_secs(self.max_ttl_s.into()))
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        self.holdable(plan.subject(), plan.holder_key()).map_err(|cause| PlanRefused { cause })?;
        match self.fit(plan.window()) {
            Some(_) => Ok(()),
            None => Err(PlanRefused { cause: code!("window_not_expressible") }),
        }
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        authorization.meant_for(self)?;
        let Some(window) = self.fit(authorization.issued()) else {
            return Err(MintError::Refused { cause: code!("window_not_expressible") });
        };
        let place = self.status.as_ref().map(|_| Place::of_intent(authorization.index()));
        let status = self.status.as_ref().zip(place).map(|(lists, place)| lists.claim(place));
        let claims = Claims::new(&Facts::authorized(authorization), self.voice(), window, status)
            .map_err(|cause| MintError::Refused { cause })?;
        let failed = |cause| MintError::Failed { cause };
        let signed = token::sign(self.profile.typ(), &claims, self.keys.signing_at(authorization.at())).await;
        let token = signed.map_err(|error| match error {
            TokenError::NotEncodable => failed(code!("not_encodable")),
            TokenError::Signing(error) => failed(error.code()),
        })?;
        let serial = place.map_or_else(|| authorization.credential().to_string(), |place| place.to_string());
        let descriptor = CredentialDescriptor {
            id: authorization.credential(),
            issuer: self.name.clone(),
            fingerprint: ExternalDigest::from_bytes(Sha256::digest(&token).into()),
            serial: ExternalId::new(serial).map_err(|_| failed(code!("not_encodable")))?,
            subject: authorization.subject().clone(),
            window,
            capabilities: self.capabilities(),
        };
        let secret = authorization.seal(token).map_err(|_| failed(code!("token_too_long")))?;
        Ok(Minting::Done(Minted { descriptor, secret: Some(secret) }))
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        authorization.meant_for(descriptor, self)?;
        let until = descriptor.dies_at();
        let Some(lists) = self.status.as_ref().filter(|lists| lists.revoke(descriptor)) else {
            return Ok(RevokeOutcome::CannotRevoke { until });
        };
        let honoured_by = lists.honoured_by(authorization.at(), Duration::from_secs(self.leeway_s.into()));
        Ok(RevokeOutcome::Listed { honoured_by: until.map_or(honoured_by, |until| honoured_by.min(until)) })
    }

    /// A token that stands on a list as revoked is gone. Another is asked about because its `credential.issued` is not recorded: it was
    /// never released, and died with the process that signed it.
    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        let listed = self.status.as_ref().is_some_and(|lists| lists.is_revoked(query.credential()));
        Ok(if listed { Observed::Gone } else { Observed::NeverExisted })
    }
}
