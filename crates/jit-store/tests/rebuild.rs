//! Projections that were lost are written again from the records, and are what they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use jit_core::IndexKey;
use jit_store::{Backend as _, Log, MemoryBackend, Projections, RebuildError, rebuild_projections};
use support::{
    World, append, begin,
    doctored::{Doctored, Edit},
    dump::Dump,
    lived::lived,
};

async fn world() -> (World, Log) {
    let world = World::new();
    let log = world.create().await;
    for number in 0..200 {
        append(&log, lived(&world, &log, number, 7)).await;
    }
    (world, log)
}

#[tokio::test]
async fn truncated_projections_are_rebuilt_as_they_were() {
    let (world, log) = world().await;
    let before = Dump::of(&*world.backend, &[]).await;
    assert!(before.head.size > 1024, "more than a page");
    // An empty rebuild is what truncated tables are.
    world.backend.rebuild().await.unwrap().commit().await.unwrap();
    assert!(world.backend.scan_streams(None, 1).await.unwrap().is_empty());
    assert!(!log.fsck(None, &mut |_| {}).await.unwrap().is_clean());

    let mut told = Vec::new();
    let rebuilt = log.rebuild_projections(&mut |done, total| told.push((done, total))).await.unwrap();
    assert_eq!((rebuilt.records, rebuilt.lookups), (before.head.size, before.lookups.len() as u64));
    assert_eq!(told.last(), Some(&(before.head.size, before.head.size)));
    let after = Dump::of(&*world.backend, &[]).await;
    assert_eq!((&after.streams, &after.lookups, &after.due), (&before.streams, &before.lookups, &before.due));
    let report = log.fsck(None, &mut |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    append(&log, begin(&log, 9000, 1)).await;
}

#[tokio::test]
async fn nothing_is_rebuilt_from_damaged_records_or_with_another_key() {
    let (world, _log) = world().await;
    let key = || IndexKey::from_bytes([5; 32]);
    let before = Dump::of(&*world.backend, &[]).await;
    let refused = async |edit: Edit, key: IndexKey| {
        let memory = MemoryBackend::new();
        let batch = jit_store::Batch {
            head: before.head.clone(),
            rows: before.rows.values().cloned().collect(),
            tiles: vec![],
            projections: Projections { streams: vec![], ..Projections::default() },
            blobs: vec![],
        };
        memory.create(before.meta.clone(), batch).await.unwrap();
        let refused = rebuild_projections(&Doctored::new(memory.clone(), edit), key, &mut |_, _| {}).await;
        assert!(memory.scan_streams(None, 9).await.unwrap().is_empty(), "nothing was replaced");
        assert_eq!(
            rebuild_projections(&memory, IndexKey::from_bytes([5; 32]), &mut |_, _| {}).await.unwrap().records,
            1402
        );
        refused.unwrap_err()
    };
    let damaged = Edit { row: Some(|row| row.header.truncate(9)), ..Edit::default() };
    assert!(matches!(refused(damaged, key()).await, RebuildError::Read(_)));
    assert!(matches!(refused(Edit::default(), IndexKey::from_bytes([6; 32])).await, RebuildError::OtherIndexKey));
    let nothing = rebuild_projections(&MemoryBackend::new(), key(), &mut |_, _| {}).await;
    assert!(matches!(nothing, Err(RebuildError::NotCreated)));
}
