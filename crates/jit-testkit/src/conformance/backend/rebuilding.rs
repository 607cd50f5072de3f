//! Writing the projections anew.

use jit_store::{Backend, Begin, Projections, StreamState};
use tokio::time::sleep;

use super::{
    Subject,
    locking::A_WHILE,
    model::{LONG, Model, ask, blob, checkpoint, due, due_key, hash, look_up, stream},
    pages,
};

/// A log of four records with projections of every kind.
async fn projected(subject: &Subject) -> (std::sync::Arc<dyn Backend>, Model) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[2, 3, 2]);
    batch.projections.lookups = vec![(look_up(1), 1), (look_up(1), 2), (look_up(2), 3)];
    batch.projections.due = vec![due(1, 10), due(2, 20)];
    batch.blobs = vec![(blob(1), vec![1])];
    model.commit(&*backend, batch).await;
    assert!(backend.save_checkpoint(None, checkpoint(4)).await.unwrap());
    (backend, model)
}

/// Asserts that the projections are those of [`projected`].
async fn as_before(backend: &dyn Backend, model: &Model) {
    model.check(backend).await;
    let lookups = [(look_up(1), 1), (look_up(1), 2), (look_up(2), 3)];
    assert_eq!(pages::scan_lookups(backend, 9).await, lookups, "the look-ups of before");
    assert_eq!(pages::lookup(backend, look_up(1), 0, 9).await, [1, 2], "the look-ups of before");
    assert_eq!(pages::due(backend, 100, 9).await, [due(1, 10), due(2, 20)], "the work of before");
}

/// Other projections than those.
fn others() -> Projections {
    let state = StreamState { next: 2, leaf: hash(b'l', 3), closed: true };
    Projections {
        streams: vec![(stream(2), state), (stream(9), state)],
        lookups: vec![(look_up(1), 3), (look_up(7), 0)],
        due: vec![due(2, 5), due(9, 7)],
        due_done: Vec::new(),
    }
}

/// Asserts that the projections are these others.
async fn as_rebuilt(backend: &dyn Backend) {
    let others = others();
    assert_eq!(pages::scan_streams(backend, 9).await, others.streams);
    assert_eq!(backend.stream_head(stream(1)).await.unwrap(), None, "a head that was not written anew");
    assert_eq!(backend.stream_head(stream(2)).await.unwrap(), Some(others.streams[0].1));
    assert_eq!(pages::scan_lookups(backend, 9).await, others.lookups);
    assert_eq!(pages::lookup(backend, look_up(1), 0, 9).await, [3]);
    assert_eq!(pages::lookup(backend, look_up(2), 0, 9).await, [0; 0]);
    assert_eq!(pages::due(backend, 100, 9).await, others.due);
}

pub(super) async fn a_rebuild_replaces_all_projections(subject: Subject) {
    let (backend, model) = projected(&subject).await;
    let mut rebuild = backend.rebuild().await.unwrap();
    assert_eq!(*rebuild.head(), super::model::head(4), "the head under the lock");
    rebuild.add(others()).await.unwrap();
    rebuild.commit().await.unwrap();
    for backend in [subject.backend(), subject.other()] {
        as_rebuilt(&*backend).await;
        assert_eq!(backend.head().await.unwrap(), super::model::head(4), "the log itself stays");
        assert_eq!(pages::rows(&*backend, 0..9).await, model.rows, "the log itself stays");
        assert_eq!(backend.blob(blob(1)).await.unwrap(), Some(vec![1]), "blobs stay");
        assert_eq!(backend.checkpoint(None).await.unwrap(), Some(checkpoint(4)), "checkpoints stay");
    }
    let want = Begin { streams: vec![stream(1), stream(2)], records: vec![model.rows[1].record], leaves_from: 4 };
    let transaction = backend.begin(want).await.unwrap();
    assert_eq!(transaction.locked().streams, [None, Some(others().streams[0].1)]);
    assert!(transaction.locked().known[0].is_some(), "record ids stay known");
    drop(transaction);
    let claims = backend.claim(100, 9, ask(1, LONG)).await.unwrap();
    assert_eq!(claims.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>(), others().due);
    let rebuild = backend.rebuild().await.unwrap();
    rebuild.commit().await.unwrap();
    assert_eq!(pages::scan_streams(&*backend, 9).await, [], "a rebuild that adds nothing leaves nothing");
    assert_eq!(pages::scan_lookups(&*backend, 9).await, []);
    assert_eq!(pages::due(&*backend, 100, 9).await, []);
}

pub(super) async fn a_rebuild_is_seen_when_committed(subject: Subject) {
    let (backend, model) = projected(&subject).await;
    let mut rebuild = backend.rebuild().await.unwrap();
    as_before(&*subject.other(), &model).await;
    rebuild.add(others()).await.unwrap();
    for backend in [subject.backend(), subject.other()] {
        as_before(&*backend, &model).await;
    }
    rebuild.commit().await.unwrap();
    as_rebuilt(&*subject.other()).await;
}

pub(super) async fn a_dropped_rebuild_changes_nothing(subject: Subject) {
    let (backend, mut model) = projected(&subject).await;
    drop(backend.rebuild().await.unwrap());
    as_before(&*subject.other(), &model).await;
    let mut rebuild = subject.other().rebuild().await.unwrap();
    rebuild.add(others()).await.unwrap();
    drop(rebuild);
    as_before(&*backend, &model).await;
    super::locking::write_in_time(&*backend, &mut model).await;
    as_before(&*subject.other(), &model).await;
}

pub(super) async fn a_rebuild_excludes_writers(subject: Subject) {
    let (backend, mut model) = projected(&subject).await;
    let mut rebuild = backend.rebuild().await.unwrap();
    let writer = {
        let (backend, mut model) = (subject.other(), model.clone());
        tokio::spawn(async move {
            let batch = model.next(&[9, 1]);
            let want = Begin { streams: vec![stream(2), stream(1)], ..Begin::default() };
            let transaction = backend.begin(want).await.unwrap();
            let found = transaction.locked().streams.clone();
            transaction.commit(batch.clone()).await.unwrap();
            model.apply(&batch);
            (found, model)
        })
    };
    let rebuilding = {
        let backend = subject.other();
        tokio::spawn(async move { drop(backend.rebuild().await.unwrap()) })
    };
    sleep(A_WHILE).await;
    assert!(!writer.is_finished(), "a transaction began beside a rebuild");
    assert!(!rebuilding.is_finished(), "a rebuild began beside a rebuild");
    rebuild.add(others()).await.unwrap();
    rebuild.commit().await.unwrap();
    let (found, written) = writer.await.unwrap();
    rebuilding.await.unwrap();
    assert_eq!(found, [Some(others().streams[0].1), None], "whoever waited sees what was rebuilt meanwhile");
    model = written;
    assert_eq!(backend.head().await.unwrap(), super::model::head(model.size()));
    let transaction = backend.begin(Begin::default()).await.unwrap();
    let other = subject.other();
    let rebuilding = tokio::spawn(async move { other.rebuild().await.unwrap().head().clone() });
    sleep(A_WHILE).await;
    assert!(!rebuilding.is_finished(), "a rebuild began beside a transaction");
    transaction.commit(model.next(&[1])).await.unwrap();
    assert_eq!(rebuilding.await.unwrap().size, model.size() + 1, "the head as it is under the lock");
}

pub(super) async fn projections_add_up(subject: Subject) {
    let (backend, _) = projected(&subject).await;
    let state = |next, index| StreamState { next, leaf: hash(b'l', index), closed: false };
    let mut rebuild = backend.rebuild().await.unwrap();
    rebuild.add(Projections::default()).await.unwrap();
    let first = Projections {
        streams: vec![(stream(2), state(1, 1)), (stream(1), state(1, 0))],
        lookups: vec![(look_up(2), 3), (look_up(1), 0)],
        due: vec![due(1, 10), due(2, 20), due(3, 30)],
        due_done: vec![due_key(7)],
    };
    rebuild.add(first).await.unwrap();
    let second = Projections {
        streams: vec![(stream(2), state(2, 3)), (stream(3), state(1, 2))],
        lookups: vec![(look_up(1), 1)],
        due: vec![due(3, 5)],
        due_done: vec![due_key(2)],
    };
    rebuild.add(second).await.unwrap();
    rebuild.commit().await.unwrap();
    let streams = [(stream(1), state(1, 0)), (stream(2), state(2, 3)), (stream(3), state(1, 2))];
    assert_eq!(pages::scan_streams(&*backend, 9).await, streams, "a later head replaces an earlier one");
    assert_eq!(pages::scan_lookups(&*backend, 9).await, [(look_up(1), 0), (look_up(1), 1), (look_up(2), 3)]);
    assert_eq!(pages::due(&*backend, 100, 9).await, [due(3, 5), due(1, 10)], "moved and done as by a batch");
}
