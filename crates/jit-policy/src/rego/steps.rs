//! A clock that counts work instead of time, so that a policy that never ends is cut off at the same step everywhere.

use std::{cell::Cell, num::NonZeroU32, sync::Once, time::Duration};

use regorus::utils::limits::{ExecutionTimerConfig, TimeSource};

/// How many steps one evaluation of one action may take. A step is a statement, a call or a turn of a loop.
pub const MAX_STEPS: u64 = 500_000;

/// How often the clock is read, in steps.
const INTERVAL: u32 = 64;
/// What one reading counts for. The whole of an evaluation is ten seconds, should a real clock count them.
const READING: Duration = Duration::from_micros(10_000_000 * INTERVAL as u64 / MAX_STEPS);

thread_local! {
    static READINGS: Cell<u32> = const { Cell::new(0) };
}

struct Steps;

impl TimeSource for Steps {
    fn now(&self) -> Option<Duration> {
        let reading = READINGS.get();
        READINGS.set(reading.wrapping_add(1));
        Some(READING.saturating_mul(reading))
    }
}

/// Stands in for regorus' own where another crate of the build asks for its feature `std`: then a real clock counts.
#[allow(dead_code, reason = "is what is found only in such a build")]
fn set_time_source(_: &'static dyn TimeSource) -> Result<(), ()> {
    Err(())
}

/// The limit of one evaluation.
pub(super) fn limit() -> ExecutionTimerConfig {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[allow(unused_imports, reason = "has the function, unless regorus has the feature `std`")]
        use regorus::utils::limits::*;
        // A source that is there already is as good as a real clock.
        let _ = set_time_source(&Steps).is_ok();
    });
    ExecutionTimerConfig {
        limit: Duration::from_secs(10),
        check_interval: NonZeroU32::new(INTERVAL).unwrap_or(NonZeroU32::MIN),
    }
}

/// Begins to count an evaluation on this thread.
pub(super) fn begin() {
    READINGS.set(0);
}
