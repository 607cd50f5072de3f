//! Public keys as OpenSSH writes them.

use std::fmt;

use jit_core::ExternalDigest;
use sha2::{Digest as _, Sha256};
use ssh_key::{
    Algorithm, EcdsaCurve, HashAlg, Mpint,
    public::{EcdsaPublicKey, Ed25519PublicKey, KeyData},
};

use super::wire::Wire;
use crate::key::{KeyAlgorithm, PublicKey, PublicKeyParts};

/// The longest line that is read as a public key, in bytes.
const MAX_LINE: usize = 8192;
/// RSA moduli have 2048 to 8192 bits, in bytes.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// A text or key is no public key that can be used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable ssh public key")]
pub struct SshKeyError;

/// A public key of a holder or of an authority.
///
/// ```
/// use jit_issuer::ssh::SshPublicKey;
/// let key = SshPublicKey::from_openssh("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti me")?;
/// assert_eq!(key.fingerprint(), "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
/// # Ok::<(), jit_issuer::ssh::SshKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SshPublicKey(KeyData);

impl SshPublicKey {
    /// A key from one line of a `.pub` file: Ed25519, ECDSA, RSA of 2048 to 8192 bits, or one in a security key.
    ///
    /// # Errors
    /// [`SshKeyError`] if it is another line, a certificate, or a key of another or too weak an algorithm.
    pub fn from_openssh(line: &str) -> Result<Self, SshKeyError> {
        if line.len() > MAX_LINE {
            return Err(SshKeyError);
        }
        let key = ssh_key::PublicKey::from_openssh(line.trim_end()).map_err(|_| SshKeyError)?;
        let usable = match key.key_data() {
            KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => true,
            KeyData::Rsa(rsa) => rsa.n.as_positive_bytes().is_some_and(|n| RSA_MODULUS.contains(&n.len())),
            _ => false,
        };
        if usable { Ok(Self(key.key_data().clone())) } else { Err(SshKeyError) }
    }

    /// The public half of a signing key.
    ///
    /// # Errors
    /// [`SshKeyError`] unless it is Ed25519, or ECDSA with P-256.
    pub fn from_public_key(key: &PublicKey) -> Result<Self, SshKeyError> {
        match key.parts() {
            PublicKeyParts::Ed25519(point) => Ok(Self::from_ed25519(*point)),
            PublicKeyParts::P256 { x, y } => {
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                EcdsaPublicKey::from_sec1_bytes(&point).map(|key| Self(key.into())).map_err(|_| SshKeyError)
            }
            _ => Err(SshKeyError),
        }
    }

    pub(super) fn from_ed25519(point: [u8; 32]) -> Self {
        Self(KeyData::Ed25519(Ed25519PublicKey(point)))
    }

    /// The key as one line of a `.pub` file or of `TrustedUserCAKeys`, without comment.
    #[must_use]
    pub fn to_openssh(&self) -> String {
        // Cannot fail: it encodes into memory what was decoded.
        let line = ssh_key::PublicKey::from(self.0.clone()).to_openssh().unwrap_or_default();
        line.trim_end().to_owned()
    }

    /// The fingerprint as `ssh-keygen -l` and sshd's log show it: `SHA256:` and base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The fingerprint as a digest.
    #[must_use]
    pub fn digest(&self) -> ExternalDigest {
        ExternalDigest::from_bytes(Sha256::digest(self.to_wire()).into())
    }

    pub(super) fn key_data(&self) -> &KeyData {
        &self.0
    }

    /// The key as certificates and revocation lists carry it (RFC 4253 section 6.6).
    pub(super) fn to_wire(&self) -> Vec<u8> {
        // Cannot fail: it encodes into memory what was decoded.
        ssh_key::PublicKey::from(self.0.clone()).to_bytes().unwrap_or_default()
    }
}

impl fmt::Debug for SshPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshPublicKey({}, {})", self.0.algorithm(), self.fingerprint())
    }
}

/// A signature of a [`SigningKey`](crate::key::SigningKey) as certificates carry it (RFC 5656 section 3.1.2, RFC 8709 section 6);
/// `None` if it is none of the algorithm.
pub(super) fn signature_blob(algorithm: KeyAlgorithm, signature: &[u8]) -> Option<Vec<u8>> {
    let (name, data) = match algorithm {
        KeyAlgorithm::Ed25519 => (Algorithm::Ed25519, <[u8; 64]>::try_from(signature).ok()?.to_vec()),
        KeyAlgorithm::EcdsaP256Sha256 => {
            let halves: [u8; 64] = signature.try_into().ok()?;
            let (r, s) = halves.split_at(32);
            let mut data = Wire::default();
            for half in [r, s] {
                data.string(Mpint::from_positive_bytes(half).ok()?.as_bytes()).ok()?;
            }
            (Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, data.0)
        }
        _ => return None,
    };
    let mut blob = Wire::default();
    blob.string(name.as_str().as_bytes()).ok()?;
    blob.string(&data).ok()?;
    Some(blob.0)
}
