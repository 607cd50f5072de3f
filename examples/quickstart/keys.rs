//! The keys that a log and an issuer keep from run to run.
//!
//! Here they are files beside the evidence. A real deployment keeps them in a key service: who has the database and the key that
//! signs its checkpoints can write another history.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use jit_core::random_bytes;
use jit_store::OsEntropy;

/// Seeds and keys; drawn at the first run.
pub(crate) struct Keys {
    /// Signs checkpoints.
    pub(crate) checkpoints: [u8; 32],
    /// Makes look-up keys out of names, so that the index says nothing about them.
    pub(crate) index: [u8; 32],
    /// Signs tokens.
    pub(crate) tokens: [u8; 32],
}

impl Keys {
    /// Reads the keys of a folder, and draws those that are not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let key = |name: &str| read_or_draw(&folder.join(name)).map_err(|error| format!("key {name}: {error}"));
        Ok(Self { checkpoints: key("checkpoints")?, index: key("index")?, tokens: key("tokens")? })
    }
}

fn read_or_draw(path: &Path) -> Result<[u8; 32], Box<dyn Error>> {
    match fs::read(path) {
        Ok(key) => Ok(key.try_into().map_err(|_| "it does not have 32 bytes")?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random_bytes(&OsEntropy)?;
            private_file(path)?.write_all(&key)?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

/// A new file that only its owner may read.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
