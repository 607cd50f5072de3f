//! A log on a SQLite file, from its creation to its export, over several openings.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_core::Expected;
use jit_store::{AppendError, AppendRequest, ExportPayloads, MemoryBackend, OpenError, SqliteBackend, SqliteError};
use support::{FIRST, World, begin, case, chain, publish, root_of_rows};

/// Opens the file as soon as the tasks of the log that was dropped let go of it.
async fn reopen(path: &std::path::Path) -> Arc<SqliteBackend> {
    loop {
        match SqliteBackend::open(path).await {
            Err(SqliteError::InUse { .. }) => tokio::task::yield_now().await,
            opened => return Arc::new(opened.unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_continued_after_its_file_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.db");
    let mut world = World::over(Arc::new(SqliteBackend::create_new(&path).await.unwrap()));
    assert!(matches!(world.open().await, Err(OpenError::NotCreated)));
    let log = world.create().await;
    let receipt = publish(&log, begin(&log, 1, 300)).await;
    let signed = receipt.checkpoint().checkpoint().size();
    assert_eq!(signed, FIRST + 300);
    drop((log, receipt));

    // The file is closed when nobody has it any more.
    world.backend = Arc::new(MemoryBackend::new());
    world.backend = reopen(&path).await;
    let log = world.open().await.unwrap();
    let found = log.stream(&case(1)).await.unwrap();
    assert_eq!(found.len(), 300);
    let head = found[299].record().head();
    let more = chain(&log, case(1), Some(head), 300);
    publish(&log, AppendRequest::new().records(case(1), Expected::At(head), more)).await;
    assert!(matches!(log.append(begin(&log, 1, 1)).await, Err(AppendError::Conflict { .. })));
    assert_eq!(log.stream(&case(1)).await.unwrap().len(), 600);

    let last = log.publish().await.unwrap();
    assert!(last.checkpoint().size() >= signed + 300);
    let stored = root_of_rows(&*world.backend).await;
    assert_eq!(stored, (last.checkpoint().size(), last.checkpoint().root()));
    log.export(world.folder("export"), ExportPayloads::Include).await.unwrap();
    assert!(world.folder("export").join("checkpoint").exists());
}
