//! Checkpoints: saved one after the other, found by size.

use jit_store::CheckpointRow;
use tokio::task::JoinSet;

use super::{Subject, model::checkpoint};

pub(super) async fn checkpoints_never_go_back(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[1; 12]).await;
    assert_eq!(backend.checkpoint(None).await.unwrap(), None);
    assert_eq!(backend.checkpoint(Some(0)).await.unwrap(), None);
    let save = |after, size| {
        let backend = subject.other();
        async move { backend.save_checkpoint(after, checkpoint(size)).await.unwrap() }
    };
    assert!(!save(Some(0), 2).await, "there is none to be after");
    assert!(!save(Some(1), 2).await, "there is none to be after");
    assert!(save(None, 2).await, "the first one");
    assert!(!save(None, 3).await, "there is one already");
    assert!(!save(Some(2), 2).await, "not larger");
    assert!(!save(Some(2), 1).await, "smaller");
    assert!(!save(Some(1), 4).await, "after one that is not there");
    assert!(!save(Some(3), 4).await, "after one that is not there");
    assert!(!save(Some(5), 5).await, "after one that is not there, and not larger than that");
    assert!(save(Some(2), 5).await, "the next one");
    assert!(!save(Some(2), 7).await, "after one that is not the largest");
    assert!(!save(Some(2), 4).await, "between two");
    assert!(!save(Some(5), 3).await, "smaller, after the largest");
    assert!(save(Some(5), 6).await);
    let sizes = [(0, Some(2)), (2, Some(2)), (3, Some(5)), (6, Some(6)), (7, None)];
    for (at_least, expected) in sizes {
        assert_eq!(backend.checkpoint(Some(at_least)).await.unwrap(), expected.map(checkpoint));
    }
    assert_eq!(backend.checkpoint(None).await.unwrap(), Some(checkpoint(6)), "refused ones were not written");
}

pub(super) async fn checkpoints_are_found_by_size(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[1; 40]).await;
    let sizes = [1, 2, 7, 9, 10, 31, 32];
    let mut last = None;
    for size in sizes {
        assert!(backend.save_checkpoint(last, checkpoint(size)).await.unwrap());
        last = Some(size);
        assert_eq!(subject.other().checkpoint(None).await.unwrap(), Some(checkpoint(size)), "the largest");
    }
    for at_least in (0..40).chain([i64::MAX as u64, 1 << 63, u64::MAX]) {
        let expected = sizes.into_iter().find(|size| *size >= at_least).map(checkpoint);
        assert_eq!(backend.checkpoint(Some(at_least)).await.unwrap(), expected, "at least {at_least}");
    }
}

pub(super) async fn one_of_many_saves_the_next_checkpoint(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[1; 100]).await;
    let mut last = None;
    for round in 0..8_u64 {
        let mut tasks = JoinSet::new();
        for task in 0..8_u64 {
            let backend = subject.handle(usize::try_from(task).unwrap());
            // Of each two tasks both want the same size, with their own note.
            let size = round * 8 + 1 + task / 2;
            let row = CheckpointRow { note: format!("task {task}").into_bytes(), ..checkpoint(size) };
            tasks.spawn(async move { backend.save_checkpoint(last, row.clone()).await.unwrap().then_some(row) });
        }
        let saved: Vec<CheckpointRow> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(saved.len(), 1, "how many of 8 saved the checkpoint after {last:?}");
        let largest = backend.checkpoint(None).await.unwrap();
        assert_eq!(largest.as_ref(), saved.first(), "the one that was saved");
        last = largest.map(|row| row.size);
    }
}

pub(super) async fn sizes_go_to_the_largest(subject: Subject) {
    let (backend, _) = subject.created().await;
    let sizes = [1 << 31, (1 << 32) + 1, (1 << 53) + 1, (1 << 62) - 1, i64::MAX as u64 - 1];
    let mut last = None;
    for size in sizes {
        assert!(backend.save_checkpoint(last, checkpoint(size)).await.unwrap(), "a checkpoint of {size} records");
        last = Some(size);
    }
    for size in sizes {
        assert_eq!(backend.checkpoint(Some(size)).await.unwrap(), Some(checkpoint(size)));
    }
    assert_eq!(backend.checkpoint(Some(1 << 63)).await.unwrap(), None);
}
