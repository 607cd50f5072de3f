//! Streams: numbers, predecessors and clocks, and how much of each stream there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jit_core::{Header, Kind, LeafHash, RecordId, StreamId, Timestamp};

use crate::verify::{
    reason::Reason,
    record::ExaminedRecord,
    report::{Report, StreamReport, StreamState},
};

/// All streams, as far as they were read.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    progress: BTreeMap<StreamId, Progress>,
    ids: BTreeSet<RecordId>,
}

#[derive(Debug)]
struct Progress {
    first: u64,
    last: u64,
    leaf: LeafHash,
    /// The earliest moment at which the last record can have been made.
    earliest: Timestamp,
    records: u64,
    gap: bool,
    closed: bool,
}

impl Streams {
    /// Takes the next record of the log.
    ///
    /// # Errors
    /// What is wrong with its id, its number, its predecessor or its clock. A [`Reason::Gap`] is for the caller to judge.
    pub(crate) fn add(&mut self, header: &Header, leaf: LeafHash) -> Result<(), Reason> {
        let (stream, n) = (header.stream, header.n);
        let error = Duration::from_micros(header.clock.error_us.into());
        let before = self.progress.get_mut(&stream);
        let judged = match &before {
            _ if !self.ids.insert(header.id) => Err(Reason::DuplicateId),
            None if n > 0 => Err(Reason::Gap { stream, expected: 0, n }),
            None => Ok(()),
            Some(before) if n == before.last => Err(Reason::Fork { stream, n }),
            Some(before) if n < before.last => Err(Reason::Chain { stream, n }),
            Some(before) if n.checked_sub(1) != Some(before.last) => {
                Err(Reason::Gap { stream, expected: before.last.saturating_add(1), n })
            }
            Some(before) if header.prev != Some(before.leaf) => Err(Reason::Chain { stream, n }),
            Some(before) if header.at.saturating_add(error) < before.earliest => Err(Reason::Clock { stream, n }),
            Some(_) => Ok(()),
        };
        let (first, records, gap) = before.map_or((n, 0, false), |before| (before.first, before.records, before.gap));
        let next = Progress {
            first,
            last: n,
            leaf,
            earliest: header.at.saturating_sub(error),
            records: records.saturating_add(1),
            gap: gap || judged.is_err(),
            closed: header.kind == Kind::CaseClosed,
        };
        self.progress.insert(stream, next);
        judged
    }

    /// How many streams there are.
    pub(crate) fn len(&self) -> usize {
        self.progress.len()
    }
}

/// Follows every stream of a bundle. A case must be whole from its first record on; of the others there may be a part.
pub(super) fn follow(records: &[ExaminedRecord], report: &mut Report) {
    let mut streams = Streams::default();
    for examined in records {
        let Some(record) = examined.record() else { continue };
        let whole = matches!(record.header().stream, StreamId::Case(_));
        match streams.add(record.header(), record.leaf()) {
            Ok(()) => {}
            Err(Reason::Gap { .. }) if !whole => {}
            Err(reason) => report.fail(Some(examined.place()), reason),
        }
    }
    report.streams = streams.progress.into_iter().map(|(stream, progress)| state(stream, &progress)).collect();
}

fn state(stream: StreamId, progress: &Progress) -> StreamReport {
    let broken = progress.gap || progress.first > 0;
    let state = match (broken, stream) {
        (true, StreamId::Case(_)) => StreamState::Gap,
        (true, _) => StreamState::Part,
        (false, _) if progress.closed => StreamState::Complete,
        (false, _) => StreamState::OpenAt(progress.last),
    };
    StreamReport { stream, state, records: progress.records }
}
