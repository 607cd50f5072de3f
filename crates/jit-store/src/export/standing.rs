//! Where an export stands: the checkpoint that is there, believed only once it is proven to be of this log.

use std::sync::Arc;

use jit_log::{Checkpoint, VerifiedCheckpoint};

use crate::export::error::ExportError;
use crate::export::target::{FileKind, Files, Held, NewFile};
use crate::log::Log;
use crate::receipt::ReceiptError;
use crate::tree;

/// More than any checkpoint has.
const MAX_CHECKPOINT: usize = 1 << 20;

/// How often a checkpoint is tried to be written after somebody else was faster.
const ATTEMPTS: usize = 16;

impl Log {
    /// How many records the checkpoint at `path` covers. If that is more than `ours`, `ours` is replaced by one as large.
    pub(crate) async fn standing(
        &self,
        files: &Arc<dyn Files>,
        path: &str,
        ours: &mut Arc<VerifiedCheckpoint>,
    ) -> Result<u64, ExportError> {
        let Some((_, held)) = self.exported_checkpoint(files, path).await? else { return Ok(0) };
        self.extend(&files.name(path), &held, ours).await?;
        Ok(held.size())
    }

    /// Writes the checkpoint unless one as large is there; how many bytes were written, if any.
    pub(crate) async fn settle(
        &self,
        files: &Arc<dyn Files>,
        path: &str,
        checkpoint: &Arc<VerifiedCheckpoint>,
    ) -> Result<Option<u64>, ExportError> {
        let name = files.name(path);
        let file = NewFile::new(path.to_owned(), checkpoint.note().to_vec(), FileKind::Checkpoint);
        for _ in 0..ATTEMPTS {
            let written = match self.exported_checkpoint(files, path).await? {
                None => files.create(&file).await,
                Some((held, there)) => {
                    self.extend(&name, &there, &mut Arc::clone(checkpoint)).await?;
                    if there.size() >= checkpoint.checkpoint().size() {
                        return Ok(None);
                    }
                    files.replace(&held, &file).await
                }
            };
            if written.map_err(|source| ExportError::file(&name, source))? {
                return Ok(Some(file.bytes.len() as u64));
            }
        }
        Err(ExportError::Contended { file: name })
    }

    async fn exported_checkpoint(
        &self,
        files: &Arc<dyn Files>,
        path: &str,
    ) -> Result<Option<(Held, Checkpoint)>, ExportError> {
        let read = files.read(path, MAX_CHECKPOINT).await;
        let Some(held) = read.map_err(|source| ExportError::file(&files.name(path), source))? else { return Ok(None) };
        let untrusted = |source| ExportError::Untrusted { file: files.name(path), source };
        // One that was exported before effects required cosignatures has none.
        let verified = self.context().trust.verify(&held.bytes).map_err(untrusted)?;
        Ok(Some((held, verified.checkpoint().clone())))
    }

    /// Whether this log extends the checkpoint `held`, which may be larger than `ours` and is proven under it or replaces it.
    async fn extend(
        &self,
        file: &str,
        held: &Checkpoint,
        ours: &mut Arc<VerifiedCheckpoint>,
    ) -> Result<(), ExportError> {
        let other_log = || ExportError::OtherLog { file: file.to_owned(), size: held.size() };
        if held.size() > ours.checkpoint().size() {
            *ours = self.checkpoint(held.size()).await.map_err(|error| match error {
                ReceiptError::NotInLog { .. } => other_log(),
                error => error.into(),
            })?;
        }
        // Every log extends the empty one.
        if held.size() > 0 {
            let (size, root) = (ours.checkpoint().size(), ours.checkpoint().root());
            let proof = tree::consistency(self.backend(), held.size(), size).await?;
            proof.verify(held.size(), &held.root(), size, &root).map_err(|_| other_log())?;
        }
        Ok(())
    }
}
