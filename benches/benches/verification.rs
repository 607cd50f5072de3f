//! What a full verification of an export costs beside merely hashing the same bytes with the same hashes, on one thread.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and its output is a table"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jit_audit::scan_log;
use jit_benches::cases::records;
use jit_benches::evidence_log::{config, recorder};
use jit_core::{Expected, Record, StreamHead};
use jit_log::{EntryBundle, Hash, TileSource, leaf_hash, node_hash};
use jit_store::{AppendRequest, ExportPayloads, Log, MemoryBackend};

const CALLERS: usize = 100;
const EACH: usize = 500;
const RUNS: usize = 7;

/// An exported log, read into memory: what is measured is not the disk.
#[derive(Clone)]
struct Files(Arc<BTreeMap<String, Vec<u8>>>);

impl TileSource for Files {
    type Error = Infallible;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(path).cloned())
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (files, trust) = runtime.block_on(async {
        let log = filled(folder.path()).await;
        let export = folder.path().join("export");
        log.export(&export, ExportPayloads::Include).await.unwrap();
        let mut files = BTreeMap::new();
        load(&export, &export, &mut files);
        (Files(Arc::new(files)), log.trust().clone())
    });
    let (headers, payloads) = parts(&files);
    let bytes: usize = headers.iter().chain(&payloads).map(Vec::len).sum();

    let hashed = median(|| hash(&headers, &payloads));
    let mut scanned = 0;
    let verified = median(|| {
        let scan = scan_log(&mut files.clone(), &mut files.clone(), &trust).unwrap();
        scanned = scan.payloads();
    });
    assert_eq!(scanned as usize, headers.len(), "every payload was there");

    println!("{} records, {:.1} MB, medians of {RUNS}\n", headers.len(), bytes as f64 / 1e6);
    println!("| | ms | records/s | × hashing alone |\n|---|---|---|---|");
    for (name, seconds) in [("hashing alone", hashed), ("full verification", verified)] {
        let rate = headers.len() as f64 / seconds;
        println!("| {name} | {:.0} | {rate:.0} | {:.2} |", seconds * 1e3, hashed / seconds);
    }
}

async fn filled(folder: &Path) -> Log {
    let config = config(folder.join("checkpoint")).unwrap();
    let log = Log::create(Arc::new(MemoryBackend::new()), config).await.unwrap();
    for own in records(&recorder().unwrap(), CALLERS, EACH, 1200).unwrap() {
        for record in own {
            let _ = log.append(request(record)).await.unwrap();
        }
    }
    log
}

fn request(record: Record) -> AppendRequest {
    let header = record.header();
    let before = header.prev.map(|leaf| StreamHead { n: header.n - 1, leaf });
    AppendRequest::new().records(header.stream, Expected::from_head(before), vec![record])
}

fn load(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            load(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(path).unwrap());
        }
    }
}

/// The headers, and the lines of the payloads.
fn parts(files: &Files) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut headers, mut payloads) = (Vec::new(), Vec::new());
    for (path, bytes) in files.0.iter() {
        if path.starts_with("tile/entries/") {
            headers.extend(EntryBundle::parse(bytes).unwrap().into_iter().map(<[u8]>::to_vec));
        } else if path.starts_with("payload/") {
            payloads.extend(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
        }
    }
    (headers, payloads)
}

/// Each header and each node once by SHA-256, each payload once by BLAKE3.
fn hash(headers: &[Vec<u8>], payloads: &[Vec<u8>]) {
    let mut level: Vec<Hash> = headers.iter().map(|header| leaf_hash(header)).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| pair.get(1).map_or(pair[0], |right| node_hash(&pair[0], right))).collect();
    }
    black_box(level);
    for payload in payloads {
        black_box(blake3::hash(payload));
    }
}

/// Seconds, the median of [`RUNS`].
fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
