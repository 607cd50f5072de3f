//! The projections written anew from the records, after they were lost or damaged.

use std::collections::BTreeMap;

use jit_core::{IndexKey, canonical};
use jit_log::{Frontier, Hash};

use crate::backend::{Backend, BackendError};
use crate::error::ReadError;
use crate::log::Log;
use crate::opening::LogMeta;
use crate::prepared::stream_key;
use crate::projection::{IndexedProjection, Projector};
use crate::reading::read_row;
use crate::row::{DueKey, DueRow, Projections, StreamKey, StreamState};

/// Records read, and projections written, at a time.
const PAGE: u64 = 1024;

/// What a rebuild wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many records it read.
    pub records: u64,
    /// How many look-up entries it wrote.
    pub lookups: u64,
}

/// Projections were not rebuilt; those that were there still are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// No log was created in this database.
    #[error("no log was created in this database")]
    NotCreated,
    /// The settings beside the log cannot be read.
    #[error("the log is stored in a format this version does not know")]
    UnknownFormat,
    /// The index key is not the one the log was created with: nothing would be found.
    #[error("the index key is not the one this log was created with")]
    OtherIndexKey,
    /// The records themselves are damaged or could not be read. Projections do not mend that.
    #[error("the records cannot be read")]
    Read(#[from] ReadError),
    /// The database did not answer, or refused.
    #[error("the projections could not be written")]
    Backend(#[source] BackendError),
}

impl From<BackendError> for RebuildError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotCreated => Self::NotCreated,
            other => Self::Backend(other),
        }
    }
}

/// Replaces everything that is derived from records: stream heads, look-up entries, due work. It holds the log's lock from
/// beginning to end, so appends wait or time out; readers see what was there before until it is done.
///
/// The records must have the root of the head; which of them are damaged, `fsck` says. `progress` is told how
/// many of how many records are done. Dropping the future leaves what was there.
///
/// # Errors
/// [`RebuildError`]; nothing was replaced then, unless the outcome of the commit is unknown.
pub async fn rebuild_projections(
    backend: &dyn Backend,
    index_key: IndexKey,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Rebuilt, RebuildError> {
    let projector = Projector::new(index_key);
    let meta = backend.meta().await?.ok_or(RebuildError::NotCreated)?;
    let stored: LogMeta = canonical::from_slice(&meta).map_err(|_| RebuildError::UnknownFormat)?;
    if stored != LogMeta::new(&stored.origin, &projector) {
        return Err(RebuildError::OtherIndexKey);
    }
    let mut rebuild = backend.rebuild().await?;
    let head = rebuild.head().clone();
    let (mut tree, mut rebuilt) = (Frontier::new(), Rebuilt::default());
    while tree.size() < head.size {
        let next = tree.size();
        let rows = backend.rows(next..head.size.min(next.saturating_add(PAGE))).await?;
        if rows.is_empty() {
            return Err(ReadError::missing(format!("record {next}")).into());
        }
        let mut page = Page::default();
        for row in rows {
            let index = row.index;
            if index != tree.size() {
                return Err(ReadError::missing(format!("record {}", tree.size())).into());
            }
            let read = read_row(row)?;
            let (header, leaf) = (read.record().header(), read.record().leaf().to_hash());
            tree.push(leaf).map_err(ReadError::from)?;
            let closed = header.kind.closes_stream();
            let state = StreamState { next: header.n.saturating_add(1), leaf: leaf.into(), closed };
            page.streams.insert(stream_key(&header.stream), state);
            page.add(index, projector.project(read.record()));
        }
        rebuilt.lookups = rebuilt.lookups.saturating_add(page.projections.lookups.len() as u64);
        rebuild.add(page.finish()).await?;
        rebuilt.records = tree.size();
        progress(tree.size(), head.size);
    }
    if tree.root() != Hash::from(head.root) {
        return Err(ReadError::corrupt("the records do not have the root in the head").into());
    }
    rebuild.commit().await?;
    Ok(rebuilt)
}

/// The projections of some records that follow each other.
#[derive(Default)]
struct Page {
    streams: BTreeMap<StreamKey, StreamState>,
    due: BTreeMap<DueKey, Option<DueRow>>,
    projections: Projections,
}

impl Page {
    fn add(&mut self, index: u64, projection: IndexedProjection) {
        self.projections.lookups.extend(projection.lookups.into_iter().map(|key| (key, index)));
        self.due.extend(projection.due);
    }

    fn finish(self) -> Projections {
        let Self { streams, due, mut projections } = self;
        projections.streams = streams.into_iter().collect();
        for (key, row) in due {
            match row {
                Some(row) => projections.due.push(row),
                None => projections.due_done.push(key),
            }
        }
        projections
    }
}

impl Log {
    /// Replaces everything that is derived from this log's records; see [`rebuild_projections`].
    ///
    /// # Errors
    /// As [`rebuild_projections`].
    pub async fn rebuild_projections(
        &self,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Rebuilt, RebuildError> {
        rebuild_projections(self.backend(), self.index_key().clone(), progress).await
    }
}
