//! What a witness answers to a log that asks for a cosignature (C2SP tlog-witness v1.0.0), without the I/O.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::{CosignatureTime, CosignerKey};
use crate::key::VerifierKey;
use crate::note::{Note, NoteError, NoteSignature};
use crate::origin::Origin;
use crate::policy::{TrustError, TrustPolicy};
use crate::proof::ProofError;
use crate::witness_request::AddCheckpoint;

/// Where a witness publishes the checkpoint that it holds of a log, relative to its own address:
/// `<hex SHA-256 of the origin>/checkpoint`.
#[must_use]
pub fn witness_path(origin: &Origin) -> String {
    format!("{}/checkpoint", HEXLOWER.encode(&Sha256::digest(origin.as_str())))
}

/// A witness: it cosigns a checkpoint of a log it knows if the checkpoint extends the last one it cosigned, and never
/// goes back.
///
/// This is the whole of its judgement and none of its memory. Who runs it must, for each log and as one
/// atomic step, read what is held, ask [`Witness::decide`], and store [`Accepted::note`] durably in place of exactly
/// what was read; only then may the cosignature be given away.
///
/// ```
/// use jit_log::{
///     AddCheckpoint, Checkpoint, ConsistencyProof, CosignatureTime, CosignerKey, Hash, KeyName, Origin, SignerKey,
///     TrustPolicy, Witness, WitnessRefusal,
/// };
///
/// let origin = Origin::parse("example.org/log")?;
/// let log = SignerKey::from_seed(&origin, [1; 32]);
/// let key = CosignerKey::from_seed(KeyName::parse("witness.example/w1")?, [2; 32]);
/// let witness = Witness::new(key, &TrustPolicy::new_log_only(log.verifier())?);
/// let ask = |old, size, root| {
///     let note = Checkpoint::new(origin.clone(), size, Hash::from_bytes([root; 32]))?.sign(&[&log])?;
///     Ok::<_, Box<dyn std::error::Error>>(AddCheckpoint::new(old, ConsistencyProof::from_hashes(vec![])?, note)?)
/// };
/// let now = CosignatureTime::from_unix_seconds(1_700_000_000).ok_or("too late")?;
///
/// let accepted = witness.decide(None, &ask(0, 5, 9)?, now)?;
/// let held = witness.read(accepted.note())?;
/// let again = witness.decide(Some(&held), &ask(0, 6, 8)?, now);
/// assert!(matches!(again, Err(WitnessRefusal::Conflict { held: 5 })));
/// let other = witness.decide(Some(&held), &ask(5, 5, 8)?, now);
/// assert_eq!(other.map_err(|refusal| refusal.status()), Err(422));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Witness {
    key: CosignerKey,
    logs: TrustPolicy,
}

impl Witness {
    /// A witness of the logs that a policy trusts; its witnesses and quorum do not matter here.
    #[must_use]
    pub fn new(key: CosignerKey, logs: &TrustPolicy) -> Self {
        Self { key, logs: logs.without_quorum() }
    }

    /// The key it cosigns with.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.key.verifier()
    }

    /// Reads a note that this witness has stored, and checks its own cosignature on it.
    ///
    /// # Errors
    ///
    /// [`HeldError`] if it is not what this witness stored. Then it must not cosign for this log any more.
    pub fn read(&self, note: &[u8]) -> Result<HeldCheckpoint, HeldError> {
        let parsed = Note::parse(note)?;
        parsed.verify(&[self.key.verifier()])?;
        Ok(HeldCheckpoint { checkpoint: Checkpoint::parse(parsed.text())? })
    }

    /// Decides on a request, given what the witness holds of that log and the time.
    ///
    /// # Errors
    ///
    /// [`WitnessRefusal`]; what is held stays as it is.
    pub fn decide(
        &self,
        held: Option<&HeldCheckpoint>,
        request: &AddCheckpoint,
        now: CosignatureTime,
    ) -> Result<Accepted, WitnessRefusal> {
        let note = request.note();
        let checkpoint = match Checkpoint::parse(note.text()) {
            Err(CheckpointError::EmptyRoot) => return Err(WitnessRefusal::EmptyRoot),
            parsed => parsed?,
        };
        let origin = checkpoint.origin();
        if !self.logs.log_keys().any(|key| key.name() == origin) {
            return Err(WitnessRefusal::UnknownLog { origin: origin.clone() });
        }
        self.logs.verify(&note.to_bytes()).map_err(WitnessRefusal::Untrusted)?;
        if held.is_some_and(|held| held.checkpoint.origin() != origin) {
            return Err(WitnessRefusal::HoldsOtherLog);
        }
        self.check_history(held, request, &checkpoint)?;
        let cosignature = self.key.cosign(&checkpoint, now);
        // Of the signatures that came along only the log's own are kept.
        let signed = note.verify(self.logs.log_keys().filter(|key| key.name() == origin));
        let signatures = signed.map_err(|error| WitnessRefusal::Untrusted(error.into()))?;
        let signatures = signatures.iter().map(|signature| signature.signature().clone());
        let note = Note::from_parts(note.text().to_owned(), signatures.chain([cosignature.clone()]).collect());
        Ok(Accepted { checkpoint, note: note.to_bytes(), cosignature })
    }

    fn check_history(
        &self,
        held: Option<&HeldCheckpoint>,
        request: &AddCheckpoint,
        new: &Checkpoint,
    ) -> Result<(), WitnessRefusal> {
        let old = request.old_size();
        if old > new.size() {
            return Err(WitnessRefusal::OldBeyondNew { old, new: new.size() });
        }
        let held_size = held.map_or(0, |held| held.checkpoint.size());
        if old != held_size {
            return Err(WitnessRefusal::Conflict { held: held_size });
        }
        match held {
            Some(held) if old > 0 => {
                let root = held.checkpoint.root();
                Ok(request.proof().verify(old, &root, new.size(), &new.root())?)
            }
            // Every tree extends the empty one, and there is nothing to prove.
            _ if request.proof().hashes().is_empty() => Ok(()),
            _ => Err(WitnessRefusal::Proof(ProofError::Length)),
        }
    }
}

/// A checkpoint that a witness holds, with its own cosignature on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCheckpoint {
    checkpoint: Checkpoint,
}

impl HeldCheckpoint {
    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// What a witness has decided to cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the note must be stored before the cosignature is given away"]
pub struct Accepted {
    checkpoint: Checkpoint,
    note: Vec<u8>,
    cosignature: NoteSignature,
}

impl Accepted {
    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What to store and to publish: the checkpoint with the log's signatures and the cosignature.
    #[must_use]
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// The answer to the log, once the note is stored.
    #[must_use]
    pub fn cosignature(&self) -> &NoteSignature {
        &self.cosignature
    }
}

/// A stored note is not one of this witness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeldError {
    /// It is not a note, or not cosigned by this witness.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessRefusal {
    /// The note does not hold a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The witness does not know the log.
    #[error("log {origin} is not known here")]
    UnknownLog {
        /// Origin of the checkpoint.
        origin: Origin,
    },
    /// No known key of the log has signed, or a known key's signature is wrong.
    #[error("checkpoint is not signed as it should be: {0}")]
    Untrusted(#[source] TrustError),
    /// The old size exceeds that of the new checkpoint.
    #[error("old size {old} is larger than new size {new}")]
    OldBeyondNew {
        /// The old size.
        old: u64,
        /// The size of the checkpoint.
        new: u64,
    },
    /// The witness holds a checkpoint of another size.
    #[error("the checkpoint held here has size {held}")]
    Conflict {
        /// The size held; 0 if nothing is.
        held: u64,
    },
    /// The checkpoint does not extend the one held: another root of the same size, or the proof does not prove it.
    #[error("checkpoint does not extend the one held here: {0}")]
    Proof(#[from] ProofError),
    /// The size is 0, but the root is not that of the empty tree.
    #[error("root of the empty tree is wrong")]
    EmptyRoot,
    /// What was given as held is of another log.
    #[error("the checkpoint held here is of another log")]
    HoldsOtherLog,
}

impl WitnessRefusal {
    /// The HTTP status that says so.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Checkpoint(_) | Self::OldBeyondNew { .. } => 400,
            Self::Untrusted(_) => 403,
            Self::UnknownLog { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::Proof(_) | Self::EmptyRoot => 422,
            Self::HoldsOtherLog => 500,
        }
    }
}
