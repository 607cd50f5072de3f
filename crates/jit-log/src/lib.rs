//! A tamper-evident log: append bytes, publish a signed checkpoint, and prove to a stranger years later that an entry is in it
//! and that nothing before it has changed.
//!
//! ```text
//!  entry ──leaf_hash──▶ Hash ──push──▶ TileBuilder ──▶ tiles, entry bundles      published as files
//!                        │                 │
//!                        │             Frontier ──root──▶ Checkpoint ──sign──▶ Note      (cosigned by witnesses)
//!                        │                                                      │
//!  ProofPlan ◀──tiles────┴──▶ InclusionProof, ConsistencyProof ──▶ TlogProof ◀──┘
//!                                                                      │
//!                                          TrustPolicy ──verify──▶ VerifiedCheckpoint
//! ```
//!
//! ```
//! use jit_log::{Checkpoint, Origin, ProofPlan, SignerKey, TileBuilder, TlogProof, TrustPolicy, leaf_hash};
//!
//! // The log: three leaves under a signed checkpoint.
//! let origin = Origin::parse("example.org/evidence")?;
//! let key = SignerKey::from_seed(&origin, [7; 32]);
//! let leaves: Vec<_> = ["approved", "issued", "ended"].map(|entry| leaf_hash(entry.as_bytes())).to_vec();
//! let mut tiles = TileBuilder::new();
//! for leaf in &leaves {
//!     tiles.push(*leaf)?;
//! }
//! let note = Checkpoint::new(origin, tiles.size(), tiles.frontier().root())?.sign(&[&key])?;
//! let proof = ProofPlan::inclusion(1, 3)?.finish(|_tile| Some(leaves.as_slice()))?;
//! let file = TlogProof::new(1, proof, note.to_bytes()).to_bytes();
//!
//! // The stranger: the file, the entry and the log's public key.
//! let policy = TrustPolicy::parse(&format!("log {}\nquorum none\n", key.verifier()))?;
//! let proof = TlogProof::parse(&file)?;
//! assert_eq!(proof.verify(&leaf_hash(b"issued"), &policy)?.checkpoint().size(), 3);
//! assert!(proof.verify(&leaf_hash(b"denied"), &policy).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it keeps
//!
//! - **The formats are not ours.** The tree is that of RFC 6962 (SHA-256); files are C2SP `tlog-tiles`, `signed-note`,
//!   `tlog-checkpoint`, `tlog-cosignature` (`cosignature/v1`), `tlog-proof`, `tlog-policy` and `tlog-witness`. What is published verifies with
//!   other people's programs, and tests do so.
//! - **One form.** What a parser accepts, it writes back byte for byte: no leading zeros, no loose base64, no second spelling.
//!   The one exception is [`TrustPolicy`], whose files have comments and free spacing.
//! - **Bounded.** Each parser has a limit on its input, none panics on any bytes, and trees end at [`MAX_TREE_SIZE`] leaves.
//! - **Strict.** A known key's wrong signature refuses the whole note, an unknown key's signature never counts, Ed25519 is
//!   verified without its lenient cases, and a proof from the empty tree or an empty log proves nothing.
//! - **[`VerifiedCheckpoint`] comes from [`TrustPolicy::verify`] alone**, which demands the log's own signature and the quorum
//!   of witnesses that the policy asks for.
//!
//! # What it never does
//!
//! It does no I/O, reads no clock, draws no randomness and knows no domain type: bytes in, bytes out. It does not know what was
//! signed before; that a checkpoint extends every earlier one is for the signer to make sure. It cannot tell that an entry is
//! true, nor that a log shows everyone the same tree: the latter takes witnesses.

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
mod policy_file;
mod policy_quorum;
mod proof;
mod tile;
mod tlog_proof;
mod witness;
mod witness_request;

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
pub use policy::{PolicyWitness, TrustError, TrustPolicy, VerifiedCheckpoint};
pub use policy_file::{MAX_POLICY_LEN, PolicyError, PolicyLineError};
pub use proof::{ConsistencyProof, InclusionProof, MAX_PROOF_LEN, ProofError};
pub use tile::{
    FullTile, TILE_WIDTH, TileError, TileId, full_tiles_between, partial_tiles, tile_bytes, tiles_for_size,
};
pub use tlog_proof::{MAX_TLOG_PROOF_LEN, TlogProof, TlogProofError};
pub use witness::{Accepted, HeldCheckpoint, HeldError, Witness, WitnessRefusal, witness_path};
pub use witness_request::{AddCheckpoint, AddCheckpointError, MAX_ADD_CHECKPOINT_LEN, MAX_ADD_CHECKPOINT_PROOF};
