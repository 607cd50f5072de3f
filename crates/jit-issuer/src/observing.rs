//! What an issuer finds at its target: one credential by its id, or a list of all that look like ours.

use jit_core::{Code, CredentialDescriptor, CredentialId, CredentialIntended, ExternalId};

/// Which credential to look for: its id, under which it stands at the target, and what was intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconcileQuery {
    credential: CredentialId,
    intended: CredentialIntended,
}

impl ReconcileQuery {
    /// The query for a credential as it was intended.
    #[must_use]
    pub fn new(credential: CredentialId, intended: CredentialIntended) -> Self {
        Self { credential, intended }
    }

    /// The credential.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// What was intended.
    #[must_use]
    pub fn intended(&self) -> &CredentialIntended {
        &self.intended
    }
}

/// What was found out about one credential. What could not be found out is [`ObserveError::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// It never came to be, or never left the process that minted it.
    NeverExisted,
    /// It exists, prepared or usable.
    Exists(Box<CredentialDescriptor>),
    /// It existed and is dead.
    Gone,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(ExternalId);

impl Cursor {
    /// Wraps the target's own mark.
    #[must_use]
    pub fn new(mark: ExternalId) -> Self {
        Self(mark)
    }

    /// The target's own mark.
    #[must_use]
    pub fn mark(&self) -> &ExternalId {
        &self.0
    }
}

/// Something at the target that looks like a credential of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name or serial number there.
    pub serial: ExternalId,
    /// The credential id it carries, if that can be read. Of several that share it, the latest: its mint may not be recorded yet.
    pub credential: Option<CredentialId>,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPage {
    /// What was found, in the target's order.
    pub found: Vec<Found>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// Nothing was found out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// The target cannot be asked this.
    #[error("target cannot be observed")]
    Unsupported,
    /// The target gave no usable answer; what was unknown stays unknown.
    #[error("nothing found out: {cause}")]
    Unknown {
        /// Why.
        cause: Code,
    },
}
