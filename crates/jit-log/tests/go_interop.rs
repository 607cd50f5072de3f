//! What is published verifies with unmodified golang.org/x/mod/sumdb.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jit_log::{CHECKPOINT_PATH, TileBuilder, leaf_hash};

mod golden;

use golden::Files;

/// The Go program and a log to give it, in a folder of their own below the target folder.
struct Verifier {
    program: PathBuf,
    folder: PathBuf,
}

impl Verifier {
    fn build(name: &str) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = target.join(format!("go-interop-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("vkey"), format!("{}\n", golden::LOG_VKEY)).unwrap();
        fs::write(folder.join("witness"), format!("{}\n", golden::WITNESS_VKEY)).unwrap();
        let program = folder.join("verify");
        let built = Command::new("go")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go"))
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
        Self { program, folder }
    }

    fn run(&self, files: &Files) -> Output {
        self.command(files).output().unwrap()
    }

    /// As a reader who also wants the witness to have cosigned.
    fn run_with_witness(&self, files: &Files) -> Output {
        self.command(files).arg(self.folder.join("witness")).output().unwrap()
    }

    fn command(&self, files: &Files) -> Command {
        let log = self.folder.join("log");
        let _ = fs::remove_dir_all(&log);
        for (path, file) in &files.0 {
            let path = log.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let mut command = Command::new(&self.program);
        command.arg(log).arg(self.folder.join("vkey"));
        command
    }

    #[track_caller]
    fn accepts(&self, files: &Files, size: u64) {
        let output = self.run(files);
        assert!(output.status.success(), "size {size}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("ok size={size}\n"));
    }

    #[track_caller]
    fn refuses(&self, files: &Files, what: &str) {
        let output = self.run(files);
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert_eq!(output.stdout, b"", "{what}");
        assert_ne!(output.stderr, b"", "{what}");
    }
}

/// The published log under the checkpoint that the witness has cosigned.
fn export_cosigned(size: u64) -> Files {
    let mut builder = TileBuilder::new();
    for index in 0..size {
        builder.push(leaf_hash(&golden::entry(index))).unwrap();
    }
    let mut files = golden::export(size);
    files.0.insert(CHECKPOINT_PATH.to_owned(), golden::checkpoint_note(&builder, true).to_bytes());
    files
}

#[test]
fn the_exported_log_verifies_with_go() {
    let verifier = Verifier::build("accepts");
    verifier.accepts(&export_cosigned(300), 300);
    for size in [1, 2, 5, 255, 256, 257, 512, 1000] {
        verifier.accepts(&golden::export(size), size);
    }
}

#[test]
fn the_cosignature_verifies_with_go() {
    let verifier = Verifier::build("cosignature");
    let files = export_cosigned(300);
    let output = verifier.run_with_witness(&files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok size=300\n");
    // Without a cosignature, and with one that was made at another time.
    assert_eq!(verifier.run_with_witness(&golden::export(300)).status.code(), Some(1));
    let mut redated = files;
    let note = String::from_utf8(redated.0[CHECKPOINT_PATH].clone()).unwrap();
    assert!(note.contains(" JaafmgAAAABlU/EA"));
    let note = note.replace(" JaafmgAAAABlU/EA", " JaafmgAAAABlU/EB");
    redated.0.insert(CHECKPOINT_PATH.to_owned(), note.into_bytes());
    assert_eq!(verifier.run_with_witness(&redated).status.code(), Some(1));
    verifier.accepts(&redated, 300);
}

#[test]
fn go_refuses_a_flipped_bit_in_each_file_and_each_file_missing() {
    let verifier = Verifier::build("refuses");
    let files = export_cosigned(300);
    for (path, file) in &files.0 {
        for at in [0, file.len() / 3, file.len() / 2] {
            let mut changed = files.clone();
            changed.0.get_mut(path).unwrap()[at] ^= 1;
            verifier.refuses(&changed, &format!("flip in byte {at} of {path}"));
        }
        let mut without = files.clone();
        without.0.remove(path);
        verifier.refuses(&without, &format!("{path} removed"));
    }
    let mut other_root = files;
    let other = golden::export(299).0.remove(CHECKPOINT_PATH).unwrap();
    other_root.0.insert(CHECKPOINT_PATH.to_owned(), other);
    verifier.refuses(&other_root, "checkpoint of another size");
}
