//! Keys in the memory of this process.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use async_trait::async_trait;
use ed25519_dalek::Signer as _;
use jit_core::{Entropy, code};
use pkcs8::{EncodePublicKey as _, PrivateKeyInfoRef, SecretDocument, der::Decode as _};
use ring::{rand::SystemRandom, signature::RSA_PKCS1_SHA256};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    KeyAlgorithm, KeyError, PublicKey, SigningError, SigningKey,
    public::{EC, ED25519, RSA},
};

/// More than any key file has, in bytes.
const MAX_FILE: u64 = 16_384;
/// Of random numbers of 256 bits, fewer than one in 2^32 is no P-256 key.
const P256_ATTEMPTS: usize = 4;

/// A private key in this process. Never shown; erased from memory when dropped, except for RSA, whose numbers `ring` does not
/// erase: keep those in a key service.
///
/// Files are PEM of PKCS#8 (RFC 5958, RFC 7468), as `openssl genpkey -algorithm ed25519` writes them, not encrypted.
pub struct LocalKey {
    private: Private,
    public: PublicKey,
}

enum Private {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    Rsa(Box<ring::rsa::KeyPair>),
}

impl LocalKey {
    /// An Ed25519 key from its 32-byte seed (RFC 8032 section 5.1.5).
    #[must_use]
    pub fn from_ed25519_seed(mut seed: [u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self::ed25519(key)
    }

    /// A key from PKCS#8 (RFC 5958). RSA keys have 2048 to 4096 bits.
    ///
    /// # Errors
    /// [`KeyError::NotPrivate`] if it is none of a known algorithm.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::parse(der).ok_or(KeyError::NotPrivate)
    }

    /// A key from PKCS#8 in PEM, labelled `PRIVATE KEY` (RFC 7468 section 10).
    ///
    /// # Errors
    /// [`KeyError::NotPrivate`] if it is none of a known algorithm.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        match SecretDocument::from_pem(pem) {
            Ok(("PRIVATE KEY", document)) => Self::from_pkcs8_der(document.as_bytes()),
            _ => Err(KeyError::NotPrivate),
        }
    }

    /// The key in a PEM file that nobody but its owner may read (mode 0600 or stricter; checked on Unix).
    ///
    /// # Errors
    /// [`KeyError`] if the file is exposed or cannot be read, or holds no such key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let text = read_private(path)?;
        Self::from_pkcs8_pem(&text)
            .map_err(|source| KeyError::WrongFile { path: path.to_path_buf(), source: Box::new(source) })
    }

    /// A new key. RSA keys are not made here.
    ///
    /// # Errors
    /// [`KeyError::NotGenerated`], [`KeyError::Entropy`].
    pub fn generate(algorithm: KeyAlgorithm, entropy: &(impl Entropy + ?Sized)) -> Result<Self, KeyError> {
        let mut random = Zeroizing::new([0; 32]);
        match algorithm {
            KeyAlgorithm::Ed25519 => {
                entropy.fill(&mut *random)?;
                Ok(Self::ed25519(ed25519_dalek::SigningKey::from_bytes(&random)))
            }
            KeyAlgorithm::EcdsaP256Sha256 => {
                for _ in 0..P256_ATTEMPTS {
                    entropy.fill(&mut *random)?;
                    if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&*random) {
                        return Self::p256(key).ok_or(KeyError::NotPrivate);
                    }
                }
                Err(KeyError::NotPrivate)
            }
            KeyAlgorithm::RsaPkcs1Sha256 => Err(KeyError::NotGenerated(algorithm)),
        }
    }

    /// The key as the one that its holder gets: PKCS#8 in PEM, version 1, which every reader knows. Not for RSA.
    #[cfg(feature = "x509")]
    pub(crate) fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        use pkcs8::{EncodePrivateKey as _, LineEnding};
        let encoded = match &self.private {
            Private::Ed25519(key) => {
                let pair = ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                pair.to_pkcs8_pem(LineEnding::LF)
            }
            Private::P256(key) => p256::SecretKey::from(key.as_ref().clone()).to_pkcs8_pem(LineEnding::LF),
            Private::Rsa(_) => return Err(KeyError::NotGenerated(KeyAlgorithm::RsaPkcs1Sha256)),
        };
        encoded.map_err(|_| KeyError::NotPrivate)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    fn ed25519(key: ed25519_dalek::SigningKey) -> Self {
        let public = PublicKey::from_ed25519(key.verifying_key().to_bytes());
        Self { private: Private::Ed25519(Box::new(key)), public }
    }

    fn p256(key: p256::ecdsa::SigningKey) -> Option<Self> {
        let public = key.verifying_key().to_public_key_der().ok()?;
        let public = PublicKey::from_spki_der(public.as_bytes()).ok()?;
        Some(Self { private: Private::P256(Box::new(key)), public })
    }

    fn rsa(key: ring::rsa::KeyPair) -> Option<Self> {
        let public = PublicKey::from_pkcs1(key.public().as_ref())?;
        Some(Self { private: Private::Rsa(Box::new(key)), public })
    }

    fn parse(der: &[u8]) -> Option<Self> {
        let info = PrivateKeyInfoRef::from_der(der).ok()?;
        match info.algorithm.oid {
            ED25519 => Some(Self::ed25519(info.try_into().ok()?)),
            EC => Self::p256(p256::SecretKey::try_from(info).ok()?.into()),
            RSA => Self::rsa(ring::rsa::KeyPair::from_pkcs8(der).ok()?),
            _ => None,
        }
    }
}

#[async_trait]
impl SigningKey for LocalKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm()
    }

    fn public_key(&self) -> &[u8] {
        self.public.as_der()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let unavailable = SigningError::Unavailable { cause: code!("signing_failed") };
        match &self.private {
            Private::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Private::P256(key) => {
                // Deterministic (RFC 6979).
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(|_| unavailable)?;
                Ok(signature.to_bytes().to_vec())
            }
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                // PKCS#1 v1.5 takes nothing from the random source.
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| unavailable)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKey({:?}, {}, secret)", self.algorithm(), self.public.thumbprint())
    }
}

fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let io = |source| KeyError::File { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(io)?;
    let mode = mode_of(&file).map_err(io)?;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_path_buf(), mode });
    }
    // No room to grow, so that no copy of the secret is left behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MAX_FILE).unwrap_or_default()));
    file.take(MAX_FILE).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

#[cfg(unix)]
fn mode_of(file: &File) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode_of(_: &File) -> io::Result<u32> {
    Ok(0o600)
}
