//! Records read in order: those of the log as it was when the verification began, and those that came after.

use std::sync::Arc;

use jit_core::LogOrigin;
use tokio::task::JoinHandle;

use super::FsckError;
use super::examined::Examined;
use crate::backend::{Backend, BackendError};
use crate::projection::Projector;
use crate::row::Row;

/// Rows asked for at a time.
const PAGE: u64 = 1024;

/// Reads records in order, and examines them on other threads while it reads on and while those before are judged.
pub(super) struct Feed<'a> {
    backend: &'a dyn Backend,
    examiner: Arc<Examiner>,
    next: u64,
    end: u64,
    /// The page that is returned next.
    examining: Vec<JoinHandle<Vec<Examined>>>,
}

/// What is needed to read a record by itself.
pub(super) struct Examiner {
    pub(super) origin: LogOrigin,
    pub(super) projector: Projector,
}

impl<'a> Feed<'a> {
    /// Records from `next` to `end`.
    pub(super) fn up_to(backend: &'a dyn Backend, examiner: Arc<Examiner>, next: u64, end: u64) -> Self {
        Self { backend, examiner, next, end, examining: Vec::new() }
    }

    /// Goes on to where the head is now. Others may write faster than this reads, so it does not follow them further.
    pub(super) async fn extend(&mut self) -> Result<(), FsckError> {
        self.end = self.end.max(self.backend.head().await?.size);
        Ok(())
    }

    /// The next records; indexes may be missing. `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Examined>>, FsckError> {
        if self.examining.is_empty() {
            let rows = read(self.backend, self.next, self.end).await?;
            self.start(rows);
        }
        if self.examining.is_empty() {
            return Ok(None);
        }
        let ahead = read(self.backend, self.next, self.end).await?;
        let mut examined = Vec::new();
        for part in std::mem::take(&mut self.examining) {
            examined.extend(part.await.map_err(|_| FsckError::Interrupted)?);
        }
        self.start(ahead);
        Ok(Some(examined))
    }

    fn start(&mut self, rows: Vec<Row>) {
        if let Some(last) = rows.last() {
            self.next = last.index.saturating_add(1);
            self.examining = self.examine(rows);
        }
    }

    fn examine(&self, rows: Vec<Row>) -> Vec<JoinHandle<Vec<Examined>>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = rows.len().div_ceil(threads).max(64);
        let mut rows = rows.into_iter();
        let mut parts = Vec::with_capacity(threads);
        loop {
            let part: Vec<Row> = rows.by_ref().take(share).collect();
            if part.is_empty() {
                return parts;
            }
            let examiner = Arc::clone(&self.examiner);
            parts.push(tokio::task::spawn_blocking(move || {
                part.into_iter().map(|row| Examined::new(row, &examiner.origin, &examiner.projector)).collect()
            }));
        }
    }
}

async fn read(backend: &dyn Backend, next: u64, end: u64) -> Result<Vec<Row>, BackendError> {
    if next >= end {
        return Ok(Vec::new());
    }
    let mut rows = backend.rows(next..end.min(next.saturating_add(PAGE))).await?;
    if rows.is_empty() {
        // A hole may be wider than a page.
        rows = backend.rows(next..end).await?;
        rows.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    }
    let mut expected = next;
    rows.retain(|row| {
        let fits = (expected..end).contains(&row.index);
        if fits {
            expected = row.index.saturating_add(1);
        }
        fits
    });
    Ok(rows)
}
