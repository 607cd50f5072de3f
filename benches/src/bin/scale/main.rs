//! A log that grows: how fast it takes records while it does, what a proof and a case cost when it is large, and how long its
//! verification takes. `scale [RECORDS]` prints the tables in Markdown; run it by `scripts/bench scale`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are the output")]

mod case_cost;
mod proof_cost;

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use jit_benches::cases::{RECORD, first_request, in_turn};
use jit_benches::evidence_log::config;
use jit_benches::growing::{Grown, grow};
use jit_store::{Log, PostgresBackend, PostgresConfig};
use jit_testkit::TestPostgres;

use crate::case_cost::CaseCost;
use crate::proof_cost::ProofCost;

/// The log that is called small.
const SMALL: u64 = 10_000;
/// So many times in a run the rate is taken.
const PARTS: u64 = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let records: u64 = env::args().nth(1).map_or(Ok(10_000_000), |records| records.parse())?;
    if records < 10 * SMALL {
        return Err(format!("fewer than {} records show nothing", 10 * SMALL).into());
    }
    let server = TestPostgres::durable();
    let database = server.database().await;
    let folder = tempfile::tempdir()?;
    let settings = PostgresConfig::new(database.config.clone());
    PostgresBackend::migrate(&settings).await?;
    let backend = Arc::new(PostgresBackend::connect(settings).await?);
    let log = Log::create(backend, config(folder.path().join("checkpoint"))?).await?;

    let first = in_turn(&log.recorder(), None, RECORD).map_err(|error| error as Box<dyn Error>)?;
    let _ = log.append(first_request(first)).await?;
    grow(&log, SMALL).await?;
    let small = CaseCost::measure(&log).await?;
    let mut parts = Vec::new();
    for part in 1..=PARTS {
        let grown = grow(&log, records / PARTS * part).await?;
        eprintln!("{grown:?}");
        parts.push(grown);
    }
    // Printed as they come, so that a run of an hour which fails at last has told what it saw.
    print_growth(&parts);
    let large = CaseCost::measure(&log).await?;
    print_case(&small, &large);
    let client = database.connect().await;
    client.batch_execute("CHECKPOINT").await?;
    print_proof(&ProofCost::measure(&log, &client).await?);
    let begun = Instant::now();
    let report = log.fsck(None, &mut |_| {}).await?;
    let fsck_s = begun.elapsed().as_secs_f64();
    if !report.is_clean() {
        return Err(format!("the log is damaged: {:?}", report.damages.first()).into());
    }
    println!("\nfsck of {} records: {fsck_s:.0} s, {:.0} records/s.", report.size, report.size as f64 / fsck_s);
    Ok(())
}

fn print_growth(parts: &[Grown]) {
    println!("| records | appended per second | memory of this process, MB |\n|---|---|---|");
    for part in parts {
        println!("| {} | {:.0} | {:.0} |", part.size, part.rate, part.memory_mb);
    }
    if let [first, .., last] = parts {
        println!("\n| | | goal |\n|---|---|---|");
        println!("| P5 append rate, last tenth ÷ first | {:.2} | ≥ 0.9 |", last.rate / first.rate);
        println!("| P5 memory, last tenth ÷ first | {:.2} | flat |", last.memory_mb / first.memory_mb);
    }
}

fn print_case(small: &CaseCost, large: &CaseCost) {
    println!(
        "| P14 a case of ten records, appended one by one and read, large log ÷ {SMALL} records | {:.2} ({:.1} ms ÷ {:.1} ms) | ≤ 1.1 |",
        large.median_ms / small.median_ms,
        large.median_ms,
        small.median_ms,
    );
}

fn print_proof(proof: &ProofCost) {
    println!(
        "| P8 proof p99 ÷ look-up of a row of 8 KiB p99 | {:.2} ({:.0} µs ÷ {:.0} µs; p50 {:.0} ÷ {:.0}) | ≤ 3 |",
        proof.proof.p99 / proof.look_up.p99,
        proof.proof.p99,
        proof.look_up.p99,
        proof.proof.p50,
        proof.look_up.p50,
    );
}
