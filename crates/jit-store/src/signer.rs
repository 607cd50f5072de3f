//! Who signs checkpoints: a key in memory here, a key service elsewhere.

use std::fmt;

use async_trait::async_trait;
use jit_log::{NoteSignature, SignerKey, VerifierKey};

use crate::backend::Source;

/// Signs the checkpoints of one log.
///
/// A signer is asked only for checkpoints that this process has verified to extend the last one, but many processes may
/// ask one signer; it need not remember what it signed.
///
/// # Contract
///
/// 1. [`sign`](CheckpointSigner::sign) answers one signature of a C2SP signed note, of type Ed25519 (`0x01`),
///    over exactly the bytes of `text`.
/// 2. The name is the log's origin, and [`verifier`](CheckpointSigner::verifier) verifies it.
/// 3. Dropping the future may leave a signature made that nobody sees; that is harmless.
#[async_trait]
pub trait CheckpointSigner: fmt::Debug + Send + Sync + 'static {
    /// The public half.
    fn verifier(&self) -> VerifierKey;

    /// Signs the text of a checkpoint.
    ///
    /// # Errors
    /// [`SignError`] if no signature was made.
    async fn sign(&self, text: &str) -> Result<NoteSignature, SignError>;
}

/// A signer gave no signature.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint was not signed")]
pub struct SignError {
    /// What the key service said.
    #[source]
    pub source: Source,
}

/// An Ed25519 key held in memory.
///
/// ```
/// use jit_log::{KeyName, SignerKey};
/// use jit_store::{CheckpointSigner, Ed25519Signer};
///
/// let name = KeyName::parse("example.org/evidence/eu")?;
/// let signer = Ed25519Signer::new(SignerKey::from_seed(name, [7; 32]));
/// assert!(signer.verifier().to_string().starts_with("example.org/evidence/eu+"));
/// # Ok::<(), jit_log::OriginError>(())
/// ```
#[derive(Debug)]
pub struct Ed25519Signer {
    key: SignerKey,
}

impl Ed25519Signer {
    /// Signs with this key.
    #[must_use]
    pub fn new(key: SignerKey) -> Self {
        Self { key }
    }
}

#[async_trait]
impl CheckpointSigner for Ed25519Signer {
    fn verifier(&self) -> VerifierKey {
        self.key.verifier()
    }

    async fn sign(&self, text: &str) -> Result<NoteSignature, SignError> {
        Ok(self.key.sign(text))
    }
}
