//! What an inclusion proof costs beside a look-up by primary key of a row as large as a tile.

use std::error::Error;
use std::time::Instant;

use jit_store::Log;
use tokio_postgres::Client;

/// How many of each are measured, in turn.
const RUNS: usize = 5_000;

/// Microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Proofs for records all over the log, and look-ups in a table of as many rows as the log has tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProofCost {
    pub(crate) proof: Latency,
    pub(crate) look_up: Latency,
}

impl ProofCost {
    pub(crate) async fn measure(log: &Log, client: &Client) -> Result<Self, Box<dyn Error>> {
        let size = log.size().await?;
        let rows = (size / 256).max(1);
        client
            .batch_execute(
                "CREATE TABLE eight_kib (id bigint PRIMARY KEY, bytes bytea NOT NULL);
                 ALTER TABLE eight_kib ALTER COLUMN bytes SET STORAGE EXTERNAL",
            )
            .await?;
        let fill = "INSERT INTO eight_kib SELECT i, decode(repeat(md5(i::text), 512), 'hex') FROM generate_series(0, $1::bigint) AS i";
        client.execute(fill, &[&(rows.cast_signed() - 1)]).await?;
        client.batch_execute("ANALYZE eight_kib; CHECKPOINT").await?;
        let look_up = client.prepare("SELECT bytes FROM eight_kib WHERE id = $1").await?;

        let (mut proofs, mut look_ups) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS));
        let mut at = 1_u64;
        for _ in 0..RUNS {
            // All over the log, the same in each run.
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let begun = Instant::now();
            log.prove((at >> 16) % size, size).await?;
            proofs.push(begun.elapsed().as_secs_f64() * 1e6);
            let begun = Instant::now();
            client.query_one(&look_up, &[&((at >> 16) % rows).cast_signed()]).await?;
            look_ups.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        Ok(Self { proof: latency(proofs), look_up: latency(look_ups) })
    }
}

fn latency(mut times: Vec<f64>) -> Latency {
    times.sort_unstable_by(f64::total_cmp);
    let percentile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    Latency { p50: percentile(50), p99: percentile(99) }
}
