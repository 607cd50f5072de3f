//! A process that appends to a SQLite file, and what is left when it is killed, traced, or runs out of disk.
//!
//! Each test starts its own executable again as that process, told by environment variables what to do. The process prints a line
//! for every append that was acknowledged.
//!
//! `JIT_SOAK_ROUNDS` says how often it is killed and how often the disk runs full (3 each by default), `JIT_SOAK_SEED` where the
//! choices start.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]
#![allow(clippy::print_stdout, reason = "acknowledgements are printed")]

mod support;

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jit_core::{Entropy as _, IndexKey, WriterId};
use jit_store::{
    AppendError, Backend, BackendError, Ed25519Signer, FileAnchor, Log, LogConfig, OsEntropy, SqliteBackend,
    SqliteError, SystemClock,
};
use jit_testkit::{SeededEntropy, load::assert_whole};
use support::{FIRST, ORIGIN, begin, case, key, retention};

/// Tells a process of the test's own what to do, and with which folder.
const DEED: &str = "JIT_SQLITE_DEED";
const FOLDER: &str = "JIT_SQLITE_FOLDER";
/// The first case that the process begins.
const FIRST_CASE: &str = "JIT_SQLITE_FIRST_CASE";
const WRITERS: u64 = 16;
/// The cases of one process; no two processes begin the same.
const CASES: u64 = 1 << 20;

fn config(folder: &Path) -> LogConfig {
    let mut writer = [0; 16];
    OsEntropy.fill(&mut writer).unwrap();
    LogConfig::new(
        Arc::new(Ed25519Signer::new(key(ORIGIN, 7))),
        Arc::new(FileAnchor::new(folder.join("checkpoint"))),
        retention(10),
        IndexKey::from_bytes([5; 32]),
        WriterId::v8(writer),
        Arc::new(SystemClock::new("ntp".to_owned().try_into().unwrap(), 50_000)),
    )
}

async fn create(folder: &Path) -> Log {
    let backend = SqliteBackend::create_new(folder.join("evidence.db")).await.unwrap();
    Log::create(Arc::new(backend), config(folder)).await.unwrap()
}

async fn open(folder: &Path) -> (Arc<SqliteBackend>, Log) {
    let backend = Arc::new(SqliteBackend::open(folder.join("evidence.db")).await.unwrap());
    let log = Log::open(backend.clone(), config(folder)).await.unwrap();
    (backend, log)
}

/// What a process of the test's own does, if this is one.
async fn deed() -> Option<String> {
    let deed = env::var(DEED).ok()?;
    let folder = env::var_os(FOLDER).unwrap();
    let first = env::var(FIRST_CASE).unwrap().parse().unwrap();
    match deed.as_str() {
        "load" => append_for_ever(Path::new(&folder), first).await,
        "singly" => append_singly(Path::new(&folder), first).await,
        "full" => append_until_full(Path::new(&folder), first).await,
        "full for many" => append_until_full_for_many(Path::new(&folder), first).await,
        "flushes that fail" => append_until_a_flush_fails(Path::new(&folder), first).await,
        "open" => match SqliteBackend::open(Path::new(&folder).join("evidence.db")).await {
            Err(SqliteError::InUse { .. }) => println!("in use"),
            other => println!("{other:?}"),
        },
        _ => panic!("no deed {deed}"),
    }
    Some(deed)
}

/// Many tasks; some wait for receipts, so that checkpoints are signed and anchored meanwhile.
async fn append_for_ever(folder: &Path, first: u64) {
    let (_, log) = open(folder).await;
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (log, next) = (log.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let appended = log.append(begin(&log, number, 1)).await.unwrap();
                println!("ack {number} {}", appended.records()[0].index());
                if writer % 4 == 0 {
                    appended.receipt().await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
}

async fn append_singly(folder: &Path, first: u64) {
    let (_, log) = open(folder).await;
    log.publish().await.unwrap();
    for number in first..first + 30 {
        println!("begin {number}");
        let appended = log.append(begin(&log, number, 1)).await.unwrap();
        println!("ack {number} {}", appended.records()[0].index());
        appended.receipt().await.unwrap();
    }
}

async fn append_until_full(folder: &Path, first: u64) {
    let (backend, log) = open(folder).await;
    for number in first.. {
        match log.append(begin(&log, number, 20)).await {
            Ok(appended) => println!("ack {number} {}", appended.records()[0].index()),
            Err(AppendError::Backend(error)) if matches!(*error, BackendError::Unavailable { .. }) => {
                println!("refused {number}");
                break;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let size = backend.head().await.unwrap().size;
    assert!(log.append(begin(&log, first + CASES / 2, 20)).await.is_err(), "it is still full");
    assert_eq!(backend.head().await.unwrap().size, size, "reads go on, and find nothing new");
}

/// Many tasks, each until it is refused; some wait for receipts, so that checkpoints find no room either.
async fn append_until_full_for_many(folder: &Path, first: u64) {
    let (backend, log) = open(folder).await;
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (log, next) = (log.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match log.append(begin(&log, number, 20)).await {
                    Ok(appended) => {
                        println!("ack {number} {}", appended.records()[0].index());
                        if writer % 4 == 0 {
                            appended.receipt().await.ok();
                        }
                    }
                    Err(AppendError::Backend(error)) if matches!(*error, BackendError::Unavailable { .. }) => {
                        println!("refused {number}");
                        break;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    tasks.join_all().await;
    let head = backend.head().await.unwrap();
    assert_eq!(backend.scan_records(None, usize::MAX).await.unwrap().len() as u64, head.size, "reads go on");
}

/// Dies at once when an append fails, so that no later write hides what the failure left.
async fn append_until_a_flush_fails(folder: &Path, first: u64) {
    let (_, log) = open(folder).await;
    for number in first..first + 100 {
        match log.append(begin(&log, number, 1)).await {
            Ok(appended) => println!("ack {number} {}", appended.records()[0].index()),
            Err(AppendError::Backend(_)) => {
                println!("refused {number}");
                std::process::abort();
            }
            Err(AppendError::OutcomeUnknown(_)) => std::process::abort(),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A command that runs the test `name` of this executable as a process that does `deed`.
fn process(name: &str, deed: &str, folder: &Path, round: u64, wrapper: &[&str]) -> Command {
    let executable = env::current_exe().unwrap().into_os_string();
    let mut words = wrapper.iter().map(OsString::from).chain([executable]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command.args([name, "--exact", "--nocapture"]).stdout(Stdio::piped());
    command.env(DEED, deed).env(FOLDER, folder).env(FIRST_CASE, (round * CASES).to_string());
    command
}

/// The lines that begin with `word` and go on with numbers.
fn numbers(word: &str, line: &str) -> Option<Vec<u64>> {
    let rest = line.strip_prefix(word)?.strip_prefix(' ')?;
    rest.split(' ').map(|number| number.parse().ok()).collect()
}

/// What a process printed.
#[derive(Default)]
struct Printed {
    /// Cases and indexes.
    acknowledged: Vec<(u64, u64)>,
    /// Cases that were answered not to have been written.
    refused: Vec<u64>,
    /// Whether the process ended by itself, and well.
    ended: bool,
}

/// Reads what a process prints until `enough` acknowledgements, kills it there, and reads what it still said.
fn printed(mut child: Child, enough: usize) -> Printed {
    let mut printed = Printed::default();
    let lines = BufReader::new(child.stdout.take().unwrap());
    for line in lines.lines() {
        let line = line.unwrap();
        printed.refused.extend(numbers("refused", &line).map(|refused| refused[0]));
        if let Some(ack) = numbers("ack", &line) {
            printed.acknowledged.push((ack[0], ack[1]));
            if printed.acknowledged.len() == enough {
                child.kill().unwrap();
            }
        }
    }
    printed.ended = child.wait().unwrap().success();
    printed
}

/// Opens the log with its anchor and checks that what was acknowledged is there, each once and in its place, and that everything
/// stored holds together.
async fn check(folder: &Path, acknowledged: &[(u64, u64)], records_per_case: u64) -> u64 {
    let (backend, log) = open(folder).await;
    let indexes: Vec<u64> = acknowledged.iter().map(|(_, index)| *index).collect();
    let found = log.records(&indexes).await.unwrap();
    assert_eq!(found.len(), acknowledged.len());
    for ((number, index), record) in acknowledged.iter().zip(&found) {
        assert_eq!((record.index(), &record.record().header().stream), (*index, &case(*number)));
    }
    let streams = backend.scan_streams(None, usize::MAX).await.unwrap();
    let others = streams.iter().filter(|(_, state)| state.next != records_per_case).count();
    assert!(others <= 1, "every stream but `gov` has what one append wrote");
    let head = backend.head().await.unwrap();
    assert_eq!(streams.iter().map(|(_, state)| state.next).sum::<u64>(), head.size, "every record in one stream");
    let records = backend.scan_records(None, usize::MAX).await.unwrap();
    assert_eq!(records.len() as u64, head.size, "every record once");
    assert_eq!(assert_whole(&log, &*backend, &[]).await.records, head.size);
    head.size
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    if deed().await.is_some() {
        return;
    }
    let rounds = rounds();
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()).await);
    let entropy = SeededEntropy::new(11);
    let mut all = Vec::new();
    for round in 1..=rounds {
        let mut random = [0; 2];
        entropy.fill(&mut random).unwrap();
        let enough = usize::from(u16::from_be_bytes(random) % 1500) + 1;
        wait_for_lock(folder.path()).await;
        let name = "nothing_acknowledged_is_lost_when_the_writer_is_killed";
        let child = process(name, "load", folder.path(), round, &[]).spawn().unwrap();
        let acknowledged = printed(child, enough).acknowledged;
        assert!(acknowledged.len() >= enough, "round {round}: {} acknowledged", acknowledged.len());
        check(folder.path(), &acknowledged, 1).await;
        all.extend(acknowledged);
    }
    wait_for_lock(folder.path()).await;
    let size = check(folder.path(), &all, 1).await;
    println!("{rounds} rounds, {} acknowledged, all there, {size} records", all.len());
}

fn rounds() -> u64 {
    env::var("JIT_SOAK_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap())
}

/// Until the tasks of a log that was dropped have let go of the file.
async fn wait_for_lock(folder: &Path) {
    while let Err(SqliteError::InUse { .. }) = SqliteBackend::open(folder.join("evidence.db")).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledgement_follows_a_flush_of_the_write_ahead_log() {
    if deed().await.is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()).await);
    wait_for_lock(folder.path()).await;
    let trace = folder.path().join("trace");
    let name = "every_acknowledgement_follows_a_flush_of_the_write_ahead_log";
    let calls = "trace=fdatasync,fsync,pwrite64,write";
    let strace = ["strace", "-f", "-y", "-s", "24", "-e", calls, "-o", trace.to_str().unwrap()];
    let spawned = process(name, "singly", folder.path(), 1, &strace).spawn();
    let child = spawned.expect("this test needs strace: apt-get install strace");
    let acknowledged = printed(child, usize::MAX).acknowledged;
    assert_eq!(acknowledged.len(), 30, "strace may not trace here, or the process failed");

    let trace = std::fs::read_to_string(&trace).unwrap();
    for (number, _) in acknowledged {
        let between: Vec<&str> = trace
            .lines()
            .skip_while(|line| !line.contains(&format!("\"begin {number}\\n")))
            .take_while(|line| !line.contains(&format!("\"ack {number} ")))
            .collect();
        let written = between.iter().position(|line| line.contains("pwrite64(") && line.contains("evidence.db-wal>"));
        let written = written.unwrap_or_else(|| panic!("no write before acknowledgement {number}"));
        let flushed = between[written..].iter().enumerate().any(|(at, line)| is_flush(&between[written + at..], line));
        assert!(flushed, "no flush before acknowledgement {number}: {between:#?}");
    }
}

/// Whether a line is a flush of the write-ahead log that ended well, in it or in a later one.
fn is_flush(rest: &[&str], line: &str) -> bool {
    let flushes = |line: &str| line.contains("fdatasync(") || line.contains("fsync(");
    if !flushes(line) || !line.contains("evidence.db-wal>") {
        return false;
    }
    let thread = line.split(' ').next().unwrap();
    let ended = |line: &&&str| line.starts_with(thread) && line.contains("sync resumed>");
    match line.contains("<unfinished ...>") {
        true => rest.iter().find(ended).is_some_and(|line| line.ends_with("= 0")),
        false => line.ends_with("= 0"),
    }
}

/// When the flush in a commit fails, the whole commit may lie in the write-ahead log, and recovery after a crash would find it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_not_to_be_written_does_not_come_back() {
    if deed().await.is_some() {
        return;
    }
    let rounds = env::var("JIT_SOAK_ROUNDS").map_or(8, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()).await);
    let (mut all, mut refused) = (Vec::new(), 0);
    for round in 1..=rounds {
        wait_for_lock(folder.path()).await;
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={}", 3 + round % 20);
        let strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject];
        let name = "what_was_answered_not_to_be_written_does_not_come_back";
        let spawned = process(name, "flushes that fail", folder.path(), round, &strace).spawn();
        let printed = printed(spawned.expect("this test needs strace: apt-get install strace"), usize::MAX);
        all.extend(printed.acknowledged);
        check(folder.path(), &all, 1).await;
        wait_for_lock(folder.path()).await;
        for number in printed.refused {
            let (_, log) = open(folder.path()).await;
            assert_eq!(log.stream(&case(number)).await.unwrap().len(), 0, "round {round}");
            refused += 1;
        }
    }
    assert!(refused > 0, "no flush failed in a commit of an append");
    println!("{rounds} rounds, {} acknowledged, {refused} refused", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_refuses_whole_appends_until_there_is_room() {
    if deed().await.is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()).await);
    wait_for_lock(folder.path()).await;
    // No file of the process may grow beyond 1 MiB: an error as on a full disk, without the rights to mount a small one.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""];
    let name = "a_disk_that_is_full_refuses_whole_appends_until_there_is_room";
    let child = process(name, "full", folder.path(), 1, &limited).spawn().unwrap();
    let Printed { acknowledged, refused, ended } = printed(child, usize::MAX);
    assert!(ended, "the process failed");
    assert!(acknowledged.len() > 10, "{} acknowledged", acknowledged.len());
    assert_eq!(refused, [CASES + acknowledged.len() as u64]);
    let size = check(folder.path(), &acknowledged, 20).await;
    assert!(size < (acknowledged.len() as u64 + 1) * 20, "the append that failed left nothing");
    wait_for_lock(folder.path()).await;
    let (_, log) = open(folder.path()).await;
    log.append(begin(&log, 2 * CASES, 20)).await.unwrap().receipt().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_runs_full_under_many_writers_keeps_what_was_acknowledged_and_no_more() {
    if deed().await.is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()).await);
    let entropy = SeededEntropy::new(env::var("JIT_SOAK_SEED").map_or(13, |seed| seed.parse().unwrap()));
    let (mut all, mut refused) = (Vec::new(), 0);
    for round in 1..=rounds() {
        wait_for_lock(folder.path()).await;
        let mut random = [0; 2];
        entropy.fill(&mut random).unwrap();
        // In blocks of 512 bytes: room for what is there, and for 256 KiB to 1.25 MiB more.
        let used = std::fs::metadata(folder.path().join("evidence.db")).unwrap().len() / 512;
        let limit = used + 512 + u64::from(u16::from_be_bytes(random) % 2048);
        let limited = ["sh", "-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"")];
        let name = "a_disk_that_runs_full_under_many_writers_keeps_what_was_acknowledged_and_no_more";
        let child = process(name, "full for many", folder.path(), round, &limited).spawn().unwrap();
        let printed = printed(child, usize::MAX);
        assert!(printed.ended, "round {round}: the process failed");
        assert_eq!(printed.refused.len() as u64, WRITERS, "round {round}: each writer found the disk full");
        all.extend(printed.acknowledged);
        let size = check(folder.path(), &all, 20).await;
        assert_eq!(size, FIRST + 20 * all.len() as u64, "round {round}: what was refused left nothing");
        wait_for_lock(folder.path()).await;
        let (_, log) = open(folder.path()).await;
        for number in printed.refused {
            assert_eq!(log.stream(&case(number)).await.unwrap().len(), 0, "round {round}");
            refused += 1;
        }
    }
    assert!(!all.is_empty(), "there was never room");
    println!("{} rounds, {} acknowledged, {refused} refused", rounds(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused() {
    if deed().await.is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = create(folder.path()).await;
    let other = process("a_second_process_is_refused", "open", folder.path(), 0, &[]).output().unwrap();
    assert!(String::from_utf8(other.stdout).unwrap().contains("in use\n"));
    let _ = log.append(begin(&log, 1, 1)).await.unwrap();
}
