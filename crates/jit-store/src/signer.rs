//! Who signs checkpoints: a key in memory here, a key service elsewhere.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use jit_log::{NoteSignature, Origin, SignerKey, VerifierKey};

use crate::backend::Source;
use crate::signer_file::{KeyFile, KeyFileError};

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

/// An Ed25519 key held in memory, perhaps read from a file.
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

    /// Signs with the key in a file, in the form `PRIVATE+KEY+<name>+<key id>+<base64>` of Go's `note` package.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file is not one that only its owner can read, or holds no such key.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let file = KeyFile::new(path);
        let key = SignerKey::parse(&file.read()?).map_err(|source| file.wrong(source))?;
        Ok(Self { key })
    }

    /// Makes a key of the operating system's randomness, for log `origin`, and writes it to a new file that only its owner can
    /// read.
    ///
    /// # Errors
    /// [`KeyFileError`], also if the file exists; it stays as it is then.
    pub fn generate(origin: &Origin, path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let file = KeyFile::new(path);
        let key = SignerKey::from_seed(origin, file.seed()?);
        file.create(&key.encode())?;
        Ok(Self { key })
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
