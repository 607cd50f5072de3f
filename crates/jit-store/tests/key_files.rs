//! Private keys lie in files that nobody but their owner may read, in the form other tools write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};

use jit_log::{KeyName, Origin, VerifierKey};
use jit_store::{CheckpointSigner, Ed25519Signer, KeyFile, KeyFileError};
use support::{ORIGIN, key};

#[tokio::test]
async fn a_generated_key_is_read_again_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, origin) = (folder.path().join("log.key"), Origin::parse(ORIGIN).unwrap());
    let made = Ed25519Signer::generate(&origin, &path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let read = Ed25519Signer::from_file(&path).unwrap();
    assert_eq!(read.verifier(), made.verifier());
    assert_eq!(read.sign("text\n").await.unwrap(), made.sign("text\n").await.unwrap());
    let before = fs::read(&path).unwrap();
    assert!(matches!(Ed25519Signer::generate(&origin, &path), Err(KeyFileError::File { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    let other = Ed25519Signer::generate(&origin, folder.path().join("other.key")).unwrap();
    assert_ne!(other.verifier(), made.verifier());
}

#[test]
fn the_form_is_that_of_go_and_each_kind_of_key_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    // sumdb/note writes keys so.
    let path = folder.path().join("log.key");
    let write = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let encoded = key(ORIGIN, 7).encode();
    for text in [encoded.to_string(), format!("{}\n", *encoded)] {
        write(&text);
        let vkey: VerifierKey = Ed25519Signer::from_file(&path).unwrap().verifier();
        assert_eq!(vkey, key(ORIGIN, 7).verifier());
        assert!(matches!(KeyFile::new(&path).cosigner(), Err(KeyFileError::Key { .. })), "not a witness's");
    }
    let witness = KeyFile::new(folder.path().join("witness.key"));
    witness.generate_cosigner(KeyName::parse("witness.example/w").unwrap()).unwrap();
    let error = Ed25519Signer::from_file(folder.path().join("witness.key")).unwrap_err();
    assert!(matches!(error, KeyFileError::Key { .. }), "{error}");
    for text in ["", "PRIVATE+KEY+", &encoded[..encoded.len() - 4], &format!("{}\n\n", *encoded), &"x".repeat(4096)] {
        write(text);
        let error = Ed25519Signer::from_file(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Key { .. }), "{error}");
        assert!(!format!("{error:?}").contains(&encoded[60..80]), "errors hold no secret");
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(Ed25519Signer::from_file(&path), Err(KeyFileError::File { .. })));
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.key");
    Ed25519Signer::generate(&Origin::parse(ORIGIN).unwrap(), &path).unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660, 0o601, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Ed25519Signer::from_file(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { mode: found, .. } if found == mode), "{error}");
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Ed25519Signer::from_file(&path).unwrap();
    }
    let missing = Ed25519Signer::from_file(folder.path().join("missing"));
    assert!(matches!(missing, Err(KeyFileError::File { .. })));
}
