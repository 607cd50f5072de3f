//! What a record refers to, in its header.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    canonical::Value,
    digest::{LeafHash, PolicyDigest},
    ids::{CaseId, CommandId, CredentialId, GrantId},
};

/// The references of a record (evidence format, section 3): ids by UUID, other records by their leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refs {
    /// The request, which is the case.
    pub request: Option<CaseId>,
    /// The grant.
    pub grant: Option<GrantId>,
    /// The credential.
    pub credential: Option<CredentialId>,
    /// The parent grant.
    pub parent: Option<GrantId>,
    /// The command under its idempotency key.
    pub command: Option<CommandId>,
    /// The leaf of the decision.
    pub decision: Option<LeafHash>,
    /// The leaf of the record that caused this one.
    pub cause: Option<LeafHash>,
    /// The leaf of the grant record that approved this.
    pub approved_by: Option<LeafHash>,
    /// The leaves of the approvals, sorted; absent and empty are the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<LeafHash>,
    /// The policy snapshot.
    pub policy: Option<PolicyDigest>,
    /// References this version does not know: kept, reported, never interpreted.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}
