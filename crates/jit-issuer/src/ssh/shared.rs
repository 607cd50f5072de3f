//! What a revocation list holds, in a file beside it, for all processes that publish the list.
//!
//! Whoever publishes reads the file, adds to it and replaces it before the list, under one lock. So no process drops what another has
//! revoked, whether or not it ever published before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use jit_core::{Code, ExternalDigest, Timestamp, code};

use super::serial::SshSerial;

const HEADER: &str = "jit-issuer krl entries 1";
/// The most bytes that are read.
const MAX_FILE: u64 = 1 << 28;

/// What all processes have published so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    /// The number of the last list.
    pub(super) number: u64,
    /// The keys under which it revokes.
    pub(super) authorities: BTreeSet<ExternalDigest>,
    /// Until when each certificate is kept.
    pub(super) revoked: BTreeMap<SshSerial, Timestamp>,
}

/// The file, while no other process has it.
#[derive(Debug)]
pub(super) struct SharedEntries {
    path: PathBuf,
    /// Goes with the file handle, whatever becomes of this process.
    _lock: File,
}

impl SharedEntries {
    /// Waits for whoever publishes now. The lock is a file of its own beside this one.
    pub(super) fn lock(path: &Path) -> Result<Self, Code> {
        let lock = OpenOptions::new().create(true).append(true).open(beside(path, "lock"));
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock)).map_err(|_| code!("krl_not_locked"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// What is there; nothing if nobody has published yet.
    pub(super) fn read(&self) -> Result<Entries, Code> {
        let mut text = String::new();
        match File::open(&self.path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
            Ok(_) => Entries::parse(&text).ok_or(code!("krl_entries_malformed")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::default()),
            Err(_) => Err(code!("krl_entries_unreadable")),
        }
    }

    /// Replaces it as a whole.
    pub(super) fn write(&self, entries: &Entries) -> Result<(), Code> {
        replace_durably(&self.path, entries.to_text().as_bytes()).map_err(|_| code!("krl_entries_not_written"))
    }
}

impl Entries {
    /// `<what> <value>` a line, and a last line that says that none is missing.
    fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nnumber {}\n", self.number);
        // Writing to a string does not fail.
        for authority in &self.authorities {
            let _ = writeln!(text, "authority {authority}");
        }
        for (serial, until) in &self.revoked {
            let _ = writeln!(text, "revoked {serial} {until}");
        }
        text.push_str("end\n");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix("end\n")?.lines();
        let mut entries = Self::default();
        if lines.next()? != HEADER {
            return None;
        }
        entries.number = lines.next()?.strip_prefix("number ")?.parse().ok()?;
        for line in lines {
            match line.split_once(' ')? {
                ("authority", digest) => drop(entries.authorities.insert(digest.parse().ok()?)),
                ("revoked", rest) => {
                    let (serial, until) = rest.split_once(' ')?;
                    let serial = SshSerial::new(serial.parse::<NonZeroU64>().ok()?);
                    entries.revoked.insert(serial, until.parse().ok()?);
                }
                _ => return None,
            }
        }
        Some(entries)
    }
}

/// Puts a file in the place of another, so that it is there as a whole, also after a loss of power.
fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = beside(path, "new");
    write_durably(&draft, bytes)?;
    fs::rename(&draft, path)?;
    sync_folder(path)
}

pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The path with this after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written_or_not_at_all() {
        let serial = SshSerial::new(NonZeroU64::MAX);
        let until = Timestamp::EPOCH.saturating_add(std::time::Duration::from_micros(1_700_000_000_000_001));
        let entries = Entries {
            number: 7,
            authorities: [ExternalDigest::from_bytes([1; 32]), ExternalDigest::from_bytes([2; 32])].into(),
            revoked: [(SshSerial::new(NonZeroU64::MIN), Timestamp::MAX), (serial, until)].into(),
        };
        let text = entries.to_text();
        assert_eq!(Entries::parse(&text), Some(entries));
        // A file that was cut off anywhere is not taken for a shorter one.
        for end in 0..text.len() {
            assert_eq!(Entries::parse(&text[..end]), None, "{end}");
        }
        for other in ["", "end\n", "jit-issuer krl entries 2\nnumber 7\nend\n", &text.replace("revoked ", "kept ")] {
            assert_eq!(Entries::parse(other), None, "{other}");
        }
    }
}
