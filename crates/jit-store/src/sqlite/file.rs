//! The database file: created whole or not at all, opened by one writer, and refused if it is not what it must be.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::SqliteError;
use crate::anchor::{beside, sync_folder};

/// "jitl": what `file(1)` and [`open_writer`] know the file by.
const APPLICATION_ID: i64 = 0x6a69_746c;
/// The version of `schema.sql`.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// Nobody else writes, so a wait is for a tool that somebody points at the file.
const BUSY: Duration = Duration::from_secs(5);
const STATEMENTS: usize = 64;
/// What the writing connection keeps in memory; negative, as SQLite counts pages otherwise.
const CACHE_KIB: &str = "-65536";
/// After so many pages the write-ahead log is written back to the file.
const CHECKPOINT_PAGES: &str = "8192";

/// The lock of the one writer; the operating system frees it with the process.
#[derive(Debug)]
pub(super) struct WriterLock(#[expect(dead_code, reason = "held, not read")] File);

impl WriterLock {
    /// Locks `<path>.lock`, which stays where it is: deleting it would let a second writer in.
    pub(super) fn take(path: &Path) -> Result<Self, SqliteError> {
        let file = private_file()
            .create(true)
            .truncate(false)
            .open(beside(path, "lock"))
            .map_err(|error| SqliteError::unavailable(path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(SqliteError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(SqliteError::unavailable(path, error)),
        }
    }
}

/// The same path for everybody who means this file, so that they meet at one lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, SqliteError> {
    fs::canonicalize(path).map_err(|error| SqliteError::from_io(path, error))
}

/// Creates the file under another name and gives it its own when it is whole, so that a crash leaves no half of one.
pub(super) fn create(path: &Path) -> Result<(), SqliteError> {
    let _lock = WriterLock::take(path)?;
    if fs::symlink_metadata(path).is_ok() {
        return Err(SqliteError::AlreadyExists { path: path.to_owned() });
    }
    let draft = beside(path, "new");
    remove(&draft)
        .and_then(|()| remove(&beside(&draft, "-journal")))
        .map_err(|error| SqliteError::from_io(path, error))?;
    private_file().create_new(true).open(&draft).map_err(|error| SqliteError::unavailable(path, error))?;
    write_schema(&draft).map_err(|error| SqliteError::from_sqlite(path, error))?;
    fs::rename(&draft, path).and_then(|()| sync_folder(path)).map_err(|error| SqliteError::from_io(path, error))
}

fn write_schema(draft: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

/// The writing connection; it changed nothing yet if the file is not what it must be.
pub(super) fn open_writer(path: &Path) -> Result<Connection, SqliteError> {
    let failed = |error| SqliteError::from_sqlite(path, error);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    if number("application_id")? != APPLICATION_ID {
        return Err(SqliteError::NotEvidence { path: path.to_owned() });
    }
    let found = number("user_version")?;
    if found > SCHEMA_VERSION {
        return Err(SqliteError::NewerSchema { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    if found < SCHEMA_VERSION {
        return Err(SqliteError::NotEvidence { path: path.to_owned() });
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(SqliteError::unavailable(
            path,
            format!("it does not take a write-ahead log, but stays in mode {mode}"),
        ));
    }
    let set = |name, value| connection.pragma_update(None, name, value).map_err(failed);
    set("synchronous", "FULL")?;
    // Only on macOS, where a plain fsync does not reach the disk.
    set("fullfsync", "ON")?;
    // In KiB: indexes by record id and stream are written to all over.
    set("cache_size", CACHE_KIB)?;
    // In pages: each is written back once for many commits that changed it.
    set("wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // What is deleted is deleted: payloads hold personal data.
    set("secure_delete", "ON")?;
    Ok(connection)
}

/// A connection that reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // A connection is never used by two threads at once: it is moved.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    Ok(connection)
}

/// A file that only its owner may read; what SQLite creates beside the database gets the same rights.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
