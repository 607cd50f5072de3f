//! Cases: every one is folded by the same state machine that the broker runs, and held against the invariants.

use std::collections::BTreeMap;

use jit_core::{ApplyError, Case, CaseId, Event, EventError, History, PolicyDigest, StreamId, Timestamp, check};

use crate::verify::{
    reason::Reason,
    record::ExaminedRecord,
    report::{Notice, Report},
};

/// Folds the cases of a bundle as far as their records show enough, and gives those that could be followed to their end.
pub(super) fn fold(records: &[ExaminedRecord], report: &mut Report) -> BTreeMap<CaseId, Case> {
    // A case that could not be followed stays here without its state.
    let mut cases: BTreeMap<CaseId, Option<Case>> = BTreeMap::new();
    for examined in records {
        let Some(record) = examined.record() else { continue };
        let StreamId::Case(id) = record.header().stream else { continue };
        let place = examined.place();
        let slot = cases.entry(id).or_insert_with(|| Some(Case::new(record.header().log.clone(), id)));
        let Some(case) = slot else { continue };
        if examined.sound().is_none() {
            *slot = None;
            continue;
        }
        if let Ok(Event::CaseClosed(closed)) = record.event()
            && closed.count.checked_sub(1) != Some(record.header().n)
        {
            let found = record.header().n.saturating_add(1);
            report.fail(Some(place), Reason::Count { stated: closed.count, found });
        }
        match case.apply(record) {
            Ok(()) => continue,
            // What is missing or out of order is judged where the stream is followed.
            Err(ApplyError::NotNext { .. }) => {}
            Err(ApplyError::Event {
                source: EventError::UnknownKind(_) | EventError::Absent(_) | EventError::Purged,
                ..
            }) => {
                report.notices.push(Notice::CaseNotFollowed(place.clone()));
            }
            Err(ApplyError::Event { source, .. }) => report.fail(Some(place), Reason::Event(source)),
            Err(error) => report.fail(Some(place), Reason::Case(error)),
        }
        *slot = None;
    }
    cases.into_iter().filter_map(|(id, case)| Some((id, case?))).collect()
}

/// Holds the records against the invariants. Only a violation stands against a proof: much cannot be shown by a part of a log.
pub(super) fn hold_to_invariants<'a>(
    records: &[ExaminedRecord],
    snapshots: impl Iterator<Item = &'a PolicyDigest>,
    as_of: Option<Timestamp>,
    report: &mut Report,
) {
    let sound = || records.iter().filter_map(|examined| Some((examined, examined.sound()?)));
    let latest = sound().map(|(_, record)| record.header().at).max();
    let Some(as_of) = as_of.or(latest) else { return };
    let history = History::part(sound().map(|(examined, record)| (examined.place().index, record)));
    let findings = check(&history.with_snapshots(snapshots.copied()), as_of);
    for finding in findings.iter().filter(|finding| finding.is_violated()) {
        let at = finding.records.last().and_then(|index| {
            let found = records.binary_search_by_key(index, |examined| examined.place().index).ok()?;
            records.get(found)
        });
        let reason = Reason::Invariant { invariant: finding.invariant, detail: finding.detail };
        report.fail(at.map(ExaminedRecord::place), reason);
    }
    report.findings = findings;
}
