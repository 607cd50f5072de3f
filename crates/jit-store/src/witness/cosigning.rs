//! Collecting cosignatures until they meet a quorum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jit_log::{
    AddCheckpoint, ConsistencyProof, KeyName, Note, NoteError, NoteSignature, TrustError, TrustPolicy,
    VerifiedCheckpoint, VerifierKey,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::backend::Backend;
use crate::tree::consistency;
use crate::witness::client::{WitnessAnswer, WitnessClient, WitnessError};

/// How often a witness is asked that held something else than expected.
const ATTEMPTS: usize = 3;

/// Which witnesses must have cosigned, and how they are reached.
///
/// ```
/// use std::sync::Arc;
///
/// use jit_log::{CosignerKey, KeyName, SignerKey, TrustPolicy};
/// use jit_store::{Cosigning, CosigningError};
///
/// let log = SignerKey::from_seed(KeyName::parse("example.org/evidence")?, [1; 32]);
/// let witness = CosignerKey::from_seed(KeyName::parse("witness.example/w1")?, [2; 32]);
/// let policy = format!("log {}\nwitness w1 {}\nquorum w1\n", log.verifier(), witness.verifier());
/// // Nobody was named who could be asked.
/// let cosigning = Cosigning::new(TrustPolicy::parse(&policy)?, vec![]);
/// assert!(matches!(cosigning, Err(CosigningError::OutOfReach { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cosigning {
    policy: Arc<TrustPolicy>,
    seats: Vec<Arc<Seat>>,
    timeout: Duration,
}

/// One witness, and the size that it was last known to hold.
#[derive(Debug)]
struct Seat {
    client: Arc<dyn WitnessClient>,
    held: AtomicU64,
}

impl Cosigning {
    /// Demands the quorum of `policy`, which also becomes what readers of the log are told to trust, and asks `witnesses`.
    ///
    /// # Errors
    /// [`CosigningError`] if these witnesses can never meet the quorum, or there is none.
    pub fn new(policy: TrustPolicy, witnesses: Vec<Arc<dyn WitnessClient>>) -> Result<Self, CosigningError> {
        let quorum = policy.quorum_name().ok_or(CosigningError::NoQuorum)?.to_owned();
        let keys: Vec<VerifierKey> = witnesses.iter().map(|client| client.verifier().clone()).collect();
        if let Some(key) = keys.iter().find(|key| policy.witness_keys().all(|known| known != *key)) {
            return Err(CosigningError::UnknownWitness { witness: key.name().clone() });
        }
        if !policy.is_met_by(&keys) {
            return Err(CosigningError::OutOfReach { quorum });
        }
        let seats = witnesses.into_iter().map(|client| Arc::new(Seat { client, held: AtomicU64::new(0) })).collect();
        Ok(Self { policy: Arc::new(policy), seats, timeout: Duration::from_secs(10) })
    }

    /// How long to wait for a quorum, altogether. The default is ten seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn policy(&self) -> &TrustPolicy {
        &self.policy
    }

    pub(crate) fn patience(&self) -> Duration {
        self.timeout
    }

    /// Asks all witnesses at once, and returns the checkpoint with their cosignatures as soon as those meet the quorum.
    pub(crate) async fn cosign(
        &self,
        backend: &Arc<dyn Backend>,
        signed: &VerifiedCheckpoint,
    ) -> Result<VerifiedCheckpoint, CosignError> {
        let note = Note::parse(signed.note())?;
        let size = signed.checkpoint().size();
        let mut asked = JoinSet::new();
        for seat in &self.seats {
            let (seat, backend, note) = (Arc::clone(seat), Arc::clone(backend), note.clone());
            asked.spawn(async move { seat.ask(&*backend, &note, size).await });
        }
        let deadline = Instant::now().checked_add(self.timeout);
        let (mut cosigned, mut keys, mut failures) = (note, Vec::new(), Vec::new());
        loop {
            let next = match deadline {
                Some(deadline) => timeout_at(deadline, asked.join_next()).await,
                None => Ok(asked.join_next().await),
            };
            match next {
                Ok(Some(Ok(Ok((key, line))))) => {
                    cosigned.push(line)?;
                    keys.push(key);
                    if self.policy.is_met_by(&keys) {
                        return Ok(self.policy.verify(&cosigned.to_bytes())?);
                    }
                }
                Ok(Some(Ok(Err(failure)))) => failures.push(failure),
                // A client that panicked has not cosigned.
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let quorum = self.policy.quorum_name().unwrap_or_default().to_owned();
        let silent = self.seats.len().saturating_sub(keys.len()).saturating_sub(failures.len());
        Err(CosignError::Quorum { quorum, size, cosigned: keys.len(), silent, failures })
    }
}

impl Seat {
    /// Asks for a cosignature, from the size that the witness holds, and verifies it.
    async fn ask(
        &self,
        backend: &dyn Backend,
        note: &Note,
        size: u64,
    ) -> Result<(VerifierKey, NoteSignature), WitnessError> {
        let key = self.client.verifier();
        let mut old = self.held.load(Ordering::Relaxed).min(size);
        for _ in 0..ATTEMPTS {
            match self.client.add_checkpoint(request(key.name(), backend, old, size, note).await?).await? {
                WitnessAnswer::Cosigned(lines) => {
                    self.held.store(size, Ordering::Relaxed);
                    let line = lines.into_iter().find(|line| is_by(note, line, key));
                    let line = line.ok_or_else(|| WitnessError::Malformed { witness: key.name().clone() })?;
                    return Ok((key.clone(), line));
                }
                WitnessAnswer::Holds(held) if held > size => {
                    return Err(WitnessError::Ahead { witness: key.name().clone(), held, size });
                }
                WitnessAnswer::Holds(held) => old = held,
            }
        }
        Err(WitnessError::Unsettled { witness: key.name().clone() })
    }
}

/// A request to cosign `note`, of the tree of `new` leaves, with the proof from `old`, which is not larger.
pub(super) async fn request(
    witness: &KeyName,
    backend: &dyn Backend,
    old: u64,
    new: u64,
    note: &Note,
) -> Result<AddCheckpoint, WitnessError> {
    let failed = |source| WitnessError::Proof { witness: witness.clone(), source };
    let proof = if old == 0 {
        ConsistencyProof::from_hashes(Vec::new()).map_err(|error| failed(error.into()))?
    } else {
        consistency(backend, old, new).await.map_err(|error| failed(error.into()))?
    };
    AddCheckpoint::new(old, proof, note.clone()).map_err(|error| failed(error.into()))
}

/// Whether the line is this key's signature on the note.
pub(super) fn is_by(note: &Note, line: &NoteSignature, key: &VerifierKey) -> bool {
    let mut with = note.clone();
    with.push(line.clone()).is_ok() && with.verify([key]).is_ok()
}

/// Why a log cannot be told to collect cosignatures so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CosigningError {
    /// The policy asks for no witness.
    #[error("the policy has quorum none")]
    NoQuorum,
    /// A witness is to be asked that the policy does not know.
    #[error("the policy does not know witness {witness}")]
    UnknownWitness {
        /// Name of its key.
        witness: KeyName,
    },
    /// Even if all witnesses cosign, the quorum is not met.
    #[error("the given witnesses cannot meet quorum {quorum}")]
    OutOfReach {
        /// Name of the witness or group that the policy asks for.
        quorum: String,
    },
}

/// Too few witnesses cosigned a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CosignError {
    /// The quorum was not met in time.
    #[error(
        "quorum {quorum} for size {size} is not met: {cosigned} cosigned, {silent} did not answer, {} failed{}",
        failures.len(),
        first(failures)
    )]
    Quorum {
        /// Name of the witness or group that the policy asks for.
        quorum: String,
        /// Size of the checkpoint.
        size: u64,
        /// How many witnesses cosigned.
        cosigned: usize,
        /// How many had not answered when time was up.
        silent: usize,
        /// What the others said.
        failures: Vec<WitnessError>,
    },
    /// The cosignatures do not fit on the note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The cosigned checkpoint does not verify.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

fn first(failures: &[WitnessError]) -> String {
    failures.first().map(|failure| format!(", first: {failure}")).unwrap_or_default()
}
