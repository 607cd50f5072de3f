//! A seal is opened once.

fn open(sealed: jit_issuer::Sealed, issued: &jit_core::Recorded) {
    let _ = sealed.open(issued);
    let _ = sealed.open(issued);
}

fn main() {}
