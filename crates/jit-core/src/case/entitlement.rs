//! The ledger of one subject, resource and action set: which grants justify it now (INV-21).

use std::collections::BTreeMap;

use crate::{
    case::Case,
    digest::LeafHash,
    event::{EntitlementChanged, Event, EventError},
    ids::{CaseId, EntitlementId, GrantId},
    record::{Expected, Record, RecordError, Recorder, Refs, StreamHead, StreamId},
    source::ClockReading,
    time::Timestamp,
};

/// A record does not continue the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntitlementError {
    /// It belongs to another stream or does not follow the last record.
    #[error("record number {0} does not continue the ledger")]
    NotNext(u64),
    /// It is not an entitlement change, or cannot be read.
    #[error("ledger record cannot be read: {0}")]
    Event(#[from] EventError),
    /// It names no grant, or the case has none.
    #[error("no grant to enter in the ledger")]
    NoGrant,
    /// A record could not be made.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The clock reads a moment before the ledger's last record, beyond the declared errors (INV-14).
    #[error("clock reads {now}, before the last record of the ledger at {last}")]
    ClockBehind {
        /// What the clock reads.
        now: Timestamp,
        /// When the last record was made.
        last: Timestamp,
    },
}

/// One ledger, folded from its records.
#[derive(Debug, Clone)]
pub struct Entitlement {
    id: EntitlementId,
    head: Option<StreamHead>,
    last: Option<ClockReading>,
    live: BTreeMap<GrantId, Holding>,
}

/// That a grant justifies the entitlement.
#[derive(Debug, Clone, Copy)]
struct Holding {
    case: CaseId,
    until: Timestamp,
}

impl Entitlement {
    /// A ledger of which nothing is recorded yet.
    #[must_use]
    pub fn new(id: EntitlementId) -> Self {
        Self { id, head: None, last: None, live: BTreeMap::new() }
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        StreamId::Entitlement(self.id)
    }

    /// What an append must find.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected::from_head(self.head)
    }

    /// The grants that justify the entitlement at a moment: entered, not ended, and not past their planned end.
    pub fn live_at(&self, at: Timestamp) -> impl Iterator<Item = GrantId> {
        self.holders_at(at).map(|(grant, _)| grant)
    }

    /// The same, each with its case.
    pub fn holders_at(&self, at: Timestamp) -> impl Iterator<Item = (GrantId, CaseId)> {
        self.live.iter().filter(move |(_, holding)| at < holding.until).map(|(grant, holding)| (*grant, holding.case))
    }

    /// Folds the next record of the ledger into it.
    ///
    /// # Errors
    /// [`EntitlementError`] if the record does not continue the ledger.
    pub fn apply(&mut self, record: &Record) -> Result<(), EntitlementError> {
        let header = record.header();
        let next = self.head.map_or(Some(0), |head| head.n.checked_add(1));
        if header.stream != self.stream() || next != Some(header.n) || header.prev != self.head.map(|head| head.leaf) {
            return Err(EntitlementError::NotNext(header.n));
        }
        if let Event::EntitlementChanged(change) = record.event()? {
            let grant = header.refs.grant.ok_or(EntitlementError::NoGrant)?;
            if change.held {
                self.live.insert(grant, Holding { case: change.case, until: change.until });
            } else {
                self.live.remove(&grant);
            }
        }
        self.head = Some(record.head());
        self.last = Some(ClockReading { at: header.at, clock: header.clock.clone() });
        Ok(())
    }

    /// Makes the record of the activation or end of the case's grant, which `cause` recorded, and applies it.
    ///
    /// # Errors
    /// [`EntitlementError`] if the case has no grant, the clock is behind or the record cannot be made; the ledger is unchanged
    /// then.
    pub fn change(
        &mut self,
        held: bool,
        case: &Case,
        cause: LeafHash,
        recorder: &Recorder,
        read: &ClockReading,
    ) -> Result<Record, EntitlementError> {
        if let Some(last) = self.last.as_ref().filter(|last| !read.may_follow(last)) {
            return Err(EntitlementError::ClockBehind { now: read.at, last: last.at });
        }
        let (grant, retain) = case.grant().zip(case.retain()).ok_or(EntitlementError::NoGrant)?;
        let mut live: Vec<GrantId> = self.live_at(read.at).filter(|id| *id != grant.id).collect();
        if held {
            live.push(grant.id);
            live.sort();
        }
        let until = grant.approved.approved.end();
        let event = EntitlementChanged { held, case: case.id(), until, live }.into();
        let refs = Refs { request: Some(case.id()), grant: Some(grant.id), cause: Some(cause), ..Refs::default() };
        let record = recorder.draft(self.stream(), event, refs, retain.clone(), read.clone())?.seal(self.head, None)?;
        self.apply(&record)?;
        Ok(record)
    }
}
