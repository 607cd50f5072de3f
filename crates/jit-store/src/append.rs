//! What is appended to a log, and what comes back.

use std::sync::Arc;

use jit_core::{Draft, Expected, Record, RecordError, RecordId, RetentionClass, StreamHead, StreamId};

use crate::backend::BackendError;
use crate::error::ReadError;
use crate::opening::OpenError;
use crate::retention::RetentionError;
use crate::row::BlobKey;

/// The most records one request may append.
pub const MAX_REQUEST_RECORDS: usize = 1024;

/// Records for one stream: finished by the caller, or to be finished under the log's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Records {
    /// For streams that the caller numbers (`case`, `entitlement`, `ops`).
    Sealed(Vec<Record>),
    /// For streams that the committer numbers (`gov`, `erasure`, `policy`).
    Drafts(Vec<Draft>),
}

/// Records that are appended together, or not at all.
///
/// ```
/// use jit_core::{Expected, StreamId};
/// use jit_store::AppendRequest;
///
/// # fn example(case: StreamId, parent: StreamId, records: Vec<jit_core::Record>, head: jit_core::StreamHead) {
/// let request = AppendRequest::new()
///     .records(case, Expected::Empty, records)
///     .guard(parent, Expected::At(head));
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a request does nothing until it is appended"]
pub struct AppendRequest {
    pub(crate) appends: Vec<StreamAppend>,
    pub(crate) guards: Vec<(StreamId, Expected)>,
    pub(crate) blobs: Vec<(BlobKey, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamAppend {
    pub(crate) stream: StreamId,
    /// Absent for drafts, whose place the committer chooses.
    pub(crate) expected: Option<Expected>,
    pub(crate) records: Records,
}

impl AppendRequest {
    /// A request without records; one that stays so is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends records to a stream that must end as expected. They chain among themselves.
    pub fn records(mut self, stream: StreamId, expected: Expected, records: Vec<Record>) -> Self {
        let records = Records::Sealed(records);
        self.appends.push(StreamAppend { stream, expected: Some(expected), records });
        self
    }

    /// Appends a draft to its stream, wherever that ends.
    pub fn draft(mut self, draft: Draft) -> Self {
        let (stream, records) = (draft.stream(), Records::Drafts(vec![draft]));
        self.appends.push(StreamAppend { stream, expected: None, records });
        self
    }

    /// Demands that a stream ends as expected, without appending to it. The streams of this
    /// request's own records are judged as they are before it.
    pub fn guard(mut self, stream: StreamId, expected: Expected) -> Self {
        self.guards.push((stream, expected));
        self
    }

    /// Keeps bytes beside the records under a key that names their content, a policy snapshot for example.
    pub fn blob(mut self, key: BlobKey, bytes: Vec<u8>) -> Self {
        self.blobs.push((key, bytes));
        self
    }

    pub(crate) fn len(&self) -> usize {
        let count = |append: &StreamAppend| match &append.records {
            Records::Sealed(records) => records.len(),
            Records::Drafts(drafts) => drafts.len(),
        };
        self.appends.iter().map(count).sum()
    }
}

/// A record with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub(crate) index: u64,
    pub(crate) record: Record,
}

impl LogRecord {
    /// Its index in the log, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record alone.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.record
    }
}

/// Why nothing was appended. Only after [`OutcomeUnknown`](AppendError::OutcomeUnknown) may something have been.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream, written to or guarded, does not end as expected: somebody was faster. Read it again.
    #[error("stream {stream} does not end as expected")]
    Conflict {
        /// Which stream.
        stream: StreamId,
        /// How it ends now; `None` if it is empty.
        current: Option<StreamHead>,
    },
    /// The stream takes no more records.
    #[error("stream {stream} is closed")]
    Closed {
        /// Which stream.
        stream: StreamId,
    },
    /// The request itself is wrong; trying again does not help.
    #[error("the request is not valid")]
    Invalid(#[from] InvalidRequest),
    /// Too many requests are waiting. Try again later.
    #[error("the log is overloaded")]
    Overloaded,
    /// The database was not available or refused; nothing was written.
    #[error("nothing was appended")]
    Backend(#[source] Arc<BackendError>),
    /// The commit was sent, its answer was lost, and the log could not be asked. Append the same request again: records that
    /// are there already are recognised by their ids.
    #[error("whether the records were appended is unknown")]
    OutcomeUnknown(#[source] Arc<BackendError>),
    /// The stored log is damaged or went back; nothing is appended to it any more.
    #[error("the log refuses to append")]
    Damaged(#[source] Arc<ReadError>),
    /// The log was checked against its anchor again, and refused.
    #[error("the log no longer agrees with its anchor")]
    Refused(#[source] Arc<OpenError>),
    /// The task that commits has ended.
    #[error("the log is shut down")]
    ShutDown,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// There are no records.
    #[error("it has no records")]
    Empty,
    /// There are more than [`MAX_REQUEST_RECORDS`].
    #[error("it has {records} records, at most {MAX_REQUEST_RECORDS} are allowed")]
    TooLarge {
        /// How many.
        records: usize,
    },
    /// A record was made for another log.
    #[error("record {id} is for another log")]
    OtherLog {
        /// Which record.
        id: RecordId,
    },
    /// A record stands in another stream than it says, or its kind does not belong there.
    #[error("record {id} does not belong in stream {stream}")]
    OtherStream {
        /// Which record.
        id: RecordId,
        /// The stream it was to be appended to.
        stream: StreamId,
    },
    /// A finished record for a stream that the committer numbers, or a draft for one that it does not.
    #[error("stream {stream} takes {} records", if stream.is_numbered_by_committer() { "draft" } else { "finished" })]
    Numbering {
        /// Which stream.
        stream: StreamId,
    },
    /// A record does not follow the one before it in the request.
    #[error("record {id} does not follow its predecessor")]
    Chain {
        /// Which record.
        id: RecordId,
    },
    /// A record's retention class was not declared.
    #[error("record {id} has the undeclared retention class {class}")]
    Retention {
        /// Which record.
        id: RecordId,
        /// Its class.
        class: RetentionClass,
    },
    /// A record of this id with other content is in the log, or the id is there twice.
    #[error("record id {id} is taken")]
    IdTaken {
        /// Which id.
        id: RecordId,
    },
    /// A record has no payload; only stored records may lack one.
    #[error("record {id} has no payload")]
    NoPayload {
        /// Which record.
        id: RecordId,
    },
    /// A draft could not be finished.
    #[error("a draft for stream {stream} could not be finished: {source}")]
    Draft {
        /// Which stream.
        stream: StreamId,
        /// Why.
        source: RecordError,
    },
    /// A declaration of retention contradicts itself.
    #[error("record {id} declares no usable retention: {source}")]
    Declaration {
        /// Which record.
        id: RecordId,
        /// Why.
        source: RetentionError,
    },
}
