//! A backend in memory with one mistake that an implementation could make.

mod flaw;
mod transacting;

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jit_store::{
    Assumed, Backend, BackendError, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Lease,
    LeaseKey, LeaseRequest, LookupKey, MemoryBackend, Projections, Rebuild, RecordKey, Row, StreamKey, StreamState,
    TileKey, Transaction, TreeNodes, TreeRead,
};
use tokio::task::yield_now;

pub(crate) use flaw::Flaw;

/// The backend; its clones share the same log.
#[derive(Debug, Clone)]
pub(crate) struct Flawed {
    inner: MemoryBackend,
    flaw: Flaw,
    seen: Arc<Mutex<Seen>>,
}

/// What some mistakes need to remember.
#[derive(Debug, Default)]
struct Seen {
    leases: HashMap<LeaseKey, Lease>,
    blobs: HashMap<BlobKey, Vec<u8>>,
    checkpoints: HashMap<u64, CheckpointRow>,
    /// Answers under way on a connection that gives them in order to whoever asks.
    answers: VecDeque<Vec<Row>>,
    last_head: Option<Head>,
    incarnations: u8,
}

impl Flawed {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self { inner: MemoryBackend::new(), flaw, seen: Arc::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// A limit as this backend understands it.
    fn limit(&self, limit: usize) -> usize {
        match self.flaw {
            Flaw::MoreThanLimit => limit.saturating_add(1),
            Flaw::SignedLimit => usize::try_from(limit as i64).unwrap_or(0),
            _ => limit,
        }
    }

    fn number(&self, number: u64) -> u64 {
        if self.has(Flaw::SignedNumbers) { u64::try_from(number as i64).unwrap_or(0) } else { number }
    }

    async fn held(&self, row: &DueRow) -> Result<bool, BackendError> {
        // Asking is taking: an unknown holder tries.
        let request = LeaseRequest { holder: jit_store::Holder::from_bytes([0xee; 16]), ttl: Duration::ZERO };
        Ok(self.inner.lease(row.key.into(), request).await?.is_none())
    }
}

#[async_trait]
impl Backend for Flawed {
    async fn create(&self, meta: Vec<u8>, first: Batch) -> Result<(), BackendError> {
        if self.has(Flaw::CreatesHalf) && first.rows.first().is_some_and(|row| row.index != 0) {
            let first = Batch { head: Head { size: 0, ..first.head }, rows: Vec::new(), ..first };
            self.inner.create(meta, first).await?;
            return Err(BackendError::Corrupt { what: "the first row is not the first".into() });
        }
        let first = match self.flaw {
            Flaw::CreatesWithoutProjections => Batch { projections: Projections::default(), ..first },
            _ => first,
        };
        if self.has(Flaw::CreatesInTwo) && first.rows.len() > 1 {
            let (one, rest) = transacting::in_two(first);
            self.inner.create(meta, one).await?;
            yield_now().await;
            return self.inner.begin(Begin::default()).await?.commit(rest).await;
        }
        match self.inner.create(meta, first).await {
            Err(BackendError::AlreadyExists) if self.has(Flaw::CreatesTwice) => Ok(()),
            created => created,
        }
    }

    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        let settings = self.inner.meta().await?;
        Ok(settings.filter(|settings| !self.has(Flaw::NoSettingsOfNoBytes) || !settings.is_empty()))
    }

    async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
        transacting::begin(self, want).await
    }

    async fn write_if(&self, assumed: Assumed, batch: Batch) -> Result<bool, BackendError> {
        match self.flaw {
            Flaw::NothingIsAsAssumed => Ok(false),
            Flaw::AllIsAsAssumed => {
                self.inner.begin(Begin::default()).await?.commit(batch).await?;
                Ok(true)
            }
            _ => self.inner.write_if(assumed, batch).await,
        }
    }

    async fn head(&self) -> Result<Head, BackendError> {
        match self.inner.head().await {
            Err(BackendError::NotCreated) if self.has(Flaw::HeadBeforeCreate) => {
                Ok(Head { size: 0, root: HashBytes::from_bytes([0; 32]), frontier: Vec::new() })
            }
            Ok(head) if self.has(Flaw::StaleHead) => Ok(self.seen().last_head.replace(head.clone()).unwrap_or(head)),
            Ok(head) if self.has(Flaw::LocksReads) => {
                drop(self.inner.begin(Begin::default()).await?);
                Ok(head)
            }
            head => head,
        }
    }

    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        self.inner.stream_head(key).await
    }

    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        let (start, end) = (self.number(range.start), range.end);
        match self.flaw {
            Flaw::OneRowTooMany => self.inner.rows(start..end.saturating_add(1)).await,
            Flaw::RowsFromOneLater => self.inner.rows(start.saturating_add(1)..end).await,
            Flaw::AnswersOfOthers => {
                let rows = self.inner.rows(start..end).await?;
                self.seen().answers.push_back(rows);
                yield_now().await;
                Ok(self.seen().answers.pop_front().unwrap_or_default())
            }
            Flaw::LargePagesBreakOff => {
                let mut rows = self.inner.rows(start..end).await?;
                rows.retain(|row| row.payload.as_ref().is_none_or(|payload| payload.len() < 4 << 20));
                Ok(rows)
            }
            _ => self.inner.rows(start..end).await,
        }
    }

    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        self.inner.stream_rows(key, self.number(from_n), self.limit(limit)).await
    }

    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError> {
        match self.flaw {
            Flaw::LookupExcludesFrom => self.inner.lookup(key, from.saturating_add(1), limit).await,
            Flaw::LookupOfLastFirst => {
                let mut rows = self.inner.lookup(key, from, usize::MAX).await?;
                rows.reverse();
                rows.truncate(limit);
                Ok(rows)
            }
            _ => self.inner.lookup(key, self.number(from), self.limit(limit)).await,
        }
    }

    async fn tree(&self, mut want: TreeRead) -> Result<TreeNodes, BackendError> {
        if self.has(Flaw::TilesInKeyOrder) {
            want.tiles.sort_unstable();
        }
        let roots = want.roots.clone();
        let mut nodes = self.inner.tree(want).await?;
        if self.has(Flaw::RootsBeyondGap) {
            nodes.roots = Vec::new();
            for (level, range) in roots {
                let tiles = (range.start..range.end.min(64)).map(|index| TileKey { level, index }).collect();
                let found = self.inner.tree(TreeRead { tiles, ..TreeRead::default() }).await?.tiles;
                nodes.roots.push(found.into_iter().flatten().map(|tile| tile.root).collect());
            }
        }
        Ok(nodes)
    }

    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        let limit = self.limit(limit);
        match self.flaw {
            Flaw::DueIgnoresAfter => self.inner.due(None, before_us, limit).await,
            Flaw::DueAfterTimeOnly => {
                let after = after.map(|(at_us, _)| (at_us, DueKey::from_bytes([0xff; 32])));
                self.inner.due(after, before_us, limit).await
            }
            Flaw::DueInclusive => self.inner.due(after, before_us.saturating_add(1), limit).await,
            Flaw::NothingBefore1970 => {
                let mut rows = self.inner.due(after, before_us, limit).await?;
                rows.retain(|row| row.at_us >= 0);
                Ok(rows)
            }
            Flaw::DueByKey => {
                let mut rows = self.inner.due(after, before_us, usize::MAX).await?;
                rows.sort_unstable_by_key(|row| row.key);
                rows.truncate(limit);
                Ok(rows)
            }
            Flaw::DueSkipsHeld => {
                let mut rows = Vec::new();
                for row in self.inner.due(after, before_us, limit).await? {
                    if !self.held(&row).await? {
                        rows.push(row);
                    }
                }
                Ok(rows)
            }
            _ => self.inner.due(after, before_us, limit).await,
        }
    }

    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        if self.has(Flaw::SignedKeys) {
            let signed = |key: &StreamKey| key.as_bytes().map(|byte| byte as i8);
            let mut streams = self.inner.scan_streams(None, usize::MAX).await?;
            streams.sort_unstable_by_key(|(key, _)| signed(key));
            streams.retain(|(key, _)| after.is_none_or(|after| signed(key) > signed(&after)));
            streams.truncate(limit);
            return Ok(streams);
        }
        self.inner.scan_streams(after, self.limit(limit)).await
    }

    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        let mut entries = self.inner.scan_lookups(after, self.limit(limit)).await?;
        if self.has(Flaw::LookupsByIndex) {
            entries.sort_unstable_by_key(|(key, index)| (*index, *key));
        }
        Ok(entries)
    }

    async fn scan_records(
        &self,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        let mut records = self.inner.scan_records(after, self.limit(limit)).await?;
        if self.has(Flaw::RecordsByIndex) {
            records.sort_unstable_by_key(|(_, index)| *index);
        }
        Ok(records)
    }

    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        let due = self.inner.due(None, before_us, usize::MAX).await?;
        let lease_of = |row: &DueRow| Lease { key: row.key.into(), holder: request.holder, fence: 1 };
        let mut claims = Vec::new();
        match self.flaw {
            Flaw::ClaimsHeld => {
                self.inner.claim(before_us, limit, request).await?;
                return Ok(due.into_iter().take(limit).map(|row| (row.clone(), lease_of(&row))).collect());
            }
            Flaw::ClaimsWithoutLease => {
                for row in due.into_iter().take(limit) {
                    if !self.held(&row).await? {
                        claims.push((row.clone(), lease_of(&row)));
                    }
                }
                return Ok(claims);
            }
            Flaw::ClaimsNeverExpire => {
                let request = LeaseRequest { ttl: Duration::MAX, ..request };
                return self.inner.claim(before_us, limit, request).await;
            }
            Flaw::ClaimRace => {
                for row in due {
                    if claims.len() < limit && !self.held(&row).await? {
                        claims.push((row.clone(), lease_of(&row)));
                    }
                }
                yield_now().await;
                for (row, _) in &claims {
                    self.inner.lease(row.key.into(), request).await?;
                }
                return Ok(claims);
            }
            Flaw::ClaimsLastFirst | Flaw::ClaimCountsHeld | Flaw::ClaimSkipsOwn => {}
            _ => return self.inner.claim(before_us, limit, request).await,
        }
        let mut due = due;
        if self.has(Flaw::ClaimsLastFirst) {
            due.sort_unstable_by_key(|row| Reverse(row.at_us));
        }
        if self.has(Flaw::ClaimCountsHeld) {
            due.truncate(limit);
        }
        for row in due {
            if claims.len() == limit || (self.has(Flaw::ClaimSkipsOwn) && self.held(&row).await?) {
                continue;
            }
            claims.extend(self.inner.lease(row.key.into(), request).await?.map(|lease| (row, lease)));
        }
        Ok(claims)
    }

    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        let known = self.seen().leases.get(&key).copied().filter(|known| known.holder == request.holder);
        let ttl = match self.flaw {
            Flaw::NeverExpires => Duration::MAX,
            Flaw::ExpiresEarly => request.ttl / 2,
            Flaw::RefusesLongLease if request.ttl > Duration::from_secs(1 << 33) => {
                return Err(BackendError::Refused { source: "interval out of range".into() });
            }
            _ => request.ttl,
        };
        match (self.flaw, known) {
            (Flaw::RenewsWithoutExtending, Some(known)) => return Ok(Some(known)),
            (Flaw::NewFenceOnRenewal, Some(known)) => self.inner.release(known).await?,
            _ => {}
        }
        if self.has(Flaw::LeaseRace) {
            let free = self.seen().leases.get(&key).is_none_or(|known| known.holder == request.holder);
            yield_now().await;
            if free {
                let lease = Lease { key, holder: request.holder, fence: 1 };
                self.seen().leases.insert(key, lease);
                return Ok(Some(lease));
            }
            return Ok(None);
        }
        let lease = self.inner.lease(key, LeaseRequest { ttl, ..request }).await?;
        if let Some(lease) = lease {
            self.seen().leases.insert(key, lease);
        }
        Ok(lease.map(|lease| if self.has(Flaw::SameFence) { Lease { fence: 1, ..lease } } else { lease }))
    }

    async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        let known = self.seen().leases.get(&lease.key).copied();
        let frees = match self.flaw {
            Flaw::AnyoneReleases => known,
            Flaw::ReleasesAnyFence | Flaw::SameFence => known.filter(|known| known.holder == lease.holder),
            _ => Some(lease),
        };
        match frees {
            Some(lease) => {
                self.seen().leases.retain(|_, known| *known != lease);
                self.inner.release(lease).await
            }
            None => Ok(()),
        }
    }

    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        let replaced = self.seen().blobs.get(&key).cloned();
        let blob = if replaced.is_some() { replaced } else { self.inner.blob(key).await? };
        Ok(blob.or_else(|| self.has(Flaw::NoBlobIsEmpty).then(Vec::new)))
    }

    async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError> {
        let largest = self.inner.checkpoint(None).await?.map(|row| row.size);
        match self.flaw {
            Flaw::CheckpointIgnoresAfter => self.inner.save_checkpoint(largest, row).await,
            Flaw::CheckpointGoesBack if largest == after && largest.is_some_and(|size| row.size < size) => Ok(true),
            Flaw::CheckpointRace if largest == after => {
                yield_now().await;
                let largest = self.inner.checkpoint(None).await?.map(|row| row.size);
                self.inner.save_checkpoint(largest, row).await?;
                Ok(true)
            }
            Flaw::SizesOf32Bits if row.size > u64::from(u32::MAX) => Ok(false),
            Flaw::CheckpointInTwo => {
                let saved =
                    self.inner.save_checkpoint(after, CheckpointRow { note: Vec::new(), ..row.clone() }).await?;
                yield_now().await;
                if saved {
                    self.seen().checkpoints.insert(row.size, row);
                }
                Ok(saved)
            }
            _ => self.inner.save_checkpoint(after, row).await,
        }
    }

    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        match self.flaw {
            Flaw::CheckpointOfExactSize => {
                let found = self.inner.checkpoint(at_least).await?;
                Ok(found.filter(|row| at_least.is_none_or(|size| size == row.size)))
            }
            Flaw::CheckpointOfLargest => {
                let found = self.inner.checkpoint(None).await?;
                Ok(found.filter(|row| at_least.is_none_or(|size| size <= row.size)))
            }
            Flaw::CheckpointInTwo => {
                let found = self.inner.checkpoint(at_least).await?;
                Ok(found.map(|row| self.seen().checkpoints.get(&row.size).cloned().unwrap_or(row)))
            }
            _ => self.inner.checkpoint(at_least).await,
        }
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError> {
        transacting::rebuild(self).await
    }
}
