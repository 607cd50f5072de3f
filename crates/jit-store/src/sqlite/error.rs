//! What SQLite's errors mean for a log.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
use tokio::task::JoinError;

use crate::backend::{BackendError, Source};

/// Why a database file was not created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// There is no such file; only [`create_new`](crate::SqliteBackend::create_new) creates one.
    #[error("there is no database at {path}")]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already.
    #[error("there is a file at {path} already")]
    AlreadyExists {
        /// The file.
        path: PathBuf,
    },
    /// This or another process has the database open; one at a time may write it.
    #[error("the database at {path} is open elsewhere")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is no database, or not one of evidence.
    #[error("the file {path} is not an evidence database")]
    NotEvidence {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this library wrote the database.
    #[error("the database at {path} has schema version {found}, and this library knows up to {known}")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version of the stored schema.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The file is an evidence database, and damaged.
    #[error("the database at {path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Source,
    },
    /// The file could not be read or written, or its place does not do (a network file system).
    #[error("the database at {path} could not be used")]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Source,
    },
}

impl SqliteError {
    pub(super) fn unavailable(path: &Path, source: impl Into<Source>) -> Self {
        Self::Unavailable { path: path.to_owned(), source: source.into() }
    }

    /// What the failure of a file operation means.
    pub(super) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::AlreadyExists => Self::AlreadyExists { path },
            _ => Self::Unavailable { path, source: error.into() },
        }
    }

    /// What an error of SQLite's while opening means.
    pub(super) fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotEvidence { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source: error.into() },
            _ if is_contradiction(&error) => Self::Damaged { path, source: error.into() },
            _ => Self::Unavailable { path, source: error.into() },
        }
    }
}

impl From<rusqlite::Error> for BackendError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => {
                Self::Corrupt { what: error.to_string() }
            }
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Unavailable { source: error.into() },
            _ if is_contradiction(&error) => Self::Corrupt { what: error.to_string() },
            _ => Self::Refused { source: error.into() },
        }
    }
}

/// What a task that may block did not finish, because it panicked or the runtime shut down.
impl From<JoinError> for BackendError {
    fn from(error: JoinError) -> Self {
        Self::Unavailable { source: error.into() }
    }
}

/// Whether a stored value is not of the type or length that its column promises.
fn is_contradiction(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::QueryReturnedNoRows
    )
}

/// What the failure of COMMIT says. A commit counts from the moment that its last frame is whole in the write-ahead log. A
/// write that failed (a full disk, a quota) cut that frame off or came before it, and a busy database has not begun; after any
/// other failure, that of a flush above all, the frame may be there, and a crash would bring the commit to life.
pub(super) fn commit_failed(error: rusqlite::Error) -> BackendError {
    let unwritten = [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_BUSY];
    match error.sqlite_error() {
        Some(failure) if unwritten.contains(&failure.extended_code) => {
            BackendError::Unavailable { source: error.into() }
        }
        _ => BackendError::OutcomeUnknown { source: error.into() },
    }
}
