//! Tamper-evident log: RFC 6962 tree, tiles, proofs, signed notes, checkpoints, trust policy, verifier.

mod base64;
mod builder;
mod checkpoint;
mod cosignature;
mod decimal;
mod directory;
mod entries;
mod frontier;
mod hash;
mod key;
mod note;
mod origin;
mod plan;
mod policy;
mod proof;
mod tile;
mod tlog_proof;

pub use builder::TileBuilder;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::{Cosignature, CosignatureTime, CosignerKey};
pub use directory::{BoxError, CHECKPOINT_PATH, DirectoryError, DirectoryReport, DirectoryVerifier, TileSource};
pub use entries::{EntryBundle, EntryError, MAX_ENTRY_LEN};
pub use frontier::{Frontier, MAX_TREE_SIZE, TreeError};
pub use hash::{Hash, HashError, leaf_hash, node_hash};
pub use key::{KeyError, KeyId, SignatureType, SignerKey, VerifierKey};
pub use note::{MAX_NOTE_LEN, MAX_SIGNATURES, Note, NoteError, NoteSignature, VerifiedSignature};
pub use origin::{KeyName, MAX_NAME_LEN, Origin, OriginError};
pub use plan::{PlanError, ProofPlan};
pub use policy::{MAX_POLICY_LEN, PolicyError, PolicyLineError, TrustError, TrustPolicy, VerifiedCheckpoint};
pub use proof::{ConsistencyProof, InclusionProof, MAX_PROOF_LEN, ProofError};
pub use tile::{
    FullTile, TILE_WIDTH, TileError, TileId, full_tiles_between, partial_tiles, tile_bytes, tiles_for_size,
};
pub use tlog_proof::{MAX_TLOG_PROOF_LEN, TlogProof, TlogProofError};
