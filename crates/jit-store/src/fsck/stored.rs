//! What is stored to find records and streams, compared with what the records give: sums first, then names for what differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::damage::Damage;
use super::due::unordered;
use super::examined::Examined;
use super::feed::{Examiner, Feed};
use super::report::{FsckPhase, FsckReport};
use super::tally::{Differing, Filed, Identified, StreamEnd, Tally};
use super::unclear::Unclear;
use super::{Announcer, FsckError};
use crate::backend::Backend;
use crate::row::{RecordKey, StreamKey, StreamState};

/// Entries read at a time.
const PAGE: usize = 4096;
/// About how many entries are held in memory to name what differs.
const HELD: u64 = 1 << 20;

/// What the records give, less what is stored.
pub(super) struct Tallies {
    streams: Tally<StreamEnd>,
    /// `None` without the index key.
    lookups: Option<Tally<Filed>>,
    records: Tally<Identified>,
}

/// Parts in which something differs.
#[derive(Default)]
struct Parts {
    streams: Vec<Differing>,
    lookups: Vec<Differing>,
    records: Vec<Differing>,
}

impl Tallies {
    pub(super) fn summing(key: [u8; 32], lookups: bool) -> Self {
        Self {
            streams: Tally::summing(key),
            lookups: lookups.then(|| Tally::summing(key)),
            records: Tally::summing(key),
        }
    }

    fn naming(parts: &Parts) -> Self {
        let numbers = |parts: &[Differing]| parts.iter().map(|differing| differing.part).collect();
        Self {
            streams: Tally::naming(numbers(&parts.streams)),
            lookups: Some(Tally::naming(numbers(&parts.lookups))),
            records: Tally::naming(numbers(&parts.records)),
        }
    }

    /// What a record gives.
    pub(super) fn take(&mut self, record: &Examined) {
        self.take_stream(record);
        self.records.add(Identified { record: record.keys.record, index: record.index });
        if let Some(lookups) = &mut self.lookups {
            for key in &record.projection.lookups {
                lookups.add(Filed { key: *key, index: record.index });
            }
        }
    }

    /// The end that a record gives its stream, in place of the one before.
    fn take_stream(&mut self, record: &Examined) {
        let (stream, n) = (record.keys.stream, record.keys.n);
        let closed = record.header.as_ref().is_some_and(|header| header.kind.closes_stream());
        self.streams.add(StreamEnd { stream, next: n.saturating_add(1), leaf: record.hashed.into(), closed });
        if let Some(prev) = record.header.as_ref().and_then(|header| header.prev) {
            self.streams.remove(StreamEnd { stream, next: n, leaf: prev.to_hash().into(), closed: false });
        }
    }

    fn differing(&self) -> Parts {
        Parts {
            streams: self.streams.differing(),
            lookups: self.lookups.as_ref().map(Tally::differing).unwrap_or_default(),
            records: self.records.differing(),
        }
    }
}

impl Parts {
    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.lookups.is_empty() && self.records.is_empty()
    }

    /// As many parts as are held in memory at once, at least one.
    fn take(&mut self) -> Self {
        let mut taken = Self::default();
        let mut entries: u64 = 0;
        for (from, to) in [
            (&mut self.streams, &mut taken.streams),
            (&mut self.lookups, &mut taken.lookups),
            (&mut self.records, &mut taken.records),
        ] {
            while let Some(part) = from.pop_if(|part| entries == 0 || entries.saturating_add(part.entries) <= HELD) {
                entries = entries.saturating_add(part.entries).max(1);
                to.push(part);
            }
        }
        taken
    }

    fn at_least(&self) -> u64 {
        let all = self.streams.iter().chain(&self.lookups).chain(&self.records);
        all.map(|part| part.at_least).fold(0, u64::saturating_add)
    }
}

/// A stored log and what is known of it after the main pass.
pub(super) struct Stored<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) examiner: Arc<Examiner>,
    /// How many records the main pass saw.
    pub(super) size: u64,
    /// Whether records are missing.
    pub(super) holes: bool,
}

impl Stored<'_> {
    /// Compares what is stored with the tallies of the main pass, and names what differs.
    pub(super) async fn compare(
        &self,
        mut tallies: Tallies,
        unclear: &mut Unclear,
        report: &mut FsckReport,
        announce: &mut Announcer<'_>,
    ) -> Result<(), FsckError> {
        self.subtract(&mut tallies, report, announce).await?;
        let mut differing = tallies.differing();
        while !differing.is_empty() && !report.is_full() {
            let mut exact = Tallies::naming(&differing.take());
            let mut feed = Feed::up_to(self.backend, Arc::clone(&self.examiner), 0, self.size);
            while let Some(page) = feed.next().await? {
                let last = page.last().map_or(0, |record| record.index);
                for record in &page {
                    exact.take(record);
                }
                announce.say(FsckPhase::Naming, last.saturating_add(1), Some(self.size), report);
            }
            self.subtract(&mut exact, report, announce).await?;
            self.name(exact, unclear, report).await?;
        }
        report.more = report.more.saturating_add(differing.at_least());
        self.bounds(unclear, report, announce).await
    }

    /// Asks the database whether it finds every stream from its first record to its last.
    async fn bounds(
        &self,
        unclear: &Unclear,
        report: &mut FsckReport,
        announce: &mut Announcer<'_>,
    ) -> Result<(), FsckError> {
        let (mut after, mut done): (Option<StreamKey>, u64) = (None, 0);
        // With a full list it is not known what follows from what is on it.
        while !report.is_full() {
            let page = self.backend.scan_stream_bounds(after, PAGE).await?;
            ascends(after, page.iter().map(|(key, _)| *key))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (stream, _) in page.iter().filter(|(key, right)| !right && !unclear.has_end_of(key)) {
                report.add(Damage::EditedStreamBounds { stream: *stream });
            }
            done = done.saturating_add(page.len() as u64);
            announce.say(FsckPhase::Projections, done, None, report);
        }
        Ok(())
    }

    /// Takes away what is stored. Others may write meanwhile.
    async fn subtract(
        &self,
        tallies: &mut Tallies,
        report: &mut FsckReport,
        announce: &mut Announcer<'_>,
    ) -> Result<(), FsckError> {
        let mut done = 0;
        let mut feed = Feed::up_to(self.backend, Arc::clone(&self.examiner), self.size, self.size);
        let mut after: Option<StreamKey> = None;
        loop {
            let page = self.backend.scan_streams(after, PAGE).await?;
            ascends(after, page.iter().map(|(key, _)| *key))?;
            // A record that came meanwhile counts if the head of its stream was read after it.
            feed.extend().await?;
            while let Some(new) = feed.next().await? {
                for record in new.iter().filter(|record| was_seen(record, after, &page)) {
                    tallies.take_stream(record);
                }
            }
            for (key, state) in &page {
                tallies.streams.remove(StreamEnd::new(*key, state));
            }
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            done += page.len() as u64;
            announce.say(FsckPhase::Projections, done, None, report);
        }
        let mut after: Option<RecordKey> = None;
        loop {
            let page = self.backend.scan_records(after, PAGE).await?;
            ascends(after, page.iter().map(|(key, _)| *key))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (record, index) in page.iter().filter(|(_, index)| *index < self.size) {
                tallies.records.remove(Identified { record: *record, index: *index });
            }
            done += page.len() as u64;
            announce.say(FsckPhase::Projections, done, None, report);
        }
        let Some(lookups) = &mut tallies.lookups else { return Ok(()) };
        let mut after = None;
        loop {
            let page = self.backend.scan_lookups(after, PAGE).await?;
            ascends(after, page.iter().copied())?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (key, index) in page.iter().filter(|(_, index)| *index < self.size) {
                lookups.remove(Filed { key: *key, index: *index });
            }
            done += page.len() as u64;
            announce.say(FsckPhase::Projections, done, None, report);
        }
    }

    async fn name(&self, exact: Tallies, unclear: &mut Unclear, report: &mut FsckReport) -> Result<(), FsckError> {
        let mut streams: BTreeMap<StreamKey, Vec<(StreamEnd, i64)>> = BTreeMap::new();
        for (end, count) in exact.streams.left() {
            streams.entry(end.stream).or_default().push((end, count));
        }
        for (stream, ends) in streams {
            if unclear.has_stream(&stream) {
                continue;
            }
            let damage = self.name_stream(stream, &ends);
            unclear.end(stream);
            if matches!(damage, Damage::DeletedStream { .. } | Damage::TruncatedStream { .. }) {
                unclear.works(stream);
            }
            report.add(damage);
        }
        let ids = exact.records.left();
        for (Identified { record, index }, count) in &ids {
            let (record, index) = (*record, *index);
            if unclear.has_record(index) {
                continue;
            }
            if *count < 0 {
                report.add(Damage::UnknownId { record, index });
                continue;
            }
            let filed = self.backend.scan_records(previous(record), 1).await?.into_iter().next();
            // The id leads to another record that has it as well.
            let double = filed
                .filter(|(found, _)| *found == record)
                .is_some_and(|(_, other)| other != index && !ids.contains_key(&Identified { record, index: other }));
            report.add(if double { Damage::DuplicateId { record, index } } else { Damage::MissingId { index } });
        }
        for (Filed { key, index }, count) in exact.lookups.map(Tally::left).unwrap_or_default() {
            if unclear.has_record(index) {
                continue;
            }
            report.add(if count < 0 {
                Damage::UnknownLookup { key, index }
            } else {
                Damage::MissingLookup { key, index }
            });
        }
        Ok(())
    }

    /// Names what is wrong with a stream of which these ends are left over.
    fn name_stream(&self, stream: StreamKey, ends: &[(StreamEnd, i64)]) -> Damage {
        match ends {
            [(_, 1)] => Damage::MissingStreamHead { stream },
            [(_, -1)] if self.holes => Damage::DeletedStream { stream },
            [(_, -1)] => Damage::UnknownStreamHead { stream },
            [(one, count), (two, other)] if *count + *other == 0 && count.abs() == 1 => {
                let (found, stated) = if *count > 0 { (one.next, two.next) } else { (two.next, one.next) };
                if self.holes && stated > found {
                    Damage::TruncatedStream { stream, stated, found }
                } else {
                    Damage::EditedStreamHead { stream }
                }
            }
            _ => Damage::BrokenStream { stream },
        }
    }
}

/// Whether a head that was read on `page`, or will be read after it, counts the record.
fn was_seen(record: &Examined, after: Option<StreamKey>, page: &[(StreamKey, StreamState)]) -> bool {
    let key = record.keys.stream;
    if after.is_some_and(|after| key <= after) {
        return false;
    }
    match page.binary_search_by_key(&key, |(stream, _)| *stream) {
        Ok(at) => page.get(at).is_some_and(|(_, state)| state.next > record.keys.n),
        // Past the page it will be read; within it, or if the page was the last, there was no head yet.
        Err(at) => at == page.len() && !page.is_empty(),
    }
}

/// Refuses a scan that would never end.
fn ascends<K: Ord + Copy>(after: Option<K>, page: impl Iterator<Item = K>) -> Result<(), FsckError> {
    let mut before = after;
    for key in page {
        if before.is_some_and(|before| before >= key) {
            return Err(unordered().into());
        }
        before = Some(key);
    }
    Ok(())
}

/// The id just before another; none before the first.
fn previous(record: RecordKey) -> Option<RecordKey> {
    let number = u128::from_be_bytes(*record.as_bytes()).checked_sub(1)?;
    Some(RecordKey::from_bytes(number.to_be_bytes()))
}
