//! The main pass: every record once, in order, with tiles, streams and checkpoints as the tree grows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jit_core::{LeafHash, PolicyDigest, StreamFault, StreamId, StreamProgress};
use jit_log::{Frontier, FullTile, Hash, TILE_WIDTH, TileBuilder, TreeError};

use super::damage::Damage;
use super::due::Due;
use super::examined::{Examined, PayloadState};
use super::feed::{Examiner, Feed};
use super::removals::Removals;
use super::report::{FsckPhase, FsckReport};
use super::signed::Signed;
use super::stored::Tallies;
use super::tile::{self, Displaced, Settled, Slot};
use super::unclear::Unclear;
use super::{Announcer, FsckConfig, FsckError};
use crate::backend::Backend;
use crate::error::ReadError;
use crate::prepared::stream_key;
use crate::row::{BlobKey, Head, StreamKey, TileKey, TileRow, TreeRead};

/// How many exchanged or replaced records are paired with each other.
const MOST_DISPLACED: usize = 4096;
/// How many policies are remembered as seen; those beyond are looked up again.
const MOST_POLICIES: usize = 65_536;

/// What one pass over the records knows. It grows with the open streams and their open work, and with what was damaged.
pub(super) struct Walk<'a> {
    backend: &'a dyn Backend,
    config: &'a FsckConfig,
    examiner: Arc<Examiner>,
    head: &'a Head,
    report: &'a mut FsckReport,
    tiles: TileBuilder,
    tree: Frontier,
    /// Whether every leaf so far is known.
    whole: bool,
    removals: Removals,
    signed: Signed,
    /// Streams that are not closed; `None` where the last record cannot be told.
    open: HashMap<StreamKey, Option<StreamProgress>>,
    /// Records that go on with streams that are not open.
    orphans: Vec<Orphan>,
    displaced: Vec<Displaced>,
    /// Leaves of the tree whose records do not lie in their place.
    lost: HashSet<Hash>,
    policies: HashSet<PolicyDigest>,
    /// Indexes without a record, since the last one with.
    hole: Option<u64>,
    walked: Walked,
}

/// What the pass gives to those that follow.
pub(super) struct Walked {
    pub(super) tallies: Tallies,
    pub(super) due: Due,
    pub(super) unclear: Unclear,
    /// Whether records are missing.
    pub(super) holes: bool,
}

struct Orphan {
    stream: StreamId,
    n: u64,
    prev: Option<LeafHash>,
    index: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        backend: &'a dyn Backend,
        config: &'a FsckConfig,
        examiner: Arc<Examiner>,
        head: &'a Head,
        report: &'a mut FsckReport,
        (removals, signed, tallies): (Removals, Signed, Tallies),
    ) -> Self {
        Self {
            backend,
            config,
            examiner,
            head,
            report,
            tiles: TileBuilder::new(),
            tree: Frontier::new(),
            whole: true,
            removals,
            signed,
            open: HashMap::new(),
            orphans: Vec::new(),
            displaced: Vec::new(),
            lost: HashSet::new(),
            policies: HashSet::new(),
            hole: None,
            walked: Walked { tallies, due: Due::default(), unclear: Unclear::default(), holes: false },
        }
    }

    pub(super) async fn run(mut self, announce: &mut Announcer<'_>) -> Result<Walked, FsckError> {
        let size = self.head.size;
        let mut feed = Feed::up_to(self.backend, Arc::clone(&self.examiner), 0, size);
        let mut waiting: Vec<Option<Examined>> = Vec::new();
        self.signed.check(self.backend, &self.tree, self.whole, self.report).await?;
        while let Some(page) = feed.next().await? {
            for record in page {
                let here = self.tree.size().saturating_add(waiting.len() as u64);
                for _ in here..record.index {
                    self.place(None, &mut waiting).await?;
                }
                self.place(Some(record), &mut waiting).await?;
            }
            announce.say(FsckPhase::Records, self.tree.size(), Some(size), self.report);
        }
        let here = self.tree.size().saturating_add(waiting.len() as u64);
        let cut = here < size;
        if cut {
            self.report_hole(here);
            self.hole = None;
            self.walked.holes = true;
            self.report.add(Damage::TruncatedRecords { records: here..size });
        }
        if !waiting.is_empty() {
            let settled = if cut {
                tile::settle_unknown(&waiting)
            } else {
                tile::settle_last(&waiting, &self.tree, self.head, &self.displaced)
            };
            self.take(waiting, settled).await?;
        }
        if cut {
            self.walked.unclear.records(here, size);
        }
        if self.whole && !cut {
            for damage in tile::judge_head(&self.tree, self.head) {
                self.report.add(damage);
            }
        }
        announce.say(FsckPhase::Records, size, Some(size), self.report);
        self.finish().await
    }

    /// Puts a record, or its absence, in the next place, and settles a tile that is full.
    async fn place(&mut self, record: Option<Examined>, waiting: &mut Vec<Option<Examined>>) -> Result<(), FsckError> {
        waiting.push(record);
        if (waiting.len() as u64) < TILE_WIDTH {
            return Ok(());
        }
        let records = std::mem::take(waiting);
        let key = TileKey { level: 0, index: self.tree.size() / TILE_WIDTH };
        let stored = self.tile(key).await?;
        let mut settled = tile::settle_full(key, &records, stored.as_ref(), None);
        if !(settled.damages.is_empty() && settled.displaced.is_empty()) {
            let above = self.tile(TileKey { level: 1, index: key.index / TILE_WIDTH }).await?;
            let parent = above.as_ref().and_then(|above| tile::slot(above, key.index % TILE_WIDTH));
            settled = tile::settle_full(key, &records, stored.as_ref(), parent);
        }
        self.take(records, settled).await
    }

    async fn tile(&self, key: TileKey) -> Result<Option<TileRow>, FsckError> {
        let read = self.backend.tree(TreeRead { tiles: vec![key], ..TreeRead::default() }).await?;
        Ok(read.tiles.into_iter().next().flatten())
    }

    async fn take(&mut self, records: Vec<Option<Examined>>, settled: Settled) -> Result<(), FsckError> {
        for damage in settled.damages {
            self.report.add(damage);
        }
        if self.displaced.len() < MOST_DISPLACED {
            self.lost.extend(settled.displaced.iter().map(|displaced| displaced.expected));
            self.displaced.extend(settled.displaced);
        } else {
            for displaced in settled.displaced {
                self.report.add(Damage::ReplacedRecord { index: displaced.index });
            }
        }
        for (record, slot) in records.into_iter().zip(settled.slots) {
            let index = self.tree.size();
            match record {
                None => {
                    self.hole.get_or_insert(index);
                    self.walked.holes = true;
                    self.walked.unclear.record(index);
                }
                Some(record) => {
                    self.report_hole(index);
                    self.record(record, slot).await?;
                }
            }
            self.whole &= slot.leaf.is_some();
            self.grow(slot.leaf.unwrap_or(Hash::EMPTY_ROOT)).await?;
        }
        Ok(())
    }

    fn report_hole(&mut self, end: u64) {
        if let Some(start) = self.hole.take() {
            self.report.add(Damage::MissingRecords { records: start..end });
        }
    }

    async fn grow(&mut self, leaf: Hash) -> Result<(), FsckError> {
        self.tree.push(leaf).map_err(full)?;
        for tile in self.tiles.push(leaf).map_err(full)? {
            self.report.tiles = self.report.tiles.saturating_add(1);
            if tile.id().level() > 0 && self.whole {
                self.compare(&tile).await?;
            }
        }
        if self.signed.wants(self.tree.size()) {
            self.signed.check(self.backend, &self.tree, self.whole, self.report).await?;
        }
        Ok(())
    }

    async fn compare(&mut self, tile: &FullTile) -> Result<(), FsckError> {
        let key = TileKey { level: tile.id().level(), index: tile.id().index() };
        let stored = self.tile(key).await?;
        if let Some(damage) = tile::compare(tile, stored.as_ref()) {
            self.report.add(damage);
        }
        Ok(())
    }

    async fn record(&mut self, record: Examined, slot: Slot) -> Result<(), FsckError> {
        let Walked { tallies, due, unclear, .. } = &mut self.walked;
        tallies.take(&record);
        if !slot.sound || record.header.is_none() {
            unclear.record(record.index);
            for stream in [record.columns.stream, record.keys.stream] {
                unclear.stream(stream);
                self.open.insert(stream, None);
            }
        } else if !record.is_readable() {
            unclear.record(record.index);
            unclear.works(record.keys.stream);
        } else if record.columns.record != record.keys.record {
            unclear.record(record.index);
        }
        if record.columns.stream != record.keys.stream || record.columns.n != record.keys.n {
            unclear.end(record.columns.stream);
            unclear.end(record.keys.stream);
        }
        due.take(&record);
        if !slot.sound {
            return Ok(());
        }
        for damage in &record.damages {
            self.report.add(damage.clone());
        }
        self.removal(&record);
        self.follow(&record);
        self.snapshots(&record).await
    }

    /// Holds what is gone of a payload against what was purged and erased.
    fn removal(&mut self, record: &Examined) {
        let Some(header) = &record.header else { return };
        let index = record.index;
        match &record.payload {
            PayloadState::Damaged => {}
            PayloadState::Gone => {
                if !self.removals.covers_payload(index, &header.retain, record.hashed) {
                    self.walked.unclear.record(index);
                    self.walked.unclear.works(record.keys.stream);
                    self.report.add(Damage::MissingPayload { index });
                }
            }
            PayloadState::Sound(absent) => {
                self.report.payloads = self.report.payloads.saturating_add(1);
                for (name, class) in absent {
                    if !self.removals.covers_field(index, record.hashed, name, *class) {
                        self.walked.unclear.record(index);
                        self.walked.unclear.works(record.keys.stream);
                        self.report.add(Damage::MissingField { index, field: name.to_string() });
                    }
                }
            }
        }
        if header.stream == StreamId::Erasure && !self.removals.confirm(index, record.hashed) {
            self.report.add(Damage::StreamReading { stream: StreamId::Erasure });
        }
    }

    /// Follows the record's stream.
    fn follow(&mut self, record: &Examined) {
        let Some(header) = &record.header else { return };
        let (stream, n, index, key) = (header.stream, header.n, record.index, record.keys.stream);
        if n == 0 {
            self.report.streams = self.report.streams.saturating_add(1);
        }
        let before = self.open.get(&key);
        let fault = match before {
            Some(None) => None,
            Some(Some(before)) => StreamProgress::judge(Some(before), header).err(),
            None => StreamProgress::judge(None, header).err(),
        };
        match fault {
            None => {}
            Some(StreamFault::Clock) => self.report.add(Damage::StreamClock { stream, index }),
            // Its predecessor does not lie where it belongs, and is named there.
            Some(_) if header.prev.is_some_and(|prev| self.lost.contains(&prev.to_hash())) => {
                self.walked.unclear.stream(key);
            }
            Some(_) if before.is_none() => {
                self.walked.unclear.stream(key);
                self.orphans.push(Orphan { stream, n, prev: header.prev, index });
                if self.orphans.len() > MOST_DISPLACED {
                    self.orphans.pop();
                    self.report.add(Damage::StreamGap { stream, expected: 0, n, index });
                }
            }
            Some(fault) => {
                self.walked.unclear.stream(key);
                self.report.add(match fault {
                    StreamFault::Gap { expected } => Damage::StreamGap { stream, expected, n, index },
                    StreamFault::Fork => Damage::StreamFork { stream, n, index },
                    StreamFault::Closed => Damage::ReopenedStream { stream, index },
                    _ => Damage::StreamLink { stream, n, index },
                });
            }
        }
        let progress = StreamProgress::after(header, record.hashed.into());
        if progress.is_closed() {
            self.open.remove(&key);
        } else {
            self.open.insert(key, Some(progress));
        }
    }

    /// Looks up the policies that a record cites for the first time.
    async fn snapshots(&mut self, record: &Examined) -> Result<(), FsckError> {
        for policy in &record.snapshots {
            if self.policies.len() >= MOST_POLICIES {
                self.policies.clear();
            }
            if !self.policies.insert(*policy) {
                continue;
            }
            self.report.snapshots = self.report.snapshots.saturating_add(1);
            match (self.backend.blob(BlobKey::from(*policy)).await?, self.config.snapshots) {
                (None, _) => self.report.add(Damage::MissingSnapshot { policy: *policy, index: record.index }),
                (Some(bytes), Some(digest)) if digest(&bytes) != Some(*policy) => {
                    self.report.add(Damage::EditedSnapshot { policy: *policy });
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Walked, FsckError> {
        self.report_hole(self.tree.size());
        self.report.root = self.tree.root();
        for damage in paired(&self.displaced) {
            self.report.add(damage);
        }
        for orphan in std::mem::take(&mut self.orphans) {
            let damage = self.judge(orphan).await?;
            self.report.add(damage);
        }
        for damage in self.removals.finish() {
            self.report.add(damage);
        }
        Ok(self.walked)
    }

    /// What is wrong with a record that goes on with a stream that was not open: closed before, or without beginning.
    async fn judge(&self, orphan: Orphan) -> Result<Damage, FsckError> {
        let Orphan { stream, n, prev, index } = orphan;
        let before = self.backend.stream_rows(stream_key(&stream), n.saturating_sub(1), 1).await?;
        let follows = before.first().is_some_and(|before| {
            before.index < index && prev.is_some_and(|prev| prev.to_hash() == Hash::from(before.leaf))
        });
        Ok(if follows {
            Damage::ReopenedStream { stream, index }
        } else {
            Damage::StreamGap { stream, expected: 0, n, index }
        })
    }
}

fn full(error: TreeError) -> FsckError {
    FsckError::Read(ReadError::from(error))
}

/// Names records that lie in each other's place, and those that lie in place of one that is nowhere.
fn paired(displaced: &[Displaced]) -> Vec<Damage> {
    let by_leaf: HashMap<Hash, &Displaced> = displaced.iter().map(|record| (record.found, record)).collect();
    let named = displaced.iter().filter_map(|record| {
        let other = by_leaf.get(&record.expected).filter(|other| other.expected == record.found);
        match other {
            None => Some(Damage::ReplacedRecord { index: record.index }),
            Some(other) if record.index < other.index => {
                Some(Damage::SwappedRecords { first: record.index, second: other.index })
            }
            Some(_) => None,
        }
    });
    named.collect()
}
