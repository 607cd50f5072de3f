//! A record that is not proven to be in the log authorises nothing.

fn authorize(case: &jit_core::Case, record: &jit_core::Record) {
    let _ = jit_issuer::MintAuthorization::new(case, record);
}

fn main() {}
