//! Inclusion and consistency proofs and their verification (RFC 9162 sections 2.1.3.2, 2.1.4.2).

use crate::frontier::MAX_TREE_SIZE;
use crate::hash::{Hash, node_hash};

/// Most hashes that a proof for a tree of at most [`MAX_TREE_SIZE`] leaves can have.
pub const MAX_PROOF_LEN: usize = 64;

/// That a leaf is at an index of a tree: the siblings on its way to the root, the leaf's first.
///
/// ```
/// use jit_log::{InclusionProof, leaf_hash, node_hash};
///
/// let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
/// let root = node_hash(&a, &b);
/// let proof = InclusionProof::from_hashes(vec![b])?;
/// proof.verify(&a, 0, 2, &root)?;
/// assert!(proof.verify(&a, 1, 2, &root).is_err());
/// # Ok::<(), jit_log::ProofError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof(Vec<Hash>);

impl InclusionProof {
    /// Takes the hashes of a proof, the leaf's sibling first.
    ///
    /// # Errors
    ///
    /// [`ProofError::TooManyHashes`] beyond [`MAX_PROOF_LEN`].
    pub fn from_hashes(hashes: Vec<Hash>) -> Result<Self, ProofError> {
        Ok(Self(bounded(hashes)?))
    }

    /// The hashes, the leaf's sibling first.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// Checks that `leaf` is at `index` (from 0) of the tree of `size` leaves with this `root`.
    ///
    /// # Errors
    ///
    /// [`ProofError`] if the numbers make no sense, the proof is too short or too long, or it leads
    /// to another root.
    pub fn verify(&self, leaf: &Hash, index: u64, size: u64, root: &Hash) -> Result<(), ProofError> {
        check_size(size)?;
        if index >= size {
            return Err(ProofError::IndexBeyondSize { index, size });
        }
        let mut node = index;
        let mut last = size - 1;
        let mut computed = *leaf;
        for hash in &self.0 {
            if last == 0 {
                return Err(ProofError::Length);
            }
            if node & 1 == 1 || node == last {
                computed = node_hash(hash, &computed);
                skip_absent_siblings(&mut node, &mut last);
            } else {
                computed = node_hash(&computed, hash);
            }
            node >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(ProofError::Length);
        }
        if computed != *root {
            return Err(ProofError::RootMismatch);
        }
        Ok(())
    }
}

/// That a tree is an extension of an earlier one: every earlier leaf is still there, in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof(Vec<Hash>);

impl ConsistencyProof {
    /// Takes the hashes of a proof in the order of RFC 6962 section 2.1.2.
    ///
    /// # Errors
    ///
    /// [`ProofError::TooManyHashes`] beyond [`MAX_PROOF_LEN`].
    pub fn from_hashes(hashes: Vec<Hash>) -> Result<Self, ProofError> {
        Ok(Self(bounded(hashes)?))
    }

    /// The hashes in the order of RFC 6962 section 2.1.2.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// Checks that the tree `(new_size, new_root)` extends the tree `(old_size, old_root)`.
    ///
    /// Equal sizes need an empty proof and equal roots.
    ///
    /// # Errors
    ///
    /// [`ProofError::OldSizeZero`], because every tree extends the empty one and a proof of it says
    /// nothing; any other [`ProofError`] if the sizes make no sense, the proof is too short or too
    /// long, or it leads to another root.
    pub fn verify(&self, old_size: u64, old_root: &Hash, new_size: u64, new_root: &Hash) -> Result<(), ProofError> {
        check_old_and_new(old_size, new_size)?;
        if old_size == new_size {
            return match (self.0.is_empty(), old_root == new_root) {
                (false, _) => Err(ProofError::Length),
                (true, false) => Err(ProofError::RootMismatch),
                (true, true) => Ok(()),
            };
        }
        let mut hashes = self.0.iter();
        // A perfect old tree is a node of the new one, so its root starts the way and is not sent.
        let start = if old_size.is_power_of_two() { old_root } else { hashes.next().ok_or(ProofError::Length)? };
        let shift = (old_size - 1).trailing_ones();
        let mut node = (old_size - 1) >> shift;
        let mut last = (new_size - 1) >> shift;
        let mut old_computed = *start;
        let mut new_computed = *start;
        for hash in hashes {
            if last == 0 {
                return Err(ProofError::Length);
            }
            if node & 1 == 1 || node == last {
                old_computed = node_hash(hash, &old_computed);
                new_computed = node_hash(hash, &new_computed);
                skip_absent_siblings(&mut node, &mut last);
            } else {
                new_computed = node_hash(&new_computed, hash);
            }
            node >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(ProofError::Length);
        }
        if old_computed != *old_root || new_computed != *new_root {
            return Err(ProofError::RootMismatch);
        }
        Ok(())
    }
}

/// Climbs from the right edge of the tree over the levels at which the node has no sibling.
fn skip_absent_siblings(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn bounded(hashes: Vec<Hash>) -> Result<Vec<Hash>, ProofError> {
    if hashes.len() > MAX_PROOF_LEN {
        return Err(ProofError::TooManyHashes { count: hashes.len() });
    }
    Ok(hashes)
}

fn check_size(size: u64) -> Result<(), ProofError> {
    if size > MAX_TREE_SIZE {
        return Err(ProofError::SizeTooLarge { size });
    }
    Ok(())
}

/// The rule for the two sizes of a consistency proof: `1 ≤ old ≤ new ≤ 2^63 − 1`.
pub(crate) fn check_old_and_new(old: u64, new: u64) -> Result<(), ProofError> {
    check_size(new)?;
    if old == 0 {
        return Err(ProofError::OldSizeZero);
    }
    if old > new {
        return Err(ProofError::Shrinks { old, new });
    }
    Ok(())
}

/// Why a proof does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// More than [`MAX_PROOF_LEN`] hashes.
    #[error("proof has {count} hashes, at most {MAX_PROOF_LEN} are possible")]
    TooManyHashes {
        /// Number of hashes found.
        count: usize,
    },
    /// A tree size exceeds [`MAX_TREE_SIZE`].
    #[error("tree size {size} is larger than {MAX_TREE_SIZE}")]
    SizeTooLarge {
        /// Size found.
        size: u64,
    },
    /// The leaf's index is not below the tree size.
    #[error("index {index} is not in a tree of size {size}")]
    IndexBeyondSize {
        /// Index of the leaf, from 0.
        index: u64,
        /// Number of leaves.
        size: u64,
    },
    /// A consistency proof from the empty tree was asked for.
    #[error("a consistency proof from size 0 proves nothing")]
    OldSizeZero,
    /// The newer tree is smaller than the older one.
    #[error("new size {new} is smaller than old size {old}")]
    Shrinks {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// The proof has too few or too many hashes for the sizes.
    #[error("proof has the wrong number of hashes")]
    Length,
    /// The proof leads to another root.
    #[error("proof leads to another root")]
    RootMismatch,
}
