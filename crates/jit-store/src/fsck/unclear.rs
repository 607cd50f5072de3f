//! What cannot be judged because of damage that is named already.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::row::StreamKey;

/// More than this is not kept; beyond it, consequences of a damage are named like damages of their own.
const MOST: usize = 65_536;

/// Records and streams whose projections nobody can tell any more. What differs there is a consequence and not named again.
#[derive(Default)]
pub(super) struct Unclear {
    /// Ascending, without overlap.
    records: Vec<Range<u64>>,
    streams: BTreeSet<StreamKey>,
    works: BTreeSet<StreamKey>,
    ends: BTreeSet<StreamKey>,
}

impl Unclear {
    /// Nobody can tell under what this record is filed. To be said by ascending index.
    pub(super) fn record(&mut self, index: u64) {
        let next = index.saturating_add(1);
        let full = self.records.len() >= MOST;
        match self.records.last_mut() {
            Some(last) if last.end == next => {}
            Some(last) if last.end == index => last.end = next,
            _ if full => {}
            _ => self.records.push(index..next),
        }
    }

    /// As [`record`](Self::record), for all from `from` to `to`.
    pub(super) fn records(&mut self, from: u64, to: u64) {
        if self.records.len() < MOST {
            self.records.push(from..to);
        }
    }

    /// Nobody can tell where this stream ends, nor what is to be done for it.
    pub(super) fn stream(&mut self, stream: StreamKey) {
        if self.streams.len() < MOST {
            self.streams.insert(stream);
        }
        self.works(stream);
    }

    /// Nobody can tell what is to be done for this stream.
    pub(super) fn works(&mut self, stream: StreamKey) {
        if self.works.len() < MOST {
            self.works.insert(stream);
        }
    }

    /// Nobody can tell by what is stored where this stream begins and ends.
    pub(super) fn end(&mut self, stream: StreamKey) {
        if self.ends.len() < MOST {
            self.ends.insert(stream);
        }
    }

    pub(super) fn has_record(&self, index: u64) -> bool {
        let after = self.records.partition_point(|range| range.start <= index);
        after.checked_sub(1).and_then(|at| self.records.get(at)).is_some_and(|range| index < range.end)
    }

    pub(super) fn has_stream(&self, stream: &StreamKey) -> bool {
        self.streams.contains(stream)
    }

    pub(super) fn has_end_of(&self, stream: &StreamKey) -> bool {
        self.ends.contains(stream) || self.has_stream(stream)
    }

    pub(super) fn has_work_of(&self, stream: &StreamKey) -> bool {
        self.works.contains(stream)
    }
}
