//! Two large sets compared in little memory: a keyed sum for each of 256 parts, and where the sums differ, the entries.

use std::collections::BTreeMap;

use crate::row::{HashBytes, LookupKey, RecordKey, StreamKey, StreamState};

/// Parts into which entries fall, by the last byte of their key.
const PARTS: usize = 256;

/// Something that is derived from records and stored beside them.
pub(super) trait Entry: Copy + Ord {
    /// All of it, and nothing else.
    fn digest(&self, key: &[u8; 32]) -> u128;
    /// The last byte of what it is filed under.
    fn part(&self) -> u8;
}

/// The end of a stream. Each record makes one and takes that of its predecessor away, so the last one is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamEnd {
    pub(super) stream: StreamKey,
    pub(super) next: u64,
    pub(super) leaf: HashBytes,
    pub(super) closed: bool,
}

/// A record filed under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Filed {
    pub(super) key: LookupKey,
    pub(super) index: u64,
}

/// A record filed under its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identified {
    pub(super) record: RecordKey,
    pub(super) index: u64,
}

impl StreamEnd {
    pub(super) fn new(stream: StreamKey, state: &StreamState) -> Self {
        Self { stream, next: state.next, leaf: state.leaf, closed: state.closed }
    }
}

impl Entry for StreamEnd {
    fn digest(&self, key: &[u8; 32]) -> u128 {
        let Self { stream, next, leaf, closed } = self;
        sum(key, &[stream.as_bytes(), &next.to_be_bytes(), leaf.as_bytes(), &[u8::from(*closed)]])
    }

    fn part(&self) -> u8 {
        last(self.stream.as_bytes())
    }
}

impl Entry for Filed {
    fn digest(&self, key: &[u8; 32]) -> u128 {
        sum(key, &[self.key.as_bytes(), &self.index.to_be_bytes()])
    }

    fn part(&self) -> u8 {
        last(self.key.as_bytes())
    }
}

impl Entry for Identified {
    fn digest(&self, key: &[u8; 32]) -> u128 {
        sum(key, &[self.record.as_bytes(), &self.index.to_be_bytes()])
    }

    fn part(&self) -> u8 {
        last(self.record.as_bytes())
    }
}

fn sum(key: &[u8; 32], parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let mut low = [0; 16];
    for (to, from) in low.iter_mut().zip(hasher.finalize().as_bytes()) {
        *to = *from;
    }
    u128::from_be_bytes(low)
}

fn last(bytes: &[u8]) -> u8 {
    bytes.last().copied().unwrap_or(0)
}

/// What the records give, less what is stored: nothing is left of either if they are the same.
///
/// Sums of 128 bits under a key that is drawn for each run: two different sets have the same sum with a probability of
/// less than 2^-100, whoever made them.
pub(super) struct Tally<E> {
    key: [u8; 32],
    sums: Vec<Sum>,
    /// In a run that names differences: the parts wanted, and their entries with how often they are left.
    exact: Option<(Vec<u8>, BTreeMap<E, i64>)>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    total: u128,
    left: i64,
    added: u64,
}

impl<E: Entry> Tally<E> {
    /// Only sums.
    pub(super) fn summing(key: [u8; 32]) -> Self {
        Self { key, sums: vec![Sum::default(); PARTS], exact: None }
    }

    /// The entries of these parts themselves.
    pub(super) fn naming(parts: Vec<u8>) -> Self {
        Self { key: [0; 32], sums: Vec::new(), exact: Some((parts, BTreeMap::new())) }
    }

    /// An entry that a record gives.
    pub(super) fn add(&mut self, entry: E) {
        self.count(entry, 1);
    }

    /// An entry that is stored, or that a record takes away.
    pub(super) fn remove(&mut self, entry: E) {
        self.count(entry, -1);
    }

    fn count(&mut self, entry: E, by: i64) {
        let part = entry.part();
        if let Some((parts, entries)) = &mut self.exact {
            if parts.contains(&part) {
                let left = entries.entry(entry).or_default();
                *left = left.saturating_add(by);
                if *left == 0 {
                    entries.remove(&entry);
                }
            }
            return;
        }
        let Some(sum) = self.sums.get_mut(usize::from(part)) else { return };
        let digest = entry.digest(&self.key);
        if by > 0 {
            sum.total = sum.total.wrapping_add(digest);
            sum.added = sum.added.saturating_add(1);
        } else {
            sum.total = sum.total.wrapping_sub(digest);
        }
        sum.left = sum.left.saturating_add(by);
    }

    /// The parts that differ, with how many entries were added there, and by how many the numbers differ at least.
    pub(super) fn differing(&self) -> Vec<Differing> {
        let sums = (0..=u8::MAX).zip(&self.sums).filter(|(_, sum)| sum.total != 0 || sum.left != 0);
        sums.map(|(part, sum)| Differing { part, entries: sum.added, at_least: sum.left.unsigned_abs().max(1) })
            .collect()
    }

    /// What is left, each entry with how often: above 0 it is not stored, below 0 no record gives it.
    pub(super) fn left(self) -> BTreeMap<E, i64> {
        self.exact.map(|(_, entries)| entries).unwrap_or_default()
    }
}

/// A part in which something differs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Differing {
    pub(super) part: u8,
    pub(super) entries: u64,
    pub(super) at_least: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filed(key: u8, index: u64) -> Filed {
        Filed { key: LookupKey::from_bytes([key; 32]), index }
    }

    #[test]
    fn equal_sets_leave_nothing_and_others_name_their_part() {
        let mut tally = Tally::summing([7; 32]);
        for entry in [filed(1, 1), filed(1, 2), filed(2, 1)] {
            tally.add(entry);
        }
        for entry in [filed(2, 1), filed(1, 2), filed(1, 1)] {
            tally.remove(entry);
        }
        assert!(tally.differing().is_empty());
        tally.remove(filed(3, 9));
        tally.add(filed(3, 8));
        assert_eq!(tally.differing().iter().map(|d| (d.part, d.at_least)).collect::<Vec<_>>(), [(3, 1)]);
    }

    #[test]
    fn what_is_left_is_named_with_its_sign() {
        let mut tally = Tally::naming(vec![3]);
        tally.add(filed(3, 8));
        tally.add(filed(4, 8));
        tally.remove(filed(3, 9));
        tally.add(filed(3, 7));
        tally.remove(filed(3, 7));
        assert_eq!(tally.left().into_iter().collect::<Vec<_>>(), [(filed(3, 8), 1), (filed(3, 9), -1)]);
    }
}
