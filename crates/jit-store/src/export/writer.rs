//! Writes files, some at the same time, and counts them.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::export::error::ExportError;
use crate::export::options::{ExportOptions, ExportProgress, Exported};
use crate::export::payload::last_index;
use crate::export::target::{FileKind, Files, NewFile};

/// What files in flight hold at most, unless one alone is larger.
const MAX_BYTES: usize = 64 << 20;

/// How often a payload file is tried to be rewritten after somebody else was faster.
const ATTEMPTS: usize = 16;

/// Writes files while more are made. Dropping it ends what is under way.
pub(crate) struct Writer {
    tasks: JoinSet<Result<Done, ExportError>>,
    /// What files in flight hold.
    held: usize,
    options: ExportOptions,
    progress: ExportProgress,
}

/// A file that is there now.
struct Done {
    bytes: usize,
    written: bool,
}

impl Writer {
    pub(crate) fn new(options: &ExportOptions, size: u64) -> Self {
        let progress = ExportProgress { of: size, ..ExportProgress::default() };
        Self { tasks: JoinSet::new(), held: 0, options: options.clone(), progress }
    }

    /// Begins to write a file, as soon as there is room.
    pub(crate) async fn submit(&mut self, files: &Arc<dyn Files>, file: NewFile) -> Result<(), ExportError> {
        let bytes = file.bytes.len();
        let room = |writer: &Self| {
            writer.tasks.len() < writer.options.in_flight.get() && writer.held.saturating_add(bytes) <= MAX_BYTES
        };
        while !self.tasks.is_empty() && !room(self) {
            self.wait().await?;
        }
        self.held = self.held.saturating_add(bytes);
        let files = Arc::clone(files);
        self.tasks.spawn(async move {
            let written = match file.kind {
                FileKind::Payload => write_payloads(&*files, &file).await?,
                FileKind::Full | FileKind::Partial | FileKind::Checkpoint => write_once(&*files, &file).await?,
            };
            Ok(Done { bytes, written })
        });
        Ok(())
    }

    /// Waits until all files are there.
    pub(crate) async fn finish(&mut self) -> Result<(), ExportError> {
        while !self.tasks.is_empty() {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits until nothing is under way any more, whatever becomes of it.
    pub(crate) async fn drain(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Says that the records below `records` were passed.
    pub(crate) fn passed(&mut self, records: u64) {
        self.progress.records = records;
        self.tell();
    }

    /// Counts a file that was written, if it was.
    pub(crate) fn wrote(&mut self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.progress.files = self.progress.files.saturating_add(1);
            self.progress.bytes = self.progress.bytes.saturating_add(bytes);
            self.tell();
        }
    }

    pub(crate) fn exported(&self) -> Exported {
        let ExportProgress { of: size, files, bytes, .. } = self.progress;
        Exported { size, files, bytes }
    }

    async fn wait(&mut self) -> Result<(), ExportError> {
        let Some(done) = self.tasks.join_next().await else { return Ok(()) };
        let done = done.map_err(|_| ExportError::Interrupted)??;
        self.held = self.held.saturating_sub(done.bytes);
        self.wrote(done.written.then_some(done.bytes as u64));
        Ok(())
    }

    fn tell(&self) {
        if let Some(progress) = &self.options.progress {
            progress(self.progress);
        }
    }
}

/// Writes a file that never changes, or finds it there as it should be.
async fn write_once(files: &dyn Files, file: &NewFile) -> Result<bool, ExportError> {
    let failed = |source| ExportError::file(&files.name(&file.path), source);
    if files.create(file).await.map_err(failed)? {
        return Ok(true);
    }
    match files.read(&file.path, file.bytes.len()).await.map_err(failed)? {
        Some(held) if held.bytes == file.bytes => Ok(false),
        _ => Err(ExportError::Differs { file: files.name(&file.path) }),
    }
}

/// Writes the payloads of a tile, or leaves a file that has those and more.
async fn write_payloads(files: &dyn Files, file: &NewFile) -> Result<bool, ExportError> {
    let failed = |source| ExportError::file(&files.name(&file.path), source);
    for _ in 0..ATTEMPTS {
        if files.create(file).await.map_err(failed)? {
            return Ok(true);
        }
        let Some(held) = files.read(&file.path, usize::MAX).await.map_err(failed)? else { continue };
        // An export of a larger checkpoint was faster.
        let is_ahead = last_index(&held.bytes) > last_index(&file.bytes);
        if held.bytes == file.bytes || is_ahead {
            return Ok(false);
        }
        if files.replace(&held, file).await.map_err(failed)? {
            return Ok(true);
        }
    }
    Err(ExportError::Contended { file: files.name(&file.path) })
}
