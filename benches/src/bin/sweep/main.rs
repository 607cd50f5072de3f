//! Grants that fall due close together, ended by three brokers: `sweep memory|postgres GRANTS SECONDS` has them end within so many seconds,
//! in memory, or on PostgreSQL, where each broker is a process of its own. Fails unless each ended exactly once. Run it by
//! `scripts/soak sweep`.
#![allow(clippy::print_stdout, reason = "what was measured is the output")]

mod brokers;

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jit_benches::deployment::Deployment;
use jit_benches::falling_due::{approve, ended};
use jit_benches::growing::grow;
use jit_core::Timestamp;
use jit_store::{Backend, MemoryBackend};
use jit_testkit::TestPostgres;

use crate::brokers::{Brokers, Place, backend, connection_string};

/// Grants are approved for at least so long, and brokers live so much later, less what it takes to start them.
const LATER: Duration = Duration::from_secs(3 * 3600);
/// What it takes to start three brokers.
const START: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["broker", connection, anchor, ahead] => brokers::serve(connection, anchor, ahead.parse()?).await,
        ["memory", grants, seconds] => in_memory(grants.parse()?, Duration::from_secs(seconds.parse()?)).await,
        ["postgres", grants, seconds] => on_postgres(grants.parse()?, Duration::from_secs(seconds.parse()?)).await,
        _ => Err("sweep memory|postgres GRANTS SECONDS".into()),
    }
}

async fn in_memory(grants: u64, within: Duration) -> Result<(), Box<dyn Error>> {
    let backend = Arc::new(MemoryBackend::new());
    let appends = append_rate(Arc::new(MemoryBackend::new()), grants).await?;
    measure("in memory", backend.clone(), &Place::Here(backend), appends, grants, within).await
}

async fn on_postgres(grants: u64, within: Duration) -> Result<(), Box<dyn Error>> {
    let server = TestPostgres::durable();
    let (database, other) = (server.database().await, server.database().await);
    let appends = append_rate(backend(&connection_string(&other.config)?).await?, grants).await?;
    let connection = connection_string(&database.config)?;
    measure("on PostgreSQL", backend(&connection).await?, &Place::Processes(connection), appends, grants, within).await
}

/// Records per second that 256 callers append to a log of this kind. A log of its own: what they append falls due too.
async fn append_rate(backend: Arc<dyn Backend>, records: u64) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let deployment = Deployment::new(backend, folder.path().join("checkpoint")).await?;
    Ok(grow(deployment.log(), records).await?.rate)
}

async fn measure(
    name: &str,
    backend: Arc<dyn Backend>,
    place: &Place,
    appends: f64,
    grants: u64,
    within: Duration,
) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let anchor = folder.path().join("checkpoint");
    let deployment = Deployment::new(backend, &anchor).await?;
    let log = deployment.log();
    let now = || log.recorder().clock().now().at;
    let from = now().saturating_add(LATER);
    let begun = Instant::now();
    let cases = approve(&deployment, grants, from, within).await.map_err(|error| error.to_string())?;
    let approving = begun.elapsed();
    log.publish().await?;

    let before = log.size().await?;
    let ahead = between(now().saturating_add(START), from);
    let brokers = Brokers::start(place, &anchor, ahead).await?;
    let end = from.saturating_add(within).saturating_add(Duration::from_secs(1));
    let patience = Instant::now() + START + within + Duration::from_secs(60 + grants / 50);
    while !log.due(None, end, 1).await?.is_empty() {
        if Instant::now() > patience {
            return Err(format!("{name}: work is still due").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    brokers.stop().await?;
    let ended = ended(log, before, &cases).await.map_err(|error| error.to_string())?;
    println!(
        "{name}, due within {within:?}: {ended}; {:.2} of the {appends:.0} records per second that 256 callers append; \
         approved in {approving:.0?}",
        ended.records_rate() / appends
    );
    Ok(())
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(later.as_micros().saturating_sub(earlier.as_micros())).unwrap_or(0))
}
