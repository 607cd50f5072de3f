//! Keys that sign credentials, wherever they live.
//!
//! An issuer holds an `Arc<dyn SigningKey>`: a [`LocalKey`] in this process, a `Pkcs11Key` in a token (feature `pkcs11`), or a key
//! service behind the same trait. What verifiers
//! need to know of it is its [`PublicKey`], which has one name everywhere: its [`Thumbprint`].

mod error;
mod local;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod public;

use std::fmt;

use async_trait::async_trait;

#[cfg(feature = "pkcs11")]
pub use error::Pkcs11Error;
pub use error::{KeyError, SigningError};
pub use local::LocalKey;
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pkcs11Key, Pkcs11Module};
pub use public::{PublicKey, PublicKeyParts, Thumbprint};

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA with P-256 and SHA-256 (FIPS 186-5).
    EcdsaP256Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2).
    RsaPkcs1Sha256,
}

/// A private key that signs, wherever it lives: memory, file, key service, hardware.
///
/// # Contract
///
/// 1. [`algorithm`](Self::algorithm) and [`public_key`](Self::public_key) are constant for the life of the value, and belong together.
/// 2. A signature verifies under that public key, over exactly the bytes of the message.
/// 3. `Debug` shows nothing of the private key.
///
/// ```
/// use jit_issuer::key::{KeyAlgorithm, LocalKey, SigningKey};
///
/// # async fn sign() -> Result<(), jit_issuer::key::SigningError> {
/// let key = LocalKey::from_ed25519_seed([7; 32]); // from a key store, never a constant
/// assert_eq!(key.algorithm(), KeyAlgorithm::Ed25519);
/// assert_eq!(key.sign(b"a message").await?.len(), 64);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait SigningKey: Send + Sync + fmt::Debug {
    /// How it signs.
    fn algorithm(&self) -> KeyAlgorithm;

    /// The public half: a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
    fn public_key(&self) -> &[u8];

    /// Signs a message. Ed25519: 64 bytes (RFC 8032); ECDSA: `r || s`, 64 bytes (IEEE P1363); RSA: as long as the modulus
    /// (RFC 8017). Cancellation-safe: a dropped future may leave a signature made that nobody sees.
    ///
    /// # Errors
    /// [`SigningError`] if there is no signature.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError>;
}
