//! Why a stored log could not be read.

use jit_core::{ParseRecordError, RecordId};
use jit_log::{PlanError, ProofError, TileError, TreeError};

use crate::backend::BackendError;

/// A read failed, or what was read does not hang together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database did not answer.
    #[error("the database could not be read")]
    Backend(#[from] BackendError),
    /// What is stored contradicts itself or its hashes.
    #[error("the stored log is damaged: {what}")]
    Corrupt {
        /// What contradicts what, without content of records.
        what: String,
    },
    /// Something that must be stored is not there.
    #[error("the stored log is incomplete: {what}")]
    Missing {
        /// What is not there.
        what: String,
    },
    /// A record's bytes do not parse or do not fit their commitment.
    #[error("record {index} is damaged")]
    Record {
        /// Its index in the log.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: ParseRecordError,
    },
    /// A record's bytes do not hash to the leaf in the tree.
    #[error("record {index} ({id}) does not hash to its leaf")]
    Leaf {
        /// Its index in the log.
        index: u64,
        /// Its id as it stands in the header.
        id: RecordId,
    },
    /// A proof was asked for that no log of this size has.
    #[error("no such proof")]
    Proof(#[from] ProofError),
}

impl ReadError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into() }
    }
}

impl From<TreeError> for ReadError {
    fn from(error: TreeError) -> Self {
        Self::corrupt(error.to_string())
    }
}

impl From<TileError> for ReadError {
    fn from(error: TileError) -> Self {
        Self::corrupt(error.to_string())
    }
}

impl From<PlanError> for ReadError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Proof(error) => Self::Proof(error),
            incomplete => Self::missing(incomplete.to_string()),
        }
    }
}
