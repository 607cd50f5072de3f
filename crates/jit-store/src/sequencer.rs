//! Which requests of a batch hold, in order, and what one commit of them writes. Pure: everything it
//! needs was read under the log's lock before.

use std::collections::{BTreeMap, HashMap};

use jit_core::{Draft, Event, Expected, Kind, Record, RecordId, StreamHead, StreamId};
use jit_log::Hash;

use crate::append::{AppendError, InvalidRequest, LogRecord};
use crate::prepared::{PreparedAppend, PreparedRecord, PreparedRecords, PreparedRequest, stream_key};
use crate::projection::{IndexedProjection, Projector};
use crate::retention::DeclaredRetention;
use crate::row::{
    Batch, Begin, BlobKey, DueKey, DueRow, Known, Locked, LookupKey, Projections, RecordKey, Row, StreamKey,
    StreamState, TileRow,
};
use crate::tree::Tree;

/// What became of a request that holds.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// Its records, with the indexes they get.
    Written(Vec<LogRecord>),
    /// An earlier attempt wrote its records already, at these indexes.
    Repeated(Vec<u64>),
}

/// What a batch of requests needs to know under the lock: the heads of its streams and of `gov`, and
/// which of its records are there already.
pub(crate) struct Wanted {
    streams: Vec<StreamId>,
    records: Vec<RecordId>,
}

impl Wanted {
    pub(crate) fn by<'a>(requests: impl Iterator<Item = &'a PreparedRequest> + Clone) -> Self {
        let mut streams: Vec<_> = requests.clone().flat_map(PreparedRequest::streams).chain([StreamId::Gov]).collect();
        let mut records: Vec<_> = requests.flat_map(PreparedRequest::ids).collect();
        streams.sort_unstable();
        streams.dedup();
        records.sort_unstable();
        records.dedup();
        Self { streams, records }
    }

    pub(crate) fn begin(&self, leaves_from: u64) -> Begin {
        Begin {
            streams: self.streams.iter().map(stream_key).collect(),
            records: self.records.iter().map(|id| RecordKey::from_bytes(*id.as_bytes())).collect(),
            leaves_from,
        }
    }

    /// The state of a stream as it was found.
    pub(crate) fn state(&self, stream: StreamId, locked: &Locked) -> Option<StreamState> {
        self.found(locked).find(|(found, _)| *found == stream).map(|(_, state)| state)
    }

    pub(crate) fn found(&self, locked: &Locked) -> impl Iterator<Item = (StreamId, StreamState)> {
        self.streams.iter().zip(&locked.streams).filter_map(|(stream, state)| Some((*stream, (*state)?)))
    }

    pub(crate) fn known(&self, locked: &Locked) -> impl Iterator<Item = (RecordId, Known)> {
        self.records.iter().zip(&locked.known).filter_map(|(id, known)| Some((*id, (*known)?)))
    }
}

/// The log as it would be after the requests admitted so far.
pub(crate) struct Sequencer<'a> {
    projector: &'a Projector,
    tree: Tree,
    streams: HashMap<StreamId, StreamState>,
    known: HashMap<RecordId, Known>,
    declared: DeclaredRetention,
    rows: Vec<Row>,
    tiles: Vec<TileRow>,
    touched: BTreeMap<StreamKey, StreamState>,
    lookups: Vec<(LookupKey, u64)>,
    due: BTreeMap<DueKey, Option<DueRow>>,
    blobs: BTreeMap<BlobKey, Vec<u8>>,
}

/// The parts of one request that change the state, kept apart until all of it is known to hold.
struct Staged {
    records: Vec<(StreamKey, PreparedRecord)>,
    streams: HashMap<StreamId, StreamState>,
    declared: Option<DeclaredRetention>,
}

impl<'a> Sequencer<'a> {
    /// Starts from what was found under the lock, or is assumed; `tree` was checked against the head.
    pub(crate) fn new(
        projector: &'a Projector,
        tree: Tree,
        declared: DeclaredRetention,
        streams: HashMap<StreamId, StreamState>,
        known: HashMap<RecordId, Known>,
    ) -> Self {
        Self {
            projector,
            tree,
            streams,
            known,
            declared,
            rows: Vec::new(),
            tiles: Vec::new(),
            touched: BTreeMap::new(),
            lookups: Vec::new(),
            due: BTreeMap::new(),
            blobs: BTreeMap::new(),
        }
    }

    /// Judges the next request. If it does not hold, nothing changes.
    pub(crate) fn admit(&mut self, request: &PreparedRequest) -> Result<Admitted, AppendError> {
        if let Some(indexes) = self.repeated(request)? {
            return Ok(Admitted::Repeated(indexes));
        }
        if self.closed(StreamId::Gov) {
            return Err(AppendError::Closed { stream: StreamId::Gov });
        }
        for (stream, expected) in &request.guards {
            expect(*stream, *expected, head_of(self.streams.get(stream)))?;
        }
        let mut staged = Staged { records: Vec::new(), streams: HashMap::new(), declared: None };
        for append in &request.appends {
            self.stage(append, &mut staged)?;
        }
        self.blobs.extend(request.blobs.iter().cloned());
        Ok(Admitted::Written(self.apply(staged)?))
    }

    /// The batch to commit and the tree after it; `None` if nothing is to be written.
    pub(crate) fn finish(self) -> Option<(Batch, Tree)> {
        if self.rows.is_empty() {
            return None;
        }
        let (mut due, mut due_done) = (Vec::new(), Vec::new());
        for (key, row) in self.due {
            match row {
                Some(row) => due.push(row),
                None => due_done.push(key),
            }
        }
        let batch = Batch {
            head: self.tree.head(),
            rows: self.rows,
            tiles: self.tiles,
            projections: Projections {
                streams: self.touched.into_iter().collect(),
                lookups: self.lookups,
                due,
                due_done,
            },
            blobs: self.blobs.into_iter().collect(),
        };
        Some((batch, self.tree))
    }

    /// Where the records are, if an earlier attempt wrote all of them.
    fn repeated(&self, request: &PreparedRequest) -> Result<Option<Vec<u64>>, AppendError> {
        let mut indexes = Vec::new();
        let mut unknown = false;
        for (id, leaf) in request.leaves() {
            match self.known.get(&id) {
                // A draft has no leaf before it is written; its id, random and its own, stands for it.
                Some(known) if leaf.is_none_or(|leaf| leaf.to_hash() == known.leaf.into()) => indexes.push(known.index),
                Some(_) => return Err(InvalidRequest::IdTaken { id }.into()),
                None => unknown = true,
            }
        }
        match (indexes.is_empty(), unknown) {
            (true, _) => Ok(None),
            (false, false) => Ok(Some(indexes)),
            // An append is whole, so one half of it being there is another append.
            (false, true) => {
                let taken = request.leaves().map(|(id, _)| id).find(|id| self.known.contains_key(id));
                Err(taken.map_or(InvalidRequest::Empty, |id| InvalidRequest::IdTaken { id }).into())
            }
        }
    }

    fn stage(&self, append: &PreparedAppend, staged: &mut Staged) -> Result<(), AppendError> {
        let stream = append.stream;
        let state = |staged: &Staged| staged.streams.get(&stream).or_else(|| self.streams.get(&stream)).copied();
        let current = state(staged);
        if current.is_some_and(|state| state.closed) {
            return Err(AppendError::Closed { stream });
        }
        match &append.records {
            PreparedRecords::Sealed { expected, records } => {
                expect(stream, *expected, head_of(current.as_ref()))?;
                for record in records {
                    self.stage_record(append.key, record.clone(), staged)?;
                }
            }
            PreparedRecords::Drafts(drafts) => {
                for draft in drafts {
                    let head = head_of(state(staged).as_ref());
                    let record = self.complete(draft.clone(), head, staged)?;
                    self.stage_record(append.key, record, staged)?;
                }
            }
        }
        Ok(())
    }

    fn complete(&self, draft: Draft, head: Option<StreamHead>, staged: &Staged) -> Result<PreparedRecord, AppendError> {
        let gov = staged.streams.get(&StreamId::Gov).or_else(|| self.streams.get(&StreamId::Gov));
        let stream = draft.stream();
        let record = draft.seal(head, head_of(gov)).map_err(|source| InvalidRequest::Draft { stream, source })?;
        Ok(PreparedRecord::new(record, self.projector)?)
    }

    fn stage_record(&self, key: StreamKey, record: PreparedRecord, staged: &mut Staged) -> Result<(), AppendError> {
        let header = record.record.header();
        let declared = staged.declared.as_ref().unwrap_or(&self.declared);
        if header.kind == Kind::RetentionDeclared {
            let mut declared = declared.clone();
            declare(&mut declared, &record.record)?;
            staged.declared = Some(declared);
        }
        let declared = staged.declared.as_ref().unwrap_or(&self.declared);
        if !declared.contains(&header.retain) {
            return Err(InvalidRequest::Retention { id: header.id, class: header.retain.clone() }.into());
        }
        let state = StreamState {
            next: header.n.saturating_add(1),
            leaf: record.record.leaf().to_hash().into(),
            closed: header.kind.closes_stream(),
        };
        if staged.streams.get(&header.stream).is_some_and(|before| before.closed) {
            return Err(AppendError::Closed { stream: header.stream });
        }
        staged.streams.insert(header.stream, state);
        staged.records.push((key, record));
        Ok(())
    }

    fn apply(&mut self, staged: Staged) -> Result<Vec<LogRecord>, AppendError> {
        let mut written = Vec::with_capacity(staged.records.len());
        for (key, PreparedRecord { record, projection }) in staged.records {
            let index = self.tree.size();
            let leaf = record.leaf().to_hash();
            let full = self.tree.push(leaf).map_err(|error| AppendError::Damaged(error.into()))?;
            self.tiles.extend(full);
            let header = record.header();
            self.known.insert(header.id, Known { index, leaf: leaf.into() });
            self.rows.push(Row {
                index,
                record: RecordKey::from_bytes(*header.id.as_bytes()),
                stream: key,
                n: header.n,
                leaf: leaf.into(),
                header: record.header_bytes().to_vec(),
                payload: record.payload_bytes().map(<[u8]>::to_vec),
            });
            if let Some(state) = staged.streams.get(&header.stream) {
                self.touched.insert(key, *state);
            }
            let IndexedProjection { lookups, due } = &*projection;
            self.lookups.extend(lookups.iter().map(|key| (*key, index)));
            self.due.extend(due.iter().cloned());
            written.push(LogRecord { index, record });
        }
        self.streams.extend(staged.streams);
        if let Some(declared) = staged.declared {
            self.declared = declared;
        }
        Ok(written)
    }

    fn closed(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|state| state.closed)
    }
}

fn expect(stream: StreamId, expected: Expected, current: Option<StreamHead>) -> Result<(), AppendError> {
    if expected.head() == current { Ok(()) } else { Err(AppendError::Conflict { stream, current }) }
}

/// The last record of a stream in this state.
pub(crate) fn head_of(state: Option<&StreamState>) -> Option<StreamHead> {
    let state = state?;
    Some(StreamHead { n: state.next.checked_sub(1)?, leaf: Hash::from(state.leaf).into() })
}

/// Adds what a `retention.declared` record declares.
pub(crate) fn declare(declared: &mut DeclaredRetention, record: &Record) -> Result<(), InvalidRequest> {
    let id = record.header().id;
    match record.event() {
        Ok(Event::RetentionDeclared(event)) => {
            declared.declare(event).map_err(|source| InvalidRequest::Declaration { id, source })
        }
        _ => Err(InvalidRequest::OtherStream { id, stream: record.header().stream }),
    }
}
