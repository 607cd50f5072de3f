//! Serial numbers of certificates.

use std::{fmt, num::NonZeroU64};

use jit_core::CredentialId;
use sha2::{Digest as _, Sha256};

const CONTEXT: &[u8] = b"jit-issuer ssh serial v1\0";

/// The serial number of a certificate, computed from its credential id alone, so that anybody who knows the id finds the
/// certificate in a log and in a revocation list: the first eight bytes, big-endian, of
/// `SHA-256("jit-issuer ssh serial v1" ‖ 0x00 ‖ id)`, with 1 in place of 0, which OpenSSH takes for "no serial number".
///
/// Two of `n` certificates share one with probability `n²/2⁶⁵`: with a million that have not expired, one in 37 million. Then
/// revoking one revokes both: access is lost, never kept.
///
/// ```
/// use jit_core::CredentialId;
/// use jit_issuer::ssh::SshSerial;
/// let id: CredentialId = "019a4c5e-8f00-7000-8000-000000000001".parse()?;
/// assert_eq!(SshSerial::of(id), SshSerial::of(id));
/// # Ok::<(), jit_core::IdError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshSerial(NonZeroU64);

impl SshSerial {
    /// A serial number that is known.
    #[must_use]
    pub const fn new(serial: NonZeroU64) -> Self {
        Self(serial)
    }

    /// The serial number of this credential's certificate.
    #[must_use]
    pub fn of(credential: CredentialId) -> Self {
        let digest: [u8; 32] =
            Sha256::new().chain_update(CONTEXT).chain_update(credential.as_bytes()).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self(NonZeroU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])).unwrap_or(NonZeroU64::MIN))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for SshSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
