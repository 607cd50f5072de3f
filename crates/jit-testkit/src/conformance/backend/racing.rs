//! Many tasks at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jit_core::Entropy;
use jit_store::{Backend, Begin, StreamState};
use tokio::task::{JoinSet, yield_now};

use super::{
    super::polls::give_up,
    Subject,
    locking::write_in_time,
    model::{LONG, Model, ask, checkpoint, hash, head, lease_key, row, stream},
    pages,
};
use crate::SeededEntropy;

/// Counts whoever is between `begin` and `commit`.
struct Alone<'a>(&'a AtomicUsize);

impl<'a> Alone<'a> {
    fn new(writers: &'a AtomicUsize) -> Self {
        assert_eq!(writers.fetch_add(1, Ordering::SeqCst), 0, "two transactions at once");
        Self(writers)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Commits one record to a stream, from what is found under the lock alone.
async fn append(backend: &dyn Backend, number: u8, knows: u64, writers: &AtomicUsize) -> u64 {
    let want = Begin { streams: vec![stream(number)], leaves_from: knows, ..Begin::default() };
    let transaction = backend.begin(want).await.unwrap();
    let alone = Alone::new(writers);
    let locked = transaction.locked().clone();
    let size = locked.head.size;
    assert_eq!(locked.head, head(size), "the head under the lock");
    let leaves: Vec<_> = (knows..size).map(|index| hash(b'l', index)).collect();
    assert_eq!(locked.leaves, leaves, "the leaves that others wrote");
    let n = locked.streams[0].map_or(0, |state| state.next);
    let row = row(size, number, n);
    let mut batch = Model::default().next(&[number]);
    batch.head = head(size + 1);
    batch.projections.streams = vec![(row.stream, StreamState { next: n + 1, leaf: row.leaf, closed: false })];
    batch.rows = vec![row];
    yield_now().await;
    drop(alone);
    transaction.commit(batch).await.unwrap();
    size
}

/// What a log must hold that has these rows.
fn follow(backend_rows: &[jit_store::Row]) -> Model {
    let mut model = Model::default();
    for row in backend_rows {
        let n = model.streams.get(&row.stream).map_or(0, |state| state.next);
        assert_eq!((row.index, row.n), (model.size(), n), "records are dense in the log and in their stream");
        model.streams.insert(row.stream, StreamState { next: n + 1, leaf: row.leaf, closed: false });
        model.rows.push(row.clone());
    }
    model
}

pub(super) async fn many_writers_leave_no_gap(subject: Subject) {
    const TASKS: u8 = 16;
    const EACH: u64 = 6;
    let (backend, _) = subject.created().await;
    let writers = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (backend, writers) = (subject.handle(task.into()), Arc::clone(&writers));
        tasks.spawn(async move {
            let mut indexes: Vec<u64> = Vec::new();
            for _ in 0..EACH {
                let knows = indexes.last().map_or(0, |index| index + 1);
                // Two tasks share a stream.
                let index = append(&*backend, task / 2 + 10, knows, &writers).await;
                assert!(backend.head().await.unwrap().size > index, "a commit that answered is not seen");
                indexes.push(index);
            }
            indexes
        });
    }
    let mut indexes: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
    indexes.sort_unstable();
    let size = 1 + u64::from(TASKS) * EACH;
    assert!(indexes.into_iter().eq(1..size), "every index once");
    let model = follow(&pages::rows(&*backend, 0..u64::MAX).await);
    assert_eq!(model.size(), size);
    model.check(&*backend).await;
}

pub(super) async fn many_tasks_give_up_at_any_time(subject: Subject) {
    const TASKS: u8 = 12;
    const ROUNDS: u8 = 12;
    let (backend, _) = subject.created().await;
    let writers = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (backend, writers) = (subject.handle(task.into()), Arc::clone(&writers));
        tasks.spawn(async move {
            let seed = SeededEntropy::new(task.into());
            let mut written = Vec::new();
            for round in 0..ROUNDS {
                let mut random = [0; 2];
                seed.fill(&mut random).unwrap();
                let (what, polls) = (random[0] % 8, usize::from(random[1] % 24) + 1);
                let appending = append(&*backend, task + 10, 0, &writers);
                match what {
                    0 | 1 => written.push(appending.await),
                    2 | 3 => written.extend(give_up(polls, Duration::ZERO, appending).await),
                    4 => drop(give_up(polls, Duration::ZERO, backend.begin(Begin::default())).await),
                    5 => drop(give_up(polls, Duration::ZERO, backend.rebuild()).await),
                    6 => {
                        let lease = backend.lease(lease_key(round), ask(task, LONG));
                        drop(give_up(polls, Duration::ZERO, lease).await);
                    }
                    _ => {
                        let saved = backend.save_checkpoint(None, checkpoint(1));
                        drop(give_up(polls, Duration::ZERO, saved).await);
                    }
                }
            }
            written.into_iter().map(|index| (index, stream(task + 10))).collect::<Vec<_>>()
        });
    }
    let written: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    // Whatever was given up is over when the lock is free.
    drop(backend.begin(Begin::default()).await.unwrap());
    let mut model = follow(&pages::rows(&*backend, 0..u64::MAX).await);
    for (index, stream) in written {
        let row = model.rows.iter().find(|row| row.index == index);
        assert_eq!(row.map(|row| row.stream), Some(stream), "record {index}, whose commit answered");
    }
    model.check(&*subject.other()).await;
    write_in_time(&*backend, &mut model).await;
}
