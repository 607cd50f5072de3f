//! What an export does, and what it tells.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::export::target::ExportTarget;

/// Whether an export has the payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportPayloads {
    /// Records and proofs only: for readers who may not see payloads.
    Leave,
    /// Payloads as well, `payload/<N>`.
    Include,
}

/// How to export: no payloads and up to 16 files in flight, unless said otherwise.
#[derive(Clone)]
pub struct ExportOptions {
    pub(crate) payloads: PayloadPlace,
    pub(crate) in_flight: NonZeroUsize,
    pub(crate) recheck: bool,
    pub(crate) progress: Option<Arc<dyn Fn(ExportProgress) + Send + Sync>>,
}

/// Where payloads go.
#[derive(Clone, Debug)]
pub(crate) enum PayloadPlace {
    Nowhere,
    Beside,
    Elsewhere(ExportTarget),
}

impl ExportOptions {
    const IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

    /// Records and proofs only.
    #[must_use]
    pub fn new() -> Self {
        Self { payloads: PayloadPlace::Nowhere, in_flight: Self::IN_FLIGHT, recheck: false, progress: None }
    }

    /// Leaves payloads out, or puts them beside the rest.
    #[must_use]
    pub fn payloads(mut self, payloads: ExportPayloads) -> Self {
        self.payloads = match payloads {
            ExportPayloads::Leave => PayloadPlace::Nowhere,
            ExportPayloads::Include => PayloadPlace::Beside,
        };
        self
    }

    /// Puts payloads into another place, which other people may read and where files may be rewritten.
    #[must_use]
    pub fn payloads_to(mut self, target: impl Into<ExportTarget>) -> Self {
        self.payloads = PayloadPlace::Elsewhere(target.into());
        self
    }

    /// How many files are written at the same time; together they have at most 64 MiB, unless a single one has more.
    #[must_use]
    pub fn in_flight(mut self, files: NonZeroUsize) -> Self {
        self.in_flight = files;
        self
    }

    /// Compares every file instead of going on where the exported checkpoint stands. Files that are missing are written,
    /// and payload files that have what was purged since are rewritten.
    #[must_use]
    pub fn recheck(mut self) -> Self {
        self.recheck = true;
        self
    }

    /// Calls `progress` after every file and every 256 records. It should return soon.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(ExportProgress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<ExportPayloads> for ExportOptions {
    fn from(payloads: ExportPayloads) -> Self {
        Self::new().payloads(payloads)
    }
}

impl fmt::Debug for ExportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payloads, in_flight, recheck, progress: _ } = self;
        f.debug_struct("ExportOptions")
            .field("payloads", payloads)
            .field("in_flight", in_flight)
            .field("recheck", recheck)
            .finish_non_exhaustive()
    }
}

/// How far an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportProgress {
    /// Records passed, from the start of the log; those exported before count.
    pub records: u64,
    /// Records that the checkpoint will cover.
    pub of: u64,
    /// Files written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// How many records the exported checkpoint covers.
    pub size: u64,
    /// How many files were written, not counting those that were there already.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}
