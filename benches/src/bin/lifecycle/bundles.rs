//! What a case bundle costs beside its signatures and hashes alone.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jit_audit::{Bundle, BundleBuilder, VerifyOptions, verify};
use jit_benches::deployment::Deployment;
use jit_log::{Hash, TrustPolicy, leaf_hash, node_hash};
use jit_store::MemoryBackend;

const RUNS: usize = 201;
/// Cases in the log beside the one that is asked about.
const OTHERS: usize = 200;

/// The row of P9.
pub(crate) async fn measure() -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let deployment = Deployment::new(Arc::new(MemoryBackend::new()), folder.path().join("checkpoint")).await?;
    let mut case = deployment.lifecycle("asked about").await.map_err(|error| error.to_string())?;
    for other in 0..OTHERS {
        case = deployment.lifecycle(&format!("other {other}")).await.map_err(|error| error.to_string())?;
    }
    let trust = deployment.log().trust().clone();
    let (mut whole, mut alone) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS));
    let mut records = 0;
    for _ in 0..RUNS {
        let begun = Instant::now();
        let bundle = BundleBuilder::case(deployment.log(), case, deployment.requester()).build().await?;
        let bytes = bundle.to_bytes()?;
        let report = verify(&bytes, &trust, &VerifyOptions::default());
        whole.push(begun.elapsed().as_secs_f64() * 1e6);
        if !report.verdict().is_proved() {
            return Err(format!("the bundle is not proved: {:?}", report.failures().first()).into());
        }
        let begun = Instant::now();
        check_and_hash(&bundle, &bytes, &trust)?;
        alone.push(begun.elapsed().as_secs_f64() * 1e6);
        records = bundle.records.len();
    }
    let (whole, alone) = (median(whole), median(alone));
    Ok(format!(
        "| P9 bundle of {records} records, built and verified ÷ its signature checks and hashes alone | {:.2} \
         ({whole:.0} µs ÷ {alone:.0} µs) | ≤ 2 |",
        whole / alone
    ))
}

/// The checkpoint is verified by the builder and by the reader; so is every leaf, path and payload; the bundle has a digest.
fn check_and_hash(bundle: &Bundle, bytes: &[u8], trust: &TrustPolicy) -> Result<(), Box<dyn Error>> {
    for _ in 0..2 {
        for log in &bundle.logs {
            black_box(trust.verify(log.checkpoint.as_bytes())?);
        }
        for record in &bundle.records {
            let mut node: Hash = leaf_hash(record.header.as_bytes());
            for _ in &record.proof {
                node = node_hash(&node, &node);
            }
            black_box(node);
            if let Some(fields) = &record.fields {
                black_box(blake3::hash(&fields.to_bytes()?));
            }
        }
        black_box(blake3::hash(bytes));
    }
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
