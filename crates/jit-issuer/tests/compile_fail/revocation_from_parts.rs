//! A revocation is authorised by a record, or says that the store is down.

fn forge(credential: jit_core::CredentialId, basis: jit_issuer::RevokeBasis) -> jit_issuer::RevokeAuthorization {
    jit_issuer::RevokeAuthorization { credential, basis }
}

fn main() {}
