//! Proof that appended records are under a signed, published checkpoint.

use std::sync::Arc;

use jit_core::{Recorded, RecordedError};
use jit_log::{CheckpointError, TrustError, VerifiedCheckpoint};

use crate::anchor::AnchorError;
use crate::append::LogRecord;
use crate::error::ReadError;
use crate::log::Log;
use crate::opening::OpenError;
use crate::signer::SignError;
use crate::witness::CosignError;

/// Records that are durable. They stay so whatever becomes of their receipt.
#[derive(Clone, Debug)]
#[must_use = "records are not under a signed checkpoint before their receipt is there"]
pub struct Appended {
    pub(crate) log: Log,
    pub(crate) records: Vec<LogRecord>,
    pub(crate) repeated: bool,
}

impl Appended {
    /// The records with their places, in the order of the request.
    #[must_use]
    pub fn records(&self) -> &[LogRecord] {
        &self.records
    }

    /// Whether an earlier attempt had written them, so that this one wrote nothing.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Waits until the records are under a checkpoint that meets what effects require. May be called again after an
    /// error, and dropped at any time.
    ///
    /// # Errors
    /// [`ReceiptError`]; the records stay durable.
    pub async fn receipt(&self) -> Result<Receipt, ReceiptError> {
        self.log.receipt_of(&self.records).await
    }
}

/// Records with their proofs under one signed checkpoint.
#[derive(Clone, Debug)]
pub struct Receipt {
    checkpoint: Arc<VerifiedCheckpoint>,
    recorded: Vec<Recorded>,
}

impl Receipt {
    pub(crate) fn new(checkpoint: Arc<VerifiedCheckpoint>, recorded: Vec<Recorded>) -> Self {
        Self { checkpoint, recorded }
    }

    /// The checkpoint; its note verifies with [`Log::trust`].
    #[must_use]
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// One proven record for each record of the request, in its order.
    #[must_use]
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    /// The proven records.
    #[must_use]
    pub fn into_recorded(self) -> Vec<Recorded> {
        self.recorded
    }
}

/// Why there is no receipt. The records stay durable, and the next receipt covers them.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The log could not be read, or what was read does not hang together.
    #[error("the log could not be read for a checkpoint")]
    Read(#[source] Arc<ReadError>),
    /// The signer gave no signature.
    #[error(transparent)]
    Sign(#[from] Arc<SignError>),
    /// The signer's signature does not verify under its own public key.
    #[error("the signer's signature does not verify")]
    Signature(#[source] Arc<TrustError>),
    /// The tree is too large for a checkpoint.
    #[error("no checkpoint can be made of the log")]
    Checkpoint(#[source] Arc<CheckpointError>),
    /// The anchor could not be used.
    #[error(transparent)]
    Anchor(#[from] Arc<AnchorError>),
    /// Too few witnesses cosigned.
    #[error(transparent)]
    Cosign(#[from] Arc<CosignError>),
    /// The anchor held a checkpoint and holds none any more.
    #[error("the anchor lost its checkpoint")]
    AnchorLost,
    /// The log does not extend a checkpoint that was signed or published before.
    #[error("the log does not extend its last checkpoint")]
    Refused(#[source] Arc<OpenError>),
    /// Others published faster, again and again.
    #[error("too many others publish at the same time")]
    Contended,
    /// There is no such record.
    #[error("the log has no record {index}")]
    NotInLog {
        /// Its index.
        index: u64,
    },
    /// The proof of a record does not verify: what is stored is damaged.
    #[error("the proof of a record does not verify")]
    Proof(#[source] Arc<RecordedError>),
    /// The task that signs has ended.
    #[error("the log is shut down")]
    ShutDown,
}

impl From<ReadError> for ReceiptError {
    fn from(error: ReadError) -> Self {
        Self::Read(Arc::new(error))
    }
}
