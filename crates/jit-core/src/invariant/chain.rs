//! INV-13, INV-14 and INV-20: numbers, links, roots, clocks and commands, by headers alone.

use std::collections::{HashMap, HashSet};

use jit_log::Frontier;

use super::{
    finding::{Reason, Report},
    id::InvariantId::{Inv13, Inv14, Inv20},
    view::{Entry, Stream, View},
};
use crate::{
    event::{Event, Kind, StreamFamily},
    record::StreamId,
    source::ClockReading,
};

/// INV-13. By `n` and `prev` of each stream, the log index, `log`, and `count` of `case.closed`, which nothing follows.
pub(super) fn numbers_and_links(view: &View<'_>, report: &mut Report) {
    let origin = view.entries.first().map(|entry| &entry.header().log);
    for (entry, expected) in view.entries.iter().zip(0u64..) {
        if view.is_whole() && entry.index != expected {
            report.violated(Inv13, &[entry], "log indexes are not dense");
            break;
        }
    }
    for entry in view.entries {
        if Some(&entry.header().log) != origin {
            report.violated(Inv13, &[entry], "the record names another log");
        }
        if !may_stand(entry.kind(), entry.header().stream) {
            report.violated(Inv13, &[entry], "the kind may not stand in this stream");
        }
    }
    for stream in view.streams() {
        links(view, stream, report);
    }
}

fn links(view: &View<'_>, stream: &Stream<'_>, report: &mut Report) {
    let first = stream.entries.first().copied();
    if !stream.dense {
        // What is left out of a part is not known to be wrong.
        if view.is_whole() {
            report.violated(Inv13, first.as_slice(), "numbers of the stream are not dense");
        } else {
            report.not_provable(Inv13, Reason::Partial, first, "the stream is not here in full");
        }
    }
    for (before, entry) in pairs(stream) {
        let follows = before.n().checked_add(1) == Some(entry.n());
        if follows && (entry.header().prev != Some(before.leaf()) || entry.index <= before.index) {
            report.violated(Inv13, &[before, entry], "the record does not link to the one before it");
        }
        if before.n() == entry.n() && !view.is_whole() {
            report.violated(Inv13, &[before, entry], "two records have one number");
        }
        if *before.kind() == Kind::CaseClosed {
            report.violated(Inv13, &[before, entry], "a record follows the end of its case");
        }
    }
    for entry in &stream.entries {
        if let Ok(Event::CaseClosed(e)) = &entry.event
            && entry.n().checked_add(1) != Some(e.count)
        {
            report.violated(Inv13, &[entry], "the case has another number of records than its end says");
        }
    }
}

fn pairs<'s, 'v>(stream: &'s Stream<'v>) -> impl Iterator<Item = (&'s Entry<'v>, &'s Entry<'v>)> {
    stream.entries.iter().copied().zip(stream.entries.iter().copied().skip(1))
}

fn may_stand(kind: &Kind, stream: StreamId) -> bool {
    let Some(family) = kind.family() else { return true };
    matches!(
        (family, stream),
        (StreamFamily::Case | StreamFamily::CaseOrOps, StreamId::Case(_))
            | (StreamFamily::CaseOrOps | StreamFamily::Ops, StreamId::Ops(_))
            | (StreamFamily::Entitlement, StreamId::Entitlement(_))
            | (StreamFamily::Gov, StreamId::Gov)
            | (StreamFamily::Erasure, StreamId::Erasure)
            | (StreamFamily::Policy, StreamId::Policy)
    )
}

/// INV-13. Folding the leaves from index 0 gives the root of each checkpoint.
pub(super) fn roots(view: &View<'_>, report: &mut Report) {
    let mut checkpoints = view.history.checkpoints.clone();
    checkpoints.sort_by_key(|(size, _)| *size);
    let mut frontier = Frontier::new();
    let mut leaves =
        view.entries.iter().zip(0u64..).take_while(|(entry, at)| entry.index == *at).map(|(entry, _)| entry);
    let mut last = None;
    for (size, root) in checkpoints {
        while frontier.size() < size
            && let Some(entry) = leaves.next()
            && frontier.push(entry.leaf().to_hash()).is_ok()
        {
            last = Some(entry);
        }
        if frontier.size() != size {
            return report.not_provable(Inv13, Reason::Partial, last, "records under a checkpoint are not here");
        }
        if frontier.root() != root {
            report.violated(Inv13, last.as_slice(), "folding the log does not give the signed root");
        }
    }
}

/// INV-14. By `at` and `clock.error_us` of neighbours in a stream.
pub(super) fn time(view: &View<'_>, report: &mut Report) {
    for stream in view.streams() {
        for (before, entry) in pairs(stream).filter(|(before, entry)| before.n().checked_add(1) == Some(entry.n())) {
            if !read(entry).may_follow(&read(before)) {
                report.violated(Inv14, &[before, entry], "time runs backwards beyond the errors of the clocks");
            }
        }
        if !stream.dense {
            let first = stream.entries.first().copied();
            report.not_provable(Inv14, Reason::Partial, first, "the stream is not here in full");
        }
    }
}

fn read(entry: &Entry<'_>) -> ClockReading {
    ClockReading { at: entry.header().at, clock: entry.header().clock.clone() }
}

/// INV-20, as far as records show it. Under one `refs.command` no kind stands twice about one credential, and all stand in
/// one stream; a case has one request.
pub(super) fn commands(view: &View<'_>, report: &mut Report) {
    let mut streams = HashMap::new();
    let mut effects = HashSet::new();
    let mut requests = HashSet::new();
    for entry in view.entries {
        let refs = entry.refs();
        if *entry.kind() == Kind::RequestSubmitted && !requests.insert(entry.header().stream) {
            report.violated(Inv20, &[entry], "a case has two requests");
            continue;
        }
        // One command may open several obligations; refusals are counted, and have no effect.
        let counted = !matches!(entry.kind(), Kind::ObligationOpened | Kind::RequestRefused | Kind::CommandRefused);
        let Some(command) = refs.command.filter(|_| counted) else { continue };
        let one_stream = *streams.entry(command).or_insert(entry.header().stream) == entry.header().stream;
        // One approval may ask the policy about the approver and about the request.
        let purpose = match &entry.event {
            Ok(Event::PolicyEvaluated(e)) => Some(e.purpose),
            _ => None,
        };
        if !one_stream || !effects.insert((command, entry.kind(), purpose, refs.credential)) {
            report.violated(Inv20, &[entry], "a command has had this effect before");
        }
    }
}
