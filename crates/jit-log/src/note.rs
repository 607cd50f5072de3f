//! Signed notes: a text and signature lines under it (C2SP signed-note v1.0.0).

use std::fmt;

use data_encoding::BASE64;

use crate::base64;
use crate::cosignature::{self, CosignatureTime};
use crate::key::{KeyId, SignatureType, SignerKey, VerifierKey};
use crate::origin::KeyName;

/// Longest note accepted, in bytes.
pub const MAX_NOTE_LEN: usize = 1 << 20;

/// Most signatures accepted on a note.
pub const MAX_SIGNATURES: usize = 64;

/// A text with the signatures on it, well-formed but not verified.
///
/// [`Note::to_bytes`] gives back exactly the bytes that [`Note::parse`] took.
///
/// ```
/// use jit_log::{Note, VerifierKey};
///
/// let key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
/// let note = "This is an example message.\n\n\
///     — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
/// let note = Note::parse(note.as_bytes())?;
/// assert_eq!(note.text(), "This is an example message.\n");
/// assert_eq!(note.verify(&[VerifierKey::parse(key)?])?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Parses a note: UTF-8 without control characters but newlines; the last blank line separates
    /// the text from at least one signature line.
    ///
    /// # Errors
    ///
    /// [`NoteError`] says what is malformed or beyond [`MAX_NOTE_LEN`] and [`MAX_SIGNATURES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        check_length(bytes.len())?;
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Encoding)?;
        check_characters(note)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let text = format!("{text}\n");
        let lines = lines.strip_suffix('\n').ok_or(NoteError::SignatureLine { line: 1 })?;
        let mut signatures = Vec::new();
        for (line, number) in lines.split('\n').zip(1..) {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            let signature = NoteSignature::parse(line);
            signatures.push(signature.ok_or(NoteError::SignatureLine { line: number })?);
        }
        Ok(Self { text, signatures })
    }

    /// Signs a text, which must end in a newline, with each of the keys.
    ///
    /// # Errors
    ///
    /// [`NoteError`] if the text cannot be that of a note, or there are no keys or too many.
    pub fn sign(text: &str, keys: &[&SignerKey]) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::TextEnd);
        }
        check_characters(text)?;
        if keys.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        let mut note = Self { text: text.to_owned(), signatures: Vec::new() };
        for key in keys {
            note.push(key.sign(text))?;
        }
        Ok(note)
    }

    /// A note of a text and signatures that were parts of one.
    pub(crate) fn from_parts(text: String, signatures: Vec<NoteSignature>) -> Self {
        Self { text, signatures }
    }

    /// Adds a signature line, unverified, for example of a witness.
    ///
    /// # Errors
    ///
    /// [`NoteError::TooManySignatures`] or [`NoteError::TooLong`]; the note is unchanged.
    pub fn push(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        let checked = check_length(self.to_bytes().len());
        if checked.is_err() {
            self.signatures.pop();
        }
        checked
    }

    /// The text, its final newline included. Proves nothing until [`Note::verify`] has succeeded.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, verified or not.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The note as published.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n", self.text);
        for signature in &self.signatures {
            bytes.push_str(&signature.to_string());
        }
        bytes.into_bytes()
    }

    /// Verifies every signature that names one of `keys`, and returns one item for each key that has
    /// signed. Signatures by other keys are ignored, also where only name or key id is known.
    ///
    /// # Errors
    ///
    /// [`NoteError::BadSignature`] if a known key's signature is wrong, [`NoteError::NotSigned`] if
    /// none of the keys has signed.
    pub fn verify<'a>(
        &'a self,
        keys: impl IntoIterator<Item = &'a VerifierKey>,
    ) -> Result<Vec<VerifiedSignature<'a>>, NoteError> {
        let keys: Vec<_> = keys.into_iter().collect();
        let mut verified: Vec<VerifiedSignature<'a>> = Vec::new();
        for signature in &self.signatures {
            let mut known = keys.iter().filter(|key| signature.names(key)).peekable();
            if known.peek().is_none() {
                continue;
            }
            // Two keys may share name and id by chance; one of them must have signed.
            let signer = known.find(|key| key.verifies(&self.text, &signature.bytes));
            let key =
                *signer.ok_or_else(|| NoteError::BadSignature { name: signature.name.clone(), id: signature.id })?;
            if verified.iter().all(|earlier| earlier.key != key) {
                verified.push(VerifiedSignature { key, signature });
            }
        }
        if verified.is_empty() {
            return Err(NoteError::NotSigned);
        }
        Ok(verified)
    }
}

/// A signature on a note that [`Note::verify`] found right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedSignature<'a> {
    key: &'a VerifierKey,
    signature: &'a NoteSignature,
}

impl<'a> VerifiedSignature<'a> {
    /// The key that signed.
    #[must_use]
    pub fn key(&self) -> &'a VerifierKey {
        self.key
    }

    /// The signature line.
    #[must_use]
    pub fn signature(&self) -> &'a NoteSignature {
        self.signature
    }

    /// When it signed, if it is a [`SignatureType::CosignatureV1`].
    #[must_use]
    pub fn time(&self) -> Option<CosignatureTime> {
        match self.key.signature_type() {
            SignatureType::Ed25519 => None,
            SignatureType::CosignatureV1 => cosignature::split(&self.signature.bytes).map(|(time, _)| time),
        }
    }
}

/// One signature line: `— <name> <base64(key id ‖ signature)>`. Displayed with its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl NoteSignature {
    pub(crate) fn new(name: KeyName, id: KeyId, bytes: Vec<u8>) -> Self {
        Self { name, id, bytes }
    }

    /// Parses a signature line without its newline; `None` if it is not one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = base64::decode(base64)?;
        let (id, signature) = bytes.split_first_chunk()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self { name: KeyName::parse(name).ok()?, id: KeyId::from_bytes(*id), bytes: signature.to_vec() })
    }

    /// Name of the key that the line claims to be by.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Id of the key that the line claims to be by.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature, or time and signature of a cosignature.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn names(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == *key.name()
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_bytes(), self.bytes.as_slice()].concat();
        writeln!(f, "— {} {}", self.name, BASE64.encode(&bytes))
    }
}

fn check_length(bytes: usize) -> Result<(), NoteError> {
    if bytes > MAX_NOTE_LEN {
        return Err(NoteError::TooLong { bytes });
    }
    Ok(())
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(NoteError::Encoding);
    }
    Ok(())
}

/// Why bytes are not a note, or a note is not signed as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The note exceeds [`MAX_NOTE_LEN`].
    #[error("note has {bytes} bytes, at most {MAX_NOTE_LEN} are allowed")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The note is not UTF-8, or has a control character other than newline.
    #[error("note is not UTF-8 text without control characters")]
    Encoding,
    /// The text to sign does not end in a newline.
    #[error("text of a note must end in a newline")]
    TextEnd,
    /// There is no blank line with signatures after it.
    #[error("note has no signatures")]
    NoSignatures,
    /// The note has more than [`MAX_SIGNATURES`].
    #[error("note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A signature line is malformed.
    #[error("signature line {line} of the note is malformed")]
    SignatureLine {
        /// Number of the line, from 1 at the first after the blank line.
        line: usize,
    },
    /// A known key's signature is wrong.
    #[error("signature by {name}+{id} is wrong")]
    BadSignature {
        /// Name of the key.
        name: KeyName,
        /// Id of the key.
        id: KeyId,
    },
    /// None of the known keys has signed.
    #[error("note is not signed by a known key")]
    NotSigned,
}
