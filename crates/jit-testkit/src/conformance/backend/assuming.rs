//! Writing without the lock first, on the condition that the log is as assumed.

use jit_store::{Assumed, Backend, Begin, Incarnation, StreamState};

use super::{
    Subject,
    model::{Model, hash, stream},
};

/// How the log is, and how the streams of these numbers end.
async fn assumed(backend: &dyn Backend, model: &Model, streams: &[u8]) -> Assumed {
    let transaction = backend.begin(Begin::default()).await.unwrap();
    let locked = transaction.locked();
    let leaf = |number: &u8| (stream(*number), model.streams.get(&stream(*number)).map(|state| state.leaf));
    Assumed { incarnation: locked.incarnation, head: locked.head.clone(), streams: streams.iter().map(leaf).collect() }
}

pub(super) async fn what_is_as_assumed_is_written(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[2, 3, 2]).await;
    for streams in [&[2, 9, 9][..], &[1, 2, 3], &[9]] {
        let batch = model.next(streams);
        let mut named = streams.to_vec();
        named.dedup();
        let assumed = assumed(&*backend, &model, &named).await;
        assert!(backend.write_if(assumed, batch.clone()).await.unwrap(), "everything is as assumed");
        model.apply(&batch);
        model.check(&*subject.other()).await;
    }
    model.write(&*subject.other(), &[1]).await;
}

pub(super) async fn what_is_not_as_assumed_is_not_written(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[2, 3]).await;
    let mut closing = model.next(&[4]);
    closing.projections.streams[0].1 = StreamState { closed: true, ..closing.projections.streams[0].1 };
    model.commit(&*backend, closing).await;
    let right = assumed(&*backend, &model, &[2, 9]).await;
    let batch = model.next(&[2, 9]);
    let changed = |change: &dyn Fn(&mut Assumed)| {
        let mut wrong = right.clone();
        change(&mut wrong);
        wrong
    };
    for (what, wrong) in [
        ("the incarnation", changed(&|wrong| wrong.incarnation = Incarnation::from_bytes([0xee; 16]))),
        ("the root", changed(&|wrong| wrong.head.root = hash(b'?', 0))),
        ("the frontier", changed(&|wrong| wrong.head.frontier[0] = hash(b'?', 0))),
        ("the leaf of a stream", changed(&|wrong| wrong.streams[0].1 = Some(hash(b'?', 0)))),
        ("a stream without records", changed(&|wrong| wrong.streams[0].1 = None)),
        ("a stream with records", changed(&|wrong| wrong.streams[1].1 = Some(hash(b'?', 0)))),
        ("a stream that takes more", changed(&|wrong| wrong.streams.push((stream(4), Some(hash(b'l', 3)))))),
    ] {
        assert!(!backend.write_if(wrong, batch.clone()).await.unwrap(), "{what} is not as assumed");
        model.check(&*backend).await;
    }
    let mut known = batch.clone();
    known.rows[1].record = model.rows[0].record;
    assert!(!backend.write_if(right.clone(), known).await.unwrap(), "a record is in the log already");
    model.check(&*backend).await;

    model.write(&*subject.other(), &[3]).await;
    assert!(!backend.write_if(right, batch).await.unwrap(), "somebody else wrote");
    model.check(&*backend).await;
    model.write(&*backend, &[2, 9]).await;
}

pub(super) async fn what_was_sent_after_a_refused_write_is_refused(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    for right in [true, false, true] {
        let mut ahead = model.clone();
        let mut sent = assumed(&*backend, &model, &[2]).await;
        let (first, incarnation) = (ahead.next(&[2]), sent.incarnation);
        ahead.apply(&first);
        if !right {
            sent.streams[0].1 = Some(hash(b'?', 0));
        }
        let leaf = ahead.streams.get(&stream(2)).map(|state| state.leaf);
        let next = Assumed { incarnation, head: first.head.clone(), streams: vec![(stream(2), leaf)] };
        let second = ahead.next(&[2]);
        let written =
            tokio::join!(biased; backend.write_if(sent, first.clone()), backend.write_if(next, second.clone()));
        assert_eq!((written.0.unwrap(), written.1.unwrap()), (right, right), "the second rests on the first");
        if right {
            model.apply(&first);
            model.apply(&second);
        }
        model.check(&*backend).await;
    }
}
