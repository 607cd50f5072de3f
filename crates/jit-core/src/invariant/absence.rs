//! INV-18: what is missing of a payload went by an order or by the end of its retention, and both are on record.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use jit_log::{Frontier, leaf_hash};

use super::{
    finding::{Reason, Report},
    id::InvariantId::Inv18,
    retention::Retention,
    view::{Entry, View},
};
use crate::{
    digest::LeafHash,
    event::{Event, FieldErased, Kind, PurgeExecuted},
    record::{FieldClass, FieldContent, FieldName, Payload, StreamId},
    time::Timestamp,
};

/// INV-18. A payload that is gone lies in `ranges` of a later `purge.executed` of its class, after its retention and
/// outside holds; a field that is gone is personal and in `names` of a later `field.erased` by two actors. `count` and
/// `root` of a purge are those of what went.
pub(super) fn payloads(view: &View<'_>, report: &mut Report) {
    let gone: Vec<&Entry<'_>> = view.entries.iter().filter(|entry| is_gone(entry)).collect();
    let absent = view.entries.iter().filter(|entry| !absent_fields(entry).is_empty());
    let absent: Vec<&Entry<'_>> = absent.collect();
    if gone.is_empty() && absent.is_empty() {
        return;
    }
    let retention = match Retention::read(view) {
        Ok(retention) => retention,
        Err(reason) => {
            let at = gone.first().or(absent.first()).copied();
            return report.not_provable(Inv18, reason, at, "retention and holds are not known");
        }
    };
    purged(view, &retention, &gone, report);
    let mut orders: HashMap<LeafHash, Vec<(&Entry<'_>, &FieldErased)>> = HashMap::new();
    for entry in view.entries {
        if let Ok(Event::FieldErased(e)) = &entry.event {
            orders.entry(e.leaf).or_default().push((entry, e));
        }
    }
    for entry in absent {
        erased(view, &retention, entry, &orders.remove(&entry.leaf()).unwrap_or_default(), report);
    }
}

/// Whether the record had a payload with fields and has none now.
fn is_gone(entry: &Entry<'_>) -> bool {
    let nothing = || Payload::default().commitment(entry.header().id);
    entry.record.payload().is_none() && nothing().is_ok_and(|empty| empty != entry.header().payload)
}

fn absent_fields<'v>(entry: &Entry<'v>) -> Vec<(&'v FieldName, FieldClass)> {
    let fields = entry.record.payload().into_iter().flat_map(|payload| payload.fields());
    let absent = fields.filter(|(_, field)| matches!(field.content, FieldContent::Absent { .. }));
    absent.map(|(name, field)| (name, field.class)).collect()
}

fn uncovered(view: &View<'_>, entry: &Entry<'_>, report: &mut Report) {
    if view.is_whole() {
        report.violated(Inv18, &[entry], "something is missing of the payload, and no record covers it");
    } else {
        report.not_provable(Inv18, Reason::Absent, Some(entry), "something is missing, and what covers it is not here");
    }
}

fn erased(
    view: &View<'_>,
    retention: &Retention,
    entry: &Entry<'_>,
    orders: &[(&Entry<'_>, &FieldErased)],
    report: &mut Report,
) {
    let later: Vec<_> = orders.iter().filter(|(order, _)| entry.index < order.index).collect();
    let mut named: HashMap<&FieldName, &Entry<'_>> = HashMap::new();
    for (order, erased) in &later {
        for name in &erased.names {
            named.entry(name).or_insert(order);
        }
    }
    let mut used = BTreeMap::new();
    for (name, class) in absent_fields(entry) {
        match named.get(name) {
            None => return uncovered(view, entry, report),
            Some(order) if !retention.is_known_at(order) => {
                return report.not_provable(
                    Inv18,
                    Reason::HoldState,
                    Some(entry),
                    "holds at the erasure are not known",
                );
            }
            Some(order) if class == FieldClass::Keep => {
                report.violated(Inv18, &[entry, order], "a field that must be kept was erased");
            }
            Some(order) => {
                used.insert(order.index, *order);
            }
        }
    }
    for (order, erased) in later {
        let distinct = erased.actors.iter().collect::<BTreeSet<_>>().len();
        if used.contains_key(&order.index) && distinct < 2 {
            report.violated(Inv18, &[entry, order], "fewer than two people ordered the erasure");
        }
        if used.contains_key(&order.index) && retention.is_held(entry.header(), order.index) {
            report.violated(Inv18, &[entry, order], "a hold forbids the erasure");
        }
    }
}

fn purged(view: &View<'_>, retention: &Retention, gone: &[&Entry<'_>], report: &mut Report) {
    let closed = closings(view);
    let mut left: BTreeMap<u64, &Entry<'_>> = gone.iter().map(|entry| (entry.index, *entry)).collect();
    for purge in view.entries {
        let Ok(Event::PurgeExecuted(e)) = &purge.event else { continue };
        let mut went = Vec::new();
        for range in &e.ranges {
            let end = range.end.min(purge.index);
            if end <= range.start {
                continue;
            }
            // Each payload goes once, so what one purge covers is taken out.
            let covered: Vec<u64> = left.range(range.start..end).map(|(index, _)| *index).collect();
            went.extend(covered.iter().filter_map(|index| left.remove(index)));
        }
        for entry in &went {
            if let Err((reason, detail)) = allowed(view, retention, &closed, entry, (purge, e)) {
                match reason {
                    Some(reason) => report.not_provable(Inv18, reason, Some(entry), detail),
                    None => report.violated(Inv18, &[entry, purge], detail),
                }
            }
        }
        if u64::try_from(went.len()) == Ok(e.count) && root(&went) != Some(e.root) {
            report.violated(Inv18, &[purge], "the root of what was purged is another");
        }
    }
    for entry in left.into_values() {
        uncovered(view, entry, report);
    }
}

/// When each case was closed, by header alone.
fn closings(view: &View<'_>) -> HashMap<StreamId, Timestamp> {
    let closed = view.entries.iter().filter(|entry| *entry.kind() == Kind::CaseClosed);
    closed.map(|entry| (entry.header().stream, entry.header().at)).collect()
}

fn allowed(
    view: &View<'_>,
    retention: &Retention,
    closed: &HashMap<StreamId, Timestamp>,
    entry: &Entry<'_>,
    (purge, facts): (&Entry<'_>, &PurgeExecuted),
) -> Result<(), (Option<Reason>, &'static str)> {
    let header = entry.header();
    if facts.class != header.retain {
        return Err((None, "the purge is of another class"));
    }
    let over = match header.stream {
        StreamId::Case(_) => match closed.get(&header.stream) {
            Some(closed) => *closed,
            None if view.is_whole() => return Err((None, "the case was purged before it was closed")),
            None => return Err((Some(Reason::Partial), "the end of the purged case is not here")),
        },
        _ => header.at,
    };
    if !retention.is_known_at(purge) {
        return Err((Some(Reason::HoldState), "retention and holds at the purge are not known"));
    }
    let minimum = retention.minimum(&header.retain, entry.index, purge.index);
    let minimum = minimum.ok_or((None, "the retention class was not declared"))?;
    let ends = over.checked_add(Duration::from_secs(minimum));
    if ends.is_none_or(|ends| purge.header().at < ends) || facts.cutoff <= over {
        return Err((None, "the payload went before its retention was over"));
    }
    if retention.is_held(header, purge.index) {
        return Err((None, "a hold forbids the purge"));
    }
    Ok(())
}

/// The RFC 6962 root over `u64be index ‖ leaf hash` (evidence format, section 4).
fn root(went: &[&Entry<'_>]) -> Option<LeafHash> {
    let mut frontier = Frontier::new();
    for entry in went {
        let mut bytes = entry.index.to_be_bytes().to_vec();
        bytes.extend(entry.leaf().as_bytes());
        frontier.push(leaf_hash(&bytes)).ok()?;
    }
    Some(frontier.root().into())
}
