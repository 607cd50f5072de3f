//! Streams: numbers, predecessors and clocks, and how much of each stream there is.

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{Header, LeafHash, RecordId, StreamFault, StreamId, StreamProgress};

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
    last: StreamProgress,
    records: u64,
    gap: bool,
}

impl Streams {
    /// Takes the next record of the log.
    ///
    /// # Errors
    /// What is wrong with its id, its number, its predecessor or its clock. A [`Reason::Gap`] is for the caller to judge.
    pub(crate) fn add(&mut self, header: &Header, leaf: LeafHash) -> Result<(), Reason> {
        let (stream, n) = (header.stream, header.n);
        let before = self.progress.get(&stream);
        let judged = if self.ids.insert(header.id) {
            StreamProgress::judge(before.map(|before| &before.last), header).map_err(|fault| match fault {
                StreamFault::Gap { expected } => Reason::Gap { stream, expected, n },
                StreamFault::Fork => Reason::Fork { stream, n },
                StreamFault::Clock => Reason::Clock { stream, n },
                StreamFault::Closed => Reason::Closed { stream, n },
                _ => Reason::Chain { stream, n },
            })
        } else {
            Err(Reason::DuplicateId)
        };
        let (first, records, gap) = before.map_or((n, 0, false), |before| (before.first, before.records, before.gap));
        let next = Progress {
            first,
            last: StreamProgress::after(header, leaf),
            records: records.saturating_add(1),
            gap: gap || judged.is_err(),
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
        (false, _) if progress.last.is_closed() => StreamState::Complete,
        (false, _) => StreamState::OpenAt(progress.last.head().n),
    };
    StreamReport { stream, state, records: progress.records }
}
