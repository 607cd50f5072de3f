//! Forging histories: take a good one apart, change it, and seal it again so that every link still holds.

use std::collections::BTreeMap;

use jit_core::*;

use super::World;

/// One record before it is sealed again. Its leaf is how the other sketches refer to it.
#[derive(Clone)]
pub struct Sketch {
    pub leaf: LeafHash,
    pub stream: StreamId,
    pub event: Event,
    pub refs: Refs,
    pub at: Timestamp,
}

/// A history taken apart.
#[derive(Clone)]
pub struct Forgery(pub Vec<Sketch>);

impl Forgery {
    pub fn of(records: &[Record]) -> Self {
        let sketch = |record: &Record| Sketch {
            leaf: record.leaf(),
            stream: record.header().stream,
            event: record.event().unwrap(),
            refs: record.header().refs.clone(),
            at: record.header().at,
        };
        Self(records.iter().map(sketch).collect())
    }

    /// Where the record of this kind in this stream stands, the `nth` of them.
    pub fn find(&self, stream: StreamId, kind: &Kind, nth: usize) -> usize {
        let mut found = self.0.iter().enumerate().filter(|(_, s)| s.stream == stream && s.event.kind() == *kind);
        found.nth(nth).unwrap_or_else(|| panic!("no {kind} number {nth} in {stream}")).0
    }

    pub fn get(&mut self, stream: StreamId, kind: &Kind, nth: usize) -> &mut Sketch {
        let at = self.find(stream, kind, nth);
        &mut self.0[at]
    }

    pub fn remove(&mut self, stream: StreamId, kind: &Kind, nth: usize) {
        self.0.remove(self.find(stream, kind, nth));
    }

    /// Records the same event once more, right after the first time, by no command.
    pub fn repeat(&mut self, stream: StreamId, kind: &Kind, nth: usize) {
        let at = self.find(stream, kind, nth);
        let mut again = self.0[at].clone();
        again.refs.command = None;
        again.leaf = LeafHash::from_bytes([0xaa; 32]);
        self.0.insert(at + 1, again);
    }

    /// Seals everything in order. References to leaves follow; what refers to a removed record points nowhere.
    pub fn seal(self) -> Vec<Record> {
        let mut world = World::new();
        world.records.clear();
        world.heads.clear();
        let mut moved: BTreeMap<LeafHash, LeafHash> = BTreeMap::new();
        for mut sketch in self.0 {
            let to = |leaf: &mut LeafHash| *leaf = moved.get(leaf).copied().unwrap_or(*leaf);
            let refs = &mut sketch.refs;
            [&mut refs.decision, &mut refs.cause, &mut refs.approved_by].into_iter().flatten().for_each(to);
            refs.approvals.iter_mut().for_each(to);
            refs.approvals.sort();
            match &mut sketch.event {
                Event::ApprovalRecorded(e) => {
                    to(&mut e.request);
                    e.eligibility.iter_mut().for_each(to);
                }
                Event::ObligationClosed(e) => e.eligibility.iter_mut().for_each(to),
                Event::ApprovalWithdrawn(e) => to(&mut e.approval),
                Event::FieldErased(e) => to(&mut e.leaf),
                Event::CaseClosed(e) => e.count = world.heads.get(&sketch.stream).map_or(0, |head| head.n) + 2,
                _ => {}
            }
            world.clock.set(sketch.at);
            let leaf = world.write(sketch.stream, sketch.event, sketch.refs).leaf();
            moved.insert(sketch.leaf, leaf);
        }
        world.records
    }
}

/// The record without its payload.
pub fn purged(record: &Record) -> Record {
    Record::parse(record.header_bytes().to_vec(), None).unwrap()
}

/// The record with only the digests of these fields.
pub fn without(record: &Record, names: &[&str]) -> Record {
    let names: Vec<FieldName> = names.iter().map(|name| name.parse().unwrap()).collect();
    let left = record.payload().unwrap().without(record.header().id, &names).unwrap();
    Record::parse(record.header_bytes().to_vec(), Some(&left.to_bytes().unwrap())).unwrap()
}
