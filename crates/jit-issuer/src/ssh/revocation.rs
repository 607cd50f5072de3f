//! The certificates that were taken back, and where targets read that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jit_core::{Code, CredentialDescriptor, Timestamp, code};

use super::{
    krl::Krl,
    public_key::SshPublicKey,
    serial::SshSerial,
    shared::{Entries, SharedEntries, beside, sync_folder, write_durably},
};

/// How long a certificate stays in the list after its end: longer than the clock of any target is behind.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(3600);

/// Brings a revocation list to the targets.
///
/// # Contract
///
/// 1. `Ok` means that every target that trusts the authority reads this list from now on, also after a crash.
/// 2. A target reads the old list or the new one, never a part of one.
/// 3. It may block for the time of a local write; what takes longer belongs to a process that watches a file.
/// 4. One process publishes, unless [`shared_entries`](Self::shared_entries) names a file that all of them reach: a list drops
///    whatever its process does not know of.
pub trait KrlPublisher: Send + Sync + fmt::Debug {
    /// Replaces the list.
    ///
    /// # Errors
    /// [`PublishError`]; only `Unknown` leaves open whether targets read the new list.
    fn publish(&self, krl: &[u8]) -> Result<(), PublishError>;

    /// The file in which processes that publish the same list keep what it holds, so that none drops what another has revoked. It
    /// is made when it is not there, with a lock file beside it. Without one, as by default, one process publishes.
    fn shared_entries(&self) -> Option<&Path> {
        None
    }
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
/// Any number of processes of one machine publish to it, for one authority. What the list holds is kept beside it, in
/// `<path>.entries`; whatever else somebody writes into the list is gone with the next one.
#[derive(Debug)]
pub struct KrlFile {
    path: PathBuf,
    entries: PathBuf,
}

impl KrlFile {
    /// The file at this path, which need not exist yet. Its directory must.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { entries: beside(&path, "entries"), path }
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
        let next = beside(&self.path, "new");
        write_durably(&next, krl).map_err(|_| not_published(code!("krl_not_written")))?;
        fs::rename(&next, &self.path).map_err(|_| not_published(code!("krl_not_replaced")))?;
        sync_folder(&self.path).map_err(|_| PublishError::Unknown { cause: code!("krl_not_durable") })
    }

    fn shared_entries(&self) -> Option<&Path> {
        Some(&self.entries)
    }
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
    /// of other issuers or long past their end may be among them. What other processes have published through
    /// [`shared_entries`](KrlPublisher::shared_entries) is added. The first list published has a number above `number` and above
    /// theirs, and is dated `at`.
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

    /// Lists follow one another in the order of their numbers, because publishing holds the locks; it never waits for a future.
    fn publish(&self, list: &mut List, at: Timestamp, authority: &SshPublicKey) -> Result<(), PublishError> {
        let not_published = |cause| PublishError::NotPublished { cause };
        list.published = false;
        let authorities: BTreeSet<_> = [authority].into_iter().chain(&self.former).map(SshPublicKey::digest).collect();
        let shared = self.publisher.shared_entries().map(SharedEntries::lock).transpose().map_err(not_published)?;
        if let Some(shared) = &shared {
            let known = shared.read().map_err(not_published)?;
            // A list for fewer keys would drop what is revoked under the others.
            if !known.authorities.is_subset(&authorities) {
                return Err(not_published(code!("krl_of_other_authority")));
            }
            list.number = list.number.max(known.number);
            for (serial, until) in known.revoked {
                let kept = list.entries.entry(serial).or_insert(until);
                *kept = until.max(*kept);
            }
        }
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
        let bytes = krl.to_bytes().map_err(|_| not_published(code!("krl_too_large")))?;
        if let Some(shared) = &shared {
            // Before the list: what a list holds is never missing here.
            let entries = Entries { number: list.number, authorities, revoked: list.entries.clone() };
            shared.write(&entries).map_err(not_published)?;
        }
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
