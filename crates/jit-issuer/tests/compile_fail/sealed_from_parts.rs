//! A seal is made under an authorisation.

fn main() {
    let _ = jit_issuer::Sealed::new;
}
