//! Between what a log stores and what PostgreSQL's types hold.

use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::FromSql;

use super::error::failed;
use crate::backend::BackendError;
use crate::row::{CheckpointRow, DueKey, DueRow, HashBytes, Head, LookupKey, RecordKey, Row, StreamKey, StreamState};

/// A column of any type.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a SqlRow, at: usize) -> Result<T, BackendError> {
    row.try_get(at).map_err(failed)
}

/// A column of so many bytes.
pub(super) fn fixed<const N: usize>(row: &SqlRow, at: usize) -> Result<[u8; N], BackendError> {
    get::<&[u8]>(row, at)?
        .try_into()
        .map_err(|_| BackendError::Corrupt { what: format!("a value is not {N} bytes long") })
}

/// A column that holds a hash.
pub(super) fn hash(row: &SqlRow, at: usize) -> Result<HashBytes, BackendError> {
    fixed(row, at).map(HashBytes::from_bytes)
}

/// A column that holds an index, a size or a number.
pub(super) fn unsigned(row: &SqlRow, at: usize) -> Result<u64, BackendError> {
    let value: i64 = get(row, at)?;
    u64::try_from(value).map_err(|_| BackendError::Corrupt { what: format!("a negative number is stored: {value}") })
}

/// A number to be stored.
pub(super) fn signed(value: u64) -> Result<i64, BackendError> {
    i64::try_from(value).map_err(|_| BackendError::Corrupt { what: format!("{value} is more than a log can hold") })
}

/// A number to compare with: nothing stored is larger than the largest.
pub(super) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// How many rows at most.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Hashes one after the other.
pub(super) fn concat(hashes: &[HashBytes]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

pub(super) fn split(bytes: &[u8]) -> Result<Vec<HashBytes>, BackendError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(BackendError::Corrupt { what: "a frontier is no sequence of hashes".to_owned() });
    }
    Ok(hashes.iter().copied().map(HashBytes::from_bytes).collect())
}

/// Columns `size, root, frontier`.
pub(super) fn head(row: &SqlRow) -> Result<Head, BackendError> {
    Ok(Head { size: unsigned(row, 0)?, root: hash(row, 1)?, frontier: split(get(row, 2)?)? })
}

/// Columns `next, leaf, closed` from `at` on.
pub(super) fn stream_state(row: &SqlRow, at: usize) -> Result<StreamState, BackendError> {
    Ok(StreamState {
        next: unsigned(row, at)?,
        leaf: hash(row, at.saturating_add(1))?,
        closed: get(row, at.saturating_add(2))?,
    })
}

/// Columns `idx, record, stream, n, leaf, header, payload`.
pub(super) fn record_row(row: &SqlRow) -> Result<Row, BackendError> {
    Ok(Row {
        index: unsigned(row, 0)?,
        record: RecordKey::from_bytes(fixed(row, 1)?),
        stream: StreamKey::from_bytes(fixed(row, 2)?),
        n: unsigned(row, 3)?,
        leaf: hash(row, 4)?,
        header: get(row, 5)?,
        payload: get(row, 6)?,
    })
}

/// Columns `key, at_us, work`.
pub(super) fn due_row(row: &SqlRow) -> Result<DueRow, BackendError> {
    Ok(DueRow { key: DueKey::from_bytes(fixed(row, 0)?), at_us: get(row, 1)?, work: get(row, 2)? })
}

/// Columns `size, note, frontier`.
pub(super) fn checkpoint_row(row: &SqlRow) -> Result<CheckpointRow, BackendError> {
    Ok(CheckpointRow { size: unsigned(row, 0)?, note: get(row, 1)?, frontier: split(get(row, 2)?)? })
}

/// Columns `key, idx`.
pub(super) fn lookup_entry(row: &SqlRow) -> Result<(LookupKey, u64), BackendError> {
    Ok((LookupKey::from_bytes(fixed(row, 0)?), unsigned(row, 1)?))
}
