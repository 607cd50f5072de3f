//! Credentials as evidence sees them: a descriptor and what can be done about it, never the secret.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    digest::ExternalDigest,
    ids::CredentialId,
    principal::PrincipalId,
    text::{ExternalId, IssuerName},
    time::Timestamp,
    window::Window,
};

/// How a credential comes to be at its target, which decides what a crash can leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashClass {
    /// Signing has no outside effect: a crash before the record means that the credential never left memory.
    SelfContained,
    /// The target issues and cannot list what it issued.
    RemoteStateless,
    /// The target keeps state that can be listed and removed.
    RemoteStateful,
    /// The target keeps one state for all grants of the same access, a membership or a role binding: it can be listed and
    /// removed, and must not be removed while another live grant has it (INV-21).
    RemoteShared,
}

/// What an issuer can do, recorded with every issuance, so that "expires by itself" is an honest statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerCapabilities {
    /// What a crash can leave behind.
    pub class: CrashClass,
    /// Whether minting has a separate prepare step.
    pub prepares: bool,
    /// Whether a credential can be taken back before it expires.
    pub can_revoke: bool,
    /// Whether the issuer can see that a credential is dead.
    pub can_confirm: bool,
    /// Whether the credential stops working by itself at its end.
    pub native_expiry: bool,
    /// Whether minting twice under one credential id gives one credential.
    pub idempotent_mint: bool,
    /// Whether ending a credential cuts sessions that it opened.
    pub cuts_sessions: bool,
    /// How much later than its end a verifier may still accept the credential, in seconds.
    pub leeway_s: u32,
    /// The shortest window it can mint, in seconds.
    pub min_ttl_s: u32,
    /// The longest window it can mint, in seconds.
    pub max_ttl_s: u32,
}

/// A minted credential, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialDescriptor {
    /// The id fixed before minting; the credential carries it at its target.
    pub id: CredentialId,
    /// The issuer.
    pub issuer: IssuerName,
    /// SHA-256 of the credential as released, to recognise it when found.
    pub fingerprint: ExternalDigest,
    /// Its serial number or name at the target.
    pub serial: ExternalId,
    /// Whom it identifies.
    pub subject: PrincipalId,
    /// When it works.
    pub window: Window,
    /// What can be done about it.
    pub capabilities: IssuerCapabilities,
}

impl CredentialDescriptor {
    /// Until when the credential works at its target, verifiers' leeway included; `None` if it has no end of its own.
    #[must_use]
    pub fn dies_at(&self) -> Option<Timestamp> {
        self.capabilities.dies_at(&self.window)
    }
}

impl IssuerCapabilities {
    /// Until when a credential of this window works at its target; `None` if it has no end of its own.
    #[must_use]
    pub fn dies_at(&self, window: &Window) -> Option<Timestamp> {
        self.native_expiry.then(|| window.end().saturating_add(Duration::from_secs(self.leeway_s.into())))
    }
}
