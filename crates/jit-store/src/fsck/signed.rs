//! Checkpoints, in the database and in anchors, against the tree as it grows.

use std::sync::Arc;

use jit_core::LogOrigin;
use jit_log::{Checkpoint, Frontier, Hash, TrustPolicy};

use super::damage::{Damage, Place};
use super::report::FsckReport;
use crate::anchor::{Anchor, AnchorError};
use crate::backend::{Backend, BackendError};
use crate::row::CheckpointRow;

/// Checkpoints in the order of their sizes.
pub(super) struct Signed {
    origin: LogOrigin,
    trust: TrustPolicy,
    /// Of anchors, the smallest last.
    anchored: Vec<(u64, Hash, Place)>,
    /// The next one in the database.
    next: Option<CheckpointRow>,
    /// The size of the last checkpoint in the database when the verification began.
    last: Option<u64>,
}

impl Signed {
    /// Reads what the anchors hold, and how far the checkpoints in the database reach.
    pub(super) async fn load(
        backend: &dyn Backend,
        anchors: &[Arc<dyn Anchor>],
        origin: &LogOrigin,
        trust: &TrustPolicy,
        found: &mut Vec<Damage>,
    ) -> Result<Self, LoadError> {
        // Cosignatures are for readers elsewhere to demand; here the question is what the log itself signed.
        let mut signed = Self {
            origin: origin.clone(),
            trust: trust.without_quorum(),
            anchored: Vec::new(),
            next: None,
            last: None,
        };
        for (number, anchor) in anchors.iter().enumerate() {
            let place = Place::Anchor(number);
            match anchor.load().await? {
                None => found.push(Damage::AnchorMissing { place }),
                Some(note) => match signed.verify(&note) {
                    Ok(checkpoint) => signed.anchored.push((checkpoint.size(), checkpoint.root(), place)),
                    Err(what) => found.push(Damage::Checkpoint { place, size: 0, what }),
                },
            }
        }
        signed.anchored.sort_unstable_by_key(|(size, _, _)| std::cmp::Reverse(*size));
        signed.last = backend.checkpoint(None).await?.map(|row| row.size);
        signed.next = backend.checkpoint(Some(0)).await?;
        Ok(signed)
    }

    /// What is signed beyond the head. To be asked with a head that was read after the checkpoints.
    pub(super) fn beyond(&self, stored: u64) -> Vec<Damage> {
        let anchored = self.anchored.iter().map(|(size, _, place)| (*size, *place));
        let all = anchored.chain(self.last.map(|size| (size, Place::Database)));
        let beyond = all.filter(|(size, _)| *size > stored);
        beyond.map(|(signed, place)| Damage::Rollback { place, signed, stored }).collect()
    }

    /// Whether a checkpoint is to be held against a tree of this size.
    pub(super) fn wants(&self, size: u64) -> bool {
        let anchored = self.anchored.last().is_some_and(|(next, _, _)| *next <= size);
        anchored || self.next.as_ref().is_some_and(|row| row.size <= size)
    }

    /// Holds all checkpoints up to the size of the tree against it. `whole` says whether the tree is known.
    pub(super) async fn check(
        &mut self,
        backend: &dyn Backend,
        tree: &Frontier,
        whole: bool,
        report: &mut FsckReport,
    ) -> Result<(), BackendError> {
        while let Some((size, signed, place)) = self.anchored.pop_if(|(size, _, _)| *size <= tree.size()) {
            report.anchors = report.anchors.saturating_add(1);
            if !whole || size != tree.size() {
                continue;
            }
            if signed != tree.root() {
                report.add(Damage::Fork { place, size, signed });
            } else if size > 0 && backend.checkpoint(Some(size)).await?.is_none_or(|row| row.size != size) {
                // A checkpoint is kept in the database before it is anchored.
                report.add(Damage::MissingCheckpoint { place, size });
            }
        }
        while let Some(row) = self.next.take_if(|row| row.size <= tree.size()) {
            report.checkpoints = report.checkpoints.saturating_add(1);
            for damage in self.judge(&row, tree, whole) {
                report.add(damage);
            }
            let beyond = row.size.saturating_add(1);
            self.next = backend.checkpoint(Some(beyond)).await?.filter(|next| next.size >= beyond);
        }
        Ok(())
    }

    fn judge(&self, row: &CheckpointRow, tree: &Frontier, whole: bool) -> Vec<Damage> {
        let (place, size) = (Place::Database, row.size);
        let mut damages = Vec::new();
        match self.verify(&row.note) {
            Err(what) => damages.push(Damage::Checkpoint { place, size, what }),
            Ok(signed) if signed.size() != size => {
                damages.push(Damage::Checkpoint {
                    place,
                    size,
                    what: format!("it is signed for size {}", signed.size()),
                });
            }
            Ok(signed) if whole && signed.root() != tree.root() => {
                damages.push(Damage::Fork { place, size, signed: signed.root() });
            }
            Ok(_) => {}
        }
        let frontier = row.frontier.iter().copied().map(Hash::from);
        if whole && !frontier.eq(tree.nodes().iter().copied()) {
            damages.push(Damage::CheckpointFrontier { size });
        }
        damages
    }

    fn verify(&self, note: &[u8]) -> Result<Checkpoint, String> {
        let verified = self.trust.verify(note).map_err(|error| error.to_string())?;
        let checkpoint = verified.checkpoint();
        if checkpoint.origin() != self.origin.as_origin() {
            return Err(format!("it is of log {}", checkpoint.origin()));
        }
        Ok(checkpoint.clone())
    }
}

/// Checkpoints could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    #[error(transparent)]
    Backend(#[from] BackendError),
}
