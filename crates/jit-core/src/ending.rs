//! How access ends: who or what ended it, when it was planned and asked for, and what may still live.

use serde::{Deserialize, Serialize};

use crate::{
    digest::PolicyDigest,
    ids::{CredentialId, GrantId},
    principal::PrincipalId,
    text::Code,
    time::Timestamp,
};

/// A credential that may still work after the grant has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualCredential {
    /// Which one.
    pub credential: CredentialId,
    /// Until when at the latest; absent if nobody knows.
    pub until: Option<Timestamp>,
    /// Why it may still work, `cannot_recall` for example.
    pub why: Code,
}

/// What may outlive the end of a grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualAccess {
    /// Credentials that may still work.
    pub credentials: Vec<ResidualCredential>,
    /// Whether a session opened before the end may go on.
    pub sessions: bool,
}

/// The circumstances of an end, the same for every kind of end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// When the approved window ends.
    pub planned_end: Timestamp,
    /// When this end was asked for or became due.
    pub requested_end: Timestamp,
    /// Who ended it; absent when time did.
    pub actor: Option<PrincipalId>,
    /// Why, as a code.
    pub cause: Code,
    /// What may still live, and until when.
    pub residual: ResidualAccess,
    /// Other live grants that justify the same access, which therefore stays (INV-21).
    pub still_justified_by: Vec<GrantId>,
}

/// Which grants a bulk act ends. Those of requests submitted before the act, as far as they have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndSelector {
    /// Grants that somebody asked for, receives, or is acted for under.
    Subject(PrincipalId),
    /// Grants of agents that somebody owns.
    AgentOwner(PrincipalId),
    /// Grants that a policy snapshot permitted.
    Policy(PolicyDigest),
    /// Grants derived from a grant, which itself goes on.
    Parent(GrantId),
}
