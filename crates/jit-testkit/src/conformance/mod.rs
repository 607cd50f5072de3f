//! What every implementation of a trait of these crates must do, as tests that anyone can run against their own.

pub mod backend;
mod case;
pub mod issuer;
pub mod policy;
mod polls;

pub(crate) use case::block_on;
pub use case::{Case, Failure, Failures};
