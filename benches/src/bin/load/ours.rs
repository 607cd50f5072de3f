//! Appends through `Log::append`, each caller to its own case, with the records finished before.

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use jit_bench_load::{Setting, Tally, Window};
use jit_benches::cases::records;
use jit_benches::evidence_log::config;
use jit_core::{Expected, Record, StreamHead};
use jit_store::{AppendError, AppendRequest, Backend, Log};
use tokio::task::JoinSet;

/// In the working directory, which the driver makes anew for each run.
const ANCHOR: &str = "checkpoint";
/// One caller gets no more than this done in a second.
const EACH_PER_SECOND: usize = 1_500;

/// Opens the log that the backend holds, or creates it, says `ready`, and begins when it is told to, by a line of input.
pub(crate) async fn run(backend: Arc<dyn Backend>, setting: &Setting) -> Result<String, Box<dyn Error>> {
    let exists = backend.meta().await?.is_some();
    let log =
        if exists { Log::open(backend, config(ANCHOR)?).await? } else { Log::create(backend, config(ANCHOR)?).await? };
    let recorder = log.recorder();
    let seconds = setting.time.as_secs() as usize + 1;
    let each = (setting.plenty() / setting.callers).min(EACH_PER_SECOND * seconds);
    let finished = records(&recorder, setting.callers, each, setting.bytes)?;
    let finished: Vec<Vec<AppendRequest>> =
        finished.into_iter().map(|own| own.into_iter().map(request).collect()).collect();

    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    let window = Window::open(setting.time);
    let mut callers = JoinSet::new();
    for requests in finished {
        callers.spawn(append(log.clone(), requests, window));
    }
    let mut all = Tally::default();
    while let Some(tally) = callers.join_next().await {
        all.add(tally??);
    }
    Ok(all.line(&window))
}

/// The record is the next of its stream.
fn request(record: Record) -> AppendRequest {
    let header = record.header();
    let before = header.prev.map(|leaf| StreamHead { n: header.n.saturating_sub(1), leaf });
    AppendRequest::new().records(header.stream, Expected::from_head(before), vec![record])
}

async fn append(log: Log, requests: Vec<AppendRequest>, window: Window) -> Result<Tally, AppendError> {
    let mut tally = Tally::default();
    for request in requests {
        if !window.is_open() {
            return Ok(tally);
        }
        let begun = Instant::now();
        let appended = log.append(request).await?;
        tally.done(begun);
        // What was made before the clock ran is not freed while it runs: the heap is full of records as no broker's is.
        std::mem::forget(appended);
    }
    tally.ran_dry();
    Ok(tally)
}
