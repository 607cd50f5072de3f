//! The opening check: the database against the last checkpoint held outside it (evidence format,
//! section 6).

use std::sync::Arc;

use jit_core::{LogOrigin, canonical};
use jit_log::{Hash, TrustError, TrustPolicy, VerifiedCheckpoint, VerifierKey, leaf_hash};
use serde::{Deserialize, Serialize};

use crate::anchor::AnchorError;
use crate::append::AppendError;
use crate::backend::{Backend, BackendError};
use crate::config::{ConfigError, LogConfig};
use crate::error::ReadError;
use crate::projection::Projector;
use crate::receipt::ReceiptError;
use crate::row::Head;
use crate::tree::{Tree, consistency, root};

/// What is stored with a log that its records do not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogMeta {
    pub(crate) format: MetaFormat,
    pub(crate) origin: LogOrigin,
    /// A digest under the index key, to notice another key.
    pub(crate) index_key_check: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MetaFormat {
    #[serde(rename = "jit-store/1")]
    V1,
}

impl LogMeta {
    pub(crate) fn new(origin: &LogOrigin, projector: &Projector) -> Self {
        Self {
            format: MetaFormat::V1,
            origin: origin.clone(),
            index_key_check: data_encoding::HEXLOWER.encode(projector.check_value().as_bytes()),
        }
    }
}

/// What the tasks and the handle of one log share.
#[derive(Debug)]
pub(crate) struct LogContext {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: LogConfig,
    pub(crate) origin: LogOrigin,
    /// Tells whether the log has signed.
    pub(crate) trust: TrustPolicy,
    /// Tells whether a checkpoint is one that readers accept: signed, and cosigned if effects require that.
    pub(crate) readers: TrustPolicy,
    pub(crate) projector: Projector,
}

impl LogContext {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: LogConfig) -> Result<Self, ConfigError> {
        let (origin, readers) = config.identity()?;
        let projector = Projector::new(config.index_key.clone());
        Ok(Self { backend, config, origin, trust: readers.without_quorum(), readers, projector })
    }

    /// Whether the database holds the log that this configuration speaks of.
    pub(crate) async fn check_meta(&self) -> Result<(), OpenError> {
        let stored = self.backend.meta().await?.ok_or(OpenError::NotCreated)?;
        let stored: LogMeta = canonical::from_slice(&stored).map_err(|_| OpenError::UnknownFormat)?;
        let expected = LogMeta::new(&self.origin, &self.projector);
        if stored.origin != expected.origin {
            return Err(OpenError::OtherOrigin { stored: stored.origin, configured: expected.origin });
        }
        if stored.index_key_check != expected.index_key_check {
            return Err(OpenError::OtherIndexKey);
        }
        Ok(())
    }

    /// The opening check. Returns the tree at the head, and for each anchor its checkpoint if there is one.
    pub(crate) async fn check(&self) -> Result<(Tree, Vec<Option<VerifiedCheckpoint>>), OpenError> {
        let backend = &*self.backend;
        let mut anchored = Vec::with_capacity(self.config.anchors.len());
        for anchor in &self.config.anchors {
            anchored.push(match anchor.load().await? {
                Some(note) => Some(self.trust.verify(&note).map_err(OpenError::AnchorUntrusted)?),
                None => None,
            });
        }
        let kept = match backend.checkpoint(None).await? {
            Some(row) => Some(self.trust.verify(&row.note).map_err(OpenError::CheckpointUntrusted)?),
            None => None,
        };
        // After both: others may append and sign meanwhile, and a head read before would seem to lag behind.
        let head = backend.head().await?;
        for checkpoint in anchored.iter().flatten().chain(&kept) {
            extends(&head, checkpoint)?;
        }
        let tree = Tree::load(backend, head.size).await?;
        tree.check(&head)?;
        check_last_rows(backend, head.size).await?;
        for checkpoint in anchored.iter().flatten().chain(&kept) {
            self.agree(&tree, checkpoint).await?;
        }
        if anchored.iter().any(Option::is_none) && !self.config.accept_missing_anchor {
            return Err(OpenError::AnchorMissing { size: head.size });
        }
        Ok((tree, anchored))
    }

    /// Whether readers accept the checkpoint: whether it is cosigned, if effects require that.
    pub(crate) fn suffices(&self, checkpoint: &VerifiedCheckpoint) -> bool {
        self.readers.verify(checkpoint.note()).is_ok()
    }

    /// Whether `tree`, read from tiles and leaf hashes, extends the checkpoint.
    pub(crate) async fn agree(&self, tree: &Tree, checkpoint: &VerifiedCheckpoint) -> Result<(), OpenError> {
        let signed = checkpoint.checkpoint();
        extends(&tree.head(), checkpoint)?;
        if signed.size() == 0 {
            return Ok(());
        }
        if root(&*self.backend, signed.size()).await? != signed.root() {
            return Err(OpenError::Fork { size: signed.size(), signed: signed.root() });
        }
        let proof = consistency(&*self.backend, signed.size(), tree.size()).await?;
        proof
            .verify(signed.size(), &signed.root(), tree.size(), &tree.root())
            .map_err(|_| ReadError::corrupt(format!("the tiles of size {} do not lead to the head", signed.size())))?;
        Ok(())
    }
}

fn extends(head: &Head, checkpoint: &VerifiedCheckpoint) -> Result<(), OpenError> {
    let signed = checkpoint.checkpoint().size();
    if signed > head.size {
        return Err(OpenError::Rollback { signed, stored: head.size });
    }
    Ok(())
}

/// Hashes the records again whose leaf hashes make up the tree's last tile.
async fn check_last_rows(backend: &dyn Backend, size: u64) -> Result<(), ReadError> {
    let mut next = size.saturating_sub(size % jit_log::TILE_WIDTH);
    while next < size {
        let rows = backend.rows(next..size).await?;
        if rows.is_empty() {
            return Err(ReadError::missing(format!("records from {next} to {size}")));
        }
        for row in rows {
            if row.index != next {
                return Err(ReadError::missing(format!("record {next}")));
            }
            if leaf_hash(&row.header) != row.leaf.into() {
                return Err(ReadError::corrupt(format!("record {next} does not hash to its leaf")));
            }
            next = next.saturating_add(1);
        }
    }
    Ok(())
}

/// Why a log does not open. Except where the database was not reached, trying again does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No log was created in this database; opening never creates one.
    #[error("no log was created in this database")]
    NotCreated,
    /// The configuration cannot be worked with.
    #[error("the configuration is not usable")]
    Config(#[from] ConfigError),
    /// The database could not be read.
    #[error("the database could not be read")]
    Backend(#[source] BackendError),
    /// The anchor could not be read, so that nothing shows whether the database was rolled back.
    #[error("the anchor could not be read")]
    Anchor(#[from] AnchorError),
    /// An anchor is missing though the log has records. If it is lost for good, open with
    /// [`LogConfig::accept_missing_anchor`].
    #[error("no anchor was found for a log of {size} records")]
    AnchorMissing {
        /// How many records the database holds.
        size: u64,
    },
    /// The anchor is not a checkpoint of this log under its key.
    #[error("the anchor is not a checkpoint of this log")]
    AnchorUntrusted(#[source] TrustError),
    /// The last checkpoint in the database is not one of this log under its key.
    #[error("the last stored checkpoint is not one of this log")]
    CheckpointUntrusted(#[source] TrustError),
    /// The database holds an earlier state than was signed: a backup was restored, or records were cut off. Never continue this
    /// log: begin a new one that names the last checkpoint.
    #[error("the database was rolled back: {signed} records were signed, {stored} are stored")]
    Rollback {
        /// The size of the signed checkpoint.
        signed: u64,
        /// The size of the stored head.
        stored: u64,
    },
    /// The first records are not the ones that were signed.
    #[error("the database is a fork: its first {size} records are not those that were signed under root {signed}")]
    Fork {
        /// The size of the signed checkpoint.
        size: u64,
        /// Its root.
        signed: Hash,
    },
    /// Records, leaf hashes or tiles below the stored head are gone.
    #[error("the stored log is truncated: {what}")]
    Truncated {
        /// What is not there.
        what: String,
    },
    /// What is stored contradicts itself.
    #[error("the stored log is damaged")]
    Corrupt(#[source] ReadError),
    /// The settings beside the log are of no version that is known here.
    #[error("the log is stored in a format this version does not know")]
    UnknownFormat,
    /// The database holds another log.
    #[error("the database holds log {stored}, not {configured}")]
    OtherOrigin {
        /// The origin of the stored log.
        stored: LogOrigin,
        /// The origin that the signer's key names.
        configured: LogOrigin,
    },
    /// The index key is not the one the log was created with, so that nothing would be found.
    #[error("the index key is not the one this log was created with")]
    OtherIndexKey,
    /// The signer's key is not one the log declared.
    #[error("the log does not name the signer's key {key}")]
    UndeclaredKey {
        /// The signer's key.
        key: Box<VerifierKey>,
    },
    /// The retention policy given differs from the one the log declares. Open with the declared one, and declare the new one.
    #[error("the retention policy is not the one that the log declares")]
    OtherRetention,
    /// What had to be recorded at the opening was not.
    #[error("the opening could not be recorded")]
    Append(#[from] AppendError),
    /// What had to be recorded at the opening was not signed and published.
    #[error("the opening could not be published")]
    Receipt(#[from] ReceiptError),
}

impl From<BackendError> for OpenError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotCreated => Self::NotCreated,
            BackendError::Corrupt { what } => Self::Corrupt(ReadError::Corrupt { what }),
            other => Self::Backend(other),
        }
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Backend(error) => error.into(),
            ReadError::Missing { what } => Self::Truncated { what },
            damaged => Self::Corrupt(damaged),
        }
    }
}
