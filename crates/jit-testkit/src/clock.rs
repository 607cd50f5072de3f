//! A clock that moves when it is told to.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jit_core::{Clock, ClockInfo, ClockReading, ClockSource, Timestamp};

/// A clock that stands still until it is set or advanced.
///
/// ```
/// use std::time::Duration;
/// use jit_core::{Clock, Timestamp};
/// let clock = jit_testkit::ManualClock::at(Timestamp::EPOCH);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().at.unix_seconds(), 60);
/// ```
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows this moment.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(by).expect("a moment before the year 10000");
    }

    /// Shows another moment, an earlier one too.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> ClockReading {
        ClockReading {
            at: *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            clock: ClockInfo { source: ClockSource::new("manual").expect("a clock source"), error_us: 0 },
        }
    }
}
