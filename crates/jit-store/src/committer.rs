//! Group commit: one task collects what many callers append, and commits it in one transaction with
//! one tree update.
//!
//! As long as nobody else writes, a batch is sent before the log's lock is held, on the condition that the log is as it was left,
//! and the next one is made and sent meanwhile. Only what was written is answered so: whatever else there is to say, that
//! a request conflicts or was written before, is found out under the lock.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jit_core::{Kind, StreamHead, StreamId};
use jit_log::Hash;
use tokio::sync::{mpsc, watch};

use crate::append::{AppendError, LogRecord};
use crate::backend::{BackendError, Transaction};
use crate::error::ReadError;
use crate::flight::{Flight, Flights, Landed};
use crate::intake::{Intake, Submission};
use crate::opening::LogContext;
use crate::prepared::{PreparedRecords, PreparedRequest, stream_key};
use crate::publisher::Durable;
use crate::reading::{PAGE, read_row, read_rows};
use crate::retention::DeclaredRetention;
use crate::row::{Assumed, Batch, Begin, HashBytes, Incarnation, Known, Locked, RecordKey, StreamKey, StreamState};
use crate::sequencer::{Admitted, Sequencer, Wanted, declare};
use crate::tree::Tree;

/// How often a lost commit is looked for, and how long to wait the first time.
const LOOK_AGAIN: u32 = 5;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// While one batch is under way, the next is sent when so many requests wait.
const WORTH_SENDING: usize = 16;
/// After somebody else wrote, so many batches are committed under the lock before it is done without again.
const WARY: u32 = 16;
/// How often the database may change under an append before that is given up.
const INCARNATIONS: usize = 3;

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
    /// `None` where the next batch needs the lock.
    ground: Option<Ground>,
    wary: u32,
}

/// What the log is as soon as all that was sent is written, if nobody else writes.
struct Ground {
    incarnation: Incarnation,
    gov: Option<StreamState>,
    tree: Tree,
}

impl Committer {
    pub(crate) fn new(context: Arc<LogContext>, tree: Tree, durable: watch::Sender<Durable>) -> Self {
        Self {
            context,
            tree,
            incarnation: None,
            declared: DeclaredRetention::default(),
            gov_read: 0,
            durable,
            ground: None,
            wary: 0,
        }
    }

    /// Commits until nobody can append any more.
    pub(crate) async fn run(mut self, queue: mpsc::Receiver<Submission>) {
        let mut intake = Intake::new(queue);
        let mut flights = Flights::default();
        while let Some(next) = next(&mut flights, &mut intake).await {
            match next {
                Next::Landed(landed) => self.land(*landed, &mut flights).await,
                Next::Batch => {
                    // Under the lock nothing is under way beside it, and a batch costs the same however much is in it.
                    let batch = intake.batch(self.ground.as_ref().map(|_| flights.requests())).await;
                    match self.fly(batch) {
                        Ok(flight) => flights.send(flight),
                        Err(batch) => {
                            for landed in flights.land_all().await {
                                self.settle(landed).await;
                            }
                            self.commit(batch).await;
                        }
                    }
                }
            }
        }
    }

    /// Begins to write the batch without the lock, if that may do.
    fn fly(&mut self, submissions: Vec<Submission>) -> Result<Flight, Vec<Submission>> {
        match self.speculate(&submissions) {
            Some((assumed, batch, tree, written)) => {
                let Some(first) = first_of(&batch) else { return Err(submissions) };
                if let Some(ground) = &mut self.ground {
                    ground.tree = tree.clone();
                }
                let backend = Arc::clone(&self.context.backend);
                let writing = Box::pin(async move { backend.write_if(assumed, batch).await });
                Ok(Flight { submissions, written, first, tree, writing })
            }
            None => Err(submissions),
        }
    }

    /// The batch that writes all of the requests, if what they expect is so; `None` if the lock is needed to tell.
    fn speculate(&self, submissions: &[Submission]) -> Option<(Assumed, Batch, Tree, Vec<Vec<LogRecord>>)> {
        let ground = self.ground.as_ref()?;
        let mut streams: HashMap<_, _> = ground.gov.map(|state| (StreamId::Gov, state)).into_iter().collect();
        let assumed = assumptions(submissions.iter().map(|submission| &submission.request))?;
        streams.extend(assumed.iter().filter_map(|(stream, (_, head))| Some((*stream, state_at((*head)?)))));
        let mut sequencer = Sequencer::new(
            &self.context.projector,
            ground.tree.clone(),
            self.declared.clone(),
            streams,
            HashMap::new(),
        );
        let mut written = Vec::with_capacity(submissions.len());
        for submission in submissions {
            match sequencer.admit(&submission.request) {
                Ok(Admitted::Written(records)) => written.push(records),
                Ok(Admitted::Repeated(_)) | Err(_) => return None,
            }
        }
        let (batch, tree) = sequencer.finish()?;
        let streams = assumed.into_values().map(|(key, head)| (key, head.map(leaf_of))).collect();
        let assumed = Assumed { incarnation: ground.incarnation, head: ground.tree.head(), streams };
        Some((assumed, batch, tree, written))
    }

    async fn land(&mut self, landed: Landed, flights: &mut Flights) {
        let mut fallen = Vec::new();
        if !matches!(landed.answer, Ok(true)) {
            // What was sent after it counted on it. Nothing is under way while the lock is taken.
            fallen = flights.land_all().await;
        }
        for landed in std::iter::once(landed).chain(fallen) {
            self.settle(landed).await;
        }
    }

    async fn settle(&mut self, landed: Landed) {
        let Flight { submissions, written, first, tree, .. } = landed.flight;
        let written_as_sent = match landed.answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.ground = None;
                self.find_out(Some(first), error).await
            }
        };
        match written_as_sent {
            Ok(false) => self.commit(submissions).await,
            Ok(true) => {
                self.grown(tree);
                for (submission, records) in submissions.into_iter().zip(written) {
                    // Whoever appended may have gone; what was written stays.
                    let _ = submission.answer.send(Ok(Written { records, repeated: false }));
                }
            }
            Err(error) => self.refuse(submissions, &error),
        }
    }

    fn refuse(&self, submissions: Vec<Submission>, error: &AppendError) {
        tracing::warn!(origin = %self.context.origin, %error, "a batch was not committed");
        for submission in submissions {
            let _ = submission.answer.send(Err(error.clone()));
        }
    }

    /// All of the tree is durable.
    fn grown(&mut self, tree: Tree) {
        self.tree = tree;
        self.durable.send_replace(Durable { size: self.tree.size(), root: self.tree.root() });
    }

    /// Commits under the lock. Nothing else is under way.
    async fn commit(&mut self, batch: Vec<Submission>) {
        self.ground = None;
        let outcomes = loop {
            match self.try_commit(&batch).await {
                Ok(Some(outcomes)) => break Ok(outcomes),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        match outcomes {
            Ok(outcomes) => {
                for (submission, outcome) in batch.into_iter().zip(outcomes) {
                    let _ = submission.answer.send(self.written(outcome).await);
                }
            }
            Err(error) => self.refuse(batch, &error),
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

    /// Commits all requests that hold; `None` if somebody else wrote one of them meanwhile. An error means that none was
    /// committed.
    async fn try_commit(
        &mut self,
        submissions: &[Submission],
    ) -> Result<Option<Vec<Result<Admitted, AppendError>>>, AppendError> {
        let requests = || submissions.iter().map(|submission| &submission.request);
        let want = Wanted::by(requests());
        let (transaction, tree) = self.begin(&want).await?;
        let locked = transaction.locked();
        self.wary = if tree.size() > self.tree.size() { WARY } else { self.wary.saturating_sub(1) };
        let (incarnation, gov) = (locked.incarnation, want.state(StreamId::Gov, locked));
        let mut sequencer = Sequencer::new(
            &self.context.projector,
            tree,
            self.declared.clone(),
            want.found(locked).collect(),
            want.known(locked).collect(),
        );
        let mut outcomes = Vec::with_capacity(submissions.len());
        for request in requests() {
            match sequencer.admit(request) {
                Err(AppendError::Damaged(error)) => return Err(AppendError::Damaged(error)),
                outcome => outcomes.push(outcome),
            }
        }
        if let Some((batch, tree)) = sequencer.finish() {
            if !self.write(transaction, batch).await? {
                return Ok(None);
            }
            self.grown(tree);
            // What is declared in stream `gov` counts when it was read.
            if self.wary == 0 && !requests().any(|request| request.appends_to(StreamId::Gov)) {
                self.ground = Some(Ground { incarnation, gov, tree: self.tree.clone() });
            }
        }
        Ok(Some(outcomes))
    }

    /// Takes the lock and makes sure that the log is the one this process knows.
    async fn begin(&mut self, want: &Wanted) -> Result<(Box<dyn Transaction>, Tree), AppendError> {
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
            return Ok((transaction, tree));
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

    /// Commits; if the answer is lost, finds out as [`find_out`](Self::find_out) does.
    async fn write(&self, transaction: Box<dyn Transaction>, batch: Batch) -> Result<bool, AppendError> {
        let first = first_of(&batch);
        match transaction.commit(batch).await {
            Ok(()) => Ok(true),
            Err(error) => self.find_out(first, error).await,
        }
    }

    /// Whether a batch is there although its answer is an error; `false` if it is not, and its first record came into the log by
    /// another one: a caller may have repeated the request.
    async fn find_out(&self, first: Option<(RecordKey, Known)>, error: BackendError) -> Result<bool, AppendError> {
        let lost = match error {
            BackendError::OutcomeUnknown { .. } => error,
            error => return Err(not_appended(error)),
        };
        let Some((record, known)) = first else {
            return Err(not_appended(BackendError::Unavailable { source: lost.into() }));
        };
        let begin = Begin { records: vec![record], ..Begin::default() };
        for attempt in 0..LOOK_AGAIN {
            tokio::time::sleep(LOOK_AGAIN_AFTER.saturating_mul(1 << attempt)).await;
            // Under the lock nobody can still be writing the batch.
            if let Ok(transaction) = self.context.backend.begin(begin.clone()).await {
                return match transaction.locked().known.first().copied().flatten() {
                    Some(found) => Ok(found == known),
                    None => Err(not_appended(BackendError::Unavailable { source: lost.into() })),
                };
            }
        }
        Err(AppendError::OutcomeUnknown(Arc::new(lost)))
    }
}

/// What there is to do.
enum Next {
    Landed(Box<Landed>),
    Batch,
}

/// `None` when all is done.
async fn next(flights: &mut Flights, intake: &mut Intake) -> Option<Next> {
    poll_fn(|context| {
        if let Poll::Ready(Some(landed)) = flights.poll_landed(context) {
            return Poll::Ready(Some(Next::Landed(Box::new(landed))));
        }
        if flights.is_full() {
            return Poll::Pending;
        }
        let wanted = if flights.is_empty() { 1 } else { WORTH_SENDING };
        match intake.poll_waiting(wanted, context) {
            Poll::Ready(()) if !intake.is_over() => Poll::Ready(Some(Next::Batch)),
            Poll::Ready(()) if flights.is_empty() => Poll::Ready(None),
            _ => Poll::Pending,
        }
    })
    .await
}

type Assumptions = HashMap<StreamId, (StreamKey, Option<StreamHead>)>;

/// How the streams of the requests end, if all of them are right; `None` if one is among them of which they do not say.
fn assumptions<'a>(requests: impl Iterator<Item = &'a PreparedRequest>) -> Option<Assumptions> {
    let mut assumed = Assumptions::new();
    for request in requests {
        for (stream, expected) in &request.guards {
            if *stream != StreamId::Gov {
                assumed.entry(*stream).or_insert_with(|| (stream_key(stream), expected.head()));
            }
        }
        for append in &request.appends {
            match &append.records {
                PreparedRecords::Sealed { expected, .. } => {
                    assumed.entry(append.stream).or_insert_with(|| (append.key, expected.head()));
                }
                PreparedRecords::Drafts(_) => return None,
            }
        }
    }
    Some(assumed)
}

/// Of a stream that takes more and ends so.
fn state_at(head: StreamHead) -> StreamState {
    StreamState { next: head.n.saturating_add(1), leaf: leaf_of(head), closed: false }
}

fn leaf_of(head: StreamHead) -> HashBytes {
    head.leaf.to_hash().into()
}

fn first_of(batch: &Batch) -> Option<(RecordKey, Known)> {
    batch.rows.first().map(|row| (row.record, Known { index: row.index, leaf: row.leaf }))
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
