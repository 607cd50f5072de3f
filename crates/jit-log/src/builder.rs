//! Production of tiles while leaves arrive.

use crate::frontier::{Frontier, MAX_TREE_SIZE, TreeError, subtree_root};
use crate::hash::Hash;
use crate::tile::{FullTile, LEVELS, TILE_WIDTH, TileId, slots};

/// Turns leaves into tiles, holding only the still partial tile of each level.
///
/// ```
/// use jit_log::{TileBuilder, leaf_hash};
///
/// let mut builder = TileBuilder::new();
/// let mut full = Vec::new();
/// for i in 0..300u32 {
///     full.extend(builder.push(leaf_hash(&i.to_be_bytes()))?);
/// }
/// let full: Vec<_> = full.iter().map(|tile| tile.id().path()).collect();
/// let partial: Vec<_> = builder.partials().map(|(id, _)| id.path()).collect();
/// assert_eq!(full, ["tile/0/000"]);
/// assert_eq!(partial, ["tile/0/001.p/44", "tile/1/000.p/1"]);
/// # Ok::<(), jit_log::TreeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileBuilder {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl TileBuilder {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self { size: 0, levels: vec![Vec::new(); usize::from(LEVELS)] }
    }

    /// Continues a tree of `size` leaves; `levels` holds the hashes of the partial tile of each
    /// level, level 0 first, empty where the width is 0; trailing empty levels may be left out.
    ///
    /// Whether the hashes are the right ones shows only when [`TileBuilder::frontier`] is compared
    /// with a root that is trusted.
    ///
    /// # Errors
    ///
    /// [`TreeError::SizeTooLarge`], or [`TreeError::PartialWidth`] if a level does not hold
    /// `⌊size / 256^level⌋ mod 256` hashes.
    pub fn from_parts(size: u64, levels: Vec<Vec<Hash>>) -> Result<Self, TreeError> {
        if size > MAX_TREE_SIZE {
            return Err(TreeError::SizeTooLarge { size });
        }
        let mut builder = Self { size, levels };
        if builder.levels.len() < usize::from(LEVELS) {
            builder.levels.resize(usize::from(LEVELS), Vec::new());
        }
        for (level, hashes) in builder.levels.iter().enumerate() {
            let width = u8::try_from(level).map_or(0, |level| slots(level, size) % TILE_WIDTH);
            if hashes.len() as u64 != width {
                return Err(TreeError::PartialWidth { size, level, hashes: hashes.len() });
            }
        }
        builder.levels.truncate(usize::from(LEVELS));
        Ok(builder)
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of a leaf and returns the tiles that it completes, lowest level first:
    /// mostly none, one for every 256th leaf.
    ///
    /// # Errors
    ///
    /// [`TreeError::Full`] at [`MAX_TREE_SIZE`]; the builder is unchanged.
    pub fn push(&mut self, leaf: Hash) -> Result<Vec<FullTile>, TreeError> {
        if self.size >= MAX_TREE_SIZE {
            return Err(TreeError::Full);
        }
        let mut completed = Vec::new();
        let mut node = leaf;
        for (level, hashes) in (0..LEVELS).zip(&mut self.levels) {
            hashes.push(node);
            let index = slots(level, self.size) / TILE_WIDTH;
            match TileId::at_size(level, index, self.size + 1) {
                Some(id) if id.is_full() => {
                    let tile = FullTile::complete(id, std::mem::take(hashes));
                    node = tile.root();
                    completed.push(tile);
                }
                _ => break,
            }
        }
        self.size += 1;
        Ok(completed)
    }

    /// The partial tiles with their hashes, lowest level first; levels of width 0 are left out.
    pub fn partials(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        (0..LEVELS).zip(&self.levels).filter_map(|(level, hashes)| {
            let index = slots(level, self.size) / TILE_WIDTH;
            let id = TileId::at_size(level, index, self.size)?;
            Some((id, hashes.as_slice()))
        })
    }

    /// The compact range of the same tree, for its root.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        let mut nodes = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            while let Some(bit) = rest.len().checked_ilog2() {
                let (subtree, right) = rest.split_at(1 << bit);
                nodes.push(subtree_root(subtree));
                rest = right;
            }
        }
        Frontier::assemble(self.size, nodes)
    }
}

impl Default for TileBuilder {
    fn default() -> Self {
        Self::new()
    }
}
