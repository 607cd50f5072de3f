//! Grants that fall due close together, brokers that end them, and what the log says of that.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use jit_core::{CaseId, Event, Kind, StreamId, Timestamp, WriterId, is_end};
use jit_store::{Cursor, Log};
use tokio::task::JoinSet;

use crate::deployment::Deployment;

/// Cases made at a time.
const CASES: u64 = 256;
/// How much of the log is read at a time.
const PAGE: usize = 4096;

type Failed = Box<dyn Error + Send + Sync>;

/// Has so many grants approved, which end at moments spread evenly over `within`, the first at `from`.
///
/// # Errors
/// If the broker refuses a step.
pub async fn approve(
    deployment: &Deployment,
    grants: u64,
    from: Timestamp,
    within: Duration,
) -> Result<Vec<CaseId>, Failed> {
    let mut making = JoinSet::new();
    for worker in 0..CASES {
        let deployment = deployment.clone();
        making.spawn(async move {
            let mut cases = Vec::new();
            for number in (worker..grants).step_by(CASES as usize) {
                let end = from.saturating_add(within.mul_f64(number as f64 / grants as f64));
                cases.push(deployment.approved_until(&format!("grant {number}"), end).await?);
            }
            Ok::<Vec<CaseId>, Failed>(cases)
        });
    }
    let mut cases = Vec::new();
    while let Some(made) = making.join_next().await {
        cases.extend(made??);
    }
    Ok(cases)
}

/// How grants ended, as recorded.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How many.
    pub grants: usize,
    /// How long after its planned end each was recorded as ended, ascending.
    pub lateness: Vec<Duration>,
    /// From the first end recorded to the last.
    pub span: Duration,
    /// How many records were written meanwhile.
    pub records: u64,
    /// How many ends each process recorded.
    pub by_writer: BTreeMap<WriterId, usize>,
}

/// What a log says from `before` records on.
///
/// # Errors
/// If it cannot be read, or a case has not exactly one end.
pub async fn ended(log: &Log, before: u64, cases: &[CaseId]) -> Result<Ended, Failed> {
    let mut ends: BTreeMap<CaseId, usize> = cases.iter().map(|case| (*case, 0)).collect();
    let (mut lateness, mut by_writer) = (Vec::with_capacity(cases.len()), BTreeMap::new());
    let (mut first, mut last) = (Timestamp::MAX, Timestamp::EPOCH);
    let mut next = before.checked_sub(1).map_or(Cursor::START, Cursor::after);
    let mut records = 0;
    loop {
        let changes = log.changes(next, PAGE).await?;
        if changes.records.is_empty() {
            break;
        }
        next = changes.next;
        for entry in &changes.records {
            records += 1;
            let header = entry.record().header();
            let (StreamId::Case(case), true) = (header.stream, is_end(&header.kind)) else { continue };
            *ends.entry(case).or_default() += 1;
            let Event::GrantExpired(end) = entry.record().event()? else {
                return Err(format!("case {case} ended by {}, not by its window", header.kind).into());
            };
            let late = header.at.as_micros().saturating_sub(end.ending.planned_end.as_micros());
            lateness.push(Duration::from_micros(u64::try_from(late).map_err(|_| format!("case {case} ended early"))?));
            *by_writer.entry(header.writer).or_default() += 1;
            (first, last) = (first.min(header.at), last.max(header.at));
        }
    }
    if let Some((case, ends)) = ends.iter().find(|(_, ends)| **ends != 1) {
        return Err(format!("case {case} has {ends} ends").into());
    }
    let closed = closed(log, cases).await?;
    if closed != cases.len() {
        return Err(format!("{closed} of {} cases are closed", cases.len()).into());
    }
    lateness.sort_unstable();
    let span = Duration::from_micros(u64::try_from(last.as_micros().saturating_sub(first.as_micros())).unwrap_or(0));
    Ok(Ended { grants: cases.len(), lateness, span, records, by_writer })
}

/// How many cases have nothing left to be done.
async fn closed(log: &Log, cases: &[CaseId]) -> Result<usize, Failed> {
    let mut closed = 0;
    for case in cases {
        let records = log.stream(&StreamId::Case(*case)).await?;
        closed += usize::from(records.last().is_some_and(|last| last.record().header().kind == Kind::CaseClosed));
    }
    Ok(closed)
}

impl Ended {
    /// How late this part of them was at most.
    #[must_use]
    pub fn late(&self, part: f64) -> Duration {
        let last = self.lateness.len().saturating_sub(1);
        self.lateness.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }

    /// Ends recorded per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.grants as f64 / self.span.as_secs_f64().max(1e-3)
    }

    /// Records written per second.
    #[must_use]
    pub fn records_rate(&self) -> f64 {
        self.records as f64 / self.span.as_secs_f64().max(1e-3)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_writer: Vec<String> = self.by_writer.values().map(usize::to_string).collect();
        write!(
            f,
            "{} grants, each ended once by one of {} brokers ({}); lateness p50 {:.0?}, p90 {:.0?}, p99 {:.0?}, max {:.0?}; \
             {:.0} grants and {:.0} records per second",
            self.grants,
            self.by_writer.len(),
            by_writer.join(" + "),
            self.late(0.5),
            self.late(0.9),
            self.late(0.99),
            self.late(1.0),
            self.rate(),
            self.records_rate()
        )
    }
}
