//! OpenSSH user certificates (PROTOCOL.certkeys), bound to grant, decision and evidence.
//!
//! | field | holds |
//! |---|---|
//! | key id | [`CredentialReason`]: `{"g":"<grant>","d":"<decision>","e":"sha256:<hex>"}`, 165 bytes. sshd logs it at each login |
//! | serial | [`SshSerial`], computed from the credential id |
//! | valid principals | the [`Logins`] that the configuration gives for the grant's subject and scope; at least one |
//! | valid after, valid before | the issued window in whole seconds: start rounded up, end rounded down. sshd has no leeway |
//! | critical options | `source-address`, `force-command`: the conditions of the grant. No others, because sshd refuses a certificate with one it does not know |
//! | extensions | as configured, [`SshPermission`]; none by default |
//! | nonce | 32 random bytes |
//!
//! Conditions that issuer or target must enforce are `source_address` (an address or `network/bits`, or an array of them) and
//! `force_command` (a text). A grant with any other is refused with `condition_not_enforceable`.
//!
//! # What is handed over
//!
//! The secret is ASCII text, to be kept in a file that only its holder reads:
//!
//! ```text
//! -----BEGIN OPENSSH PRIVATE KEY-----          the private key (PROTOCOL.key, not encrypted), as `id_ed25519`;
//! …                                            absent if the holder's own key is certified
//! -----END OPENSSH PRIVATE KEY-----
//! ssh-ed25519-cert-v01@openssh.com AAAA… <id>  the certificate, one line, as `id_ed25519-cert.pub`
//! ```
//!
//! # Endings
//!
//! Without [`Revocations`], a certificate cannot be taken back and dies by itself. With them, [`CredentialIssuer::revoke`] writes it
//! into a key revocation list (PROTOCOL.krl), and no target that reads the list lets it in again. sshd asks at login only: **a
//! session that is open goes on**, which the capability `cuts_sessions: false` says, and what the issuer does not see.

mod certificate;
mod holder;
mod krl;
mod options;
mod principals;
mod public_key;
mod revocation;
mod serial;
mod shared;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jit_core::{
    Code, CrashClass, CredentialDescriptor, Entropy, ExternalDigest, ExternalId, IssuerCapabilities, IssuerName,
    PrincipalId, Seconds, Timestamp, Window, code, random_bytes,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    CredentialIssuer, CredentialReason, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError,
    Observed, PlanRefused, ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome,
    key::{PublicKey, SigningKey},
};
use certificate::{Content, Signed};
use holder::Generated;
pub use holder::HolderKeys;
pub use krl::{Krl, KrlTooLarge, MAX_KRL};
use options::CriticalOptions;
pub use options::{MAX_COMMAND, MAX_NETWORKS, SshPermission};
pub use principals::{Login, LoginError, Logins, MAX_LOGINS};
pub use public_key::{SshKeyError, SshPublicKey};
pub use revocation::{KEPT_AFTER_END, KrlFile, KrlPublisher, PublishError, Revocations};
pub use serial::SshSerial;

/// The longest life of a certificate unless configured otherwise, in seconds.
pub const DEFAULT_MAX_TTL_S: u32 = 8 * 3600;

/// Issues certificates of one authority.
///
/// ```
/// use std::sync::Arc;
/// use jit_core::{Action, IssuerName};
/// use jit_issuer::{key::LocalKey, ssh::{Login, Logins, SshIssuer, SshPermission}};
/// # struct Os;
/// # impl jit_core::Entropy for Os {
/// #     fn fill(&self, buffer: &mut [u8]) -> Result<(), jit_core::EntropyError> { buffer.fill(0); Ok(()) }
/// # }
/// # let entropy = Arc::new(Os);
///
/// let authority = Arc::new(LocalKey::from_ed25519_seed([7; 32])); // from a key store, never a constant
/// let logins = Logins::new().with(Action::new("login")?, "host:prod".parse()?, Login::new("deploy")?);
/// let issuer = SshIssuer::new(IssuerName::new("hosts")?, authority, logins, entropy)?
///     .with_permissions([SshPermission::Pty]);
/// assert!(issuer.authority().to_openssh().starts_with("ssh-ed25519 ")); // for TrustedUserCAKeys
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SshIssuer {
    name: IssuerName,
    key: Arc<dyn SigningKey>,
    authority: SshPublicKey,
    not_after: Option<Timestamp>,
    logins: Logins,
    permissions: Vec<SshPermission>,
    holders: Option<Arc<dyn HolderKeys>>,
    revocations: Option<Revocations>,
    entropy: Arc<dyn Entropy>,
    max_ttl_s: u32,
    leeway_s: u32,
}

impl SshIssuer {
    /// An issuer known to records as `name`, whose authority signs with this key: Ed25519, or ECDSA with P-256. It makes a key pair
    /// for each certificate from `entropy`. Certificates live for at most [`DEFAULT_MAX_TTL_S`].
    ///
    /// # Errors
    /// [`SshKeyError`] if the key is of another algorithm.
    pub fn new(
        name: IssuerName,
        key: Arc<dyn SigningKey>,
        logins: Logins,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, SshKeyError> {
        let public = PublicKey::of(&*key).map_err(|_| SshKeyError)?;
        Ok(Self {
            name,
            key,
            authority: SshPublicKey::from_public_key(&public)?,
            not_after: None,
            logins,
            permissions: Vec::new(),
            holders: None,
            revocations: None,
            entropy,
            max_ttl_s: DEFAULT_MAX_TTL_S,
            leeway_s: 0,
        })
    }

    /// Lets sessions do this besides running commands.
    #[must_use]
    pub fn with_permissions(mut self, permissions: impl IntoIterator<Item = SshPermission>) -> Self {
        self.permissions = permissions.into_iter().collect();
        self.permissions.sort_unstable();
        self.permissions.dedup();
        self
    }

    /// Certifies the keys that subjects have registered, and makes none.
    #[must_use]
    pub fn with_holder_keys(mut self, keys: Arc<dyn HolderKeys>) -> Self {
        self.holders = Some(keys);
        self
    }

    /// Takes certificates back by a key revocation list.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Lets certificates live for at most this long.
    #[must_use]
    pub fn with_max_ttl(mut self, max: Seconds) -> Self {
        self.max_ttl_s = max.get();
        self
    }

    /// Lets no certificate live past the end of the authority's key.
    #[must_use]
    pub fn with_not_after(mut self, not_after: Timestamp) -> Self {
        self.not_after = Some(not_after);
        self
    }

    /// Declares by how many seconds the clocks of targets may be behind: for so long after its end a certificate may still work.
    #[must_use]
    pub fn with_leeway_s(mut self, leeway_s: u32) -> Self {
        self.leeway_s = leeway_s;
        self
    }

    /// The public key of the authority, for `TrustedUserCAKeys`.
    #[must_use]
    pub fn authority(&self) -> &SshPublicKey {
        &self.authority
    }

    /// Publishes the key revocation list as it is now, without certificates that have long expired. To be called when the process
    /// starts, and then every hour or so; each revocation publishes too. Does nothing without [`Revocations`].
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish_revocations(&self, now: Timestamp) -> Result<(), PublishError> {
        self.revocations.as_ref().map_or(Ok(()), |revocations| revocations.refresh(now, &self.authority))
    }

    /// What a grant leads to at a target, or the code of why it cannot.
    fn effects(
        &self,
        subject: &PrincipalId,
        scope: &jit_core::Scope,
        conditions: &[jit_core::Condition],
    ) -> Result<(Vec<&Login>, CriticalOptions), Code> {
        if !matches!(subject, PrincipalId::Identity(_) | PrincipalId::Workload(_)) {
            return Err(code!("subject_cannot_hold"));
        }
        let logins = self.logins.of(subject, scope).ok_or(code!("no_login_for_scope"))?;
        Ok((logins, CriticalOptions::of(conditions)?))
    }

    /// The registered key of a subject, if certificates are for registered keys.
    async fn registered(&self, subject: &PrincipalId) -> Result<Option<SshPublicKey>, MintError> {
        let Some(holders) = &self.holders else { return Ok(None) };
        match holders.key_of(subject).await {
            Ok(Some(key)) => Ok(Some(key)),
            Ok(None) => Err(MintError::Refused { cause: code!("no_holder_key") }),
            Err(cause) => Err(MintError::Failed { cause }),
        }
    }

    async fn certify(&self, content: &Content<'_>) -> Result<Signed, MintError> {
        let not_encodable = || MintError::Failed { cause: code!("not_encodable") };
        let unsigned = content.unsigned(&self.authority).ok_or_else(not_encodable)?;
        let signature = self.key.sign(unsigned.message()).await;
        let signature = signature.map_err(|error| MintError::Failed { cause: error.code() })?;
        unsigned.signed(self.key.algorithm(), &signature, content.credential).ok_or_else(not_encodable)
    }
}

#[async_trait]
impl CredentialIssuer for SshIssuer {
    fn name(&self) -> &IssuerName {
        &self.name
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::SelfContained,
            prepares: false,
            can_revoke: self.revocations.is_some(),
            can_confirm: self.revocations.is_some(),
            native_expiry: true,
            // The nonce is random, and so is a key pair.
            idempotent_mint: false,
            cuts_sessions: false,
            leeway_s: self.leeway_s,
            min_ttl_s: 1,
            max_ttl_s: self.max_ttl_s,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        let end = self.not_after.map_or(window.end(), |end| end.min(window.end()));
        let open = Window::new(window.start(), end).ok()?;
        open.whole_seconds()?.shortened_to(Duration::from_secs(self.max_ttl_s.into()))
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        let refused = |cause| PlanRefused { cause };
        plan.needs_no_binding()?;
        self.effects(plan.subject(), plan.scope(), plan.conditions()).map_err(refused)?;
        self.fit(plan.window()).ok_or(refused(code!("window_not_expressible")))?;
        self.registered(plan.subject()).await.map_err(|error| refused(error.code()))?;
        Ok(())
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let refused = |cause| MintError::Refused { cause };
        let failed = |cause| MintError::Failed { cause };
        authorization.meant_for(self)?;
        authorization.needs_no_binding()?;
        let window = self.fit(authorization.issued()).ok_or(refused(code!("window_not_expressible")))?;
        let subject = authorization.subject();
        let (logins, critical) =
            self.effects(subject, authorization.scope(), authorization.conditions()).map_err(refused)?;
        let credential = authorization.credential();

        let no_entropy = |_| failed(code!("no_entropy"));
        let (holder, generated) = match self.registered(subject).await? {
            Some(key) => (key, None),
            None => {
                let pair = Generated::new(&*self.entropy).map_err(no_entropy)?;
                (pair.public(), Some(pair))
            }
        };
        let content = Content {
            nonce: random_bytes(&*self.entropy).map_err(no_entropy)?,
            holder: &holder,
            credential,
            reason: CredentialReason::of(authorization),
            logins,
            window,
            critical,
            permissions: &self.permissions,
        };
        let certificate = self.certify(&content).await?;

        let not_encodable = || failed(code!("not_encodable"));
        let mut secret = Zeroizing::new(Vec::new());
        if let Some(pair) = generated {
            let private = pair.to_openssh(credential).ok_or_else(not_encodable)?;
            // In one allocation, so that growing leaves no copy behind.
            secret.reserve_exact(private.len().saturating_add(certificate.line.len()));
            secret.extend_from_slice(private.as_bytes());
        }
        secret.extend_from_slice(certificate.line.as_bytes());
        let descriptor = CredentialDescriptor {
            id: credential,
            issuer: self.name.clone(),
            fingerprint: ExternalDigest::from_bytes(Sha256::digest(&certificate.bytes).into()),
            serial: ExternalId::new(SshSerial::of(credential).to_string()).map_err(|_| not_encodable())?,
            subject: subject.clone(),
            window,
            capabilities: self.capabilities(),
        };
        let secret = authorization.seal(secret).map_err(|_| failed(code!("certificate_too_long")))?;
        Ok(Minting::Done(Minted { descriptor, secret: Some(secret) }))
    }

    /// What is seen is that the list was published: the certificate opens nothing new. Sessions are not seen.
    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        authorization.meant_for(descriptor, self)?;
        if descriptor.serial.as_str() != SshSerial::of(descriptor.id).to_string() {
            return Err(RevokeError::Refused { cause: code!("other_credential") });
        }
        let Some(revocations) = &self.revocations else {
            return Ok(RevokeOutcome::CannotRevoke { until: descriptor.dies_at() });
        };
        match revocations.revoke(descriptor, authorization.at(), &self.authority) {
            Ok(true) => Ok(RevokeOutcome::Revoked { finding: code!("krl_published") }),
            Ok(false) => Ok(RevokeOutcome::AlreadyGone),
            Err(PublishError::NotPublished { cause }) => Err(RevokeError::Failed { cause }),
            Err(PublishError::Unknown { cause }) => Err(RevokeError::Unknown { cause }),
        }
    }

    /// Whether the published list has it. Else, a certificate whose `credential.issued` is not recorded was never released: it died
    /// with the process that signed it.
    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        let serial = SshSerial::of(query.credential());
        let gone = self.revocations.as_ref().is_some_and(|revocations| revocations.shows(serial));
        Ok(if gone { Observed::Gone } else { Observed::NeverExisted })
    }
}

impl fmt::Debug for SshIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshIssuer")
            .field("name", &self.name)
            .field("authority", &self.authority)
            .field("revocations", &self.revocations)
            .finish_non_exhaustive()
    }
}
