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

use std::sync::Arc;

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

/// A record: the verbatim bytes of its header, the header read, its leaf hash, and its payload unless purged. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    header: Header,
    header_bytes: Vec<u8>,
    leaf: LeafHash,
    payload: Option<Written>,
}

/// A payload with its canonical bytes, which are written once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    payload: Payload,
    bytes: Vec<u8>,
}

impl Record {
    /// Reads a record from its stored bytes and checks that the payload is what the header commits to.
    ///
    /// # Errors
    /// [`ParseRecordError`] naming the part that is wrong.
    pub fn parse(header_bytes: Vec<u8>, payload: Option<&[u8]>) -> Result<Self, ParseRecordError> {
        let header = Header::parse(&header_bytes)?;
        let parse =
            |bytes: &[u8]| Ok::<_, PayloadError>(Written { payload: Payload::parse(bytes)?, bytes: bytes.to_vec() });
        let payload = payload.map(parse).transpose()?;
        if let Some(written) = &payload
            && written.payload.commitment(header.id).map_err(PayloadError::from)? != header.payload
        {
            return Err(ParseRecordError::Commitment(header.id));
        }
        Ok(Self::assemble(header, header_bytes, payload))
    }

    fn assemble(header: Header, header_bytes: Vec<u8>, payload: Option<Written>) -> Self {
        let leaf = jit_log::leaf_hash(&header_bytes).into();
        Self(Arc::new(Parts { header, header_bytes, leaf, payload }))
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// The header's bytes as stored, which are the leaf.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8] {
        &self.0.header_bytes
    }

    /// The leaf hash.
    #[must_use]
    pub fn leaf(&self) -> LeafHash {
        self.0.leaf
    }

    /// The payload; absent when purged.
    #[must_use]
    pub fn payload(&self) -> Option<&Payload> {
        self.0.payload.as_ref().map(|written| &written.payload)
    }

    /// The payload's canonical bytes as stored; absent when purged.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<&[u8]> {
        self.0.payload.as_ref().map(|written| written.bytes.as_slice())
    }

    /// The record's place at the end of its stream.
    #[must_use]
    pub fn head(&self) -> StreamHead {
        StreamHead { n: self.0.header.n, leaf: self.0.leaf }
    }

    /// What happened, read from kind, facts and payload.
    ///
    /// # Errors
    /// [`EventError`] if the kind is not known, the payload is purged, or a field is missing or malformed.
    pub fn event(&self) -> Result<Event, EventError> {
        Event::read(&self.0.header, self.payload())
    }
}
