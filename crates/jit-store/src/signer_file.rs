//! Private keys in files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jit_core::{Entropy as _, EntropyError};
use jit_log::{CosignerKey, KeyError, KeyName};
use zeroize::Zeroizing;

use crate::anchor::sync_folder;
use crate::system::OsEntropy;

/// More than any key has, in bytes.
const MAX_LEN: u64 = 1024;

/// A file that holds one private key as a line `PRIVATE+KEY+<name>+<key id>+<base64>`, and that nobody but its owner may
/// read (mode 0600 or stricter; checked on Unix).
///
/// ```
/// use jit_log::KeyName;
/// use jit_store::KeyFile;
///
/// let folder = tempfile::tempdir()?;
/// let file = KeyFile::new(folder.path().join("witness.key"));
/// let made = file.generate_cosigner(KeyName::parse("witness.example/w1")?)?;
/// assert_eq!(file.cosigner()?.verifier(), made.verifier());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The key file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Reads a witness's key.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file is not one that only its owner can read, or holds no such key.
    pub fn cosigner(&self) -> Result<CosignerKey, KeyFileError> {
        CosignerKey::parse(&self.read()?).map_err(|source| self.wrong(source))
    }

    /// Makes a witness's key of the operating system's randomness, and writes it to a new file.
    ///
    /// # Errors
    /// [`KeyFileError`], also if the file exists; it stays as it is then.
    pub fn generate_cosigner(&self, name: KeyName) -> Result<CosignerKey, KeyFileError> {
        let key = CosignerKey::from_seed(name, self.seed()?);
        self.create(&key.encode())?;
        Ok(key)
    }

    /// The line, without its newline.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, KeyFileError> {
        let file = File::open(&self.path).map_err(|source| self.io(source))?;
        let mode = mode_of(&file).map_err(|source| self.io(source))?;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: self.path.clone(), mode });
        }
        // No room to grow, so that no copy of the secret is left behind.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MAX_LEN).unwrap_or_default()));
        file.take(MAX_LEN).read_to_string(&mut text).map_err(|source| self.io(source))?;
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    /// Writes a new file, durably.
    pub(crate) fn create(&self, key: &str) -> Result<(), KeyFileError> {
        let write = || {
            let mut file = new_file(&self.path)?;
            file.write_all(key.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            sync_folder(&self.path)
        };
        write().map_err(|source| self.io(source))
    }

    pub(crate) fn seed(&self) -> Result<[u8; 32], KeyFileError> {
        let mut seed = [0; 32];
        OsEntropy.fill(&mut seed)?;
        Ok(seed)
    }

    pub(crate) fn wrong(&self, source: KeyError) -> KeyFileError {
        KeyFileError::Key { path: self.path.clone(), source }
    }

    fn io(&self, source: io::Error) -> KeyFileError {
        KeyFileError::File { path: self.path.clone(), source }
    }
}

#[cfg(unix)]
fn mode_of(file: &File) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode_of(_: &File) -> io::Result<u32> {
    Ok(0o600)
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A key file cannot be read or made. Never holds any of the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("key file {} cannot be read or written", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("key file {} has mode {mode:04o}, and must be for its owner alone (0600)", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds no private key of the kind asked for.
    #[error("key file {} does not hold a key of the kind that is needed", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// There was no randomness.
    #[error("no key could be made")]
    Entropy(#[from] EntropyError),
}
