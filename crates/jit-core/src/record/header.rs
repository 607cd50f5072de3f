//! Record headers: the leaves of the log, never redacted, without personal data and without secrets.

use serde::{Deserialize, Serialize};

use crate::{
    canonical::{self, CanonicalError, Value},
    digest::{Commitment, LeafHash},
    event::Kind,
    ids::{RecordId, WriterId},
    origin::LogOrigin,
    record::{refs::Refs, stream::StreamId},
    source::ClockInfo,
    text::RetentionClass,
    time::Timestamp,
};

/// The most bytes a header may have: the limit of an entry in a C2SP tile.
pub const MAX_HEADER: usize = 65_535;

/// The version of the evidence format. Only `jit-evidence/1` parses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FormatVersion {
    /// Version 1.
    #[default]
    #[serde(rename = "jit-evidence/1")]
    V1,
}

/// A header is not canonical, too large or has a shape that version 1 does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Too many bytes.
    #[error("header is larger than {MAX_HEADER} bytes")]
    TooLarge,
    /// Not canonical JSON, or not the closed key set of version 1.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The first record of a stream has a predecessor, or a later one has none.
    #[error("record {n} of its stream has {} predecessor", if *.n == 0 { "a" } else { "no" })]
    Predecessor {
        /// The number in the stream.
        n: u64,
    },
}

/// A record header (evidence format, section 3). The key set is closed: an unknown key is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The evidence format.
    pub v: FormatVersion,
    /// The log this record is in.
    pub log: LogOrigin,
    /// The record's id, unique in the log.
    pub id: RecordId,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its number in the stream, dense from 0.
    pub n: u64,
    /// The leaf of record `n − 1`.
    pub prev: Option<LeafHash>,
    /// What kind of record it is.
    pub kind: Kind,
    /// When the recorder built this header.
    pub at: Timestamp,
    /// The clock that said so.
    pub clock: ClockInfo,
    /// The recording process instance.
    pub writer: WriterId,
    /// What it refers to.
    pub refs: Refs,
    /// The retention class.
    pub retain: RetentionClass,
    /// Never redacted content, in kinds that say so.
    pub facts: Option<Value>,
    /// The commitment to the payload.
    pub payload: Commitment,
}

impl Header {
    /// The canonical bytes, which are the leaf.
    ///
    /// # Errors
    /// [`HeaderError`] if they would be too many or a fact has no canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, HeaderError> {
        let bytes = canonical::to_bytes(self)?;
        if bytes.len() > MAX_HEADER { Err(HeaderError::TooLarge) } else { Ok(bytes) }
    }

    /// Reads a leaf. The bytes must be canonical; they are hashed as they stand and never written again.
    ///
    /// # Errors
    /// [`HeaderError`] if they are too many, not canonical, or not a version 1 header.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() > MAX_HEADER {
            return Err(HeaderError::TooLarge);
        }
        let header: Self = canonical::from_slice(bytes)?;
        if (header.n == 0) != header.prev.is_none() {
            return Err(HeaderError::Predecessor { n: header.n });
        }
        Ok(header)
    }
}
