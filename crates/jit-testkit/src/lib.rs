//! Deterministic clocks, ids and entropy, fault injection, canaries and instruments for tests of the jit crates.
