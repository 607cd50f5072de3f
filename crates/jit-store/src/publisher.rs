//! The task that signs checkpoints and publishes them: durable, signed, published, in this order
//! (evidence format, section 6).

use std::sync::Arc;

use jit_log::{Checkpoint, Hash, VerifiedCheckpoint};
use tokio::sync::{mpsc, oneshot, watch};

use crate::anchor::Published;
use crate::backend::{Backend, BackendError};
use crate::config::EffectRequirement;
use crate::error::ReadError;
use crate::opening::{LogContext, OpenError};
use crate::receipt::ReceiptError;
use crate::row::{CheckpointRow, Holder};
use crate::tree::Tree;

/// How often a compare-and-swap is tried again after somebody else was faster.
const ATTEMPTS: usize = 16;

/// A wish for a checkpoint of at least `size` records.
pub(crate) struct PublishRequest {
    pub(crate) size: u64,
    pub(crate) answer: oneshot::Sender<Result<Arc<VerifiedCheckpoint>, ReceiptError>>,
}

/// The largest state of the log this process knows to be durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durable {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// Signs for one log. Every tree it signs it has grown itself from stored leaf hashes, starting from one that
/// was checked against the anchor.
pub(crate) struct Publisher {
    context: Arc<LogContext>,
    durable: watch::Receiver<Durable>,
    tree: Tree,
    /// The size of the largest checkpoint in the database, as far as known.
    kept: Option<u64>,
    /// What each anchor holds, as far as known.
    anchored: Vec<Option<Arc<VerifiedCheckpoint>>>,
    /// The largest checkpoint that meets what effects require.
    latest: Option<Arc<VerifiedCheckpoint>>,
}

impl Publisher {
    pub(crate) fn new(
        context: Arc<LogContext>,
        durable: watch::Receiver<Durable>,
        tree: Tree,
        anchored: Vec<Option<VerifiedCheckpoint>>,
    ) -> Self {
        let anchored: Vec<_> = anchored.into_iter().map(|held| held.map(Arc::new)).collect();
        // What all anchors hold is what the one furthest behind does.
        let everywhere = anchored.iter().all(Option::is_some);
        let least = anchored.iter().flatten().min_by_key(|held| held.checkpoint().size());
        let latest = least.filter(|held| everywhere && context.suffices(held)).cloned();
        Self { context, durable, tree, kept: None, anchored, latest }
    }

    /// Serves requests until nobody can make any. One signature serves all that wait.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<PublishRequest>) {
        while let Some(first) = requests.recv().await {
            let mut waiting = vec![first];
            while let Ok(next) = requests.try_recv() {
                waiting.push(next);
            }
            let size = waiting.iter().map(|request| request.size).max().unwrap_or(0);
            let published = self.publish(size).await;
            for request in waiting {
                // Whoever asked may have gone.
                let _ = request.answer.send(published.clone());
            }
            if matches!(self.context.config.effects, EffectRequirement::Signed)
                && let Some(checkpoint) = self.latest.clone()
                && let Err(error) = self.anchor(checkpoint).await
            {
                tracing::warn!(origin = %self.context.origin, %error, "the anchor does not follow");
            }
        }
    }

    async fn publish(&mut self, needed: u64) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        if let Some(latest) = self.latest.as_ref().filter(|latest| latest.checkpoint().size() >= needed) {
            return Ok(Arc::clone(latest));
        }
        let context = Arc::clone(&self.context);
        let published = match &context.config.effects {
            EffectRequirement::Signed => self.sign_and_keep(needed).await?,
            EffectRequirement::Anchored => {
                let kept = self.sign_and_keep(needed).await?;
                self.anchor(kept).await?
            }
            EffectRequirement::Cosigned(cosigning) => {
                let kept = self.cosign_and_keep(cosigning, needed).await?;
                self.anchor(kept).await?
            }
        };
        self.latest = Some(Arc::clone(&published));
        Ok(published)
    }

    async fn sign_and_keep(&mut self, needed: u64) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        self.grow(needed).await?;
        let signed = self.sign().await?;
        self.keep(signed).await
    }

    /// Reads the leaf hashes up to the largest durable size, at least `needed`.
    pub(crate) async fn grow(&mut self, needed: u64) -> Result<(), ReceiptError> {
        let backend = Arc::clone(&self.context.backend);
        let durable = *self.durable.borrow();
        // Grown apart, so that leaves which fail a check below are never part of what is signed later.
        let mut tree = self.tree.clone();
        let root_differs = || ReadError::corrupt("the stored leaves do not have the root that was committed");
        if durable.size >= needed && durable.size >= tree.size() {
            tree.advance(&*backend, durable.size).await?;
            if tree.root() != durable.root {
                return Err(root_differs().into());
            }
        } else if tree.size() < needed {
            // Another process wrote it.
            let head = backend.head().await?;
            tree.advance(&*backend, head.size).await?;
            tree.check(&head)?;
        }
        if tree.size() < needed {
            return Err(ReceiptError::NotInLog { index: needed.saturating_sub(1) });
        }
        self.tree = tree;
        Ok(())
    }

    pub(crate) async fn sign(&self) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        let origin = self.context.origin.as_origin().clone();
        let checkpoint = Checkpoint::new(origin, self.tree.size(), self.tree.root())
            .map_err(|error| ReceiptError::Checkpoint(Arc::new(error)))?;
        let verified = self.context.sign(&checkpoint).await?;
        Ok(Arc::new(verified))
    }

    /// Keeps the checkpoint in the database, or finds a larger one that this log extends as well.
    pub(crate) async fn keep(
        &mut self,
        signed: Arc<VerifiedCheckpoint>,
    ) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        let backend = Arc::clone(&self.context.backend);
        let row = CheckpointRow {
            size: signed.checkpoint().size(),
            note: signed.note().to_vec(),
            frontier: self.tree.frontier(),
        };
        for _ in 0..ATTEMPTS {
            if backend.save_checkpoint(self.kept, row.clone()).await? {
                self.kept = Some(row.size);
                return Ok(signed);
            }
            let Some(stored) = backend.checkpoint(None).await? else {
                self.kept = None;
                continue;
            };
            let stored = self.adopt(&stored.note).await?;
            let size = stored.checkpoint().size();
            self.kept = Some(size);
            if size >= row.size {
                return Ok(stored);
            }
        }
        Err(ReceiptError::Contended)
    }

    /// Publishes the checkpoint in every anchor, or finds a larger one there that this log extends as well.
    async fn anchor(&mut self, kept: Arc<VerifiedCheckpoint>) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        let context = Arc::clone(&self.context);
        for (at, anchor) in context.config.anchors.iter().enumerate() {
            let mut held = self.anchored.get(at).cloned().flatten();
            for attempt in 0.. {
                if held.as_ref().is_some_and(|held| held.checkpoint().size() >= kept.checkpoint().size()) {
                    break;
                }
                if attempt == ATTEMPTS {
                    return Err(ReceiptError::Contended);
                }
                let expected = held.as_ref().map(|held| held.note());
                held = match anchor.publish(expected, kept.note()).await.map_err(Arc::new)? {
                    Published::Stored => Some(Arc::clone(&kept)),
                    Published::Holds(Some(note)) => Some(self.adopt(&note).await?),
                    Published::Holds(None) => return Err(ReceiptError::AnchorLost),
                };
                if let Some(known) = self.anchored.get_mut(at) {
                    known.clone_from(&held);
                }
            }
        }
        Ok(kept)
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.context.backend
    }

    /// Who asks for leases: this process.
    pub(crate) fn holder(&self) -> Holder {
        Holder::from_bytes(*self.context.config.writer.as_bytes())
    }

    pub(crate) fn suffices(&self, checkpoint: &VerifiedCheckpoint) -> bool {
        self.context.suffices(checkpoint)
    }

    /// Accepts a checkpoint that another process signed, if it is of this log.
    pub(crate) async fn adopt(&mut self, note: &[u8]) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        let refused = |error: OpenError| ReceiptError::Refused(Arc::new(error));
        let verified =
            self.context.trust.verify(note).map_err(|error| refused(OpenError::CheckpointUntrusted(error)))?;
        let size = verified.checkpoint().size();
        let mut tree = self.tree.clone();
        if size > tree.size() {
            tree.advance(&*self.context.backend, size).await?;
        }
        self.context.agree(&tree, &verified).await.map_err(refused)?;
        self.tree = tree;
        Ok(Arc::new(verified))
    }
}

impl LogContext {
    /// Has a checkpoint signed, and verifies what came back as any reader would.
    pub(crate) async fn sign(&self, checkpoint: &Checkpoint) -> Result<VerifiedCheckpoint, ReceiptError> {
        let text = checkpoint.to_text();
        let signature = self.config.signer.sign(&text).await.map_err(Arc::new)?;
        let note = format!("{text}\n{signature}");
        self.trust.verify(note.as_bytes()).map_err(|error| ReceiptError::Signature(Arc::new(error)))
    }
}

impl From<BackendError> for ReceiptError {
    fn from(error: BackendError) -> Self {
        ReadError::from(error).into()
    }
}
