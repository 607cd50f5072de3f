//! What every implementation of a trait of these crates must do, as tests that anyone can run against their own.

pub mod backend;
