//! Grants that are all due, ended by three brokers.

use std::error::Error;
use std::time::{Duration, Instant};

use jit_benches::deployment::Deployment;
use jit_benches::falling_due::{approve, ended};
use jit_benches::growing::grow;
use jit_testkit::TestDatabase;
use tokio::task::JoinSet;

use crate::backend;

const BROKERS: usize = 3;
const APPENDS: u64 = 50_000;
/// After this all grants are due.
const LATER: Duration = Duration::from_secs(2 * 3600);

/// The row of P13. Appends are measured on another database: what they append falls due too.
pub(crate) async fn measure(
    database: &TestDatabase,
    other: &TestDatabase,
    grants: u64,
) -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let anchor = folder.path().join("checkpoint");
    let deployment = Deployment::new(backend(database).await?, &anchor).await?;
    let end = deployment.log().recorder().clock().now().at.saturating_add(LATER / 2);
    let cases = approve(&deployment, grants, end, Duration::ZERO).await.map_err(|error| error.to_string())?;
    let appended = Deployment::new(backend(other).await?, folder.path().join("other checkpoint")).await?;
    let appends = grow(appended.log(), APPENDS).await?.rate;
    deployment.log().publish().await?;

    let mut brokers = Vec::new();
    let mut started = Duration::ZERO;
    for _ in 0..BROKERS {
        let backend = backend(database).await?;
        let begun = Instant::now();
        brokers.push(Deployment::beside(backend, &anchor, LATER).await?);
        started = started.max(begun.elapsed());
    }
    let before = deployment.log().size().await?;
    let begun = Instant::now();
    let mut sweeping = JoinSet::new();
    for broker in brokers {
        sweeping.spawn(async move { broker.broker().sweep().await.map(|swept| swept.failed) });
    }
    let mut failed = 0;
    while let Some(swept) = sweeping.join_next().await {
        failed += swept??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let ended = ended(deployment.log(), before, &cases).await.map_err(|error| error.to_string())?;
    let records = ended.records as f64;
    let rate = records / seconds;
    Ok(format!(
        "| P13 {grants} grants due, {BROKERS} brokers: records per second while they end ÷ records appended per second | {:.2} \
         ({rate:.0} ÷ {appends:.0}; {:.0} grants per second, each ended once, {failed} tried again) | ≥ 0.8 |\n\
         | P13 time to start a broker beside them | {:.0} ms | ≤ 1 s at 1,000,000 |",
        rate / appends,
        grants as f64 / seconds,
        started.as_secs_f64() * 1e3
    ))
}
