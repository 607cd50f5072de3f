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

/// A key in a PKCS#11 token cannot be used. Never names the PIN.
#[cfg(feature = "pkcs11")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The library cannot be loaded or initialised.
    #[error("PKCS#11 library {} cannot be used", path.display())]
    Library {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No initialised token has this label.
    #[error("no token is labelled {token:?}")]
    NoToken {
        /// The label.
        token: String,
    },
    /// Several tokens have this label.
    #[error("several tokens are labelled {token:?}")]
    TwoTokens {
        /// The label.
        token: String,
    },
    /// The token refuses the PIN. It was tried once.
    #[error("token {token:?} refuses the pin")]
    WrongPin {
        /// The label of the token.
        token: String,
    },
    /// The PIN was refused too often, or must be changed.
    #[error("token {token:?} takes no pin until it is reset")]
    PinLocked {
        /// The label of the token.
        token: String,
    },
    /// No private key has this label.
    #[error("token {token:?} has no private key labelled {label:?}")]
    NoKey {
        /// The label of the token.
        token: String,
        /// The label of the key.
        label: String,
    },
    /// Several private keys have this label.
    #[error("token {token:?} has several private keys labelled {label:?}")]
    TwoKeys {
        /// The label of the token.
        token: String,
        /// The label of the key.
        label: String,
    },
    /// The token does not have exactly one public key with the id of the private one.
    #[error("private key {label:?} has no public key of its id")]
    NoPublicKey {
        /// The label of the key.
        label: String,
    },
    /// The key is neither of P-256 nor of RSA with 2048 to 8192 bits.
    #[error("key {label:?} is of no algorithm that issuers sign with")]
    UnfitKey {
        /// The label of the key.
        label: String,
    },
    /// The public key of the same id verifies nothing that the private one signs.
    #[error("private and public key {label:?} do not belong together")]
    NotAPair {
        /// The label of the key.
        label: String,
    },
    /// The key did not sign.
    #[error("key {label:?} does not sign")]
    Trial {
        /// The label of the key.
        label: String,
        /// Why.
        #[source]
        error: SigningError,
    },
    /// The token answers with another error.
    #[error("token fails")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(feature = "pkcs11")]
impl From<cryptoki::error::Error> for Pkcs11Error {
    fn from(error: cryptoki::error::Error) -> Self {
        Self::Token(Box::new(error))
    }
}

#[cfg(feature = "pkcs11")]
impl Pkcs11Error {
    /// The cause, for the record.
    #[must_use]
    pub fn code(&self) -> Code {
        use jit_core::code;
        match self {
            Self::Library { .. } => code!("library_unusable"),
            Self::NoToken { .. } | Self::TwoTokens { .. } => code!("token_absent"),
            Self::WrongPin { .. } | Self::PinLocked { .. } => code!("pin_refused"),
            Self::NoKey { .. } | Self::TwoKeys { .. } | Self::NoPublicKey { .. } => code!("key_absent"),
            Self::UnfitKey { .. } | Self::NotAPair { .. } => code!("key_replaced"),
            Self::Trial { error, .. } => error.code(),
            Self::Token(_) => code!("token_failed"),
        }
    }
}
