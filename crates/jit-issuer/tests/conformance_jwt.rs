//! The conformance suite for tokens. What verifiers make of them, `jwt_peer` asks.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use jit_core::{CredentialDescriptor, ExternalId, Issuer, IssuerName};
use jit_issuer::{
    CredentialIssuer,
    jwt::{JwtIssuer, KeySchedule},
    key::{KeyAlgorithm, LocalKey},
};
use jit_testkit::{SeededEntropy, conformance::issuer::IssuerFactory};

/// Tokens signed by this algorithm, with one key for all processes.
struct Signed(KeyAlgorithm);

#[async_trait]
impl IssuerFactory for Signed {
    type Target = ();

    async fn fresh(&self) {}

    async fn issuer(&self, (): &()) -> Arc<dyn CredentialIssuer> {
        let key = LocalKey::generate(self.0, &SeededEntropy::new(3)).unwrap();
        Arc::new(JwtIssuer::new(
            IssuerName::new("orders-api").unwrap(),
            Issuer::new("https://access.example.org").unwrap(),
            ExternalId::new("https://orders.example.org").unwrap(),
            KeySchedule::new(Arc::new(key)).unwrap(),
        ))
    }

    async fn opens(&self, (): &(), _: &CredentialDescriptor, _: Option<&[u8]>) -> Option<bool> {
        None
    }
}

mod ed25519 {
    jit_testkit::issuer_conformance!(super::Signed(super::KeyAlgorithm::Ed25519));
}

mod ecdsa {
    jit_testkit::issuer_conformance!(super::Signed(super::KeyAlgorithm::EcdsaP256Sha256));
}
