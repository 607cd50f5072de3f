//! Looks for a planted secret in everything a system leaves behind (INV-02, INV-17).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};

/// A secret that must not turn up anywhere, with the spellings in which it could.
pub struct Canary {
    secret: Vec<u8>,
    spellings: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// Looks for this secret: verbatim, in hex, as a list of numbers, and in base64 of both alphabets wherever in a longer text it
    /// begins. It must have at least sixteen bytes, so that no finding is an accident.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        assert!(secret.len() >= 16, "a canary needs at least 16 bytes");
        let mut spellings = vec![
            ("verbatim", secret.to_vec()),
            ("hex", HEXLOWER.encode(secret).into_bytes()),
            ("upper-case hex", HEXUPPER.encode(secret).into_bytes()),
            ("numbers", format!("{secret:?}").trim_matches(['[', ']']).as_bytes().to_vec()),
            (
                "numbers without spaces",
                format!("{secret:?}").replace(' ', "").trim_matches(['[', ']']).as_bytes().to_vec(),
            ),
        ];
        for shift in 0..3 {
            spellings.push(("base64", base64_at(&BASE64_NOPAD, secret, shift)));
            spellings.push(("base64url", base64_at(&BASE64URL_NOPAD, secret, shift)));
        }
        Self { secret: secret.to_vec(), spellings }
    }

    /// The secret, to plant it.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The first spelling of the secret in these bytes, if there is one.
    #[must_use]
    pub fn find(&self, bytes: impl AsRef<[u8]>) -> Option<&'static str> {
        let bytes = bytes.as_ref();
        let found = self.spellings.iter().find(|(_, spelling)| bytes.windows(spelling.len()).any(|w| w == spelling));
        found.map(|(name, _)| *name)
    }

    /// Stops the test if the secret is in these bytes; `what` says what they are.
    pub fn assert_absent(&self, what: &str, bytes: impl AsRef<[u8]>) {
        if let Some(spelling) = self.find(bytes) {
            panic!("{what} has the secret ({spelling})");
        }
    }

    /// The files under a directory that have the secret in their content or path, with its spelling.
    #[must_use]
    pub fn files(&self, directory: &Path) -> BTreeSet<(PathBuf, &'static str)> {
        let mut found = BTreeSet::new();
        let mut left = vec![directory.to_path_buf()];
        while let Some(path) = left.pop() {
            if let Some(spelling) = self.find(path.to_string_lossy().as_bytes()) {
                found.insert((path.clone(), spelling));
            }
            if path.is_dir() {
                left.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
            } else if let Some(spelling) = self.find(fs::read(&path).expect("a file")) {
                found.insert((path, spelling));
            }
        }
        found
    }
}

impl std::fmt::Debug for Canary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canary")
    }
}

/// The characters that the secret alone decides when it begins `shift` bytes into a group of three.
fn base64_at(alphabet: &Encoding, secret: &[u8], shift: usize) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(secret);
    let text = alphabet.encode(&padded).into_bytes();
    text[(shift * 8).div_ceil(6)..padded.len() * 8 / 6].to_vec()
}
