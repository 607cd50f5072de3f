//! What stream `gov` says about keeping records: retention terms and holds, as they stood at an index of the log.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    finding::Reason,
    view::{Entry, View},
};
use crate::{
    canonical::Value,
    event::{Event, Kind},
    governance::HoldSelector,
    ids::HoldId,
    record::{Header, StreamId},
    text::RetentionClass,
};

/// How many retention terms and holds together are weighed for each missing payload.
const MAX_TERMS: usize = 1_024;

/// Retention and holds over the whole history.
pub(super) struct Retention {
    /// By class: index of the declaration and minimum in seconds, ascending by index.
    terms: HashMap<RetentionClass, Vec<(u64, u64)>>,
    holds: BTreeMap<HoldId, Hold>,
    /// The number of the last record of `gov` that was read, unless nothing can be missing.
    read_to: Option<u64>,
}

struct Hold {
    placed: u64,
    released: Option<u64>,
    streams: Option<HashSet<StreamId>>,
    /// Streams added later, with the index that added them.
    extended: HashMap<StreamId, u64>,
    kinds: Option<HashSet<Kind>>,
    selector: HoldSelector,
}

impl Hold {
    fn covers(&self, header: &Header, at: u64) -> bool {
        let in_force = self.placed < at && self.released.is_none_or(|released| at < released);
        let s = &self.selector;
        let selected = self.streams.as_ref().is_none_or(|streams| streams.contains(&header.stream))
            && s.class.as_ref().is_none_or(|class| *class == header.retain)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&header.kind))
            && s.from.is_none_or(|from| from <= header.at)
            && s.until.is_none_or(|until| header.at < until);
        in_force && (selected || self.extended.get(&header.stream).is_some_and(|extended| *extended < at))
    }
}

impl Retention {
    /// Reads stream `gov`, which must be here in full and known to the last kind.
    pub(super) fn read(view: &View<'_>) -> Result<Self, Reason> {
        let gov = view.stream(StreamId::Gov).and_then(|stream| stream.entries.last()).map_or(0, |last| last.n());
        let read_to = (!view.is_whole()).then_some(gov);
        let mut retention = Self { terms: HashMap::new(), holds: BTreeMap::new(), read_to };
        let mut count = 0usize;
        for family in [StreamId::Gov, StreamId::Erasure] {
            let entries = view.stream(family).map(|stream| (stream.dense, stream.entries.as_slice()));
            let (dense, entries) = entries.unwrap_or((view.is_whole(), &[]));
            // A part may leave erasure records out: each that is here covers by itself.
            if !dense && (family == StreamId::Gov || view.is_whole()) {
                return Err(Reason::HoldState);
            }
            for entry in entries {
                match &entry.event {
                    Err(Reason::UnknownKind) => return Err(Reason::UnknownKind),
                    Err(_) => return Err(Reason::HoldState),
                    Ok(event) => count = count.saturating_add(retention.take_in(entry, event)),
                }
            }
        }
        if count > MAX_TERMS { Err(Reason::TooManyTerms) } else { Ok(retention) }
    }

    /// Takes a record of `gov` in, and says how many terms or holds it added.
    fn take_in(&mut self, entry: &Entry<'_>, event: &Event) -> usize {
        match event {
            Event::RetentionDeclared(e) => {
                for terms in &e.classes {
                    self.terms.entry(terms.class.clone()).or_default().push((entry.index, terms.min_s));
                }
                e.classes.len()
            }
            Event::HoldPlaced(e) => {
                let hold = Hold {
                    placed: entry.index,
                    released: None,
                    streams: e.selector.streams.as_ref().map(|streams| streams.iter().copied().collect()),
                    extended: HashMap::new(),
                    kinds: e.selector.kinds.as_ref().map(|kinds| kinds.iter().cloned().collect()),
                    selector: e.selector.clone(),
                };
                self.holds.entry(e.hold).or_insert(hold);
                1
            }
            Event::HoldExtended(e) => {
                if let Some(hold) = self.holds.get_mut(&e.hold) {
                    hold.extended.entry(e.stream).or_insert(entry.index);
                }
                0
            }
            Event::HoldReleased(e) => {
                if let Some(hold) = self.holds.get_mut(&e.hold) {
                    hold.released.get_or_insert(entry.index);
                }
                0
            }
            _ => 0,
        }
    }

    /// Whether `gov` was read at least as far as it stood when a record of `erasure` was made.
    pub(super) fn is_known_at(&self, covering: &Entry<'_>) -> bool {
        let Some(read_to) = self.read_to else { return true };
        let facts = covering.header().facts.as_ref().and_then(Value::as_object);
        let position = facts.and_then(|facts| facts.get("gov")?.as_object()?.get("n")?.as_int());
        position.and_then(|n| u64::try_from(n).ok()).is_some_and(|n| n <= read_to)
    }

    /// The minimum in seconds for a record at `index` that goes at `until`: the largest among the declaration in force at
    /// its index and all later ones. `None` if its class was not declared.
    pub(super) fn minimum(&self, class: &RetentionClass, index: u64, until: u64) -> Option<u64> {
        let terms = self.terms.get(class)?;
        let in_force = terms.iter().rposition(|(declared, _)| *declared < index)?;
        let later = terms.iter().skip(in_force).take_while(|(declared, _)| *declared < until);
        later.map(|(_, min_s)| *min_s).max()
    }

    /// Whether a hold forbids that a record goes at `at`.
    pub(super) fn is_held(&self, header: &Header, at: u64) -> bool {
        self.holds.values().any(|hold| hold.covers(header, at))
    }
}
