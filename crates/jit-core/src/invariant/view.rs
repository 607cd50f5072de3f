//! The records of a history, read once and ordered by stream and by leaf.

use std::collections::{BTreeMap, HashMap};

use super::{finding::Reason, history::History};
use crate::{
    digest::{LeafHash, PolicyDigest},
    event::{EntitlementChanged, Event, EventError, Kind, RequestSubmitted},
    ids::{CaseId, GrantId},
    record::{Header, Record, Refs, StreamId},
    time::Timestamp,
};

/// One record at its place, read as far as it can be.
pub(super) struct Entry<'h> {
    pub(super) index: u64,
    pub(super) record: &'h Record,
    pub(super) event: Result<Event, Reason>,
}

impl<'h> Entry<'h> {
    pub(super) fn new(index: u64, record: &'h Record) -> Self {
        let event = record.event().map_err(|error| match error {
            EventError::Purged => Reason::Purged,
            EventError::Absent(_) => Reason::Absent,
            EventError::UnknownKind(_) => Reason::UnknownKind,
            _ => Reason::Unreadable,
        });
        Self { index, record, event }
    }

    pub(super) fn header(&self) -> &'h Header {
        self.record.header()
    }

    pub(super) fn refs(&self) -> &'h Refs {
        &self.header().refs
    }

    pub(super) fn n(&self) -> u64 {
        self.header().n
    }

    pub(super) fn kind(&self) -> &'h Kind {
        &self.header().kind
    }

    pub(super) fn leaf(&self) -> LeafHash {
        self.record.leaf()
    }
}

/// The records of one stream, by number.
pub(super) struct Stream<'v> {
    pub(super) id: StreamId,
    pub(super) entries: Vec<&'v Entry<'v>>,
    /// Whether they begin at number 0 and leave none out.
    pub(super) dense: bool,
    /// Whether what happened can be read in all of them.
    pub(super) readable: bool,
    request: Option<(&'v Entry<'v>, &'v RequestSubmitted)>,
    closed: Option<&'v Entry<'v>>,
}

impl<'v> Stream<'v> {
    fn new(id: StreamId, mut entries: Vec<&'v Entry<'v>>) -> Self {
        entries.sort_by_key(|entry| (entry.n(), entry.index));
        let request = entries.iter().find_map(|entry| match &entry.event {
            Ok(Event::RequestSubmitted(request)) => Some((*entry, request)),
            _ => None,
        });
        Self {
            id,
            dense: entries.iter().zip(0u64..).all(|(entry, n)| entry.n() == n),
            readable: entries.iter().all(|entry| entry.event.is_ok()),
            request,
            closed: entries.iter().copied().find(|entry| *entry.kind() == Kind::CaseClosed),
            entries,
        }
    }
}

/// All records of a history.
pub(super) struct View<'v> {
    pub(super) history: &'v History<'v>,
    pub(super) entries: &'v [Entry<'v>],
    pub(super) as_of: Timestamp,
    streams: BTreeMap<StreamId, Stream<'v>>,
    by_leaf: HashMap<LeafHash, &'v Entry<'v>>,
    published: HashMap<PolicyDigest, u64>,
    changes: HashMap<(StreamId, GrantId, bool), (&'v Entry<'v>, &'v EntitlementChanged)>,
}

impl<'v> View<'v> {
    pub(super) fn new(history: &'v History<'v>, entries: &'v [Entry<'v>], as_of: Timestamp) -> Self {
        let mut by_stream: BTreeMap<StreamId, Vec<&'v Entry<'v>>> = BTreeMap::new();
        for entry in entries {
            by_stream.entry(entry.header().stream).or_default().push(entry);
        }
        let mut view = Self {
            history,
            entries,
            as_of,
            streams: by_stream.into_iter().map(|(id, entries)| (id, Stream::new(id, entries))).collect(),
            by_leaf: entries.iter().map(|entry| (entry.leaf(), entry)).collect(),
            published: HashMap::new(),
            changes: HashMap::new(),
        };
        for entry in entries {
            match (&entry.event, entry.refs().grant) {
                (Ok(Event::PolicyPublished(e)), _) => {
                    view.published.entry(e.snapshot).or_insert(entry.index);
                }
                (Ok(Event::EntitlementChanged(e)), Some(grant)) => {
                    view.changes.entry((entry.header().stream, grant, e.held)).or_insert((entry, e));
                }
                _ => {}
            }
        }
        view
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream<'v>> {
        self.streams.values()
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<&Stream<'v>> {
        self.streams.get(&id)
    }

    pub(super) fn cases(&self) -> impl Iterator<Item = CaseStream<'_>> {
        self.streams.values().filter_map(|stream| match stream.id {
            StreamId::Case(id) => Some(CaseStream { view: self, stream, id }),
            _ => None,
        })
    }

    pub(super) fn case(&self, id: CaseId) -> Option<CaseStream<'_>> {
        self.stream(StreamId::Case(id)).map(|stream| CaseStream { view: self, stream, id })
    }

    pub(super) fn by_leaf(&self, leaf: LeafHash) -> Option<&Entry<'v>> {
        self.by_leaf.get(&leaf).copied()
    }

    /// Where a policy snapshot was first published.
    pub(super) fn published(&self, policy: PolicyDigest) -> Option<u64> {
        self.published.get(&policy).copied()
    }

    /// Where a ledger was first told that a grant is held, or no longer is.
    pub(super) fn change(
        &self,
        ledger: StreamId,
        grant: GrantId,
        held: bool,
    ) -> Option<(&'v Entry<'v>, &'v EntitlementChanged)> {
        self.changes.get(&(ledger, grant, held)).copied()
    }

    /// Whether what was due at `deadline` is missing: the declared allowance for a sweep has passed too.
    pub(super) fn overdue(&self, deadline: Timestamp) -> bool {
        deadline.checked_add(self.history.sweep).is_some_and(|latest| latest < self.as_of)
    }

    /// Whether a stream that is absent cannot exist, so that its absence is a finding.
    pub(super) fn is_whole(&self) -> bool {
        self.history.whole
    }
}

/// The records of one case.
#[derive(Clone, Copy)]
pub(super) struct CaseStream<'v> {
    pub(super) view: &'v View<'v>,
    stream: &'v Stream<'v>,
    pub(super) id: CaseId,
}

impl<'v> CaseStream<'v> {
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &'v Entry<'v>> + use<'v> {
        self.stream.entries.iter().copied()
    }

    /// The records that `pick` picks by what happened.
    pub(super) fn events<E: 'v>(
        &self,
        pick: impl Fn(&'v Event) -> Option<&'v E>,
    ) -> impl Iterator<Item = (&'v Entry<'v>, &'v E)> {
        self.entries().filter_map(move |entry| Some((entry, pick(entry.event.as_ref().ok()?)?)))
    }

    /// The request, which is the first one if there are several.
    pub(super) fn request(&self) -> Option<(&'v Entry<'v>, &'v RequestSubmitted)> {
        self.stream.request
    }

    /// The record with this leaf, if it stands in this case before `than`.
    pub(super) fn earlier(&self, leaf: Option<LeafHash>, than: &Entry<'_>) -> Option<&'v Entry<'v>> {
        let entry = self.view.by_leaf(leaf?)?;
        (entry.header().stream == self.stream.id && entry.n() < than.n()).then_some(entry)
    }

    /// The end of the case, if it is recorded.
    pub(super) fn closed(&self) -> Option<&'v Entry<'v>> {
        self.stream.closed
    }

    /// Whether what should stand in this case right beside a record is missing for good.
    pub(super) fn is_overdue_after(&self, entry: &Entry<'_>) -> bool {
        self.closed().is_some() || self.view.overdue(entry.header().at)
    }

    /// What keeps an invariant that needs these kinds from being judged.
    pub(super) fn obstacle(&self, needs: fn(&Kind) -> bool) -> Option<(Reason, Option<&'v Entry<'v>>)> {
        if !self.stream.dense {
            return Some((Reason::Partial, self.entries().next()));
        }
        let unread = |entry: &&Entry<'_>| needs(entry.kind()) && entry.event.is_err();
        let entry = self.entries().find(unread)?;
        Some((*entry.event.as_ref().err()?, Some(entry)))
    }
}

/// Picks the content of one variant of an enum.
macro_rules! pick {
    ($variant:path) => {
        |event| match event {
            $variant(content) => Some(content),
            _ => None,
        }
    };
}

pub(super) use pick;
