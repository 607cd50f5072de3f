//! What a commit writes, refuses and keeps.

use jit_store::{Begin, StreamState, TreeRead};

use super::{
    Subject,
    model::{self, blob, checkpoint, due, hash, is_corrupt, look_up, stream, tile},
    pages,
};

pub(super) async fn a_wrong_batch_is_refused_whole(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[2, 1]).await;
    let right = {
        let mut batch = model.next(&[1, 4, 2]);
        batch.tiles = vec![tile(0, 0)];
        batch.projections.lookups = vec![(look_up(1), 3)];
        batch.projections.due = vec![due(1, 5)];
        batch.blobs = vec![(blob(1), vec![1])];
        batch
    };
    let wrong = |change: fn(&mut jit_store::Batch)| {
        let mut batch = right.clone();
        change(&mut batch);
        batch
    };
    let batches = [
        ("a gap before it", wrong(|batch| batch.rows.iter_mut().for_each(|row| row.index += 1))),
        ("rows that are there", wrong(|batch| batch.rows.iter_mut().for_each(|row| row.index -= 1))),
        ("a hole", wrong(|batch| batch.rows[2].index += 1)),
        ("an index twice", wrong(|batch| batch.rows[2].index -= 1)),
        ("rows in another order", wrong(|batch| batch.rows.swap(0, 1))),
        ("the first record id of the log", wrong(|batch| batch.rows[2].record = model::record(0))),
        ("a record id of an earlier batch", wrong(|batch| batch.rows[0].record = model::record(2))),
        ("a record id twice", wrong(|batch| batch.rows[2].record = batch.rows[1].record)),
        ("a head that stays", wrong(|batch| batch.head = model::head(3))),
        ("a head beyond its rows", wrong(|batch| batch.head = model::head(7))),
    ];
    for (what, batch) in batches {
        let transaction = backend.begin(Begin::default()).await.unwrap();
        let refused = transaction.commit(batch).await;
        assert!(is_corrupt(&refused), "a batch with {what}: {refused:?}");
        model.check(&*subject.other()).await;
        assert_eq!(pages::lookup(&*backend, look_up(1), 0, 9).await, [0; 0], "a batch with {what}: its look-ups");
        assert_eq!(pages::scan_lookups(&*backend, 9).await, [], "a batch with {what}: its look-ups");
        assert_eq!(pages::due(&*backend, 9, 9).await, [], "a batch with {what}: its work");
        assert_eq!(backend.blob(blob(1)).await.unwrap(), None, "a batch with {what}: its blob");
        let read = TreeRead { tiles: vec![tile(0, 0).key], ..TreeRead::default() };
        assert!(backend.tree(read).await.unwrap().tiles == [None], "a batch with {what}: its tile");
    }
    model.commit(&*backend, right).await;
    model.check(&*subject.other()).await;
}

pub(super) async fn bytes_come_back_as_written(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1; 7]);
    let all: Vec<u8> = (0..=255).collect();
    batch.rows[0].header = all.repeat(256)[..65_535].to_vec();
    batch.rows[0].payload = Some(all.repeat(16 << 10));
    batch.rows[1].header = vec![0];
    batch.rows[1].payload = Some(Vec::new());
    batch.rows[2].payload = None;
    batch.rows[3].header = vec![0xff; 300];
    batch.rows[3].payload = Some(vec![0; 3]);
    batch.rows[4].payload = Some(all.clone());
    batch.rows[5].payload = None;
    let mut work = due(1, 5);
    work.work = Vec::new();
    let mut long = due(2, 6);
    long.work = all.repeat(256);
    batch.projections.due = vec![work.clone(), long.clone()];
    batch.projections.lookups = (1..8).map(|index| (look_up(1), index)).collect();
    batch.blobs = vec![(blob(1), Vec::new()), (blob(2), all.repeat(4 << 10))];
    model.commit(&*backend, batch.clone()).await;
    let backend = subject.other();
    model.check(&*backend).await;
    assert_eq!(pages::lookup(&*backend, look_up(1), 0, 9).await, [1, 2, 3, 4, 5, 6, 7]);
    for expected in &model.rows[1..] {
        let by_key = backend.lookup(look_up(1), expected.index, 1).await.unwrap();
        model::same_rows(&by_key, std::slice::from_ref(expected));
    }
    assert!(pages::due(&*backend, 9, 9).await == [work, long], "work as scheduled");
    for (key, bytes) in batch.blobs {
        assert!(backend.blob(key).await.unwrap() == Some(bytes), "another blob");
    }
    let mut signed = checkpoint(4);
    signed.note = all.repeat(100);
    assert!(backend.save_checkpoint(None, signed.clone()).await.unwrap());
    assert!(backend.checkpoint(None).await.unwrap() == Some(signed), "another checkpoint");
}

pub(super) async fn a_large_batch_is_committed(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let streams: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let mut batch = model.next(&streams);
    batch.tiles = (0..19).map(|index| tile(0, index)).collect();
    batch.projections.lookups = (1..=5_000).flat_map(|index| (0..3).map(move |key| (look_up(key), index))).collect();
    batch.projections.due = (0..=255).map(|number| due(number, i64::from(number % 7))).collect();
    model.commit(&*backend, batch).await;
    model.check(&*backend).await;
    for key in 0..3 {
        assert!(pages::lookup(&*backend, look_up(key), 0, 999).await.into_iter().eq(1..=5_000), "look-ups of a batch");
    }
    assert_eq!(pages::due(&*backend, 9, 50).await.len(), 256);
}

pub(super) async fn stream_heads_are_replaced(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[1, 2, 2]).await;
    let mut closing = model.next(&[2, 3]);
    closing.projections.streams.iter_mut().for_each(|(_, state)| state.closed = true);
    model.commit(&*backend, closing).await;
    let state = |next, index, closed| Some(StreamState { next, leaf: hash(b'l', index), closed });
    for backend in [subject.backend(), subject.other()] {
        assert_eq!(backend.stream_head(stream(1)).await.unwrap(), state(2, 1, false));
        assert_eq!(backend.stream_head(stream(2)).await.unwrap(), state(3, 4, true));
        assert_eq!(backend.stream_head(stream(3)).await.unwrap(), state(1, 5, true));
        assert_eq!(backend.stream_head(stream(4)).await.unwrap(), None);
        model.check(&*backend).await;
    }
}

pub(super) async fn what_was_written_stays(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut first = model.next(&[1]);
    first.blobs = vec![(blob(1), b"first".to_vec())];
    first.tiles = vec![tile(0, 0)];
    model.commit(&*backend, first).await;
    let mut second = model.next(&[1]);
    second.blobs = vec![(blob(1), b"second".to_vec()), (blob(2), b"new".to_vec())];
    model.commit(&*backend, second).await;
    assert_eq!(backend.blob(blob(1)).await.unwrap(), Some(b"first".to_vec()), "a blob never changes");
    assert_eq!(backend.blob(blob(2)).await.unwrap(), Some(b"new".to_vec()), "a blob beside one that was there");
    // The same tile with other hashes: whether that is refused or not, the first one stays.
    let mut third = model.next(&[1]);
    third.tiles = vec![tile(0, 9)];
    third.tiles[0].key = tile(0, 0).key;
    match backend.begin(Begin::default()).await.unwrap().commit(third.clone()).await {
        Ok(()) => model.apply(&third),
        refused => assert!(is_corrupt(&refused), "a tile that is there already: {refused:?}"),
    }
    let read = TreeRead { tiles: vec![tile(0, 0).key], ..TreeRead::default() };
    assert!(backend.tree(read).await.unwrap().tiles == [Some(tile(0, 0))], "a tile changed");
    assert!(backend.save_checkpoint(None, checkpoint(2)).await.unwrap());
    let mut other = checkpoint(2);
    other.note = b"other".to_vec();
    assert!(!backend.save_checkpoint(Some(2), other).await.unwrap());
    assert_eq!(backend.checkpoint(None).await.unwrap(), Some(checkpoint(2)), "a checkpoint never changes");
    model.check(&*backend).await;
}

pub(super) async fn what_was_committed_survives_closing(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1, 2]);
    batch.tiles = vec![tile(0, 0)];
    batch.projections.lookups = vec![(look_up(1), 1)];
    batch.projections.due = vec![due(1, 5)];
    batch.blobs = vec![(blob(1), vec![1])];
    model.commit(&*backend, batch).await;
    assert!(backend.save_checkpoint(None, checkpoint(2)).await.unwrap());
    // An open transaction is forgotten.
    drop(backend.begin(Begin::default()).await.unwrap());
    drop(backend);
    let Some((backend, _guard)) = subject.reopen().await else { return };
    assert_eq!(backend.meta().await.unwrap(), Some(b"settings".to_vec()));
    model.check(&*backend).await;
    assert_eq!(pages::lookup(&*backend, look_up(1), 0, 9).await, [1]);
    assert_eq!(pages::due(&*backend, 9, 9).await, [due(1, 5)]);
    assert_eq!(backend.blob(blob(1)).await.unwrap(), Some(vec![1]));
    assert_eq!(backend.checkpoint(None).await.unwrap(), Some(checkpoint(2)));
    model.write(&*backend, &[1]).await;
    model.check(&*backend).await;
}
