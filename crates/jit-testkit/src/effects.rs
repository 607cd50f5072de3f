//! Counts how often a target was made to act (INV-20).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use jit_core::{CredentialDescriptor, CredentialId, IssuerCapabilities, IssuerName, Recorded, Timestamp, Window};
use jit_issuer::{
    CredentialIssuer, Cursor, FoundPage, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError,
    Observed, OrphanAuthorization, PlanRefused, Prepared, ReconcileQuery, RevokeAuthorization, RevokeError,
    RevokeOutcome,
};

/// How often a target was, or may have been, made to act on one credential. Calls that promise to have had no effect do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Mints, prepared ones included.
    pub mints: u32,
    /// Commits.
    pub commits: u32,
    /// Abandonments.
    pub abandonments: u32,
    /// Revocations.
    pub revocations: u32,
}

/// Wraps an issuer and counts. A call counts from its beginning, so that one that is cancelled counts too.
pub struct EffectCounter {
    issuer: Arc<dyn CredentialIssuer>,
    effects: Mutex<BTreeMap<CredentialId, Effects>>,
}

type Count = fn(&mut Effects) -> &mut u32;

impl EffectCounter {
    /// Counts what this issuer does.
    #[must_use]
    pub fn new(issuer: Arc<dyn CredentialIssuer>) -> Self {
        Self { issuer, effects: Mutex::default() }
    }

    /// The effects on one credential.
    #[must_use]
    pub fn on(&self, credential: CredentialId) -> Effects {
        self.all().get(&credential).copied().unwrap_or_default()
    }

    /// The effects on every credential.
    #[must_use]
    pub fn all(&self) -> BTreeMap<CredentialId, Effects> {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The credentials that were minted, committed or abandoned more than once: each violates INV-20.
    #[must_use]
    pub fn repeated(&self) -> Vec<CredentialId> {
        let repeated = |e: &Effects| e.mints > 1 || e.commits > 1 || e.abandonments > 1;
        self.all().into_iter().filter(|(_, e)| repeated(e)).map(|(id, _)| id).collect()
    }

    async fn counted<T, E>(
        &self,
        credential: CredentialId,
        count: Count,
        had_no_effect: fn(&E) -> bool,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.change(credential, count, 1);
        let result = call.await;
        if result.as_ref().is_err_and(had_no_effect) {
            self.change(credential, count, -1);
        }
        result
    }

    fn change(&self, credential: CredentialId, count: Count, by: i32) {
        let mut effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = count(effects.entry(credential).or_default());
        *counter = counter.checked_add_signed(by).expect("a count");
    }
}

fn not_minted(error: &MintError) -> bool {
    !matches!(error, MintError::Unknown { .. })
}

#[async_trait]
impl CredentialIssuer for EffectCounter {
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
        let call = self.issuer.mint(authorization);
        self.counted(authorization.credential(), |e| &mut e.mints, not_minted, call).await
    }

    async fn commit(&self, prepared: Prepared, recorded: &Recorded) -> Result<Minted, MintError> {
        let credential = prepared.descriptor().id;
        self.counted(credential, |e| &mut e.commits, not_minted, self.issuer.commit(prepared, recorded)).await
    }

    async fn abandon(&self, prepared: Prepared) -> Result<(), MintError> {
        let credential = prepared.descriptor().id;
        self.counted(credential, |e| &mut e.abandonments, not_minted, self.issuer.abandon(prepared)).await
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        let lives = |error: &RevokeError| !matches!(error, RevokeError::Unknown { .. });
        let call = self.issuer.revoke(authorization, descriptor);
        self.counted(authorization.credential(), |e| &mut e.revocations, lives, call).await
    }

    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        self.issuer.reconcile(query).await
    }

    async fn end_orphan(&self, authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        self.issuer.end_orphan(authorization).await
    }

    async fn list(&self, since: Timestamp, after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        self.issuer.list(since, after).await
    }
}
