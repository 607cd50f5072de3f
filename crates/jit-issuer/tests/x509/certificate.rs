//! What a certificate says, read by OpenSSL and by Python.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use jit_core::{Code, ExternalDigest, SubjectPublicKey, code};
use jit_issuer::{
    CredentialIssuer, MintAuthorization, MintError, MintPlan,
    key::{KeyAlgorithm, LocalKey},
    x509::{SubjectKey, SubjectKeys},
};
use jit_testkit::{CaseSetup, RecordedCase};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    minted::{ARC, END, Released, START, WORKLOAD, issuer, release, setup},
    pki::{ED25519, P256, Pki, RSA, STANDARD},
};

/// Verifies a released chain against the root, at a moment in Unix seconds. The answer is what OpenSSL printed.
pub(crate) fn verify(pki: &Pki, released: &Released, at: u64, more: &[&str]) -> Result<String, String> {
    let folder = tempfile::tempdir_in(pki.path("")).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (leaf, above, at) = (path("leaf.pem"), path("above.pem"), at.to_string());
    std::fs::write(&leaf, &released.chain[0]).unwrap();
    std::fs::write(&above, released.chain[1..].concat()).unwrap();
    let mut args = vec!["verify", "-x509_strict", "-attime", &at, "-CAfile", "root.pem"];
    if released.chain.len() > 1 {
        args.extend(["-untrusted", above.as_str()]);
    }
    args.extend(more);
    args.push(&leaf);
    let output = pki.try_openssl(&args);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

#[tokio::test]
async fn openssl_verifies_the_chain_within_the_window_and_not_outside() {
    let released = release(&issuer(STANDARD.authority()), setup(1)).await;
    assert_eq!(released.chain.len(), 3, "the certificate and two CAs, without the root");
    for purpose in ["sslclient", "sslserver"] {
        verify(&STANDARD, &released, START, &["-purpose", purpose]).unwrap();
    }
    verify(&STANDARD, &released, END - 2, &[]).unwrap();
    let early = verify(&STANDARD, &released, START - 1, &[]).unwrap_err();
    assert!(early.contains("certificate is not yet valid"), "{early}");
    let late = verify(&STANDARD, &released, END, &[]).unwrap_err();
    assert!(late.contains("certificate has expired"), "{late}");
}

#[tokio::test]
async fn every_kind_of_key_signs_and_is_certified() {
    for algorithm in [ED25519, RSA, P256] {
        let pki = Pki::new();
        pki.root("root", algorithm);
        for (seed, made) in (1..).zip([KeyAlgorithm::EcdsaP256Sha256, KeyAlgorithm::Ed25519]) {
            let issuer = issuer(pki.try_authority("root", &["root"]).unwrap()).with_made_keys(made);
            let released = release(&issuer, setup(seed)).await;
            assert_eq!(released.chain.len(), 1, "a root that issues is not handed out");
            verify(&pki, &released, START, &["-purpose", "sslclient"]).unwrap();
            pki.write("leaf.pem", &released.chain[0]);
            pki.write("leaf.key", &released.key);
            let certified = pki.openssl(&["x509", "-in", "leaf.pem", "-noout", "-pubkey"]);
            assert_eq!(certified, pki.openssl(&["pkey", "-in", "leaf.key", "-pubout"]));
        }
    }
}

#[tokio::test]
async fn a_certificate_says_who_what_when_and_where_the_evidence_is() {
    let released = release(&issuer(STANDARD.authority()), setup(1)).await;
    let descriptor = &released.minted.descriptor;
    let pki = &STANDARD;
    pki.write("says.pem", &released.chain[0]);
    let text = pki.openssl(&["x509", "-in", "says.pem", "-noout", "-text"]);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let after =
        |line: &str| lines[lines.iter().position(|l| *l == line).unwrap_or_else(|| panic!("{line}: {text}")) + 1];

    let serial = descriptor.serial.as_str();
    assert_eq!(serial.len(), 32);
    assert_eq!(after("Serial Number:").replace(':', "").to_uppercase(), serial);
    assert_eq!(pki.openssl(&["x509", "-in", "says.pem", "-noout", "-serial"]), format!("serial={serial}\n"));
    assert!(lines.contains(&format!("Subject: CN = {}", descriptor.id).as_str()), "{text}");
    assert!(lines.contains(&"Issuer: CN = issuing"), "{text}");
    assert!(lines.contains(&"Not Before: Nov  2 10:00:00 2026 GMT"), "{text}");
    assert!(lines.contains(&"Not After : Nov  2 10:59:59 2026 GMT"), "{text}");
    assert_eq!(after("X509v3 Basic Constraints: critical"), "CA:FALSE");
    assert_eq!(after("X509v3 Key Usage: critical"), "Digital Signature");
    assert_eq!(after("X509v3 Extended Key Usage:"), "TLS Web Server Authentication, TLS Web Client Authentication");
    assert_eq!(after("X509v3 Subject Alternative Name:"), format!("URI:{WORKLOAD}"));
    assert_eq!(text.matches("URI:").count(), 1, "{text}");
    assert!(lines.contains(&format!("{ARC}.1:").as_str()), "not critical: {text}");

    let case = released.case.case();
    let expected = [
        descriptor.id.to_string(),
        case.grant_id().to_string(),
        case.decisions().last().unwrap().id.to_string(),
        case.credentials()[&descriptor.id].intended_leaf.to_string(),
        "log.example/test".to_owned(),
        "database:prod/orders".to_owned(),
        "read".to_owned(),
    ];
    assert_eq!(binding_by_asn1parse(pki, "says.pem"), expected);

    pki.openssl(&["x509", "-in", "says.pem", "-outform", "DER", "-out", "says.der"]);
    let digest = Sha256::digest(std::fs::read(pki.path("says.der")).unwrap());
    assert_eq!(descriptor.fingerprint, ExternalDigest::from_bytes(digest.into()));
    assert_eq!(descriptor.window, setup(1).window);
    assert_eq!(descriptor.subject.to_string(), WORKLOAD);
    let seen = python(&released.chain[0]);
    assert_eq!(
        seen,
        json!({
            "serial": serial, "subject": format!("CN={}", descriptor.id), "issuer": "CN=issuing",
            "from": START, "to": END - 1, "uris": [WORKLOAD], "names": 1, "ca": false, "binding": expected,
            "critical": ["basicConstraints", "keyUsage"],
            "sha256": HEXLOWER.encode(&digest),
        })
    );
}

/// The texts of the binding, by the tool that everybody has.
fn binding_by_asn1parse(pki: &Pki, file: &str) -> Vec<String> {
    let parsed = pki.openssl(&["asn1parse", "-in", file]);
    let mut lines = parsed.lines().skip_while(|line| !line.ends_with(&format!(":{ARC}.1")));
    lines.next().unwrap_or_else(|| panic!("{parsed}"));
    let value = lines.next().unwrap();
    assert!(value.contains("OCTET STRING"), "no BOOLEAN for critical comes first: {value}");
    let offset = value.split(':').next().unwrap().trim();
    let inner = pki.openssl(&["asn1parse", "-in", file, "-strparse", offset]);
    let texts = inner.lines().filter_map(|line| line.split_once("UTF8STRING"));
    texts.map(|(_, text)| text.trim().trim_start_matches(':').to_owned()).collect()
}

const READER: &str = r#"
import json, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
c = x509.load_pem_x509_certificate(sys.stdin.buffer.read())
ext = lambda cls: c.extensions.get_extension_for_class(cls).value
san = ext(x509.SubjectAlternativeName)
def texts(der):
    assert der[0] == 0x30
    def tlv(at):
        n, at = der[at + 1], at + 2
        if n & 0x80:
            k = n & 0x7f
            n, at = int.from_bytes(der[at:at + k], "big"), at + k
        return at, at + n
    at, end = tlv(0)
    assert end == len(der)
    while at < end:
        assert der[at] == 0x0c
        start, at = tlv(at)
        yield der[start:at].decode()
binding = [e for e in c.extensions if e.oid.dotted_string == sys.argv[1]]
assert len(binding) == 1
json.dump({
    "serial": "%032X" % c.serial_number, "subject": c.subject.rfc4514_string(), "issuer": c.issuer.rfc4514_string(),
    "from": int(c.not_valid_before_utc.timestamp()), "to": int(c.not_valid_after_utc.timestamp()),
    "uris": san.get_values_for_type(x509.UniformResourceIdentifier), "names": len(list(san)),
    "ca": ext(x509.BasicConstraints).ca, "binding": list(texts(binding[0].value.value)),
    "critical": [e.oid._name for e in c.extensions if e.critical], "sha256": c.fingerprint(hashes.SHA256()).hex(),
}, sys.stdout)
"#;

/// The certificate as Python's `cryptography` reads it.
fn python(pem: &str) -> Value {
    let python = env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(&python)
        .args(["-c", READER, &format!("{ARC}.1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{python:?}: {e}; install Python 3, or name one in JIT_TEST_PYTHON"));
    let written = child.stdin.take().unwrap().write_all(pem.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && written.is_ok(),
        "{python:?} cannot read the certificate with `cryptography`; run scripts/test, or `pip install -r \
         scripts/python-requirements.txt` for a Python named in JIT_TEST_PYTHON"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn serial_numbers_and_keys_differ_and_repeat_with_their_randomness() {
    let first = release(&issuer(STANDARD.authority()), setup(1)).await;
    let again = release(&issuer(STANDARD.authority()), setup(1)).await;
    assert_eq!((&first.minted.descriptor, &first.key), (&again.minted.descriptor, &again.key));
    let issuer = issuer(STANDARD.authority());
    let (one, two) = (release(&issuer, setup(1)).await, release(&issuer, setup(2)).await);
    assert_ne!(one.minted.descriptor.serial, two.minted.descriptor.serial);
    assert_ne!(one.key, two.key);
    assert!(!issuer.capabilities().idempotent_mint);
}

/// Holders whose keys are in certificate requests.
#[derive(Debug)]
struct Requests(Result<SubjectKey, Code>);

#[async_trait::async_trait]
impl SubjectKeys for Requests {
    async fn subject_key(&self, _: &MintAuthorization) -> Result<SubjectKey, Code> {
        self.0.clone()
    }
}

#[tokio::test]
async fn of_a_request_nothing_but_the_key_is_taken_over() {
    let pki = &STANDARD;
    for (name, algorithm) in [("h-p256", P256), ("h-ed25519", ED25519), ("h-rsa", RSA)] {
        pki.key(name, algorithm);
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let wishes = [
            "-addext",
            "basicConstraints=CA:TRUE",
            "-addext",
            "subjectAltName=DNS:admin,URI:spiffe://example.org/root",
        ];
        let common = ["req", "-new", "-config", "ca.conf", "-key", &key, "-subj", "/CN=admin", "-out", &request];
        pki.openssl(&[&common[..], &wishes[..]].concat());
        let holder = SubjectKey::from_csr_pem(&pki.read(&request)).unwrap();
        let issuer = issuer(pki.authority()).with_subject_keys(Arc::new(Requests(Ok(holder.clone()))));
        let released = release(&issuer, setup(1)).await;
        assert_eq!(released.key, "", "the private key stays with its holder");
        verify(pki, &released, START, &[]).unwrap();
        let certificate = format!("{name}.leaf");
        pki.write(&certificate, &released.chain[0]);
        let certified = pki.openssl(&["x509", "-in", &certificate, "-noout", "-pubkey"]);
        assert_eq!(certified, pki.openssl(&["pkey", "-in", &key, "-pubout"]));
        let text = pki.openssl(&["x509", "-in", &certificate, "-noout", "-text"]);
        assert!(!text.contains("admin") && !text.contains("CA:TRUE") && !text.contains("org/root"), "{text}");
    }
}

#[tokio::test]
async fn no_certificate_without_a_key_of_the_holders_own() {
    let absent = Requests(Err(code!("no_request")));
    let key = STANDARD.openssl(&["pkey", "-in", "issuing.key", "-pubout", "-outform", "PEM"]);
    let der = data_encoding::BASE64.decode(key.lines().filter(|l| !l.starts_with('-')).collect::<String>().as_bytes());
    let of_the_authority = Requests(Ok(SubjectKey::from_spki_der(&der.unwrap()).unwrap()));
    for (keys, cause) in [(absent, code!("no_request")), (of_the_authority, code!("key_of_the_authority"))] {
        let issuer = issuer(STANDARD.authority()).with_subject_keys(Arc::new(keys));
        let mut case = RecordedCase::approved(setup(1));
        let authorization = case.authorize(&issuer);
        assert_eq!(issuer.mint(&authorization).await.unwrap_err().code(), cause);
    }
}

#[tokio::test]
async fn a_key_named_at_the_claim_is_certified_and_nothing_else() {
    let key = LocalKey::from_ed25519_seed([9; 32]);
    let named = |key| Some(jit_core::HolderKey::PublicKey(SubjectPublicKey::from_der(key).unwrap()));
    let holder_key = named(key.public().as_der().to_vec());
    let issuer = issuer(STANDARD.authority());
    let released = release(&issuer, CaseSetup { holder_key, ..setup(1) }).await;
    assert_eq!(released.key, "", "the private key stays with its holder");
    STANDARD.write("named.leaf", &released.chain[0]);
    let certified = STANDARD.openssl(&["x509", "-in", "named.leaf", "-noout", "-pubkey"]);
    let certified: String = certified.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(certified, data_encoding::BASE64.encode(key.public().as_der()));

    let unusable = named(vec![0x30, 0x00]);
    let certificate = Some(jit_core::HolderKey::Certificate(ExternalDigest::from_bytes([7; 32])));
    for (holder_key, cause) in [(unusable, code!("holder_key_unusable")), (certificate, code!("cannot_bind"))] {
        let mut case = RecordedCase::approved(CaseSetup { holder_key: holder_key.clone(), ..setup(1) });
        let plan = MintPlan::new(case.case().grant().unwrap(), setup(1).window).with_holder_key(holder_key);
        assert_eq!(issuer.preflight(&plan).await.unwrap_err().cause, cause);
        let authorization = case.authorize(&issuer);
        assert_eq!(issuer.mint(&authorization).await.unwrap_err(), MintError::Refused { cause });
    }
}
