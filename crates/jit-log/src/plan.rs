//! Proofs from tiles, in two steps, so that whoever holds the tiles may fetch them as it likes.

use std::marker::PhantomData;
use std::ops::Range;

use crate::frontier::{MAX_TREE_SIZE, subtree_root};
use crate::hash::{Hash, node_hash};
use crate::proof::{ConsistencyProof, InclusionProof, ProofError, check_old_and_new};
use crate::tile::{TILE_WIDTH, TileId};

/// What to fetch for a proof, and how to make it from what was fetched.
///
/// `P` is what comes out: an [`InclusionProof`], a [`ConsistencyProof`], or a root as [`Hash`](struct@Hash).
/// At most two tiles a level are asked for: one on the way to the leaf and one on the right edge.
///
/// ```
/// use jit_log::{ProofPlan, TileBuilder, leaf_hash};
///
/// let leaves: Vec<_> = (0..5u8).map(|i| leaf_hash(&[i])).collect();
/// let mut builder = TileBuilder::new();
/// for leaf in &leaves {
///     builder.push(*leaf)?;
/// }
/// let plan = ProofPlan::inclusion(3, 5)?;
/// assert_eq!(plan.tiles().len(), 1);
/// let proof = plan.finish(|_| Some(leaves.as_slice()))?;
/// proof.verify(&leaves[3], 3, 5, &builder.frontier().root())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProofPlan<P> {
    tiles: Vec<TileId>,
    nodes: Vec<Vec<Subtree>>,
    made: PhantomData<fn() -> P>,
}

/// A perfect subtree: a run of slots in one of the plan's tiles.
#[derive(Debug, Clone)]
struct Subtree {
    tile: usize,
    slots: Range<usize>,
}

impl ProofPlan<InclusionProof> {
    /// Plans the proof that a leaf is at `index` of a tree of `size` leaves
    /// (RFC 6962 section 2.1.1).
    ///
    /// # Errors
    ///
    /// [`ProofError::SizeTooLarge`] or [`ProofError::IndexBeyondSize`].
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        if size > MAX_TREE_SIZE {
            return Err(ProofError::SizeTooLarge { size });
        }
        if index >= size {
            return Err(ProofError::IndexBeyondSize { index, size });
        }
        let mut siblings = Vec::new();
        let mut range = 0..size;
        while let Some((left, right)) = split(&range) {
            let (inside, sibling) = if index < left.end { (left, right) } else { (right, left) };
            siblings.push(sibling);
            range = inside;
        }
        Ok(Self::of(siblings.into_iter().rev(), size))
    }

    /// Makes the proof from the tiles of [`ProofPlan::tiles`], each asked for once.
    ///
    /// A tile may be given with more hashes than its width, as it is after the tree has grown.
    ///
    /// # Errors
    ///
    /// [`PlanError`] if a tile is missing or too short.
    pub fn finish<'t>(&self, fetch: impl FnMut(&TileId) -> Option<&'t [Hash]>) -> Result<InclusionProof, PlanError> {
        Ok(InclusionProof::from_hashes(self.hashes(fetch)?)?)
    }
}

impl ProofPlan<ConsistencyProof> {
    /// Plans the proof that the tree of `new` leaves extends the tree of `old` leaves
    /// (RFC 6962 section 2.1.2).
    ///
    /// # Errors
    ///
    /// [`ProofError::SizeTooLarge`], [`ProofError::OldSizeZero`] or [`ProofError::Shrinks`].
    pub fn consistency(old: u64, new: u64) -> Result<Self, ProofError> {
        check_old_and_new(old, new)?;
        let mut nodes = Vec::new();
        let mut range = 0..new;
        while range.end != old {
            let Some((left, right)) = split(&range) else {
                break;
            };
            let (inside, sibling) = if old <= left.end { (left, right) } else { (right, left) };
            nodes.push(sibling);
            range = inside;
        }
        // A node that starts at 0 is the old root itself, which the verifier has.
        if range.start != 0 {
            nodes.push(range);
        }
        Ok(Self::of(nodes.into_iter().rev(), new))
    }

    /// Makes the proof from the tiles of [`ProofPlan::tiles`], each asked for once.
    ///
    /// A tile may be given with more hashes than its width, as it is after the tree has grown.
    ///
    /// # Errors
    ///
    /// [`PlanError`] if a tile is missing or too short.
    pub fn finish<'t>(&self, fetch: impl FnMut(&TileId) -> Option<&'t [Hash]>) -> Result<ConsistencyProof, PlanError> {
        Ok(ConsistencyProof::from_hashes(self.hashes(fetch)?)?)
    }
}

impl ProofPlan<Hash> {
    /// Plans the root of the first `size` leaves.
    ///
    /// # Errors
    ///
    /// [`ProofError::SizeTooLarge`].
    pub fn root(size: u64) -> Result<Self, ProofError> {
        if size > MAX_TREE_SIZE {
            return Err(ProofError::SizeTooLarge { size });
        }
        Ok(Self::of(std::iter::once(0..size), size))
    }

    /// Computes the root from the tiles of [`ProofPlan::tiles`], each asked for once.
    ///
    /// A tile may be given with more hashes than its width, as it is after the tree has grown.
    ///
    /// # Errors
    ///
    /// [`PlanError`] if a tile is missing or too short.
    pub fn finish<'t>(&self, fetch: impl FnMut(&TileId) -> Option<&'t [Hash]>) -> Result<Hash, PlanError> {
        let root = self.hashes(fetch)?.first().copied();
        Ok(root.unwrap_or(Hash::EMPTY_ROOT))
    }
}

impl<P> ProofPlan<P> {
    /// The tiles to fetch, each with the width that it has at the planned size.
    #[must_use]
    pub fn tiles(&self) -> &[TileId] {
        &self.tiles
    }

    fn of(ranges: impl Iterator<Item = Range<u64>>, size: u64) -> Self {
        let mut plan = Self { tiles: Vec::new(), nodes: Vec::new(), made: PhantomData };
        for range in ranges {
            let subtrees = plan.subtrees(range, size);
            plan.nodes.push(subtrees);
        }
        plan
    }

    /// Cuts a range that starts at a multiple of its length, rounded up to a power of two, into
    /// perfect subtrees, largest first.
    fn subtrees(&mut self, range: Range<u64>, size: u64) -> Vec<Subtree> {
        let mut subtrees = Vec::new();
        let mut start = range.start;
        while let Some(height) = range.end.saturating_sub(start).checked_ilog2() {
            let level = height / 8;
            let slot = start >> (8 * level);
            let offset = (slot % TILE_WIDTH) as usize;
            let tile = u8::try_from(level).ok().and_then(|level| TileId::at_size(level, slot / TILE_WIDTH, size));
            if let Some(tile) = tile {
                subtrees.push(Subtree { tile: self.position(tile), slots: offset..offset + (1 << (height % 8)) });
            }
            start += 1 << height;
        }
        subtrees
    }

    fn position(&mut self, tile: TileId) -> usize {
        let known = self.tiles.iter().position(|known| *known == tile);
        known.unwrap_or_else(|| {
            self.tiles.push(tile);
            self.tiles.len() - 1
        })
    }

    fn hashes<'t>(&self, mut fetch: impl FnMut(&TileId) -> Option<&'t [Hash]>) -> Result<Vec<Hash>, PlanError> {
        let mut fetched = Vec::with_capacity(self.tiles.len());
        for tile in &self.tiles {
            let hashes = fetch(tile).ok_or_else(|| PlanError::TileMissing { path: tile.path() })?;
            let hashes = hashes
                .get(..usize::from(tile.width()))
                .ok_or_else(|| PlanError::TileTooShort { path: tile.path(), hashes: hashes.len() })?;
            fetched.push(hashes);
        }
        let slots = |subtree: &Subtree| fetched.get(subtree.tile)?.get(subtree.slots.clone());
        let node = |subtrees: &Vec<Subtree>| {
            subtrees
                .iter()
                .rev()
                .filter_map(slots)
                .map(subtree_root)
                .reduce(|right, left| node_hash(&left, &right))
                .unwrap_or(Hash::EMPTY_ROOT)
        };
        Ok(self.nodes.iter().map(node).collect())
    }
}

/// Splits the leaves below a node between its two children: the left has the largest power of two
/// that is less than their number (RFC 6962 section 2.1).
fn split(range: &Range<u64>) -> Option<(Range<u64>, Range<u64>)> {
    let length = range.end.saturating_sub(range.start);
    if length < 2 {
        return None;
    }
    let middle = range.start + (1 << (length - 1).ilog2());
    Some((range.start..middle, middle..range.end))
}

/// Why a plan cannot be finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A tile was not found.
    #[error("{path} is missing")]
    TileMissing {
        /// Path of the tile.
        path: String,
    },
    /// A tile holds fewer hashes than it must at the planned size.
    #[error("{path} has only {hashes} hashes")]
    TileTooShort {
        /// Path of the tile.
        path: String,
        /// Number of hashes found.
        hashes: usize,
    },
    /// What was planned is not a proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
}
