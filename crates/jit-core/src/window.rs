//! Half-open windows of time: `start ≤ t < end`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A window is empty or reversed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("window ends at {end}, not after its start {start}")]
pub struct WindowError {
    /// The start given.
    pub start: Timestamp,
    /// The end given.
    pub end: Timestamp,
}

/// A window of time, start included, end excluded, never empty and never without an end.
///
/// ```
/// use jit_core::{Timestamp, Window};
/// let t = |s: &str| s.parse::<Timestamp>().unwrap();
/// let hour = Window::new(t("2026-01-01T10:00:00.000000Z"), t("2026-01-01T11:00:00.000000Z"))?;
/// assert!(hour.contains(hour.start()) && !hour.contains(hour.end()));
/// assert!(hour.is_within(&hour));
/// # Ok::<(), jit_core::WindowError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Bounds", into = "Bounds")]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    start: Timestamp,
    end: Timestamp,
}

impl Window {
    /// The window from `start` to just before `end`.
    ///
    /// # Errors
    /// [`WindowError`] if it is empty or reversed.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, WindowError> {
        if start < end { Ok(Self { start, end }) } else { Err(WindowError { start, end }) }
    }

    /// The first moment inside.
    #[must_use]
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// The first moment no longer inside.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// How long it is; never zero.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.end.since(self.start)
    }

    /// Whether the moment lies inside.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether every moment of this window lies in `outer`.
    #[must_use]
    pub fn is_within(&self, outer: &Window) -> bool {
        outer.start <= self.start && self.end <= outer.end
    }

    /// What both windows share, or `None`.
    #[must_use]
    pub fn intersect(&self, other: &Window) -> Option<Window> {
        Window::new(self.start.max(other.start), self.end.min(other.end)).ok()
    }

    /// What is left of the window from `now` on: a late act never lengthens or shifts it.
    #[must_use]
    pub fn remainder(&self, now: Timestamp) -> Option<Window> {
        Window::new(self.start.max(now), self.end).ok()
    }

    /// The window cut to at most `longest` from its start.
    #[must_use]
    pub fn shortened_to(&self, longest: Duration) -> Option<Window> {
        Window::new(self.start, self.end.min(self.start.saturating_add(longest))).ok()
    }

    /// The largest window of whole seconds inside this one: start rounds up, end down, empty is `None`.
    #[must_use]
    pub fn whole_seconds(&self) -> Option<Window> {
        let micros =
            |s: i64| s.checked_mul(crate::time::MICROS_PER_SECOND).and_then(|m| Timestamp::from_micros(m).ok());
        Window::new(micros(self.start.unix_seconds_ceil())?, micros(self.end.unix_seconds())?).ok()
    }
}

impl TryFrom<Bounds> for Window {
    type Error = WindowError;
    fn try_from(b: Bounds) -> Result<Self, WindowError> {
        Window::new(b.start, b.end)
    }
}

impl From<Window> for Bounds {
    fn from(w: Window) -> Bounds {
        Bounds { start: w.start, end: w.end }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window() -> impl Strategy<Value = Window> {
        (0i64..5_000_000, 1i64..5_000_000).prop_map(|(s, d)| {
            Window::new(Timestamp::from_micros(s).unwrap(), Timestamp::from_micros(s + d).unwrap()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn narrowing_stays_inside(a in window(), b in window(), now in 0i64..10_000_000) {
            let now = Timestamp::from_micros(now).unwrap();
            if let Some(both) = a.intersect(&b) {
                prop_assert!(both.is_within(&a) && both.is_within(&b));
            }
            for narrowed in [a.remainder(now), a.shortened_to(b.duration()), a.whole_seconds()].into_iter().flatten() {
                prop_assert!(narrowed.is_within(&a));
            }
        }

        #[test]
        fn within_is_a_partial_order(a in window(), b in window(), c in window()) {
            prop_assert!(a.is_within(&a));
            prop_assert!(!(a.is_within(&b) && b.is_within(&a)) || a == b);
            prop_assert!(!(a.is_within(&b) && b.is_within(&c)) || a.is_within(&c));
        }
    }

    #[test]
    fn empty_and_reversed_windows_do_not_construct() {
        let t = Timestamp::EPOCH;
        assert!(Window::new(t, t).is_err());
        assert!(Window::new(Timestamp::MAX, t).is_err());
    }
}
