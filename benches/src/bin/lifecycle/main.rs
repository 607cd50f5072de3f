//! Whole cases by brokers: how many at once, how fast grants that are due end, what a bundle costs. `lifecycle [SECONDS [GRANTS]]`
//! prints the table in Markdown; run it by `scripts/bench lifecycle`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the output")]

mod bundles;
mod expiry;
mod side_by_side;

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jit_store::{Backend, PostgresBackend, PostgresConfig};
use jit_testkit::{TestDatabase, TestPostgres};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let seconds: u64 = args.next().map_or(Ok(10), |seconds| seconds.parse())?;
    let grants: u64 = args.next().map_or(Ok(100_000), |grants| grants.parse())?;
    let server = TestPostgres::durable();

    println!("| | | goal |\n|---|---|---|");
    println!("{}", bundles::measure().await?);
    println!("{}", side_by_side::measure(&server.database().await, Duration::from_secs(seconds)).await?);
    println!("{}", expiry::measure(&server.database().await, &server.database().await, grants).await?);
    Ok(())
}

/// A connection pool of its own, as each broker has.
async fn backend(database: &TestDatabase) -> Result<Arc<dyn Backend>, Box<dyn Error>> {
    let settings = PostgresConfig::new(database.config.clone());
    PostgresBackend::migrate(&settings).await?;
    Ok(Arc::new(PostgresBackend::connect(settings).await?))
}
