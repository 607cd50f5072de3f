//! INV-21: the ledger of an entitlement is right, and an end says which other grants still justify the access.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    ending::needs_ends,
    finding::{Reason, Report},
    id::InvariantId::Inv21,
    view::{CaseStream, Entry, Stream, View, pick},
};
use crate::{
    event::{EntitlementChanged, Event, Kind},
    ids::GrantId,
    project::{ending, is_end},
    record::StreamId,
    time::Timestamp,
};

/// Further back than this no sequence of clock errors goes.
const CLOCK_SLACK: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn needs(kind: &Kind) -> bool {
    needs_ends(kind) || *kind == Kind::GrantActivated
}

/// INV-21. A grant that was activated is entered in its ledger, and its end is entered with `refs.cause`; `live` there and
/// `still_justified_by` of the end name the same grants. No credential is taken back because another grant ended, and none is
/// left to another grant that is not live in the ledger.
pub(super) fn ends(case: &CaseStream<'_>, report: &mut Report) {
    for (intent, _) in case.events(pick!(Event::RevocationIntended)) {
        let cause = intent.refs().cause.and_then(|leaf| case.view.by_leaf(leaf));
        if let Some(cause) = cause.filter(|c| is_end(c.kind()) && c.header().stream != intent.header().stream) {
            report.violated(Inv21, &[intent, cause], "a credential is taken back because another grant ended");
        }
    }
    let Some((grant, approved)) = case.events(pick!(Event::GrantApproved)).next() else { return };
    let Some(active) = case.entries().find(|e| *e.kind() == Kind::GrantActivated) else { return };
    let id = StreamId::Entitlement(approved.entitlement);
    let ledger = case.view.stream(id);
    if !ledger.is_some_and(|ledger| ledger.dense && ledger.readable) {
        if case.view.is_whole() && ledger.is_none() && case.view.overdue(active.header().at) {
            return report.violated(Inv21, &[active], "the grant is in no ledger");
        }
        return report.not_provable(Inv21, Reason::OtherStream, Some(active), "the ledger is not here in full");
    }
    for (handed, e) in case.events(pick!(Event::CredentialHandedOver)) {
        let change = |held| case.view.change(id, e.to, held).map(|(change, _)| change.index);
        let live = change(true).is_some_and(|at| at < handed.index) && change(false).is_none_or(|at| at > handed.index);
        if !live {
            report.violated(Inv21, &[handed], "a credential is left to a grant that does not justify the access");
        }
    }
    let entry_of = |held: bool| case.view.change(id, grant.refs().grant?, held);
    if entry_of(true).is_none() && case.view.overdue(active.header().at) {
        report.violated(Inv21, &[active], "the activation is not in the ledger");
    }
    let Some(end) = case.entries().find(|e| is_end(e.kind())) else { return };
    let Some(ending) = end.event.as_ref().ok().and_then(ending) else { return };
    match entry_of(false).filter(|(e, _)| e.refs().cause == Some(end.leaf())) {
        None if case.view.overdue(end.header().at) => report.violated(Inv21, &[end], "the end is not in the ledger"),
        None => {}
        Some((entry, change)) => {
            let told: BTreeSet<&GrantId> = ending.still_justified_by.iter().collect();
            if told != change.live.iter().collect() {
                report.violated(Inv21, &[end, entry], "the end does not say which grants still justify the access");
            }
        }
    }
}

fn changes<'s, 'v>(stream: &'s Stream<'v>) -> impl Iterator<Item = (&'s Entry<'v>, &'s EntitlementChanged)> {
    stream.entries.iter().filter_map(|entry| match &entry.event {
        Ok(Event::EntitlementChanged(change)) => Some((*entry, change)),
        _ => None,
    })
}

/// INV-21. `live` of each `entitlement.changed` is what the records of the ledger before it give.
pub(super) fn entries(view: &View<'_>, report: &mut Report) {
    for stream in view.streams().filter(|stream| matches!(stream.id, StreamId::Entitlement(_))) {
        let unread = stream.entries.iter().find(|e| *e.kind() == Kind::EntitlementChanged && e.event.is_err());
        match (stream.dense, unread) {
            (false, _) => {
                let first = stream.entries.first().copied();
                report.not_provable(Inv21, Reason::Partial, first, "the ledger is not here in full");
            }
            (true, Some(entry)) => {
                let reason = entry.event.as_ref().err().copied().unwrap_or(Reason::Unreadable);
                report.not_provable(Inv21, reason, Some(entry), "a record of the ledger cannot be read");
            }
            (true, None) => live(stream, report),
        }
    }
}

fn live(stream: &Stream<'_>, report: &mut Report) {
    let mut ledger = Ledger::default();
    for (entry, change) in changes(stream) {
        let Some(grant) = entry.refs().grant else {
            report.violated(Inv21, &[entry], "the record of the ledger names no grant");
            continue;
        };
        ledger.forget_long_past(entry);
        ledger.change(grant, change.held.then_some(change.until));
        // A grant that is entered now is named whatever its planned end.
        let now = entry.header().at;
        let named = |(id, until): (&GrantId, &Timestamp)| (now < *until || *id == grant).then_some(*id);
        if !ledger.until.iter().filter_map(named).eq(change.live.iter().copied()) {
            report.violated(Inv21, &[entry], "the ledger does not name the grants that justify the access");
        }
    }
}

/// The grants entered and not ended, with their planned ends.
#[derive(Default)]
struct Ledger {
    until: BTreeMap<GrantId, Timestamp>,
    by_end: BTreeSet<(Timestamp, GrantId)>,
}

impl Ledger {
    fn change(&mut self, grant: GrantId, until: Option<Timestamp>) {
        if let Some(before) = self.until.remove(&grant) {
            self.by_end.remove(&(before, grant));
        }
        if let Some(until) = until {
            self.until.insert(grant, until);
            self.by_end.insert((until, grant));
        }
    }

    /// Drops grants whose planned end is past whatever the clocks do: they are named no more.
    fn forget_long_past(&mut self, entry: &Entry<'_>) {
        let past = entry.header().at.saturating_sub(CLOCK_SLACK);
        while let Some((until, grant)) = self.by_end.first().copied().filter(|(until, _)| *until < past) {
            self.by_end.remove(&(until, grant));
            self.until.remove(&grant);
        }
    }
}
