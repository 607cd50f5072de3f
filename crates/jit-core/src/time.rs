//! Moments as the evidence writes them: RFC 3339 in UTC with exactly six fractional digits.

use std::{fmt, str::FromStr, time::Duration};

use ::time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// 9999-12-31T23:59:59.999999Z.
const MAX_MICROS: i64 = 253_402_300_799 * MICROS_PER_SECOND + 999_999;

/// A moment is malformed or outside 1970..=9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// The text is not in the expected form.
    #[error("not a time of the form 2026-01-31T23:59:59.000000Z")]
    Malformed,
    /// The moment lies before 1970 or after 9999.
    #[error("time outside the years 1970 to 9999")]
    OutOfRange,
}

/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use jit_core::Timestamp;
/// let t: Timestamp = "2026-01-31T23:59:59.000000Z".parse()?;
/// assert_eq!(t.to_string(), "2026-01-31T23:59:59.000000Z");
/// assert_eq!(Timestamp::parse_rfc3339("2026-02-01T00:59:59+01:00")?, t);
/// # Ok::<(), jit_core::TimeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00.000000Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// The last moment that can be written.
    pub const MAX: Timestamp = Timestamp(MAX_MICROS);

    /// The moment so many microseconds after the epoch.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`] outside 1970..=9999.
    pub const fn from_micros(micros: i64) -> Result<Self, TimeError> {
        if micros < 0 || micros > MAX_MICROS { Err(TimeError::OutOfRange) } else { Ok(Self(micros)) }
    }

    /// Reads any RFC 3339 time; offsets are converted to UTC and digits below a microsecond are cut off.
    ///
    /// # Errors
    /// [`TimeError`] if the text is malformed (a second 60 included) or out of range.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        // `time` folds a leap second into 59.999…; the format has no second 60, so it is refused before.
        if text.get(17..19) == Some("60") {
            return Err(TimeError::Malformed);
        }
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimeError::Malformed)?;
        let micros = parsed.unix_timestamp_nanos().div_euclid(1_000);
        Self::from_micros(i64::try_from(micros).map_err(|_| TimeError::OutOfRange)?)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Whole seconds since the epoch, rounded up: for targets that count seconds and must not start early.
    #[must_use]
    pub const fn unix_seconds_ceil(self) -> i64 {
        (self.0 + (MICROS_PER_SECOND - 1)).div_euclid(MICROS_PER_SECOND)
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        // Never negative by construction.
        (self.0 / 1_000).unsigned_abs()
    }

    /// This moment plus `by`, or `None` past the year 9999.
    #[must_use]
    pub fn checked_add(self, by: Duration) -> Option<Self> {
        let micros = i64::try_from(by.as_micros()).ok()?;
        Self::from_micros(self.0.checked_add(micros)?).ok()
    }

    /// This moment plus `by`, held at the last moment that can be written.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        self.checked_add(by).unwrap_or(Self::MAX)
    }

    /// This moment minus `by`, held at the epoch.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(0))
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = OffsetDateTime::from_unix_timestamp(self.unix_seconds()).map_err(|_| fmt::Error)?;
        let t = whole.to_offset(UtcOffset::UTC);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            self.0.rem_euclid(MICROS_PER_SECOND)
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;
    /// Reads the one form the evidence format allows.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let parsed = Self::parse_rfc3339(text)?;
        if parsed.to_string() == text { Ok(parsed) } else { Err(TimeError::Malformed) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_round_trips(micros in 0..=MAX_MICROS) {
            let t = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(t.to_string().parse::<Timestamp>(), Ok(t));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "2026-01-31T23:59:60.000000Z",
            "2026-01-31T23:59:59Z",
            "2026-01-31T23:59:59.0000000Z",
            "2026-01-31T23:59:59.000000+00:00",
            "2026-01-31t23:59:59.000000z",
            "2026-02-30T00:00:00.000000Z",
            "1969-12-31T23:59:59.000000Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
