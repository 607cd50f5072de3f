//! Export to a folder in the C2SP `tlog-tiles` layout: the read path for auditors, plain files that anybody can serve.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jit_log::{EntryBundle, Hash, TILE_WIDTH, TileId, tile_bytes, tiles_for_size};

use crate::anchor::sync_folder;
use crate::error::ReadError;
use crate::log::Log;
use crate::reading::read_row;
use crate::receipt::ReceiptError;
use crate::tree::fetch;

/// Why an export is not complete. What was written stays, and the next export goes on from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No checkpoint could be had.
    #[error("no checkpoint to export")]
    Receipt(#[from] ReceiptError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// A file could not be read or written.
    #[error("{path} could not be read or written")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record cannot be part of an entry bundle or a payload file.
    #[error("record {index} cannot be exported: {reason}")]
    Record {
        /// Which record.
        index: u64,
        /// Why.
        reason: String,
    },
    /// The task that writes files was ended.
    #[error("the export was interrupted")]
    Interrupted,
}

/// Whether an export has the payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportPayloads {
    /// Records and proofs only: for readers who may not see payloads.
    Leave,
    /// Payloads as well, `payload/<N>`.
    Include,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// How many records the exported checkpoint covers.
    pub size: u64,
    /// How many files were written, not counting those that were there already.
    pub files: u64,
}

impl Log {
    /// Exports the log up to a fresh checkpoint. Tiles and entry bundles that are there already are left as they are, so
    /// an export can be repeated and resumed; the checkpoint is written last, by an atomic rename, so that a reader never
    /// finds one whose tiles are missing.
    ///
    /// # Errors
    /// [`ExportError`]; the next export goes on from what was written.
    pub async fn export(&self, folder: impl Into<PathBuf>, payloads: ExportPayloads) -> Result<Exported, ExportError> {
        let folder = folder.into();
        let checkpoint = self.publish().await?;
        let size = checkpoint.checkpoint().size();
        let mut exported = Exported { size, files: 0 };
        for id in tiles_for_size(size).map_err(ReadError::from)? {
            let path = folder.join(id.path());
            if !present(&path).await? {
                let hashes = fetch(self.backend(), std::slice::from_ref(&id)).await?;
                let hashes: &[Hash] = hashes.get(&id).map_or(&[], Vec::as_slice);
                exported.write(path, tile_bytes(hashes)).await?;
            }
            if id.level() == 0 {
                self.export_records(&folder, &id, payloads, &mut exported).await?;
            }
        }
        exported.write(folder.join("checkpoint"), checkpoint.note().to_vec()).await?;
        Ok(exported)
    }

    /// The entry bundle beside a tile of level 0, and the payloads of its records.
    async fn export_records(
        &self,
        folder: &Path,
        id: &TileId,
        payloads: ExportPayloads,
        exported: &mut Exported,
    ) -> Result<(), ExportError> {
        let entries = folder.join(id.entries_path());
        let payload = folder.join(payload_path(id.index()));
        let end = id.index().saturating_mul(TILE_WIDTH).saturating_add(id.width().into());
        let entries_wanted = !present(&entries).await?;
        // A payload file covers a whole tile and grows with its records, also while exports leave payloads out.
        let payload_wanted = payloads == ExportPayloads::Include && !reaches(&payload, end).await?;
        if !entries_wanted && !payload_wanted {
            return Ok(());
        }
        let (mut bundle, mut lines) = (EntryBundle::new(), Vec::new());
        let mut next = id.index().saturating_mul(TILE_WIDTH);
        while next < end {
            let rows = self.backend().rows(next..end).await.map_err(ReadError::from)?;
            if rows.is_empty() {
                return Err(ReadError::missing(format!("record {next}")).into());
            }
            for row in rows {
                let entry = read_row(row)?;
                let index = entry.index();
                if index != next {
                    return Err(ReadError::missing(format!("record {next}")).into());
                }
                let failed = |reason: String| ExportError::Record { index, reason };
                bundle.push(entry.record().header_bytes()).map_err(|e| failed(e.to_string()))?;
                if let Some(fields) = entry.record().payload() {
                    // Keys in canonical order; the fields are canonical themselves.
                    lines.extend_from_slice(b"{\"fields\":");
                    lines.extend_from_slice(&fields.to_bytes().map_err(|e| failed(e.to_string()))?);
                    lines.extend_from_slice(line_end(index).as_bytes());
                }
                next = next.saturating_add(1);
            }
        }
        if entries_wanted {
            exported.write(entries, bundle.into_bytes()).await?;
        }
        if payload_wanted {
            exported.write(payload, lines).await?;
        }
        Ok(())
    }
}

/// Where the payloads of tile `number` of level 0 lie, numbered like the tile.
fn payload_path(number: u64) -> String {
    // Full, whatever the tile's width: the file is rewritten as it grows.
    TileId::new(0, number, 256).map_or_else(|_| format!("payload/{number}"), |id| id.path_below("payload"))
}

/// How the line of a record's payload ends.
fn line_end(index: u64) -> String {
    format!(",\"index\":{index}}}\n")
}

async fn present(path: &Path) -> Result<bool, ExportError> {
    blocking(path, |path| path.try_exists()).await
}

/// Whether a payload file ends with the last record before `end`. One whose payload was purged is taken as missing, and
/// the file written again.
async fn reaches(path: &Path, end: u64) -> Result<bool, ExportError> {
    let last = line_end(end.saturating_sub(1));
    blocking(path, move |path| {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let from = file.metadata()?.len().saturating_sub(last.len() as u64);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(tail == last.as_bytes())
    })
    .await
}

/// Runs `work` on a file where blocking is allowed.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, ExportError> {
    let path = path.to_owned();
    let worked = tokio::task::spawn_blocking(move || (work(&path), path)).await;
    let (worked, path) = worked.map_err(|_| ExportError::Interrupted)?;
    worked.map_err(|source| ExportError::File { path, source })
}

impl Exported {
    /// Writes a file whole or not at all.
    async fn write(&mut self, path: PathBuf, bytes: Vec<u8>) -> Result<(), ExportError> {
        blocking(&path, move |path| write_whole(path, &bytes)).await?;
        self.files = self.files.saturating_add(1);
        Ok(())
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}
