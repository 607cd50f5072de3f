//! What a check looks at: records with their places in the log, and what else is known of it.

use std::{collections::BTreeSet, time::Duration};

use jit_log::Hash;

use crate::{digest::PolicyDigest, record::Record};

/// How long after a declared deadline a sweep may take, unless the history says otherwise.
pub const SWEEP_ALLOWANCE: Duration = Duration::from_secs(300);

/// Records with their log indexes, and what is known besides them.
///
/// ```
/// use jit_core::{History, Timestamp, check};
/// let nothing = History::whole([]);
/// assert!(check(&nothing, Timestamp::MAX).is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct History<'r> {
    pub(super) records: Vec<(u64, &'r Record)>,
    pub(super) whole: bool,
    pub(super) snapshots: Option<BTreeSet<PolicyDigest>>,
    pub(super) checkpoints: Vec<(u64, Hash)>,
    pub(super) sweep: Duration,
}

impl<'r> History<'r> {
    /// The whole log, from index 0 without a gap: a record that is not here was never made.
    #[must_use]
    pub fn whole(records: impl IntoIterator<Item = (u64, &'r Record)>) -> Self {
        Self::new(records, true)
    }

    /// Any records of a log: what is not here may still exist, and what depends on it is not provable. A stream that is
    /// here from its number 0 without a gap is taken as complete up to the moment of the check.
    #[must_use]
    pub fn part(records: impl IntoIterator<Item = (u64, &'r Record)>) -> Self {
        Self::new(records, false)
    }

    fn new(records: impl IntoIterator<Item = (u64, &'r Record)>, whole: bool) -> Self {
        let mut records: Vec<_> = records.into_iter().collect();
        records.sort_by_key(|(index, _)| *index);
        Self { records, whole, snapshots: None, checkpoints: Vec::new(), sweep: SWEEP_ALLOWANCE }
    }

    /// Names the policy snapshots whose text was retrieved by its digest (INV-11).
    #[must_use]
    pub fn with_snapshots(mut self, retrieved: impl IntoIterator<Item = PolicyDigest>) -> Self {
        self.snapshots.get_or_insert_default().extend(retrieved);
        self
    }

    /// Adds a signed root that folding the records must give at this size (INV-13). Its signature is the caller's to verify.
    #[must_use]
    pub fn with_checkpoint(mut self, size: u64, root: Hash) -> Self {
        self.checkpoints.push((size, root));
        self
    }

    /// Declares how long after a deadline a sweep may take.
    #[must_use]
    pub fn with_sweep_allowance(mut self, allowance: Duration) -> Self {
        self.sweep = allowance;
        self
    }
}
