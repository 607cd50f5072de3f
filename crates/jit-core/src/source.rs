//! Where time and randomness come from: always injected, so that every run can be repeated.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{text::ClockSource, time::Timestamp};

/// One reading of a clock, with the bound of its error and its name, as a record carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockReading {
    /// The moment read.
    pub at: Timestamp,
    /// What the clock follows and how far it may be off.
    pub clock: ClockInfo,
}

impl ClockReading {
    /// Whether a record made now may follow one made at `earlier`: time does not run backwards beyond the errors of both
    /// clocks (INV-14).
    #[must_use]
    pub fn may_follow(&self, earlier: &ClockReading) -> bool {
        self.at.saturating_add(self.clock.error()) >= earlier.at.saturating_sub(earlier.clock.error())
    }
}

/// The `clock` member of a record header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockInfo {
    /// What the clock is synchronised to.
    pub source: ClockSource,
    /// The bound of its error, in microseconds.
    pub error_us: u32,
}

impl ClockInfo {
    /// The bound of its error.
    #[must_use]
    pub const fn error(&self) -> Duration {
        Duration::from_micros(self.error_us as u64)
    }
}

/// A source of time. A clock read twice may give the same moment, and may step back within its declared error.
pub trait Clock: Send + Sync + 'static {
    /// The present moment with its error bound.
    fn now(&self) -> ClockReading;
}

/// The source of randomness gave none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes available: {reason}")]
pub struct EntropyError {
    /// What the source said.
    pub reason: String,
}

/// A source of random bytes, fit for salts and ids.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer.
    ///
    /// # Errors
    /// [`EntropyError`] when the source fails; nothing may be recorded then.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError>;
}

/// Draws `N` random bytes.
///
/// # Errors
/// [`EntropyError`] when the source fails.
pub fn random_bytes<const N: usize>(entropy: &(impl Entropy + ?Sized)) -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes)?;
    Ok(bytes)
}

/// A whole number of seconds, greater than zero: durations in policies and obligations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(std::num::NonZeroU32);

impl Seconds {
    /// So many seconds.
    #[must_use]
    pub const fn new(seconds: std::num::NonZeroU32) -> Self {
        Self(seconds)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// As a duration.
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        Duration::from_secs(self.0.get() as u64)
    }
}
