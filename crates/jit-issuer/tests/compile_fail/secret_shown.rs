//! A secret is not displayed, serialised or copied.

fn needs_display<T: std::fmt::Display>() {}
fn needs_serialize<T: serde::Serialize>() {}
fn needs_clone<T: Clone>() {}

fn main() {
    needs_display::<jit_issuer::Secret>();
    needs_serialize::<jit_issuer::Secret>();
    needs_clone::<jit_issuer::Secret>();
    needs_serialize::<jit_issuer::Sealed>();
    needs_serialize::<jit_issuer::Minted>();
}
