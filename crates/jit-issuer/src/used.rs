//! One use of access, as a target logged it, and how that leads back to the credential.

use jit_core::{AccessObserved, CredentialId};

use crate::reason::CredentialReason;

/// How a target names the credential that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseBinding {
    /// By its id: a role name, a token's `jti`, a session name.
    Credential(CredentialId),
    /// By the reason that it carries: a certificate's key id.
    Reason(CredentialReason),
}

/// A use of access that a target logged, for `Broker::observe`, which finds its case and puts it on record there.
///
/// Whoever makes one vouches for the log: that the line is the target's own, and says what it does of somebody whom the target has
/// authenticated.
///
/// ```
/// use jit_core::{AccessObserved, CredentialId, ExternalDigest, SystemName, Timestamp, code};
/// use jit_issuer::{ObservedUse, UseBinding};
///
/// let used = ObservedUse {
///     binding: UseBinding::Credential(CredentialId::v8([7; 16])),
///     event: AccessObserved {
///         system: SystemName::new("orders-api")?,
///         occurred_at: Timestamp::EPOCH,
///         act: code!("request"),
///         detail: None,
///         by: None,
///         line: Some(ExternalDigest::from_bytes([0; 32])), // SHA-256 of the line, to record it once
///     },
/// };
/// # Ok::<(), jit_core::TextError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedUse {
    /// Which credential was used.
    pub binding: UseBinding,
    /// What the target says of it.
    pub event: AccessObserved,
}
