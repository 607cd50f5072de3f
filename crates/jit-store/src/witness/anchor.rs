//! A witness as an anchor: it holds the largest checkpoint it has cosigned, out of reach of whoever restores a backup.

use std::sync::Arc;

use async_trait::async_trait;
use jit_log::{Checkpoint, Note, Origin};

use crate::anchor::{Anchor, AnchorError, Published};
use crate::backend::{Backend, Source};
use crate::witness::client::{WitnessAnswer, WitnessClient};
use crate::witness::cosigning::{is_by, request};

/// Anchors a log in what a witness holds of it.
///
/// The witness compares sizes where other anchors compare bytes: it holds one checkpoint of each size, so that comes to the same.
/// Its [`load`](Anchor::load) answers only what bears the witness's own cosignature.
#[derive(Clone, Debug)]
pub struct WitnessAnchor {
    client: Arc<dyn WitnessClient>,
    backend: Arc<dyn Backend>,
    origin: Origin,
}

impl WitnessAnchor {
    /// Anchors log `origin`, for which consistency is proved from `backend`, in this witness.
    #[must_use]
    pub fn new(client: Arc<dyn WitnessClient>, backend: Arc<dyn Backend>, origin: Origin) -> Self {
        Self { client, backend, origin }
    }

    fn place(&self) -> String {
        self.client.verifier().name().to_string()
    }

    fn unavailable(&self, source: impl Into<Source>) -> AnchorError {
        AnchorError::Unavailable { place: self.place(), source: source.into() }
    }

    fn read(&self, note: &[u8]) -> Result<(Note, u64), AnchorError> {
        let note = Note::parse(note).ok();
        let parsed =
            note.and_then(|note| Checkpoint::parse(note.text()).ok().map(|checkpoint| (note, checkpoint.size())));
        parsed.ok_or_else(|| AnchorError::NotACheckpoint { place: self.place() })
    }
}

#[async_trait]
impl Anchor for WitnessAnchor {
    async fn load(&self) -> Result<Option<Vec<u8>>, AnchorError> {
        let Some(bytes) = self.client.held(&self.origin).await.map_err(|error| self.unavailable(error))? else {
            return Ok(None);
        };
        let (note, _) = self.read(&bytes)?;
        note.verify([self.client.verifier()]).map_err(|error| self.unavailable(error))?;
        Ok(Some(bytes))
    }

    async fn publish(&self, expected: Option<&[u8]>, note: &[u8]) -> Result<Published, AnchorError> {
        let (note, size) = self.read(note)?;
        let old = match expected {
            Some(expected) => self.read(expected)?.1,
            None => match self.load().await? {
                Some(held) => return Ok(Published::Holds(Some(held))),
                None => 0,
            },
        };
        if expected.is_some() && size <= old {
            return Ok(Published::Holds(self.load().await?));
        }
        let key = self.client.verifier();
        let request = request(key.name(), &*self.backend, old, size, &note).await;
        let answer = self.client.add_checkpoint(request.map_err(|error| self.unavailable(error))?).await;
        match answer.map_err(|error| self.unavailable(error))? {
            WitnessAnswer::Cosigned(lines) if lines.iter().any(|line| is_by(&note, line, key)) => Ok(Published::Stored),
            WitnessAnswer::Cosigned(_) => Err(self.unavailable("the cosignature is not by the witness")),
            WitnessAnswer::Holds(_) => Ok(Published::Holds(self.load().await?)),
        }
    }
}
