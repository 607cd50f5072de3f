//! What a verification found, and how far it has come.

use std::fmt;

use jit_core::LogOrigin;
use jit_log::Hash;

use super::damage::Damage;

/// What a verification of a stored log looked at and found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct FsckReport {
    /// The log.
    pub origin: LogOrigin,
    /// How many records the log had when the verification began; all of them were looked at.
    pub size: u64,
    /// The root over them, computed from their headers.
    pub root: Hash,
    /// How many streams they begin.
    pub streams: u64,
    /// How many payloads are what their headers commit to.
    pub payloads: u64,
    /// How many full tiles there are.
    pub tiles: u64,
    /// How many checkpoints in the database were held against the records.
    pub checkpoints: u64,
    /// How many anchors were held against the records. Without any, nothing shows a rollback.
    pub anchors: u64,
    /// How many policy snapshots were looked up.
    pub snapshots: u64,
    /// Whether the content of policy snapshots was held against their digests ([`FsckConfig::snapshots`](crate::FsckConfig::snapshots)).
    pub snapshots_read: bool,
    /// Whether look-up entries were compared, which needs the index key.
    pub lookups_compared: bool,
    /// What is wrong, at most as many as were asked for.
    pub damages: Vec<Damage>,
    /// How many more there are at least.
    pub more: u64,
    limit: usize,
}

impl FsckReport {
    pub(super) fn new(origin: LogOrigin, size: u64, limit: usize) -> Self {
        Self {
            origin,
            size,
            root: Hash::EMPTY_ROOT,
            streams: 0,
            payloads: 0,
            tiles: 0,
            checkpoints: 0,
            anchors: 0,
            snapshots: 0,
            snapshots_read: false,
            lookups_compared: false,
            damages: Vec::new(),
            more: 0,
            limit,
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty() && self.more == 0
    }

    pub(super) fn add(&mut self, damage: Damage) {
        if self.is_full() {
            self.more = self.more.saturating_add(1);
        } else {
            tracing::warn!(origin = %self.origin, name = damage.name(), %damage, "the stored log is damaged");
            self.damages.push(damage);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.damages.len() >= self.limit
    }
}

impl fmt::Display for FsckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log          {}", self.origin)?;
        writeln!(f, "records      {} under root {}", self.size, self.root)?;
        writeln!(f, "streams      {}", self.streams)?;
        writeln!(f, "payloads     {}", self.payloads)?;
        writeln!(f, "tiles        {}", self.tiles)?;
        writeln!(f, "checkpoints  {}", self.checkpoints)?;
        let unanchored = if self.anchors == 0 { " (nothing shows a rollback)" } else { "" };
        writeln!(f, "anchors      {}{unanchored}", self.anchors)?;
        let unread = if self.snapshots_read { "" } else { " (present, not read)" };
        writeln!(f, "policies     {}{unread}", self.snapshots)?;
        if !self.lookups_compared {
            writeln!(f, "look-ups     not compared, which needs the index key")?;
        }
        if self.is_clean() {
            return f.write_str("clean");
        }
        for damage in &self.damages {
            writeln!(f, "DAMAGE {}: {damage}", damage.name())?;
        }
        if self.more > 0 {
            writeln!(f, "DAMAGE and at least {} more", self.more)?;
        }
        f.write_str("not clean")
    }
}

/// What a verification is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FsckPhase {
    /// Records, tiles, streams and checkpoints.
    Records,
    /// What is stored to find records and work, against what the records give.
    Projections,
    /// The records once more, to name what differs there.
    Naming,
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsckProgress {
    /// What it is doing.
    pub phase: FsckPhase,
    /// How many records or entries it has done in this phase.
    pub done: u64,
    /// How many there are; `None` where that is not known before.
    pub total: Option<u64>,
    /// How many damages were found so far.
    pub damages: u64,
}
