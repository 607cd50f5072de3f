//! Short-lived X.509 certificates for workloads (RFC 5280, X509-SVID), bound to grant, decision and evidence.
//!
//! | field | holds |
//! |---|---|
//! | serial number | 128 bits, positive, random but for the two highest; the descriptor has its 32 hexadecimal digits |
//! | subject | `CN=<credential id>` |
//! | validity | the issued window in whole seconds, within that of every certificate above: `notBefore` rounded up, `notAfter` the last second inside |
//! | subject alternative name | the SPIFFE id of the recipient, alone |
//! | basic constraints, key usage | no CA; `digitalSignature`; both critical |
//! | extended key usage | `serverAuth`, `clientAuth` |
//! | `<arc>.1` | not critical: credential, grant, decision, evidence, log, resource and actions ([`OidArc`]) |
//!
//! The key is made here and sealed with the certificate, or is its holder's own (named at the claim, or from [`SubjectKeys`]); of a certificate request nothing but
//! the key is taken over. A recipient that is no workload of the trust domain is refused, and so is a grant with a condition that issuer
//! or target would have to enforce: a certificate has no place for it.
//!
//! A certificate dies by itself at `notAfter`. With [`X509Issuer::with_crl`] it can be taken back before, as far as those who verify read
//! the list; sessions that it opened go on.

mod authority;
mod binding;
mod crl;
mod list;
mod profile;
mod signed;
mod subject;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jit_core::{
    Condition, CrashClass, CredentialDescriptor, Enforcement, Entropy, ExternalDigest, IssuerCapabilities, IssuerName,
    PrincipalId, Scope, Seconds, SpiffeId, Timestamp, Window, code,
};
use sha2::{Digest as _, Sha256};
use x509_cert::der::pem::{LineEnding, encode_string};
use zeroize::Zeroizing;

use crate::{
    CredentialIssuer, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError, Observed, PlanRefused,
    ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome, key::KeyAlgorithm,
};
pub use authority::{Authority, AuthorityError, MAX_CHAIN, TrustDomain, TrustDomainError};
pub use binding::{OidArc, OidArcError};
pub use crl::{CrlReason, Revocation};
use list::List;
pub use list::{CrlError, CrlFile, Published};
use profile::{Contents, Serial};
use subject::{Keys, Subject};
pub use subject::{MAX_REQUEST, SubjectKey, SubjectKeyError, SubjectKeys};

/// The longest life of a certificate unless configured otherwise, in seconds.
pub const DEFAULT_MAX_TTL_S: u32 = 3600;
/// The shortest life: with less, `notBefore` would not lie before `notAfter`, and some verifiers would never accept it.
const MIN_TTL_S: u32 = 2;

/// Issues certificates of one authority.
///
/// ```no_run
/// use std::sync::Arc;
/// use jit_core::IssuerName;
/// use jit_issuer::x509::{Authority, X509Issuer};
///
/// # fn issuer(authority: Authority, entropy: Arc<dyn jit_core::Entropy>) -> Result<(), Box<dyn std::error::Error>> {
/// let arc = "1.3.6.1.4.1.32473.7".parse()?; // under your own private enterprise number
/// let issuer = X509Issuer::new(IssuerName::new("mesh")?, authority, arc, entropy);
/// # Ok(())
/// # }
/// ```
pub struct X509Issuer {
    name: IssuerName,
    authority: Arc<Authority>,
    arc: OidArc,
    entropy: Arc<dyn Entropy>,
    keys: Keys,
    list: Option<List>,
    max_ttl_s: u32,
    leeway_s: u32,
}

impl X509Issuer {
    /// An issuer known to records as `name`, whose certificates carry their binding under `arc`. It makes P-256 keys for their
    /// holders; certificates live for at most [`DEFAULT_MAX_TTL_S`], and verifiers are taken to allow nothing after `notAfter`.
    #[must_use]
    pub fn new(name: IssuerName, authority: Authority, arc: OidArc, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            name,
            authority: Arc::new(authority),
            arc,
            entropy,
            keys: Keys::Made { algorithm: KeyAlgorithm::EcdsaP256Sha256 },
            list: None,
            max_ttl_s: DEFAULT_MAX_TTL_S,
            leeway_s: 0,
        }
    }

    /// Makes keys of this algorithm for holders. RSA keys are not made here, and minting fails with it.
    #[must_use]
    pub fn with_made_keys(mut self, algorithm: KeyAlgorithm) -> Self {
        self.keys = Keys::Made { algorithm };
        self
    }

    /// Certifies keys that their holders made and keep. The secret that is released is then the chain alone.
    #[must_use]
    pub fn with_subject_keys(mut self, keys: Arc<dyn SubjectKeys>) -> Self {
        self.keys = Keys::Held(keys);
        self
    }

    /// Lets certificates live for at most this long; never less than two seconds.
    #[must_use]
    pub fn with_max_ttl(mut self, max: Seconds) -> Self {
        self.max_ttl_s = max.get().max(MIN_TTL_S);
        self
    }

    /// Declares for how many seconds after `notAfter` verifiers may still accept a certificate.
    #[must_use]
    pub fn with_leeway_s(mut self, leeway_s: u32) -> Self {
        self.leeway_s = leeway_s;
        self
    }

    /// Takes certificates back by a revocation list in a file. Reads the file if it is there; call [`publish_crl`](Self::publish_crl)
    /// before verifiers start, and again before each list ends.
    ///
    /// # Errors
    /// [`CrlError`] if the authority may not sign lists, or the file is not one of this authority.
    pub fn with_crl(mut self, file: CrlFile) -> Result<Self, CrlError> {
        self.list = Some(List::open(Arc::clone(&self.authority), self.arc, file)?);
        Ok(self)
    }

    /// Publishes the revocation list as of this moment. Cancellation-safe.
    ///
    /// # Errors
    /// [`CrlError`]; [`CrlError::NotConfigured`] without [`with_crl`](Self::with_crl).
    pub async fn publish_crl(&self, at: Timestamp) -> Result<Published, CrlError> {
        self.list.as_ref().ok_or(CrlError::NotConfigured)?.publish(at).await
    }

    /// The workload, if it can be given a certificate under these terms.
    fn check<'a>(
        &self,
        subject: &'a PrincipalId,
        scope: &Scope,
        conditions: &[Condition],
    ) -> Result<&'a SpiffeId, PlanRefused> {
        let PrincipalId::Workload(workload) = subject else {
            return Err(PlanRefused { cause: code!("subject_cannot_hold") });
        };
        if !self.authority.trust_domain().has(workload) {
            return Err(PlanRefused { cause: code!("other_trust_domain") });
        }
        if conditions.iter().any(|c| matches!(c.enforcement, Enforcement::Issuer | Enforcement::Target)) {
            return Err(PlanRefused { cause: code!("condition_not_expressible") });
        }
        let actions: usize = scope.actions().iter().map(|action| action.as_str().len()).sum();
        if actions.saturating_add(scope.resource().to_string().len()) > binding::MAX_SCOPE {
            return Err(PlanRefused { cause: code!("scope_too_long") });
        }
        Ok(workload)
    }

    fn release(&self, certificate: &[u8], private: Option<&Zeroizing<String>>) -> Option<Zeroizing<Vec<u8>>> {
        let pem = |der: &[u8]| encode_string("CERTIFICATE", LineEnding::LF, der).ok();
        let own = pem(certificate)?;
        let above = self.authority.intermediates().iter().map(|der| pem(der)).collect::<Option<String>>()?;
        let private = private.map_or("", |key| key.as_str());
        // As much room as it takes, so that growing leaves no copy behind.
        let mut released = Zeroizing::new(Vec::with_capacity(private.len() + own.len() + above.len()));
        for part in [private, &own, &above] {
            released.extend_from_slice(part.as_bytes());
        }
        Some(released)
    }
}

impl fmt::Debug for X509Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Issuer")
            .field("name", &self.name)
            .field("authority", &self.authority)
            .field("list", &self.list)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialIssuer for X509Issuer {
    fn name(&self) -> &IssuerName {
        &self.name
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::SelfContained,
            prepares: false,
            can_revoke: self.list.is_some(),
            can_confirm: false,
            native_expiry: true,
            // Serial number and key are random.
            idempotent_mint: false,
            cuts_sessions: false,
            leeway_s: self.leeway_s,
            min_ttl_s: MIN_TTL_S,
            max_ttl_s: self.max_ttl_s,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        let whole = window.intersect(&self.authority.window())?.whole_seconds()?;
        let fitted = whole.shortened_to(Duration::from_secs(self.max_ttl_s.into()))?;
        (fitted.duration() >= Duration::from_secs(MIN_TTL_S.into())).then_some(fitted)
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        self.check(plan.subject(), plan.scope(), plan.conditions())?;
        subject::named(plan.holder_key()).map_err(|cause| PlanRefused { cause })?;
        match self.fit(plan.window()) {
            Some(_) => Ok(()),
            None => Err(PlanRefused { cause: code!("window_not_expressible") }),
        }
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        authorization.meant_for(self)?;
        let workload = self
            .check(authorization.subject(), authorization.scope(), authorization.conditions())
            .map_err(|refused| MintError::Refused { cause: refused.cause })?;
        let Some(window) = self.fit(authorization.issued()) else {
            return Err(MintError::Refused { cause: code!("window_not_expressible") });
        };
        let entropy = self.entropy.as_ref();
        let Subject { public, private } = self.keys.subject(authorization, entropy).await?;
        if public.as_der() == self.authority.key().public_key() {
            return Err(MintError::Refused { cause: code!("key_of_the_authority") });
        }
        let serial = Serial::random(entropy).map_err(|_| MintError::Failed { cause: code!("no_entropy") })?;
        let not_encodable = || MintError::Failed { cause: code!("not_encodable") };
        let contents = Contents { authority: &self.authority, arc: &self.arc, serial, workload, key: &public, window };
        let content = contents.to_be_signed(authorization).map_err(|_| not_encodable())?;
        // A key that may have signed gave nothing away: without its signature there is no certificate.
        let certificate = signed::sign(self.authority.key(), &content)
            .await
            .map_err(|error| MintError::Failed { cause: error.code() })?;
        let descriptor = CredentialDescriptor {
            id: authorization.credential(),
            issuer: self.name.clone(),
            fingerprint: ExternalDigest::from_bytes(Sha256::digest(&certificate).into()),
            serial: serial.to_id().map_err(|_| not_encodable())?,
            subject: authorization.subject().clone(),
            window,
            capabilities: self.capabilities(),
        };
        let released = self.release(&certificate, private.as_ref()).ok_or_else(not_encodable)?;
        let secret = authorization.seal(released).map_err(|_| MintError::Failed { cause: code!("chain_too_long") })?;
        Ok(Minting::Done(Minted { descriptor, secret: Some(secret) }))
    }

    /// What is seen is the certificate in the published list. Who verifies may use the list from before until that has run out;
    /// only then is it gone.
    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        authorization.meant_for(descriptor, self)?;
        let Some(list) = &self.list else {
            return Ok(RevokeOutcome::CannotRevoke { until: descriptor.dies_at() });
        };
        let reason = authorization.end().and_then(CrlReason::of_end);
        let revocation = Revocation::new(descriptor, authorization.at(), reason)
            .map_err(|_| RevokeError::Refused { cause: code!("other_credential") })?;
        let is_over = |moment| moment <= authorization.at();
        if descriptor.dies_at().is_some_and(is_over) {
            return Ok(RevokeOutcome::AlreadyGone);
        }
        match list.add(revocation).await {
            Ok(honoured_by) if is_over(honoured_by) => Ok(RevokeOutcome::AlreadyGone),
            Ok(honoured_by) => Ok(RevokeOutcome::Listed {
                honoured_by: descriptor.dies_at().map_or(honoured_by, |end| end.min(honoured_by)),
            }),
            Err(error) if error.may_be_published() => Err(RevokeError::Unknown { cause: error.code() }),
            Err(error) => Err(RevokeError::Failed { cause: error.code() }),
        }
    }

    /// A certificate whose `credential.issued` is not recorded was never released: it died with the process that signed it.
    async fn reconcile(&self, _query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        Ok(Observed::NeverExisted)
    }
}
