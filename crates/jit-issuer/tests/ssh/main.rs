//! OpenSSH reads our certificates and revocation lists as we mean them: `ssh-keygen` and a real `sshd` on loopback.
//!
//! Needs Debian's `openssh-client` and `openssh-server`; nothing of their configuration is read or changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod certificate;
mod conformance;
mod issuing;
mod krl;
mod login;
mod observing;
mod openssh;
mod refusing;
mod revoking;
mod secrecy;
mod skew;
