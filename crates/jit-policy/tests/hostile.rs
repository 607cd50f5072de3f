//! Hostile documents: typed errors within bounds, and no panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use jit_core::*;
use jit_policy::*;
use proptest::prelude::*;
use support::*;

fn name() -> SystemName {
    SystemName::new("directory").unwrap()
}

const DIRECTORY: &[u8] = br#"{"entities":[{"uid":{"type":"human","id":"idp|alice"},"attrs":{"n":1},"parents":[{"type":"group","id":"g"}]}],"approvers":{"sre":[{"identity":{"issuer":"idp","subject":"bob"}}]}}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (SnapshotDocument::parse(&bytes), CanonicalInput::parse(&bytes), EntityDirectory::parse(name(), &bytes));
    }

    #[test]
    fn mutated_documents_are_the_same_or_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let flip = |bytes: &[u8]| {
            let mut flipped = bytes.to_vec();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            flipped
        };
        let snapshot = document().to_bytes().unwrap();
        prop_assert!(SnapshotDocument::parse(&flip(&snapshot)).is_err() || SnapshotDocument::parse(&flip(&snapshot)).unwrap().digest() != document().digest());
        let input = input("db:prod/orders", &["read"]);
        if let Ok(read) = CanonicalInput::parse(&flip(input.as_bytes())) {
            prop_assert!(read.digest() != input.digest());
        }
        let _ = EntityDirectory::parse(name(), &flip(DIRECTORY));
    }
}

#[test]
fn what_is_too_large_or_doubled_is_refused() {
    assert!(matches!(
        EntityDirectory::parse(name(), &vec![b' '; MAX_DIRECTORY_BYTES + 1]),
        Err(DirectoryError::TooLarge)
    ));
    assert!(matches!(CanonicalInput::parse(&vec![b' '; MAX_INPUT_BYTES + 1]), Err(InputError::TooLarge)));
    assert!(SnapshotDocument::parse(&vec![b' '; MAX_DOCUMENT_BYTES + 1]).is_err());
    let twice = br#"{"entities":[{"uid":{"type":"group","id":"g"},"attrs":{},"parents":[]},{"uid":{"type":"group","id":"g"},"attrs":{},"parents":[]}],"approvers":{}}"#;
    assert!(matches!(EntityDirectory::parse(name(), twice), Err(DirectoryError::Repeated(_))));
    for path in ["", "/a", "a/../b", "a//b", "../a", "a/", "a\nb"] {
        assert!(FilePath::new(path).is_err(), "{path:?}");
    }
}

#[test]
fn attributes_may_not_use_reserved_keys() {
    for attrs in [r#"{"$absent":1}"#, r#"{"a":{"$x":1}}"#] {
        let document = format!(
            r#"{{"entities":[{{"uid":{{"type":"human","id":"x"}},"attrs":{attrs},"parents":[]}}],"approvers":{{}}}}"#
        );
        assert!(EntityDirectory::parse(name(), document.as_bytes()).is_err());
    }
}
