//! The log that benchmarks append to: its name, keys and settings.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jit_core::{
    Clock, ClockReading, ClockSource, Entropy, IndexKey, LogOrigin, Recorder, RetentionClass, RetentionTerms, WriterId,
    random_bytes,
};
use jit_log::{KeyName, Origin, SignerKey};
use jit_store::{
    AGENT_CLASS, Ed25519Signer, FileAnchor, GOVERNANCE_CLASS, LogConfig, OsEntropy, RetentionPolicy, SystemClock,
};

const ORIGIN: &str = "bench.example/evidence";
/// The retention class of cases.
pub(crate) const CLASS: &str = "access";

/// Makes records for the log, without it.
///
/// # Errors
/// If there is no randomness.
pub fn recorder() -> Result<Recorder, Box<dyn Error>> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let writer = WriterId::v8(random_bytes(&*entropy)?);
    Ok(Recorder::new(LogOrigin::from(Origin::parse(ORIGIN)?), writer, Arc::new(clock()?), entropy))
}

fn clock() -> Result<SystemClock, Box<dyn Error>> {
    Ok(SystemClock::new(ClockSource::new("ntp")?, 1000))
}

/// How the log is opened, with its anchor in a file.
///
/// # Errors
/// If there is no randomness.
pub fn config(anchor: impl Into<PathBuf>) -> Result<LogConfig, Box<dyn Error>> {
    config_ahead(anchor, Duration::ZERO)
}

/// As [`config`], with a clock that is ahead.
///
/// # Errors
/// If there is no randomness.
pub fn config_ahead(anchor: impl Into<PathBuf>, by: Duration) -> Result<LogConfig, Box<dyn Error>> {
    let key = SignerKey::from_seed(KeyName::parse(ORIGIN)?, [7; 32]);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    Ok(LogConfig::new(
        Arc::new(Ed25519Signer::new(key)),
        Arc::new(FileAnchor::new(anchor)),
        RetentionPolicy::new([GOVERNANCE_CLASS, AGENT_CLASS, CLASS].map(terms).into_iter().collect::<Result<_, _>>()?)?,
        IndexKey::from_bytes([5; 32]),
        WriterId::v8(random_bytes(&*entropy)?),
        Arc::new(Ahead { clock: clock()?, by }),
    ))
}

/// The clock of somebody who lives later.
struct Ahead {
    clock: SystemClock,
    by: Duration,
}

impl Clock for Ahead {
    fn now(&self) -> ClockReading {
        let read = self.clock.now();
        ClockReading { at: read.at.saturating_add(self.by), ..read }
    }
}

fn terms(class: &str) -> Result<RetentionTerms, Box<dyn Error>> {
    Ok(RetentionTerms {
        class: RetentionClass::new(class)?,
        min_s: 7 * 365 * 24 * 3600,
        max_s: None,
        basis: "audit rule 7".to_owned().try_into()?,
        reviewer: "records board".to_owned().try_into()?,
    })
}
