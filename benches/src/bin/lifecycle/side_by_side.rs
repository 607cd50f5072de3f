//! Many cases at the same time, from request to end.

use std::error::Error;
use std::time::{Duration, Instant};

use jit_benches::deployment::Deployment;
use jit_benches::growing::grow;
use jit_testkit::TestDatabase;
use tokio::task::JoinSet;

use crate::backend;

/// Cases at a time.
const CASES: usize = 256;
/// Records by which the rate of appends is taken.
const APPENDS: u64 = 50_000;

/// The row of P12.
pub(crate) async fn measure(database: &TestDatabase, time: Duration) -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let deployment = Deployment::new(backend(database).await?, folder.path().join("checkpoint")).await?;
    let before = deployment.log().size().await?;
    let begun = Instant::now();
    let mut working = JoinSet::new();
    for worker in 0..CASES {
        let deployment = deployment.clone();
        working.spawn(async move {
            let mut done = 0_u64;
            while begun.elapsed() < time {
                deployment.lifecycle(&format!("{worker}-{done}")).await.map_err(|error| error.to_string())?;
                done += 1;
            }
            Ok::<_, String>(done)
        });
    }
    let mut cases = 0;
    while let Some(done) = working.join_next().await {
        cases += done??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let size = deployment.log().size().await?;
    let (cases_per_s, records) = (cases as f64 / seconds, (size - before) as f64 / cases as f64);
    let appends = grow(deployment.log(), size + APPENDS).await?.rate;
    Ok(format!(
        "| P12 lifecycles per second, {CASES} at a time, × records of each ÷ records appended per second | {:.2} \
         ({cases_per_s:.0} × {records:.1} ÷ {appends:.0}) | ≥ 0.8 |",
        cases_per_s * records / appends
    ))
}
