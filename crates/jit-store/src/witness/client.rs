//! How a log talks to a witness.

use std::fmt;

use async_trait::async_trait;
use jit_log::{AddCheckpoint, KeyName, NoteSignature, Origin, VerifierKey};

use crate::backend::Source;

/// A way to one witness: over HTTP, or in the same process.
///
/// # Contract
///
/// 1. [`add_checkpoint`](WitnessClient::add_checkpoint) is what the protocol says: the witness stores the new checkpoint durably,
///    atomically in place of the one of the old size, before it answers a cosignature.
/// 2. Answers need not be verified here; whoever asked verifies them.
/// 3. Every call ends within a time of the implementation's choice.
/// 4. Dropping a future leaves the witness with the old checkpoint or the new one.
#[async_trait]
pub trait WitnessClient: fmt::Debug + Send + Sync + 'static {
    /// The key that the witness cosigns with.
    fn verifier(&self) -> &VerifierKey;

    /// Asks for a cosignature.
    ///
    /// # Errors
    /// [`WitnessError`] if none was given; the witness may have stored the checkpoint all the same.
    async fn add_checkpoint(&self, request: AddCheckpoint) -> Result<WitnessAnswer, WitnessError>;

    /// The checkpoint that the witness holds of a log, as a signed note; `None` if it says that it holds none.
    ///
    /// # Errors
    /// [`WitnessError`] if that cannot be told.
    async fn held(&self, origin: &Origin) -> Result<Option<Vec<u8>>, WitnessError>;
}

/// What a witness says to a request for a cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// It has cosigned; the signature lines are not verified.
    Cosigned(Vec<NoteSignature>),
    /// It holds a checkpoint of this size, not of the old size it was told; 0 if it holds none.
    Holds(u64),
}

/// A witness gave no cosignature, or does not say what it holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// It could not be reached, or did not answer in time.
    #[error("witness {witness} could not be reached")]
    Unavailable {
        /// Name of its key.
        witness: KeyName,
        /// What went wrong.
        #[source]
        source: Source,
    },
    /// It refused.
    #[error("witness {witness} refused with status {status}")]
    Refused {
        /// Name of its key.
        witness: KeyName,
        /// The HTTP status: 404 it does not know the log, 403 it does not accept the signature, 422 the proof.
        status: u16,
    },
    /// Its answer is not one of the protocol, too long, or not signed by its key.
    #[error("witness {witness} answered something else than it should")]
    Malformed {
        /// Name of its key.
        witness: KeyName,
    },
    /// It holds a larger checkpoint than the log has: the log was rolled back, or another process is ahead.
    #[error("witness {witness} says that it holds a checkpoint of size {held}, and was asked to cosign size {size}")]
    Ahead {
        /// Name of its key.
        witness: KeyName,
        /// The size it says it holds; not verified.
        held: u64,
        /// The size it was asked for.
        size: u64,
    },
    /// The size it says it holds changes faster than it can be proved from.
    #[error("witness {witness} does not settle on what it holds")]
    Unsettled {
        /// Name of its key.
        witness: KeyName,
    },
    /// The consistency proof could not be made.
    #[error("no proof could be made for witness {witness}")]
    Proof {
        /// Name of its key.
        witness: KeyName,
        /// What went wrong.
        #[source]
        source: Source,
    },
}
