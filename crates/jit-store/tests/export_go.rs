//! An export verifies with unmodified golang.org/x/mod/sumdb, grown or fresh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jit_store::{ExportPayloads, Log};
use support::{FIRST, World, append, begin};

/// The program that verifies a folder.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = target.join("verify-export");
    let built = Command::new("go")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../jit-log/tests/go"))
        .args(["build", "-o"])
        .arg(&program)
        .arg("main.go")
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOFLAGS", "")
        .env("GOCACHE", target.join("go-cache"))
        .output();
    let packages = "install the Debian packages golang-go and golang-golang-x-mod-dev";
    let built = built.unwrap_or_else(|error| panic!("go: {error}; {packages}"));
    assert!(built.status.success(), "{}\n{packages}", String::from_utf8_lossy(&built.stderr));
    program
}

fn verify(program: &Path, log: &Log, world: &World, folder: &Path) -> Output {
    let key = world.folder("vkey");
    fs::write(&key, format!("{}\n", log.trust().log_keys().next().unwrap())).unwrap();
    Command::new(program).arg(folder).arg(key).output().unwrap()
}

#[tokio::test]
async fn go_verifies_every_export_of_a_growing_log_and_no_damaged_one() {
    let (program, world) = (build(), World::new());
    let log = world.create().await;
    let folder = world.folder("out");
    let mut size = FIRST;
    for (case, records) in [(1, 3), (2, 251), (3, 1), (4, 300), (5, 700)] {
        append(&log, begin(&log, case, records)).await;
        size += records as u64;
        log.export(&folder, ExportPayloads::Include).await.unwrap();
        let verified = verify(&program, &log, &world, &folder);
        assert!(verified.status.success(), "size {size}: {}", String::from_utf8_lossy(&verified.stderr));
        assert_eq!(String::from_utf8_lossy(&verified.stdout), format!("ok size={size}\n"));
    }
    let tile = folder.join("tile/entries/002");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[100] ^= 1;
    fs::write(&tile, bytes).unwrap();
    assert!(!verify(&program, &log, &world, &folder).status.success());
}
