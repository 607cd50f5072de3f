//! Export in the C2SP `tlog-tiles` layout: the read path for auditors, plain files that anybody can serve.
//!
//! Every file is computed from records that were hashed again on the way, and their root is that of the signed checkpoint
//! before a file `checkpoint` says so. Where an export stands is what that file says, once it is proven to be of this log.

mod error;
mod folder;
#[cfg(feature = "object-store")]
mod objects;
mod options;
mod payload;
mod standing;
mod target;
mod writer;

use std::sync::Arc;

use jit_log::{CHECKPOINT_PATH, EntryBundle, Hash, TILE_WIDTH, TileId, VerifiedCheckpoint, tile_bytes};

pub use error::ExportError;
#[cfg(feature = "object-store")]
pub use objects::ObjectTarget;
#[cfg(feature = "object-store")]
pub(crate) use objects::{ConditionalPut, conditional_put, read_object};
pub use options::{ExportOptions, ExportPayloads, ExportProgress, Exported};
pub use target::ExportTarget;

use crate::append::LogRecord;
use crate::error::ReadError;
use crate::export::options::PayloadPlace;
use crate::export::payload::{PAYLOAD_CHECKPOINT_PATH, append_line, payload_path};
use crate::export::target::{FileKind, Files, NewFile};
use crate::export::writer::Writer;
use crate::log::Log;
use crate::reading::read_row;
use crate::tree::Tree;

impl Log {
    /// Exports the log up to a fresh checkpoint, to a folder or an object store.
    ///
    /// An export goes on where the `checkpoint` that is there already stands, so repeating it costs what was appended
    /// since. It may be interrupted and repeated at any time: files that are there are compared and left, the checkpoint
    /// is written last, and a reader never finds one whose tiles are missing. Payloads have a checkpoint of their own,
    /// `payload/checkpoint`. Partial tiles that full ones replaced stay.
    ///
    /// Two exports to one object store may run at the same time, and the larger checkpoint wins; a second one to one folder
    /// waits two seconds for the first to end and is then refused.
    ///
    /// ```
    /// # async fn example(log: &jit_store::Log) -> Result<(), jit_store::ExportError> {
    /// use jit_store::{ExportOptions, ExportPayloads};
    ///
    /// let options = ExportOptions::new().payloads(ExportPayloads::Include).progress(|done| println!("{}", done.records));
    /// let exported = log.export("/var/lib/evidence", options).await?;
    /// assert!(exported.size > 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ExportError`]; the next export goes on from what was written.
    pub async fn export(
        &self,
        target: impl Into<ExportTarget> + Send,
        options: impl Into<ExportOptions> + Send,
    ) -> Result<Exported, ExportError> {
        let (target, options) = (target.into(), options.into());
        let files = target.open().await?;
        let payload_files = match &options.payloads {
            PayloadPlace::Nowhere => None,
            PayloadPlace::Beside => Some(Arc::clone(&files)),
            PayloadPlace::Elsewhere(elsewhere) => Some(elsewhere.open().await?),
        };
        let mut checkpoint = self.publish().await?;
        let mut stand = self.standing(&files, CHECKPOINT_PATH, &mut checkpoint).await?;
        let mut payload_stand = match &payload_files {
            Some(files) => Some(self.standing(files, PAYLOAD_CHECKPOINT_PATH, &mut checkpoint).await?),
            None => None,
        };
        if options.recheck {
            (stand, payload_stand) = (0, payload_stand.map(|_| 0));
        }
        let writer = Writer::new(&options, checkpoint.checkpoint().size());
        let mut export = Export { log: self, files, payload_files, stand, payload_stand, checkpoint, writer };
        let exported = export.run().await;
        if exported.is_err() {
            // What is under way is not cut off, and keeps no folder locked.
            export.writer.drain().await;
        }
        exported
    }
}

/// One export under way.
struct Export<'l> {
    log: &'l Log,
    files: Arc<dyn Files>,
    payload_files: Option<Arc<dyn Files>>,
    /// How many records the tiles and entries that are there cover.
    stand: u64,
    /// How many records the payload files that are there cover, if payloads are wanted.
    payload_stand: Option<u64>,
    checkpoint: Arc<VerifiedCheckpoint>,
    writer: Writer,
}

impl Export<'_> {
    async fn run(&mut self) -> Result<Exported, ExportError> {
        self.write_records().await?;
        self.writer.finish().await?;
        self.write_checkpoints().await
    }

    /// Writes all that is missing below the checkpoint.
    async fn write_records(&mut self) -> Result<(), ExportError> {
        let size = self.checkpoint.checkpoint().size();
        let from = self.payload_stand.map_or(self.stand, |payload| payload.min(self.stand));
        if from >= size {
            return Ok(());
        }
        let mut tree = Tree::load(self.log.backend(), from - from % TILE_WIDTH).await?;
        while let Some(id) = TileId::at_size(0, tree.size() / TILE_WIDTH, size)
            && tree.size() < size
        {
            let records = self.log.records_below(&id).await?;
            for entry in &records {
                for tile in tree.push(entry.record().leaf().to_hash())? {
                    let path = TileId::new(tile.key.level, tile.key.index, 256).map_err(ReadError::from)?.path();
                    // A tile is complete at the size at which it was exported, if it was.
                    if tree.size() > self.stand {
                        self.writer.submit(&self.files, NewFile::new(path, tile.hashes, FileKind::Full)).await?;
                    }
                }
            }
            self.write_entries(&id, &records).await?;
            self.write_payloads(&id, &records).await?;
            self.writer.passed(tree.size());
        }
        if tree.root() != self.checkpoint.checkpoint().root() {
            let what = format!("the records up to {size} do not have the root of the checkpoint over them");
            return Err(ReadError::corrupt(what).into());
        }
        let partials: Vec<(TileId, Vec<Hash>)> = tree.partials().map(|(id, hashes)| (id, hashes.to_vec())).collect();
        for (id, hashes) in partials {
            if self.is_missing(&id) {
                let file = NewFile::new(id.path(), tile_bytes(&hashes), FileKind::Partial);
                self.writer.submit(&self.files, file).await?;
            }
        }
        Ok(())
    }

    /// The checkpoints, after everything they cover.
    async fn write_checkpoints(&mut self) -> Result<Exported, ExportError> {
        if let Some(files) = &self.payload_files {
            let written = self.log.settle(files, PAYLOAD_CHECKPOINT_PATH, &self.checkpoint).await?;
            self.writer.wrote(written);
        }
        let written = self.log.settle(&self.files, CHECKPOINT_PATH, &self.checkpoint).await?;
        self.writer.wrote(written);
        Ok(self.writer.exported())
    }

    /// The entry bundle beside a tile of level 0.
    async fn write_entries(&mut self, id: &TileId, records: &[LogRecord]) -> Result<(), ExportError> {
        if !self.is_missing(id) {
            return Ok(());
        }
        let mut bundle = EntryBundle::new();
        for entry in records {
            let failed =
                |error: jit_log::EntryError| ExportError::Record { index: entry.index(), reason: error.to_string() };
            bundle.push(entry.record().header_bytes()).map_err(failed)?;
        }
        let kind = if id.is_full() { FileKind::Full } else { FileKind::Partial };
        self.writer.submit(&self.files, NewFile::new(id.entries_path(), bundle.into_bytes(), kind)).await
    }

    /// The payloads of the records below a tile of level 0.
    async fn write_payloads(&mut self, id: &TileId, records: &[LogRecord]) -> Result<(), ExportError> {
        let end = id.index().saturating_mul(TILE_WIDTH).saturating_add(id.width().into());
        let (Some(files), Some(stand)) = (&self.payload_files, self.payload_stand) else { return Ok(()) };
        if stand >= end {
            return Ok(());
        }
        let mut lines = Vec::new();
        for entry in records {
            append_line(&mut lines, entry)?;
        }
        self.writer.submit(files, NewFile::new(payload_path(id.index()), lines, FileKind::Payload)).await
    }

    /// Whether the tile was not there, with this width, when the export last stood still.
    fn is_missing(&self, id: &TileId) -> bool {
        TileId::at_size(id.level(), id.index(), self.stand) != Some(*id)
    }
}

impl Log {
    /// The records below a tile of level 0, all of them.
    async fn records_below(&self, id: &TileId) -> Result<Vec<LogRecord>, ReadError> {
        let mut next = id.index().saturating_mul(TILE_WIDTH);
        let end = next.saturating_add(id.width().into());
        let mut records = Vec::with_capacity(id.width().into());
        while next < end {
            let rows = self.backend().rows(next..end).await?;
            if rows.first().is_none_or(|row| row.index != next) {
                return Err(ReadError::missing(format!("record {next}")));
            }
            for row in rows {
                if row.index != next {
                    return Err(ReadError::missing(format!("record {next}")));
                }
                records.push(read_row(row)?);
                next = next.saturating_add(1);
            }
        }
        Ok(records)
    }
}
