//! The clock and the randomness of the operating system.

use std::time::{SystemTime, UNIX_EPOCH};

use jit_core::{Clock, ClockInfo, ClockReading, ClockSource, Entropy, EntropyError, Timestamp};

/// The operating system's clock, with what the operator knows about its quality.
#[derive(Clone, Debug)]
pub struct SystemClock {
    clock: ClockInfo,
}

impl SystemClock {
    /// A clock that follows `source` with an error of at most `error_us` microseconds.
    #[must_use]
    pub fn new(source: ClockSource, error_us: u32) -> Self {
        Self { clock: ClockInfo { source, error_us } }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> ClockReading {
        // A clock set before 1970 or after 9999 reads as the nearest moment that can be written.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ClockReading { at: Timestamp::EPOCH.saturating_add(since), clock: self.clock.clone() }
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(buffer).map_err(|error| EntropyError { reason: error.to_string() })
    }
}
