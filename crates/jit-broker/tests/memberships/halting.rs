//! An issuer that mints and keeps its answer back.

use std::sync::Arc;

use async_trait::async_trait;
use jit_core::*;
use jit_issuer::*;
use tokio::sync::Notify;

pub struct Halting {
    issuer: Arc<dyn CredentialIssuer>,
    pub minted: Notify,
    pub go_on: Notify,
}

impl Halting {
    /// Every mint is done, says so, and waits to be told to go on.
    pub fn before_answers(issuer: Arc<dyn CredentialIssuer>) -> Self {
        Self { issuer, minted: Notify::new(), go_on: Notify::new() }
    }
}

#[async_trait]
impl CredentialIssuer for Halting {
    fn name(&self) -> &IssuerName {
        self.issuer.name()
    }

    fn capabilities(&self) -> IssuerCapabilities {
        self.issuer.capabilities()
    }

    fn fit(&self, window: Window) -> Option<Window> {
        self.issuer.fit(window)
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        self.issuer.preflight(plan).await
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let minting = self.issuer.mint(authorization).await;
        self.minted.notify_one();
        self.go_on.notified().await;
        minting
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        self.issuer.revoke(authorization, descriptor).await
    }

    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        self.issuer.reconcile(query).await
    }

    async fn list(&self, since: Timestamp, after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        self.issuer.list(since, after).await
    }

    async fn end_orphan(&self, authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        self.issuer.end_orphan(authorization).await
    }
}
