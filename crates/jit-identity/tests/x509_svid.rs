//! X509-SVIDs whose authorities and certificates openssl made, step by step, good and bad.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::{fs, process::Command, sync::OnceLock};

use jit_core::{PrincipalId, Timestamp};
use jit_identity::{CertificateError, X509Svids};
use tempfile::TempDir;

/// What an extension section of openssl says of a workload's certificate.
const WORKLOAD: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
                        extendedKeyUsage=serverAuth,clientAuth\n";

struct Pki(TempDir);

impl Pki {
    fn openssl(&self, args: &str) {
        let output = Command::new("openssl").args(args.split_whitespace()).current_dir(self.0.path()).output();
        let output = output.expect("openssl is needed: run scripts/test, or `apt-get install openssl`");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn key(&self, name: &str) {
        self.openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"));
    }

    fn root(&self, name: &str) {
        self.key(name);
        self.openssl(&format!(
            "req -x509 -new -key {name}.key -out {name}.pem -days 30 -subj /O={name} -addext keyUsage=critical,keyCertSign"
        ));
        self.openssl(&format!("x509 -in {name}.pem -outform DER -out {name}.der"));
    }

    /// A certificate by an authority, with these extensions.
    fn certify(&self, name: &str, authority: &str, extensions: &str) {
        self.key(name);
        fs::write(self.0.path().join(format!("{name}.ext")), extensions).unwrap();
        self.openssl(&format!("req -new -key {name}.key -subj /O={name} -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 7 \
             -extfile {name}.ext -out {name}.pem"
        ));
        self.openssl(&format!("x509 -in {name}.pem -outform DER -out {name}.der"));
    }

    fn der(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(format!("{name}.der"))).unwrap()
    }

    fn svids(&self) -> X509Svids {
        let pem = fs::read(self.0.path().join("root.pem")).unwrap();
        X509Svids::from_pem("example.org".parse().unwrap(), &pem).unwrap()
    }
}

fn named(uri: &str) -> String {
    format!("{WORKLOAD}subjectAltName=URI:{uri}\n")
}

fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let pki = Pki(tempfile::tempdir().unwrap());
        pki.root("root");
        pki.root("stranger");
        let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
        pki.certify("issuing", "root", authority);
        let good = named("spiffe://example.org/agents/refund");
        pki.certify("good", "issuing", &good);
        pki.certify("alien", "stranger", &good);
        pki.certify("two", "issuing", &good.replace("refund\n", "refund,URI:spiffe://example.org/b\n"));
        pki.certify("beside", "issuing", &good.replace("refund\n", "refund,DNS:web.example.org\n"));
        pki.certify("web", "issuing", &named("https://example.org/a"));
        pki.certify("dns", "issuing", &format!("{WORKLOAD}subjectAltName=DNS:web.example.org\n"));
        pki.certify("other", "issuing", &named("spiffe://example.org.evil/a"));
        pki.certify("silent", "issuing", &good.replace("keyUsage=critical,digitalSignature\n", ""));
        pki.certify("lax", "issuing", &good.replace("keyUsage=critical,", "keyUsage="));
        pki.certify("mighty", "issuing", &good.replace("digitalSignature", "digitalSignature,keyCertSign"));
        pki.certify("server", "issuing", &good.replace(",clientAuth", ""));
        pki.certify("authority", "issuing", &good.replace("CA:FALSE", "CA:TRUE"));
        pki
    })
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::EPOCH.saturating_add(since)
}

#[test]
fn the_certificate_of_a_workload_gives_its_id() {
    let pki = pki();
    for name in ["good", "beside"] {
        let chain = [pki.der(name), pki.der("issuing")];
        let verified = pki.svids().peer(&chain, now()).unwrap();
        let workload = verified.content().spiffe_id.clone();
        assert_eq!(workload.as_str(), "spiffe://example.org/agents/refund");
        assert_eq!(verified.facts().subject, PrincipalId::Workload(workload));
        assert_eq!(verified.facts().issuer.as_str(), "spiffe://example.org");
        let pem = fs::read_to_string(pki.0.path().join(format!("{name}.pem"))).unwrap();
        assert_eq!(verified.token().claims.as_str().trim(), pem.trim());
    }
}

#[test]
fn each_bad_certificate_has_its_own_error() {
    let pki = pki();
    let svids = pki.svids();
    for (name, expected) in [
        ("alien", CertificateError::Path),
        ("two", CertificateError::Name),
        ("web", CertificateError::Name),
        ("dns", CertificateError::Name),
        ("other", CertificateError::TrustDomain),
        ("silent", CertificateError::KeyUsage),
        ("lax", CertificateError::KeyUsage),
        ("mighty", CertificateError::KeyUsage),
        ("server", CertificateError::Path),
        ("authority", CertificateError::Authority),
    ] {
        let answer = svids.peer(&[pki.der(name), pki.der("issuing")], now());
        assert_eq!(answer.map(drop), Err(expected), "{name}");
    }
    let (good, issuing) = (pki.der("good"), pki.der("issuing"));
    let refused = |chain: &[Vec<u8>], at| svids.peer(chain, at).map(drop).unwrap_err();
    assert_eq!(refused(&[], now()), CertificateError::Empty);
    assert_eq!(refused(std::slice::from_ref(&good), now()), CertificateError::Path);
    assert_eq!(refused(&vec![good.clone(); 9], now()), CertificateError::TooLarge);
    assert_eq!(refused(&[vec![0x30; 20_000]], now()), CertificateError::TooLarge);
    assert_eq!(refused(&[b"no certificate".to_vec()], now()), CertificateError::Malformed);
    let day = std::time::Duration::from_secs(86_400);
    let chain = [good, issuing];
    assert!(matches!(refused(&chain, now().saturating_add(day * 8)), CertificateError::Expired { .. }));
    assert!(matches!(refused(&chain, now().saturating_sub(day)), CertificateError::NotYetValid { .. }));
    let no_roots: [Vec<u8>; 0] = [];
    let domain = || "example.org".parse().unwrap();
    assert_eq!(X509Svids::new(domain(), no_roots).unwrap_err(), CertificateError::Empty);
    assert_eq!(X509Svids::new(domain(), [b"x"]).unwrap_err(), CertificateError::Malformed);
}

#[test]
fn every_single_bit_flip_is_refused() {
    let pki = pki();
    let (svids, issuing) = (pki.svids(), pki.der("issuing"));
    let good = pki.der("good");
    let at = now();
    for byte in 0..good.len() {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[byte] ^= 1 << bit;
            assert!(svids.peer(&[&flipped, &issuing], at).is_err(), "byte {byte}, bit {bit}");
        }
    }
}
