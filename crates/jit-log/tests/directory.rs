//! The directory verifier says what it could not verify instead of calling it verified.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use std::error::Error;

use jit_log::{
    CHECKPOINT_PATH, Checkpoint, DirectoryError, DirectoryVerifier, Hash, MAX_TREE_SIZE, TileSource, TrustError,
    TrustPolicy, VerifierKey,
};

mod golden;

fn policy() -> TrustPolicy {
    TrustPolicy::new_log_only(VerifierKey::parse(golden::LOG_VKEY).unwrap()).unwrap()
}

#[test]
fn an_empty_log_verifies_only_where_that_is_asked_for() {
    let policy = policy();
    let verifier = DirectoryVerifier::new(&policy);
    let mut empty = golden::export(0);
    let refused = verifier.verify(&mut empty, |_, _| Ok(()));
    assert!(matches!(refused, Err(DirectoryError::Empty)), "{refused:?}");
    let report = verifier.clone().allow_empty().verify(&mut empty, |_, _| Ok(())).unwrap();
    assert_eq!((report.entries(), report.tiles()), (0, 0));

    empty.0.clear();
    let nothing = verifier.allow_empty().verify(&mut empty, |_, _| Ok(()));
    assert!(matches!(&nothing, Err(DirectoryError::Missing { path }) if path == CHECKPOINT_PATH), "{nothing:?}");
}

#[test]
fn another_log_is_refused_before_anything_else_is_read() {
    let mut files = golden::export(5);
    files.0.retain(|path, _| path == CHECKPOINT_PATH);
    let other = jit_log::SignerKey::from_seed(golden::origin(), [1; 32]).verifier();
    let policy = TrustPolicy::new_log_only(other).unwrap();
    let refused = DirectoryVerifier::new(&policy).verify(&mut files, |_, _| Ok(()));
    assert!(matches!(refused, Err(DirectoryError::Trust(TrustError::Note(_)))), "{refused:?}");
}

#[test]
fn an_entry_that_the_caller_refuses_ends_the_verification_with_its_index() {
    let mut seen = Vec::new();
    let refused = DirectoryVerifier::new(&policy()).verify(&mut golden::export(257), |index, _| {
        seen.push(index);
        if index == 256 { Err("not canonical".into()) } else { Ok(()) }
    });
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "entry 256 is refused: not canonical");
    assert_eq!(seen, (0..=256).collect::<Vec<_>>());
}

#[test]
fn what_the_source_says_is_kept() {
    struct Broken;
    impl TileSource for Broken {
        type Error = std::io::Error;
        fn read(&mut self, _: &str) -> Result<Option<Vec<u8>>, std::io::Error> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    let error = DirectoryVerifier::new(&policy()).verify(&mut Broken, |_, _| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "checkpoint cannot be read");
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");
}

#[test]
fn the_largest_size_that_can_be_signed_ends_at_the_first_missing_file() {
    let root = Hash::from_bytes([1; 32]);
    let largest = Checkpoint::new(golden::origin(), MAX_TREE_SIZE, root).unwrap();
    let mut files = golden::export(5);
    files.0.insert(CHECKPOINT_PATH.to_owned(), largest.sign(&[&golden::log_key()]).unwrap().to_bytes());
    let error = DirectoryVerifier::new(&policy()).verify(&mut files, |_, _| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "tile/0/000 is missing");
    assert!(Checkpoint::new(golden::origin(), MAX_TREE_SIZE + 1, root).is_err());
}
