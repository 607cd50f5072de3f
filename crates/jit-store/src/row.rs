//! What a database stores for a log: keys, rows, and the batch one commit writes.
//!
//! Everything here is bytes and integers. A backend never interprets a header, a payload or a
//! piece of work, and never computes a hash.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Wraps the bytes; every value is allowed.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes as a database stores them.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                for byte in self.0 {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str(")")
            }
        }
    };
}

bytes_newtype!(
    /// Identifies a stream of records.
    StreamKey, 32
);
bytes_newtype!(
    /// A keyed digest under which records can be found; says nothing about the value it stands for.
    LookupKey, 32
);
bytes_newtype!(
    /// Identifies one piece of scheduled work.
    DueKey, 32
);
bytes_newtype!(
    /// Identifies an immutable blob by its content.
    BlobKey, 32
);
bytes_newtype!(
    /// Identifies something that one process at a time may hold.
    LeaseKey, 32
);
bytes_newtype!(
    /// A record's own id (a UUID).
    RecordKey, 16
);
bytes_newtype!(
    /// A 32-byte tree hash; opaque to a backend.
    HashBytes, 32
);
bytes_newtype!(
    /// Who asks for a lease: one process instance.
    Holder, 16
);
bytes_newtype!(
    /// Which incarnation of the database a transaction runs against.
    Incarnation, 16
);

impl From<DueKey> for LeaseKey {
    fn from(key: DueKey) -> Self {
        Self(key.0)
    }
}

/// The head of the log: how many records it has and the tree over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of records; the next record gets this index.
    pub size: u64,
    /// Root of the tree over all of them.
    pub root: HashBytes,
    /// Roots of the perfect subtrees, largest first: one per bit set in `size`.
    pub frontier: Vec<HashBytes>,
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Number that the next record of the stream gets.
    pub next: u64,
    /// Leaf hash of the last record.
    pub leaf: HashBytes,
    /// Whether the stream takes no more records.
    pub closed: bool,
}

/// One record as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Position in the log, from 0, dense.
    pub index: u64,
    /// The record's id, unique in the log.
    pub record: RecordKey,
    /// The stream it belongs to.
    pub stream: StreamKey,
    /// Position in the stream, from 0, dense.
    pub n: u64,
    /// Leaf hash of `header`.
    pub leaf: HashBytes,
    /// The header's verbatim bytes; never deleted, at most 65,535 of them.
    pub header: Vec<u8>,
    /// The payload's verbatim bytes, at most about 4 MiB; absent after a purge. Kept apart from the rest, because it is all
    /// that is ever deleted.
    pub payload: Option<Vec<u8>>,
}

/// Names a full tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileKey {
    /// Level: 0 holds leaf hashes, each slot above is the root of a full tile below.
    pub level: u8,
    /// Position within the level.
    pub index: u64,
}

/// A full tile; partial ones are never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileRow {
    /// Which tile.
    pub key: TileKey,
    /// Its 256 hashes, 8,192 bytes.
    pub hashes: Vec<u8>,
    /// The root over them.
    pub root: HashBytes,
}

/// Work to be done at or after a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// Which piece of work.
    pub key: DueKey,
    /// When it falls due, microseconds since 1970-01-01T00:00:00Z.
    pub at_us: i64,
    /// What is to be done; opaque.
    pub work: Vec<u8>,
}

/// A signed checkpoint with the frontier it was signed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRow {
    /// The size it speaks of.
    pub size: u64,
    /// The signed note, verbatim.
    pub note: Vec<u8>,
    /// The frontier at that size, largest subtree first.
    pub frontier: Vec<HashBytes>,
}

/// What a transaction needs to know under the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// Streams whose heads are wanted.
    pub streams: Vec<StreamKey>,
    /// Record ids about to be written: one that is present already was written by an earlier
    /// attempt whose answer got lost.
    pub records: Vec<RecordKey>,
    /// The size up to which the caller knows the tree; it wants the leaf hashes from there on.
    pub leaves_from: u64,
}

impl Begin {
    /// More new leaf hashes than this are not returned with a transaction.
    pub const MAX_LEAVES: usize = 4096;
}

/// A record that [`Begin::records`] asked about and that is in the log already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its position in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: HashBytes,
}

/// What a transaction found under the log's lock: the answers to [`Begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// The head under the lock.
    pub head: Head,
    /// The heads of [`Begin::streams`], in that order; `None` for a stream without records.
    pub streams: Vec<Option<StreamState>>,
    /// Which of [`Begin::records`] are in the log already, in that order.
    pub known: Vec<Option<Known>>,
    /// The leaf hashes from [`Begin::leaves_from`] to the head, if they are at most
    /// [`Begin::MAX_LEAVES`]; none otherwise.
    pub leaves: Vec<HashBytes>,
    /// Changes whenever the database may no longer be the one it was: another server, a fail-over,
    /// a restore, a restart. The log then repeats its opening check before it appends.
    pub incarnation: Incarnation,
}

/// What must be so for [`Backend::write_if`](crate::Backend::write_if) to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumed {
    /// The incarnation under which the rest was learned.
    pub incarnation: Incarnation,
    /// The head of the log.
    pub head: Head,
    /// The leaf hash of the last record of streams that take more, `None` for one without records; each stream once.
    pub streams: Vec<(StreamKey, Option<HashBytes>)>,
}

impl Assumed {
    /// Whether what was found under the lock, where this was wanted in [`Begin`], is what was assumed.
    #[must_use]
    pub fn holds(&self, locked: &Locked) -> bool {
        let as_assumed = |((_, leaf), found): (&(StreamKey, Option<HashBytes>), &Option<StreamState>)| match found {
            None => leaf.is_none(),
            Some(state) => !state.closed && *leaf == Some(state.leaf),
        };
        self.incarnation == locked.incarnation
            && self.head == locked.head
            && self.streams.len() == locked.streams.len()
            && self.streams.iter().zip(&locked.streams).all(as_assumed)
    }
}

/// What is derived from records and stored beside them. It can be computed again from the records alone, so it is
/// no evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projections {
    /// New heads of the streams written to, each stream once.
    pub streams: Vec<(StreamKey, StreamState)>,
    /// Look-up entries to add, each once: key and record index.
    pub lookups: Vec<(LookupKey, u64)>,
    /// Work to schedule, each key once; replaces work of the same key.
    pub due: Vec<DueRow>,
    /// Work that is no longer wanted; unknown keys are ignored, and no key is also in `due`.
    pub due_done: Vec<DueKey>,
}

/// What is to be read of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeRead {
    /// Leaf hashes, by index.
    pub leaves: Vec<Range<u64>>,
    /// Full tiles.
    pub tiles: Vec<TileKey>,
    /// Roots of full tiles, by level and index.
    pub roots: Vec<(u8, Range<u64>)>,
}

/// What was read of the tree: one answer for each entry of a [`TreeRead`], in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeNodes {
    /// Leaf hashes, as far as there are leaves.
    pub leaves: Vec<Vec<HashBytes>>,
    /// Tiles; `None` for one that is not stored.
    pub tiles: Vec<Option<TileRow>>,
    /// Roots, up to the first tile that is not stored.
    pub roots: Vec<Vec<HashBytes>>,
}

/// Everything one commit writes, all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The head after the commit; `size` is the old size plus `rows.len()`.
    pub head: Head,
    /// New records in index order, the first at the old size.
    pub rows: Vec<Row>,
    /// Tiles that these records complete.
    pub tiles: Vec<TileRow>,
    /// What follows from the records and is kept to find them.
    pub projections: Projections,
    /// Blobs to keep; one that is present already stays as it is.
    pub blobs: Vec<(BlobKey, Vec<u8>)>,
}

/// A request for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Who asks.
    pub holder: Holder,
    /// How long the lease lasts if it is neither renewed nor released, on the database's clock.
    pub ttl: Duration,
}

/// A lease that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is held.
    pub key: LeaseKey,
    /// Who holds it.
    pub holder: Holder,
    /// Larger than that of every lease on this key that another holder had before; unchanged by a renewal.
    pub fence: u64,
}
