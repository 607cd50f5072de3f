//! Making records: a draft has everything but its place, and a recorder gives drafts their time, ids and salts.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    canonical::{CanonicalError, Object, Value},
    event::Event,
    ids::{RecordId, WriterId},
    origin::LogOrigin,
    record::{
        Record, Written,
        header::{FormatVersion, Header, HeaderError},
        payload::{Field, FieldContent, Payload, PayloadError, Salt},
        refs::Refs,
        stream::{StreamHead, StreamId},
    },
    source::{Clock, ClockReading, Entropy, EntropyError, random_bytes},
    text::RetentionClass,
};

/// A record could not be made. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No randomness for ids and salts.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The header would be too large or not canonical.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The payload would be too large or has too many fields.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A value has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The stream has as many records as can be counted.
    #[error("stream {0} is full")]
    StreamFull(StreamId),
}

/// A record without its place in its stream. Streams that the committer numbers take drafts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    log: LogOrigin,
    id: RecordId,
    stream: StreamId,
    event: Event,
    read: ClockReading,
    writer: WriterId,
    refs: Refs,
    retain: RetentionClass,
    payload: Payload,
}

impl Draft {
    /// The id the record will have.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The stream it is for.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// The retention class it will have.
    #[must_use]
    pub fn retain(&self) -> &RetentionClass {
        &self.retain
    }

    /// The log it is for.
    #[must_use]
    pub fn log(&self) -> &LogOrigin {
        &self.log
    }

    /// Makes the record that follows `prev` in its stream. A record of stream `erasure` also states where stream `gov`
    /// stood at that moment (evidence format, section 4).
    ///
    /// # Errors
    /// [`RecordError`] if the header would be too large or the stream is full.
    pub fn seal(self, prev: Option<StreamHead>, gov: Option<StreamHead>) -> Result<Record, RecordError> {
        let n = match prev {
            None => 0,
            Some(head) => head.n.checked_add(1).ok_or(RecordError::StreamFull(self.stream))?,
        };
        let mut facts = self.event.facts()?;
        if let (StreamId::Erasure, Some(gov)) = (self.stream, gov) {
            facts.get_or_insert_with(Object::new).insert("gov", crate::canonical::to_value(&gov)?)?;
        }
        let header = Header {
            v: FormatVersion::V1,
            log: self.log,
            id: self.id,
            stream: self.stream,
            n,
            prev: prev.map(|head| head.leaf),
            kind: self.event.kind(),
            at: self.read.at,
            clock: self.read.clock,
            writer: self.writer,
            refs: self.refs,
            retain: self.retain,
            facts: facts.map(Value::Object),
            payload: self.payload.commitment(self.id)?,
        };
        let payload = Written { bytes: self.payload.to_bytes()?, payload: self.payload };
        let bytes = header.to_bytes()?;
        Ok(Record::assemble(header, bytes, Some(payload)))
    }
}

/// Gives drafts their time, ids and salts, from an injected clock and source of randomness.
#[derive(Clone)]
pub struct Recorder {
    log: LogOrigin,
    writer: WriterId,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Recorder {
    /// A recorder for one log and one process instance.
    pub fn new(log: LogOrigin, writer: WriterId, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { log, writer, clock, entropy }
    }

    /// The log it records for.
    #[must_use]
    pub fn log(&self) -> &LogOrigin {
        &self.log
    }

    /// The process instance.
    #[must_use]
    pub fn writer(&self) -> WriterId {
        self.writer
    }

    /// The clock it reads.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Random bytes from its source.
    ///
    /// # Errors
    /// [`EntropyError`] when the source fails.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        random_bytes(&*self.entropy)
    }

    /// A draft of an event, read at `read`, with fresh id and salts.
    ///
    /// # Errors
    /// [`RecordError`] if randomness fails or the event has no canonical form.
    pub fn draft(
        &self,
        stream: StreamId,
        event: Event,
        refs: Refs,
        retain: RetentionClass,
        read: ClockReading,
    ) -> Result<Draft, RecordError> {
        let id = RecordId::v7(read.at, self.random()?);
        let mut fields = BTreeMap::new();
        for (name, class, value) in event.fields()? {
            let salt = Salt::from_bytes(self.random()?);
            fields.insert(name.parse()?, Field { class, content: FieldContent::Present { salt, value } });
        }
        let payload = Payload::new(fields)?;
        Ok(Draft { log: self.log.clone(), id, stream, event, read, writer: self.writer, refs, retain, payload })
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("log", &self.log).field("writer", &self.writer).finish_non_exhaustive()
    }
}
