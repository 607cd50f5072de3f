//! Trust policies: which logs to believe, and how many witnesses it takes (C2SP tlog-policy).

use std::fmt::{self, Write as _};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::Cosignature;
use crate::key::{SignatureType, VerifierKey};
use crate::note::{Note, NoteError};
use crate::origin::Origin;
use crate::policy_file::{self, NO_QUORUM, PolicyError, PolicyLineError};
use crate::policy_quorum::{Group, Member, Quorum};

/// What an offline verifier trusts. The only way to a [`VerifiedCheckpoint`].
///
/// A checkpoint must be signed by a key of its log and cosigned by witnesses that meet the quorum. Several keys of one
/// origin are allowed, for rotation.
///
/// ```
/// use jit_log::{Checkpoint, CosignatureTime, CosignerKey, Hash, KeyName, Origin, SignerKey, TrustError, TrustPolicy};
///
/// let origin = Origin::parse("example.org/log")?;
/// let key = SignerKey::from_seed(&origin, [7; 32]);
/// let witness = CosignerKey::from_seed(KeyName::parse("witness.example/w1")?, [8; 32]);
/// let policy = TrustPolicy::parse(&format!(
///     "log {}\nwitness w1 {}\nquorum w1\n",
///     key.verifier(),
///     witness.verifier(),
/// ))?;
///
/// let checkpoint = Checkpoint::new(origin, 0, Hash::EMPTY_ROOT)?;
/// let mut note = checkpoint.sign(&[&key])?;
/// assert!(matches!(policy.verify(&note.to_bytes()), Err(TrustError::QuorumNotMet { .. })));
///
/// let time = CosignatureTime::from_unix_seconds(1_700_000_000).ok_or("too late")?;
/// note.push(witness.cosign(&checkpoint, time))?;
/// let verified = policy.verify(&note.to_bytes())?;
/// assert_eq!(verified.cosignatures()[0].time(), time);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    pub(crate) logs: Vec<Log>,
    pub(crate) witnesses: Vec<PolicyWitness>,
    pub(crate) groups: Vec<Group>,
    pub(crate) quorum: Quorum,
}

/// A `log` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) key: VerifierKey,
    pub(crate) url: Option<String>,
}

/// A witness as a policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWitness {
    pub(crate) name: String,
    pub(crate) key: VerifierKey,
    pub(crate) url: Option<String>,
}

impl PolicyWitness {
    /// Its name within the policy, which need not be that of its key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key it cosigns with.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Where it takes checkpoints, verbatim from the policy.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

impl TrustPolicy {
    /// The policy that trusts one log key and asks for no witness.
    ///
    /// # Errors
    ///
    /// [`PolicyLineError::LogKeyType`] if the key is not of type [`SignatureType::Ed25519`].
    pub fn new_log_only(key: VerifierKey) -> Result<Self, PolicyLineError> {
        if key.signature_type() != SignatureType::Ed25519 {
            return Err(PolicyLineError::LogKeyType);
        }
        Ok(Self { logs: vec![Log { key, url: None }], witnesses: Vec::new(), groups: Vec::new(), quorum: Quorum::None })
    }

    /// Parses a policy file.
    ///
    /// Stricter than the format in two points: the file must be UTF-8, and one public key may not
    /// serve as log and as witness.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] names the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        policy_file::parse(text)
    }

    /// The same logs and witnesses, without the demand that any witness has cosigned: what tells whether a log has signed.
    #[must_use]
    pub fn without_quorum(&self) -> Self {
        Self { quorum: Quorum::None, ..self.clone() }
    }

    /// The policy as a file, in a canonical layout without comments.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for log in &self.logs {
            let _ = writeln!(text, "log {}{}", log.key, Url(&log.url));
        }
        for witness in &self.witnesses {
            let PolicyWitness { name, key, url } = witness;
            let _ = writeln!(text, "witness {name} {key}{}", Url(url));
        }
        for group in &self.groups {
            let _ = write!(text, "group {} {}", group.name, group.threshold);
            for member in &group.members {
                let _ = write!(text, " {}", self.name(*member));
            }
            text.push('\n');
        }
        let _ = writeln!(text, "quorum {}", self.quorum_name().unwrap_or(NO_QUORUM));
        text
    }

    /// The name of the witness or group that must have cosigned; `None` if the policy asks for no witness.
    #[must_use]
    pub fn quorum_name(&self) -> Option<&str> {
        match self.quorum {
            Quorum::None => None,
            Quorum::Of(member) => Some(self.name(member)),
        }
    }

    /// The keys of the trusted logs.
    pub fn log_keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.logs.iter().map(|log| &log.key)
    }

    /// The keys of the known witnesses.
    pub fn witness_keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.witnesses.iter().map(|witness| &witness.key)
    }

    /// The known witnesses, in the order of the file.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether cosignatures under these keys would meet the quorum; keys that are not of a known witness do not count.
    #[must_use]
    pub fn is_met_by(&self, keys: &[VerifierKey]) -> bool {
        let cosigned: Vec<bool> = self.witnesses.iter().map(|witness| keys.contains(&witness.key)).collect();
        self.quorum.is_met(&self.groups, &cosigned)
    }

    /// Verifies a signed checkpoint: its origin is that of a trusted log, a key of that log has signed it, the
    /// cosignatures on it meet the quorum, and no known key's signature on it is wrong.
    ///
    /// # Errors
    ///
    /// [`TrustError::QuorumNotMet`] if all is well but for the number of cosignatures; otherwise what is wrong with the
    /// note, the checkpoint or its signatures.
    pub fn verify(&self, note: &[u8]) -> Result<VerifiedCheckpoint, TrustError> {
        let parsed = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(parsed.text())?;
        if !self.log_keys().any(|key| key.name() == checkpoint.origin()) {
            return Err(TrustError::UnknownLog { origin: checkpoint.origin().clone() });
        }
        let verified = parsed.verify(self.log_keys().chain(self.witness_keys()))?;
        let log_keys: Vec<_> = verified
            .iter()
            .map(|signature| signature.key())
            .filter(|key| key.signature_type() == SignatureType::Ed25519)
            .filter(|key| key.name() == checkpoint.origin())
            .cloned()
            .collect();
        if log_keys.is_empty() {
            return Err(TrustError::NotSignedByLog { origin: checkpoint.origin().clone() });
        }
        let cosigned: Vec<bool> = self
            .witnesses
            .iter()
            .map(|witness| verified.iter().any(|signature| *signature.key() == witness.key))
            .collect();
        if let (false, Some(quorum)) = (self.quorum.is_met(&self.groups, &cosigned), self.quorum_name()) {
            let cosigned = cosigned.iter().filter(|cosigned| **cosigned).count();
            return Err(TrustError::QuorumNotMet { quorum: quorum.to_owned(), cosigned });
        }
        let cosignatures = verified
            .iter()
            .filter_map(|signature| Some(Cosignature::new(signature.key(), signature.time()?)))
            .collect();
        Ok(VerifiedCheckpoint { checkpoint, note: note.to_vec(), log_keys, cosignatures })
    }
}

impl TrustPolicy {
    /// The name of a witness or group of this policy.
    fn name(&self, member: Member) -> &str {
        let name = match member {
            Member::Witness(at) => self.witnesses.get(at).map(|witness| &witness.name),
            Member::Group(at) => self.groups.get(at).map(|group| &group.name),
        };
        // Members are made by the parser alone, which has defined each.
        name.map_or("", String::as_str)
    }
}

/// A checkpoint that a [`TrustPolicy`] has accepted. Nothing else makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    note: Vec<u8>,
    log_keys: Vec<VerifierKey>,
    cosignatures: Vec<Cosignature>,
}

impl VerifiedCheckpoint {
    /// What the log signed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note, verbatim.
    #[must_use]
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// The keys of the log that signed it; at least one.
    #[must_use]
    pub fn log_keys(&self) -> &[VerifierKey] {
        &self.log_keys
    }

    /// The verified cosignatures of witnesses that the policy knows.
    #[must_use]
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }
}

struct Url<'a>(&'a Option<String>);

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|url| write!(f, " {url}"))
    }
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The log has signed, but too few of the known witnesses have cosigned.
    #[error("quorum {quorum} is not met by the {cosigned} known witnesses that have cosigned")]
    QuorumNotMet {
        /// Name of the witness or group that the policy asks for.
        quorum: String,
        /// How many known witnesses have cosigned, in whatever groups.
        cosigned: usize,
    },
    /// The note is malformed, or a known key's signature on it is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The policy has no key of this log.
    #[error("log {origin} is not trusted")]
    UnknownLog {
        /// Origin of the checkpoint.
        origin: Origin,
    },
    /// None of the log's own keys has signed.
    #[error("checkpoint is not signed by a key of {origin}")]
    NotSignedByLog {
        /// Origin of the checkpoint.
        origin: Origin,
    },
}
