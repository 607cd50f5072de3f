//! Group commit: one task collects what many callers append, and commits it in one transaction with
//! one tree update.

use std::sync::Arc;
use std::time::Duration;

use jit_core::{Kind, StreamId};
use jit_log::Hash;
use tokio::sync::{mpsc, oneshot, watch};

use crate::append::{AppendError, LogRecord};
use crate::backend::{BackendError, Transaction};
use crate::error::ReadError;
use crate::opening::LogContext;
use crate::prepared::{PreparedRequest, stream_key};
use crate::publisher::Durable;
use crate::reading::{PAGE, read_row, read_rows};
use crate::retention::DeclaredRetention;
use crate::row::{Batch, Begin, Incarnation, Known, Locked, StreamState};
use crate::sequencer::{Admitted, Sequencer, Wanted, declare};
use crate::tree::Tree;

/// No more records than this are committed at once, unless one request has more.
const MAX_BATCH_RECORDS: usize = 1024;
/// No more payload bytes than this are committed at once, unless one request has more.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// How often a lost commit is looked for, and how long to wait the first time.
const LOOK_AGAIN: u32 = 5;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often the database may change under an append before that is given up.
const INCARNATIONS: usize = 3;

/// One caller's append.
pub(crate) struct Submission {
    pub(crate) request: PreparedRequest,
    pub(crate) answer: oneshot::Sender<Result<Written, AppendError>>,
}

/// What the committer answers once all is durable.
pub(crate) struct Written {
    pub(crate) records: Vec<LogRecord>,
    pub(crate) repeated: bool,
}

/// The only writer of this process. It believes no head that it cannot compute.
pub(crate) struct Committer {
    context: Arc<LogContext>,
    tree: Tree,
    incarnation: Option<Incarnation>,
    declared: DeclaredRetention,
    /// How many records of stream `gov` were read for it.
    gov_read: u64,
    durable: watch::Sender<Durable>,
}

impl Committer {
    pub(crate) fn new(context: Arc<LogContext>, tree: Tree, durable: watch::Sender<Durable>) -> Self {
        Self { context, tree, incarnation: None, declared: DeclaredRetention::default(), gov_read: 0, durable }
    }

    /// Commits until nobody can append any more.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let mut next = queue.recv().await;
        while let Some(first) = next.take() {
            let (mut records, mut bytes) = (first.request.len(), first.request.bytes());
            let mut batch = vec![first];
            while let Ok(submission) = queue.try_recv() {
                records = records.saturating_add(submission.request.len());
                bytes = bytes.saturating_add(submission.request.bytes());
                if records > MAX_BATCH_RECORDS || bytes > MAX_BATCH_BYTES {
                    next = Some(submission);
                    break;
                }
                batch.push(submission);
            }
            self.commit(batch).await;
            if next.is_none() {
                next = queue.recv().await;
            }
        }
    }

    async fn commit(&mut self, batch: Vec<Submission>) {
        let (requests, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|submission| (submission.request, submission.answer)).unzip();
        // Whoever appended may have gone; what was written stays.
        match self.try_commit(requests).await {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(self.written(outcome).await);
                }
            }
            Err(error) => {
                tracing::warn!(origin = %self.context.origin, %error, "a batch was not committed");
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    async fn written(&self, outcome: Result<Admitted, AppendError>) -> Result<Written, AppendError> {
        match outcome? {
            Admitted::Written(records) => Ok(Written { records, repeated: false }),
            Admitted::Repeated(indexes) => {
                // They are there; a caller who cannot be shown them is not told that nothing was written.
                let records = read_rows(&*self.context.backend, &indexes).await.map_err(|error| match error {
                    ReadError::Backend(error) => AppendError::OutcomeUnknown(Arc::new(error)),
                    damage => damaged(damage),
                })?;
                Ok(Written { records, repeated: true })
            }
        }
    }

    /// Commits all requests that hold. An error means that none was committed.
    async fn try_commit(
        &mut self,
        requests: Vec<PreparedRequest>,
    ) -> Result<Vec<Result<Admitted, AppendError>>, AppendError> {
        let (want, transaction, tree) = self.begin(&requests).await?;
        let mut sequencer =
            Sequencer::new(&self.context.projector, tree, self.declared.clone(), &want, transaction.locked());
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            match sequencer.admit(request) {
                Err(AppendError::Damaged(error)) => return Err(AppendError::Damaged(error)),
                outcome => outcomes.push(outcome),
            }
        }
        if let Some((batch, tree)) = sequencer.finish() {
            self.write(transaction, batch).await?;
            self.tree = tree;
            self.durable.send_replace(Durable { size: self.tree.size(), root: self.tree.root() });
        }
        Ok(outcomes)
    }

    /// Takes the lock and makes sure that the log is the one this process knows.
    async fn begin(
        &mut self,
        requests: &[PreparedRequest],
    ) -> Result<(Wanted, Box<dyn Transaction>, Tree), AppendError> {
        let want = Wanted::by(requests);
        for _ in 0..INCARNATIONS {
            let begin = want.begin(self.tree.size());
            let transaction = self.context.backend.begin(begin).await.map_err(not_appended)?;
            let incarnation = transaction.locked().incarnation;
            if self.incarnation.is_some_and(|known| known != incarnation) {
                // The lock is free while the log is checked, so it may change again.
                drop(transaction);
                let (tree, _) = self.context.check().await.map_err(|error| AppendError::Refused(Arc::new(error)))?;
                self.tree = tree;
                self.incarnation = Some(incarnation);
                continue;
            }
            self.incarnation = Some(incarnation);
            let tree = self.caught_up(transaction.locked()).await.map_err(damaged)?;
            let gov = want.state(StreamId::Gov, transaction.locked());
            self.follow_declarations(gov).await.map_err(damaged)?;
            return Ok((want, transaction, tree));
        }
        let source = "the database changes again and again".into();
        Err(not_appended(BackendError::Unavailable { source }))
    }

    /// The tree grown by what other processes wrote; an error if the head is not the one it leads to.
    async fn caught_up(&self, locked: &Locked) -> Result<Tree, ReadError> {
        let mut tree = self.tree.clone();
        let size = locked.head.size;
        if size < tree.size() {
            return Err(ReadError::corrupt(format!("the log went back from {} to {size} records", tree.size())));
        }
        if locked.leaves.len() as u64 == size.saturating_sub(tree.size()) {
            for leaf in &locked.leaves {
                tree.push(Hash::from(*leaf))?;
            }
        } else {
            tree.advance(&*self.context.backend, size).await?;
        }
        tree.check(&locked.head)?;
        Ok(tree)
    }

    /// Reads what was declared since `gov` was read last.
    async fn follow_declarations(&mut self, gov: Option<StreamState>) -> Result<(), ReadError> {
        let backend = Arc::clone(&self.context.backend);
        let end = gov.map_or(0, |state| state.next);
        while self.gov_read < end {
            let rows = backend.stream_rows(stream_key(&StreamId::Gov), self.gov_read, PAGE).await?;
            if rows.is_empty() {
                return Err(ReadError::missing(format!("record {} of stream gov", self.gov_read)));
            }
            for row in rows {
                let record = read_row(row)?;
                if record.record().header().kind == Kind::RetentionDeclared {
                    declare(&mut self.declared, record.record())
                        .map_err(|error| ReadError::corrupt(error.to_string()))?;
                }
                self.gov_read = self.gov_read.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Commits; if the answer is lost, finds out whether the batch is there.
    async fn write(&self, transaction: Box<dyn Transaction>, batch: Batch) -> Result<(), AppendError> {
        let first = batch.rows.first().map(|row| (row.record, Known { index: row.index, leaf: row.leaf }));
        let lost = match transaction.commit(batch).await {
            Ok(()) => return Ok(()),
            Err(error @ BackendError::OutcomeUnknown { .. }) => error,
            Err(error) => return Err(not_appended(error)),
        };
        let Some((record, known)) = first else {
            return Err(not_appended(lost));
        };
        let begin = Begin { records: vec![record], ..Begin::default() };
        for attempt in 0..LOOK_AGAIN {
            tokio::time::sleep(LOOK_AGAIN_AFTER.saturating_mul(1 << attempt)).await;
            // Under the lock nobody can still be writing the batch.
            if let Ok(transaction) = self.context.backend.begin(begin.clone()).await {
                return match transaction.locked().known.first() {
                    Some(Some(found)) if *found == known => Ok(()),
                    Some(None) => Err(not_appended(lost)),
                    _ => Err(damaged(ReadError::corrupt("a lost batch came back in another place"))),
                };
            }
        }
        Err(AppendError::OutcomeUnknown(Arc::new(lost)))
    }
}

fn damaged(error: ReadError) -> AppendError {
    match error {
        ReadError::Backend(error) => not_appended(error),
        damaged => AppendError::Damaged(Arc::new(damaged)),
    }
}

fn not_appended(error: BackendError) -> AppendError {
    AppendError::Backend(Arc::new(error))
}
