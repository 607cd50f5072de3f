//! An issuer is not called with a case and a credential id; it takes an authorisation.

async fn mint(issuer: &dyn jit_issuer::CredentialIssuer, credential: jit_core::CredentialId) {
    let _ = issuer.mint(&credential).await;
}

fn main() {}
