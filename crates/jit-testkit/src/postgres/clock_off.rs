//! A program whose clock is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MISSING: &str = "libfaketime was not found: install it (Debian: apt-get install faketime)";

/// The words to put before a program, so that it runs by a clock that is off by so many seconds, ahead if positive. What it measures
/// of time that passes is right.
///
/// # Panics
/// If libfaketime is not on this machine; the message says how to install it.
pub(super) fn clock_off_by(seconds: i64) -> [String; 4] {
    let library = library().expect(MISSING);
    [
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME={seconds:+}s"),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ]
}

fn library() -> Option<PathBuf> {
    let file = Path::new("faketime/libfaketime.so.1");
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let below = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    folders.into_iter().chain(below).map(|folder| folder.join(file)).find(|path| path.is_file())
}
