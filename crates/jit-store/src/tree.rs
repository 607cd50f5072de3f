//! The tree of a stored log: read back from tiles and leaf hashes, grown leaf by leaf.

use std::collections::HashMap;
use std::ops::Range;

use jit_log::{ConsistencyProof, Frontier, FullTile, Hash, InclusionProof, ProofPlan, TILE_WIDTH, TileBuilder, TileId};

use crate::backend::Backend;
use crate::error::ReadError;
use crate::row::{HashBytes, Head, TileKey, TileRow, TreeRead};

/// Leaf hashes or tiles read at a time.
const CHUNK: u64 = 4096;
const TILE_CHUNK: u64 = 64;

impl From<Hash> for HashBytes {
    fn from(hash: Hash) -> Self {
        Self::from_bytes(*hash.as_bytes())
    }
}

impl From<HashBytes> for Hash {
    fn from(bytes: HashBytes) -> Self {
        Self::from_bytes(*bytes.as_bytes())
    }
}

/// A tree that this process computed itself, never the database's word for it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    builder: TileBuilder,
    frontier: Frontier,
}

impl Tree {
    pub(crate) fn empty() -> Self {
        Self { builder: TileBuilder::new(), frontier: Frontier::new() }
    }

    /// The tree over the first `size` leaves, from the leaf hashes and full tiles of its right
    /// edge; every tile read is hashed again.
    pub(crate) async fn load(backend: &dyn Backend, size: u64) -> Result<Self, ReadError> {
        let mut levels = Vec::new();
        let mut slots = size;
        while slots > 0 {
            let edge = slots - slots % TILE_WIDTH..slots;
            levels.push(match levels.len().checked_sub(1) {
                None => read_leaves(backend, edge).await?,
                Some(below) => recompute_roots(backend, below, edge).await?,
            });
            slots /= TILE_WIDTH;
        }
        let builder = TileBuilder::from_parts(size, levels)?;
        let frontier = builder.frontier();
        Ok(Self { builder, frontier })
    }

    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.frontier.root()
    }

    pub(crate) fn frontier(&self) -> Vec<HashBytes> {
        self.frontier.nodes().iter().map(|node| HashBytes::from(*node)).collect()
    }

    /// The head row that belongs to this tree.
    pub(crate) fn head(&self) -> Head {
        Head { size: self.size(), root: self.root().into(), frontier: self.frontier() }
    }

    /// Appends a leaf and returns the tiles it completes.
    pub(crate) fn push(&mut self, leaf: Hash) -> Result<Vec<TileRow>, ReadError> {
        self.frontier.push(leaf)?;
        let completed = self.builder.push(leaf)?;
        Ok(completed.iter().map(tile_row).collect())
    }

    /// The partial tiles at the right edge, with their hashes.
    pub(crate) fn partials(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        self.builder.partials()
    }

    /// Appends the stored leaves up to `size`, which others wrote.
    pub(crate) async fn advance(&mut self, backend: &dyn Backend, size: u64) -> Result<(), ReadError> {
        while self.size() < size {
            let end = size.min(self.size().saturating_add(CHUNK));
            for leaf in read_leaves(backend, self.size()..end).await? {
                self.push(leaf)?;
            }
        }
        Ok(())
    }

    /// Whether the stored head is this tree, and its stored frontier folds to its root.
    pub(crate) fn check(&self, head: &Head) -> Result<(), ReadError> {
        let nodes = head.frontier.iter().map(|node| Hash::from(*node)).collect();
        let folded = Frontier::from_parts(head.size, nodes)?.root();
        if folded != Hash::from(head.root) {
            return Err(ReadError::corrupt(format!(
                "the frontier at size {} does not fold to the root beside it",
                head.size
            )));
        }
        if self.size() != head.size || self.root() != folded {
            return Err(ReadError::corrupt(format!(
                "the root at size {} is not the root of the stored leaves",
                head.size
            )));
        }
        Ok(())
    }
}

/// The proof that the leaf at `index` is in the tree of the first `size` leaves.
pub(crate) async fn inclusion(backend: &dyn Backend, index: u64, size: u64) -> Result<InclusionProof, ReadError> {
    let plan = ProofPlan::<InclusionProof>::inclusion(index, size)?;
    let tiles = fetch(backend, plan.tiles()).await?;
    Ok(plan.finish(|id| tiles.get(id).map(Vec::as_slice))?)
}

/// The proof that the tree of `new` leaves extends the tree of `old` leaves.
pub(crate) async fn consistency(backend: &dyn Backend, old: u64, new: u64) -> Result<ConsistencyProof, ReadError> {
    let plan = ProofPlan::<ConsistencyProof>::consistency(old, new)?;
    let tiles = fetch(backend, plan.tiles()).await?;
    Ok(plan.finish(|id| tiles.get(id).map(Vec::as_slice))?)
}

/// The root of the first `size` leaves.
pub(crate) async fn root(backend: &dyn Backend, size: u64) -> Result<Hash, ReadError> {
    let plan = ProofPlan::<Hash>::root(size)?;
    let tiles = fetch(backend, plan.tiles()).await?;
    Ok(plan.finish(|id| tiles.get(id).map(Vec::as_slice))?)
}

/// The hashes of tiles, all in one read: full ones as they are, each partial one from what lies below it.
pub(crate) async fn fetch(backend: &dyn Backend, ids: &[TileId]) -> Result<HashMap<TileId, Vec<Hash>>, ReadError> {
    let (full, partial): (Vec<&TileId>, Vec<&TileId>) = ids.iter().partition(|id| id.is_full());
    let (bottom, above): (Vec<&TileId>, Vec<&TileId>) = partial.into_iter().partition(|id| id.level() == 0);
    let slots = |id: &TileId| {
        let start = id.index().saturating_mul(TILE_WIDTH);
        start..start.saturating_add(u64::from(id.width()))
    };
    let want = TreeRead {
        tiles: full.iter().map(|id| TileKey { level: id.level(), index: id.index() }).collect(),
        leaves: bottom.iter().map(|id| slots(id)).collect(),
        roots: above.iter().map(|id| (id.level().saturating_sub(1), slots(id))).collect(),
    };
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let nodes = backend.tree(want).await?;
    let mut fetched = HashMap::with_capacity(ids.len());
    for (id, row) in full.into_iter().zip(nodes.tiles) {
        let row = row.ok_or_else(|| ReadError::missing(id.path()))?;
        fetched.insert(*id, id.parse_hashes(&row.hashes)?);
    }
    for (id, leaves) in bottom.into_iter().zip(nodes.leaves) {
        fetched.insert(*id, whole(leaves, &slots(id), "leaf hashes")?);
    }
    for (id, roots) in above.into_iter().zip(nodes.roots) {
        fetched.insert(*id, whole(roots, &slots(id), "tile roots")?);
    }
    match ids.iter().find(|id| !fetched.contains_key(id)) {
        Some(id) => Err(ReadError::missing(id.path())),
        None => Ok(fetched),
    }
}

async fn read_leaves(backend: &dyn Backend, range: Range<u64>) -> Result<Vec<Hash>, ReadError> {
    let want = TreeRead { leaves: vec![range.clone()], ..TreeRead::default() };
    let leaves = backend.tree(want).await?.leaves.into_iter().next();
    whole(leaves.unwrap_or_default(), &range, "leaf hashes")
}

/// The roots of full tiles, computed from their hashes.
async fn recompute_roots(backend: &dyn Backend, level: usize, range: Range<u64>) -> Result<Vec<Hash>, ReadError> {
    let level = u8::try_from(level).map_err(|_| ReadError::corrupt("too many tile levels".to_owned()))?;
    let mut roots = Vec::new();
    let mut next = range.start;
    while next < range.end {
        let end = range.end.min(next.saturating_add(TILE_CHUNK));
        let keys: Vec<TileKey> = (next..end).map(|index| TileKey { level, index }).collect();
        let tiles = backend.tree(TreeRead { tiles: keys.clone(), ..TreeRead::default() }).await?.tiles;
        for (key, row) in keys.iter().zip(tiles.into_iter().chain(std::iter::repeat(None))) {
            let missing = || ReadError::missing(format!("tile {} of level {level}", key.index));
            let row = row.ok_or_else(missing)?;
            let tile = FullTile::from_bytes(level, key.index, &row.hashes)?;
            if tile.root() != Hash::from(row.root) {
                return Err(ReadError::corrupt(format!(
                    "tile {} of level {level} does not hash to its root",
                    key.index
                )));
            }
            roots.push(tile.root());
        }
        next = end;
    }
    Ok(roots)
}

fn whole(hashes: Vec<HashBytes>, range: &Range<u64>, what: &str) -> Result<Vec<Hash>, ReadError> {
    if hashes.len() as u64 != range.end.saturating_sub(range.start) {
        return Err(ReadError::missing(format!("{what} from {} to {}", range.start, range.end)));
    }
    Ok(hashes.into_iter().map(Hash::from).collect())
}

fn tile_row(tile: &FullTile) -> TileRow {
    TileRow {
        key: TileKey { level: tile.id().level(), index: tile.id().index() },
        hashes: tile.to_bytes(),
        root: tile.root().into(),
    }
}
