//! Evidence storage: the Backend trait third parties implement, and the Log on top of it.

mod backend;
mod memory;
mod row;

pub use backend::{Backend, BackendError, Source, Transaction};
pub use memory::MemoryBackend;
pub use row::{
    Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Holder, Incarnation,
    Known, Lease, LeaseKey, LeaseRequest, Locked, LookupKey, RecordKey, Row, StreamHead, StreamKey,
    TileKey, TileRow,
};
