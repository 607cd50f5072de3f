//! Calls whose future is dropped: at its first await, at its second, and so on until it is faster.

use std::time::Duration;

use jit_store::{BackendError, Begin, DueRow, LookupKey, Projections, StreamState, TreeRead};

use super::{
    super::polls::{LINGER, give_up, patience},
    Subject,
    locking::write_in_time,
    model::{LONG, Model, all_leaves, ask, blob, checkpoint, due, hash, lease_key, look_up, stream, tile},
    pages,
};

pub(super) async fn a_dropped_create_leaves_all_or_nothing(subject: Subject) {
    let mut model = Model::default();
    let mut first = model.next(&[1, 2]);
    first.tiles = vec![tile(0, 0)];
    first.blobs = vec![(blob(1), vec![1])];
    first.projections.lookups = vec![(look_up(1), 0)];
    model.apply(&first);
    for (polls, linger) in patience() {
        let backend = subject.handle(polls);
        match give_up(polls, linger, backend.create(b"settings".to_vec(), first.clone())).await {
            Some(Ok(()) | Err(BackendError::AlreadyExists)) => break,
            Some(Err(error)) => panic!("create answers {error:?}"),
            None => {}
        }
        if let Some(settings) = subject.other().meta().await.unwrap() {
            assert_eq!(settings, b"settings");
            model.check(&*subject.other()).await;
        }
    }
    let backend = subject.other();
    assert_eq!(backend.meta().await.unwrap(), Some(b"settings".to_vec()));
    model.check(&*backend).await;
    assert_eq!(backend.blob(blob(1)).await.unwrap(), Some(vec![1]));
    assert_eq!(pages::lookup(&*backend, look_up(1), 0, 9).await, [0]);
    write_in_time(&*subject.backend(), &mut model).await;
}

pub(super) async fn a_dropped_begin_leaks_no_lock(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut done = 0;
    for (polls, linger) in patience() {
        let want = Begin { streams: vec![stream(1)], records: vec![model.rows[0].record], leaves_from: 0 };
        done += usize::from(give_up(polls, linger, backend.begin(want)).await.is_some());
        write_in_time(&*subject.handle(polls), &mut model).await;
        if done == LINGER.len() {
            break;
        }
    }
    model.check(&*backend).await;
}

pub(super) async fn a_dropped_commit_writes_all_or_nothing(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut filed = Vec::new();
    let mut done = 0;
    for (polls, linger) in patience() {
        let mut batch = model.next(&[1, 2, 1]);
        let entries = [0, 1, 2].map(|at| (look_up(1), model.size() + at));
        batch.projections.lookups = entries.to_vec();
        batch.tiles = vec![tile(3, model.size())];
        let transaction = backend.begin(Begin::default()).await.unwrap();
        let answered = give_up(polls, linger, transaction.commit(batch.clone())).await;
        let other = subject.handle(polls);
        let locked = tokio::time::timeout(Duration::from_secs(30), other.begin(Begin::default()));
        let size = locked.await.expect("the lock is still held").unwrap().locked().head.size;
        if let Some(answer) = answered {
            answer.unwrap();
            assert_eq!(size, model.size() + 3, "a commit that answered");
            done += 1;
        }
        if size != model.size() {
            model.apply(&batch);
            filed.extend(entries.map(|(_, index)| index));
        }
        model.check(&*backend).await;
        assert_eq!(pages::lookup(&*other, look_up(1), 0, 9).await, filed, "look-ups of whole commits");
        if done == LINGER.len() {
            break;
        }
    }
    write_in_time(&*subject.other(), &mut model).await;
}

pub(super) async fn a_dropped_rebuild_call_leaves_all_or_nothing(subject: Subject) {
    let (backend, _) = subject.created().await;
    let of_kind = |kind: u8| {
        let state = StreamState { next: 1, leaf: hash(b'l', kind.into()), closed: false };
        Projections {
            streams: vec![(stream(kind), state)],
            lookups: vec![(LookupKey::from_bytes([kind; 32]), 0)],
            due: vec![due(kind, 1)],
            due_done: Vec::new(),
        }
    };
    let mut rebuild = backend.rebuild().await.unwrap();
    rebuild.add(of_kind(1)).await.unwrap();
    rebuild.commit().await.unwrap();
    let mut kind = 1_u8;
    let mut done = 0;
    for (polls, linger) in patience() {
        let next = kind.wrapping_add(1);
        drop(give_up(polls, linger, backend.rebuild()).await);
        let mut rebuild = backend.rebuild().await.unwrap();
        drop(give_up(polls, linger, rebuild.add(of_kind(next))).await);
        drop(rebuild);
        let mut rebuild = backend.rebuild().await.unwrap();
        rebuild.add(of_kind(next)).await.unwrap();
        let answered = give_up(polls, linger, rebuild.commit()).await;
        let other = subject.handle(polls);
        let free = tokio::time::timeout(Duration::from_secs(30), other.begin(Begin::default()));
        drop(free.await.expect("the lock is still held").unwrap());
        let streams = pages::scan_streams(&*other, 9).await;
        let found = if streams == of_kind(next).streams { next } else { kind };
        assert_eq!(streams, of_kind(found).streams, "the streams of one rebuild");
        assert_eq!(pages::scan_lookups(&*other, 9).await, of_kind(found).lookups, "the look-ups of the same rebuild");
        assert_eq!(pages::due(&*other, 9, 9).await, of_kind(found).due, "the work of the same rebuild");
        kind = found;
        if let Some(answer) = answered {
            answer.unwrap();
            assert_eq!(found, next, "a rebuild whose commit answered");
            done += 1;
            if done == LINGER.len() {
                break;
            }
        }
    }
}

pub(super) async fn dropped_claims_and_leases_leak_nothing(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let work: Vec<DueRow> = (1..5).map(|number| due(number, number.into())).collect();
    let mut batch = model.next(&[1]);
    batch.projections.due = work.clone();
    model.commit(&*backend, batch).await;
    let mut done = 0;
    for (polls, linger) in patience() {
        let other = subject.handle(polls);
        let claimed = give_up(polls, linger, backend.claim(100, 3, ask(1, LONG))).await;
        let again = other.claim(100, 9, ask(1, LONG)).await.unwrap();
        assert!(again.iter().map(|(row, _)| row).eq(&work), "the holder itself gets all that it holds");
        drop(give_up(polls, linger, backend.release(again[0].1)).await);
        let leased = give_up(polls, linger, backend.lease(lease_key(9), ask(1, LONG))).await;
        let lease = other.lease(lease_key(9), ask(1, LONG)).await.unwrap();
        assert!(lease.is_some(), "the holder itself gets what it holds");
        write_in_time(&*other, &mut model).await;
        done += usize::from(claimed.is_some() && leased.is_some());
        if done == LINGER.len() {
            break;
        }
    }
    model.check(&*backend).await;
}

pub(super) async fn a_dropped_checkpoint_is_saved_or_not(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut largest = None;
    let mut done = 0;
    for (polls, linger) in patience() {
        let next = largest.map_or(1, |size| size + 1);
        let answered = give_up(polls, linger, backend.save_checkpoint(largest, checkpoint(next))).await;
        let other = subject.handle(polls);
        if let Some(answer) = answered {
            assert!(answer.unwrap(), "it follows the largest");
            done += 1;
        } else if !other.save_checkpoint(largest, checkpoint(next)).await.unwrap() {
            assert_eq!(other.checkpoint(None).await.unwrap(), Some(checkpoint(next)), "what was given up was done");
        }
        assert_eq!(backend.checkpoint(None).await.unwrap(), Some(checkpoint(next)));
        largest = Some(next);
        if done == LINGER.len() {
            break;
        }
    }
    write_in_time(&*backend, &mut model).await;
}

pub(super) async fn dropped_reads_leave_the_next_ones_right(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1, 2, 3]);
    batch.projections.lookups = vec![(look_up(1), 1), (look_up(1), 2)];
    batch.projections.due = vec![due(1, 1), due(2, 2)];
    batch.blobs = vec![(blob(1), vec![1])];
    batch.tiles = vec![tile(0, 0)];
    model.commit(&*backend, batch).await;
    for (polls, linger) in patience() {
        let everything = TreeRead { tiles: vec![tile(0, 0).key], roots: vec![(0, 0..9)], ..all_leaves(0..9) };
        let mut faster = 0;
        faster += usize::from(give_up(polls, linger, backend.rows(0..9)).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.head()).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.tree(everything)).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.stream_rows(stream(1), 0, 9)).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.lookup(look_up(1), 0, 9)).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.due(None, 9, 9)).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.scan_streams(None, 9)).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.scan_lookups(None, 9)).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.stream_head(stream(1))).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.blob(blob(1))).await.is_some());
        faster += usize::from(give_up(polls, linger, backend.meta()).await.is_some());
        model.check(&*backend).await;
        assert_eq!(pages::lookup(&*backend, look_up(1), 0, 9).await, [1, 2]);
        assert_eq!(pages::due(&*backend, 9, 9).await, [due(1, 1), due(2, 2)]);
        assert_eq!(backend.meta().await.unwrap(), Some(b"settings".to_vec()));
        if faster == 11 && !linger.is_zero() {
            break;
        }
    }
    write_in_time(&*backend, &mut model).await;
}
