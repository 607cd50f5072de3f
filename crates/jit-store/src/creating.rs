//! Creating a log: its first records, and its first checkpoint in the anchor.

use std::collections::HashMap;
use std::sync::Arc;

use jit_core::{
    Draft, Event, LogOpened, RecordError, Recorder, Refs, StreamId, TextError, Version,
    canonical::{self, CanonicalError},
};
use jit_log::{Checkpoint, Hash, VerifiedCheckpoint};

use crate::anchor::Published;
use crate::append::{AppendError, AppendRequest};
use crate::opening::{LogContext, LogMeta, OpenError};
use crate::prepared::PreparedRequest;
use crate::receipt::ReceiptError;
use crate::retention::{DeclaredRetention, RetentionError};
use crate::row::Batch;
use crate::sequencer::Sequencer;
use crate::tree::Tree;

/// The version of the record format that this log writes.
const FORMAT: &str = "jit-evidence/1";

/// Why no log was created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The database holds a log already.
    #[error("the log exists already")]
    AlreadyExists,
    /// The anchor holds a checkpoint already: it belongs to another log, or to one whose database was lost. Never begin
    /// a log of the same name again; begin one of another name that names this checkpoint.
    #[error("the anchor holds a checkpoint already")]
    AnchorInUse,
    /// The first records could not be made.
    #[error("the first records could not be made")]
    Record(#[from] RecordError),
    /// The settings have no canonical form.
    #[error("the settings have no canonical form")]
    Meta(#[from] CanonicalError),
    /// The retention policy cannot be declared.
    #[error("the retention policy cannot be declared")]
    Retention(#[from] RetentionError),
    /// The first records do not make a log.
    #[error("the first records do not make a log")]
    First(#[from] AppendError),
    /// A name that this crate writes itself is not acceptable.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The database, the signer or the anchor failed.
    #[error("the log could not be begun")]
    Open(#[from] OpenError),
}

impl LogContext {
    pub(crate) fn recorder(&self) -> Recorder {
        self.config.recorder(&self.origin)
    }

    /// A draft for stream `gov`.
    pub(crate) fn governance(&self, event: Event) -> Result<Draft, RecordError> {
        let recorder = self.recorder();
        let read = recorder.clock().now();
        recorder.draft(StreamId::Gov, event, Refs::default(), self.config.retention.governance().clone(), read)
    }

    /// The settings and first records of the log, and the tree over them.
    pub(crate) fn beginning(&self) -> Result<(Vec<u8>, Batch, Tree), CreateError> {
        let meta = canonical::to_bytes(&LogMeta::new(&self.origin, &self.projector))?;
        let opened = LogOpened {
            format: Version::new(FORMAT)?,
            keys: vec![self.config.signer.verifier().to_string()],
            heartbeat_s: self.config.heartbeat_s(),
            predecessor: None,
        };
        let declared_event = self.config.retention.to_event();
        // The declaration is the second record, and the first has a class too.
        let mut declared = DeclaredRetention::default();
        declared.declare(declared_event.clone())?;
        let request =
            AppendRequest::new().draft(self.governance(opened.into())?).draft(self.governance(declared_event.into())?);
        let request = PreparedRequest::new(request, &self.origin, &self.projector).map_err(AppendError::from)?;
        let mut sequencer = Sequencer::new(&self.projector, Tree::empty(), declared, HashMap::new(), HashMap::new());
        sequencer.admit(&request)?;
        let (batch, tree) = sequencer.finish().ok_or(AppendError::ShutDown)?;
        Ok((meta, batch, tree))
    }

    /// Publishes the checkpoint of the empty log in every anchor, so that from the first moment on a database without an
    /// anchor is one whose anchor was lost.
    pub(crate) async fn anchor_empty_log(&self) -> Result<Vec<Option<VerifiedCheckpoint>>, CreateError> {
        let checkpoint = Checkpoint::new(self.origin.as_origin().clone(), 0, Hash::EMPTY_ROOT)
            .map_err(|error| OpenError::from(ReceiptError::Checkpoint(Arc::new(error))))?;
        let empty = self.sign(&checkpoint).await.map_err(OpenError::from)?;
        let mut anchored = Vec::with_capacity(self.config.anchors.len());
        for anchor in &self.config.anchors {
            anchored.push(match anchor.publish(None, empty.note()).await.map_err(OpenError::from)? {
                Published::Stored => Some(empty.clone()),
                // An earlier attempt came this far and no further.
                Published::Holds(Some(held)) => match self.trust.verify(&held) {
                    Ok(held) if held.checkpoint().size() == 0 => Some(held),
                    _ => return Err(CreateError::AnchorInUse),
                },
                Published::Holds(None) => return Err(CreateError::AnchorInUse),
            });
        }
        Ok(anchored)
    }
}
