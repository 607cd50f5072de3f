//! The one connection of a process that writes: a transaction is one round trip to begin and one to commit.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{join_all, join5};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::{Error, Row as SqlRow};

use super::batch::{BatchColumns, Place, Statements, Step, execute, simple};
use super::config::SchemaName;
use super::connection::{Connector, ServerProcess, Session};
use super::error::{failed, is_not_as_assumed, outcome, outcome_of_one, unavailable};
use super::sql;
use super::value::{bound, concat, get, hash, head, limit, signed, stream_state, unsigned};
use crate::backend::{BackendError, Transaction};
use crate::row::{Assumed, Batch, Begin, Head, Incarnation, Known, Locked};

/// Hands out the writing connection, to one transaction at a time.
pub(super) struct Writer {
    connector: Connector,
    schema: SchemaName,
    patience: Duration,
    early: bool,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    connections: u64,
    session: Option<Arc<WritingSession>>,
    /// What served the last connection. It may still work on what was sent to it.
    last: Option<ServerProcess>,
}

/// A connection with what was prepared on it.
#[derive(Debug)]
pub(super) struct WritingSession {
    pub(super) main: Session,
    /// Confirms that what was committed on the other one is on disk. Opened before, so that it does not outlive a crash that
    /// the other one does not.
    flusher: Option<Session>,
    pub(super) statements: Statements,
    incarnation: Incarnation,
    /// There are partitions for all indexes below, as far as known.
    room: AtomicU64,
    /// Something was sent that is not answered.
    broken: AtomicBool,
}

impl Writer {
    pub(super) fn new(connector: Connector, schema: SchemaName, patience: Duration, early: bool) -> Self {
        Self { connector, schema, patience, early, slot: Arc::default() }
    }

    /// Creates the log with its first batch.
    pub(super) async fn create(&self, meta: &[u8], first: &Batch) -> Result<(), BackendError> {
        let columns = BatchColumns::of(first, 0)?;
        // What there is before the first batch.
        let empty = Head { size: 0, ..first.head.clone() };
        let (size, root, frontier) =
            (signed(first.head.size)?, empty.root.as_bytes().as_slice(), concat(&empty.frontier));
        let place = Place::behind(&empty, false)?;
        let mut open = self.open().await?;
        let session = open.session()?;
        let (client, prepared) = (&session.main.client, &session.statements);
        timeout(self.patience, client.batch_execute(sql::BEGIN)).await.map_err(unavailable)?.map_err(failed)?;
        let steps = vec![
            execute(client, &prepared.create, [&meta]),
            execute(client, &prepared.create_head, [&root, &frontier]),
            execute(client, &prepared.make_room, [&size]),
            columns.write(client, prepared, &place),
            simple(client, "COMMIT"),
        ];
        let answers = send(steps, self.patience).await;
        open.conclude(answers.map(outcome))
    }

    /// Takes the log's lock and reads what is wanted under it.
    pub(super) async fn begin(&self, want: &Begin) -> Result<PostgresTransaction, BackendError> {
        let mut open = self.open().await?;
        let session = open.session()?;
        let (client, prepared) = (&session.main.client, &session.statements);
        let streams: Vec<&[u8]> = want.streams.iter().map(|key| key.as_bytes().as_slice()).collect();
        let records: Vec<&[u8]> = want.records.iter().map(|key| key.as_bytes().as_slice()).collect();
        let (from, one_too_many) = (bound(want.leaves_from), limit(Begin::MAX_LEAVES.saturating_add(1)));
        let answers = timeout(
            self.patience,
            join5(
                client.batch_execute(sql::BEGIN),
                client.query_opt(&prepared.lock_head, &[]),
                client.query(&prepared.wanted_streams, &[&streams]),
                client.query(&prepared.wanted_records, &[&records]),
                client.query(&prepared.wanted_leaves, &[&from, &one_too_many]),
            ),
        )
        .await;
        let Ok((began, head_row, streams, known, leaves)) = answers else {
            open.discard();
            return Err(unavailable("the server does not answer"));
        };
        if let Err(error) = began {
            // A commit that was cancelled leaves its transaction behind.
            open.discard();
            return Err(failed(error));
        }
        let head_row = head_row.map_err(failed)?.ok_or(BackendError::NotCreated)?;
        let (streams, known, leaves) = (streams.map_err(failed)?, known.map_err(failed)?, leaves.map_err(failed)?);
        let incarnation = session.incarnation;
        let locked = locked(&head_row, &streams, &known, &leaves, incarnation)?;
        let room = unsigned(&head_row, 3)?;
        session.room.store(room, Ordering::Relaxed);
        // Whoever finds a record is told that it is durable. Its own commit may have been ended while it waited for a standby, which
        // shows it without one: a flush waits for the standby too.
        if locked.known.iter().any(Option::is_some) {
            self.flush(session).await?;
        }
        Ok(PostgresTransaction { open, locked, room, patience: self.patience })
    }

    /// Sends a batch as one statement, and lets others send theirs before it is answered.
    pub(super) async fn write_if(&self, assumed: &Assumed, batch: &Batch) -> Result<bool, BackendError> {
        let columns = BatchColumns::of(batch, assumed.head.size)?;
        let place = Place::assumed(assumed, self.early)?;
        let slot = self.slot.lock().await;
        let session =
            slot.session.as_ref().filter(|session| session.lives() && session.serves(assumed, batch)).cloned();
        let Some(session) = session else { return Ok(false) };
        let (client, prepared) = (&session.main.client, &session.statements);
        let mut sent = pin!(timeout(self.patience, columns.write(client, prepared, &place)));
        let answer = match (&mut sent).now_or_never() {
            Some(answer) => answer,
            None => {
                drop(slot);
                sent.await
            }
        };
        let written = match answer {
            Ok(Err(error)) if is_not_as_assumed(&error) => return Ok(false),
            Ok(answer) => outcome_of_one(answer),
            Err(elapsed) => Err(BackendError::OutcomeUnknown { source: elapsed.into() }),
        };
        let confirmed = match (written, &session.flusher) {
            (Ok(()), Some(flusher)) => flush(flusher, self.patience)
                .await
                .map_err(|error| BackendError::OutcomeUnknown { source: error.into() }),
            (written, _) => written,
        };
        if matches!(confirmed, Err(BackendError::OutcomeUnknown { .. })) {
            session.broken.store(true, Ordering::Relaxed);
        }
        confirmed.map(|()| true)
    }

    /// The writing connection, once nobody else of this process has it; a new one if there is none that works.
    pub(super) async fn open(&self) -> Result<Open, BackendError> {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        if !slot.session.as_ref().is_some_and(|session| session.lives()) {
            slot.session = None;
            slot.connections = slot.connections.saturating_add(1);
            let session = timeout(self.patience, self.connect(slot.connections, slot.last.as_ref())).await;
            let (session, process) = session.map_err(unavailable)??;
            slot.session = Some(Arc::new(session));
            slot.last = Some(process);
        }
        Ok(Open { slot, ended: false })
    }

    /// A new connection, once the server works no more on what was sent on the last one.
    async fn connect(
        &self,
        count: u64,
        last: Option<&ServerProcess>,
    ) -> Result<(WritingSession, ServerProcess), BackendError> {
        let flusher = if self.early { Some(self.connector.session().await?) } else { None };
        let main = self.connector.session().await?;
        let statements = Statements::prepare(&main.client, &self.schema).await?;
        let incarnation = main.incarnation(count).await?;
        if let Some(last) = last {
            main.end(last).await?;
        }
        let process = main.process().await?;
        let (room, broken) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok((WritingSession { main, flusher, statements, incarnation, room, broken }, process))
    }

    /// Returns when all that the session sees is on disk.
    async fn flush(&self, session: &WritingSession) -> Result<(), BackendError> {
        if let Some(flusher) = &session.flusher {
            return flush(flusher, self.patience).await;
        }
        let flusher = self.connector.session().await?;
        let process = timeout(self.patience, flusher.process()).await.map_err(unavailable)??;
        if let Err(error) = flush(&flusher, self.patience).await {
            // What waits for a standby does not notice that its client is gone.
            let other = self.connector.session().await?;
            timeout(self.patience, other.end(&process)).await.map_err(unavailable)??;
            return Err(error);
        }
        // It still answers, so the server that flushed is the one that was read from.
        let answer = timeout(self.patience, session.main.client.batch_execute("")).await;
        session.broken.fetch_or(answer.is_err(), Ordering::Relaxed);
        answer.map_err(unavailable)?.map_err(failed)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("schema", &self.schema).field("early", &self.early).finish_non_exhaustive()
    }
}

impl WritingSession {
    /// Whether the batch can be written on it as it is.
    fn serves(&self, assumed: &Assumed, batch: &Batch) -> bool {
        self.incarnation == assumed.incarnation && batch.head.size <= self.room.load(Ordering::Relaxed)
    }

    fn lives(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
            && !self.main.client.is_closed()
            && !self.flusher.as_ref().is_some_and(|flusher| flusher.client.is_closed())
    }
}

/// The writing connection, taken; whatever is open on it is rolled back when this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    slot: OwnedMutexGuard<Slot>,
    ended: bool,
}

impl Open {
    pub(super) fn session(&self) -> Result<&WritingSession, BackendError> {
        match &self.slot.session {
            Some(session) if !session.main.client.is_closed() => Ok(session),
            _ => Err(unavailable("the connection broke")),
        }
    }

    /// Takes note of what became of a transaction whose statements were all sent.
    pub(super) fn conclude(&mut self, outcome: Result<Result<(), BackendError>, Elapsed>) -> Result<(), BackendError> {
        let concluded = outcome.unwrap_or_else(|elapsed| Err(BackendError::OutcomeUnknown { source: elapsed.into() }));
        match concluded {
            Err(BackendError::OutcomeUnknown { .. }) => self.discard(),
            _ => self.ended = true,
        }
        concluded
    }

    /// Never uses the connection again, so that the server ends what was open on it.
    pub(super) fn discard(&mut self) {
        self.slot.session = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (false, Some(session)) = (self.ended, &self.slot.session) {
            // Sent without waiting: whatever follows on this connection comes after it.
            let _ = session.main.client.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

/// The log's lock, held by a transaction of the server.
#[derive(Debug)]
pub(super) struct PostgresTransaction {
    open: Open,
    locked: Locked,
    /// There are partitions for the indexes below.
    room: u64,
    patience: Duration,
}

#[async_trait]
impl Transaction for PostgresTransaction {
    fn locked(&self) -> &Locked {
        &self.locked
    }

    async fn commit(mut self: Box<Self>, batch: Batch) -> Result<(), BackendError> {
        let columns = BatchColumns::of(&batch, self.locked.head.size)?;
        let size = signed(batch.head.size)?;
        let session = self.open.session()?;
        let (client, prepared) = (&session.main.client, &session.statements);
        let place = Place::behind(&self.locked.head, session.flusher.is_some())?;
        let mut steps = Vec::new();
        if batch.head.size > self.room {
            steps.push(execute(client, &prepared.make_room, [&size]));
        }
        steps.push(columns.write(client, prepared, &place));
        steps.push(simple(client, "COMMIT"));
        let answers = send(steps, self.patience).await;
        self.open.conclude(answers.map(outcome))?;
        self.confirm().await
    }
}

impl PostgresTransaction {
    /// Where the lock was freed before the flush: waits for the flush.
    async fn confirm(&mut self) -> Result<(), BackendError> {
        let Some(flusher) = self.open.slot.session.as_ref().and_then(|session| session.flusher.as_ref()) else {
            return Ok(());
        };
        let flushed = flush(flusher, self.patience).await;
        flushed.map_err(|error| {
            self.open.discard();
            BackendError::OutcomeUnknown { source: error.into() }
        })
    }
}

/// Sends all statements at once and waits for all answers.
pub(super) async fn send(steps: Vec<Step<'_>>, patience: Duration) -> Result<Vec<Result<u64, Error>>, Elapsed> {
    timeout(patience, join_all(steps)).await
}

async fn flush(session: &Session, patience: Duration) -> Result<(), BackendError> {
    let flushed = timeout(patience, session.client.batch_execute(sql::FLUSH)).await;
    flushed.map_err(unavailable)?.map_err(failed)
}

fn locked(
    head_row: &SqlRow,
    streams: &[SqlRow],
    known: &[SqlRow],
    leaves: &[SqlRow],
    incarnation: Incarnation,
) -> Result<Locked, BackendError> {
    let stream = |row: &SqlRow| match get::<Option<i64>>(row, 0)? {
        Some(_) => stream_state(row, 0).map(Some),
        None => Ok(None),
    };
    let known_at = |row: &SqlRow| match get::<Option<&[u8]>>(row, 1)? {
        Some(_) => Ok(Some(Known { index: unsigned(row, 0)?, leaf: hash(row, 1)? })),
        None => Ok(None),
    };
    let leaves = if leaves.len() > Begin::MAX_LEAVES { &[] } else { leaves };
    Ok(Locked {
        head: head(head_row)?,
        streams: streams.iter().map(stream).collect::<Result<_, BackendError>>()?,
        known: known.iter().map(known_at).collect::<Result<_, BackendError>>()?,
        leaves: leaves.iter().map(|row| hash(row, 0)).collect::<Result<_, _>>()?,
        incarnation,
    })
}
