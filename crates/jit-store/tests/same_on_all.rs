//! The same operations give the same answers, records, roots, tiles, proofs, projections and files on every backend.
//!
//! `JIT_SOAK_ROUNDS` says how many random sequences are tried.
#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod postgres_support;
mod support;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::maybe_done;
use jit_core::{Clock as _, Expected, StreamHead, Timestamp};
use jit_store::{
    AppendError, AppendRequest, Appended, Backend, BlobKey, Cursor, DueWork, ExportPayloads, Log, LogRecord, LookupKey,
    MemoryBackend, RecordKey, SqliteBackend, StreamKey, StreamState, TileKey, TreeNodes, TreeRead,
};
use postgres_support::{connected, migrated};
use proptest::{prelude::*, test_runner::TestRunner};
use support::{World, case, chain, heartbeat, lived};

/// One thing to do, by one of the processes.
#[derive(Debug, Clone)]
struct Step {
    process: usize,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// So many records for each of some cases, perhaps from a stale head, with drafts, a guard that holds or not, a blob.
    Append {
        cases: BTreeMap<u64, usize>,
        stale: bool,
        drafts: usize,
        guard: Option<(u64, bool)>,
        blob: Option<u8>,
    },
    /// Requests handed in at once. How they are batched is up to the log and to how long a commit takes; the order is that in
    /// which they were handed in.
    Together(Vec<Joined>),
    /// The last request once more.
    Repeat,
    /// A case with so many records that schedule work and are filed under names, if there is none of this number.
    Live {
        number: u64,
        count: usize,
    },
    Wait {
        minutes: u64,
    },
    Claim {
        limit: usize,
    },
    Release,
    Heartbeat,
    Publish,
    Export {
        payloads: bool,
    },
    /// The process ends and another one takes its place.
    Restart,
}

/// One of the requests that are handed in at once: so many records for a case, perhaps from before what others hand in, with a
/// draft or without.
#[derive(Debug, Clone)]
struct Joined {
    number: u64,
    count: usize,
    stale: bool,
    draft: bool,
}

fn joined() -> impl Strategy<Value = Joined> {
    let rarely = || proptest::bool::weighted(0.02);
    let number = prop_oneof![0..4u64, 20..50u64];
    (number, 1..6usize, rarely(), rarely()).prop_map(|(number, count, stale, draft)| Joined {
        number,
        count,
        stale,
        draft,
    })
}

fn what() -> impl Strategy<Value = What> {
    let cases = proptest::collection::btree_map(0..4u64, 1..200usize, 0..3);
    let guard = proptest::option::of((0..4u64, proptest::bool::weighted(0.8)));
    let blob = proptest::option::of(0..3u8);
    let append = (cases, proptest::bool::weighted(0.2), 0..3usize, guard, blob)
        .prop_map(|(cases, stale, drafts, guard, blob)| What::Append { cases, stale, drafts, guard, blob });
    prop_oneof![
        12 => append,
        3 => proptest::collection::vec(joined(), 2..120).prop_map(What::Together),
        1 => Just(What::Repeat),
        4 => (10..16u64, 1..8usize).prop_map(|(number, count)| What::Live { number, count }),
        3 => (20..90u64).prop_map(|minutes| What::Wait { minutes }),
        3 => (0..4usize).prop_map(|limit| What::Claim { limit }),
        1 => Just(What::Release),
        1 => Just(What::Heartbeat),
        1 => Just(What::Publish),
        1 => any::<bool>().prop_map(|payloads| What::Export { payloads }),
        1 => Just(What::Restart),
    ]
}

/// What was answered, as far as two runs can be compared.
#[derive(Debug, PartialEq)]
enum Answer {
    Appended { repeated: bool, records: Vec<LogRecord> },
    Refused(String),
    Together(Vec<Answer>),
    Worked(Vec<(String, Timestamp)>),
    Told(bool),
    Published { size: u64, note: Vec<u8> },
    Exported(BTreeMap<PathBuf, Vec<u8>>),
    Nothing,
}

/// A log on one kind of backend, with as many handles on it as that allows.
struct Store {
    name: &'static str,
    world: World,
    handles: Vec<Arc<dyn Backend>>,
    logs: [Log; 2],
    processes: u64,
    heads: BTreeMap<u64, StreamHead>,
    lived: BTreeSet<u64>,
    last: AppendRequest,
    claimed: Vec<DueWork>,
    exports: usize,
    _guard: Box<dyn Any + Send>,
}

impl Store {
    async fn all() -> Vec<Self> {
        let memory: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        let folder = tempfile::tempdir().unwrap();
        let sqlite: Arc<dyn Backend> = Arc::new(SqliteBackend::create_new(folder.path().join("log.db")).await.unwrap());
        let database = migrated().await;
        let postgres: Vec<Arc<dyn Backend>> =
            vec![Arc::new(connected(&database).await), Arc::new(connected(&database).await)];
        vec![
            Self::new("memory", vec![memory], Box::new(())).await,
            Self::new("SQLite", vec![sqlite], Box::new(folder)).await,
            Self::new("PostgreSQL", postgres, Box::new(database)).await,
        ]
    }

    async fn new(name: &'static str, handles: Vec<Arc<dyn Backend>>, guard: Box<dyn Any + Send>) -> Self {
        let world = World::over(Arc::clone(&handles[0]));
        let first = Log::create(Arc::clone(&handles[0]), world.config_of(0)).await.unwrap();
        let second = Log::open(Arc::clone(&handles[handles.len() - 1]), world.config_of(1)).await.unwrap();
        Self {
            name,
            world,
            handles,
            logs: [first, second],
            processes: 2,
            heads: BTreeMap::new(),
            lived: BTreeSet::new(),
            last: AppendRequest::new(),
            claimed: Vec::new(),
            exports: 0,
            _guard: guard,
        }
    }

    async fn apply(&mut self, step: &Step) -> Answer {
        let log = self.logs[step.process].clone();
        match &step.what {
            What::Append { cases, stale, drafts, guard, blob } => {
                let mut request = AppendRequest::new();
                let mut heads = self.heads.clone();
                for (number, count) in cases {
                    let head = self.heads.get(number).copied();
                    let from = if *stale { None } else { head };
                    let records = chain(&log, case(*number), from, *count);
                    heads.insert(*number, records.last().unwrap().head());
                    request = request.records(case(*number), Expected::from_head(from), records);
                }
                for _ in 0..*drafts {
                    request = request.draft(heartbeat(&log));
                }
                if let Some((number, right)) = guard {
                    let head = self.heads.get(number).copied().filter(|_| *right);
                    request = request.guard(case(*number), Expected::from_head(head));
                }
                if let Some(blob) = blob {
                    request = request.blob(BlobKey::from_bytes([*blob; 32]), vec![*blob; 1000]);
                }
                let answer = self.append(&log, request).await;
                if matches!(answer, Answer::Appended { .. }) {
                    self.heads = heads;
                }
                answer
            }
            What::Together(requests) => self.append_together(&log, requests).await,
            What::Repeat => self.append(&log, self.last.clone()).await,
            What::Live { number, count } => {
                if !self.lived.insert(*number) {
                    return Answer::Nothing;
                }
                let request = lived::lived(&self.world, &log, *number, *count);
                self.append(&log, request).await
            }
            What::Wait { minutes } => {
                self.world.clock.advance(Duration::from_secs(minutes * 60));
                Answer::Nothing
            }
            What::Claim { limit } => {
                // No lease that runs out within a test: the clocks of the databases are their own.
                let work = log.claim(self.world.clock.now().at, lived::HOUR * 24, *limit).await.unwrap();
                self.claimed.extend(work.iter().copied());
                Answer::Worked(work.iter().map(|work| (format!("{:?}", work.id()), work.at())).collect())
            }
            What::Release => {
                if let Some(work) = self.claimed.pop() {
                    log.release(work).await.unwrap();
                }
                Answer::Nothing
            }
            What::Heartbeat => Answer::Told(log.heartbeat().await.unwrap()),
            What::Publish => {
                let published = log.publish().await.unwrap();
                Answer::Published { size: published.checkpoint().size(), note: published.note().to_vec() }
            }
            What::Export { payloads } => {
                self.exports += 1;
                let folder = self.world.folder(&format!("export {}", self.exports));
                let payloads = if *payloads { ExportPayloads::Include } else { ExportPayloads::Leave };
                log.export(folder.clone(), payloads).await.unwrap();
                Answer::Exported(files(&folder))
            }
            What::Restart => {
                let handle = &self.handles[step.process % self.handles.len()];
                let config = self.world.config_of(self.processes);
                self.processes += 1;
                self.logs[step.process] = Log::open(Arc::clone(handle), config).await.unwrap();
                Answer::Nothing
            }
        }
    }

    async fn append(&mut self, log: &Log, request: AppendRequest) -> Answer {
        self.last = request.clone();
        self.answer(log.append(request).await)
    }

    async fn append_together(&mut self, log: &Log, requests: &[Joined]) -> Answer {
        let (before, mut hold, mut appending) = (self.heads.clone(), Vec::new(), Vec::new());
        for Joined { number, count, stale, draft } in requests {
            let heads = if *stale { &before } else { &self.heads };
            let from = heads.get(number).copied();
            let records = chain(log, case(*number), from, *count);
            hold.push(from == self.heads.get(number).copied());
            if hold.last() == Some(&true) {
                self.heads.insert(*number, records.last().unwrap().head());
            }
            let mut request = AppendRequest::new().records(case(*number), Expected::from_head(from), records);
            if *draft {
                request = request.draft(heartbeat(log));
            }
            self.last = request.clone();
            appending.push(Box::pin(maybe_done(log.append(request))));
        }
        // Handed in by the first poll, one after the other.
        for request in &mut appending {
            let _ = futures_util::poll!(request);
        }
        let mut answers = Vec::new();
        for (mut request, holds) in appending.into_iter().zip(hold) {
            request.as_mut().await;
            let answer = self.answer(request.as_mut().take_output().unwrap());
            assert_eq!(matches!(answer, Answer::Appended { repeated: false, .. }), holds, "{}: {answer:?}", self.name);
            answers.push(answer);
        }
        Answer::Together(answers)
    }

    fn answer(&self, appended: Result<Appended, AppendError>) -> Answer {
        match appended {
            Ok(appended) => Answer::Appended { repeated: appended.is_repeated(), records: appended.records().to_vec() },
            Err(error @ (AppendError::Conflict { .. } | AppendError::Invalid(_) | AppendError::Closed { .. })) => {
                Answer::Refused(format!("{error:?}"))
            }
            Err(error) => panic!("{}: {error:?}", self.name),
        }
    }

    /// All that can be read of the log, and the proofs of these records.
    async fn read(&self, at: &[prop::sample::Index]) -> Whole {
        let log = &self.logs[0];
        let backend = &*self.handles[self.handles.len() - 1];
        let mut records = Vec::new();
        let mut cursor = Cursor::START;
        loop {
            let mut page = log.changes(cursor, 1000).await.unwrap();
            if page.records.is_empty() {
                break;
            }
            cursor = page.next;
            records.append(&mut page.records);
        }
        let size = usize::try_from(log.size().await.unwrap()).unwrap();
        let mut inclusion = Vec::new();
        let mut consistency = Vec::new();
        for at in at {
            let new = 1 + at.index(size);
            let index = at.index(new);
            inclusion.push(log.prove(index as u64, new as u64).await.unwrap().hashes().to_vec());
            consistency.push(log.consistency(index as u64 + 1, new as u64).await.unwrap().hashes().to_vec());
        }
        let tiles = (0..3).flat_map(|level| (0..=size as u64 / 256).map(move |index| TileKey { level, index }));
        let tree = TreeRead {
            leaves: std::iter::once(0..u64::MAX).collect(),
            tiles: tiles.collect(),
            roots: vec![(0, 0..u64::MAX), (1, 0..u64::MAX)],
        };
        let published = log.publish().await.unwrap();
        let folder = self.world.folder("last export");
        log.export(folder.clone(), ExportPayloads::Include).await.unwrap();
        Whole {
            records,
            root: published.checkpoint().root(),
            note: published.note().to_vec(),
            inclusion,
            consistency,
            tree: backend.tree(tree).await.unwrap(),
            streams: pages(async |after| backend.scan_streams(after.map(|(key, _)| *key), 1000).await.unwrap()).await,
            lookups: pages(async |after| backend.scan_lookups(after.copied(), 1000).await.unwrap()).await,
            ids: pages(async |after| backend.scan_records(after.map(|(id, _)| *id), 1000).await.unwrap()).await,
            due: log
                .due(None, Timestamp::MAX, usize::MAX)
                .await
                .unwrap()
                .iter()
                .map(|work| format!("{work:?}"))
                .collect(),
            blob: backend.blob(BlobKey::from_bytes([1; 32])).await.unwrap(),
            files: files(&folder),
        }
    }
}

/// All entries of a scan, which may give them in pages.
async fn pages<T>(read: impl AsyncFn(Option<&T>) -> Vec<T>) -> Vec<T> {
    let mut found = Vec::new();
    loop {
        let mut page = read(found.last()).await;
        if page.is_empty() {
            return found;
        }
        found.append(&mut page);
    }
}

/// A log, whole.
#[derive(Debug, PartialEq)]
struct Whole {
    records: Vec<LogRecord>,
    root: jit_log::Hash,
    note: Vec<u8>,
    inclusion: Vec<Vec<jit_log::Hash>>,
    consistency: Vec<Vec<jit_log::Hash>>,
    tree: TreeNodes,
    streams: Vec<(StreamKey, StreamState)>,
    lookups: Vec<(LookupKey, u64)>,
    ids: Vec<(RecordKey, u64)>,
    due: Vec<String>,
    blob: Option<Vec<u8>>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Whole {
    /// Asserts that this is the same log, without printing it.
    fn same_as(&self, other: &Self, name: &str) {
        assert_eq!(self.records.len(), other.records.len(), "{name}: how many records");
        assert_eq!((self.root, &self.note), (other.root, &other.note), "{name}: root and checkpoint");
        assert!(self.records == other.records, "{name}: records");
        assert!(self.inclusion == other.inclusion, "{name}: inclusion proofs");
        assert!(self.consistency == other.consistency, "{name}: consistency proofs");
        assert!(self.tree == other.tree, "{name}: leaves, tiles or roots of tiles");
        assert!(self.streams == other.streams, "{name}: heads of streams");
        assert!(self.lookups == other.lookups, "{name}: look-ups");
        assert!(self.ids == other.ids, "{name}: record ids");
        assert_eq!(self.due, other.due, "{name}: due work");
        assert!(self.blob == other.blob, "{name}: a blob");
        assert!(self.files.keys().eq(other.files.keys()), "{name}: which files are exported");
        assert!(self == other, "{name}: exported files");
    }
}

/// Every file under a folder, by its path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn the_same_operations_give_the_same_log_on_every_backend() {
    let rounds = env::var("JIT_SOAK_ROUNDS").map_or(8, |rounds| rounds.parse().unwrap());
    let config = ProptestConfig { cases: rounds, max_shrink_iters: 30, ..ProptestConfig::default() };
    // The server of the tests and its template belong to one runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let step = (0..2usize, what()).prop_map(|(process, what)| Step { process, what });
    let at = proptest::collection::vec(any::<prop::sample::Index>(), 12);
    let sequences = (any::<bool>(), proptest::collection::vec(step, 1..40), at);
    let ran = TestRunner::new(config).run(&sequences, |(alone, mut steps, at)| {
        if alone {
            // Batches are sent without the lock, one while another is under way, as long as nobody else writes.
            steps.iter_mut().for_each(|step| step.process = 0);
        }
        runtime.block_on(async {
            let mut stores = Store::all().await;
            for (number, step) in steps.iter().enumerate() {
                let mut first = None;
                for store in &mut stores {
                    let answer = store.apply(step).await;
                    match &first {
                        None => first = Some(answer),
                        Some(first) => assert!(answer == *first, "{} answers step {number} otherwise", store.name),
                    }
                }
            }
            let whole = stores[0].read(&at).await;
            for other in &stores[1..] {
                other.read(&at).await.same_as(&whole, other.name);
            }
        });
        Ok(())
    });
    ran.unwrap();
}
