//! Appending until a log has so many records.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jit_store::Log;
use tokio::task::JoinSet;

use crate::cases::{RECORD, in_turn, request};

/// Callers that append at the same time.
const CALLERS: usize = 256;

/// The log after a part of its growth.
#[derive(Clone, Copy, Debug)]
pub struct Grown {
    /// How many records it has.
    pub size: u64,
    /// Records per second. They are made meanwhile.
    pub rate: f64,
    /// What this process keeps in memory.
    pub memory_mb: f64,
}

/// Appends until the log has about so many records, one at a time by each of 256 callers.
///
/// # Errors
/// If the store does not take them.
pub async fn grow(log: &Log, size: u64) -> Result<Grown, Box<dyn Error>> {
    let before = log.size().await?;
    let missing = Arc::new(AtomicU64::new(size.saturating_sub(before)));
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(append(log.clone(), Arc::clone(&missing)));
    }
    while let Some(appended) = callers.join_next().await {
        appended?.map_err(|error| error.to_string())?;
    }
    let now = log.size().await?;
    let rate = now.saturating_sub(before) as f64 / begun.elapsed().as_secs_f64();
    Ok(Grown { size: now, rate, memory_mb: memory_mb()? })
}

async fn append(log: Log, missing: Arc<AtomicU64>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let recorder = log.recorder();
    let mut last = None;
    let one_less = |left: u64| left.checked_sub(1);
    while missing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        let record = in_turn(&recorder, last.as_ref(), RECORD)?;
        let _ = log.append(request(record.clone())).await?;
        last = Some(record);
    }
    Ok(())
}

/// What this process keeps in memory.
fn memory_mb() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kb: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kb / 1024.0)
}
