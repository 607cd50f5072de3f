//! The trait a database implements to hold a log, with its contract.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;

use crate::row::{
    Assumed, Batch, Begin, BlobKey, CheckpointRow, DueKey, DueRow, Head, Lease, LeaseKey, LeaseRequest, Locked,
    LookupKey, Projections, RecordKey, Row, StreamKey, StreamState, TreeNodes, TreeRead,
};

/// A database that holds one log: transactions and rows, no domain knowledge, no hashing.
///
/// [`Log`](crate::Log) does everything else, so an implementation is a page of queries. It is used
/// as `dyn Backend`, by many tasks at once, and by many processes at once where the database
/// allows that.
///
/// # Contract
///
/// 1. **One writer.** Between a [`begin`](Backend::begin) that returned and the end of its
///    [`Transaction`] no other transaction on this log, of any process, gets past `begin`.
/// 2. **All or nothing.** A [`Batch`] is written as a whole. Dropping a transaction writes nothing
///    and frees the lock.
/// 3. **Durable.** When [`commit`](Transaction::commit) answers `Ok`, the batch survives a crash
///    of the process and of the machine.
/// 4. **Honest doubt.** If the commit may have been sent and its answer did not come, the error is
///    [`OutcomeUnknown`](BackendError::OutcomeUnknown), never `Unavailable`.
/// 5. **Reads see whole commits**, in order: a read that begins after a commit answered sees that commit;
///    a read that sees row *i* sees every row below *i*.
/// 6. **Insert only.** The head, leases and [`Projections`] are replaced; nothing else that was written
///    changes. Only payloads may be deleted.
/// 7. **Refuse a wrong batch.** If the rows do not start at the current size, are not dense, do not end at the size of the new
///    head, or a record id is present already or twice, `commit` and `create` answer
///    [`Corrupt`](BackendError::Corrupt) and write nothing.
/// 8. **Order.** Rows come by ascending index (in [`stream_rows`](Backend::stream_rows) by ascending number), due work by
///    ascending time, then key. Answers to a list of keys come in the order of the list.
/// 9. **Limits.** A read never returns more than asked for. It may return fewer rows to bound the bytes held
///    in memory, but none only if there are none.
/// 10. **Leases run on the database's clock**, are exclusive until they expire, are not part of the
///     log, and may all be lost at a restart.
/// 11. **Never created is not empty.** Before [`create`](Backend::create), [`meta`](Backend::meta) answers `None`, every other
///     method [`NotCreated`](BackendError::NotCreated); nothing but `create` creates.
/// 12. **Cancellation.** Dropping the future of any method leaves the log as if the call had not
///     been made or had completed, and leaks no lock.
///
/// Sizes, indexes and numbers that are stored are below 2<sup>63</sup> − 1, times are any `i64`; the arguments of reads may be any
/// `u64` or `usize`.
///
/// `jit_testkit::conformance::backend` tests this, for any implementation.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Creates the log with its opaque settings and its first batch, which starts at index 0.
    ///
    /// # Errors
    /// [`BackendError::AlreadyExists`] if there is a log; then nothing is written.
    async fn create(&self, meta: Vec<u8>, first: Batch) -> Result<(), BackendError>;

    /// The settings given to [`create`](Self::create), or `None` if that never happened.
    async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError>;

    /// Takes the log's lock, waiting for it, and reads all that is wanted under it.
    async fn begin(&self, want: Begin) -> Result<Box<dyn Transaction>, BackendError>;

    /// Writes the batch durably if the log is as assumed and has none of its records; `false`, and nothing written, if not.
    ///
    /// The log calls this again before the last call has answered, with what will be so after it. Calls take effect in the order
    /// in which their futures are first polled; a database whose calls may overtake each other loses time by that, nothing else.
    /// Where begin and commit are one round trip each, this should be one for both.
    ///
    /// # Errors
    /// As [`Transaction::commit`]. If the outcome is unknown, nothing is written any more once a later
    /// [`begin`](Self::begin) has answered.
    async fn write_if(&self, assumed: Assumed, batch: Batch) -> Result<bool, BackendError> {
        let want = Begin {
            streams: assumed.streams.iter().map(|(key, _)| *key).collect(),
            records: batch.rows.iter().map(|row| row.record).collect(),
            leaves_from: assumed.head.size,
        };
        let transaction = self.begin(want).await?;
        let locked = transaction.locked();
        if !assumed.holds(locked) || locked.known.iter().any(Option::is_some) {
            return Ok(false);
        }
        transaction.commit(batch).await?;
        Ok(true)
    }

    /// The head after the last commit that is durable.
    async fn head(&self) -> Result<Head, BackendError>;

    /// The head of one stream, or `None` if it has no records.
    async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError>;

    /// Records by index.
    async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError>;

    /// Records of one stream, from number `from_n` on.
    async fn stream_rows(&self, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>, BackendError>;

    /// Records filed under a look-up key, from index `from` on.
    async fn lookup(&self, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>, BackendError>;

    /// Leaf hashes, full tiles and roots of full tiles, without the records; in one round trip where there are any.
    async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError>;

    /// Work that falls due before `before_us` (exclusive), whether or not somebody holds it, and comes after the time and
    /// key of `after`.
    async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        limit: usize,
    ) -> Result<Vec<DueRow>, BackendError>;

    /// The heads of all streams, ascending by key, after the key `after`.
    async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        limit: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError>;

    /// For a database that keeps bounds of its own to find the records of a stream: all streams, ascending by key, after
    /// the key `after`, each with whether its bounds are its first and last record. Without such bounds, as by default, none.
    async fn scan_stream_bounds(
        &self,
        _after: Option<StreamKey>,
        _limit: usize,
    ) -> Result<Vec<(StreamKey, bool)>, BackendError> {
        self.head().await.map(|_| Vec::new())
    }

    /// All look-up entries, ascending by key and index, after the entry `after`.
    async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        limit: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError>;

    /// The ids of all records with the indexes under which [`Begin::records`] finds them, ascending by id, after the id
    /// `after`.
    async fn scan_records(&self, after: Option<RecordKey>, limit: usize)
    -> Result<Vec<(RecordKey, u64)>, BackendError>;

    /// Takes leases on due work nobody else holds, and returns the work with them. What `request.holder` holds
    /// already is renewed and returned again.
    async fn claim(
        &self,
        before_us: i64,
        limit: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError>;

    /// Takes or renews a lease; `None` while somebody else holds it.
    async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError>;

    /// Gives a lease back; does nothing if its holder or fence is no longer the current one.
    async fn release(&self, lease: Lease) -> Result<(), BackendError>;

    /// A blob, or `None` if there is none under the key.
    async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError>;

    /// Adds a checkpoint if the largest one has the size `after` (`None`: there is none yet) and
    /// `row.size` is larger; `false`, and nothing written, otherwise.
    async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError>;

    /// The smallest checkpoint of at least the given size, or the largest of all if none is given.
    async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError>;

    /// Takes the log's lock, waiting for it, and begins with no projections at all: no stream heads, no look-up
    /// entries, no due work. Until the rebuild is committed others read what was there before.
    async fn rebuild(&self) -> Result<Box<dyn Rebuild>, BackendError>;
}

/// The log's lock, with what [`Begin`] asked for. Dropping it rolls back.
#[async_trait]
pub trait Transaction: fmt::Debug + Send {
    /// What [`Begin`] asked for, as it stays until the transaction ends.
    fn locked(&self) -> &Locked;

    /// Writes the batch durably and frees the lock.
    ///
    /// # Errors
    /// [`BackendError::OutcomeUnknown`] if the batch may or may not have been written; with any other error it was not.
    async fn commit(self: Box<Self>, batch: Batch) -> Result<(), BackendError>;
}

/// The log's lock, while its projections are written anew. Dropping it leaves the old ones.
#[async_trait]
pub trait Rebuild: fmt::Debug + Send {
    /// The head under the lock.
    fn head(&self) -> &Head;

    /// Adds projections to those added before, by the rules of a [`Batch`].
    async fn add(&mut self, projections: Projections) -> Result<(), BackendError>;

    /// Replaces the old projections durably and frees the lock.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    async fn commit(self: Box<Self>) -> Result<(), BackendError>;
}

/// What was wrong below an error.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why a database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The database could not be reached or did not answer in time; nothing was written.
    #[error("the database is not available")]
    Unavailable {
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// A commit was sent and its answer was lost: it may or may not have been written.
    #[error("the outcome of a commit is unknown")]
    OutcomeUnknown {
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// There is a log already.
    #[error("the log exists already")]
    AlreadyExists,
    /// There is no log; opening never creates one.
    #[error("the log was never created")]
    NotCreated,
    /// What is stored, or was to be stored, contradicts itself.
    #[error("stored data is inconsistent: {what}")]
    Corrupt {
        /// What contradicts what, without content of records.
        what: String,
    },
    /// The database refused for another reason, which trying again does not change (rights, schema).
    #[error("the database refused")]
    Refused {
        /// What the driver said.
        #[source]
        source: Source,
    },
}

impl BackendError {
    /// Whether the same call may succeed later and is known to have had no effect.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
