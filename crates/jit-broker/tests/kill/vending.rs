//! A target that hands sessions out, keeps no list of them and takes none back, as cloud providers do.

use async_trait::async_trait;
use jit_core::{CrashClass, CredentialDescriptor, ExternalDigest, ExternalId, IssuerCapabilities, IssuerName, Window};
use jit_issuer::{
    CredentialIssuer, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError, Observed, PlanRefused,
    ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome,
};
use zeroize::Zeroizing;

pub struct Vending(IssuerName);

impl Vending {
    pub fn new(name: IssuerName) -> Self {
        Self(name)
    }
}

#[async_trait]
impl CredentialIssuer for Vending {
    fn name(&self) -> &IssuerName {
        &self.0
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::RemoteStateless,
            prepares: false,
            can_revoke: false,
            can_confirm: false,
            native_expiry: true,
            idempotent_mint: false,
            cuts_sessions: false,
            leeway_s: 0,
            min_ttl_s: 1,
            max_ttl_s: 86_400,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        Some(window)
    }

    async fn preflight(&self, _: &MintPlan) -> Result<(), PlanRefused> {
        Ok(())
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let id = authorization.credential();
        let descriptor = CredentialDescriptor {
            id,
            issuer: self.0.clone(),
            fingerprint: ExternalDigest::of(id.as_bytes()),
            serial: ExternalId::new(format!("session:{id}")).unwrap(),
            subject: authorization.subject().clone(),
            window: authorization.issued(),
            capabilities: self.capabilities(),
        };
        let secret = authorization.seal(Zeroizing::new(b"session token".to_vec())).unwrap();
        Ok(Minting::Done(Minted { descriptor, secret: Some(secret) }))
    }

    async fn revoke(
        &self,
        _: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        Ok(RevokeOutcome::CannotRevoke { until: descriptor.dies_at() })
    }

    async fn reconcile(&self, _: &ReconcileQuery) -> Result<Observed, ObserveError> {
        Err(ObserveError::Unsupported)
    }
}
