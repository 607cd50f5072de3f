//! What a witness remembers: one file for each log, replaced only as a whole and only by a later checkpoint.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use jit_log::{
    AddCheckpoint, Checkpoint, CosignatureTime, HeldError, NoteSignature, Origin, Witness, WitnessRefusal, witness_path,
};
use jit_store::{Anchor as _, AnchorError, FileAnchor, Published};

/// How often a request is decided again because another was faster.
const ATTEMPTS: usize = 16;

/// A witness with its memory in a folder.
///
/// Every step from one checkpoint to the next is a compare-and-store under an operating-system lock, flushed to the disk before the
/// cosignature is given away. Many tasks, and many processes of one machine, may share a folder.
#[derive(Debug)]
pub struct WitnessState {
    witness: Witness,
    folder: PathBuf,
}

impl WitnessState {
    /// A witness that remembers in `folder`, which must exist and be on a disk that survives a crash. Whoever deletes or
    /// restores it makes the witness forget what it saw.
    #[must_use]
    pub fn new(witness: Witness, folder: impl Into<PathBuf>) -> Self {
        Self { witness, folder: folder.into() }
    }

    /// Cosigns the checkpoint, if it extends what is held, and remembers it.
    ///
    /// # Errors
    /// [`AskError`] if it was refused, or could not be remembered; then nothing was cosigned.
    pub async fn ask(&self, request: &AddCheckpoint) -> Result<NoteSignature, AskError> {
        let path = match Checkpoint::parse(request.note().text()) {
            Ok(checkpoint) => witness_path(checkpoint.origin()),
            // Refused below, before anything is looked up.
            Err(_) => String::new(),
        };
        for _ in 0..ATTEMPTS {
            // Before what is held is read, so that the cosignature is not dated later than a larger one of another task.
            let now = now().ok_or(AskError::Clock)?;
            let stored =
                if path.is_empty() { None } else { self.file(&path).load().await.map_err(StateError::from)? };
            let held = stored.as_deref().map(|note| self.witness.read(note)).transpose().map_err(StateError::from)?;
            let accepted = self.witness.decide(held.as_ref(), request, now)?;
            if held.is_some_and(|held| held.checkpoint().size() == accepted.checkpoint().size()) {
                return Ok(accepted.cosignature().clone());
            }
            match self.file(&path).publish(stored.as_deref(), accepted.note()).await.map_err(StateError::from)? {
                Published::Stored => return Ok(accepted.cosignature().clone()),
                // Another request came in between: decide on what is held now.
                Published::Holds(_) => {}
            }
        }
        Err(AskError::Busy)
    }

    /// The note held of the log with this path, as [`witness_path`] makes it; `None` if there is none.
    ///
    /// # Errors
    /// [`StateError`] if it cannot be read, or is not one of this witness.
    pub async fn held(&self, path: &str) -> Result<Option<Vec<u8>>, StateError> {
        if !is_path(path) {
            return Ok(None);
        }
        let note = self.file(path).load().await?;
        note.as_deref().map(|note| self.witness.read(note)).transpose()?;
        Ok(note)
    }

    /// Whether what is held of these logs can be read, to be asked before the witness starts.
    ///
    /// # Errors
    /// [`StateError`] if not: then it must not cosign.
    pub async fn check<'a>(&self, logs: impl IntoIterator<Item = &'a Origin>) -> Result<(), StateError> {
        for origin in logs {
            self.held(&witness_path(origin)).await?;
        }
        Ok(())
    }

    /// One file for each log, in one folder.
    fn file(&self, path: &str) -> FileAnchor {
        FileAnchor::new(self.folder.join(path.replace('/', ".")))
    }
}

/// Whether this is a path that [`witness_path`] makes.
fn is_path(path: &str) -> bool {
    let hash = path.strip_suffix("/checkpoint").unwrap_or_default();
    hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn now() -> Option<CosignatureTime> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    CosignatureTime::from_unix_seconds(since.as_secs())
}

/// What a witness remembers cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] AnchorError),
    /// A file does not hold what this witness wrote.
    #[error("what is held is not what this witness cosigned: {0}")]
    Held(#[from] HeldError),
}

/// A witness did not cosign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It refused.
    #[error(transparent)]
    Refused(#[from] WitnessRefusal),
    /// It cannot remember.
    #[error("the witness cannot read or write what it remembers")]
    State(#[from] StateError),
    /// Others were faster, again and again.
    #[error("too many requests for one log at the same time")]
    Busy,
    /// The clock stands before 1970.
    #[error("the clock of the witness is wrong")]
    Clock,
}
