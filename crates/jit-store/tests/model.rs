//! Random appends against the plainest model there is: a list of leaves, and the definitions of RFC 6962 by recursion.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::collections::BTreeMap;

use jit_core::{Expected, StreamHead, StreamId};
use jit_log::{Hash, leaf_hash, node_hash};
use jit_store::{AppendError, AppendRequest, Log, TileKey, TreeRead};
use proptest::prelude::*;
use support::{World, case, chain, heartbeat};

/// RFC 6962, section 2.1: the tree hash.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = halves(leaves);
            node_hash(&root(left), &root(right))
        }
    }
}

/// Section 2.1.1: the audit path.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = halves(leaves);
    let (mut path, sibling) = if index < left.len() {
        (path(index, left), root(right))
    } else {
        (path(index - left.len(), right), root(left))
    };
    path.push(sibling);
    path
}

/// Section 2.1.2: the consistency proof, `SUBPROOF(m, D[n], b)`.
fn subproof(old: usize, leaves: &[Hash], complete: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if complete { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = halves(leaves);
    let (mut proof, sibling) = if old <= left.len() {
        (subproof(old, left, complete), root(right))
    } else {
        (subproof(old - left.len(), right, false), root(left))
    };
    proof.push(sibling);
    proof
}

fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}

/// One request: so many records for each of some cases, perhaps from a stale head, perhaps with a draft.
#[derive(Debug, Clone)]
struct Step {
    cases: BTreeMap<u64, usize>,
    stale: bool,
    drafts: usize,
    guard: Option<(u64, bool)>,
    second_handle: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let cases = proptest::collection::btree_map(0..4u64, 1..40usize, 0..3);
    let guard = proptest::option::of((0..4u64, proptest::bool::weighted(0.8)));
    (cases, proptest::bool::weighted(0.2), 0..3usize, guard, any::<bool>())
        .prop_map(|(cases, stale, drafts, guard, second_handle)| Step { cases, stale, drafts, guard, second_handle })
}

#[derive(Default)]
struct Model {
    leaves: Vec<Hash>,
    heads: BTreeMap<u64, StreamHead>,
}

impl Model {
    async fn apply(&mut self, log: &Log, step: &Step) {
        let mut request = AppendRequest::new();
        let mut heads = self.heads.clone();
        let mut conflicts = false;
        for (number, count) in &step.cases {
            let head = self.heads.get(number).copied();
            // A head that was never there, or one that is no longer the last.
            let stale = step.stale.then(|| match head {
                Some(_) => None,
                None => Some(StreamHead { n: 4, leaf: Hash::from_bytes([3; 32]).into() }),
            });
            conflicts |= stale.is_some();
            let from = stale.unwrap_or(head);
            let records = chain(log, case(*number), from, *count);
            heads.insert(*number, records.last().unwrap().head());
            request = request.records(case(*number), Expected::from_head(from), records);
        }
        for _ in 0..step.drafts {
            request = request.draft(heartbeat(log));
        }
        if let Some((number, right)) = step.guard {
            let head = self.heads.get(&number).copied();
            let wrong = Expected::At(StreamHead { n: 77, leaf: Hash::from_bytes([3; 32]).into() });
            request = request.guard(case(number), if right { Expected::from_head(head) } else { wrong });
            conflicts |= !right;
        }
        match log.append(request).await {
            Ok(appended) => {
                assert!(!conflicts);
                for entry in appended.records() {
                    assert_eq!(entry.index(), self.leaves.len() as u64);
                    self.leaves.push(leaf_hash(entry.record().header_bytes()));
                }
                self.heads = heads;
            }
            Err(AppendError::Conflict { .. }) => assert!(conflicts),
            Err(AppendError::Invalid(_)) => assert!(step.cases.is_empty() && step.drafts == 0),
            Err(other) => panic!("{other}"),
        }
    }

    async fn check(&self, world: &World, log: &Log, at: &[prop::sample::Index]) {
        let size = self.leaves.len();
        let head = world.backend.head().await.unwrap();
        assert_eq!((head.size, Hash::from(head.root)), (size as u64, root(&self.leaves)));
        assert_eq!(log.publish().await.unwrap().checkpoint().root(), root(&self.leaves));
        for (number, head) in &self.heads {
            let stream: Vec<_> = log.stream(&case(*number)).await.unwrap();
            assert_eq!(stream.last().unwrap().record().head(), *head);
        }
        for at in at {
            let (new, index) = (1 + at.index(size), at.index(1 + at.index(size)));
            let proof = log.prove(index as u64, new as u64).await.unwrap();
            assert_eq!(proof.hashes(), path(index, &self.leaves[..new]), "record {index} of {new}");
            let old = index + 1;
            let proof = log.consistency(old as u64, new as u64).await.unwrap();
            assert_eq!(proof.hashes(), subproof(old, &self.leaves[..new], true), "from {old} to {new}");
        }
        let tiles = size as u64 / 256;
        let keys: Vec<TileKey> = (0..tiles + 1).map(|index| TileKey { level: 0, index }).collect();
        let stored = world.backend.tree(TreeRead { tiles: keys, ..TreeRead::default() }).await.unwrap().tiles;
        for (index, leaves) in self.leaves.chunks(256).enumerate().filter(|(_, leaves)| leaves.len() == 256) {
            let tile = stored[index].as_ref().unwrap();
            let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
            assert_eq!((&tile.hashes, Hash::from(tile.root)), (&hashes, root(leaves)));
        }
        assert_eq!(stored[usize::try_from(tiles).unwrap()], None, "only full tiles are stored");
        assert!(log.prove(size as u64, size as u64).await.is_err());
        assert!(log.prove(0, size as u64 + 1).await.is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_what_its_definition_says(
        steps in proptest::collection::vec(step(), 1..30),
        at in proptest::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let world = World::new();
            let handles = [world.create().await, world.open().await.unwrap()];
            let mut model = Model::default();
            for row in handles[0].stream(&StreamId::Gov).await.unwrap() {
                model.leaves.push(leaf_hash(row.record().header_bytes()));
            }
            for step in &steps {
                model.apply(&handles[usize::from(step.second_handle)], step).await;
            }
            model.check(&world, &handles[0], &at).await;
            // A process that starts now computes the same.
            model.check(&world, &world.open().await.unwrap(), &at).await;
        });
    }
}
