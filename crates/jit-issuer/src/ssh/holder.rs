//! Whose key pair a certificate certifies.

use async_trait::async_trait;
use ed25519_dalek::SigningKey;
use jit_core::{Code, CredentialId, Entropy, EntropyError, PrincipalId};
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData},
    public::Ed25519PublicKey,
};
use zeroize::Zeroizing;

use super::public_key::SshPublicKey;

/// The registered public keys of those who receive access. Whoever has one keeps the private half, and what is minted for them is
/// a certificate alone, of no use to anybody else.
#[async_trait]
pub trait HolderKeys: Send + Sync {
    /// The key of this subject; `None` if none is registered. Has no effect. Cancellation-safe.
    ///
    /// # Errors
    /// A code if that could not be found out.
    async fn key_of(&self, subject: &PrincipalId) -> Result<Option<SshPublicKey>, Code>;
}

/// A key pair made for one credential. Erased when dropped, never shown.
pub(super) struct Generated(SigningKey);

impl Generated {
    /// A new Ed25519 key pair.
    pub(super) fn new(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut_slice())?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    pub(super) fn public(&self) -> SshPublicKey {
        SshPublicKey::from_ed25519(self.0.verifying_key().to_bytes())
    }

    /// The private key as OpenSSH stores it (PROTOCOL.key), not encrypted; `None` if it cannot be encoded.
    pub(super) fn to_openssh(&self, credential: CredentialId) -> Option<Zeroizing<String>> {
        let pair = Ed25519Keypair {
            public: Ed25519PublicKey(self.0.verifying_key().to_bytes()),
            private: Ed25519PrivateKey::from_bytes(self.0.as_bytes()),
        };
        let key = PrivateKey::new(KeypairData::Ed25519(pair), credential.to_string()).ok()?;
        key.to_openssh(LineEnding::LF).ok()
    }
}
