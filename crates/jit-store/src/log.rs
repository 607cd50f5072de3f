//! The log: one origin, one sequence, over any backend.

use std::fmt;
use std::sync::Arc;

use jit_core::{
    Event, IndexKey, Kind, LogHeartbeat, LogOrigin, PolicyDigest, Recorded, Recorder, RetentionClass, StreamId,
};
use jit_log::{TrustPolicy, VerifiedCheckpoint};
use tokio::sync::{mpsc, oneshot, watch};

use crate::append::{AppendError, AppendRequest, InvalidRequest, LogRecord};
use crate::backend::{Backend, BackendError};
use crate::committer::Committer;
use crate::config::LogConfig;
use crate::creating::CreateError;
use crate::error::ReadError;
use crate::intake::Submission;
use crate::opening::{LogContext, OpenError};
use crate::prepared::PreparedRequest;
use crate::publisher::{Durable, PublishRequest, Publisher};
use crate::receipt::{Appended, Receipt, ReceiptError};
use crate::retention::DeclaredRetention;
use crate::row::BlobKey;
use crate::sequencer::declare;
use crate::tree::{self, Tree};

/// A handle on an open log. Clones share it; its tasks end when the last one is dropped, after what
/// was handed in is finished.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    context: Arc<LogContext>,
    submit: mpsc::Sender<Submission>,
    publish: mpsc::Sender<PublishRequest>,
}

impl Log {
    /// Creates the log in a database that holds none, with its first records, `log.opened` and `retention.declared`,
    /// and publishes its first checkpoint.
    ///
    /// The checkpoint of the empty log is published before, so that from the first moment a database without an
    /// anchor is one whose anchor was lost.
    ///
    /// # Errors
    /// [`CreateError`]; a log may exist afterwards only if its first checkpoint could not be published.
    pub async fn create(backend: Arc<dyn Backend>, config: LogConfig) -> Result<Self, CreateError> {
        let context = Arc::new(LogContext::new(backend, config).map_err(OpenError::from)?);
        if context.backend.meta().await.map_err(OpenError::from)?.is_some() {
            return Err(CreateError::AlreadyExists);
        }
        let (meta, batch, tree) = context.beginning()?;
        let anchored = context.anchor_empty_log().await?;
        match context.backend.create(meta, batch).await {
            Ok(()) => {}
            Err(BackendError::AlreadyExists) => return Err(CreateError::AlreadyExists),
            Err(error) => return Err(OpenError::from(error).into()),
        }
        let log = Self::start(context, tree, anchored);
        log.publish().await.map_err(OpenError::from)?;
        Ok(log)
    }

    /// Opens the log that a database holds, after the opening check. Never creates one.
    ///
    /// # Errors
    /// [`OpenError`] says why the database is not to be trusted or does not fit the configuration.
    pub async fn open(backend: Arc<dyn Backend>, config: LogConfig) -> Result<Self, OpenError> {
        let context = Arc::new(LogContext::new(backend, config)?);
        context.check_meta().await?;
        let (tree, anchored) = context.check().await?;
        let lost = anchored.iter().any(Option::is_none);
        let log = Self::start(context, tree, anchored);
        log.check_declarations().await?;
        if lost {
            log.append_heartbeat(0, true).await?.receipt().await?;
        }
        Ok(log)
    }

    fn start(context: Arc<LogContext>, tree: Tree, anchored: Vec<Option<VerifiedCheckpoint>>) -> Self {
        let (submit, queue) = mpsc::channel(context.config.queue.max(1));
        let (publish, requests) = mpsc::channel(context.config.queue.max(1));
        let (durable, seen) = watch::channel(Durable { size: tree.size(), root: tree.root() });
        tokio::spawn(Publisher::new(Arc::clone(&context), seen, tree.clone(), anchored).run(requests));
        tokio::spawn(Committer::new(Arc::clone(&context), tree, durable).run(queue));
        Self { inner: Arc::new(Inner { context, submit, publish }) }
    }

    /// Whether what the log declares about itself is what the configuration says.
    async fn check_declarations(&self) -> Result<(), OpenError> {
        let config = &self.context().config;
        let key = config.signer.verifier();
        let (mut keys, mut declared) = (Vec::new(), DeclaredRetention::default());
        for entry in self.stream(&StreamId::Gov).await? {
            let unreadable = |_| ReadError::corrupt(format!("record {} cannot be read", entry.index()));
            match entry.record().header().kind {
                Kind::RetentionDeclared => {
                    declare(&mut declared, entry.record()).map_err(|error| ReadError::corrupt(error.to_string()))?;
                }
                Kind::LogOpened | Kind::LogKeyRotated => match entry.record().event().map_err(unreadable)? {
                    Event::LogOpened(opened) => keys = opened.keys,
                    Event::LogKeyRotated(rotated) => keys.push(rotated.new),
                    _ => {}
                },
                _ => {}
            }
        }
        if !keys.contains(&key.to_string()) {
            return Err(OpenError::UndeclaredKey { key: Box::new(key) });
        }
        if !declared.is(&config.retention) {
            return Err(OpenError::OtherRetention);
        }
        Ok(())
    }

    /// Appends records, all or none, and waits until they are durable.
    ///
    /// A request whose records are in the log already, because an earlier attempt's answer was lost, is answered with their
    /// places and writes nothing. Dropping the future does not undo what was handed in: append the same
    /// request again to learn what became of it.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        let context = self.context();
        let request = PreparedRequest::new(request, &context.origin, &context.projector)?;
        let (answer, written) = oneshot::channel();
        self.inner.submit.try_send(Submission { request, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AppendError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => AppendError::ShutDown,
        })?;
        let written = written.await.map_err(|_| AppendError::ShutDown)??;
        Ok(Appended { log: self.clone(), records: written.records, repeated: written.repeated })
    }

    /// Proof that records appended earlier, perhaps by another process, are under a checkpoint that meets
    /// what effects require.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn receipt(&self, indexes: &[u64]) -> Result<Receipt, ReceiptError> {
        let records = self.records(indexes).await?;
        self.receipt_of(&records).await
    }

    pub(crate) async fn receipt_of(&self, records: &[LogRecord]) -> Result<Receipt, ReceiptError> {
        let last = records.iter().map(LogRecord::index).max();
        let checkpoint = self.checkpoint(last.map_or(0, |last| last.saturating_add(1))).await?;
        let size = checkpoint.checkpoint().size();
        let mut recorded = Vec::with_capacity(records.len());
        for entry in records {
            let proof = tree::inclusion(self.backend(), entry.index(), size).await?;
            let bytes = entry.record().header_bytes();
            let proven = Recorded::verify_under(bytes, entry.index(), &proof, &checkpoint)
                .map_err(|error| ReceiptError::Proof(Arc::new(error)))?;
            recorded.push(proven);
        }
        Ok(Receipt::new(checkpoint, recorded))
    }

    /// A checkpoint of at least `size` records that meets what effects require: signed, and published as configured.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn checkpoint(&self, size: u64) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        let (answer, published) = oneshot::channel();
        let request = PublishRequest { size, answer };
        self.inner.publish.send(request).await.map_err(|_| ReceiptError::ShutDown)?;
        published.await.map_err(|_| ReceiptError::ShutDown)?
    }

    /// Signs and publishes a checkpoint of everything that is durable now.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn publish(&self) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        let size = self.size().await?;
        self.checkpoint(size).await
    }

    pub(crate) async fn append_heartbeat(&self, silent_s: u32, anchor_lost: bool) -> Result<Appended, AppendError> {
        let event = LogHeartbeat { silent_s, anchor_accepted_missing: anchor_lost };
        let draft = self
            .context()
            .governance(event.into())
            .map_err(|source| InvalidRequest::Draft { stream: StreamId::Gov, source })?;
        self.append(AppendRequest::new().draft(draft)).await
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &LogOrigin {
        &self.context().origin
    }

    /// What a reader needs to verify this log's checkpoints: its public key, and if effects require cosignatures the
    /// witnesses and their quorum.
    #[must_use]
    #[allow(clippy::misnamed_getters, reason = "inside, trust is what tells whether the log has signed at all")]
    pub fn trust(&self) -> &TrustPolicy {
        &self.context().readers
    }

    /// Makes drafts for this log, with the clock and the randomness it was opened with.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.context().recorder()
    }

    /// The key that this log derives ids and look-up digests with.
    #[must_use]
    pub fn index_key(&self) -> &IndexKey {
        &self.context().config.index_key
    }

    /// The retention class of the log's own records and of policies.
    #[must_use]
    pub fn governance_class(&self) -> &RetentionClass {
        self.context().config.retention.governance()
    }

    /// A policy snapshot that some append brought along, as its bytes.
    ///
    /// # Errors
    /// [`ReadError::Backend`].
    pub async fn policy(&self, digest: PolicyDigest) -> Result<Option<Vec<u8>>, ReadError> {
        self.blob(digest.into()).await
    }

    pub(crate) fn context(&self) -> &LogContext {
        &self.inner.context
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.inner.context.backend
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("origin", self.origin()).finish_non_exhaustive()
    }
}

impl From<PolicyDigest> for BlobKey {
    fn from(digest: PolicyDigest) -> Self {
        Self::from_bytes(*digest.as_bytes())
    }
}
