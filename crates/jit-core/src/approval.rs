//! Approvals: bound to exactly what the approver was shown, and counted once (INV-07, INV-08).

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::{
    canonical::{self, CanonicalError},
    code,
    digest::{ExternalDigest, LeafHash, PolicyDigest, decode_hex32},
    obligation::Condition,
    origin::LogOrigin,
    principal::PrincipalId,
    record::FormatVersion,
    text::{Code, ExternalId, Line, TextError},
    window::Window,
};

/// The most requests approved in one act.
pub const MAX_LISTED: usize = 64;

/// What an approver is shown and may sign: the request, the decision, the policy, the window and the conditions, by digest.
///
/// Whoever shows it to the approver takes its [`digest`](Self::digest), which any SHA-256 gives over [`to_bytes`](Self::to_bytes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalContent {
    /// The evidence format.
    pub v: FormatVersion,
    /// The log the request is in.
    pub log: LogOrigin,
    /// The leaf of the request; it commits to scope, recipient and justification.
    pub request: LeafHash,
    /// The leaf of the decision that asks for the approval.
    pub decision: LeafHash,
    /// The policy snapshot of that decision.
    pub policy: PolicyDigest,
    /// The window approved; its end is absolute.
    pub window: Window,
    /// The conditions approved.
    pub conditions: Vec<Condition>,
    /// Who approves.
    pub approver: PrincipalId,
    /// The leaf of the last `approval.narrowed` or `approval.withdrawn` of the case, if there is one: what was approved before
    /// it cannot be used again after it. A narrowing commits to the scope that is left.
    pub after: Option<LeafHash>,
}

impl ApprovalContent {
    /// The canonical bytes, which a signature covers.
    ///
    /// # Errors
    /// [`CanonicalError`] if a condition's value nests too deeply.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// The SHA-256 digest of the canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`] if a condition's value nests too deeply.
    pub fn digest(&self) -> Result<ExternalDigest, CanonicalError> {
        Ok(ExternalDigest::of(&self.to_bytes()?))
    }

    /// The bytes that a signature over this approval covers: those of the list if it was approved in one, else its own.
    ///
    /// # Errors
    /// [`CanonicalError`] if a condition's value nests too deeply.
    pub fn signed_bytes(&self, list: Option<&ApprovalList>) -> Result<Vec<u8>, CanonicalError> {
        list.map_or_else(|| self.to_bytes(), ApprovalList::to_bytes)
    }
}

/// What was shown does not make a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalListError {
    /// None, or more than [`MAX_LISTED`].
    #[error("a list has between 1 and {MAX_LISTED} entries, not {0}")]
    Length(usize),
    /// The same content twice.
    #[error("a list has {0} twice")]
    Repeated(ExternalDigest),
    /// A content has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// A list that was shown and approved in one act: the digests of its contents, in the order shown. Each approval of the list
/// records all of it, so that one signature proves each alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ListParts", into = "ListParts")]
pub struct ApprovalList {
    contents: Vec<ExternalDigest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParts {
    v: FormatVersion,
    contents: Vec<ExternalDigest>,
}

impl ApprovalList {
    /// The list of these contents, in the order shown.
    ///
    /// # Errors
    /// [`ApprovalListError`] if it is empty, too long or has a content twice.
    pub fn of<'c>(shown: impl IntoIterator<Item = &'c ApprovalContent>) -> Result<Self, ApprovalListError> {
        Self::new(shown.into_iter().map(ApprovalContent::digest).collect::<Result<_, _>>()?)
    }

    fn new(contents: Vec<ExternalDigest>) -> Result<Self, ApprovalListError> {
        if contents.is_empty() || contents.len() > MAX_LISTED {
            return Err(ApprovalListError::Length(contents.len()));
        }
        let mut sorted: Vec<&ExternalDigest> = contents.iter().collect();
        sorted.sort();
        for pair in sorted.windows(2) {
            if let [a, b] = pair
                && a == b
            {
                return Err(ApprovalListError::Repeated(**a));
            }
        }
        Ok(Self { contents })
    }

    /// The digests, in the order shown.
    #[must_use]
    pub fn contents(&self) -> &[ExternalDigest] {
        &self.contents
    }

    /// Whether this content was shown in the list.
    #[must_use]
    pub fn shows(&self, content: &ApprovalContent) -> bool {
        content.digest().is_ok_and(|digest| self.contents.contains(&digest))
    }

    /// The canonical bytes, which a signature covers.
    ///
    /// # Errors
    /// [`CanonicalError`] never: digests have a canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }
}

impl TryFrom<ListParts> for ApprovalList {
    type Error = ApprovalListError;
    fn try_from(parts: ListParts) -> Result<Self, ApprovalListError> {
        let ListParts { v: FormatVersion::V1, contents } = parts;
        Self::new(contents)
    }
}

impl From<ApprovalList> for ListParts {
    fn from(list: ApprovalList) -> Self {
        Self { v: FormatVersion::V1, contents: list.contents }
    }
}

/// How an approval was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApprovalMethod {
    /// By a person, as a member of a quorum's group.
    QuorumMember,
    /// By a rule of the policy that asks for no person.
    Rule,
}

/// A signature of an approver over [`ApprovalContent::signed_bytes`]. With scheme `ed25519` (RFC 8032) it is verified by whoever
/// records it and again by every check; bytes of any other scheme are kept for those who can read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSignature {
    /// The scheme, `ed25519` for example.
    pub scheme: Code,
    /// The key, as the scheme names it: for `ed25519` the 32 bytes of the public key, lower-case hex.
    pub key: ExternalId,
    /// The signature, lower-case hex.
    pub signature: Line,
}

/// What is known of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// The key it names made it.
    Verified,
    /// It is not what its scheme says.
    Forged,
    /// Its scheme is not known here.
    Opaque,
}

impl ApprovalSignature {
    /// An Ed25519 signature and the public key that verifies it.
    ///
    /// # Errors
    /// [`TextError`] never: hex is printable.
    pub fn ed25519(key: &[u8; 32], signature: &[u8; 64]) -> Result<Self, TextError> {
        Ok(Self {
            scheme: code!("ed25519"),
            key: ExternalId::new(HEXLOWER.encode(key))?,
            signature: Line::new(HEXLOWER.encode(signature))?,
        })
    }

    /// Whether a signature that names this key names the Ed25519 public key of these bytes.
    #[must_use]
    pub fn names_key(named: &ExternalId, key: &[u8; 32]) -> bool {
        decode_hex32(named.as_str()).as_ref() == Some(key)
    }

    /// Whether the key it names made it over these bytes. Whose key that is, is not said by it.
    #[must_use]
    pub fn verify(&self, message: &[u8]) -> Signed {
        if self.scheme != code!("ed25519") {
            return Signed::Opaque;
        }
        let verified = || {
            let key = VerifyingKey::from_bytes(&decode_hex32(self.key.as_str())?).ok()?;
            let signature = HEXLOWER.decode(self.signature.as_str().as_bytes()).ok()?;
            key.verify_strict(message, &Signature::from_slice(&signature).ok()?).ok()
        };
        if verified().is_some() { Signed::Verified } else { Signed::Forged }
    }
}
