//! Why an export is not complete.

use jit_log::TrustError;

use crate::backend::Source;
use crate::error::ReadError;
use crate::receipt::ReceiptError;

/// Why an export is not complete. What was written stays, and the next export goes on from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No checkpoint could be had.
    #[error("no checkpoint to export")]
    Receipt(#[from] ReceiptError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// A file or object could not be read or written.
    #[error("{file} could not be read or written")]
    File {
        /// Which one.
        file: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// A file that never changes is there already, with other content: damaged, or of another log.
    #[error("{file} is there already, with other content")]
    Differs {
        /// Which one.
        file: String,
    },
    /// The checkpoint that is there already does not verify with this log's key.
    #[error("{file} is not a checkpoint of this log")]
    Untrusted {
        /// Where it is.
        file: String,
        /// Why not.
        #[source]
        source: TrustError,
    },
    /// The checkpoint that is there already is signed with this log's key, and this log does not extend it: the log was
    /// rolled back or forked, or the place belongs to another copy of it.
    #[error("{file} has a checkpoint of size {size} that this log does not extend")]
    OtherLog {
        /// Where it is.
        file: String,
        /// How many records it covers.
        size: u64,
    },
    /// Another export to this folder is running.
    #[error("another export to {folder} is running")]
    Busy {
        /// Which folder.
        folder: String,
    },
    /// Other exports changed the file again and again.
    #[error("too many others write {file} at the same time")]
    Contended {
        /// Which file.
        file: String,
    },
    /// A record cannot be part of an entry bundle or a payload file.
    #[error("record {index} cannot be exported: {reason}")]
    Record {
        /// Which record.
        index: u64,
        /// Why.
        reason: String,
    },
    /// The task that writes files was ended.
    #[error("the export was interrupted")]
    Interrupted,
}

impl ExportError {
    pub(crate) fn file(file: &str, source: impl Into<Source>) -> Self {
        Self::File { file: file.to_owned(), source: source.into() }
    }
}
