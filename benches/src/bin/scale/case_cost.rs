//! What one case costs whoever works on it alone.

use std::error::Error;
use std::time::Instant;

use jit_bench_load::EVENTS_PER_STREAM;
use jit_benches::cases::{RECORD, in_turn, request};
use jit_store::Log;

/// How many are measured.
const CASES: usize = 301;

/// The time of a case: its records appended one after the other, the stream read before each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CaseCost {
    pub(crate) median_ms: f64,
}

impl CaseCost {
    pub(crate) async fn measure(log: &Log) -> Result<Self, Box<dyn Error>> {
        let recorder = log.recorder();
        let mut times = Vec::with_capacity(CASES);
        for _ in 0..CASES {
            let begun = Instant::now();
            let mut last = None;
            for _ in 0..EVENTS_PER_STREAM {
                let record = in_turn(&recorder, last.as_ref(), RECORD).map_err(|error| error as Box<dyn Error>)?;
                let read = log.stream(&record.header().stream).await?;
                if read.len() as u64 != record.header().n {
                    return Err("the log does not have the case".into());
                }
                let _ = log.append(request(record.clone())).await?;
                last = Some(record);
            }
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_unstable_by(f64::total_cmp);
        Ok(Self { median_ms: times.get(CASES / 2).copied().unwrap_or_default() })
    }
}
