//! Benchmarks beside their peers, quoted as ratios: see `README.md`.
