//! Secrets: sealed from the moment they exist, open only to the record that they were issued (INV-02, INV-17).

use std::fmt;

use jit_core::{CredentialId, Kind, Recorded};
use zeroize::Zeroizing;

use crate::binding::{Binding, RecordMismatch};

/// The most bytes a secret may have.
pub const MAX_SECRET: usize = 65_536;

/// What was minted cannot be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It has no bytes.
    #[error("secret of credential {0} is empty")]
    Empty(CredentialId),
    /// It has too many bytes.
    #[error("secret of credential {0} is longer than {MAX_SECRET} bytes")]
    TooLong(CredentialId),
}

/// A minted secret that nobody can read yet. Made by [`MintAuthorization::seal`](crate::MintAuthorization::seal), opened by
/// the `credential.issued` that follows from the same intent. Dropping it erases the secret; what was minted must then be
/// revoked.
///
/// ```
/// # fn release(sealed: jit_issuer::Sealed, issued: &jit_core::Recorded) -> Result<(), jit_issuer::RecordMismatch> {
/// let secret = sealed.open(issued)?;
/// println!("{secret:?}"); // Secret(redacted)
/// # Ok(())
/// # }
/// ```
#[must_use = "a sealed secret is opened by its record, or erased"]
pub struct Sealed {
    binding: Binding,
    secret: Secret,
}

impl Sealed {
    pub(crate) fn new(binding: Binding, secret: Zeroizing<Vec<u8>>) -> Result<Self, SecretError> {
        match secret.len() {
            0 => Err(SecretError::Empty(binding.credential)),
            1..=MAX_SECRET => Ok(Self { binding, secret: Secret(secret) }),
            _ => Err(SecretError::TooLong(binding.credential)),
        }
    }

    /// The credential whose secret this is.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.binding.credential
    }

    /// Opens the secret with the record that its credential was issued.
    ///
    /// # Errors
    /// [`RecordMismatch`] with any other record. The secret is erased then, and its credential must be revoked.
    pub fn open(self, issued: &Recorded) -> Result<Secret, RecordMismatch> {
        self.binding.check(issued, Kind::CredentialIssued)?;
        Ok(self.secret)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("credential", &self.binding.credential).finish_non_exhaustive()
    }
}

/// An opened secret. Erased from memory when dropped; never shown, copied or serialised by this crate.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes, for the hand-over to their holder.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
