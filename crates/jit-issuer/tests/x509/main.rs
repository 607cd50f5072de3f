//! Certificates as OpenSSL, rustls and Python's `cryptography` see them, none of which shares code with this workspace.
//!
//! Needs `openssl`, and a Python that has `scripts/python-requirements.txt`; `scripts/test` installs both and names the interpreter in
//! `JIT_TEST_PYTHON`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod authority;
mod certificate;
mod conformance;
mod handshake;
mod minted;
mod pki;
mod refusal;
mod request;
mod revocation;
mod window;
