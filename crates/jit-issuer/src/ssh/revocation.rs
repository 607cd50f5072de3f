//! The certificates that were taken back, and where targets read that.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jit_core::{Code, CredentialDescriptor, Timestamp, code};
use sha2::{Digest as _, Sha256};

use super::{krl::Krl, public_key::SshPublicKey, serial::SshSerial};

/// How long a certificate stays in the list after its end: longer than the clock of any target is behind.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(3600);

/// Brings a revocation list to the targets.
///
/// # Contract
///
/// 1. `Ok` means that every target that trusts the authority reads this list from now on, also after a crash.
/// 2. A target reads the old list or the new one, never a part of one.
/// 3. It may block for the time of a local write; what takes longer belongs to a process that watches a file.
pub trait KrlPublisher: Send + Sync + fmt::Debug {
    /// Replaces the list.
    ///
    /// # Errors
    /// [`PublishError`]; only `Unknown` leaves open whether targets read the new list.
    fn publish(&self, krl: &[u8]) -> Result<(), PublishError>;
}

/// A revocation list was not published, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Targets read the old list.
    #[error("revocation list was not published: {cause}")]
    NotPublished {
        /// Why.
        cause: Code,
    },
    /// Targets may read either list.
    #[error("whether the revocation list was published is unknown: {cause}")]
    Unknown {
        /// Why.
        cause: Code,
    },
}

/// The file that sshd reads by `RevokedKeys`, replaced as a whole. sshd opens it anew for each login.
///
/// One process publishes to a file. A second one would drop what the first revoked; so if the file changes under this value, it
/// publishes nothing more and says `krl_changed_elsewhere`.
#[derive(Debug)]
pub struct KrlFile {
    path: PathBuf,
    written: Mutex<Option<[u8; 32]>>,
}

impl KrlFile {
    /// The file at this path, which need not exist yet. Its directory must.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), written: Mutex::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl KrlPublisher for KrlFile {
    fn publish(&self, krl: &[u8]) -> Result<(), PublishError> {
        let not_published = |cause| PublishError::NotPublished { cause };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = *written {
            match fs::read(&self.path) {
                Ok(found) if <[u8; 32]>::from(Sha256::digest(&found)) == last => {}
                Ok(_) => return Err(not_published(code!("krl_changed_elsewhere"))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return Err(not_published(code!("krl_unreadable"))),
            }
        }
        let mut name = self.path.file_name().ok_or(not_published(code!("krl_has_no_name")))?.to_owned();
        name.push(".new");
        let next = self.path.with_file_name(name);
        write_durably(&next, krl).map_err(|_| not_published(code!("krl_not_written")))?;
        fs::rename(&next, &self.path).map_err(|_| not_published(code!("krl_not_replaced")))?;
        *written = Some(Sha256::digest(krl).into());
        let directory = self.path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let durable = File::open(directory).and_then(|directory| directory.sync_all());
        durable.map_err(|_| PublishError::Unknown { cause: code!("krl_not_durable") })
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The certificates of one issuer that were taken back, published as a key revocation list.
pub struct Revocations {
    publisher: Box<dyn KrlPublisher>,
    former: Vec<SshPublicKey>,
    list: Mutex<List>,
}

struct List {
    number: u64,
    at: Timestamp,
    /// Until when each is kept.
    entries: BTreeMap<SshSerial, Timestamp>,
    /// Whether targets read all entries.
    published: bool,
}

impl Revocations {
    /// A list that holds what evidence says was taken back: the descriptors of all credentials with a `revocation.intended`. Those
    /// of other issuers or long past their end may be among them. The first list published has a number above `number`, and is
    /// dated `at`.
    #[must_use]
    pub fn new<'a>(
        publisher: impl KrlPublisher + 'static,
        number: u64,
        at: Timestamp,
        revoked: impl IntoIterator<Item = &'a CredentialDescriptor>,
    ) -> Self {
        let entries = revoked.into_iter().map(entry).collect();
        let list = Mutex::new(List { number, at, entries, published: false });
        Self { publisher: Box::new(publisher), former: Vec::new(), list }
    }

    /// Revokes under a former key of the authority too, which targets still trust.
    #[must_use]
    pub fn with_former_authority(mut self, key: SshPublicKey) -> Self {
        self.former.push(key);
        self
    }

    /// Whether targets read that this certificate was taken back.
    pub(super) fn shows(&self, serial: SshSerial) -> bool {
        let list = self.lock();
        list.published && list.entries.contains_key(&serial)
    }

    /// Takes a certificate back at this moment. `false` if it was taken back before.
    pub(super) fn revoke(
        &self,
        descriptor: &CredentialDescriptor,
        at: Timestamp,
        authority: &SshPublicKey,
    ) -> Result<bool, PublishError> {
        let (serial, until) = entry(descriptor);
        let mut list = self.lock();
        if list.published && list.entries.contains_key(&serial) {
            return Ok(false);
        }
        list.entries.insert(serial, until);
        self.publish(&mut list, at, authority)?;
        Ok(true)
    }

    /// Publishes the list as it is at this moment.
    pub(super) fn refresh(&self, at: Timestamp, authority: &SshPublicKey) -> Result<(), PublishError> {
        self.publish(&mut self.lock(), at, authority)
    }

    /// Lists follow one another in the order of their numbers, because publishing holds the lock; it never waits for a future.
    fn publish(&self, list: &mut List, at: Timestamp, authority: &SshPublicKey) -> Result<(), PublishError> {
        list.published = false;
        list.at = list.at.max(at);
        list.number = list.number.saturating_add(1);
        let now = list.at;
        list.entries.retain(|_, until| *until > now);
        let serials: Vec<SshSerial> = list.entries.keys().copied().collect();
        let empty = Krl::new(list.number, list.at);
        let krl = [authority]
            .into_iter()
            .chain(&self.former)
            .fold(empty, |krl, key| krl.revoke(Some(key), serials.iter().copied(), []));
        let bytes = krl.to_bytes().map_err(|_| PublishError::NotPublished { cause: code!("krl_too_large") })?;
        self.publisher.publish(&bytes)?;
        list.published = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("publisher", &self.publisher).finish_non_exhaustive()
    }
}

fn entry(descriptor: &CredentialDescriptor) -> (SshSerial, Timestamp) {
    let until = descriptor.dies_at().map_or(Timestamp::MAX, |dies| dies.saturating_add(KEPT_AFTER_END));
    (SshSerial::of(descriptor.id), until)
}
