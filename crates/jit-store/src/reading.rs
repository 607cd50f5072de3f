//! Reading records back: every one is hashed, parsed and checked against its commitment.

use std::fmt;
use std::str::FromStr;

use jit_core::{Lookup, Record, StreamId};
use jit_log::{ConsistencyProof, InclusionProof};

use crate::append::LogRecord;
use crate::backend::Backend;
use crate::error::ReadError;
use crate::log::Log;
use crate::prepared::stream_key;
use crate::row::{BlobKey, Row};
use crate::tree;

/// Rows read at a time where a caller sets no limit.
pub(crate) const PAGE: usize = 256;

/// A position in the change feed: everything below it was seen.
///
/// ```
/// use jit_store::Cursor;
///
/// let cursor: Cursor = "42".parse()?;
/// assert_eq!(cursor.to_string(), "42");
/// assert_ne!(cursor, Cursor::START);
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// Just after the record at `index`.
    #[must_use]
    pub fn after(index: u64) -> Self {
        Self(index.saturating_add(1))
    }

    /// How many records lie before it.
    #[must_use]
    pub fn seen(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A part of the change feed.
#[derive(Clone, Debug)]
#[must_use]
pub struct Changes {
    /// The records, in the order of the log, without gaps.
    pub records: Vec<LogRecord>,
    /// Where to go on.
    pub next: Cursor,
}

impl Log {
    /// How many durable records the log has.
    ///
    /// # Errors
    /// [`ReadError::Backend`].
    pub async fn size(&self) -> Result<u64, ReadError> {
        Ok(self.backend().head().await?.size)
    }

    /// All records of a stream, from its number 0.
    ///
    /// # Errors
    /// [`ReadError`], also if one of the records is missing.
    pub async fn stream(&self, stream: &StreamId) -> Result<Vec<LogRecord>, ReadError> {
        let key = stream_key(stream);
        let end = self.backend().stream_head(key).await?.map_or(0, |state| state.next);
        let mut records: Vec<LogRecord> = Vec::new();
        while (records.len() as u64) < end {
            let rows = self.backend().stream_rows(key, records.len() as u64, PAGE).await?;
            if rows.is_empty() {
                return Err(ReadError::missing(format!("record {} of stream {stream}", records.len())));
            }
            for row in rows {
                let read = read_row(row)?;
                let header = read.record.header();
                if header.stream != *stream || header.n != records.len() as u64 {
                    return Err(ReadError::missing(format!("record {} of stream {stream}", records.len())));
                }
                if header.prev != records.last().map(|before| before.record.leaf()) {
                    return Err(ReadError::corrupt(format!(
                        "record {} of stream {stream} has another predecessor",
                        header.n
                    )));
                }
                records.push(read);
            }
        }
        Ok(records)
    }

    /// The records with these indexes, in the order given.
    ///
    /// # Errors
    /// [`ReadError`], also if one of the records is missing.
    pub async fn records(&self, indexes: &[u64]) -> Result<Vec<LogRecord>, ReadError> {
        read_rows(self.backend(), indexes).await
    }

    /// The records filed under a name, ascending, from index `from` on, at most `limit` and fewer where they are large; none
    /// only if there are none.
    ///
    /// ```
    /// # async fn example(log: &jit_store::Log, grant: jit_core::GrantId) -> Result<(), jit_store::ReadError> {
    /// use jit_core::{Lookup, LookupFamily};
    ///
    /// let found = log.find(&Lookup::new(LookupFamily::Grant, grant), 0, 10).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find(&self, lookup: &Lookup, from: u64, limit: usize) -> Result<Vec<LogRecord>, ReadError> {
        let key = self.context().projector.lookup(lookup);
        self.backend().lookup(key, from, limit).await?.into_iter().map(read_row).collect()
    }

    /// The records after a position, at most `limit` and fewer where they are large. Empty only at the end.
    ///
    /// A record is there exactly once and after all that were appended before it, so a reader that keeps
    /// [`Changes::next`] misses none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(&self, after: Cursor, limit: usize) -> Result<Changes, ReadError> {
        let size = self.size().await?;
        let end = after.0.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX)).min(size);
        let mut next = after;
        let mut records = Vec::new();
        if next.0 < end {
            for row in self.backend().rows(next.0..end).await? {
                if row.index != next.0 {
                    return Err(ReadError::missing(format!("record {}", next.0)));
                }
                next = Cursor::after(row.index);
                records.push(read_row(row)?);
            }
            if records.is_empty() {
                return Err(ReadError::missing(format!("record {}", next.0)));
            }
        }
        Ok(Changes { records, next })
    }

    /// The proof that the record at `index` is in the tree of the first `size` records.
    ///
    /// # Errors
    /// [`ReadError::Proof`] if there is no such tree or record.
    pub async fn prove(&self, index: u64, size: u64) -> Result<InclusionProof, ReadError> {
        tree::inclusion(self.backend(), index, size).await
    }

    /// The proof that the tree of the first `new` records extends that of the first `old` ones.
    ///
    /// # Errors
    /// [`ReadError::Proof`] if there are no such trees; `old` is not 0.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof, ReadError> {
        tree::consistency(self.backend(), old, new).await
    }

    /// A blob that was kept with some append, a policy snapshot for example. Whoever reads it checks
    /// that it is what its key names.
    ///
    /// # Errors
    /// [`ReadError::Backend`].
    pub async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.backend().blob(key).await?)
    }
}

/// Records by index, in the order given.
pub(crate) async fn read_rows(backend: &dyn Backend, indexes: &[u64]) -> Result<Vec<LogRecord>, ReadError> {
    let mut records = Vec::with_capacity(indexes.len());
    for index in indexes {
        let row = backend.rows(*index..index.saturating_add(1)).await?.into_iter().next();
        let row = row.filter(|row| row.index == *index);
        records.push(read_row(row.ok_or_else(|| ReadError::missing(format!("record {index}")))?)?);
    }
    Ok(records)
}

/// Makes a record of a row whose bytes are what its leaf says.
pub(crate) fn read_row(row: Row) -> Result<LogRecord, ReadError> {
    let Row { index, leaf, header, payload, .. } = row;
    let record = Record::parse(header, payload.as_deref()).map_err(|source| ReadError::Record { index, source })?;
    if record.leaf().to_hash() != leaf.into() {
        return Err(ReadError::Leaf { index, id: record.header().id });
    }
    Ok(LogRecord { index, record })
}
