//! Which part of a run counts.

use std::time::{Duration, Instant};

/// The time between the end of the warm-up and the end of the run.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    begin: Instant,
    end: Instant,
}

impl Window {
    /// Connections, caches and prepared statements settle for this long.
    pub const WARM_UP: Duration = Duration::from_millis(500);

    /// Begins the warm-up now.
    #[must_use]
    pub fn open(time: Duration) -> Self {
        let begin = Instant::now() + Self::WARM_UP;
        Self { begin, end: begin + time }
    }

    /// Whether a caller should begin another event.
    #[must_use]
    pub fn is_open(&self) -> bool {
        Instant::now() < self.end
    }

    /// The same window, if it closed at `when` already.
    #[must_use]
    pub fn closed_at(&self, when: Instant) -> Self {
        Self { begin: self.begin, end: self.end.min(when) }
    }

    /// Whether an event that ended at `when` counts.
    #[must_use]
    pub fn counts(&self, when: Instant) -> bool {
        self.begin <= when && when < self.end
    }

    /// How long is measured.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.end.saturating_duration_since(self.begin)
    }
}
