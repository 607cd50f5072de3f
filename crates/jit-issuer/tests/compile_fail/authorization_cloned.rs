//! An authorisation is not copied.

fn needs_clone<T: Clone>() {}

fn main() {
    needs_clone::<jit_issuer::MintAuthorization>();
}
