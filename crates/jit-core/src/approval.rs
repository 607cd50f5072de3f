//! Approvals: bound to exactly what the approver was shown, and counted once (INV-07, INV-08).

use serde::{Deserialize, Serialize};

use crate::{
    canonical::{self, CanonicalError},
    digest::{LeafHash, PolicyDigest},
    obligation::Condition,
    origin::LogOrigin,
    principal::PrincipalId,
    record::FormatVersion,
    window::Window,
};

/// What an approver is shown and may sign: the request, the decision, the policy, the window and the conditions, by digest.
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
}

impl ApprovalContent {
    /// The canonical bytes, which a signature covers.
    ///
    /// # Errors
    /// [`CanonicalError`] if a condition's value nests too deeply.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
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

/// A signature of an approver over [`ApprovalContent::to_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSignature {
    /// The scheme, `ed25519` for example.
    pub scheme: crate::text::Code,
    /// The key, as the scheme names it.
    pub key: crate::text::ExternalId,
    /// The signature, lower-case hex.
    pub signature: crate::text::Line,
}
