//! Erasures, purges, holds and retention, as far as a bundle carries them, and what they allow (evidence format, section 4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jit_core::{
    Event, FieldClass, FieldErased, FieldName, Header, HoldId, HoldPlaced, HoldSelector, Kind, LeafHash, PrincipalId,
    PurgeExecuted, Record, RetentionTerms, StreamHead, StreamId, Timestamp, canonical,
};

use crate::{
    bundle::Bundle,
    verify::{record::ExaminedRecord, report::Standing},
};

/// The most holds that are judged; with more, what is absent is not provable.
const MAX_HOLDS: usize = 1000;
/// The most declarations of retention that are judged; with more, what is absent is not provable.
const MAX_DECLARATIONS: usize = 1000;
/// How many different persons an erasure needs.
const ERASING_ACTORS: usize = 2;

/// How something stands, and by which rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    pub(super) standing: Standing,
    pub(super) why: &'static str,
}

/// Everything in a bundle that speaks about absence.
pub(super) struct Removals<'a> {
    withheld: BTreeSet<(u64, &'a FieldName)>,
    erasures: BTreeMap<(LeafHash, FieldName), Removal<BTreeSet<PrincipalId>>>,
    purges: BTreeMap<u64, Removal<PurgeExecuted>>,
    gov: BTreeMap<u64, LeafHash>,
    holds: BTreeMap<HoldId, Hold>,
    retention: Vec<(u64, Vec<RetentionTerms>)>,
    closed: BTreeMap<StreamId, Timestamp>,
    /// Why no absence can be judged, if so.
    undecided: Option<&'static str>,
}

struct Removal<T> {
    index: u64,
    at: Timestamp,
    gov: Option<StreamHead>,
    what: T,
}

struct Hold {
    /// The numbers in `gov` of its beginning and end.
    placed: u64,
    released: Option<u64>,
    selector: HoldSelector,
    /// The streams it names, by the number in `gov` since when.
    streams: BTreeMap<StreamId, u64>,
    kinds: Option<BTreeSet<Kind>>,
}

impl<'a> Removals<'a> {
    pub(super) fn read(bundle: &'a Bundle, records: &[ExaminedRecord]) -> Self {
        let exclusions = &bundle.manifest.exclusions;
        let mut removals = Self {
            withheld: exclusions.iter().flat_map(|e| e.fields.iter().map(|name| (e.index, name))).collect(),
            erasures: BTreeMap::new(),
            purges: BTreeMap::new(),
            gov: BTreeMap::new(),
            holds: BTreeMap::new(),
            retention: Vec::new(),
            closed: BTreeMap::new(),
            undecided: None,
        };
        for examined in records {
            if let Some(record) = examined.sound() {
                removals.add(examined.place().index, record);
            }
        }
        let whole = removals.gov.keys().copied().eq(0..removals.gov.len() as u64);
        let too_many = removals.holds.len() > MAX_HOLDS || removals.retention.len() > MAX_DECLARATIONS;
        if !whole || too_many || removals.gov.is_empty() {
            removals.undecided.get_or_insert("hold_state");
        }
        removals
    }

    fn add(&mut self, index: u64, record: &Record) {
        let header = record.header();
        match header.stream {
            StreamId::Gov => {
                self.gov.insert(header.n, record.leaf());
            }
            StreamId::Erasure => {}
            StreamId::Case(_) if header.kind == Kind::CaseClosed => {
                self.closed.insert(header.stream, header.at);
                return;
            }
            _ => return,
        }
        if matches!(header.kind, Kind::Unknown(_)) {
            self.undecided = Some("unknown_kind");
            return;
        }
        match record.event() {
            Ok(event) => self.add_event(index, header, event),
            Err(_) => self.undecided = Some("hold_state"),
        }
    }

    fn add_event(&mut self, index: u64, header: &Header, event: Event) {
        let gov = header.facts.as_ref().and_then(|facts| facts.as_object()?.get("gov"));
        let (gov, at) = (gov.and_then(|gov| canonical::from_value(gov).ok()), header.at);
        match event {
            Event::FieldErased(FieldErased { leaf, names, actors, .. }) => {
                let actors: BTreeSet<PrincipalId> = actors.into_iter().collect();
                for name in names {
                    // The first one removed it.
                    let removal = || Removal { index, at, gov, what: actors.clone() };
                    self.erasures.entry((leaf, name)).or_insert_with(removal);
                }
            }
            Event::PurgeExecuted(what) => {
                self.purges.insert(index, Removal { index, at, gov, what });
            }
            Event::RetentionDeclared(declared) => self.retention.push((index, declared.classes)),
            Event::HoldPlaced(HoldPlaced { hold: id, selector, .. }) => {
                let streams = selector.streams.iter().flatten().map(|stream| (*stream, header.n)).collect();
                let kinds = selector.kinds.as_ref().map(|kinds| kinds.iter().cloned().collect());
                let hold = Hold { placed: header.n, released: None, selector, streams, kinds };
                if self.holds.insert(id, hold).is_some() {
                    self.undecided = Some("hold_state");
                }
            }
            Event::HoldExtended(extended) => match self.holds.get_mut(&extended.hold) {
                Some(hold) => {
                    hold.streams.entry(extended.stream).or_insert(header.n);
                }
                None => self.undecided = Some("hold_state"),
            },
            Event::HoldReleased(released) => match self.holds.get_mut(&released.hold) {
                Some(hold) => {
                    hold.released.get_or_insert(header.n);
                }
                None => self.undecided = Some("hold_state"),
            },
            _ => {}
        }
    }

    /// A field that is there.
    pub(super) fn present(&self, index: u64, record: &Record, name: &FieldName) -> Judgement {
        let erasure = self.erasures.get(&(record.leaf(), name.clone()));
        let covered = erasure.is_some_and(|erasure| erasure.index > index);
        let standing = if covered { Standing::NotYetErased } else { Standing::Intact };
        Judgement { standing, why: "" }
    }

    /// A field that is not there.
    pub(super) fn field(&self, index: u64, record: &Record, name: &FieldName, class: FieldClass) -> Judgement {
        let erasure = self.erasures.get(&(record.leaf(), name.clone())).filter(|erasure| erasure.index > index);
        let Some(erasure) = erasure else {
            return match (self.withheld.contains(&(index, name)), self.undecided) {
                (false, _) => Judgement { standing: Standing::Missing, why: "" },
                (true, Some(why)) => Judgement { standing: Standing::NotProvable, why },
                (true, None) => Judgement { standing: Standing::Withheld, why: "" },
            };
        };
        if class == FieldClass::Keep {
            return unauthorised("a field of class keep may not be erased");
        }
        if erasure.what.len() < ERASING_ACTORS {
            return unauthorised("an erasure needs two persons");
        }
        self.under_holds(record.header(), erasure.gov, Standing::Erased)
    }

    /// A payload that is not there, and is said to have been removed by the record at `purge`.
    pub(super) fn payload(&self, index: u64, header: &Header, purge: u64) -> Judgement {
        let Some(removal) = self.purges.get(&purge).filter(|removal| removal.index > index) else {
            return Judgement { standing: Standing::Missing, why: "no record covers it" };
        };
        if removal.what.class != header.retain || !removal.what.ranges.iter().any(|r| (r.start..r.end).contains(&index))
        {
            return unauthorised("the purge named does not cover the record");
        }
        match self.retained(index, header, removal.index) {
            None => unauthorised("its retention had not begun"),
            Some((from, until)) if removal.at < until || removal.what.cutoff <= from => {
                unauthorised("its retention was not over")
            }
            Some(_) => self.under_holds(header, removal.gov, Standing::Purged),
        }
    }

    /// When the retention of a record begins and ends, by the log's own clock: the longest minimum of the declaration in force at its
    /// index and all later ones up to the purge, from the close of its case, or from its own time outside cases.
    fn retained(&self, index: u64, header: &Header, purge: u64) -> Option<(Timestamp, Timestamp)> {
        let from = match header.stream {
            StreamId::Case(_) => *self.closed.get(&header.stream)?,
            _ => header.at,
        };
        let of_class = |terms: &[RetentionTerms]| terms.iter().find(|t| t.class == header.retain).map(|t| t.min_s);
        let declared = self.retention.iter().filter_map(|(at, terms)| Some((*at, of_class(terms)?)));
        let in_force = declared.clone().rfind(|(at, _)| *at <= index);
        let later = declared.filter(|(at, _)| (index..purge).contains(at));
        let longest = in_force.into_iter().chain(later).map(|(_, min_s)| min_s).max()?;
        Some((from, from.saturating_add(Duration::from_secs(longest))))
    }

    /// A removal that is otherwise lawful, if no hold forbade it where `gov` stood then.
    fn under_holds(&self, header: &Header, gov: Option<StreamHead>, lawful: Standing) -> Judgement {
        let unknown = |why| Judgement { standing: Standing::NotProvable, why };
        if let Some(why) = self.undecided {
            return unknown(why);
        }
        let Some(gov) = gov.filter(|gov| self.gov.get(&gov.n) == Some(&gov.leaf)) else {
            return unknown("hold_state");
        };
        let held = self.holds.values().any(|hold| hold.covers(header, gov.n));
        Judgement { standing: if held { Standing::HoldViolation } else { lawful }, why: "" }
    }
}

impl Hold {
    /// Whether the hold covers a record when `gov` stands at number `n`.
    fn covers(&self, header: &Header, n: u64) -> bool {
        let selector = &self.selector;
        let in_force = self.placed <= n && self.released.is_none_or(|released| released > n);
        let named = self.streams.get(&header.stream).is_some_and(|since| *since <= n);
        in_force
            && (named || selector.streams.is_none())
            && selector.class.as_ref().is_none_or(|class| *class == header.retain)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&header.kind))
            && selector.from.is_none_or(|from| from <= header.at)
            && selector.until.is_none_or(|until| header.at < until)
    }
}

fn unauthorised(why: &'static str) -> Judgement {
    Judgement { standing: Standing::Unauthorised, why }
}
