//! References to things outside the log: tickets, tokens, cloud requests. Optional extras, never the evidence itself.

use serde::{Deserialize, Serialize};

use crate::{
    digest::ExternalDigest,
    text::{ExternalId, SystemName},
};

/// Something in another system, found again by system and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalRef {
    /// The system: a ticket system, an identity provider, `traceparent`.
    pub system: SystemName,
    /// The id there.
    pub id: ExternalId,
    /// SHA-256 of its text at the time, if known.
    pub digest: Option<ExternalDigest>,
}
