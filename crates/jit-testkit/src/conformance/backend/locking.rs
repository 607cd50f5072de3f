//! The log's lock, and what is handed out with it.

use std::{sync::Arc, time::Duration};

use jit_store::{Backend, Begin, Known};
use tokio::time::sleep;

use super::{
    Subject,
    model::{Model, all_leaves, blob, hash, is_corrupt, look_up, record, stream},
    pages,
};

/// Long enough for whoever does not wait for the lock to get past it.
pub(super) const A_WHILE: Duration = Duration::from_millis(150);

pub(super) async fn a_transaction_excludes_others(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    for other in [subject.backend(), subject.other()] {
        let first = backend.begin(Begin::default()).await.unwrap();
        let second = tokio::spawn(async move {
            let want = Begin { streams: vec![stream(1)], ..Begin::default() };
            other.begin(want).await.unwrap().locked().clone()
        });
        sleep(A_WHILE).await;
        assert!(!second.is_finished(), "a second transaction began beside the first");
        let batch = model.next(&[1]);
        first.commit(batch.clone()).await.unwrap();
        model.apply(&batch);
        let second = second.await.unwrap();
        assert_eq!(second.head.size, model.size(), "whoever waited sees what was written meanwhile");
        assert_eq!(second.streams, [model.streams.get(&stream(1)).copied()], "the stream as it is under the lock");
        assert_eq!(second.leaves.len() as u64, model.size(), "the leaves as they are under the lock");
    }
}

pub(super) async fn a_dropped_transaction_writes_nothing_and_frees_the_lock(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    for _ in 0..20 {
        drop(backend.begin(Begin::default()).await.unwrap());
        drop(subject.other().begin(Begin::default()).await.unwrap());
    }
    model.check(&*backend).await;
    model.write(&*subject.other(), &[1]).await;
    model.check(&*backend).await;
}

pub(super) async fn a_refused_commit_frees_the_lock(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut beyond = model.clone();
    beyond.apply(&model.next(&[1]));
    for _ in 0..5 {
        let transaction = backend.begin(Begin::default()).await.unwrap();
        let refused = transaction.commit(beyond.next(&[1])).await;
        assert!(is_corrupt(&refused), "commit answers {refused:?}");
    }
    model.write(&*subject.other(), &[1]).await;
    model.write(&*backend, &[1]).await;
    model.check(&*backend).await;
}

pub(super) async fn giving_up_waiting_takes_no_lock(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let first = backend.begin(Begin::default()).await.unwrap();
    for number in 0..6 {
        let waiting = subject.handle(number);
        let gave_up = tokio::time::timeout(A_WHILE / 3, waiting.begin(Begin::default())).await;
        assert!(gave_up.is_err(), "a second transaction began beside the first");
        let rebuilding = tokio::time::timeout(A_WHILE / 3, waiting.rebuild()).await;
        assert!(rebuilding.is_err(), "a rebuild began beside a transaction");
    }
    let batch = model.next(&[1]);
    first.commit(batch.clone()).await.unwrap();
    model.apply(&batch);
    model.write(&*subject.other(), &[1]).await;
    model.write(&*backend, &[1]).await;
}

pub(super) async fn reads_do_not_wait_for_a_transaction(subject: Subject) {
    let (_, model) = subject.created().await;
    let transaction = subject.backend().begin(Begin::default()).await.unwrap();
    for backend in [subject.backend(), subject.other()] {
        model.check(&*backend).await;
        assert_eq!(pages::lookup(&*backend, look_up(1), 0, 9).await, [0; 0]);
        assert_eq!(pages::due(&*backend, i64::MAX, 9).await, []);
        assert_eq!(pages::scan_lookups(&*backend, 9).await, []);
        assert_eq!(backend.blob(blob(1)).await.unwrap(), None);
        assert_eq!(backend.checkpoint(None).await.unwrap(), None);
        assert!(backend.meta().await.unwrap().is_some());
        let read = all_leaves(0..9);
        assert_eq!(backend.tree(read).await.unwrap().leaves, [[hash(b'l', 0)]]);
    }
    assert_eq!(transaction.locked().head.size, 1);
}

pub(super) async fn begin_answers_in_the_order_asked(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[2, 3, 2]).await;
    let asked = [9, 3, 1, 2, 3, 0xff, 2, 9];
    let ids = [3, 99, 0, 0, 2, 1, 98, 3];
    let want =
        Begin { streams: asked.map(stream).to_vec(), records: ids.map(record).to_vec(), leaves_from: model.size() };
    let transaction = subject.other().begin(want).await.unwrap();
    let locked = transaction.locked();
    let states = asked.map(|number| model.streams.get(&stream(number)).copied());
    assert_eq!(locked.streams, states, "an answer for each stream asked for");
    let known = ids.map(|index| (index < 4).then(|| Known { index, leaf: hash(b'l', index) }));
    assert_eq!(locked.known, known, "an answer for each record asked for");
    assert_eq!(locked.leaves, [], "no new leaves");
    drop(transaction);
    let many = Begin {
        streams: (0..=255).cycle().take(1000).map(stream).collect(),
        records: (0..1000).map(record).collect(),
        leaves_from: 0,
    };
    let transaction = backend.begin(many.clone()).await.unwrap();
    let states: Vec<_> = many.streams.iter().map(|key| model.streams.get(key).copied()).collect();
    assert_eq!(transaction.locked().streams, states, "an answer for each of 1,000 streams");
    let found: Vec<_> = transaction.locked().known.iter().map(|known| known.map(|known| known.index)).collect();
    assert_eq!(found[..4], [Some(0), Some(1), Some(2), Some(3)], "the records that are there");
    assert_eq!(found[4..], [None; 996], "the records that are not there");
    drop(transaction);
    let transaction = backend.begin(Begin { leaves_from: 9, ..Begin::default() }).await.unwrap();
    let locked = transaction.locked();
    assert!(locked.streams.is_empty() && locked.known.is_empty(), "nothing was asked for");
}

pub(super) async fn begin_hands_out_new_leaves(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[2, 3, 2]).await;
    for from in [0, 1, 2, 3, 4, 5, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX] {
        let want = Begin { leaves_from: from, ..Begin::default() };
        let transaction = subject.other().begin(want).await.unwrap();
        let leaves: Vec<_> = (from..4).map(|index| hash(b'l', index)).collect();
        assert_eq!(transaction.locked().leaves, leaves, "leaves from {from} on");
        assert_eq!(transaction.locked().head, super::model::head(4));
    }
}

pub(super) async fn begin_hands_out_at_most_so_many_leaves(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let max = Begin::MAX_LEAVES;
    model.write(&*backend, &vec![1; max]).await;
    for (from, expected) in [(0, 0), (1, max), (2, max - 1), (max as u64, 1)] {
        let want = Begin { leaves_from: from, ..Begin::default() };
        let transaction = backend.begin(want).await.unwrap();
        assert_eq!(transaction.locked().leaves.len(), expected, "leaves from {from} of {}", model.size());
        let leaves: Vec<_> = (from..).map(|index| hash(b'l', index)).take(expected).collect();
        assert!(transaction.locked().leaves == leaves, "leaves from {from} in order");
    }
}

pub(super) async fn the_incarnation_stays(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let first = incarnation(&backend).await;
    for _ in 0..3 {
        model.write(&*backend, &[1]).await;
        assert_eq!(incarnation(&backend).await, first, "nothing happened to the database between two commits");
    }
}

async fn incarnation(backend: &Arc<dyn Backend>) -> jit_store::Incarnation {
    backend.begin(Begin::default()).await.unwrap().locked().incarnation
}

/// Commits what follows `model`, and says so if the lock is not free.
pub(super) async fn write_in_time(backend: &dyn Backend, model: &mut Model) {
    let written = tokio::time::timeout(Duration::from_secs(30), model.write(backend, &[1])).await;
    assert!(written.is_ok(), "the lock is still held");
}
