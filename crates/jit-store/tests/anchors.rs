//! Every anchor holds one checkpoint, never goes back, and is replaced by one publisher at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use jit_store::FileAnchor;
use support::{World, anchors};

#[tokio::test]
async fn a_file_is_one() {
    let world = World::new();
    anchors::never_goes_back(FileAnchor::new(world.anchor()), async || FileAnchor::new(world.anchor())).await;
    anchors::one_wins_each_round(FileAnchor::new(world.folder("another"))).await;
}

#[cfg(feature = "object-store")]
mod in_object_stores {
    use std::sync::Arc;

    use jit_core::{IndexKey, WriterId};
    use jit_store::{
        Anchor, AnchorError, Ed25519Signer, Log, LogConfig, ObjectStoreAnchor, Published,
        object_store::{ObjectStore, PutMode, local::LocalFileSystem, memory::InMemory},
    };

    use jit_testkit::SeededEntropy;

    use super::support::{
        FIRST, ORIGIN, World, anchors, append, begin, key, retention,
        scripted::{Fate, Ignored, Scripted},
    };

    #[tokio::test]
    async fn an_object_is_one() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let connect = async || ObjectStoreAnchor::connect(store.clone(), "anchors/log").await.unwrap();
        anchors::never_goes_back(connect().await, connect).await;
        let another = ObjectStoreAnchor::connect(store.clone(), "anchors/another").await.unwrap();
        anchors::one_wins_each_round(another).await;
    }

    #[tokio::test]
    async fn a_log_lives_with_it_and_refuses_another_database() {
        let (world, store) = (World::new(), Arc::new(InMemory::new()));
        let anchor = Arc::new(ObjectStoreAnchor::connect(store, "anchor").await.unwrap());
        let config = |world: &World, process| {
            let signer = Arc::new(Ed25519Signer::new(key(ORIGIN, 7)));
            let writer = WriterId::v8(u128::from(process).to_be_bytes());
            let index = IndexKey::from_bytes([5; 32]);
            LogConfig::new(signer, anchor.clone(), retention(10), index, writer, world.clock.clone())
                .entropy(Arc::new(SeededEntropy::new(process)))
        };
        let log = Log::create(world.backend.clone(), config(&world, 1u64)).await.unwrap();
        append(&log, begin(&log, 1, 3)).await;
        log.publish().await.unwrap();
        drop(log);
        let log = Log::open(world.backend.clone(), config(&world, 2)).await.unwrap();
        assert_eq!(log.size().await.unwrap(), FIRST + 3);
        let other = World::new();
        Log::create(other.backend.clone(), other.config()).await.unwrap();
        assert!(
            Log::open(other.backend.clone(), config(&other, 3)).await.is_err(),
            "a smaller log than the anchored one"
        );
    }

    #[tokio::test]
    async fn a_store_without_conditions_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let refused = ObjectStoreAnchor::connect(store, "anchor").await.unwrap_err();
        assert!(matches!(refused, AnchorError::NotConditional { .. }), "{refused}");
        // One that answers politely and overwrites all the same.
        for ignored in [Ignored::IfAbsent, Ignored::IfUnchanged] {
            let store = Arc::new(Scripted::new().ignoring(ignored));
            let refused = ObjectStoreAnchor::connect(store, "anchor").await.unwrap_err();
            assert!(matches!(refused, AnchorError::NotConditional { .. }), "{refused}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_got_lost_is_an_error_and_then_found() {
        let store = Scripted::new();
        let anchor = ObjectStoreAnchor::connect(Arc::new(store.clone()), "anchor").await.unwrap();
        store.cut_off(0, Fate::AnswerLost);
        let lost = anchor.publish(None, &anchors::note(3, 1)).await.unwrap_err();
        assert!(matches!(lost, AnchorError::Unavailable { .. }), "{lost}");
        store.mend();
        let again = anchor.publish(None, &anchors::note(3, 1)).await.unwrap();
        assert_eq!(again, Published::Holds(Some(anchors::note(3, 1))));
    }

    #[tokio::test]
    async fn an_object_that_is_no_checkpoint_is_not_overwritten() {
        let store = Arc::new(InMemory::new());
        let anchor = ObjectStoreAnchor::connect(store.clone(), "anchor").await.unwrap();
        store.put_opts(&"anchor".into(), "something else".into(), PutMode::Create.into()).await.unwrap();
        let refused = anchor.publish(Some(b"something else"), &anchors::note(3, 1)).await.unwrap_err();
        assert!(matches!(refused, AnchorError::NotACheckpoint { .. }), "{refused}");
    }
}
