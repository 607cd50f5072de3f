//! Evidence storage: the [`Backend`] trait third parties implement, and the [`Log`] on top of it.
//!
//! ```text
//!   callers ──append──▶ committer ──one transaction──▶ Backend        rows, tiles, heads, look-ups, due work
//!                            │                            │
//!                            └─durable─▶ publisher ──sign─┴─▶ Anchor   the checkpoint outside the database
//!                                            │
//!   callers ◀──────────── Receipt ───────────┘                         what effects wait for
//! ```
//!
//! # What it keeps
//!
//! - **Durable, signed, published, effect**, in this order: an append is acknowledged when it is durable, a [`Receipt`] exists
//!   when a checkpoint over it meets what effects require.
//! - **No head is believed.** Before every append the stored frontier must fold to the stored root, and both must be
//!   what this process computed from leaf hashes and tiles; the same holds before anything is signed.
//! - **Opening never creates**, and refuses rollback, fork, truncation and corruption with an [`OpenError`] that says which.
//! - **One batch, one transaction**: concurrent appends are committed together, and a conflict fails its own request alone.
//!
//! # What it never does
//!
//! It knows no policy and no issuer; a backend knows no domain type and hashes nothing.

mod anchor;
mod append;
mod backend;
mod committer;
mod config;
mod creating;
mod error;
mod export;
mod flight;
#[cfg(feature = "fsck")]
mod fsck;
mod intake;
mod lease;
mod log;
mod memory;
#[cfg(feature = "object-store")]
mod object_anchor;
mod opening;
#[cfg(feature = "postgres")]
mod postgres;
mod prepared;
mod projection;
mod publisher;
mod reading;
mod rebuild;
mod receipt;
mod retention;
mod row;
mod sequencer;
mod signer;
mod signer_file;
#[cfg(feature = "sqlite")]
mod sqlite;
mod system;
mod tree;
mod witness;
mod working;

pub use anchor::{Anchor, AnchorError, FileAnchor, Published};
pub use append::{AppendError, AppendRequest, InvalidRequest, LogRecord, MAX_REQUEST_RECORDS, Records};
pub use backend::{Backend, BackendError, Rebuild, Source, Transaction};
pub use config::{ConfigError, EffectRequirement, LogConfig};
pub use creating::CreateError;
pub use error::ReadError;
#[cfg(feature = "object-store")]
pub use export::ObjectTarget;
pub use export::{ExportError, ExportOptions, ExportPayloads, ExportProgress, ExportTarget, Exported};
#[cfg(feature = "fsck")]
pub use fsck::{
    Column, Damage, FsckConfig, FsckError, FsckPhase, FsckProgress, FsckReport, Place, SnapshotDigest, fsck,
};
pub use log::Log;
pub use memory::MemoryBackend;
#[cfg(feature = "object-store")]
pub use object_anchor::ObjectStoreAnchor;
#[cfg(feature = "object-store")]
pub use object_store;
pub use opening::OpenError;
#[cfg(feature = "postgres")]
pub use postgres::{MIGRATIONS, Migration, PostgresBackend, PostgresConfig, PostgresError, SchemaName};
pub use reading::{Changes, Cursor};
pub use rebuild::{RebuildError, Rebuilt, rebuild_projections};
pub use receipt::{Appended, Receipt, ReceiptError};
pub use retention::{AGENT_CLASS, GOVERNANCE_CLASS, RetentionError, RetentionPolicy};
pub use row::{
    Assumed, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Holder, Incarnation, Known, Lease,
    LeaseKey, LeaseRequest, Locked, LookupKey, Projections, RecordKey, Row, StreamKey, StreamState, TileKey, TileRow,
    TreeNodes, TreeRead,
};
pub use signer::{CheckpointSigner, Ed25519Signer, SignError};
pub use signer_file::{KeyFile, KeyFileError};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteBackend, SqliteError};
pub use system::{OsEntropy, SystemClock};
pub use witness::{CosignError, Cosigning, CosigningError, WitnessAnchor, WitnessAnswer, WitnessClient, WitnessError};
#[cfg(feature = "witness")]
pub use witness::{HttpWitness, WitnessUrlError};
pub use working::{DueWork, Schedule, ScheduleCursor, WorkError};
