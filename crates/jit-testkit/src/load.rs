//! Writers that append without pause and note what was acknowledged, and what must hold afterwards, whatever broke meanwhile.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jit_core::{
    CaseId, Expected, LeafHash, Record, RecordId, Refs, RequestRefused, RetentionClass, StreamHead, StreamId,
    Timestamp, code,
};
use jit_log::{Frontier, leaf_hash};
use jit_store::{AppendError, AppendRequest, Backend, BackendError, Cursor, Log, OpenError};
use tokio::{sync::mpsc, task::JoinSet};

/// How long to wait before an append is tried again that failed for a reason that passes.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A record of which a writer was told that it is durable. Its text is one line, for a process that may be killed at any moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The record.
    pub id: RecordId,
    /// Its place in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: LeafHash,
}

impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acknowledged {} {} {}", self.id, self.index, self.leaf)
    }
}

impl FromStr for Acknowledged {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut words = line.split(' ');
        let mut next = || words.next().ok_or_else(|| format!("not an acknowledgement: {line}"));
        if next()? != "acknowledged" {
            return Err(format!("not an acknowledgement: {line}"));
        }
        let wrong = |error: &dyn fmt::Display| format!("{error} in: {line}");
        Ok(Self {
            id: next()?.parse().map_err(|error| wrong(&error))?,
            index: next()?.parse().map_err(|error| wrong(&error))?,
            leaf: next()?.parse().map_err(|error| wrong(&error))?,
        })
    }
}

/// What so many tasks of one process append, each one record at a time: most to a case of their own, some to cases that all
/// processes contend for.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many tasks.
    pub tasks: u64,
    /// How many cases all writers contend for; one append in eight goes to one of them, if there are any.
    pub shared: u64,
    /// Which process this is: no two loads on one log have the same number.
    pub process: u64,
    /// Where the choices start.
    pub seed: u64,
}

/// What came of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged appends.
    pub appended: u64,
    /// Appends that lost against another writer of the same case.
    pub conflicts: u64,
    /// Appends that were tried again after a failure that passes.
    pub again: u64,
}

impl Load {
    /// Appends until `stop` is set. Everything acknowledged is sent to `acknowledged` before its task goes on. An append that
    /// is still failing when `stop` is set is given up.
    ///
    /// # Panics
    /// If an append fails for a reason that does not pass, or a task's own case conflicts.
    pub async fn run(
        self,
        log: &Log,
        stop: Arc<AtomicBool>,
        acknowledged: mpsc::UnboundedSender<Acknowledged>,
    ) -> Tally {
        let mut tasks = JoinSet::new();
        for task in 0..self.tasks {
            let writer = Writer {
                log: log.clone(),
                own: self.case(task + 1),
                load: self,
                heads: HashMap::new(),
                choices: self.seed ^ (self.process << 32) ^ task,
                tally: Tally::default(),
            };
            tasks.spawn(writer.run(stop.clone(), acknowledged.clone()));
        }
        let mut sum = Tally::default();
        while let Some(done) = tasks.join_next().await {
            let tally = done.expect("a task that ends by itself");
            sum.appended += tally.appended;
            sum.conflicts += tally.conflicts;
            sum.again += tally.again;
        }
        sum
    }

    /// A case of one task of this process, from 1.
    fn case(&self, task: u64) -> StreamId {
        case(self.process << 16 | task)
    }
}

fn case(number: u64) -> StreamId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    StreamId::Case(CaseId::v7(Timestamp::EPOCH, random))
}

struct Writer {
    log: Log,
    own: StreamId,
    load: Load,
    heads: HashMap<StreamId, StreamHead>,
    choices: u64,
    tally: Tally,
}

impl Writer {
    async fn run(mut self, stop: Arc<AtomicBool>, acknowledged: mpsc::UnboundedSender<Acknowledged>) -> Tally {
        while !stop.load(Ordering::SeqCst) {
            let choice = self.choose();
            let stream = match self.load.shared {
                0 => self.own,
                shared if choice.is_multiple_of(8) => case(choice / 8 % shared),
                _ => self.own,
            };
            let head = self.heads.get(&stream).copied();
            let record = self.record(stream, head);
            let request = AppendRequest::new().records(stream, Expected::from_head(head), vec![record.clone()]);
            match self.append(request, &stop).await {
                Some(Ok(index)) => {
                    self.heads.insert(stream, record.head());
                    self.tally.appended += 1;
                    let noted = Acknowledged { id: record.header().id, index, leaf: record.leaf() };
                    acknowledged.send(noted).expect("somebody who notes");
                }
                Some(Err(current)) => {
                    assert_ne!(stream, self.own, "nobody else writes to this case");
                    self.tally.conflicts += 1;
                    self.heads.remove(&stream);
                    self.heads.extend(current.map(|head| (stream, head)));
                }
                None => break,
            }
        }
        self.tally
    }

    /// The place of the record, the head in the way of it, or nothing if it was given up.
    async fn append(&mut self, request: AppendRequest, stop: &AtomicBool) -> Option<Result<u64, Option<StreamHead>>> {
        loop {
            match self.log.append(request.clone()).await {
                Ok(appended) => return Some(Ok(appended.records()[0].index())),
                Err(AppendError::Conflict { current, .. }) => return Some(Err(current)),
                Err(error) if passes(&error) => self.tally.again += 1,
                Err(error) => panic!("{error:?}"),
            }
            if stop.load(Ordering::SeqCst) {
                return None;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    fn record(&self, stream: StreamId, head: Option<StreamHead>) -> Record {
        let recorder = self.log.recorder();
        let read = recorder.clock().now();
        let event = RequestRefused { requester: None, code: code!("not_eligible"), count: self.tally.appended };
        let class = RetentionClass::new("access").expect("a class");
        let draft = recorder.draft(stream, event.into(), Refs::default(), class, read).expect("a draft");
        draft.seal(head, None).expect("a record")
    }

    /// SplitMix64.
    fn choose(&mut self) -> u64 {
        self.choices = self.choices.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.choices;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn passes(error: &AppendError) -> bool {
    let unreached =
        |error: &BackendError| matches!(error, BackendError::Unavailable { .. } | BackendError::OutcomeUnknown { .. });
    match error {
        AppendError::Overloaded | AppendError::OutcomeUnknown(_) => true,
        AppendError::Backend(error) => unreached(error),
        AppendError::Refused(error) => matches!(&**error, OpenError::Backend(error) if unreached(error)),
        _ => false,
    }
}

/// What a log was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// How many records.
    pub records: u64,
    /// How many of them were acknowledged to the writers.
    pub acknowledged: u64,
    /// How many checkpoints; each is consistent with the next.
    pub checkpoints: u64,
}

/// Reads a log from its first record to its last and checks what must hold: dense and without doubles, each case a chain, every
/// acknowledged record at the place that was acknowledged, the root of a fresh checkpoint the root of what was read, and each
/// stored checkpoint consistent with the next; and the store's own verification finds nothing.
///
/// # Panics
/// If any of it does not hold.
pub async fn assert_whole(log: &Log, backend: &dyn Backend, acknowledged: &[Acknowledged]) -> Whole {
    let checkpoint = log.publish().await.expect("a checkpoint");
    let signed = checkpoint.checkpoint();
    let (mut places, mut heads) = (HashMap::new(), BTreeMap::<StreamId, StreamHead>::new());
    let (mut tree, mut next) = (Frontier::new(), Cursor::START);
    while next.seen() < signed.size() {
        let left = usize::try_from(signed.size() - next.seen()).expect("a count");
        let changes = log.changes(next, left.min(1024)).await.expect("records");
        next = changes.next;
        for entry in changes.records {
            let (index, record) = (entry.index(), entry.record());
            assert_eq!(index, tree.size(), "indexes are dense");
            tree.push(leaf_hash(record.header_bytes())).expect("a leaf");
            let header = record.header();
            let before = heads.insert(header.stream, record.head());
            assert_eq!(
                header.prev,
                before.map(|head| head.leaf),
                "{} of {} follows its predecessor",
                header.n,
                header.stream
            );
            assert_eq!(header.n, before.map_or(0, |head| head.n + 1), "{} is dense", header.stream);
            let double = places.insert(header.id, (index, record.leaf()));
            assert_eq!(double, None, "record {} is there twice", header.id);
        }
    }
    assert_eq!(tree.root(), signed.root(), "the checkpoint is over what was read");
    for Acknowledged { id, index, leaf } in acknowledged {
        assert_eq!(places.get(id), Some(&(*index, *leaf)), "record {id} was acknowledged");
    }
    let report = log.fsck(None, &mut |_| {}).await.expect("a verification");
    assert!(report.is_clean(), "{report}");
    let checkpoints = assert_checkpoints_agree(log, backend).await;
    let acknowledged = acknowledged.len() as u64;
    Whole { records: signed.size(), acknowledged, checkpoints }
}

async fn assert_checkpoints_agree(log: &Log, backend: &dyn Backend) -> u64 {
    let (mut count, mut before) = (0, None::<jit_log::VerifiedCheckpoint>);
    let mut at_least = 1;
    while let Some(row) = backend.checkpoint(Some(at_least)).await.expect("a checkpoint") {
        let now = log.trust().verify(&row.note).expect("a checkpoint of this log");
        let new = now.checkpoint();
        assert_eq!(new.size(), row.size, "a checkpoint is filed under its size");
        if let Some(before) = &before {
            let old = before.checkpoint();
            let proof = log.consistency(old.size(), new.size()).await.expect("a proof");
            proof.verify(old.size(), &old.root(), new.size(), &new.root()).expect("the log only grew");
        }
        at_least = row.size + 1;
        count += 1;
        before = Some(now);
    }
    count
}
