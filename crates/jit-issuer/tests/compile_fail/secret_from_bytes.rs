//! A secret comes out of a seal.

fn secret(bytes: zeroize::Zeroizing<Vec<u8>>) -> jit_issuer::Secret {
    jit_issuer::Secret(bytes)
}

fn main() {}
