//! What goes wrong with keys. Never holds any of a key.

use std::{io, path::PathBuf};

use jit_core::{Code, EntropyError};

use super::KeyAlgorithm;

/// No signature was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The key could not be used now. Nothing was signed.
    #[error("signing key is not available: {cause}")]
    Unavailable {
        /// Why.
        cause: Code,
    },
    /// What came back is no signature of this algorithm.
    #[error("signing key answered something that is no signature")]
    Malformed,
}

impl SigningError {
    /// The cause, for the record.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unavailable { cause } => cause.clone(),
            Self::Malformed => jit_core::code!("signature_malformed"),
        }
    }
}

/// There is no usable key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Bytes are not a private key of a known algorithm in PKCS#8 (RFC 5958), or not a strong enough one.
    #[error("not a usable PKCS#8 private key")]
    NotPrivate,
    /// Bytes are not a public key of a known algorithm (RFC 5280 section 4.1.2.7), or not a strong enough one.
    #[error("not a usable public key")]
    NotPublic,
    /// A key has another algorithm than its public half.
    #[error("signing key says {0:?} and has a public key of another algorithm")]
    OtherAlgorithm(KeyAlgorithm),
    /// Keys of this algorithm are not made here.
    #[error("keys for {0:?} are not generated")]
    NotGenerated(KeyAlgorithm),
    /// There was no randomness.
    #[error("no key could be made")]
    Entropy(#[from] EntropyError),
    /// The file cannot be read.
    #[error("key file {} cannot be read", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("key file {} has mode {mode:04o}, and must be for its owner alone (0600)", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds no usable key.
    #[error("key file {} holds no usable private key", path.display())]
    WrongFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<KeyError>,
    },
}
