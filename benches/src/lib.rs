//! Benchmarks beside their peers, quoted as ratios: see `README.md`.

pub mod cases;
#[cfg(feature = "lifecycle")]
pub mod deployment;
pub mod evidence_log;
#[cfg(feature = "lifecycle")]
pub mod falling_due;
pub mod growing;
