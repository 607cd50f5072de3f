//! Verification of a stored log against itself and its anchors.

mod damage;
mod due;
mod examined;
mod feed;
mod removals;
mod report;
mod signed;
mod stored;
mod tally;
mod tile;
mod unclear;
mod walk;

use std::fmt;
use std::sync::Arc;

use jit_core::{Entropy, EntropyError, IndexKey, LogOrigin, PolicyDigest, canonical};
use jit_log::TrustPolicy;

pub use damage::{Column, Damage, Place};
pub use report::{FsckPhase, FsckProgress, FsckReport};

use self::feed::{Examiner, Feed};
use self::removals::Removals;
use self::signed::{LoadError, Signed};
use self::stored::{Stored, Tallies};
use self::walk::{Walk, Walked};
use crate::anchor::{Anchor, AnchorError};
use crate::backend::{Backend, BackendError};
use crate::error::ReadError;
use crate::log::Log;
use crate::opening::LogMeta;
use crate::projection::Projector;
use crate::system::OsEntropy;

/// How many damages are listed unless another number is asked for.
const LIMIT: usize = 1000;
/// How often the end is looked past while others append.
const MOST_LOOKS: usize = 64;

/// Computes the digest of a stored policy snapshot; `None` means that the bytes are no snapshot.
pub type SnapshotDigest = fn(&[u8]) -> Option<PolicyDigest>;

/// What a stored log is held against.
#[derive(Clone)]
#[must_use]
pub struct FsckConfig {
    origin: LogOrigin,
    trust: TrustPolicy,
    anchors: Vec<Arc<dyn Anchor>>,
    index_key: Option<IndexKey>,
    snapshots: Option<SnapshotDigest>,
    limit: usize,
}

impl FsckConfig {
    /// The log of this name, signed by the keys of this name in the trust policy. Cosignatures are not looked at.
    pub fn new(origin: LogOrigin, trust: TrustPolicy) -> Self {
        Self { origin, trust, anchors: Vec::new(), index_key: None, snapshots: None, limit: LIMIT }
    }

    /// Holds the log against an anchor. Without any, a rollback of the whole database shows nowhere.
    pub fn anchor(mut self, anchor: Arc<dyn Anchor>) -> Self {
        self.anchors.push(anchor);
        self
    }

    /// The key the log was created with. Without it look-up entries are not compared.
    pub fn index_key(mut self, key: IndexKey) -> Self {
        self.index_key = Some(key);
        self
    }

    /// How the digest of a stored policy snapshot is computed. Without it snapshots are only looked for.
    pub fn snapshots(mut self, digest: SnapshotDigest) -> Self {
        self.snapshots = Some(digest);
        self
    }

    /// How many damages are listed one by one, 1,000 unless said otherwise. The others are counted.
    pub fn limit(mut self, damages: usize) -> Self {
        self.limit = damages.max(1);
        self
    }
}

impl fmt::Debug for FsckConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsckConfig")
            .field("origin", &self.origin)
            .field("trust", &self.trust)
            .field("anchors", &self.anchors)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// A verification that could not be carried through. It says nothing about the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsckError {
    /// No log was created in this database.
    #[error("no log was created in this database")]
    NotCreated,
    /// The database did not answer, or with something that cannot be.
    #[error("the database could not be read")]
    Read(#[from] ReadError),
    /// An anchor could not be read.
    #[error("an anchor could not be read")]
    Anchor(#[from] AnchorError),
    /// There is no randomness for the key of sums.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The program is ending.
    #[error("the verification was interrupted")]
    Interrupted,
}

impl From<BackendError> for FsckError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotCreated => Self::NotCreated,
            other => Self::Read(other.into()),
        }
    }
}

impl From<LoadError> for FsckError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Anchor(error) => Self::Anchor(error),
            LoadError::Backend(error) => error.into(),
        }
    }
}

/// Verifies everything that is stored of a log, as it was when the verification began, while others may write to it.
///
/// Every record is hashed and held against header, tree, stream and payload commitment; every tile, the head, every
/// checkpoint and each anchor against the records; and everything that is stored to find records and work against what the
/// records give. It does not stop at a damage, and reads only. Memory grows with the open streams and their open work, not
/// with the records.
///
/// `progress` is told now and then how far it has come.
///
/// ```
/// # async fn example(
/// #     backend: &dyn jit_store::Backend,
/// #     origin: jit_core::LogOrigin,
/// #     trust: jit_log::TrustPolicy,
/// #     anchor: std::sync::Arc<dyn jit_store::Anchor>,
/// # ) -> Result<(), jit_store::FsckError> {
/// use jit_store::{FsckConfig, fsck};
///
/// let config = FsckConfig::new(origin, trust).anchor(anchor);
/// let report = fsck(backend, &config, &mut |progress| eprintln!("{:?} {}", progress.phase, progress.done)).await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`FsckError`] if the verification could not be carried through. Damage is no error: see [`FsckReport::is_clean`].
pub async fn fsck(
    backend: &dyn Backend,
    config: &FsckConfig,
    progress: &mut (dyn FnMut(FsckProgress) + Send),
) -> Result<FsckReport, FsckError> {
    let mut announce = Announcer { progress };
    let mut found = Vec::new();
    let meta = backend.meta().await?.ok_or(FsckError::NotCreated)?;
    let lookups = check_settings(&meta, config, &mut found);
    let signed = Signed::load(backend, &config.anchors, &config.origin, &config.trust, &mut found).await?;
    // After the checkpoints: others may append and sign meanwhile, and a head read before would seem to lag behind.
    let head = backend.head().await?;
    found.extend(signed.beyond(head.size));
    let mut report = FsckReport::new(config.origin.clone(), head.size, config.limit);
    report.lookups_compared = lookups;
    report.snapshots_read = config.snapshots.is_some();
    for damage in found {
        report.add(damage);
    }
    let key = config.index_key.clone().unwrap_or(IndexKey::from_bytes([0; 32]));
    let examiner = Arc::new(Examiner { origin: config.origin.clone(), projector: Projector::new(key) });
    let removals = Removals::read(backend, head.size).await?;
    let mut secret = [0; 32];
    OsEntropy.fill(&mut secret)?;
    let parts = (removals, signed, Tallies::summing(secret, lookups));
    let walk = Walk::new(backend, config, Arc::clone(&examiner), &head, &mut report, parts);
    let Walked { tallies, due, mut unclear, holes } = walk.run(&mut announce).await?;
    report_surplus(backend, head.size, &mut report).await?;
    let stored = Stored { backend, examiner: Arc::clone(&examiner), size: head.size, holes };
    stored.compare(tallies, &mut unclear, &mut report, &mut announce).await?;
    let feed = Feed::up_to(backend, examiner, head.size, head.size);
    let works = due.compare(backend, feed, &unclear, &mut report).await?;
    announce.say(FsckPhase::Projections, works, Some(works), &report);
    Ok(report)
}

/// Looks past the end for records that no append put there.
async fn report_surplus(backend: &dyn Backend, size: u64, report: &mut FsckReport) -> Result<(), FsckError> {
    let mut end = size;
    for _ in 0..MOST_LOOKS {
        // Only the first page of all there are, wherever it begins.
        let rows = backend.rows(end..u64::MAX).await?;
        if rows.is_empty() {
            break;
        }
        // What others appended meanwhile lies below the head of afterwards.
        end = backend.head().await?.size;
        if let Some(row) = rows.iter().find(|row| row.index >= end) {
            report.add(Damage::SurplusRecords { from: row.index });
            break;
        }
    }
    Ok(())
}

/// Checks the settings beside the log. Says whether look-up entries can be compared.
fn check_settings(meta: &[u8], config: &FsckConfig, found: &mut Vec<Damage>) -> bool {
    let Ok(stored) = canonical::from_slice::<LogMeta>(meta) else {
        found.push(Damage::Settings { what: "they cannot be read" });
        return config.index_key.is_some();
    };
    if stored.origin != config.origin {
        found.push(Damage::OtherLog { stored: stored.origin });
    }
    let Some(key) = &config.index_key else { return false };
    let expected = LogMeta::new(&config.origin, &Projector::new(key.clone()));
    let fits = stored.index_key_check == expected.index_key_check;
    if !fits {
        found.push(Damage::Settings { what: "the log was created with another index key" });
    }
    fits
}

/// Tells the caller how far the verification has come.
struct Announcer<'a> {
    progress: &'a mut (dyn FnMut(FsckProgress) + Send),
}

impl Announcer<'_> {
    fn say(&mut self, phase: FsckPhase, done: u64, total: Option<u64>, report: &FsckReport) {
        let damages = (report.damages.len() as u64).saturating_add(report.more);
        (self.progress)(FsckProgress { phase, done, total, damages });
    }
}

impl Log {
    /// Verifies everything that is stored of this log, against its own anchors and with its own key; see [`fsck`].
    /// `snapshots` computes the digest of a stored policy snapshot ([`FsckConfig::snapshots`]).
    ///
    /// # Errors
    /// As [`fsck`].
    pub async fn fsck(
        &self,
        snapshots: Option<SnapshotDigest>,
        progress: &mut (dyn FnMut(FsckProgress) + Send),
    ) -> Result<FsckReport, FsckError> {
        let context = self.context();
        let config = FsckConfig {
            anchors: context.config.anchors.clone(),
            snapshots,
            ..FsckConfig::new(context.origin.clone(), context.trust.clone()).index_key(context.config.index_key.clone())
        };
        fsck(self.backend(), &config, progress).await
    }
}
