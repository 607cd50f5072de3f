//! Cosignatures of witnesses: a time and a signature on another's checkpoint
//! (C2SP tlog-cosignature, `cosignature/v1`).

use std::fmt;

use zeroize::Zeroizing;

use crate::checkpoint::Checkpoint;
use crate::key::{KeyError, KeyId, SignatureType, SignerKey, VerifierKey};
use crate::note::NoteSignature;
use crate::origin::KeyName;

/// When a witness cosigned: POSIX seconds, at most 2^63 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CosignatureTime(u64);

impl CosignatureTime {
    /// Takes POSIX seconds; `None` beyond 2^63 − 1.
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Option<Self> {
        if seconds > i64::MAX as u64 {
            return None;
        }
        Some(Self(seconds))
    }

    /// The POSIX seconds.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CosignatureTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A verified statement of a witness: at `time` this was the largest tree of the log that it had
/// seen, and consistent with all it had seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    cosigner: KeyName,
    key_id: KeyId,
    time: CosignatureTime,
}

impl Cosignature {
    pub(crate) fn new(key: &VerifierKey, time: CosignatureTime) -> Self {
        Self { cosigner: key.name().clone(), key_id: key.id(), time }
    }

    /// Name of the witness's key.
    #[must_use]
    pub fn cosigner(&self) -> &KeyName {
        &self.cosigner
    }

    /// Id of the witness's key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// When the witness signed, by its own clock.
    #[must_use]
    pub fn time(&self) -> CosignatureTime {
        self.time
    }
}

/// A witness's private key. Erased from memory when dropped, never shown.
///
/// ```
/// use jit_log::{Checkpoint, CosignatureTime, CosignerKey, Frontier, KeyName, Origin, SignerKey};
///
/// let origin = Origin::parse("example.org/log")?;
/// let log = SignerKey::from_seed(&origin, [1; 32]);
/// let witness = CosignerKey::from_seed(KeyName::parse("witness.example/w1")?, [2; 32]);
///
/// let checkpoint = Checkpoint::new(origin, 0, Frontier::new().root())?;
/// let mut note = checkpoint.sign(&[&log])?;
/// let time = CosignatureTime::from_unix_seconds(1_700_000_000).ok_or("too late")?;
/// note.push(witness.cosign(&checkpoint, time))?;
/// assert_eq!(note.verify(&[log.verifier(), witness.verifier()])?.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CosignerKey(SignerKey);

impl CosignerKey {
    /// Makes the key from its 32-byte Ed25519 seed. A key must not serve two cosigner names, because
    /// the name is not signed.
    #[must_use]
    pub fn from_seed(name: KeyName, seed: [u8; 32]) -> Self {
        Self(SignerKey::of_type(name, SignatureType::CosignatureV1, seed))
    }

    /// Parses the private form of Go's `note` package, `PRIVATE+KEY+<name>+<key id>+<base64>`, with type `0x04`.
    ///
    /// # Errors
    ///
    /// As [`SignerKey::parse`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Ok(Self(SignerKey::parse_of_type(SignatureType::CosignatureV1, text)?))
    }

    /// The text that [`CosignerKey::parse`] takes. It is the secret; it is erased when dropped.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    /// The public key, to publish.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.0.verifier()
    }

    /// Cosigns a checkpoint. That it is consistent with what was cosigned before is for the caller
    /// to know.
    #[must_use]
    pub fn cosign(&self, checkpoint: &Checkpoint, time: CosignatureTime) -> NoteSignature {
        let message = message(time, &checkpoint.to_text());
        let mut bytes = time.unix_seconds().to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.0.sign_bytes(message.as_bytes()));
        NoteSignature::new(self.0.name().clone(), self.0.id(), bytes)
    }
}

/// The message that a `cosignature/v1` signs.
pub(crate) fn message(time: CosignatureTime, checkpoint_text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint_text}")
}

/// Splits what follows the key id in a signature line into time and Ed25519 signature.
pub(crate) fn split(bytes: &[u8]) -> Option<(CosignatureTime, &[u8])> {
    let (seconds, signature) = bytes.split_first_chunk()?;
    let time = CosignatureTime::from_unix_seconds(u64::from_be_bytes(*seconds))?;
    Some((time, signature))
}
