//! What the log says was removed: purges and erasures, held against what is not there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use jit_core::{Event, FieldClass, FieldName, LeafHash, PurgeExecuted, RetentionClass, StreamId};
use jit_log::{Frontier, Hash, leaf_hash};

use super::damage::Damage;
use crate::backend::{Backend, BackendError};
use crate::prepared::stream_key;
use crate::reading::{PAGE, read_row};

/// Stream `erasure`, read by its numbers before the log is read by its indexes. Memory grows with what it says, which is
/// a thousand ranges for ten thousand purged records at most.
#[derive(Default)]
pub(super) struct Removals {
    purges: Vec<Purge>,
    /// Start, end and purge of every range, the first start last.
    ranges: Vec<(u64, u64, usize)>,
    /// How many ranges of a purge the walk is in, by class and place of the purge.
    entered: BTreeMap<(RetentionClass, u64, usize), u64>,
    /// Where they end.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    /// By the leaf of the record they took from: the place of the order, and what it names.
    erasures: HashMap<LeafHash, Vec<(u64, Vec<FieldName>)>>,
    /// Which records were read, so that reading them by index can be seen to give the same.
    read: BTreeMap<u64, Hash>,
}

struct Purge {
    index: u64,
    class: RetentionClass,
    count: u64,
    root: Hash,
    gone: Frontier,
}

impl Removals {
    pub(super) async fn read(backend: &dyn Backend, size: u64) -> Result<Self, BackendError> {
        let mut removals = Self::default();
        let mut next = 0;
        loop {
            let rows = backend.stream_rows(stream_key(&StreamId::Erasure), next, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                next = row.n.saturating_add(1).max(next.saturating_add(1));
                let index = row.index;
                // What is wrong with it is found where the log is read by index.
                let Ok(read) = read_row(row) else { continue };
                if index < size {
                    removals.add(index, read.record().leaf(), read.record().event().ok());
                }
            }
        }
        removals.ranges.sort_unstable_by(|a, b| b.cmp(a));
        Ok(removals)
    }

    fn add(&mut self, index: u64, leaf: LeafHash, event: Option<Event>) {
        self.read.insert(index, leaf.to_hash());
        match event {
            Some(Event::PurgeExecuted(PurgeExecuted { class, count, ranges, root, .. })) => {
                let number = self.purges.len();
                self.ranges.extend(ranges.iter().map(|range| (range.start, range.end.min(index), number)));
                self.purges.push(Purge { index, class, count, root: root.to_hash(), gone: Frontier::new() });
            }
            Some(Event::FieldErased(e)) => self.erasures.entry(e.leaf).or_default().push((index, e.names)),
            _ => {}
        }
    }

    /// Takes note that a sound record of stream `erasure` stands at `index`. Says whether it was read before.
    pub(super) fn confirm(&mut self, index: u64, leaf: Hash) -> bool {
        self.read.remove(&index) == Some(leaf)
    }

    /// Whether a payload that is gone went by a later purge. To be asked by ascending index.
    pub(super) fn covers_payload(&mut self, index: u64, class: &RetentionClass, leaf: Hash) -> bool {
        self.enter(index);
        let first = (class.clone(), index, usize::MAX);
        let covering = self.entered.range(first..).next().filter(|((of, _, _), _)| of == class);
        let Some(purge) = covering.and_then(|((_, _, number), _)| self.purges.get_mut(*number)) else { return false };
        let mut went = index.to_be_bytes().to_vec();
        went.extend_from_slice(leaf.as_bytes());
        // A tree of payloads is never full.
        purge.gone.push(leaf_hash(&went)).is_ok()
    }

    /// Enters the ranges that begin up to `index` and leaves those that end there.
    fn enter(&mut self, index: u64) {
        let place = |purges: &[Purge], number: usize| {
            purges.get(number).map(|purge| (purge.class.clone(), purge.index, number))
        };
        while let Some((_, end, number)) = self.ranges.pop_if(|(start, _, _)| *start <= index) {
            if let Some(place) = place(&self.purges, number).filter(|_| index < end) {
                *self.entered.entry(place).or_default() += 1;
                self.ends.push(Reverse((end, number)));
            }
        }
        while let Some(Reverse((_, number))) = self.ends.peek().copied().filter(|Reverse((end, _))| *end <= index) {
            self.ends.pop();
            let Some(place) = place(&self.purges, number) else { continue };
            if let Some(within) = self.entered.get_mut(&place) {
                *within = within.saturating_sub(1);
                if *within == 0 {
                    self.entered.remove(&place);
                }
            }
        }
    }

    /// Whether a field that is gone went by a later erasure.
    pub(super) fn covers_field(&self, index: u64, leaf: Hash, name: &FieldName, class: FieldClass) -> bool {
        let mut orders = self.erasures.get(&LeafHash::from(leaf)).into_iter().flatten();
        class == FieldClass::Personal && orders.any(|(order, names)| index < *order && names.contains(name))
    }

    /// What does not add up once the whole log was read.
    pub(super) fn finish(self) -> Vec<Damage> {
        let unconfirmed = (!self.read.is_empty()).then_some(Damage::StreamReading { stream: StreamId::Erasure });
        let purges = self.purges.into_iter();
        let purges = purges.filter(|purge| purge.gone.size() != purge.count || purge.gone.root() != purge.root);
        let purges =
            purges.map(|purge| Damage::Purge { index: purge.index, stated: purge.count, found: purge.gone.size() });
        purges.chain(unconfirmed).collect()
    }
}
