//! A public-key infrastructure that OpenSSL made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, LazyLock},
};

use jit_issuer::{
    key::LocalKey,
    x509::{Authority, AuthorityError},
};
use tempfile::TempDir;

const CONFIG: &str = "
[ca]
default_ca = d
[d]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = default
unique_subject = no
policy = p
[p]
commonName = supplied
[req]
distinguished_name = p
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[middle]
basicConstraints = critical,CA:TRUE,pathlen:1
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[issuing]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = URI:spiffe://example.org
[without_lists]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[without_certificates]
basicConstraints = critical,CA:TRUE
keyUsage = critical,cRLSign
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
[elsewhere]
basicConstraints = critical,CA:TRUE
subjectAltName = URI:spiffe://example.com
";

/// Key algorithms as `openssl genpkey` takes them.
pub(crate) const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
pub(crate) const ED25519: &[&str] = &["-algorithm", "ED25519"];
pub(crate) const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

/// Root, a CA below it, and an issuing CA below that, of P-256, for the trust domain `example.org`.
pub(crate) static STANDARD: LazyLock<Pki> = LazyLock::new(|| {
    let pki = Pki::new();
    pki.root("root", P256);
    pki.ca("middle", "root", P256, "middle");
    pki.ca("issuing", "middle", P256, "issuing");
    pki
});

/// A folder with `<name>.key` and `<name>.pem` of each CA.
pub(crate) struct Pki(TempDir);

impl Pki {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.conf"), CONFIG).unwrap();
        fs::write(folder.path().join("index.txt"), "").unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    pub(crate) fn write(&self, file: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(file), contents).unwrap();
    }

    /// What OpenSSL does in the folder; fails the test unless it succeeds.
    pub(crate) fn openssl(&self, args: &[&str]) -> String {
        let output = self.try_openssl(args);
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn try_openssl(&self, args: &[&str]) -> Output {
        openssl_in(self.0.path(), args)
    }

    pub(crate) fn key(&self, name: &str, algorithm: &[&str]) {
        self.openssl(&[&["genpkey", "-out", &format!("{name}.key")], algorithm].concat());
    }

    pub(crate) fn root(&self, name: &str, algorithm: &[&str]) {
        self.key(name, algorithm);
        self.certify(name, &["-selfsign", "-keyfile", &format!("{name}.key"), "-extensions", "root"]);
    }

    /// A CA with the extensions of a section of the configuration, valid from 2020 to 2110.
    pub(crate) fn ca(&self, name: &str, issuer: &str, algorithm: &[&str], section: &str) {
        self.key(name, algorithm);
        let (key, certificate) = (format!("{issuer}.key"), format!("{issuer}.pem"));
        self.certify(name, &["-keyfile", &key, "-cert", &certificate, "-extensions", section]);
    }

    fn certify(&self, name: &str, args: &[&str]) {
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        self.openssl(&["req", "-new", "-config", "ca.conf", "-key", &key, "-subj", &subject, "-out", &request]);
        let years = ["-startdate", "20200101000000Z", "-enddate", "21100101000000Z"];
        let common = ["ca", "-batch", "-notext", "-config", "ca.conf", "-in", &request, "-out", &certificate];
        self.openssl(&[&common, args, &years].concat());
    }

    /// The authority of a key with these certificates, its own first.
    pub(crate) fn try_authority(&self, key: &str, chain: &[&str]) -> Result<Authority, AuthorityError> {
        let chain: String = chain.iter().map(|name| self.read(&format!("{name}.pem"))).collect();
        let key = LocalKey::from_file(self.path(&format!("{key}.key"))).unwrap();
        Authority::new(Arc::new(key), "example.org".parse().unwrap(), &chain)
    }

    pub(crate) fn authority(&self) -> Authority {
        self.try_authority("issuing", &["issuing", "middle", "root"]).unwrap()
    }
}

fn openssl_in(folder: &Path, args: &[&str]) -> Output {
    let run = Command::new("openssl").args(args).current_dir(folder).output();
    run.expect("openssl is needed: apt-get install openssl")
}
