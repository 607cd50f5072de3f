//! An authorisation is made from a recorded intent, not from its parts.

fn forge(model: jit_issuer::MintAuthorization, grant: jit_core::GrantId) -> jit_issuer::MintAuthorization {
    jit_issuer::MintAuthorization { grant, ..model }
}

fn main() {}
