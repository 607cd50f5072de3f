//! Programs to copy from, and the code in the README, compiled.

/// The README, whose code is a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
