//! Due work: what the records leave to be done, against what is stored.

use std::collections::{BTreeMap, BTreeSet};

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
/// How often a difference is looked at again while others write.
const LOOKS: usize = 8;

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

    /// Compares with what is stored, while others write.
    pub(super) async fn compare(
        mut self,
        backend: &dyn Backend,
        mut feed: Feed<'_>,
        unclear: &Unclear,
        report: &mut FsckReport,
    ) -> Result<u64, FsckError> {
        let (mut missing, mut strange) = (self.open.clone(), Vec::new());
        let (mut after, mut done) = (None, 0_u64);
        loop {
            let page = backend.due(after, i64::MAX, PAGE).await?;
            let Some(last) = page.last().map(|row| (row.at_us, row.key)) else { break };
            if after.is_some_and(|after| after >= last) {
                return Err(unordered().into());
            }
            after = Some(last);
            done = done.saturating_add(page.len() as u64);
            for row in page {
                match missing.get(&row.key) {
                    Some(expected) if *expected == row => {
                        missing.remove(&row.key);
                    }
                    // What others do meanwhile may look like this; so many at once are no race.
                    _ if strange.len() < PAGE.saturating_mul(64) => strange.push(row),
                    _ => report.add(Damage::UnknownDue { key: row.key }),
                }
            }
        }
        let mut changed = BTreeSet::new();
        for row in strange {
            if self.differs(backend, &mut feed, &row, unclear).await? {
                changed.insert(row.key);
                let key = row.key;
                let wanted = self.open.contains_key(&key);
                report.add(if wanted { Damage::EditedDue { key } } else { Damage::UnknownDue { key } });
            }
        }
        for (key, row) in missing {
            if report.is_full() {
                report.more = report.more.saturating_add(1);
            } else if !changed.contains(&key) && self.differs(backend, &mut feed, &row, unclear).await? {
                report.add(Damage::MissingDue { key });
            }
        }
        Ok(done)
    }

    /// Whether, at one moment, the place of `row` holds something else than the records give.
    async fn differs(
        &mut self,
        backend: &dyn Backend,
        feed: &mut Feed<'_>,
        row: &DueRow,
        unclear: &Unclear,
    ) -> Result<bool, FsckError> {
        if stream(row).is_some_and(|stream| unclear.has_work_of(&stream_key(&stream))) {
            return Ok(false);
        }
        self.follow(feed).await?;
        for _ in 0..LOOKS {
            let before = self.open.get(&row.key).cloned();
            let stored = backend.due(Some(before_place(row)), row.at_us.saturating_add(1), 1).await?;
            let stored = stored.into_iter().find(|found| found.key == row.key);
            self.follow(feed).await?;
            // If the records say the same before and after the look, they said so at the moment of the look.
            if self.open.get(&row.key) == before.as_ref() {
                let here = before.filter(|expected| expected.at_us == row.at_us);
                return Ok(stored != here);
            }
        }
        Ok(false)
    }

    async fn follow(&mut self, feed: &mut Feed<'_>) -> Result<(), FsckError> {
        while let Some(page) = feed.next().await? {
            for record in &page {
                self.take(record);
            }
        }
        Ok(())
    }
}

fn stream(row: &DueRow) -> Option<StreamId> {
    read_due(row).ok().map(|(id, _)| id.stream)
}

/// The place just before a row, after which a read begins with it.
fn before_place(row: &DueRow) -> (i64, DueKey) {
    let mut key = *row.key.as_bytes();
    for byte in key.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            return (row.at_us, DueKey::from_bytes(key));
        }
    }
    (row.at_us.saturating_sub(1), DueKey::from_bytes(key))
}

pub(super) fn unordered() -> BackendError {
    BackendError::Corrupt { what: "a scan does not ascend".to_owned() }
}
