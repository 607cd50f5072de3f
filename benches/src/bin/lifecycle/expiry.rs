//! Grants that are all due, ended by three brokers.

use std::error::Error;
use std::time::{Duration, Instant};

use jit_benches::deployment::Deployment;
use jit_benches::growing::grow;
use jit_core::{CaseId, StreamId, is_end};
use jit_testkit::TestDatabase;
use tokio::task::JoinSet;

use crate::backend;

const BROKERS: usize = 3;
/// Cases made at a time.
const CASES: u64 = 256;
const APPENDS: u64 = 50_000;
/// After this all grants are due.
const LATER: Duration = Duration::from_secs(2 * 3600);

/// The row of P13.
pub(crate) async fn measure(database: &TestDatabase, grants: u64) -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let anchor = folder.path().join("checkpoint");
    let deployment = Deployment::new(backend(database).await?, &anchor).await?;
    let mut making = JoinSet::new();
    for worker in 0..CASES {
        let deployment = deployment.clone();
        making.spawn(async move {
            let mut cases = Vec::new();
            for number in (worker..grants).step_by(CASES as usize) {
                cases.push(deployment.approved(&format!("grant {number}")).await.map_err(|error| error.to_string())?);
            }
            Ok::<Vec<CaseId>, String>(cases)
        });
    }
    let mut cases = Vec::new();
    while let Some(made) = making.join_next().await {
        cases.extend(made??);
    }
    let size = deployment.log().size().await?;
    let appends = grow(deployment.log(), size + APPENDS).await?.rate;
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
    let records = (deployment.log().size().await? - before) as f64;
    for case in &cases {
        let records = deployment.log().stream(&StreamId::Case(*case)).await?;
        let ends = records.iter().filter(|entry| is_end(&entry.record().header().kind)).count();
        if ends != 1 {
            return Err(format!("case {case} has {ends} ends").into());
        }
    }
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
