//! Requests as the committer takes them: checked in themselves, and with everything computed that
//! does not need the log's lock.

use std::collections::HashSet;
use std::sync::Arc;

use jit_core::{Draft, Expected, LeafHash, LogOrigin, Record, RecordId, StreamId};

use crate::append::{AppendRequest, InvalidRequest, MAX_REQUEST_RECORDS, Records, StreamAppend};
use crate::projection::{IndexedProjection, Projector};
use crate::row::{BlobKey, StreamKey};

#[derive(Debug)]
pub(crate) struct PreparedRequest {
    pub(crate) appends: Vec<PreparedAppend>,
    pub(crate) guards: Vec<(StreamId, Expected)>,
    pub(crate) blobs: Vec<(BlobKey, Vec<u8>)>,
}

#[derive(Debug)]
pub(crate) struct PreparedAppend {
    pub(crate) stream: StreamId,
    pub(crate) key: StreamKey,
    pub(crate) records: PreparedRecords,
}

#[derive(Debug)]
pub(crate) enum PreparedRecords {
    /// Records that chain from `expected` on.
    Sealed {
        expected: Expected,
        records: Vec<PreparedRecord>,
    },
    Drafts(Vec<Draft>),
}

/// A record with the bytes and keys it is stored under.
#[derive(Clone, Debug)]
pub(crate) struct PreparedRecord {
    pub(crate) record: Record,
    pub(crate) projection: Arc<IndexedProjection>,
}

impl PreparedRecord {
    pub(crate) fn new(record: Record, projector: &Projector) -> Result<Self, InvalidRequest> {
        if record.payload().is_none() {
            return Err(InvalidRequest::NoPayload { id: record.header().id });
        }
        let projection = Arc::new(projector.project(&record));
        Ok(Self { record, projection })
    }
}

impl PreparedRequest {
    /// Checks what can be checked without knowing the log.
    pub(crate) fn new(
        request: AppendRequest,
        origin: &LogOrigin,
        projector: &Projector,
    ) -> Result<Self, InvalidRequest> {
        let records = request.len();
        if records == 0 {
            return Err(InvalidRequest::Empty);
        }
        if records > MAX_REQUEST_RECORDS {
            return Err(InvalidRequest::TooLarge { records });
        }
        let appends = request
            .appends
            .into_iter()
            .map(|append| PreparedAppend::new(append, origin, projector))
            .collect::<Result<_, _>>()?;
        let prepared = Self { appends, guards: request.guards, blobs: request.blobs };
        let mut seen = HashSet::new();
        let double = prepared.ids().find(|id| !seen.insert(*id));
        match double {
            Some(id) => Err(InvalidRequest::IdTaken { id }),
            None => Ok(prepared),
        }
    }

    /// How many records it appends.
    pub(crate) fn len(&self) -> usize {
        self.leaves().count()
    }

    /// How many bytes its payloads have; those of drafts are few and not counted.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |append: &PreparedAppend| match &append.records {
            PreparedRecords::Sealed { records, .. } => {
                records.iter().filter_map(|prepared| prepared.record.payload_bytes()).map(<[u8]>::len).sum()
            }
            PreparedRecords::Drafts(_) => 0,
        };
        self.appends.iter().map(bytes).fold(0, usize::saturating_add)
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> {
        let guards = self.guards.iter().map(|(stream, _)| *stream);
        self.appends.iter().map(|append| append.stream).chain(guards)
    }

    pub(crate) fn appends_to(&self, stream: StreamId) -> bool {
        self.appends.iter().any(|append| append.stream == stream)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.leaves().map(|(id, _)| id)
    }

    /// The id of each record, and its leaf unless it is a draft.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (RecordId, Option<LeafHash>)> {
        self.appends.iter().flat_map(|append| {
            let (sealed, drafts) = match &append.records {
                PreparedRecords::Sealed { records, .. } => (records.as_slice(), [].as_slice()),
                PreparedRecords::Drafts(drafts) => ([].as_slice(), drafts.as_slice()),
            };
            let sealed = sealed.iter().map(|sealed| (sealed.record.header().id, Some(sealed.record.leaf())));
            sealed.chain(drafts.iter().map(|draft| (draft.id(), None)))
        })
    }
}

impl PreparedAppend {
    fn new(append: StreamAppend, origin: &LogOrigin, projector: &Projector) -> Result<Self, InvalidRequest> {
        let stream = append.stream;
        let records = match (append.records, append.expected) {
            (Records::Sealed(records), Some(expected)) if !stream.is_numbered_by_committer() => {
                let records = chained(records, stream, expected, origin, projector)?;
                PreparedRecords::Sealed { expected, records }
            }
            (Records::Drafts(drafts), None) if stream.is_numbered_by_committer() => {
                if let Some(draft) = drafts.iter().find(|draft| draft.log() != origin) {
                    return Err(InvalidRequest::OtherLog { id: draft.id() });
                }
                PreparedRecords::Drafts(drafts)
            }
            _ => return Err(InvalidRequest::Numbering { stream }),
        };
        Ok(Self { stream, key: stream_key(&stream), records })
    }
}

fn chained(
    records: Vec<Record>,
    stream: StreamId,
    expected: Expected,
    origin: &LogOrigin,
    projector: &Projector,
) -> Result<Vec<PreparedRecord>, InvalidRequest> {
    let mut head = expected.head();
    let mut prepared = Vec::with_capacity(records.len());
    for record in records {
        let header = record.header();
        let id = header.id;
        if header.log != *origin {
            return Err(InvalidRequest::OtherLog { id });
        }
        if header.stream != stream {
            return Err(InvalidRequest::OtherStream { id, stream });
        }
        let next = head.map_or(Some(0), |head| head.n.checked_add(1));
        if Some(header.n) != next || header.prev != head.map(|head| head.leaf) {
            return Err(InvalidRequest::Chain { id });
        }
        head = Some(record.head());
        prepared.push(PreparedRecord::new(record, projector)?);
    }
    Ok(prepared)
}

/// The key under which a stream is stored. It is not secret: the headers beside it name the stream.
pub(crate) fn stream_key(stream: &StreamId) -> StreamKey {
    StreamKey::from_bytes(blake3::derive_key("jit-store/1 stream", stream.to_string().as_bytes()))
}
