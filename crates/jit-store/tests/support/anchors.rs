//! What every anchor must do, whatever it lies in.

use std::sync::Arc;

use jit_log::{Checkpoint, Hash, Origin};
use jit_store::{Anchor, Published};

use super::{ORIGIN, key};

/// A signed checkpoint of a made-up tree.
pub(crate) fn note(size: u64, root: u8) -> Vec<u8> {
    let root = if size == 0 { Hash::EMPTY_ROOT } else { Hash::from_bytes([root; 32]) };
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), size, root).unwrap();
    checkpoint.sign(&[&key(ORIGIN, 7)]).unwrap().to_bytes()
}

/// Holds nothing, then what was published, and never goes back. `reopen` makes another handle on the same anchor.
pub(crate) async fn never_goes_back<A: Anchor>(anchor: A, reopen: impl AsyncFn() -> A) {
    assert_eq!(anchor.load().await.unwrap(), None);
    let nothing = Published::Holds(None);
    assert_eq!(anchor.publish(Some(&note(4, 1)), &note(5, 1)).await.unwrap(), nothing, "there is nothing to replace");
    assert_eq!(anchor.publish(None, &note(0, 1)).await.unwrap(), Published::Stored);
    assert_eq!(anchor.publish(Some(&note(0, 1)), &note(5, 1)).await.unwrap(), Published::Stored);
    let other = reopen().await;
    let held = note(5, 1);
    let kept = Published::Holds(Some(held.clone()));
    for anchor in [&anchor, &other] {
        assert_eq!(anchor.load().await.unwrap(), Some(held.clone()));
        for (size, root) in [(0, 1), (4, 1), (5, 1), (5, 2)] {
            assert_eq!(anchor.publish(Some(&held), &note(size, root)).await.unwrap(), kept, "{size} is not larger");
        }
        for expected in [None, Some(note(5, 2)), Some(note(0, 1)), Some(note(9, 1))] {
            assert_eq!(anchor.publish(expected.as_deref(), &note(9, 1)).await.unwrap(), kept, "not what was expected");
        }
        assert!(anchor.publish(Some(&held), b"no checkpoint").await.is_err());
        assert_eq!(anchor.load().await.unwrap(), Some(held.clone()));
    }
    assert_eq!(other.publish(Some(&held), &note(9, 1)).await.unwrap(), Published::Stored);
    assert_eq!(anchor.publish(Some(&held), &note(10, 1)).await.unwrap(), Published::Holds(Some(note(9, 1))));
    assert_eq!(anchor.load().await.unwrap(), Some(note(9, 1)));
}

/// Of many who publish at the same time, exactly one replaces what all of them saw.
pub(crate) async fn one_wins_each_round<A: Anchor>(anchor: A) {
    let anchor = Arc::new(anchor);
    let mut held: Option<Vec<u8>> = None;
    for round in 1..6 {
        let tasks: Vec<_> = (0..8)
            .map(|publisher| {
                let (anchor, held, note) = (Arc::clone(&anchor), held.clone(), note(round, publisher));
                tokio::spawn(async move {
                    let published = anchor.publish(held.as_deref(), &note).await.unwrap();
                    (note, published)
                })
            })
            .collect();
        let mut stored = Vec::new();
        for task in tasks {
            let (note, published) = task.await.unwrap();
            if published == Published::Stored {
                stored.push(note);
            }
        }
        held = anchor.load().await.unwrap();
        assert_eq!(stored, Vec::from_iter(held.clone()), "one was stored, and it is there");
    }
}
