//! Keys of signed notes: the signer's, and the verifier's as published (C2SP signed-note).

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::base64;
use crate::cosignature;
use crate::note::NoteSignature;
use crate::origin::{KeyName, OriginError};

const PRIVATE_KEY_PREFIX: &str = "PRIVATE+KEY+";

/// Longest text tried as a key; a valid one is far shorter.
const MAX_KEY_TEXT: usize = 512;

/// The four bytes that, with the key's name, say which key made a signature line:
/// `SHA-256(name ‖ "\n" ‖ type ‖ public key)[..4]`. Displayed as 8 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// Wraps four bytes, as found in a signature line.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The four bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    fn of(name: &KeyName, kind: SignatureType, key: &VerifyingKey) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(name.as_str());
        hasher.update([b'\n', kind.byte()]);
        hasher.update(key.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, ..] = digest;
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a key signs, and how. Part of the key id, so that a key of one type is not taken for one of
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureType {
    /// `0x01`: Ed25519 over the text of the note. What a log signs with.
    Ed25519,
    /// `0x04`: Ed25519 over a `cosignature/v1` message, which holds a time and the text of a
    /// checkpoint. What a witness signs with.
    CosignatureV1,
}

impl SignatureType {
    /// The identifier byte of the signed-note specification.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureV1].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A public key with its name, as published in the vkey form `<name>+<key id>+<base64>`.
///
/// ```
/// use jit_log::{SignatureType, VerifierKey};
///
/// let text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
/// let key = VerifierKey::parse(text)?;
/// assert_eq!(key.name().as_str(), "example.com/foo");
/// assert_eq!(key.signature_type(), SignatureType::Ed25519);
/// assert_eq!(key.to_string(), text);
/// # Ok::<(), jit_log::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    kind: SignatureType,
    id: KeyId,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Parses the vkey form.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the form is wrong, the type is not a [`SignatureType`], the key id is not the
    /// one computed from the rest, or the public key is not a usable Ed25519 key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, id, bytes) = parse_fields(text)?;
        let (kind, public) = bytes.split_first().ok_or(KeyError::Format)?;
        let kind = SignatureType::from_byte(*kind).ok_or(KeyError::UnsupportedType(*kind))?;
        let public: [u8; 32] = public.try_into().map_err(|_| KeyError::PublicKey)?;
        let key = VerifyingKey::from_bytes(&public).map_err(|_| KeyError::PublicKey)?;
        if key.is_weak() {
            return Err(KeyError::PublicKey);
        }
        let key = Self::new(name, kind, key);
        key.expect_id(id)?;
        Ok(key)
    }

    pub(crate) fn new(name: KeyName, kind: SignatureType, key: VerifyingKey) -> Self {
        let id = KeyId::of(&name, kind, &key);
        Self { name, kind, id, key }
    }

    fn expect_id(&self, stated: KeyId) -> Result<(), KeyError> {
        if self.id != stated {
            return Err(KeyError::KeyId { stated, computed: self.id });
        }
        Ok(())
    }

    /// Name of the key; for a log the same as its origin.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Key id, computed from name, type and public key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What the key signs, and how.
    #[must_use]
    pub fn signature_type(&self) -> SignatureType {
        self.kind
    }

    /// The 32 bytes of the Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether `signature`, without the key id that precedes it in its line, is by this key over
    /// `text`. Also refuses points of low order, which RFC 8032 section 5.1.7 lets through.
    #[must_use]
    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match self.kind {
            SignatureType::Ed25519 => self.verifies_bytes(text.as_bytes(), signature),
            SignatureType::CosignatureV1 => match cosignature::split(signature) {
                Some((time, signature)) => self.verifies_bytes(cosignature::message(time, text).as_bytes(), signature),
                None => false,
            },
        }
    }

    fn verifies_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, self.id, BASE64.encode(&bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// A log's private Ed25519 key with its name. Erased from memory when dropped, never shown.
///
/// ```
/// use jit_log::{Note, Origin, SignerKey};
///
/// let origin = Origin::parse("example.org/log")?;
/// let key = SignerKey::from_seed(origin, [7; 32]);
/// let note = Note::sign("some text\n", &[&key])?;
/// assert_eq!(note.verify(&[key.verifier()])?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SignerKey {
    verifier: VerifierKey,
    key: SigningKey,
}

impl SignerKey {
    /// Makes the key from its 32-byte Ed25519 seed (RFC 8032 section 5.1.5).
    #[must_use]
    pub fn from_seed(name: impl Into<KeyName>, seed: [u8; 32]) -> Self {
        Self::of_type(name.into(), SignatureType::Ed25519, seed)
    }

    pub(crate) fn of_type(name: KeyName, kind: SignatureType, mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self { verifier: VerifierKey::new(name, kind, key.verifying_key()), key }
    }

    /// Parses `PRIVATE+KEY+<name>+<key id>+<base64>`, the convention of Go's `note` package.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the form is wrong, the type is not `0x01`, or the key id is not the one
    /// computed from the rest. Errors never hold any of the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::parse_of_type(SignatureType::Ed25519, text)
    }

    pub(crate) fn parse_of_type(expected: SignatureType, text: &str) -> Result<Self, KeyError> {
        let text = text.strip_prefix(PRIVATE_KEY_PREFIX).ok_or(KeyError::Format)?;
        let (name, id, bytes) = parse_fields(text)?;
        let (kind, seed) = bytes.split_first().ok_or(KeyError::Format)?;
        if *kind != expected.byte() {
            return Err(KeyError::UnsupportedType(*kind));
        }
        let seed = seed.try_into().map_err(|_| KeyError::Format)?;
        let key = Self::of_type(name, expected, seed);
        key.verifier.expect_id(id)?;
        Ok(key)
    }

    /// The text that [`SignerKey::parse`] takes. It is the secret; it is erased when dropped.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([self.verifier.kind.byte(); 33]);
        for (to, from) in bytes.iter_mut().skip(1).zip(self.key.as_bytes()) {
            *to = *from;
        }
        let secret = Zeroizing::new(BASE64.encode(bytes.as_slice()));
        let (name, id) = (self.name(), self.id());
        Zeroizing::new(format!("{PRIVATE_KEY_PREFIX}{name}+{id}+{}", *secret))
    }

    /// Name of the key; for a log the same as its origin.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        self.verifier.name()
    }

    /// Key id, as in the public key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.verifier.id()
    }

    /// The public key, to publish.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.verifier.clone()
    }

    /// Signs the text of a note, its final newline included, and returns the signature line.
    ///
    /// Signs whatever it is given: that the text is a checkpoint consistent with all earlier ones is
    /// for the caller to know.
    #[must_use]
    pub fn sign(&self, text: &str) -> NoteSignature {
        let signature = self.sign_bytes(text.as_bytes());
        NoteSignature::new(self.name().clone(), self.id(), signature.to_vec())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}+{}, secret)", self.name(), self.id())
    }
}

fn parse_fields(text: &str) -> Result<(KeyName, KeyId, Zeroizing<Vec<u8>>), KeyError> {
    if text.len() > MAX_KEY_TEXT {
        return Err(KeyError::Format);
    }
    // Base64 may hold a `+`, so only the first two separate.
    let mut fields = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(KeyError::Format);
    };
    let name = KeyName::parse(name)?;
    let id = HEXLOWER.decode(id.as_bytes()).ok();
    let id = id.and_then(|id| id.try_into().ok()).ok_or(KeyError::Format)?;
    let bytes = base64::decode(key).ok_or(KeyError::Format)?;
    Ok((name, KeyId(id), Zeroizing::new(bytes)))
}

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not of the form `<name>+<8 hex digits>+<base64>`.
    #[error("key is not of the form <name>+<key id>+<base64>")]
    Format,
    /// The key's name is not one.
    #[error("key name is wrong: {0}")]
    Name(#[from] OriginError),
    /// The signature type is not supported here.
    #[error("signature type {0:#04x} is not supported")]
    UnsupportedType(u8),
    /// The key id does not fit name, type and public key.
    #[error("key id is {stated}, but name, type and key give {computed}")]
    KeyId {
        /// Key id in the text.
        stated: KeyId,
        /// Key id computed from the rest.
        computed: KeyId,
    },
    /// The public key is not a point on the curve, or one of low order.
    #[error("public key is not a usable Ed25519 key")]
    PublicKey,
}
