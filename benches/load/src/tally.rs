//! What a load did.

use std::time::{Duration, Instant};

use crate::window::Window;

/// The events of one caller, or of all of them.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    done: Vec<(Instant, Duration)>,
    dry: Option<Instant>,
    retries: u64,
}

impl Tally {
    /// Notes an event that began at `begun` and is durable now.
    pub fn done(&mut self, begun: Instant) {
        let now = Instant::now();
        self.done.push((now, now - begun));
    }

    /// Notes an attempt that was refused although nobody else wrote to the stream.
    pub fn retried(&mut self) {
        self.retries += 1;
    }

    /// Notes that the caller has no more prepared events: from now on nothing counts, for no caller.
    pub fn ran_dry(&mut self) {
        self.dry = Some(Instant::now());
    }

    /// Adds what another caller did.
    pub fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.dry = self.dry.into_iter().chain(other.dry).min();
        self.retries += other.retries;
    }

    /// The result as one line of JSON: events that ended in the window.
    #[must_use]
    pub fn line(&self, window: &Window) -> String {
        let window = self.dry.map_or(*window, |dry| window.closed_at(dry));
        let counted = self.done.iter().filter(|(when, _)| window.counts(*when));
        let mut latencies: Vec<u128> = counted.map(|(_, latency)| latency.as_micros()).collect();
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let last = latencies.len().saturating_sub(1);
            latencies.get(last * percent / 100).copied().unwrap_or_default()
        };
        format!(
            r#"{{"events_per_s":{:.0},"percentiles_us":{:?},"retries":{}}}"#,
            latencies.len() as f64 / window.length().as_secs_f64(),
            (0..=100).map(percentile).collect::<Vec<_>>(),
            self.retries
        )
    }
}
