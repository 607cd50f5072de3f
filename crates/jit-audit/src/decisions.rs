//! The recorded decisions of a bundle, a log or an export, for whoever runs another policy over them.

use std::{
    convert::Infallible,
    ops::Range,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use jit_core::{Event, Kind, PolicyDigest, Record};
use jit_log::{TileSource, TrustPolicy};
use jit_policy::{Backtest, BacktestReport, PastDecision};
use jit_store::{Cursor, Log, ReadError};
use tokio::sync::{mpsc, oneshot};

use crate::{
    scan::{Scan, ScanError, scan_records},
    verify::Examination,
};

/// A back-test gave no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BacktestError {
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// The policy engine panicked.
    #[error("the policy engine panicked")]
    Panicked,
}

/// How many records of a log are read at a time.
const PAGE: usize = 1024;
/// How many decisions of an export wait to be taken, at most.
const WAITING: usize = 1024;

/// The decision that a record is, under its index. `None` if it is another kind, or does not show what was decided.
fn decision(index: u64, record: &Record) -> Option<PastDecision<u64>> {
    if record.header().kind != Kind::PolicyEvaluated {
        return None;
    }
    let Ok(Event::PolicyEvaluated(evaluated)) = record.event() else { return None };
    Some(PastDecision { key: index, decision: evaluated.decision, input: evaluated.input })
}

/// The decisions of an examined bundle whose records verify, in the order of the bundle, by their index in the log.
pub fn decisions_of(examination: &Examination) -> impl Iterator<Item = PastDecision<u64>> {
    let sound = examination.records().iter().filter_map(|examined| Some((examined.place().index, examined.sound()?)));
    sound.filter_map(|(index, record)| decision(index, record))
}

/// The decisions of a range of a log, page by page.
///
/// ```
/// # async fn example(log: &jit_store::Log, policy: jit_core::PolicyDigest) -> Result<(), jit_store::ReadError> {
/// use jit_audit::Decisions;
/// let mut decisions = Decisions::new(log, 0..u64::MAX).of_policy(policy);
/// while let Some(page) = decisions.next_page().await? {
///     for past in page {
///         println!("record {}: {:?}", past.key, past.decision.outcome);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Decisions<'a> {
    log: &'a Log,
    next: Cursor,
    end: u64,
    policy: Option<PolicyDigest>,
}

impl<'a> Decisions<'a> {
    /// The decisions at these indexes, as far as the log goes.
    pub fn new(log: &'a Log, range: Range<u64>) -> Self {
        let next = range.start.checked_sub(1).map_or(Cursor::START, Cursor::after);
        Self { log, next, end: range.end, policy: None }
    }

    /// Only those that this snapshot made.
    pub fn of_policy(mut self, policy: PolicyDigest) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The next of them, which may be none; `None` at the end. Cancellation-safe: a page that was not taken is read again.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<PastDecision<u64>>>, ReadError> {
        let left = self.end.saturating_sub(self.next.seen());
        let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
        if limit == 0 {
            return Ok(None);
        }
        let changes = self.log.changes(self.next, limit).await?;
        if changes.records.is_empty() {
            return Ok(None);
        }
        self.next = changes.next;
        let made_by = |past: &PastDecision<u64>| self.policy.is_none_or(|policy| past.decision.policy == policy);
        let decisions = changes.records.iter().filter_map(|entry| decision(entry.index(), entry.record()));
        Ok(Some(decisions.filter(made_by).collect()))
    }
}

/// Runs a candidate policy over the decisions of a range of a log. `progress` hears now and then how many are done.
///
/// Dropping the future ends it soon after.
///
/// # Errors
/// [`BacktestError`].
pub async fn backtest_log(
    log: &Log,
    range: Range<u64>,
    backtest: Backtest,
    progress: impl FnMut(u64) + Send + 'static,
) -> Result<BacktestReport<u64>, BacktestError> {
    let (pages, mut taken) = mpsc::channel::<Vec<PastDecision<u64>>>(2);
    let (tell, told) = oneshot::channel();
    // Evaluation takes processors, not an executor's threads.
    thread::spawn(move || {
        let past = std::iter::from_fn(move || taken.blocking_recv()).flatten().map(Ok::<_, Infallible>);
        let Ok(report) = backtest.run(past, progress);
        // Whoever asked may be gone.
        let _ = tell.send(report);
    });
    let mut decisions = Decisions::new(log, range);
    while let Some(page) = decisions.next_page().await? {
        if pages.send(page).await.is_err() {
            break;
        }
    }
    drop(pages);
    told.await.map_err(|_| BacktestError::Panicked)
}

/// Verifies an exported log, as [`scan_log`](crate::scan_log) does, and runs a candidate policy over the decisions of a range of
/// it. `progress` hears now and then how many are done.
///
/// # Errors
/// [`ScanError`] if the export does not verify; then nothing is said about its decisions.
pub fn backtest_export<T: TileSource + Send, P: TileSource + Send>(
    tiles: &mut T,
    payloads: &mut P,
    trust: &TrustPolicy,
    range: &Range<u64>,
    backtest: &Backtest,
    progress: impl FnMut(u64),
) -> Result<(Scan, BacktestReport<u64>), ScanError> {
    let (send, receive) = sync_channel(WAITING);
    thread::scope(|scope| {
        let scanning = scope.spawn(move || scan_decisions(tiles, payloads, trust, range, &send));
        let Ok(report) = backtest.run(receive.into_iter().map(Ok::<_, Infallible>), progress);
        match scanning.join() {
            Ok(scan) => Ok((scan?, report)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn scan_decisions(
    tiles: &mut impl TileSource,
    payloads: &mut impl TileSource,
    trust: &TrustPolicy,
    range: &Range<u64>,
    send: &SyncSender<PastDecision<u64>>,
) -> Result<Scan, ScanError> {
    scan_records(tiles, payloads, trust, |index, record| {
        if let Some(past) = range.contains(&index).then(|| decision(index, record)).flatten() {
            // The back-test takes all there is; it is gone only if it panicked.
            let _ = send.send(past);
        }
    })
}
