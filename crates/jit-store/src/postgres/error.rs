//! What PostgreSQL's errors mean for a log.

use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::backend::{BackendError, Source};

/// Why a schema was not migrated, or does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The name is none that a schema may have.
    #[error("not a schema name: {name:?}")]
    SchemaName {
        /// What was given.
        name: String,
    },
    /// The schema has not been migrated at all, or this user does not see it.
    #[error("schema {schema} holds no log tables")]
    NotMigrated {
        /// The schema.
        schema: String,
    },
    /// Migrations are missing.
    #[error("schema {schema} has version {found}, this library needs {needed}: migrate it first")]
    OlderSchema {
        /// The schema.
        schema: String,
        /// Its version.
        found: i32,
        /// The version needed.
        needed: i32,
    },
    /// A newer version of this library migrated the schema.
    #[error("schema {schema} has version {found}, this library knows {known} at most")]
    NewerSchema {
        /// The schema.
        schema: String,
        /// Its version.
        found: i32,
        /// The newest version known.
        known: i32,
    },
    /// A migration was applied with another text than the one known under its number.
    #[error("migration {version} of schema {schema} is not the one that this library knows")]
    AlteredMigration {
        /// The schema.
        schema: String,
        /// The number of the migration.
        version: i32,
    },
    /// The database could not be reached, or refused.
    #[error("the database could not be used")]
    Backend(#[from] BackendError),
}

/// What an error means where nothing was to be committed.
pub(super) fn failed(error: Error) -> BackendError {
    match error.as_db_error() {
        Some(db) => refused_by_server(db.clone(), error),
        None if error.is_closed() || is_transport(&error) => BackendError::Unavailable { source: error.into() },
        None => BackendError::Refused { source: error.into() },
    }
}

pub(super) fn pool_failed(error: PoolError) -> BackendError {
    match error {
        PoolError::Backend(error) => failed(error),
        other => BackendError::Unavailable { source: other.into() },
    }
}

pub(super) fn unavailable(source: impl Into<Source>) -> BackendError {
    BackendError::Unavailable { source: source.into() }
}

fn unknown(error: Option<Error>) -> BackendError {
    let source = error.map_or_else(|| "nothing was answered".into(), Source::from);
    BackendError::OutcomeUnknown { source }
}

/// What became of a transaction that was sent at once, from `BEGIN` to `COMMIT`.
pub(super) fn outcome_of_whole(mut answers: Vec<Result<u64, Error>>) -> Result<(), BackendError> {
    match answers.first() {
        // Whether the session is in a transaction, nobody knows.
        Some(Err(_)) => Err(unknown(answers.swap_remove(0).err())),
        _ => outcome(answers),
    }
}

/// What became of statements that were sent together in a transaction, `COMMIT` the last of them.
pub(super) fn outcome(answers: Vec<Result<u64, Error>>) -> Result<(), BackendError> {
    let committed = answers.last().is_some_and(Result::is_ok);
    match answers.into_iter().find_map(Result::err) {
        None => Ok(()),
        // A statement that fails turns the commit into a rollback. Whatever else breaks down may have committed.
        Some(error) if committed && is_of_statement(&error) => Err(failed(error)),
        error => Err(unknown(error)),
    }
}

/// Whether the server says that a statement failed, and goes on with the next.
fn is_of_statement(error: &Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|db| matches!(db.parsed_severity(), Some(Severity::Error)) && !db.code().code().starts_with("08"))
}

/// What became of a statement that is a transaction of its own.
pub(super) fn outcome_of_one(answer: Result<u64, Error>) -> Result<(), BackendError> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if is_of_statement(&error) => Err(failed(error)),
        Err(error) => Err(unknown(Some(error))),
    }
}

/// Whether a statement failed by nothing but what it checks: how the log and its streams end, and that no record is there already.
pub(super) fn is_not_as_assumed(error: &Error) -> bool {
    matches!(error.code(), Some(&SqlState::DIVISION_BY_ZERO | &SqlState::UNIQUE_VIOLATION))
}

fn refused_by_server(db: DbError, error: Error) -> BackendError {
    let code = db.code();
    let class = code.code().get(..2).unwrap_or_default();
    let table = || db.table().or(db.constraint()).unwrap_or("the log").to_owned();
    match class {
        // The row that says there is a log.
        "23" if db.table() == Some("log") => BackendError::AlreadyExists,
        // Connections, resources (a full disk too), conflicts, interventions, the server's system.
        "08" | "40" | "53" | "57" | "58" => BackendError::Unavailable { source: error.into() },
        // Values that do not fit, constraints, damaged pages.
        "22" | "23" => BackendError::Corrupt {
            what: format!("{table} takes no such row ({code})", table = table(), code = code.code()),
        },
        "XX" if *code != SqlState::INTERNAL_ERROR => {
            BackendError::Corrupt { what: format!("the server reports damage ({})", code.code()) }
        }
        _ if *code == SqlState::LOCK_NOT_AVAILABLE
            || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
            // A standby: the next connection may find the primary.
            || *code == SqlState::READ_ONLY_SQL_TRANSACTION =>
        {
            BackendError::Unavailable { source: error.into() }
        }
        _ => BackendError::Refused { source: error.into() },
    }
}

/// Whether the way to the server failed, rather than what was sent or answered.
fn is_transport(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
        || error.to_string().starts_with("timeout")
        || error.to_string().starts_with("error connecting")
}
