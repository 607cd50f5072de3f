//! Tiles: runs of 256 hashes of one level, the unit in which a log is stored and served
//! (C2SP tlog-tiles).

use std::fmt::Write as _;

use crate::frontier::{MAX_TREE_SIZE, TreeError, subtree_root};
use crate::hash::Hash;

/// Hashes in a full tile, and the factor from one tile level to the next.
pub const TILE_WIDTH: u64 = 256;

/// Tile levels that a tree of at most [`MAX_TREE_SIZE`] leaves can have.
pub(crate) const LEVELS: u8 = 8;

/// Longest path of a tile, generously: `tile/0/` and seven groups of four and `.p/255`.
const MAX_PATH_LEN: usize = 64;

/// The place of a tile in the tree, and how many of its 256 hashes are there.
///
/// Slot `i` of tile `(level, index)` is the root of the `256^level` leaves from
/// `(index × 256 + i) × 256^level`. A constructed id lies within a tree of at most
/// [`MAX_TREE_SIZE`] leaves.
///
/// ```
/// use jit_log::TileId;
///
/// let tile = TileId::new(0, 1234, 112)?;
/// assert_eq!(tile.path(), "tile/0/x001/234.p/112");
/// assert_eq!(tile.entries_path(), "tile/entries/x001/234.p/112");
/// assert_eq!(TileId::parse("tile/0/x001/234.p/112")?, tile);
/// # Ok::<(), jit_log::TileError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

impl TileId {
    /// A tile of `width` hashes (1 to 256) at `level` and `index`, both from 0.
    ///
    /// # Errors
    ///
    /// [`TileError::OutOfTree`] if the width is not 1 to 256, or the tile would end beyond
    /// [`MAX_TREE_SIZE`] leaves.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        let out_of_tree = TileError::OutOfTree { level, index, width };
        if level >= LEVELS || width == 0 || u64::from(width) > TILE_WIDTH {
            return Err(out_of_tree);
        }
        let slots = u128::from(index) * u128::from(TILE_WIDTH) + u128::from(width);
        if slots << (8 * level) > u128::from(MAX_TREE_SIZE) {
            return Err(out_of_tree);
        }
        Ok(Self { level, index, width })
    }

    /// The tile at `level` and `index` with the width it has in a tree of `size` leaves, if any.
    #[must_use]
    pub fn at_size(level: u8, index: u64, size: u64) -> Option<Self> {
        if level >= LEVELS || size > MAX_TREE_SIZE {
            return None;
        }
        let start = index.checked_mul(TILE_WIDTH)?;
        let width = slots(level, size).checked_sub(start)?.min(TILE_WIDTH);
        Self::new(level, index, u16::try_from(width).ok()?).ok()
    }

    /// Parses the path of a tile, `tile/<level>/<index>[.p/<width>]`.
    ///
    /// # Errors
    ///
    /// [`TileError::Path`] for anything that [`TileId::path`] does not return.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        parse_path(path).filter(|id| id.path() == path).ok_or(TileError::Path)
    }

    /// Level of the tile, from 0 (leaf hashes).
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Index of the tile within its level, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Number of hashes, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether the tile has all its 256 hashes and so never changes again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The same tile once it is full; `None` if no tree can grow that far.
    #[must_use]
    pub fn full(&self) -> Option<Self> {
        Self::new(self.level, self.index, 256).ok()
    }

    /// Path below the log's prefix, for example `tile/0/x001/234.p/112`.
    #[must_use]
    pub fn path(&self) -> String {
        self.path_below(&format!("tile/{}", self.level))
    }

    /// Path of the bundle with the entries whose leaf hashes this tile of level 0 holds, for example
    /// `tile/entries/x001/234.p/112`.
    #[must_use]
    pub fn entries_path(&self) -> String {
        self.path_below("tile/entries")
    }

    /// Path of another file numbered like this tile, below `prefix`, for example `payload/x001/234`.
    #[must_use]
    pub fn path_below(&self, prefix: &str) -> String {
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.push(prefix.to_owned());
        groups.reverse();
        let mut path = groups.join("/");
        if !self.is_full() {
            // Writing to a string cannot fail.
            let _ = write!(path, ".p/{}", self.width);
        }
        path
    }

    /// Splits the contents of this tile's file into hashes.
    ///
    /// # Errors
    ///
    /// [`TileError::Length`] if the file is not exactly `width × 32` bytes.
    pub fn parse_hashes(&self, file: &[u8]) -> Result<Vec<Hash>, TileError> {
        let length = TileError::Length { path: self.path(), bytes: file.len() };
        if file.len() != usize::from(self.width) * Hash::LEN {
            return Err(length);
        }
        file.chunks(Hash::LEN).map(|chunk| Hash::from_slice(chunk).map_err(|_| length.clone())).collect()
    }
}

/// Number of hashes at `level` of a tree of `size` leaves.
pub(crate) fn slots(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

fn parse_path(path: &str) -> Option<TileId> {
    if path.len() > MAX_PATH_LEN {
        return None;
    }
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok()?),
        None => (rest, 256),
    };
    let mut index = 0u64;
    for group in groups.split('/') {
        let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(digits)?;
    }
    TileId::new(level.parse().ok()?, index, width).ok()
}

/// The tiles that become full between two sizes of a tree: to write once, never to change.
///
/// Level by level, ascending within each.
///
/// # Errors
///
/// [`TreeError::SizeTooLarge`].
pub fn full_tiles_between(old_size: u64, new_size: u64) -> Result<impl Iterator<Item = TileId>, TreeError> {
    for size in [old_size, new_size] {
        if size > MAX_TREE_SIZE {
            return Err(TreeError::SizeTooLarge { size });
        }
    }
    Ok((0..LEVELS).flat_map(move |level| {
        let full = |size| slots(level, size) / TILE_WIDTH;
        (full(old_size)..full(new_size)).map(move |index| TileId { level, index, width: 256 })
    }))
}

/// The partial tiles on the right edge of a tree of `size` leaves, at most one a level, lowest
/// level first.
///
/// # Errors
///
/// [`TreeError::SizeTooLarge`].
pub fn partial_tiles(size: u64) -> Result<impl Iterator<Item = TileId>, TreeError> {
    if size > MAX_TREE_SIZE {
        return Err(TreeError::SizeTooLarge { size });
    }
    Ok((0..LEVELS).filter_map(move |level| TileId::at_size(level, slots(level, size) / TILE_WIDTH, size)))
}

/// All tiles of a tree of `size` leaves, the full ones first.
///
/// # Errors
///
/// [`TreeError::SizeTooLarge`].
pub fn tiles_for_size(size: u64) -> Result<impl Iterator<Item = TileId>, TreeError> {
    Ok(full_tiles_between(0, size)?.chain(partial_tiles(size)?))
}

/// A tile with all its 256 hashes, and the root over them: its slot one level up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    id: TileId,
    hashes: Vec<Hash>,
    root: Hash,
}

impl FullTile {
    /// Length of the file of a full tile, in bytes.
    pub const BYTES: usize = 8192;

    /// Parses the file of a full tile and computes its root.
    ///
    /// # Errors
    ///
    /// [`TileError::OutOfTree`] if there is no such full tile, [`TileError::Length`] if the file is
    /// not [`FullTile::BYTES`] long.
    pub fn from_bytes(level: u8, index: u64, file: &[u8]) -> Result<Self, TileError> {
        let id = TileId::new(level, index, 256)?;
        Ok(Self::complete(id, id.parse_hashes(file)?))
    }

    pub(crate) fn complete(id: TileId, hashes: Vec<Hash>) -> Self {
        let root = subtree_root(&hashes);
        Self { id, hashes, root }
    }

    /// The place of the tile; its width is 256.
    #[must_use]
    pub fn id(&self) -> TileId {
        self.id
    }

    /// The 256 hashes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root over the hashes.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The file of the tile, [`FullTile::BYTES`] long.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        tile_bytes(&self.hashes)
    }
}

/// The file of a tile with these hashes, full or partial: the hashes one after the other.
#[must_use]
pub fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}

/// Why something is not a tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// No tree of at most [`MAX_TREE_SIZE`] leaves has such a tile.
    #[error("no tree has a tile at level {level}, index {index} of width {width}")]
    OutOfTree {
        /// Tile level.
        level: u8,
        /// Tile index.
        index: u64,
        /// Number of hashes.
        width: u16,
    },
    /// The text is not the canonical path of a tile.
    #[error("not a tile path")]
    Path,
    /// The file does not have the length that its path calls for.
    #[error("{path} cannot be {bytes} bytes long")]
    Length {
        /// Path of the tile.
        path: String,
        /// Length found, in bytes.
        bytes: usize,
    },
}
