//! Payload files are complete after every export that includes them, whatever exports left them out before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{fs, path::Path};

use jit_store::ExportPayloads;
use support::{World, append, begin};

/// The indexes of the payload lines in a file.
fn indexes(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["index"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn an_export_that_left_payloads_out_hides_none_from_the_next() {
    let world = World::new();
    let log = world.create().await;
    let folder = world.folder("tiles");
    append(&log, begin(&log, 1, 268)).await;
    log.export(&folder, ExportPayloads::Include).await.unwrap();
    assert_eq!(indexes(&folder.join("payload/001")), (256..270).collect::<Vec<_>>());
    append(&log, begin(&log, 2, 10)).await;
    log.export(&folder, ExportPayloads::Leave).await.unwrap();
    log.export(&folder, ExportPayloads::Include).await.unwrap();
    assert_eq!(indexes(&folder.join("payload/001")), (256..280).collect::<Vec<_>>());
    assert_eq!(indexes(&folder.join("payload/000")), (0..256).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_export_cut_off_between_entries_and_payloads_is_completed() {
    let world = World::new();
    let log = world.create().await;
    let folder = world.folder("tiles");
    append(&log, begin(&log, 1, 8)).await;
    log.export(&folder, ExportPayloads::Include).await.unwrap();
    let short = fs::read(folder.join("payload/000")).unwrap();
    append(&log, begin(&log, 2, 10)).await;
    log.export(&folder, ExportPayloads::Include).await.unwrap();
    let whole = fs::read(folder.join("payload/000")).unwrap();
    fs::write(folder.join("payload/000"), &short).unwrap();
    fs::remove_file(folder.join("payload/checkpoint")).unwrap();
    log.export(&folder, ExportPayloads::Include).await.unwrap();
    assert_eq!(fs::read(folder.join("payload/000")).unwrap(), whole);
    let again = log.export(&folder, ExportPayloads::Include).await.unwrap();
    assert_eq!(again.files, 0, "nothing is written again");
}
