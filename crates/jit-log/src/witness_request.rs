//! The request by which a log asks a witness for a cosignature (C2SP tlog-witness v1.0.0, `add-checkpoint`).

use crate::decimal;
use crate::hash::{Hash, HashError};
use crate::note::{MAX_NOTE_LEN, Note, NoteError};
use crate::proof::ConsistencyProof;

/// Most hashes in an `add-checkpoint` request.
pub const MAX_ADD_CHECKPOINT_PROOF: usize = 63;

/// Longest `add-checkpoint` request accepted, in bytes.
pub const MAX_ADD_CHECKPOINT_LEN: usize = MAX_NOTE_LEN + 4096;

/// What a log sends: the size of the checkpoint that it believes the witness to hold, a proof from that size,
/// and the new checkpoint. Well-formed, but nothing of it verified.
///
/// [`AddCheckpoint::to_bytes`] gives back exactly the bytes that [`AddCheckpoint::parse`] took.
///
/// ```
/// use jit_log::{AddCheckpoint, Checkpoint, ConsistencyProof, Hash, Origin, SignerKey};
///
/// let origin = Origin::parse("example.org/log")?;
/// let key = SignerKey::from_seed(&origin, [1; 32]);
/// let note = Checkpoint::new(origin, 0, Hash::EMPTY_ROOT)?.sign(&[&key])?;
/// let request = AddCheckpoint::new(0, ConsistencyProof::from_hashes(vec![])?, note)?;
/// assert!(request.to_bytes().starts_with(b"old 0\n\nexample.org/log\n0\n"));
/// assert_eq!(AddCheckpoint::parse(&request.to_bytes())?, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old_size: u64,
    proof: ConsistencyProof,
    note: Note,
}

impl AddCheckpoint {
    /// A request; from size 0 the proof is empty.
    ///
    /// # Errors
    ///
    /// [`AddCheckpointError::TooManyHashes`].
    pub fn new(old_size: u64, proof: ConsistencyProof, note: Note) -> Result<Self, AddCheckpointError> {
        if proof.hashes().len() > MAX_ADD_CHECKPOINT_PROOF {
            return Err(AddCheckpointError::TooManyHashes);
        }
        Ok(Self { old_size, proof, note })
    }

    /// Parses the body of a request.
    ///
    /// # Errors
    ///
    /// [`AddCheckpointError`] says what is malformed or too long; a witness answers it with status 400.
    pub fn parse(bytes: &[u8]) -> Result<Self, AddCheckpointError> {
        if bytes.len() > MAX_ADD_CHECKPOINT_LEN {
            return Err(AddCheckpointError::TooLong { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| AddCheckpointError::Note(NoteError::Encoding))?;
        let (head, note) = text.split_once("\n\n").ok_or(AddCheckpointError::Lines)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal::parse);
        let old_size = old_size.ok_or(AddCheckpointError::OldSize)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_ADD_CHECKPOINT_PROOF {
                return Err(AddCheckpointError::TooManyHashes);
            }
            hashes.push(Hash::from_base64(line)?);
        }
        let proof = ConsistencyProof::from_hashes(hashes).map_err(|_| AddCheckpointError::TooManyHashes)?;
        Self::new(old_size, proof, Note::parse(note.as_bytes())?)
    }

    /// The body to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("old {}\n", self.old_size);
        for hash in self.proof.hashes() {
            head.push_str(&hash.to_base64());
            head.push('\n');
        }
        head.push('\n');
        [head.into_bytes(), self.note.to_bytes()].concat()
    }

    /// The size of the checkpoint that the log believes the witness to hold; 0 if none.
    #[must_use]
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// The proof that the new checkpoint extends that one.
    #[must_use]
    pub fn proof(&self) -> &ConsistencyProof {
        &self.proof
    }

    /// The new checkpoint, with the signatures the log sent along.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }
}

/// Why bytes are not an `add-checkpoint` request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddCheckpointError {
    /// The request exceeds [`MAX_ADD_CHECKPOINT_LEN`].
    #[error("request has {bytes} bytes, at most {MAX_ADD_CHECKPOINT_LEN} are allowed")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// There is no blank line between the proof and the checkpoint.
    #[error("request has no blank line before the checkpoint")]
    Lines,
    /// The first line is not `old` and a decimal number.
    #[error("request does not begin with the old size")]
    OldSize,
    /// The proof has more than [`MAX_ADD_CHECKPOINT_PROOF`] hashes.
    #[error("proof has more than {MAX_ADD_CHECKPOINT_PROOF} hashes")]
    TooManyHashes,
    /// A line of the proof is not a hash.
    #[error("line of the proof is wrong: {0}")]
    Hash(#[from] HashError),
    /// What follows is not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
}
