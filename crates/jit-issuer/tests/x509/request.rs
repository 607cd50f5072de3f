//! Certificate requests from anybody: read, or refused with a reason, never a panic.

use std::sync::LazyLock;

use data_encoding::BASE64;
use jit_issuer::x509::{MAX_REQUEST, SubjectKey, SubjectKeyError};
use proptest::prelude::*;

use super::pki::{ED25519, P256, STANDARD};

fn request(name: &str, algorithm: &[&str]) -> Vec<u8> {
    let (key, file) = (format!("{name}.key"), format!("{name}.der"));
    STANDARD.key(name, algorithm);
    let args = ["req", "-new", "-config", "ca.conf", "-key", &key, "-subj", "/CN=x", "-outform", "DER", "-out", &file];
    STANDARD.openssl(&args);
    std::fs::read(STANDARD.path(&file)).unwrap()
}

static GOOD: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| [request("r-p256", P256), request("r-ed25519", ED25519)]);

#[test]
fn weak_and_unknown_keys_are_refused() {
    let weak = request("r-rsa1024", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    assert_eq!(SubjectKey::from_csr_der(&weak), Err(SubjectKeyError::Unusable));
    let tiny = request("r-rsa512", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:512"]);
    assert_eq!(SubjectKey::from_csr_der(&tiny), Err(SubjectKeyError::Unusable));
    let unknown = request("r-p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    assert_eq!(SubjectKey::from_csr_der(&unknown), Err(SubjectKeyError::Unusable));
    let explicit = ["-pkeyopt", "ec_param_enc:explicit"];
    let explicit = request("r-explicit", &[P256, &explicit].concat());
    assert!(SubjectKey::from_csr_der(&explicit).is_err());
}

#[test]
fn a_request_signed_with_another_key_is_refused() {
    for good in GOOD.iter() {
        let mut wrong = good.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(SubjectKey::from_csr_der(&wrong), Err(SubjectKeyError::WrongSignature));
    }
    // The key of one request in the place of another's, under the other's signature.
    let other = request("r-p256-other", P256);
    let key = |der: &[u8]| SubjectKey::from_csr_der(der).unwrap().public().as_der().to_vec();
    let (mine, theirs) = (key(&GOOD[0]), key(&other));
    let at = GOOD[0].windows(mine.len()).position(|window| window == mine).unwrap();
    let mut swapped = GOOD[0].clone();
    swapped[at..at + mine.len()].copy_from_slice(&theirs);
    assert_eq!(SubjectKey::from_csr_der(&swapped), Err(SubjectKeyError::WrongSignature));
}

#[test]
fn huge_and_deep_requests_are_refused() {
    assert_eq!(SubjectKey::from_csr_der(&vec![0x30; MAX_REQUEST + 1]), Err(SubjectKeyError::TooLong));
    assert_eq!(SubjectKey::from_csr_pem(&"x".repeat(2 * MAX_REQUEST + 1)), Err(SubjectKeyError::TooLong));
    let mut deep = Vec::new();
    while deep.len() < MAX_REQUEST - 8 {
        let length = u16::try_from(deep.len()).unwrap().to_be_bytes();
        deep = [&[0x30, 0x82], &length[..], &deep].concat();
    }
    assert_eq!(SubjectKey::from_csr_der(&deep), Err(SubjectKeyError::Malformed));
    assert_eq!(SubjectKey::from_csr_der(&[]), Err(SubjectKeyError::Malformed));
    let certificate = STANDARD.read("issuing.pem");
    assert_eq!(SubjectKey::from_csr_pem(&certificate), Err(SubjectKeyError::Malformed));
    let padded = [GOOD[0].as_slice(), &[0]].concat();
    assert_eq!(SubjectKey::from_csr_der(&padded), Err(SubjectKeyError::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_no_request(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(SubjectKey::from_csr_der(&bytes).is_err());
        prop_assert!(SubjectKey::from_spki_der(&bytes).is_err());
        let armoured = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", BASE64.encode(&bytes)
        );
        prop_assert!(SubjectKey::from_csr_pem(&armoured).is_err());
    }

    #[test]
    fn a_changed_request_is_refused(which in 0_usize..2, place: prop::sample::Index, bit in 0_u8..8, cut: bool) {
        let good = &GOOD[which];
        prop_assert!(SubjectKey::from_csr_der(good).is_ok());
        let mut changed = good.clone();
        if cut {
            changed.truncate(place.index(good.len()));
        } else {
            changed[place.index(good.len())] ^= 1 << bit;
        }
        prop_assert!(SubjectKey::from_csr_der(&changed).is_err());
    }

    #[test]
    fn random_text_is_no_request(text in "\\PC{0,400}") {
        prop_assert!(SubjectKey::from_csr_pem(&text).is_err());
    }
}
