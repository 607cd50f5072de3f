//! A worker that follows the feed of a log and reports what is wrong with it while it grows.

mod problem;
mod state;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use jit_core::{
    CaseId, Clock, EntitlementId, Event, History, PolicyDigest, SWEEP_ALLOWANCE, StreamId, Timestamp, check,
};
use jit_policy::SnapshotDocument;
use jit_store::{BackendError, Changes, Cursor, Log, LogRecord, ReadError};
use tokio::sync::watch;

pub use problem::Problem;
pub use state::SelfCheckState;

/// Records read at a time.
const PAGE: usize = 256;
/// Pages read in one pass.
const PAGES: usize = 64;
/// How many damaged records are passed over in one pass.
const BREAKS: u64 = 1024;

/// What one pass found, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct SelfChecked {
    /// What is wrong and was not reported before.
    pub problems: Vec<Problem>,
    /// How many more there are that were not reported, because there are too many to remember.
    pub unreported: u64,
    /// How far the check is behind the log.
    pub lag: Lag,
}

/// How far a self-check is behind the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// How many records it has not seen.
    pub records: u64,
    /// How long ago the first of them was made; zero if it has seen all.
    pub behind: Duration,
}

/// Follows a log and checks what it reads: every record by itself, every case and ledger that a record belongs to, every policy
/// that a record cites, and work that nobody does.
///
/// It reads only. What it sees of a case is the case and its ledger; what needs other streams is left to an audit, and what
/// needs the whole database to `jit_store::fsck`. Deadlines are judged when they are over by the sweep allowance, on the
/// clock given.
///
/// ```no_run
/// # async fn example(
/// #     log: jit_store::Log,
/// #     clock: std::sync::Arc<dyn jit_core::Clock>,
/// # ) -> Result<(), jit_store::ReadError> {
/// use jit_audit::{SelfCheck, SelfCheckState};
///
/// let mut check = SelfCheck::new(log, clock, SelfCheckState::start());
/// let checked = check.pass().await?;
/// for problem in checked.problems {
///     eprintln!("{problem}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct SelfCheck {
    log: Log,
    clock: Arc<dyn Clock>,
    state: SelfCheckState,
    allowance: Duration,
    /// Policies that were seen to be there.
    policies: BTreeSet<PolicyDigest>,
}

impl SelfCheck {
    /// A check that goes on from a state.
    #[must_use]
    pub fn new(log: Log, clock: Arc<dyn Clock>, state: SelfCheckState) -> Self {
        Self { log, clock, state, allowance: SWEEP_ALLOWANCE, policies: BTreeSet::new() }
    }

    /// How long after a deadline a sweep may take; five minutes unless said otherwise.
    #[must_use]
    pub fn sweep_allowance(mut self, allowance: Duration) -> Self {
        self.allowance = allowance;
        self
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &SelfCheckState {
        &self.state
    }

    /// Reads what is new, 16,384 records at most, and checks what it belongs to and what has become due.
    ///
    /// Dropping the future loses no problem: what was not returned is found again.
    ///
    /// # Errors
    /// [`ReadError`] if the database does not answer; what is damaged in it is no error but a problem.
    pub async fn pass(&mut self) -> Result<SelfChecked, ReadError> {
        let state = self.state.clone();
        let mut pass = Pass { check: self, state, found: Vec::new(), touched: BTreeMap::new() };
        // Before anything is read, so that whatever had to be recorded by now is in what is read.
        let now = pass.check.clock.now().at;
        pass.read().await?;
        pass.tree().await?;
        pass.overdue(now).await?;
        pass.streams(now).await?;
        let Pass { mut state, found, .. } = pass;
        let mut checked = SelfChecked { problems: Vec::new(), unreported: 0, lag: self.lag(&state, now).await? };
        for problem in found {
            match state.is_new(problem.key()) {
                Some(true) => checked.problems.push(problem),
                Some(false) => {}
                None => checked.unreported = checked.unreported.saturating_add(1),
            }
        }
        self.state = state;
        Ok(checked)
    }

    /// Checks now and whenever `every` has passed, until `stop` says so or its sender is gone. Each pass is handed to `report`
    /// with the state after it, which is to be kept; a pass that failed is tried again.
    pub async fn run(
        mut self,
        every: Duration,
        mut stop: watch::Receiver<bool>,
        mut report: impl FnMut(Result<SelfChecked, ReadError>, &SelfCheckState) + Send,
    ) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
                _ = ticks.tick() => loop {
                    let checked = self.pass().await;
                    let behind = checked.as_ref().is_ok_and(|checked| checked.lag.records >= PAGE as u64);
                    report(checked, &self.state);
                    if !behind || *stop.borrow() {
                        break;
                    }
                },
            }
        }
    }

    async fn lag(&self, state: &SelfCheckState, now: Timestamp) -> Result<Lag, ReadError> {
        let records = self.log.size().await?.saturating_sub(state.cursor().seen());
        let next = match records {
            0 => None,
            _ => match readable(self.log.changes(state.cursor(), 1).await)? {
                Ok(changes) => changes.records.first().map(|record| record.record().header().at),
                Err(_) => None,
            },
        };
        Ok(Lag { records, behind: next.map_or(Duration::ZERO, |at| now.since(at)) })
    }
}

impl fmt::Debug for SelfCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfCheck").field("log", &self.log).field("state", &self.state).finish_non_exhaustive()
    }
}

/// One pass, whose state is taken over when it is done.
struct Pass<'a> {
    check: &'a mut SelfCheck,
    state: SelfCheckState,
    found: Vec<Problem>,
    /// Streams that got records, with the time of the last.
    touched: BTreeMap<StreamId, Timestamp>,
}

impl Pass<'_> {
    /// Reads on in the feed, past what cannot be read.
    async fn read(&mut self) -> Result<(), ReadError> {
        let mut passed_over = 0;
        for _ in 0..PAGES {
            let cursor = self.state.cursor();
            match readable(self.check.log.changes(cursor, PAGE).await)? {
                Ok(Changes { records, .. }) if records.is_empty() => return Ok(()),
                Ok(Changes { records, .. }) => self.take(&records).await?,
                Err(what) => {
                    if passed_over >= BREAKS {
                        return Ok(());
                    }
                    passed_over = passed_over.saturating_add(self.pass_over(cursor, what).await?);
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, records: &[LogRecord]) -> Result<(), ReadError> {
        for record in records {
            let header = record.record().header();
            match header.stream {
                // Their rules need the whole stream.
                StreamId::Case(_) | StreamId::Entitlement(_) => {
                    self.touched.insert(header.stream, header.at);
                }
                stream => {
                    if let Err(what) = self.state.follow(header, record.record().leaf()) {
                        self.found.push(Problem::Stream { stream, what: what.to_owned() });
                    }
                }
            }
            let published = match record.record().event() {
                Ok(Event::PolicyPublished(published)) => Some(published.snapshot),
                _ => None,
            };
            for policy in header.refs.policy.into_iter().chain(published) {
                self.snapshot(policy, record.index()).await?;
            }
        }
        self.state.advance(records.iter().map(|record| record.record().leaf()));
        Ok(())
    }

    /// Finds the damaged records in the next page, and goes on behind them. Says how many they are.
    async fn pass_over(&mut self, cursor: Cursor, what: String) -> Result<u64, ReadError> {
        let end = self.check.log.size().await?.min(cursor.seen().saturating_add(PAGE as u64));
        let mut next = cursor;
        // What lies before the damage is read as ever.
        while next.seen() < end
            && let Ok(changes) = readable(self.check.log.changes(next, 1).await)?
        {
            self.take(&changes.records).await?;
            next = changes.next;
        }
        let start = next.seen();
        let mut broken = start;
        while broken < end && readable(self.check.log.changes(next, 1).await)?.is_err() {
            next = Cursor::after(broken);
            broken = broken.saturating_add(1);
        }
        if start < broken {
            self.found.push(Problem::Break { records: start..broken, what });
            self.state.skip_to(broken);
        }
        Ok(broken.saturating_sub(start))
    }

    /// Whether a policy that a record cites is there, and is itself.
    async fn snapshot(&mut self, policy: PolicyDigest, index: u64) -> Result<(), ReadError> {
        if self.check.policies.contains(&policy) {
            return Ok(());
        }
        match self.check.log.policy(policy).await? {
            None => self.found.push(Problem::SnapshotMissing { policy, index }),
            Some(bytes) if SnapshotDocument::parse(&bytes).map(|document| document.digest()) != Ok(policy) => {
                self.found.push(Problem::SnapshotEdited { policy, index });
            }
            Some(_) => {
                self.check.policies.insert(policy);
            }
        }
        Ok(())
    }

    /// Whether the tree in the store is that of the records read.
    async fn tree(&mut self) -> Result<(), ReadError> {
        let Some(tree) = self.state.tree().filter(|tree| tree.size() > 0) else { return Ok(()) };
        let last = tree.size().saturating_sub(1);
        let proven = match readable(self.check.log.records(&[last]).await)? {
            Ok(records) => match readable(self.check.log.prove(last, tree.size()).await)? {
                Ok(proof) => records.first().is_some_and(|record| {
                    proof.verify(&record.record().leaf().to_hash(), last, tree.size(), &tree.root()).is_ok()
                }),
                Err(_) => false,
            },
            Err(_) => false,
        };
        if !proven {
            self.found.push(Problem::Tree { size: tree.size() });
        }
        Ok(())
    }

    /// Work that is due for longer than a sweep may take; its cases are looked at again.
    async fn overdue(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let before = now.saturating_sub(self.check.allowance);
        let (known, mut after) = (self.found.len(), None);
        // What was reported already is passed over; of what is new, a page at a time.
        while self.found.len() == known {
            let Ok(page) = readable(self.check.log.due(after.as_ref(), before, PAGE).await)? else { break };
            let Some(last) = page.last() else { break };
            after = Some(*last);
            for work in page {
                let problem = Problem::Overdue { work: *work.id(), since: work.at() };
                if !self.state.knows(&problem.key()) {
                    self.touched.entry(work.id().stream).or_insert(work.at());
                    self.found.push(problem);
                }
            }
        }
        Ok(())
    }

    /// Looks at every case and ledger that got records, or was to be looked at again. Cases of one ledger are judged together.
    async fn streams(&mut self, now: Timestamp) -> Result<(), ReadError> {
        for case in self.state.take_revisits(now) {
            self.touched.entry(StreamId::Case(case)).or_insert(Timestamp::EPOCH);
        }
        let mut ledgers: BTreeMap<Option<EntitlementId>, Vec<LogRecord>> = BTreeMap::new();
        for (stream, at) in std::mem::take(&mut self.touched) {
            let Some(records) = self.stream(stream).await? else { continue };
            match stream {
                StreamId::Entitlement(ledger) => {
                    // Its own records are read where it is judged.
                    ledgers.entry(Some(ledger)).or_default();
                }
                StreamId::Case(case) => {
                    self.found.extend(not_enforced(case, &records));
                    ledgers.entry(ledger_of(&records)).or_default().extend(records);
                    // What had to follow its last record was perhaps not due yet.
                    let over = at.saturating_add(self.check.allowance).saturating_add(Duration::from_secs(1));
                    if over > now {
                        self.state.revisit(case, over);
                    }
                }
                _ => {}
            }
        }
        for (ledger, mut records) in ledgers {
            if let Some(ledger) = ledger {
                records.extend(self.stream(StreamId::Entitlement(ledger)).await?.unwrap_or_default());
            }
            self.judge(&records, now);
        }
        Ok(())
    }

    /// A stream, unless it does not hold together, which is a problem.
    async fn stream(&mut self, stream: StreamId) -> Result<Option<Vec<LogRecord>>, ReadError> {
        match readable(self.check.log.stream(&stream).await)? {
            Ok(records) => Ok(Some(records)),
            Err(what) => {
                self.found.push(Problem::Stream { stream, what });
                Ok(None)
            }
        }
    }

    fn judge(&mut self, records: &[LogRecord], now: Timestamp) {
        let streams: HashMap<u64, StreamId> =
            records.iter().map(|record| (record.index(), record.record().header().stream)).collect();
        let history = History::part(records.iter().map(|record| (record.index(), record.record())));
        for finding in check(&history.with_sweep_allowance(self.check.allowance), now) {
            let mut concerned = finding.records.iter().filter_map(|index| streams.get(index));
            let case = concerned.clone().find(|stream| matches!(stream, StreamId::Case(_)));
            if let Some(stream) = case.or(concerned.next()).filter(|_| finding.is_violated()) {
                self.found.push(Problem::of(*stream, finding));
            }
        }
    }
}

/// The conditions that were last reported as not enforced.
fn not_enforced(case: CaseId, records: &[LogRecord]) -> impl Iterator<Item = Problem> {
    let mut last = BTreeMap::new();
    for record in records {
        if let Ok(Event::ConditionReported(report)) = record.record().event() {
            last.insert(report.condition, (report.enforced, report.by, record.index()));
        }
    }
    let failed = last.into_iter().filter(|(_, (enforced, ..))| !enforced);
    failed.map(move |(condition, (_, by, index))| Problem::NotEnforced { case, condition, by, index })
}

/// The ledger that the grant of a case is entered in.
fn ledger_of(records: &[LogRecord]) -> Option<EntitlementId> {
    records.iter().find_map(|record| match record.record().event() {
        Ok(Event::GrantApproved(approved)) => Some(approved.entitlement),
        _ => None,
    })
}

/// Tells damage, which is to be reported, from a database that does not answer.
fn readable<T>(read: Result<T, ReadError>) -> Result<Result<T, String>, ReadError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(ReadError::Backend(error)) if !matches!(error, BackendError::Corrupt { .. }) => Err(error.into()),
        Err(damaged) => {
            let source = std::error::Error::source(&damaged).map(|source| format!(": {source}")).unwrap_or_default();
            Ok(Err(format!("{damaged}{source}")))
        }
    }
}
