//! The issuer that a case is about, and its target.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jit_core::{CredentialDescriptor, CredentialId, Timestamp, code};
use jit_issuer::{
    CredentialIssuer, Found, MintAuthorization, Minted, Minting, ObserveError, Observed, ReconcileQuery,
    RevokeAuthorization, RevokeOutcome, Secret,
};

use super::IssuerFactory;
use crate::{CaseSetup, RecordedCase};

/// An issuer at a target at which nothing of it exists.
pub struct Subject {
    issuer: Arc<dyn CredentialIssuer>,
    target: Arc<dyn Asked>,
}

/// A factory with one of its targets.
#[async_trait]
trait Asked: Send + Sync {
    async fn issuer(&self) -> Arc<dyn CredentialIssuer>;
    fn setup(&self, seed: u64) -> CaseSetup;
    async fn opens(&self, credential: &CredentialDescriptor, secret: Option<&[u8]>) -> Option<bool>;
}

struct AtTarget<F: IssuerFactory>(Arc<F>, F::Target);

#[async_trait]
impl<F: IssuerFactory> Asked for AtTarget<F> {
    async fn issuer(&self) -> Arc<dyn CredentialIssuer> {
        self.0.issuer(&self.1).await
    }

    fn setup(&self, seed: u64) -> CaseSetup {
        self.0.setup(seed)
    }

    async fn opens(&self, credential: &CredentialDescriptor, secret: Option<&[u8]>) -> Option<bool> {
        self.0.opens(&self.1, credential, secret).await
    }
}

/// A credential that was minted to its end, with its secret as its caller gets it.
pub(super) struct Live {
    pub(super) descriptor: CredentialDescriptor,
    pub(super) secret: Option<Secret>,
}

impl Subject {
    pub(super) async fn new<F: IssuerFactory>(factory: Arc<F>) -> Self {
        let target = factory.fresh().await;
        let target = AtTarget(factory, target);
        Self { issuer: target.issuer().await, target: Arc::new(target) }
    }

    pub(super) fn issuer(&self) -> &dyn CredentialIssuer {
        &*self.issuer
    }

    /// The issuer as another process has it.
    pub(super) async fn another_process(&self) -> Arc<dyn CredentialIssuer> {
        self.target.issuer().await
    }

    /// An approved case that the issuer can serve.
    pub(super) fn case(&self, seed: u64) -> RecordedCase {
        RecordedCase::approved(self.target.setup(seed))
    }

    /// Mints, records, and opens the secret.
    pub(super) async fn mint(&self, case: &mut RecordedCase) -> Live {
        let authorization = case.authorize(&*self.issuer);
        self.finish(case, &authorization).await
    }

    pub(super) async fn finish(&self, case: &mut RecordedCase, authorization: &MintAuthorization) -> Live {
        let minted = match self.issuer.mint(authorization).await.expect("an authorised mint succeeds") {
            Minting::Done(minted) => minted,
            Minting::Prepared(prepared) => {
                let recorded = case.prepared(prepared.descriptor());
                self.issuer.commit(prepared, &recorded).await.expect("a recorded commit succeeds")
            }
        };
        let Minted { descriptor, secret } = minted;
        let issued = case.issued(&descriptor);
        let secret = secret.map(|sealed| sealed.open(&issued).expect("the record of the issuance opens the secret"));
        Live { descriptor, secret }
    }

    /// Takes a credential back.
    pub(super) async fn revoke(&self, descriptor: &CredentialDescriptor) -> RevokeOutcome {
        revoke(&*self.issuer, descriptor).await
    }

    /// Whether the credential opens its target, if the target can be asked.
    pub(super) async fn opens(&self, live: &Live) -> Option<bool> {
        self.target.opens(&live.descriptor, live.secret.as_ref().map(Secret::expose)).await
    }

    /// Whether what a descriptor names opens its target without its secret.
    pub(super) async fn opens_without_secret(&self, descriptor: &CredentialDescriptor) -> Option<bool> {
        self.target.opens(descriptor, None).await
    }

    /// What the target has under the id of a credential; a target that is still at it is asked again.
    pub(super) async fn look(&self, case: &RecordedCase, credential: CredentialId) -> Result<Observed, ObserveError> {
        let intended = case.case().credentials()[&credential].intended.clone();
        let query = ReconcileQuery::new(credential, intended);
        let issuer = self.another_process().await;
        for _ in 0..1000 {
            match issuer.reconcile(&query).await {
                Err(ObserveError::Unknown { .. }) => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
        panic!("reconcile does not find out what became of {credential}")
    }

    /// The whole listing, or `None` if the target cannot list.
    pub(super) async fn list(&self) -> Option<Vec<Found>> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = match self.issuer.list(Timestamp::EPOCH, after.as_ref()).await {
                Ok(page) => page,
                Err(ObserveError::Unsupported) => return None,
                Err(error) => panic!("list answers {error}"),
            };
            found.extend(page.found);
            assert!(found.len() < 10_000, "the listing does not end");
            let Some(next) = page.next else { return Some(found) };
            assert_ne!(Some(&next), after.as_ref(), "the listing does not go on");
            after = Some(next);
        }
    }
}

pub(super) async fn revoke(issuer: &dyn CredentialIssuer, descriptor: &CredentialDescriptor) -> RevokeOutcome {
    let authorization = RevokeAuthorization::store_down(code!("conformance"), descriptor.window.start(), descriptor);
    issuer.revoke(&authorization, descriptor).await.expect("an authorised revocation is answered")
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("issuer", self.issuer.name()).finish_non_exhaustive()
    }
}
