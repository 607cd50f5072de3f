//! Many writers on one PostgreSQL, killed, cut off and starved of disk: nothing acknowledged is lost, nothing is there twice.
//!
//! `JIT_SOAK_ROUNDS` says how often each kind of crash happens (3 by default), `JIT_SOAK_SECONDS` how long four processes
//! append (5 by default), `JIT_SOAK_SEED` where the choices start.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jit_core::{ClockSource, Entropy, IndexKey, WriterId};
use jit_store::{
    Cursor, Ed25519Signer, ExportPayloads, FileAnchor, Log, LogConfig, OsEntropy, PostgresBackend, PostgresConfig,
    SystemClock,
};
use jit_testkit::{
    Cut, CuttingProxy, TestDatabase, TestPostgres,
    load::{Acknowledged, Load, Tally, assert_whole},
};
use support::{ORIGIN, key, retention};
use tokio::sync::mpsc;
use tokio_postgres::{Config, config::Host};

fn rounds() -> u64 {
    env::var("JIT_SOAK_ROUNDS").map_or(3, |rounds| rounds.parse().expect("a number of rounds"))
}

fn seed() -> u64 {
    env::var("JIT_SOAK_SEED").map_or(20_260_302, |seed| seed.parse().expect("a seed"))
}

/// A number below `below` that depends on the round alone.
fn choice(round: u64, below: u64) -> u64 {
    seed().wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) % below
}

/// A log in a database of its own, and its anchor.
struct Ground {
    database: TestDatabase,
    folder: tempfile::TempDir,
}

impl Ground {
    async fn on(server: &TestPostgres) -> Self {
        let database = server.database().await;
        PostgresBackend::migrate(&PostgresConfig::new(database.config.clone())).await.unwrap();
        let ground = Self { database, folder: tempfile::tempdir().unwrap() };
        let backend = Arc::new(ground.backend().await);
        Log::create(backend, config(&ground.anchor())).await.unwrap();
        ground
    }

    fn anchor(&self) -> PathBuf {
        self.folder.path().join("checkpoint")
    }

    async fn backend(&self) -> PostgresBackend {
        PostgresBackend::connect(PostgresConfig::new(self.database.config.clone())).await.unwrap()
    }

    async fn open(&self) -> (Log, Arc<PostgresBackend>) {
        let backend = Arc::new(self.backend().await);
        (Log::open(backend.clone(), config(&self.anchor())).await.unwrap(), backend)
    }
}

fn config(anchor: &Path) -> LogConfig {
    LogConfig::new(
        Arc::new(Ed25519Signer::new(key(ORIGIN, 7))),
        Arc::new(FileAnchor::new(anchor)),
        retention(10),
        IndexKey::from_bytes([5; 32]),
        WriterId::v8(writer()),
        Arc::new(SystemClock::new(ClockSource::new("system").unwrap(), 1_000_000)),
    )
}

/// A number that no other process or opening has.
fn writer() -> [u8; 16] {
    let mut bytes = [0; 16];
    OsEntropy.fill(&mut bytes).unwrap();
    bytes
}

// ---- writers in processes of their own ------------------------------------------------------------------------------

/// Tells this test binary to be a writer: where, and what.
const WRITER: &str = "JIT_TEST_WRITER";

/// Not a test: what [`Process::start`] runs. Appends until its standard input ends, a line for each acknowledged record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_process() {
    let Ok(order) = env::var(WRITER) else { return };
    let words: Vec<&str> = order.split('|').collect();
    let [connect, anchor, process, tasks, shared] = words[..] else { panic!("an order: {order}") };
    let backend = PostgresBackend::connect(PostgresConfig::new(connect.parse().unwrap())).await.unwrap();
    let log = Log::open(Arc::new(backend), config(Path::new(anchor))).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        told.store(true, Ordering::SeqCst);
    });
    let (note, mut noted) = mpsc::unbounded_channel::<Acknowledged>();
    let lines = thread::spawn(move || {
        while let Some(acknowledged) = noted.blocking_recv() {
            // Not print!, which the test harness keeps for itself.
            std::io::stdout().write_all(format!("\n{acknowledged}\n").as_bytes()).unwrap();
        }
    });
    let (process, tasks, shared) = (process.parse().unwrap(), tasks.parse().unwrap(), shared.parse().unwrap());
    let load = Load { tasks, shared, process, seed: seed() };
    let publisher = keep_publishing(log.clone(), stop.clone());
    let tally = load.run(&log, stop, note).await;
    publisher.await.unwrap();
    lines.join().unwrap();
    println!("{tally:?}");
    std::io::stdout().write_all(format!("\ndone {} {}\n", tally.appended, tally.conflicts).as_bytes()).unwrap();
}

/// Signs and publishes beside the appends, as receipts would.
fn keep_publishing(log: Log, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while !stop.load(Ordering::SeqCst) {
            // What cannot be published now is published next time.
            log.publish().await.ok();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

struct Process {
    child: Child,
    lines: thread::JoinHandle<(Vec<Acknowledged>, Option<Tally>)>,
}

impl Process {
    fn start(ground: &Ground, process: u64, tasks: u64, shared: u64) -> Self {
        let order = format!(
            "{}|{}|{process}|{tasks}|{shared}",
            connection_string(&ground.database.config),
            ground.anchor().display()
        );
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "writer_process", "--nocapture", "--test-threads=1"])
            .env(WRITER, order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines: thread::spawn(move || read_lines(out)) }
    }

    /// Waits until it has been told of so many appends.
    fn kill(mut self) -> Vec<Acknowledged> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines.join().unwrap().0
    }

    fn finish(mut self) -> (Vec<Acknowledged>, Tally) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success(), "a writer failed");
        let (acknowledged, tally) = self.lines.join().unwrap();
        (acknowledged, tally.expect("a writer that was not killed says what it did"))
    }
}

/// Whole lines only: a process may die in the middle of one.
fn read_lines(mut out: impl BufRead) -> (Vec<Acknowledged>, Option<Tally>) {
    let (mut acknowledged, mut tally, mut line) = (Vec::new(), None, String::new());
    while out.read_line(&mut line).unwrap() > 0 {
        if let Some(whole) = line.strip_suffix('\n') {
            if let Some(done) = whole.strip_prefix("done ") {
                let (appended, conflicts) = done.split_once(' ').unwrap();
                let (appended, conflicts) = (appended.parse().unwrap(), conflicts.parse().unwrap());
                tally = Some(Tally { appended, conflicts, again: 0 });
            } else if whole.starts_with("acknowledged ") {
                acknowledged.push(whole.parse().unwrap());
            }
        }
        line.clear();
    }
    (acknowledged, tally)
}

fn connection_string(config: &Config) -> String {
    let Host::Unix(folder) = &config.get_hosts()[0] else { panic!("this test needs a server of its own") };
    let (port, user) = (config.get_ports()[0], config.get_user().unwrap());
    format!("host={} port={port} user={user} dbname={}", folder.display(), config.get_dbname().unwrap())
}

// ---- a writer in this process ---------------------------------------------------------------------------------------

struct Background {
    stop: Arc<AtomicBool>,
    running: tokio::task::JoinHandle<Tally>,
    noted: mpsc::UnboundedReceiver<Acknowledged>,
}

impl Background {
    fn start(log: &Log, process: u64) -> Self {
        let (note, noted) = mpsc::unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (log, told) = (log.clone(), stop.clone());
        // Enough for two batches at a time.
        let load = Load { tasks: 128, shared: 2, process, seed: seed() };
        let running = tokio::spawn(async move {
            let publisher = keep_publishing(log.clone(), told.clone());
            let tally = load.run(&log, told, note).await;
            publisher.await.unwrap();
            tally
        });
        Self { stop, running, noted }
    }

    /// Waits until so many more appends are acknowledged.
    async fn acknowledged(&mut self, count: u64, into: &mut Vec<Acknowledged>) {
        for _ in 0..count {
            into.push(self.noted.recv().await.expect("a writer that goes on"));
        }
    }

    async fn finish(mut self, into: &mut Vec<Acknowledged>) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let tally = self.running.await.unwrap();
        while let Ok(acknowledged) = self.noted.try_recv() {
            into.push(acknowledged);
        }
        tally
    }
}

// ---- the tests ------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_share_one_log() {
    let server = TestPostgres::durable();
    let ground = Ground::on(&server).await;
    let seconds = env::var("JIT_SOAK_SECONDS").map_or(5, |seconds| seconds.parse().expect("a number of seconds"));
    let processes: Vec<_> = (1..=4).map(|process| Process::start(&ground, process, 16, 8)).collect();
    // Meanwhile another process follows: what it has seen never changes.
    let (log, backend) = ground.open().await;
    let (begun, mut next, mut signed) = (Instant::now(), Cursor::START, log.publish().await.unwrap());
    while begun.elapsed() < Duration::from_secs(seconds) {
        let changes = log.changes(next, 1000).await.unwrap();
        assert_eq!(
            changes.records.iter().map(|r| r.index()).collect::<Vec<_>>(),
            (next.seen()..changes.next.seen()).collect::<Vec<_>>()
        );
        next = changes.next;
        let newer = log.publish().await.unwrap();
        let (old, new) = (signed.checkpoint(), newer.checkpoint());
        let proof = log.consistency(old.size(), new.size()).await.unwrap();
        proof.verify(old.size(), &old.root(), new.size(), &new.root()).unwrap();
        signed = newer;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut acknowledged, mut conflicts) = (Vec::new(), 0);
    for process in processes {
        let (lines, tally) = tokio::task::spawn_blocking(|| process.finish()).await.unwrap();
        assert_eq!(lines.len() as u64, tally.appended);
        assert!(tally.appended > 0, "each process gets its turn");
        conflicts += tally.conflicts;
        acknowledged.extend(lines);
    }
    let whole = assert_whole(&log, &*backend, &acknowledged).await;
    println!("{whole:?}, {conflicts} conflicts in {seconds} s");
    assert!(conflicts > 0, "the processes contended for some cases");
    // Nothing but the beginning was appended by anybody else.
    assert_eq!(whole.records, 2 + acknowledged.len() as u64, "a conflict writes nothing");
    assert!(whole.checkpoints > 1);
    let export = ground.folder.path().join("export");
    log.export(&export, ExportPayloads::Include).await.unwrap();
    assert_go_accepts(&log, &export, ground.folder.path());
}

/// Unmodified golang.org/x/mod verifies the exported log, with the program that jit-log's tests have for that.
fn assert_go_accepts(log: &Log, export: &Path, folder: &Path) {
    let vkey = folder.join("vkey");
    std::fs::write(&vkey, key(ORIGIN, 7).verifier().to_string() + "\n").unwrap();
    let program = folder.join("verify");
    let built = Command::new("go")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../jit-log/tests/go"))
        .args(["build", "-o", program.to_str().unwrap(), "main.go"])
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")])
        .env("GOCACHE", folder.join("go-cache"))
        .status();
    let packages = "install the Debian packages golang-go and golang-golang-x-mod-dev";
    assert!(built.unwrap_or_else(|error| panic!("go: {error}; {packages}")).success(), "{packages}");
    let verified = Command::new(program).arg(export).arg(vkey).output().unwrap();
    assert!(verified.status.success(), "{}: {}", log.origin(), String::from_utf8_lossy(&verified.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_writers_lose_nothing_acknowledged() {
    let server = TestPostgres::durable();
    let ground = Ground::on(&server).await;
    let mut acknowledged = Vec::new();
    for round in 1..=rounds() {
        let process = Process::start(&ground, round, 128, 2);
        // Not a test of time: any moment is as good as another, and each round finds another one.
        tokio::time::sleep(Duration::from_millis(300 + choice(round, 500))).await;
        acknowledged.extend(tokio::task::spawn_blocking(|| process.kill()).await.unwrap());
        let (log, backend) = ground.open().await;
        let whole = assert_whole(&log, &*backend, &acknowledged).await;
        println!("round {round}: {whole:?}");
    }
    assert!(!acknowledged.is_empty(), "they were not killed before they began");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_loses_nothing_acknowledged() {
    let server = TestPostgres::durable();
    let ground = Ground::on(&server).await;
    let (log, backend) = ground.open().await;
    let mut acknowledged = Vec::new();
    let mut load = Background::start(&log, 1);
    for round in 1..=rounds() {
        load.acknowledged(20 + choice(round, 500), &mut acknowledged).await;
        if round % 2 == 0 {
            server.kill9()
        } else {
            server.stop_immediate()
        }
        server.start();
    }
    load.acknowledged(20, &mut acknowledged).await;
    let tally = load.finish(&mut acknowledged).await;
    assert!(tally.again > 0, "the server went away under the writers");
    let whole = assert_whole(&log, &*backend, &acknowledged).await;
    println!("{whole:?}, {tally:?}");
    let (again, backend) = ground.open().await;
    assert_whole(&again, &*backend, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_around_a_commit_lose_and_double_nothing() {
    let server = TestPostgres::durable();
    let ground = Ground::on(&server).await;
    let proxy = CuttingProxy::before(&ground.database.tcp_config).await;
    let through = PostgresConfig::new(proxy.config(&ground.database.tcp_config));
    let backend = Arc::new(PostgresBackend::connect(through).await.unwrap());
    let log = Log::open(backend.clone(), config(&ground.anchor())).await.unwrap();
    let mut acknowledged = Vec::new();
    let mut load = Background::start(&log, 1);
    for round in 1..=rounds() {
        for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
            load.acknowledged(20 + choice(round, 200), &mut acknowledged).await;
            let before = proxy.cuts();
            // Only an append moves the head: no checkpoint is cut in its place.
            proxy.cut_at_commit_after("head SET size", cut);
            // The writers go on, so a commit comes.
            let most = acknowledged.len() + 10_000;
            while proxy.cuts() == before {
                assert!(acknowledged.len() < most, "no statement that moves the head is seen on its way");
                load.acknowledged(1, &mut acknowledged).await;
            }
        }
        load.acknowledged(20, &mut acknowledged).await;
        proxy.sever();
    }
    load.acknowledged(20, &mut acknowledged).await;
    let tally = load.finish(&mut acknowledged).await;
    let whole = assert_whole(&log, &*backend, &acknowledged).await;
    println!("{whole:?}, {tally:?}, {} cuts", proxy.cuts());
    assert_eq!(proxy.cuts(), 2 * rounds(), "the answers of so many commits of appends were lost");
    assert_eq!(whole.records, 2 + tally.appended, "what was tried again is there once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_cancelled_at_random_lose_and_double_nothing() {
    let server = TestPostgres::durable();
    let ground = Ground::on(&server).await;
    let (log, backend) = ground.open().await;
    let mut acknowledged = Vec::new();
    let mut load = Background::start(&log, 1);
    let admin = ground.database.connect().await;
    let cancel = "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        admin.query_one(cancel, &[]).await.unwrap();
        // Another moment of the transaction each time.
        tokio::time::sleep(Duration::from_micros(choice(begun.elapsed().as_micros() as u64, 3000))).await;
    }
    load.acknowledged(20, &mut acknowledged).await;
    let tally = load.finish(&mut acknowledged).await;
    assert!(tally.again > 0, "nothing was cancelled");
    let whole = assert_whole(&log, &*backend, &acknowledged).await;
    println!("{whole:?}, {tally:?}");
    let (again, backend) = ground.open().await;
    assert_whole(&again, &*backend, &acknowledged).await;
}

/// A disk of its own in memory, that runs full soon.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(megabytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m,mode=755");
        run_as_root(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", folder.path().to_str().unwrap()]);
        Self { folder }
    }

    /// Takes what is left but so many megabytes.
    fn fill(&self, left: u64) -> PathBuf {
        let ballast = self.folder.path().join("ballast");
        // The server writes meanwhile, perhaps more than was to be left; it fills the rest.
        for left in left.. {
            let Some(size) = self.free().checked_sub(left).filter(|size| *size > 0) else { break };
            if as_root(&["fallocate", "-l", &(size << 20).to_string(), ballast.to_str().unwrap()]) {
                break;
            }
        }
        ballast
    }

    /// How many megabytes are left.
    fn free(&self) -> u64 {
        let path = self.folder.path().to_str().unwrap();
        let free = Command::new("df").args(["--output=avail", "-B1M", path]).output().unwrap();
        String::from_utf8(free.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run_as_root(&["umount", "--lazy", self.folder.path().to_str().unwrap()]);
    }
}

fn run_as_root(command: &[&str]) {
    assert!(as_root(command), "{command:?}: this test mounts a small disk, as root or by a sudo without password");
}

fn as_root(command: &[&str]) -> bool {
    let mut words = command.to_vec();
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        words.splice(0..0, ["sudo", "-n"]);
    }
    Command::new(words[0]).args(&words[1..]).status().unwrap().success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_acknowledged() {
    let disk = SmallDisk::mount(256);
    let server = TestPostgres::in_folder(disk.folder.path(), &["max_wal_size=64MB", "min_wal_size=32MB"]);
    let ground = Ground::on(&server).await;
    let (log, backend) = ground.open().await;
    let mut acknowledged = Vec::new();
    let mut load = Background::start(&log, 1);
    for _ in 1..=rounds() {
        load.acknowledged(20, &mut acknowledged).await;
        let ballast = disk.fill(1);
        // Full when nothing is acknowledged any more.
        while let Ok(Some(one)) = tokio::time::timeout(Duration::from_secs(3), load.noted.recv()).await {
            acknowledged.push(one);
        }
        run_as_root(&["rm", "-f", ballast.to_str().unwrap()]);
        // Without room for its log PostgreSQL gives up; with room it recovers.
        server.kill9();
        server.start();
    }
    load.acknowledged(20, &mut acknowledged).await;
    let tally = load.finish(&mut acknowledged).await;
    assert!(tally.again > 0, "the disk was never full");
    let whole = assert_whole(&log, &*backend, &acknowledged).await;
    println!("{whole:?}, {tally:?}");
    let (again, backend) = ground.open().await;
    assert_whole(&again, &*backend, &acknowledged).await;
}
