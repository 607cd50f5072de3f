//! The compact range `[0, size)`: all that is needed to append and to know the root.

use crate::hash::{Hash, node_hash};

/// Largest tree size, 2^63 − 1 leaves; larger sizes are refused everywhere.
pub const MAX_TREE_SIZE: u64 = (1 << 63) - 1;

/// The roots of the perfect subtrees that make up a tree, largest first: one for each bit set in
/// its size.
///
/// ```
/// use jit_log::{Frontier, Hash, leaf_hash};
///
/// let mut frontier = Frontier::new();
/// assert_eq!(frontier.root(), Hash::EMPTY_ROOT);
/// for entry in ["a", "b", "c"] {
///     frontier.push(leaf_hash(entry.as_bytes()))?;
/// }
/// let restored = Frontier::from_parts(frontier.size(), frontier.nodes().to_vec())?;
/// assert_eq!(restored.root(), frontier.root());
/// # Ok::<(), jit_log::TreeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores a frontier from its size and nodes, largest subtree first.
    ///
    /// Whether the nodes are the right ones shows only when [`Frontier::root`] is compared with a
    /// root that is trusted.
    ///
    /// # Errors
    ///
    /// [`TreeError::SizeTooLarge`], or [`TreeError::NodeCount`] if the number of nodes is not the
    /// number of bits set in `size`.
    pub fn from_parts(size: u64, nodes: Vec<Hash>) -> Result<Self, TreeError> {
        if size > MAX_TREE_SIZE {
            return Err(TreeError::SizeTooLarge { size });
        }
        if u64::from(size.count_ones()) != nodes.len() as u64 {
            return Err(TreeError::NodeCount { size, nodes: nodes.len() });
        }
        Ok(Self { size, nodes })
    }

    pub(crate) fn assemble(size: u64, nodes: Vec<Hash>) -> Self {
        Self { size, nodes }
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Root of the tree (RFC 6962 section 2.1); [`Hash::EMPTY_ROOT`] at size 0.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or(Hash::EMPTY_ROOT)
    }

    /// Appends the hash of a leaf, amortised one node hash.
    ///
    /// # Errors
    ///
    /// [`TreeError::Full`] at [`MAX_TREE_SIZE`]; the frontier is unchanged.
    pub fn push(&mut self, leaf: Hash) -> Result<(), TreeError> {
        if self.size >= MAX_TREE_SIZE {
            return Err(TreeError::Full);
        }
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
        Ok(())
    }
}

/// Root of the tree over `hashes`, each taken as a node one level below (RFC 6962 section 2.1).
pub(crate) fn subtree_root(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                [last] => Some(*last),
                _ => None,
            })
            .collect();
    }
    level.first().copied().unwrap_or(Hash::EMPTY_ROOT)
}

/// Why a tree cannot be restored or extended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The size exceeds [`MAX_TREE_SIZE`].
    #[error("tree size {size} is larger than {MAX_TREE_SIZE}")]
    SizeTooLarge {
        /// Size found.
        size: u64,
    },
    /// The tree holds [`MAX_TREE_SIZE`] leaves already.
    #[error("tree is full at {MAX_TREE_SIZE} leaves")]
    Full,
    /// The number of nodes does not fit the size.
    #[error("a tree of size {size} does not have {nodes} frontier nodes")]
    NodeCount {
        /// Number of leaves.
        size: u64,
        /// Number of nodes found.
        nodes: usize,
    },
    /// A level does not hold as many hashes as its last, partial tile has at that size.
    #[error("the partial tile at level {level} of a tree of size {size} does not have {hashes} hashes")]
    PartialWidth {
        /// Number of leaves.
        size: u64,
        /// Tile level.
        level: usize,
        /// Number of hashes found.
        hashes: usize,
    },
}
