//! Tamper-evident log: RFC 6962 tree, tiles, proofs, signed notes, checkpoints, trust policy, verifier.

mod frontier;
mod hash;
mod origin;
mod proof;

pub use frontier::{Frontier, MAX_TREE_SIZE, TreeError};
pub use hash::{Hash, HashError, leaf_hash, node_hash};
pub use origin::{KeyName, MAX_NAME_LEN, Origin, OriginError};
pub use proof::{ConsistencyProof, InclusionProof, MAX_PROOF_LEN, ProofError};
