//! One stored record, hashed and read by itself.

use jit_core::{
    Event, FieldClass, FieldContent, FieldName, Header, Kind, LogOrigin, ParseRecordError, Payload, PolicyDigest,
    Record,
};
use jit_log::{Hash, leaf_hash};

use super::damage::{Column, Damage};
use crate::prepared::stream_key;
use crate::projection::{IndexedProjection, Projector};
use crate::row::{RecordKey, Row, StreamKey};

/// What a row says, and what its header and payload say by themselves.
pub(super) struct Examined {
    pub(super) index: u64,
    /// The leaf hash beside the header.
    pub(super) stored: Hash,
    /// The leaf hash of the header.
    pub(super) hashed: Hash,
    /// The keys beside the header.
    pub(super) columns: Keys,
    /// The keys by the header, or those beside it if it cannot be read.
    pub(super) keys: Keys,
    /// The header read, if it can be.
    pub(super) header: Option<Header>,
    pub(super) payload: PayloadState,
    pub(super) projection: IndexedProjection,
    pub(super) snapshots: Vec<PolicyDigest>,
    /// What is wrong with it, if its header is the one in the tree.
    pub(super) damages: Vec<Damage>,
}

/// Under what a record is filed.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) record: RecordKey,
    pub(super) stream: StreamKey,
    pub(super) n: u64,
}

/// What there is of a payload.
pub(super) enum PayloadState {
    /// It is what the header commits to, except for these fields, of which the digest alone is left.
    Sound(Vec<(FieldName, FieldClass)>),
    /// It is not there, and there was one.
    Gone,
    /// It is not what the header commits to, or the header cannot be read.
    Damaged,
}

impl Examined {
    pub(super) fn new(row: Row, origin: &LogOrigin, projector: &Projector) -> Self {
        let Row { index, record, stream, n, leaf, header, payload } = row;
        let mut examined = Self {
            index,
            stored: leaf.into(),
            hashed: Hash::EMPTY_ROOT,
            columns: Keys { record, stream, n },
            keys: Keys { record, stream, n },
            header: None,
            payload: PayloadState::Damaged,
            projection: IndexedProjection::default(),
            snapshots: Vec::new(),
            damages: Vec::new(),
        };
        let read = match Record::parse(header.clone(), payload.as_deref()) {
            Err(error) if !matches!(error, ParseRecordError::Header(_)) => {
                examined.damages.push(match error {
                    ParseRecordError::Commitment(_) => Damage::EditedPayload { index },
                    other => Damage::MalformedPayload { index, what: other.to_string() },
                });
                Record::parse(header.clone(), None)
            }
            read => read,
        };
        match read {
            Ok(read) => {
                examined.hashed = read.leaf().to_hash();
                examined.read(&read, projector, origin);
            }
            Err(error) => {
                examined.hashed = leaf_hash(&header);
                examined.damages.push(Damage::MalformedHeader { index, what: error.to_string() });
            }
        }
        examined
    }

    fn read(&mut self, record: &Record, projector: &Projector, origin: &LogOrigin) {
        let (index, header) = (self.index, record.header());
        if header.log != *origin {
            self.damages.push(Damage::ForeignRecord { index, log: header.log.clone() });
        }
        self.keys = Keys {
            record: RecordKey::from_bytes(*header.id.as_bytes()),
            stream: stream_key(&header.stream),
            n: header.n,
        };
        let columns = [
            (Column::Id, self.columns.record == self.keys.record),
            (Column::Stream, self.columns.stream == self.keys.stream),
            (Column::Number, self.columns.n == self.keys.n),
        ];
        let edited = columns.into_iter().filter(|(_, agrees)| !agrees);
        self.damages.extend(edited.map(|(column, _)| Damage::EditedColumn { index, column }));
        self.header = Some(header.clone());
        self.snapshots.extend(header.refs.policy);
        if matches!(self.damages.first(), Some(Damage::EditedPayload { .. } | Damage::MalformedPayload { .. })) {
            return;
        }
        self.payload = match record.payload() {
            Some(payload) => PayloadState::Sound(absent(payload)),
            None if is_empty(header) => PayloadState::Sound(Vec::new()),
            None => PayloadState::Gone,
        };
        self.projection = projector.project(record);
        if header.kind != Kind::PolicyPublished {
            return;
        }
        if let Ok(Event::PolicyPublished(published)) = record.event() {
            self.snapshots.push(published.snapshot);
        }
    }

    /// Whether look-ups and due work can be told from it.
    pub(super) fn is_readable(&self) -> bool {
        self.header.is_some() && !matches!(self.payload, PayloadState::Damaged)
    }
}

fn absent(payload: &Payload) -> Vec<(FieldName, FieldClass)> {
    let fields = payload.fields().iter();
    let absent = fields.filter(|(_, field)| matches!(field.content, FieldContent::Absent { .. }));
    absent.map(|(name, field)| (name.clone(), field.class)).collect()
}

/// Whether the header commits to a payload without fields.
fn is_empty(header: &Header) -> bool {
    Payload::default().commitment(header.id).is_ok_and(|empty| empty == header.payload)
}
