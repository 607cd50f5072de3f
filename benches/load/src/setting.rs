//! What a load is asked to do.

use std::fmt;
use std::time::Duration;

use crate::window::Window;

/// A stream ends after this many events, about as many as a case has.
pub const EVENTS_PER_STREAM: u64 = 10;

/// The arguments of a load: `--url URL --callers N --seconds S --bytes B`.
#[derive(Clone, Debug)]
pub struct Setting {
    /// An empty database that nobody else uses.
    pub url: String,
    /// How many callers append at the same time, each to its own stream.
    pub callers: usize,
    /// How long is measured, after the warm-up.
    pub time: Duration,
    /// The size of an event in bytes.
    pub bytes: usize,
}

/// An argument that is missing, unknown or not a number.
#[derive(Debug)]
pub struct BadSetting(String);

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected --url URL --callers N --seconds S --bytes B", self.0)
    }
}

impl std::error::Error for BadSetting {}

impl Setting {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// [`BadSetting`] if one is missing, unknown or not a number.
    pub fn from_args() -> Result<Self, BadSetting> {
        Self::parse(std::env::args().skip(1))
    }

    /// Reads arguments.
    ///
    /// # Errors
    /// [`BadSetting`] if one is missing, unknown or not a number.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, BadSetting> {
        let (mut url, mut callers, mut seconds, mut bytes) = (None, None, None, None);
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let place = match name.as_str() {
                "--url" => &mut url,
                "--callers" => &mut callers,
                "--seconds" => &mut seconds,
                "--bytes" => &mut bytes,
                _ => return Err(BadSetting(name)),
            };
            *place = args.next();
        }
        Ok(Self {
            url: url.ok_or_else(|| BadSetting("--url".to_owned()))?,
            callers: number("--callers", callers)?,
            time: Duration::from_secs(number("--seconds", seconds)?),
            bytes: number("--bytes", bytes)?,
        })
    }

    /// More events than all callers together get done: so many are prepared where they can be.
    #[must_use]
    pub fn plenty(&self) -> usize {
        const PER_SECOND: f64 = 60_000.0;
        (PER_SECOND * (self.time + Window::WARM_UP).as_secs_f64()) as usize
    }

    /// The text of an event of [`bytes`](Self::bytes) bytes: what a peer stores.
    #[must_use]
    pub fn text(&self) -> String {
        let letters = ('a'..='z').chain('A'..='Z').chain('0'..='9');
        letters.cycle().take(self.bytes).collect()
    }
}

fn number<T: std::str::FromStr>(name: &str, value: Option<String>) -> Result<T, BadSetting> {
    value.and_then(|value| value.parse().ok()).ok_or_else(|| BadSetting(name.to_owned()))
}
