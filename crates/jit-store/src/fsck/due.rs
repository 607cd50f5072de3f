//! Due work: what the records leave to be done, against what is stored.

use std::collections::BTreeMap;

use jit_core::StreamId;

use super::FsckError;
use super::damage::Damage;
use super::examined::Examined;
use super::feed::Feed;
use super::report::FsckReport;
use super::unclear::Unclear;
use crate::backend::{Backend, BackendError};
use crate::prepared::stream_key;
use crate::projection::read_due;
use crate::row::{DueKey, DueRow};

/// Rows read at a time.
const PAGE: usize = 1024;
/// So many stored rows that differ are named or found to be new; those beyond are counted.
const MOST_STRANGE: usize = 1 << 20;

/// The work that the records seen so far leave to be done. Its size is that of the open work.
#[derive(Default)]
pub(super) struct Due {
    open: BTreeMap<DueKey, DueRow>,
}

impl Due {
    pub(super) fn take(&mut self, record: &Examined) {
        for (key, row) in &record.projection.due {
            match row {
                Some(row) => self.open.insert(*key, row.clone()),
                None => self.open.remove(key),
            };
        }
    }

    /// Compares with what is stored. Work that was touched by others meanwhile is left to the next verification.
    pub(super) async fn compare(
        self,
        backend: &dyn Backend,
        mut feed: Feed<'_>,
        unclear: &Unclear,
        report: &mut FsckReport,
    ) -> Result<u64, FsckError> {
        let (mut missing, mut strange) = (self.open, BTreeMap::new());
        let (mut after, mut done, mut more) = (None, 0_u64, 0_u64);
        loop {
            let page = backend.due(after, i64::MAX, PAGE).await?;
            let Some(last) = page.last().map(|row| (row.at_us, row.key)) else { break };
            if after.is_some_and(|after| after >= last) {
                return Err(unordered().into());
            }
            after = Some(last);
            done = done.saturating_add(page.len() as u64);
            for row in page {
                if missing.get(&row.key) == Some(&row) {
                    missing.remove(&row.key);
                } else if strange.len() < MOST_STRANGE {
                    strange.insert(row.key, row);
                } else {
                    more = more.saturating_add(1);
                }
            }
        }
        feed.extend().await?;
        while let Some(page) = feed.next().await? {
            for (key, _) in page.iter().flat_map(|record| &record.projection.due) {
                missing.remove(key);
                strange.remove(key);
            }
        }
        let is_clear = |row: &DueRow| stream(row).is_none_or(|stream| !unclear.has_work_of(&stream_key(&stream)));
        for (key, row) in strange {
            let wanted = missing.remove(&key);
            if wanted.as_ref().is_none_or(is_clear) && is_clear(&row) {
                report.add(if wanted.is_some() { Damage::EditedDue { key } } else { Damage::UnknownDue { key } });
            }
        }
        for (key, _) in missing.into_iter().filter(|(_, row)| is_clear(row)) {
            report.add(Damage::MissingDue { key });
        }
        report.more = report.more.saturating_add(more);
        Ok(done)
    }
}

fn stream(row: &DueRow) -> Option<StreamId> {
    read_due(row).ok().map(|(id, _)| id.stream)
}

pub(super) fn unordered() -> BackendError {
    BackendError::Corrupt { what: "a scan does not ascend".to_owned() }
}
