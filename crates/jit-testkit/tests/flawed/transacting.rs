//! Mistakes around the log's lock.

use std::mem;

use async_trait::async_trait;
use jit_store::{
    Backend, BackendError, Batch, Begin, Head, Incarnation, Locked, MemoryBackend, Projections, Rebuild, RecordKey,
    Transaction, TreeRead,
};
use tokio::{sync::oneshot, task::yield_now};

use super::{Flaw, Flawed};

/// The first row, and the others with all that comes with them.
pub(super) fn in_two(batch: Batch) -> (Batch, Batch) {
    let mut one = Batch { projections: Projections::default(), blobs: vec![], tiles: vec![], ..batch.clone() };
    let mut rest = batch;
    rest.rows = one.rows.split_off(1);
    one.head.size = one.rows[0].index + 1;
    (one, rest)
}

pub(super) async fn begin(backend: &Flawed, mut want: Begin) -> Result<Box<dyn Transaction>, BackendError> {
    let asked = want.clone();
    match backend.flaw {
        Flaw::StreamsInKeyOrder => want.streams.sort_unstable(),
        Flaw::RecordsAskedOnce => want.records.dedup(),
        Flaw::IgnoresLeavesFrom => want.leaves_from = 0,
        _ => {}
    }
    if backend.has(Flaw::RecordsAskedOnce) {
        let mut seen = Vec::new();
        want.records.retain(|record| {
            !seen.contains(record) && {
                seen.push(*record);
                true
            }
        });
    }
    let early = match backend.flaw {
        Flaw::ReadsBeforeLocking => {
            let mut states = Vec::new();
            for key in &asked.streams {
                states.push(backend.inner.stream_head(*key).await?);
            }
            Some(states)
        }
        _ => None,
    };
    let inner = if backend.has(Flaw::LeaksLockWhenGivenUp) {
        let (answer, waiting) = oneshot::channel();
        let inner = backend.inner.clone();
        tokio::spawn(async move {
            let begun = inner.begin(want).await;
            // Nobody waits any more, and nobody gives it back.
            if let Err(Ok(begun)) = answer.send(begun) {
                mem::forget(begun);
            }
        });
        waiting.await.expect("the task answers")?
    } else {
        backend.inner.begin(want).await?
    };
    let mut locked = inner.locked().clone();
    if let Some(early) = early {
        locked.streams = early;
    }
    if backend.has(Flaw::AllLeaves) {
        let leaves = std::iter::once(asked.leaves_from..u64::MAX).collect();
        locked.leaves = backend.inner.tree(TreeRead { leaves, ..TreeRead::default() }).await?.leaves.remove(0);
    }
    if backend.has(Flaw::NewIncarnationEachTime) {
        let mut seen = backend.seen();
        seen.incarnations = seen.incarnations.wrapping_add(1);
        locked.incarnation = Incarnation::from_bytes([seen.incarnations; 16]);
    }
    let inner = (!backend.has(Flaw::NoLock)).then_some(inner);
    Ok(Box::new(FlawedTransaction { backend: backend.clone(), inner, locked }))
}

#[derive(Debug)]
struct FlawedTransaction {
    backend: Flawed,
    /// `None` if it let go of the lock.
    inner: Option<Box<dyn Transaction>>,
    locked: Locked,
}

impl Drop for FlawedTransaction {
    fn drop(&mut self) {
        if self.backend.has(Flaw::LeaksLockWhenDropped) {
            mem::forget(self.inner.take());
        }
    }
}

#[async_trait]
impl Transaction for FlawedTransaction {
    fn locked(&self) -> &Locked {
        &self.locked
    }

    async fn commit(mut self: Box<Self>, mut batch: Batch) -> Result<(), BackendError> {
        let inner = match self.inner.take() {
            Some(inner) => inner,
            None => self.backend.inner.begin(Begin::default()).await?,
        };
        let size = self.locked.head.size;
        match self.backend.flaw {
            Flaw::NoLock | Flaw::AcceptsGaps => {
                let size = inner.locked().head.size;
                for (index, row) in (size..).zip(&mut batch.rows) {
                    row.index = index;
                }
                batch.head.size = size + batch.rows.len() as u64;
            }
            Flaw::AcceptsKnownRecords => {
                for (row, number) in batch.rows.iter_mut().zip(0_u64..) {
                    row.record = RecordKey::from_bytes((u128::from(size + number) << 8 | 0xab).to_be_bytes());
                }
            }
            Flaw::AcceptsAnyHead => batch.head.size = size + batch.rows.len() as u64,
            Flaw::DropsEmptyPayloads => {
                batch
                    .rows
                    .iter_mut()
                    .for_each(|row| row.payload = row.payload.take().filter(|bytes| !bytes.is_empty()));
            }
            Flaw::CutsHeaders => batch.rows.iter_mut().for_each(|row| row.header.truncate(32_767)),
            Flaw::LosesStreamHead if batch.projections.streams.len() > 1 => drop(batch.projections.streams.pop()),
            Flaw::ReopensStreams => {
                batch.projections.streams.iter_mut().for_each(|(_, state)| state.closed = false);
            }
            Flaw::ReplacesBlobs => self.backend.seen().blobs.extend(batch.blobs.clone()),
            Flaw::KeepsFirstDue => {
                let there = self.backend.inner.due(None, i64::MAX, usize::MAX).await?;
                batch.projections.due.retain(|row| !there.iter().any(|there| there.key == row.key));
            }
            Flaw::KeepsDone => batch.projections.due_done.clear(),
            Flaw::CommitsInTwo if batch.rows.len() > 1 => {
                let (one, rest) = in_two(batch);
                inner.commit(one).await?;
                yield_now().await;
                return self.backend.inner.begin(Begin::default()).await?.commit(rest).await;
            }
            Flaw::RefusesLargeBatches if batch.rows.len() > 4096 => {
                return Err(BackendError::Refused { source: "too many parameters".into() });
            }
            _ => {}
        }
        let blobs = batch.blobs.clone();
        let head = inner.locked().head.clone();
        let refused = match inner.commit(batch).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match self.backend.flaw {
            Flaw::WritesHalfOfRefused => {
                let half = Batch { head, rows: vec![], tiles: vec![], projections: Projections::default(), blobs };
                self.backend.inner.begin(Begin::default()).await?.commit(half).await?;
            }
            Flaw::LeaksLockWhenRefused => mem::forget(self.backend.inner.begin(Begin::default()).await?),
            _ => {}
        }
        Err(refused)
    }
}

pub(super) async fn rebuild(backend: &Flawed) -> Result<Box<dyn Rebuild>, BackendError> {
    let mut inner = backend.inner.rebuild().await?;
    if backend.has(Flaw::RebuildKeepsOld) {
        let lookups = backend.inner.scan_lookups(None, usize::MAX).await?;
        inner.add(Projections { lookups, ..Projections::default() }).await?;
    }
    let head = inner.head().clone();
    let inner = (!backend.has(Flaw::RebuildWithoutLock)).then_some(inner);
    Ok(Box::new(FlawedRebuild { backend: backend.inner.clone(), flaw: backend.flaw, inner, head, added: Vec::new() }))
}

#[derive(Debug)]
struct FlawedRebuild {
    backend: MemoryBackend,
    flaw: Flaw,
    /// `None` if it let go of the lock.
    inner: Option<Box<dyn Rebuild>>,
    head: Head,
    added: Vec<Projections>,
}

impl FlawedRebuild {
    async fn write(&mut self) -> Result<(), BackendError> {
        let mut inner = match self.inner.take() {
            Some(inner) => inner,
            None => self.backend.rebuild().await?,
        };
        if self.flaw == Flaw::RebuildInTwo {
            for Projections { streams, .. } in self.added.clone() {
                inner.add(Projections { streams, ..Projections::default() }).await?;
            }
            inner.commit().await?;
            yield_now().await;
            inner = self.backend.rebuild().await?;
        }
        for projections in self.added.clone() {
            inner.add(projections).await?;
        }
        inner.commit().await
    }
}

impl Drop for FlawedRebuild {
    fn drop(&mut self) {
        if self.flaw == Flaw::RebuildCommitsWhenDropped
            && let Some(mut inner) = self.inner.take()
        {
            let added = mem::take(&mut self.added);
            tokio::spawn(async move {
                for projections in added {
                    inner.add(projections).await?;
                }
                inner.commit().await
            });
        }
    }
}

#[async_trait]
impl Rebuild for FlawedRebuild {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn add(&mut self, projections: Projections) -> Result<(), BackendError> {
        if self.flaw == Flaw::RebuildForgetsFirst {
            self.added.clear();
        }
        self.added.push(projections);
        if self.flaw == Flaw::RebuildSeenEarly {
            self.write().await?;
            self.inner = Some(self.backend.rebuild().await?);
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BackendError> {
        self.write().await
    }
}
