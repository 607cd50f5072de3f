//! A clock that is moved by hand, so that hours of access end within a second.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use jit_core::{Clock, ClockInfo, ClockReading, ClockSource, TextError, Timestamp};

/// Starts at the present and stands still until it is moved.
#[derive(Debug)]
pub(crate) struct DrivenClock {
    micros: AtomicI64,
    info: ClockInfo,
}

impl DrivenClock {
    pub(crate) fn starting_now() -> Result<Self, TextError> {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        // Whole seconds read better in an account.
        let start = Timestamp::EPOCH.saturating_add(std::time::Duration::from_secs(since.as_secs()));
        let info = ClockInfo { source: ClockSource::new("driven")?, error_us: 0 };
        Ok(Self { micros: AtomicI64::new(start.as_micros()), info })
    }

    /// Moves the clock forward; it never goes back.
    pub(crate) fn advance_to(&self, to: Timestamp) {
        self.micros.fetch_max(to.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> ClockReading {
        let at = Timestamp::from_micros(self.micros.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX);
        ClockReading { at, clock: self.info.clone() }
    }
}
