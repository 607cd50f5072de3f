//! A whole exported log: tiles, headers, streams and payloads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{collections::BTreeMap, convert::Infallible, fs, path::Path};

use jit_audit::{Scan, ScanError, scan_log};
use jit_log::{TileSource, TrustPolicy};
use jit_store::ExportPayloads;
use support::{Plan, World};
use tokio::sync::OnceCell;

#[derive(Clone)]
struct Files(BTreeMap<String, Vec<u8>>);

impl TileSource for Files {
    type Error = Infallible;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(path).cloned())
    }
}

fn load(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            load(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(path).unwrap());
        }
    }
}

/// An exported log of a few hundred records, with its payloads.
async fn exported() -> &'static (Files, TrustPolicy, u64) {
    static EXPORTED: OnceCell<(Files, TrustPolicy, u64)> = OnceCell::const_new();
    EXPORTED
        .get_or_init(|| async {
            let world = World::new().await;
            for number in 0..65 {
                world.run(&format!("case {number}"), Plan::Denied).await;
            }
            let folder = tempfile::tempdir().unwrap();
            world.log.export(folder.path(), ExportPayloads::Include).await.unwrap();
            let mut files = BTreeMap::new();
            load(folder.path(), folder.path(), &mut files);
            (Files(files), world.trust.clone(), world.log.size().await.unwrap())
        })
        .await
}

fn scan(files: &Files, trust: &TrustPolicy) -> Result<Scan, ScanError> {
    scan_log(&mut files.clone(), &mut files.clone(), trust)
}

#[tokio::test]
async fn a_whole_log_is_proved_with_its_payloads() {
    let (files, trust, size) = exported().await;
    assert!(*size > 256);
    let found = scan(files, trust).unwrap();
    assert_eq!((found.directory().entries(), found.payloads()), (*size, *size));
    assert_eq!(found.streams(), 65 + 2);

    let mut without = files.clone();
    without.0.retain(|path, _| !path.starts_with("payload"));
    let found = scan(&without, trust).unwrap();
    assert_eq!((found.directory().entries(), found.payloads()), (*size, 0));
}

#[tokio::test]
async fn a_changed_entry_or_payload_is_refused() {
    let (files, trust, _) = exported().await;
    for (path, from, to) in [
        ("payload/000", "INC-7", "INC-8"),
        ("payload/001", "INC-7", "INC-8"),
        ("payload/001", "\"index\":256}", "\"index\":0}"),
        ("payload/000", "{\"fields\"", "{ \"fields\""),
        ("tile/entries/000", "request.submitted", "request.withdrawn"),
    ] {
        let mut changed = files.clone();
        let file = changed.0.get_mut(path).unwrap();
        let text = String::from_utf8_lossy(file).into_owned();
        assert!(text.contains(from), "{path}");
        let at = file.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        file.splice(at..at + from.len(), to.bytes());
        let error = scan(&changed, trust).unwrap_err();
        assert!(error.disproves(), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_missing_file_is_not_provable() {
    let (files, trust, _) = exported().await;
    for path in files.0.keys().filter(|path| !path.starts_with("payload")) {
        let mut changed = files.clone();
        changed.0.remove(path);
        assert!(!scan(&changed, trust).unwrap_err().disproves(), "{path}");
    }
}
