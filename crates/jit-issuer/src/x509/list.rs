//! The file in which a revocation list is published, shared by every process that has the authority's key.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jit_core::{Code, CredentialId, Seconds, Timestamp, code};
use x509_cert::der::{
    self, Document,
    pem::{LineEnding, encode_string},
};

use super::{
    Authority, OidArc,
    crl::{Crl, Revocation},
    signed,
};
use crate::key::SigningError;

/// The most bytes of a list that are read.
const MAX_FILE: u64 = 1 << 26;
/// How often a list is made anew because another process published one meanwhile.
const ATTEMPTS: usize = 16;

/// A revocation list was not published, or nobody knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// The issuer has no list.
    #[error("issuer publishes no revocation list")]
    NotConfigured,
    /// The certificate of the authority does not allow it to sign lists.
    #[error("key usage of the authority does not allow it to sign revocation lists")]
    NotAllowed,
    /// The file is there, and is not a list that this authority signed.
    #[error("{} is not a revocation list of this authority", .0.display())]
    OtherFile(PathBuf),
    /// A credential is no certificate of an issuer of this module.
    #[error("credential {0} has no serial number of a certificate")]
    NotACertificate(CredentialId),
    /// The file could not be read or written. The list is as it was.
    #[error("revocation list {} is not accessible", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The list was replaced, and whether that lasts through a loss of power is not known.
    #[error("revocation list {} was replaced, perhaps not durably", path.display())]
    NotDurable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Other processes published lists all the time. The list is as they made it.
    #[error("revocation list {} changes all the time", .0.display())]
    Contended(PathBuf),
    /// The list cannot be written in DER.
    #[error("revocation list cannot be encoded")]
    NotEncodable(#[from] der::Error),
    /// The list was not signed.
    #[error("revocation list was not signed")]
    NotSigned(#[from] SigningError),
}

impl CrlError {
    /// The cause, for the record.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotConfigured => code!("crl_not_configured"),
            Self::NotAllowed => code!("crl_not_allowed"),
            Self::OtherFile(_) => code!("crl_of_other_authority"),
            Self::NotACertificate(_) => code!("not_a_certificate"),
            Self::File { .. } => code!("crl_not_accessible"),
            Self::NotDurable { .. } => code!("crl_not_durable"),
            Self::Contended(_) => code!("crl_contended"),
            Self::NotEncodable(_) => code!("crl_not_encodable"),
            Self::NotSigned(error) => error.code(),
        }
    }

    /// Whether verifiers may already see the change that failed.
    pub(super) fn may_be_published(&self) -> bool {
        matches!(self, Self::NotDurable { .. })
    }
}

/// Where a revocation list is published, how long each one holds, and what evidence says must be in it.
///
/// ```
/// use std::num::NonZeroU32;
/// use jit_core::Seconds;
/// use jit_issuer::x509::CrlFile;
///
/// let hour = Seconds::new(NonZeroU32::new(3600).unwrap());
/// let file = CrlFile::new("/var/lib/broker/mesh.crl", hour);
/// ```
#[derive(Debug, Clone)]
pub struct CrlFile {
    path: PathBuf,
    lifetime: Seconds,
    revoked: Vec<Revocation>,
}

impl CrlFile {
    /// A PEM file, each list of which says that the next comes after `lifetime`. A lock file is kept beside it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, lifetime: Seconds) -> Self {
        Self { path: path.into(), lifetime, revoked: Vec::new() }
    }

    /// Lists these too, if they have not ended: what evidence says was taken back, when the file was lost.
    #[must_use]
    pub fn with_revoked(mut self, revoked: impl IntoIterator<Item = Revocation>) -> Self {
        self.revoked.extend(revoked);
        self
    }
}

/// A published list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its number (RFC 5280 section 5.2.3).
    pub number: u64,
    /// How many certificates it lists.
    pub entries: usize,
    /// When it was made.
    pub this_update: Timestamp,
}

/// The list of one authority in its file. The file is the state: what is published follows from what it held.
pub(super) struct List {
    authority: Arc<Authority>,
    arc: OidArc,
    file: CrlFile,
    /// What this process knows to be taken back, in case the file is lost while it runs.
    known: Mutex<Vec<Revocation>>,
}

impl List {
    pub(super) fn open(authority: Arc<Authority>, arc: OidArc, mut file: CrlFile) -> Result<Self, CrlError> {
        if !authority.signs_lists() {
            return Err(CrlError::NotAllowed);
        }
        let known = Mutex::new(std::mem::take(&mut file.revoked));
        let list = Self { authority, arc, file, known };
        list.read()?;
        Ok(list)
    }

    /// Adds one certificate, publishing nothing if it is listed, and says when the last list without it has run out.
    pub(super) async fn add(&self, revocation: Revocation) -> Result<Timestamp, CrlError> {
        let at = revocation.at();
        let serial = revocation.serial()?;
        let listed = self.read()?.and_then(|list| list.entries.get(&serial).map(|entry| entry.revocation_date));
        let date = match listed {
            Some(date) => date.to_unix_duration(),
            None => {
                self.replace(at, Some(&revocation)).await?;
                self.known.lock().unwrap_or_else(PoisonError::into_inner).push(revocation);
                Duration::from_secs(u64::try_from(at.unix_seconds()).unwrap_or(0))
            }
        };
        // A date has no fraction of a second.
        let since = Timestamp::EPOCH.saturating_add(date.saturating_add(Duration::from_secs(1)));
        Ok(since.saturating_add(self.file.lifetime.to_duration()))
    }

    pub(super) async fn publish(&self, at: Timestamp) -> Result<Published, CrlError> {
        self.replace(at, None).await
    }

    /// Makes the next list and puts it in the place of the one it follows; begins again if that one was replaced meanwhile. No lock is
    /// held while the key signs.
    async fn replace(&self, at: Timestamp, added: Option<&Revocation>) -> Result<Published, CrlError> {
        for _ in 0..ATTEMPTS {
            let before = self.read()?;
            let follows = before.as_ref().map(|list| list.number);
            let mut next = Crl::following(before, at, &self.arc);
            self.add_known(&mut next)?;
            if let Some(added) = added {
                next.add(added, &self.arc)?;
            }
            let content = next.to_be_signed(&self.authority, self.file.lifetime.to_duration())?;
            let signed = signed::sign(self.authority.key(), &content).await?;
            let text = encode_string("X509 CRL", LineEnding::LF, &signed).map_err(der::Error::from)?;
            if self.write_after(follows, text.as_bytes())? {
                let Crl { number, this_update, entries } = next;
                return Ok(Published { number, entries: entries.len(), this_update });
            }
        }
        Err(CrlError::Contended(self.file.path.clone()))
    }

    fn add_known(&self, next: &mut Crl) -> Result<(), CrlError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|revocation| !next.is_over(revocation));
        for revocation in known.iter() {
            next.add(revocation, &self.arc)?;
        }
        Ok(())
    }

    /// The list in the file; `None` if there is no file.
    fn read(&self) -> Result<Option<Crl>, CrlError> {
        let path = &self.file.path;
        let io = |source| CrlError::File { path: path.clone(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).map_err(io)?;
        let list = match Document::from_pem(&text) {
            Ok(("X509 CRL", document)) => Crl::parse(document.as_bytes(), &self.authority),
            _ => None,
        };
        list.map(Some).ok_or_else(|| CrlError::OtherFile(path.clone()))
    }

    /// Replaces the file if it still holds the list of this number; says whether it did.
    fn write_after(&self, follows: Option<u64>, text: &[u8]) -> Result<bool, CrlError> {
        let path = &self.file.path;
        let io = |source| CrlError::File { path: path.clone(), source };
        let lock = OpenOptions::new().create(true).append(true).open(beside(path, "lock")).map_err(io)?;
        // Goes with the file handle, whatever becomes of this process.
        lock.lock().map_err(io)?;
        if self.read()?.map(|list| list.number) != follows {
            return Ok(false);
        }
        let draft = beside(path, "next");
        let mut file = File::create(&draft).map_err(io)?;
        file.write_all(text).and_then(|()| file.sync_all()).map_err(io)?;
        fs::rename(&draft, path).map_err(io)?;
        sync_folder(path).map_err(|source| CrlError::NotDurable { path: path.clone(), source })?;
        Ok(true)
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("path", &self.file.path).finish_non_exhaustive()
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
