//! Evidence records: a header that is a leaf of the log, and a payload that the header commits to.

mod draft;
mod following;
mod header;
mod payload;
mod recorded;
mod refs;
mod stream;

pub use draft::{Draft, RecordError, Recorder};
pub use following::{StreamFault, StreamProgress};
pub use header::{FormatVersion, Header, HeaderError, MAX_HEADER};
pub use payload::{Field, FieldClass, FieldContent, FieldName, MAX_FIELDS, MAX_PAYLOAD, Payload, PayloadError, Salt};
pub use recorded::{Recorded, RecordedError};
pub use refs::Refs;
pub use stream::{Expected, StreamHead, StreamId, StreamIdError};

use crate::{
    digest::LeafHash,
    event::{Event, EventError},
};

/// A stored record does not parse or does not hang together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRecordError {
    /// The header.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The payload.
    #[error("payload: {0}")]
    Payload(#[from] PayloadError),
    /// The payload is not what the header commits to.
    #[error("payload of record {0} is not what its header commits to")]
    Commitment(crate::ids::RecordId),
}

/// A record: the verbatim bytes of its header, the header read, its leaf hash, and its payload unless purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    header: Header,
    header_bytes: Vec<u8>,
    leaf: LeafHash,
    payload: Option<Payload>,
}

impl Record {
    /// Reads a record from its stored bytes and checks that the payload is what the header commits to.
    ///
    /// # Errors
    /// [`ParseRecordError`] naming the part that is wrong.
    pub fn parse(header_bytes: Vec<u8>, payload: Option<&[u8]>) -> Result<Self, ParseRecordError> {
        let header = Header::parse(&header_bytes)?;
        let payload = payload.map(Payload::parse).transpose()?;
        if let Some(payload) = &payload
            && payload.commitment(header.id).map_err(PayloadError::from)? != header.payload
        {
            return Err(ParseRecordError::Commitment(header.id));
        }
        Ok(Self::assemble(header, header_bytes, payload))
    }

    fn assemble(header: Header, header_bytes: Vec<u8>, payload: Option<Payload>) -> Self {
        let leaf = jit_log::leaf_hash(&header_bytes).into();
        Self { header, header_bytes, leaf, payload }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's bytes as stored, which are the leaf.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// The leaf hash.
    #[must_use]
    pub fn leaf(&self) -> LeafHash {
        self.leaf
    }

    /// The payload; absent when purged.
    #[must_use]
    pub fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }

    /// The record's place at the end of its stream.
    #[must_use]
    pub fn head(&self) -> StreamHead {
        StreamHead { n: self.header.n, leaf: self.leaf }
    }

    /// What happened, read from kind, facts and payload.
    ///
    /// # Errors
    /// [`EventError`] if the kind is not known, the payload is purged, or a field is missing or malformed.
    pub fn event(&self) -> Result<Event, EventError> {
        Event::read(&self.header, self.payload.as_ref())
    }
}
