//! Streams: the sequences into which records are ordered besides their order in the log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    digest::LeafHash,
    ids::{CaseId, EntitlementId, WriterId},
};

/// A text is not the name of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a stream name such as case:<uuid>, gov or ops:<uuid>")]
pub struct StreamIdError;

/// The stream of a record (evidence format, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// One access request.
    Case(CaseId),
    /// The ledger of one subject, resource and action set.
    Entitlement(EntitlementId),
    /// What the log says about itself: opening, keys, retention, holds.
    Gov,
    /// Purges and erasures.
    Erasure,
    /// Policy snapshots.
    Policy,
    /// What one writer saw outside any case.
    Ops(WriterId),
}

impl StreamId {
    /// Whether the committer, and not the caller, gives the record its number (`gov`, `erasure`, `policy`).
    #[must_use]
    pub fn is_numbered_by_committer(&self) -> bool {
        matches!(self, Self::Gov | Self::Erasure | Self::Policy)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Case(id) => write!(f, "case:{id}"),
            Self::Entitlement(id) => write!(f, "entitlement:{id}"),
            Self::Gov => f.write_str("gov"),
            Self::Erasure => f.write_str("erasure"),
            Self::Policy => f.write_str("policy"),
            Self::Ops(writer) => write!(f, "ops:{writer}"),
        }
    }
}

impl FromStr for StreamId {
    type Err = StreamIdError;
    fn from_str(text: &str) -> Result<Self, StreamIdError> {
        match text {
            "gov" => return Ok(Self::Gov),
            "erasure" => return Ok(Self::Erasure),
            "policy" => return Ok(Self::Policy),
            _ => {}
        }
        let (family, id) = text.split_once(':').ok_or(StreamIdError)?;
        match family {
            "case" => id.parse().map(Self::Case).map_err(|_| StreamIdError),
            "entitlement" => id.parse().map(Self::Entitlement).map_err(|_| StreamIdError),
            "ops" => id.parse().map(Self::Ops).map_err(|_| StreamIdError),
            _ => Err(StreamIdError),
        }
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// The last record of a stream: its number and its leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamHead {
    /// The number of the last record.
    pub n: u64,
    /// Its leaf hash.
    pub leaf: LeafHash,
}

/// What a writer believes the end of a stream to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// The stream has no record.
    Empty,
    /// The stream ends with this record.
    At(StreamHead),
}

impl Expected {
    /// From a head that may be absent.
    #[must_use]
    pub fn from_head(head: Option<StreamHead>) -> Self {
        head.map_or(Self::Empty, Self::At)
    }

    /// The head, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<StreamHead> {
        match self {
            Self::Empty => None,
            Self::At(head) => Some(*head),
        }
    }
}
