//! Roots and proofs agree with independent implementations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use jit_log::{Frontier, Hash, ProofPlan, TileBuilder, TileId, leaf_hash, tile_bytes};
use sha2::Sha256;
use tlog_tiles::HashReader;

mod golden;

const LARGEST: u64 = 600;

/// The first leaves in three implementations at once.
struct Logs {
    frontier: Frontier,
    builder: TileBuilder,
    levels: Vec<Vec<Hash>>,
    roots: Vec<Hash>,
    ct_merkle: MemoryBackedTree<Sha256, Vec<u8>>,
    tlog: Stored,
}

struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl Logs {
    fn new() -> Self {
        Self {
            frontier: Frontier::new(),
            builder: TileBuilder::new(),
            levels: vec![Vec::new(); 2],
            roots: vec![Hash::EMPTY_ROOT],
            ct_merkle: MemoryBackedTree::new(),
            tlog: Stored(Vec::new()),
        }
    }

    fn push(&mut self) {
        let index = self.frontier.size();
        let entry = golden::entry(index);
        self.levels[0].push(leaf_hash(&entry));
        self.frontier.push(leaf_hash(&entry)).unwrap();
        for tile in self.builder.push(leaf_hash(&entry)).unwrap() {
            let level = usize::from(tile.id().level());
            self.levels[level + 1].push(tile.root());
        }
        self.roots.push(self.frontier.root());
        let stored = tlog_tiles::stored_hashes(index, &entry, &self.tlog).unwrap();
        self.tlog.0.extend(stored);
        self.ct_merkle.push(entry);
    }

    fn tile(&self, tile: &TileId) -> Option<&[Hash]> {
        let start = tile.index() as usize * 256;
        let level = &self.levels[usize::from(tile.level())];
        let hashes = &level[start..level.len().min(start + 256)];
        assert_eq!(hashes.len(), usize::from(tile.width()));
        Some(hashes)
    }
}

fn joined<'a>(hashes: impl IntoIterator<Item = &'a tlog_tiles::Hash>) -> Vec<u8> {
    hashes.into_iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn every_root() {
    let mut logs = Logs::new();
    assert_eq!(logs.ct_merkle.root().as_bytes().as_slice(), Hash::EMPTY_ROOT.as_bytes());
    for size in 1..=LARGEST {
        logs.push();
        let root = logs.frontier.root();
        assert_eq!(logs.ct_merkle.root().as_bytes().as_slice(), root.as_bytes());
        assert_eq!(tlog_tiles::tree_hash(size, &logs.tlog).unwrap().0, *root.as_bytes());
        assert_eq!(logs.builder.frontier(), logs.frontier);
        let plan = ProofPlan::<Hash>::root(size).unwrap();
        assert_eq!(plan.finish(|tile| logs.tile(tile)).unwrap(), root);
        let partials = logs.builder.partials().map(|(_, hashes)| hashes.to_vec());
        let restored = TileBuilder::from_parts(size, padded(&logs.builder, partials.collect()));
        assert_eq!(restored.unwrap(), logs.builder);
    }
}

/// Puts an empty level where the width is 0, as `from_parts` takes them.
fn padded(builder: &TileBuilder, partials: Vec<Vec<Hash>>) -> Vec<Vec<Hash>> {
    let mut levels = vec![Vec::new(); 8];
    for ((id, _), hashes) in builder.partials().zip(partials) {
        levels[usize::from(id.level())] = hashes;
    }
    levels
}

#[test]
fn every_inclusion_proof() {
    let mut logs = Logs::new();
    for size in 1..=LARGEST {
        logs.push();
        let root = logs.frontier.root();
        for index in 0..size {
            let plan = ProofPlan::inclusion(index, size).unwrap();
            let proof = plan.finish(|tile| logs.tile(tile)).unwrap();
            let bytes = tile_bytes(proof.hashes());
            let oracle = logs.ct_merkle.prove_inclusion(index as usize);
            assert_eq!(bytes, oracle.as_bytes(), "{index} of {size}");
            let oracle = tlog_tiles::prove_record(size, index, &logs.tlog).unwrap();
            assert_eq!(bytes, joined(&oracle), "{index} of {size}");
            let leaf = logs.levels[0][index as usize];
            assert_eq!(proof.verify(&leaf, index, size, &root), Ok(()), "{index} of {size}");
        }
    }
}

#[test]
fn every_consistency_proof() {
    let mut logs = Logs::new();
    for new in 1..=LARGEST {
        logs.push();
        let root = logs.frontier.root();
        for old in 1..=new {
            let plan = ProofPlan::consistency(old, new).unwrap();
            let proof = plan.finish(|tile| logs.tile(tile)).unwrap();
            let bytes = tile_bytes(proof.hashes());
            let oracle = logs.ct_merkle.prove_consistency((new - old) as usize);
            assert_eq!(bytes, oracle.as_bytes(), "{old} to {new}");
            let oracle = tlog_tiles::prove_tree(new, old, &logs.tlog).unwrap();
            assert_eq!(bytes, joined(&oracle), "{old} to {new}");
            let old_root = logs.roots[old as usize];
            assert_eq!(proof.verify(old, &old_root, new, &root), Ok(()), "{old} to {new}");
        }
    }
}
