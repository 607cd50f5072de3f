//! What may be wrong with a stored log, each kind under its own name.

use std::ops::Range;

use jit_core::{LogOrigin, PolicyDigest, StreamId};
use jit_log::Hash;

use crate::row::{DueKey, LookupKey, RecordKey, StreamKey};

/// One thing that is wrong with a stored log.
///
/// The name ([`Damage::name`]) is stable, for alerts and scripts; the text is for people and holds no content of records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The settings beside the log are not what they were.
    #[error("the settings of the log are damaged: {what}")]
    Settings {
        /// What is wrong with them.
        what: &'static str,
    },
    /// The database holds another log.
    #[error("the database holds log {stored}")]
    OtherLog {
        /// The log it says it holds.
        stored: LogOrigin,
    },
    /// The database holds an earlier state than was signed: a backup was restored.
    #[error("the database was rolled back: {place} signs {signed} records, {stored} are stored")]
    Rollback {
        /// Who holds the checkpoint.
        place: Place,
        /// Its size.
        signed: u64,
        /// The size of the stored head.
        stored: u64,
    },
    /// A checkpoint with a valid signature is not of these records.
    #[error("the database is a fork: the first {size} records are not those signed in {place} under root {signed}")]
    Fork {
        /// Who holds the checkpoint.
        place: Place,
        /// Its size.
        size: u64,
        /// Its root.
        signed: Hash,
    },
    /// An anchor that was to be held against the log is empty.
    #[error("{place} is empty")]
    AnchorMissing {
        /// Which anchor.
        place: Place,
    },
    /// The checkpoint is not signed by the log, or not a checkpoint of this size.
    #[error("the checkpoint of size {size} in {place} is not one of this log: {what}")]
    Checkpoint {
        /// Who holds it.
        place: Place,
        /// The size it is kept under.
        size: u64,
        /// Why it is not accepted.
        what: String,
    },
    /// An anchor holds a checkpoint of these records that the database kept before, and does not have any more.
    #[error("the checkpoint of size {size}, which {place} holds, is gone from the database")]
    MissingCheckpoint {
        /// Which anchor.
        place: Place,
        /// The size of the checkpoint.
        size: u64,
    },
    /// The frontier beside a checkpoint is not that of the records.
    #[error("the frontier beside the checkpoint of size {size} is not that of the records")]
    CheckpointFrontier {
        /// The size of the checkpoint.
        size: u64,
    },
    /// The root in the head is not that of the records, though the frontier is.
    #[error("the root in the head is not that of the {size} records")]
    Root {
        /// The size of the head.
        size: u64,
    },
    /// The frontier in the head is not that of the records, though the root is.
    #[error("the frontier in the head is not that of the {size} records")]
    Frontier {
        /// The size of the head.
        size: u64,
    },
    /// Root and frontier of the head belong together and not to the records: records of the last tile are others than were
    /// committed.
    #[error("records from {} to {} are not those that were committed", records.start, records.end)]
    UnknownRecords {
        /// Where the records are that differ, as closely as can be told.
        records: Range<u64>,
    },
    /// Records at the end of the log are gone.
    #[error("the log is cut off: records from {} to {} are gone", records.start, records.end)]
    TruncatedRecords {
        /// Which indexes are gone.
        records: Range<u64>,
    },
    /// Records inside the log are gone.
    #[error("records from {} to {} are gone", records.start, records.end)]
    MissingRecords {
        /// Which indexes are gone.
        records: Range<u64>,
    },
    /// There are records past the end of the log.
    #[error("there are records from {from} on, past the end of the log")]
    SurplusRecords {
        /// The first one.
        from: u64,
    },
    /// The leaf hash beside a header is not the one in the tree, and the header is.
    #[error("the leaf hash of record {index} was changed")]
    EditedLeaf {
        /// The record.
        index: u64,
    },
    /// The header is not the one in the tree, and the leaf hash beside it is.
    #[error("the header of record {index} was changed")]
    EditedHeader {
        /// The record.
        index: u64,
    },
    /// Another record lies here than the tree has; its header and leaf hash belong together.
    #[error("record {index} is not the one that was committed there")]
    ReplacedRecord {
        /// The place.
        index: u64,
    },
    /// Two records lie in each other's place.
    #[error("records {first} and {second} were swapped")]
    SwappedRecords {
        /// The smaller index.
        first: u64,
        /// The larger index.
        second: u64,
    },
    /// The header is in the tree and is not one of this format.
    #[error("the header of record {index} is malformed: {what}")]
    MalformedHeader {
        /// The record.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The header is in the tree and names another log: the records of a second log were merged in.
    #[error("record {index} belongs to log {log}")]
    ForeignRecord {
        /// The record.
        index: u64,
        /// The log it names.
        log: LogOrigin,
    },
    /// A value or a salt of the payload is not what the header commits to. Which of them cannot be told: one digest covers
    /// both, and nothing else is kept of either (evidence format, section 4).
    #[error("a value or salt in the payload of record {index} was changed")]
    EditedPayload {
        /// The record.
        index: u64,
    },
    /// The payload is there and is not one of this format.
    #[error("the payload of record {index} is malformed: {what}")]
    MalformedPayload {
        /// The record.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The payload is gone, and no purge on record covers it.
    #[error("the payload of record {index} is gone, and no purge covers it")]
    MissingPayload {
        /// The record.
        index: u64,
    },
    /// A field is gone, and no erasure on record covers it.
    #[error("field {field} of record {index} is gone, and no erasure covers it")]
    MissingField {
        /// The record.
        index: u64,
        /// The name of the field.
        field: String,
    },
    /// What is stored beside a record so that it is found does not agree with its header.
    #[error("the stored {column} of record {index} is not that of its header")]
    EditedColumn {
        /// The record.
        index: u64,
        /// Which value.
        column: Column,
    },
    /// Two records have one id, or the index of ids is not that of the records.
    #[error("two records have the id {record:?}, one of them record {index}")]
    DuplicateId {
        /// The id.
        record: RecordKey,
        /// One of the records.
        index: u64,
    },
    /// The index of record ids lacks a record.
    #[error("record {index} is not found by its id")]
    MissingId {
        /// The record.
        index: u64,
    },
    /// The index of record ids has an id of no record.
    #[error("the id {record:?} is filed for record {index}, which has another")]
    UnknownId {
        /// The id.
        record: RecordKey,
        /// Where the index says it is.
        index: u64,
    },
    /// The numbers of a stream leave some out.
    #[error("stream {stream} goes on at {n} with record {index}, where {expected} was to follow")]
    StreamGap {
        /// The stream.
        stream: StreamId,
        /// The number expected.
        expected: u64,
        /// The number found.
        n: u64,
        /// The record found.
        index: u64,
    },
    /// A number of a stream comes twice, or too late.
    #[error("stream {stream} has number {n} again in record {index}")]
    StreamFork {
        /// The stream.
        stream: StreamId,
        /// The number.
        n: u64,
        /// The later record.
        index: u64,
    },
    /// A record does not name the one before it.
    #[error("record {index} does not follow record {} of stream {stream}", n.saturating_sub(1))]
    StreamLink {
        /// The stream.
        stream: StreamId,
        /// The number of the record.
        n: u64,
        /// The record.
        index: u64,
    },
    /// A stream goes on after the record that closed it.
    #[error("stream {stream} was closed before record {index}")]
    ReopenedStream {
        /// The stream.
        stream: StreamId,
        /// The record that should not be.
        index: u64,
    },
    /// A record is older than the one before it, beyond the errors that their clocks declare (INV-14).
    #[error("record {index} of stream {stream} was made before its predecessor")]
    StreamClock {
        /// The stream.
        stream: StreamId,
        /// The record.
        index: u64,
    },
    /// Reading a stream by its numbers gives other records than reading the log.
    #[error("stream {stream} read by its numbers is not the stream in the log")]
    StreamReading {
        /// The stream.
        stream: StreamId,
    },
    /// A full tile is not there.
    #[error("tile {index} of level {level} is gone")]
    MissingTile {
        /// The level.
        level: u8,
        /// Its place in the level.
        index: u64,
    },
    /// A full tile does not hold the hashes of what lies below it.
    #[error("tile {index} of level {level} was changed")]
    EditedTile {
        /// The level.
        level: u8,
        /// Its place in the level.
        index: u64,
    },
    /// The root beside a full tile is not that of the tile.
    #[error("the root beside tile {index} of level {level} was changed")]
    EditedTileRoot {
        /// The level.
        level: u8,
        /// Its place in the level.
        index: u64,
    },
    /// All records of a stream are gone, and its head tells of them.
    #[error("all records of stream {stream:?} are gone")]
    DeletedStream {
        /// The stream's key.
        stream: StreamKey,
    },
    /// The last records of a stream are gone, and its head tells of them.
    #[error("stream {stream:?} had {stated} records and has {found}")]
    TruncatedStream {
        /// The stream's key.
        stream: StreamKey,
        /// How many the head counts.
        stated: u64,
        /// How many there are.
        found: u64,
    },
    /// A stream that has records has no head.
    #[error("the head of stream {stream:?} is gone")]
    MissingStreamHead {
        /// The stream's key.
        stream: StreamKey,
    },
    /// The head of a stream is not where its records end.
    #[error("the head of stream {stream:?} is not where its records end")]
    EditedStreamHead {
        /// The stream's key.
        stream: StreamKey,
    },
    /// The bounds between which the database looks for the records of a stream are not its first and last record, so that
    /// some are not found.
    #[error("the database does not look for stream {stream:?} from its first record to its last")]
    EditedStreamBounds {
        /// The stream's key.
        stream: StreamKey,
    },
    /// There is the head of a stream that never had records.
    #[error("there is a head of stream {stream:?}, which has no records")]
    UnknownStreamHead {
        /// The stream's key.
        stream: StreamKey,
    },
    /// The records of a stream do not make one chain.
    #[error("the records of stream {stream:?} do not make one chain")]
    BrokenStream {
        /// The stream's key.
        stream: StreamKey,
    },
    /// A record is not found under a name it has.
    #[error("record {index} is not filed under {key:?}")]
    MissingLookup {
        /// The key.
        key: LookupKey,
        /// The record.
        index: u64,
    },
    /// A record is found under a name it does not have.
    #[error("record {index} is filed under {key:?}, a name it does not have")]
    UnknownLookup {
        /// The key.
        key: LookupKey,
        /// The record.
        index: u64,
    },
    /// Work that the records schedule is not stored.
    #[error("due work {key:?} is gone")]
    MissingDue {
        /// The work's key.
        key: DueKey,
    },
    /// Stored work is not what the records schedule, or when.
    #[error("due work {key:?} was changed")]
    EditedDue {
        /// The work's key.
        key: DueKey,
    },
    /// Work is stored that no record schedules, or that was done.
    #[error("due work {key:?} is not wanted by any record")]
    UnknownDue {
        /// The work's key.
        key: DueKey,
    },
    /// A policy snapshot that a record cites is not stored.
    #[error("policy {policy}, which record {index} cites, is gone")]
    MissingSnapshot {
        /// The digest cited.
        policy: PolicyDigest,
        /// The first record seen to cite it.
        index: u64,
    },
    /// A policy snapshot is not what its digest says.
    #[error("policy {policy} is not what its digest says")]
    EditedSnapshot {
        /// The digest it is kept under.
        policy: PolicyDigest,
    },
    /// A purge on record did not take what it says.
    #[error("the purge in record {index} names {stated} payloads, and {found} of those it covers are gone")]
    Purge {
        /// The record.
        index: u64,
        /// How many it says went.
        stated: u64,
        /// How many went; the same number if they are others.
        found: u64,
    },
}

/// Who holds a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The database itself.
    Database,
    /// An anchor, by its number in [`FsckConfig::anchor`](crate::FsckConfig::anchor), from 0.
    Anchor(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database => f.write_str("the database"),
            Self::Anchor(number) => write!(f, "anchor {number}"),
        }
    }
}

/// A value stored beside a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Column {
    /// The record id.
    Id,
    /// The stream.
    Stream,
    /// The number in the stream.
    Number,
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Stream => "stream",
            Self::Number => "number",
        })
    }
}

impl Damage {
    /// The stable name of this kind of damage.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "settings",
            Self::OtherLog { .. } => "other_log",
            Self::Rollback { .. } => "rollback",
            Self::Fork { .. } => "fork",
            Self::AnchorMissing { .. } => "anchor_missing",
            Self::Checkpoint { .. } => "checkpoint",
            Self::MissingCheckpoint { .. } => "missing_checkpoint",
            Self::CheckpointFrontier { .. } => "checkpoint_frontier",
            Self::Root { .. } => "root",
            Self::Frontier { .. } => "frontier",
            Self::UnknownRecords { .. } => "unknown_records",
            Self::TruncatedRecords { .. } => "truncated_records",
            Self::MissingRecords { .. } => "missing_records",
            Self::SurplusRecords { .. } => "surplus_records",
            Self::EditedLeaf { .. } => "edited_leaf",
            Self::EditedHeader { .. } => "edited_header",
            Self::ReplacedRecord { .. } => "replaced_record",
            Self::SwappedRecords { .. } => "swapped_records",
            Self::MalformedHeader { .. } => "malformed_header",
            Self::ForeignRecord { .. } => "foreign_record",
            Self::EditedPayload { .. } => "edited_payload",
            Self::MalformedPayload { .. } => "malformed_payload",
            Self::MissingPayload { .. } => "missing_payload",
            Self::MissingField { .. } => "missing_field",
            Self::EditedColumn { .. } => "edited_column",
            Self::DuplicateId { .. } => "duplicate_id",
            Self::MissingId { .. } => "missing_id",
            Self::UnknownId { .. } => "unknown_id",
            Self::StreamGap { .. } => "stream_gap",
            Self::StreamFork { .. } => "stream_fork",
            Self::StreamLink { .. } => "stream_link",
            Self::ReopenedStream { .. } => "reopened_stream",
            Self::StreamClock { .. } => "stream_clock",
            Self::StreamReading { .. } => "stream_reading",
            Self::MissingTile { .. } => "missing_tile",
            Self::EditedTile { .. } => "edited_tile",
            Self::EditedTileRoot { .. } => "edited_tile_root",
            Self::DeletedStream { .. } => "deleted_stream",
            Self::TruncatedStream { .. } => "truncated_stream",
            Self::MissingStreamHead { .. } => "missing_stream_head",
            Self::EditedStreamHead { .. } => "edited_stream_head",
            Self::EditedStreamBounds { .. } => "edited_stream_bounds",
            Self::UnknownStreamHead { .. } => "unknown_stream_head",
            Self::BrokenStream { .. } => "broken_stream",
            Self::MissingLookup { .. } => "missing_lookup",
            Self::UnknownLookup { .. } => "unknown_lookup",
            Self::MissingDue { .. } => "missing_due",
            Self::EditedDue { .. } => "edited_due",
            Self::UnknownDue { .. } => "unknown_due",
            Self::MissingSnapshot { .. } => "missing_snapshot",
            Self::EditedSnapshot { .. } => "edited_snapshot",
            Self::Purge { .. } => "purge",
        }
    }
}
