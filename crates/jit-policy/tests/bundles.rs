//! What is no bundle, no manifest or no document is refused, and the error says why.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use jit_core::{canonical::CanonicalError, *};
use jit_policy::*;
use support::*;

fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

fn of(files: Vec<(FilePath, Vec<u8>)>) -> Result<PolicyBundle, BundleError> {
    PolicyBundle::new(bundle().target().clone(), None, files)
}

#[test]
fn a_bundle_is_bounded() {
    assert_eq!(of(vec![]), Err(BundleError::Empty));
    let many = |count: usize| (0..count).map(|i| (path(&format!("f{i}")), vec![])).collect();
    assert!(of(many(MAX_FILES)).is_ok());
    assert_eq!(of(many(MAX_FILES + 1)), Err(BundleError::TooManyFiles { max: MAX_FILES }));
    assert!(of(vec![(path("a"), vec![0; MAX_FILE_BYTES])]).is_ok());
    assert_eq!(of(vec![(path("a"), vec![0; MAX_FILE_BYTES + 1])]), Err(BundleError::TooLarge { max: MAX_FILE_BYTES }));
    let mut large: Vec<_> = ["a", "b", "c", "d"].map(|p| (path(p), vec![0; MAX_FILE_BYTES])).into();
    assert!(of(large.clone()).is_ok());
    large.push((path("e"), vec![0]));
    assert_eq!(of(large), Err(BundleError::TooLarge { max: MAX_BUNDLE_BYTES }));
}

#[test]
fn a_bundle_names_each_file_once_and_has_its_schema() {
    let twice = vec![(path("a"), vec![1]), (path("a"), vec![1])];
    assert_eq!(of(twice), Err(BundleError::Repeated { path: path("a") }));
    let absent = PolicyBundle::new(bundle().target().clone(), Some(path("s")), [(path("a"), vec![])]);
    assert_eq!(absent, Err(BundleError::SchemaAbsent { path: path("s") }));
}

#[test]
fn the_largest_bundle_there_may_be_survives_its_document() {
    let files: Vec<_> = ["a", "b", "c", "d"].map(|p| (path(p), vec![7; MAX_FILE_BYTES])).into();
    let document = SnapshotDocument::new(of(files).unwrap(), &[rule("a")].into()).unwrap();
    let bytes = document.to_bytes().unwrap();
    assert!(bytes.len() <= MAX_DOCUMENT_BYTES);
    assert_eq!(SnapshotDocument::parse(&bytes).unwrap().digest(), document.digest());
}

/// The document of the test bundle with a text replaced.
fn replaced(from: &str, to: &str) -> BundleError {
    let text = String::from_utf8(document().to_bytes().unwrap()).unwrap();
    assert!(text.contains(from), "{text}");
    SnapshotDocument::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err()
}

/// What went wrong while a document was read, whatever step noticed it.
fn is_refused(error: &BundleError) -> bool {
    matches!(error, BundleError::Canonical(CanonicalError::Deserialize { .. }))
        || matches!(error, BundleError::FileDiffers { .. } | BundleError::FilesDiffer | BundleError::Order)
}

#[test]
fn a_document_holds_what_its_manifest_says() {
    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let other = replaced(&base64(b"a b c"), &base64(b"a b d"));
    assert_eq!(other, BundleError::FileDiffers { path: path("rules") });
    assert_eq!(replaced(&base64(b"a b c"), "?"), BundleError::FileDiffers { path: path("rules") });
    assert_eq!(replaced(r#""length":5"#, r#""length":6"#), BundleError::FileDiffers { path: path("rules") });
    let renamed = replaced(r#""path":"rules"}]"#, r#""path":"rulez"}]"#);
    assert_eq!(renamed, BundleError::FilesDiffer);
    for (from, to) in [
        (r#"{"id":"a"},{"id":"b"}"#, r#"{"id":"b"},{"id":"a"}"#),
        (r#"{"id":"a"},{"id":"b"}"#, r#"{"id":"b"},{"id":"b"}"#),
        (r#"{"id":"a"}"#, r#"{"id":""}"#),
        (r#"{"id":"a"}"#, r#"{"id":"a","x":1}"#),
        (r#""path":"rules"}"#, r#""path":"/rules"}"#),
    ] {
        let error = replaced(from, to);
        assert!(is_refused(&error), "{to}: {error:?}");
    }
}

#[test]
fn a_document_is_canonical() {
    let text = String::from_utf8(document().to_bytes().unwrap()).unwrap();
    for other in [format!(" {text}"), format!("{text}\n"), text.replacen(':', ": ", 1)] {
        assert!(matches!(SnapshotDocument::parse(other.as_bytes()), Err(BundleError::Canonical(_))), "{other}");
    }
}

#[test]
fn an_input_is_bounded_and_ordered() {
    let parts = input("db:prod", &["read"]).parts().clone();
    let with = |entities: Vec<Entity>| CanonicalInput::new(InputParts { entities, ..parts.clone() });
    let groups = |count: usize| (0..count).map(|i| entity("group", &format!("{i:05}"), &[])).collect::<Vec<_>>();
    assert!(with(groups(MAX_ENTITIES)).is_ok());
    assert_eq!(with(groups(MAX_ENTITIES + 1)), Err(InputError::TooManyEntities));
    let mut unsorted = groups(3);
    unsorted.swap(1, 2);
    assert_eq!(with(unsorted), Err(InputError::EntityOrder(EntityUid::new("group", "00001").unwrap())));
    let doubled = [groups(1), groups(1)].concat();
    assert_eq!(with(doubled), Err(InputError::EntityOrder(EntityUid::new("group", "00000").unwrap())));
    let long = |i: usize| entity("group", &format!("{i:04096}"), &[]);
    assert_eq!(with((0..200).map(long).collect()), Err(InputError::TooLarge));
}

/// The canonical bytes of an input with a text replaced, as a record and as bytes.
fn changed(from: &str, to: &str) -> (canonical::Value, Vec<u8>) {
    let text = String::from_utf8(input("db:prod", &["read"]).as_bytes().to_vec()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    let value = canonical::Value::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
    let bytes = value.to_bytes().unwrap();
    (value, bytes)
}

#[test]
fn an_input_is_read_strictly() {
    for (from, to) in [
        ("jit.eval-input/1", "jit.eval-input/2"),
        (r#""facts":{}"#, r#""facts":{},"fancy":1"#),
        (r#""break_glass":false"#, r#""break_glass":"no""#),
        (r#""purpose":"request""#, r#""purpose":"fun""#),
    ] {
        let (value, bytes) = changed(from, to);
        assert!(CanonicalInput::from_value(&value).is_err(), "{to}");
        assert!(CanonicalInput::parse(&bytes).is_err(), "{to}");
    }
}

const UNLIKE_SETS: [&str; 2] = [r#""actions":["read","read"]"#, r#""actions":["write","read"]"#];

#[test]
fn a_recorded_input_whose_sets_are_none_is_refused() {
    for to in UNLIKE_SETS {
        assert!(CanonicalInput::from_value(&changed(r#""actions":["read"]"#, to).0).is_err(), "{to}");
    }
}

#[test]
fn the_bytes_of_an_input_whose_sets_are_none_are_refused() {
    for to in UNLIKE_SETS {
        assert!(CanonicalInput::parse(&changed(r#""actions":["read"]"#, to).1).is_err(), "{to}");
    }
}
