//! That signing keys sign what others verify, read what others write, and show nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use data_encoding::HEXLOWER;
use jit_issuer::key::{KeyAlgorithm, KeyError, LocalKey, PublicKey, PublicKeyParts, SigningKey};
use jit_testkit::{Canary, SeededEntropy};
use tempfile::TempDir;

const ALGORITHMS: [KeyAlgorithm; 3] =
    [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256Sha256, KeyAlgorithm::RsaPkcs1Sha256];

fn openssl(args: &[&str]) -> Output {
    Command::new("openssl").args(args).output().expect("openssl is needed: apt-get install openssl")
}

/// A private key as OpenSSL makes and writes it.
fn genpkey(folder: &Path, algorithm: KeyAlgorithm) -> String {
    let path = folder.join("key.pem").to_str().unwrap().to_owned();
    let args: &[&str] = match algorithm {
        KeyAlgorithm::Ed25519 => &["-algorithm", "ed25519"],
        KeyAlgorithm::EcdsaP256Sha256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        _ => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    };
    let made = openssl(&[&["genpkey", "-quiet", "-out", &path], args].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Whether OpenSSL takes the signature, under the public key as `key` states it.
fn verifies(folder: &Path, key: &dyn SigningKey, message: &[u8], signature: &[u8]) -> bool {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (public, data, sig) = (path("public.der"), path("data"), path("sig"));
    fs::write(&public, key.public_key()).unwrap();
    fs::write(&data, message).unwrap();
    let signature = match key.algorithm() {
        KeyAlgorithm::EcdsaP256Sha256 => ecdsa_der(signature),
        _ => signature.to_vec(),
    };
    fs::write(&sig, signature).unwrap();
    let answer = match key.algorithm() {
        KeyAlgorithm::Ed25519 => openssl(&[
            "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", &public, "-in", &data, "-sigfile",
            &sig,
        ]),
        _ => openssl(&["dgst", "-sha256", "-keyform", "DER", "-verify", &public, "-signature", &sig, &data]),
    };
    answer.status.success()
}

/// `SEQUENCE { INTEGER r, INTEGER s }`, which OpenSSL wants.
fn ecdsa_der(fixed: &[u8]) -> Vec<u8> {
    assert_eq!(fixed.len(), 64);
    let integer = |half: &[u8]| {
        let start = half.iter().position(|byte| *byte != 0).unwrap();
        let digits = &half[start..];
        let pad: &[u8] = if digits[0] & 0x80 == 0 { &[] } else { &[0] };
        [&[2, u8::try_from(pad.len() + digits.len()).unwrap()], pad, digits].concat()
    };
    let body = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

#[tokio::test]
async fn openssl_verifies_what_its_keys_sign_here() {
    for algorithm in ALGORITHMS {
        let folder = TempDir::new().unwrap();
        let path = genpkey(folder.path(), algorithm);
        let key = LocalKey::from_file(&path).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let public = openssl(&["pkey", "-in", &path, "-pubout", "-outform", "DER"]).stdout;
        assert_eq!(HEXLOWER.encode(key.public_key()), HEXLOWER.encode(&public), "{algorithm:?}");
        assert_eq!(PublicKey::from_spki_der(&public).unwrap(), *key.public());
        let signature = key.sign(b"a message").await.unwrap();
        assert!(verifies(folder.path(), &key, b"a message", &signature), "{algorithm:?}");
        assert!(!verifies(folder.path(), &key, b"a massage", &signature), "{algorithm:?}");
        assert_eq!(signature, key.sign(b"a message").await.unwrap(), "{algorithm:?} signs deterministically");
    }
}

#[tokio::test]
async fn openssl_verifies_what_generated_keys_sign() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256Sha256] {
        let folder = TempDir::new().unwrap();
        let key = LocalKey::generate(algorithm, &SeededEntropy::new(5)).unwrap();
        let signature = key.sign(b"a message").await.unwrap();
        assert!(verifies(folder.path(), &key, b"a message", &signature), "{algorithm:?}");
        let again = LocalKey::generate(algorithm, &SeededEntropy::new(6)).unwrap();
        assert_ne!(key.public(), again.public());
    }
    let refused = LocalKey::generate(KeyAlgorithm::RsaPkcs1Sha256, &SeededEntropy::new(5)).unwrap_err();
    assert!(matches!(refused, KeyError::NotGenerated(KeyAlgorithm::RsaPkcs1Sha256)));
}

/// RFC 6979 appendix A.2.5, with SHA-256 and message "sample".
#[tokio::test]
async fn the_ecdsa_signature_of_the_rfc_is_reproduced() {
    let hex = |text: &str| HEXLOWER.decode(text.to_lowercase().as_bytes()).unwrap();
    let scalar = hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    // ECPrivateKey (RFC 5915) in PKCS#8.
    let header =
        hex("3041020100301306072a8648ce3d020106082a8648ce3d03010704273025020101 0420".replace(' ', "").as_str());
    let key = LocalKey::from_pkcs8_der(&[header, scalar].concat()).unwrap();
    let PublicKeyParts::P256 { x, y } = key.public().parts() else { panic!("not P-256") };
    assert_eq!(x.to_vec(), hex("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"));
    assert_eq!(y.to_vec(), hex("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"));
    let signature = key.sign(b"sample").await.unwrap();
    assert_eq!(
        signature,
        hex(concat!(
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        ))
    );
}

/// RFC 7638 section 3.1 (RSA) and RFC 8037 appendix A.3 (Ed25519).
#[test]
fn the_thumbprints_of_the_rfcs_are_reproduced() {
    let b64 = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    let seed = b64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").try_into().unwrap();
    let key = LocalKey::from_ed25519_seed(seed);
    assert_eq!(key.public().thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let n = b64(concat!(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM",
        "stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5",
        "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ));
    let e = [2, 3, 1, 0, 1];
    let pkcs1 = [&[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00], &n[..], &e].concat();
    let header = HEXLOWER.decode(b"30820122300d06092a864886f70d01010105000382010f00").unwrap();
    let key = PublicKey::from_spki_der(&[header, pkcs1].concat()).unwrap();
    assert_eq!(key.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn an_exposed_or_wrong_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = genpkey(folder.path(), KeyAlgorithm::Ed25519);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(LocalKey::from_file(&path), Err(KeyError::Exposed { mode: 0o640, .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for (wrong, args) in [
        ("encrypted", &["pkcs8", "-topk8", "-passout", "pass:x", "-in", &path][..]),
        ("public", &["pkey", "-pubout", "-in", &path]),
        ("other curve", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("weak", &["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
        ("exchange only", &["genpkey", "-algorithm", "X25519"]),
    ] {
        let pem = openssl(args).stdout;
        assert!(pem.starts_with(b"-----BEGIN"), "{wrong}");
        let other = folder.path().join("other.pem");
        fs::write(&other, &pem).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(LocalKey::from_file(&other), Err(KeyError::WrongFile { .. })), "{wrong}");
    }
    assert!(matches!(LocalKey::from_file(folder.path().join("none")), Err(KeyError::File { .. })));
}

#[test]
fn weak_and_foreign_public_keys_are_refused() {
    for args in [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "ed448"],
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key.pem").to_str().unwrap().to_owned();
        assert!(openssl(&[&["genpkey", "-quiet", "-out", &path], args].concat()).status.success());
        let public = openssl(&["pkey", "-in", &path, "-pubout", "-outform", "DER"]).stdout;
        assert!(!public.is_empty());
        assert!(matches!(PublicKey::from_spki_der(&public), Err(KeyError::NotPublic)), "{args:?}");
    }
    let good = LocalKey::from_ed25519_seed([1; 32]).public_key().to_vec();
    for cut in 0..good.len() {
        assert!(PublicKey::from_spki_der(&good[..cut]).is_err());
    }
    assert!(PublicKey::from_spki_der(&[&good[..], &[0]].concat()).is_err());
}

#[test]
fn no_key_shows() {
    const SEED: [u8; 32] = *b"a seed that must be seen nowhere";
    let canary = Canary::new(&SEED);
    canary.assert_absent("Debug of a key", format!("{:?}", LocalKey::from_ed25519_seed(SEED)));
    let mut wrong = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x71\x04\x22\x04\x20".to_vec();
    wrong.extend(SEED);
    let error = LocalKey::from_pkcs8_der(&wrong).unwrap_err();
    canary.assert_absent("an error", format!("{error} {error:?}"));
}
