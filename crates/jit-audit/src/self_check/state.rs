//! What a self-check must remember to go on after a restart.

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{
    CaseId, Header, LeafHash, StreamHead, StreamId, Timestamp,
    canonical::{self, CanonicalError},
};
use jit_log::Frontier;
use jit_store::Cursor;
use serde::{Deserialize, Serialize};

/// How many problems are remembered as reported. With more, new ones are only counted.
const MOST: usize = 65_536;

/// Where a self-check stands. Whoever runs one keeps it with [`to_bytes`](Self::to_bytes), and goes on with it after a
/// restart; without it the check begins anew and reports everything again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfCheckState {
    format: Format,
    seen: u64,
    /// The tree over the records seen, largest subtree first; `None` once a record could not be read.
    tree: Option<Vec<LeafHash>>,
    /// Where the streams of the log itself and of its writers end.
    tails: BTreeMap<StreamId, StreamHead>,
    /// Cases whose latest deadlines were not over when they were looked at.
    revisit: BTreeMap<CaseId, Timestamp>,
    reported: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "jit-self-check/1")]
    V1,
}

impl SelfCheckState {
    /// Before the first record.
    #[must_use]
    pub fn start() -> Self {
        Self {
            format: Format::V1,
            seen: 0,
            tree: Some(Vec::new()),
            tails: BTreeMap::new(),
            revisit: BTreeMap::new(),
            reported: BTreeSet::new(),
        }
    }

    /// Up to where the feed was read.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.seen.checked_sub(1).map_or(Cursor::START, Cursor::after)
    }

    /// Canonical bytes, to be kept.
    ///
    /// # Errors
    /// [`CanonicalError`] if there are none, which is a bug.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// Reads kept bytes.
    ///
    /// # Errors
    /// [`CanonicalError`] if they are not a state of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, CanonicalError> {
        canonical::from_slice(bytes)
    }

    /// Takes note of records that cannot be read.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.seen = next;
        self.tree = None;
    }

    /// Takes note of records that were read.
    pub(super) fn advance(&mut self, leaves: impl Iterator<Item = LeafHash>) {
        let mut tree = self.tree();
        for leaf in leaves {
            self.seen = self.seen.saturating_add(1);
            tree = tree.and_then(|mut tree| tree.push(leaf.to_hash()).ok().map(|()| tree));
        }
        self.tree = tree.map(|tree| tree.nodes().iter().copied().map(LeafHash::from).collect());
    }

    /// Follows a stream of the log itself, or of a writer, by one record.
    ///
    /// # Errors
    /// What is wrong, if it does not follow the one before.
    pub(super) fn follow(&mut self, header: &Header, leaf: LeafHash) -> Result<(), &'static str> {
        let before = self.tails.insert(header.stream, StreamHead { n: header.n, leaf });
        if header.n != before.map_or(0, |before| before.n.saturating_add(1)) {
            return Err("its numbers are not dense");
        }
        if header.prev != before.map(|before| before.leaf) {
            return Err("a record does not name its predecessor");
        }
        Ok(())
    }

    /// The tree over the records seen, if all could be read.
    pub(super) fn tree(&self) -> Option<Frontier> {
        let nodes = self.tree.as_ref()?.iter().map(|node| node.to_hash()).collect();
        Frontier::from_parts(self.seen, nodes).ok()
    }

    /// Notes that a case is to be looked at again.
    pub(super) fn revisit(&mut self, case: CaseId, at: Timestamp) {
        self.revisit.insert(case, at);
    }

    /// The cases to be looked at again by now.
    pub(super) fn take_revisits(&mut self, now: Timestamp) -> Vec<CaseId> {
        let due: Vec<CaseId> = self.revisit.iter().filter(|(_, at)| **at <= now).map(|(case, _)| *case).collect();
        for case in &due {
            self.revisit.remove(case);
        }
        due
    }

    /// Whether a problem is new; it is remembered. `None` if there are too many to remember it.
    pub(super) fn is_new(&mut self, key: String) -> Option<bool> {
        if self.reported.contains(&key) {
            return Some(false);
        }
        (self.reported.len() < MOST).then(|| self.reported.insert(key))
    }

    /// Whether a problem was reported.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.reported.contains(key)
    }
}

impl Default for SelfCheckState {
    fn default() -> Self {
        Self::start()
    }
}
