//! Trust policies: which logs to believe, and how many witnesses it takes (C2SP tlog-policy).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::Cosignature;
use crate::decimal;
use crate::key::{KeyError, SignatureType, VerifierKey};
use crate::note::{Note, NoteError};
use crate::origin::Origin;

/// Longest policy accepted, in bytes.
pub const MAX_POLICY_LEN: usize = 1 << 20;

/// What an offline verifier trusts. The only way to a [`VerifiedCheckpoint`].
///
/// Every line of the format is parsed and checked. What is *evaluated* here are log keys and
/// `quorum none`; a policy with any other quorum parses, and then refuses every checkpoint.
/// Several keys of one origin are allowed, for rotation.
///
/// ```
/// use jit_log::{Checkpoint, Hash, Origin, SignerKey, TrustPolicy};
///
/// let origin = Origin::parse("example.org/log")?;
/// let key = SignerKey::from_seed(&origin, [7; 32]);
/// let policy = TrustPolicy::parse(&format!("log {}\nquorum none\n", key.verifier()))?;
///
/// let note = Checkpoint::new(origin, 0, Hash::EMPTY_ROOT)?.sign(&[&key])?;
/// let verified = policy.verify(&note.to_bytes())?;
/// assert_eq!(verified.checkpoint().size(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Log {
    key: VerifierKey,
    url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Witness {
    name: String,
    key: VerifierKey,
    url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    threshold: u64,
    members: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Quorum {
    None,
    Named(String),
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
        if text.len() > MAX_POLICY_LEN {
            return Err(PolicyError::TooLong { bytes: text.len() });
        }
        let text = match text {
            "" => "",
            _ => text.strip_suffix('\n').ok_or(PolicyError::Unterminated)?,
        };
        let mut parser = Parser::default();
        for (content, line) in text.split('\n').zip(1..) {
            parser.line(content).map_err(|source| PolicyError::Line { line, source })?;
        }
        Ok(Self {
            logs: parser.logs,
            witnesses: parser.witnesses,
            groups: parser.groups,
            quorum: parser.quorum.ok_or(PolicyError::NoQuorum)?,
        })
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
            let Witness { name, key, url } = witness;
            let _ = writeln!(text, "witness {name} {key}{}", Url(url));
        }
        for group in &self.groups {
            let (name, threshold) = (&group.name, group.threshold);
            let _ = writeln!(text, "group {name} {threshold} {}", group.members.join(" "));
        }
        let quorum = match &self.quorum {
            Quorum::None => NO_QUORUM,
            Quorum::Named(name) => name,
        };
        let _ = writeln!(text, "quorum {quorum}");
        text
    }

    /// The keys of the trusted logs.
    pub fn log_keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.logs.iter().map(|log| &log.key)
    }

    /// The keys of the known witnesses.
    pub fn witness_keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.witnesses.iter().map(|witness| &witness.key)
    }

    /// Verifies a signed checkpoint: its origin is that of a trusted log, a key of that log has
    /// signed it, and no known key's signature on it is wrong.
    ///
    /// # Errors
    ///
    /// [`TrustError::UnsupportedQuorum`] for any quorum but `none`; otherwise what is wrong with the
    /// note, the checkpoint or its signatures.
    pub fn verify(&self, note: &[u8]) -> Result<VerifiedCheckpoint, TrustError> {
        if let Quorum::Named(name) = &self.quorum {
            return Err(TrustError::UnsupportedQuorum { name: name.clone() });
        }
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
        let cosignatures = verified
            .iter()
            .filter_map(|signature| Some(Cosignature::new(signature.key(), signature.time()?)))
            .collect();
        Ok(VerifiedCheckpoint { checkpoint, note: note.to_vec(), log_keys, cosignatures })
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

const NO_QUORUM: &str = "none";

struct Url<'a>(&'a Option<String>);

impl std::fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|url| write!(f, " {url}"))
    }
}

#[derive(Default)]
struct Parser {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    keys: BTreeSet<[u8; 32]>,
    /// Names of witnesses and groups, and whether each is a member of a group already.
    names: BTreeMap<String, bool>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), PolicyLineError> {
        if line.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(PolicyLineError::ControlCharacter);
        }
        let mut items = line.split([' ', '\t']).filter(|item| !item.is_empty());
        let Some(keyword) = items.next() else {
            return Ok(());
        };
        if keyword.starts_with('#') {
            return Ok(());
        }
        let items: Vec<&str> = items.collect();
        match (keyword, items.as_slice()) {
            ("log", [key]) => self.log(key, None),
            ("log", [key, url]) => self.log(key, Some(url)),
            ("witness", [name, key]) => self.witness(name, key, None),
            ("witness", [name, key, url]) => self.witness(name, key, Some(url)),
            ("group", [name, threshold, members @ ..]) => self.group(name, threshold, members),
            ("quorum", [name]) => self.quorum(name),
            ("log" | "witness" | "group" | "quorum", _) => Err(PolicyLineError::Items),
            _ => Err(PolicyLineError::Keyword),
        }
    }

    fn log(&mut self, key: &str, url: Option<&&str>) -> Result<(), PolicyLineError> {
        let key = VerifierKey::parse(key)?;
        if key.signature_type() != SignatureType::Ed25519 {
            return Err(PolicyLineError::LogKeyType);
        }
        self.claim_key(&key)?;
        let url = url.map(|url| (*url).to_owned());
        self.logs.push(Log { key, url });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&&str>) -> Result<(), PolicyLineError> {
        let key = VerifierKey::parse(key)?;
        if key.signature_type() != SignatureType::CosignatureV1 {
            return Err(PolicyLineError::WitnessKeyType);
        }
        self.claim_key(&key)?;
        self.claim_name(name)?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: url.map(|url| (*url).to_owned()) });
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), PolicyLineError> {
        let count = members.len() as u64;
        let threshold = match threshold {
            "any" => Some(1),
            "all" => Some(count),
            number => decimal::parse(number),
        };
        let threshold =
            threshold.filter(|threshold| (1..=count).contains(threshold)).ok_or(PolicyLineError::Threshold)?;
        for member in members {
            let taken =
                self.names.get_mut(*member).ok_or_else(|| PolicyLineError::UnknownName((*member).to_owned()))?;
            if std::mem::replace(taken, true) {
                return Err(PolicyLineError::MemberTwice((*member).to_owned()));
            }
        }
        self.claim_name(name)?;
        self.groups.push(Group {
            name: name.to_owned(),
            threshold,
            members: members.iter().map(|member| (*member).to_owned()).collect(),
        });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), PolicyLineError> {
        let quorum = if name == NO_QUORUM {
            Quorum::None
        } else if self.names.contains_key(name) {
            Quorum::Named(name.to_owned())
        } else {
            return Err(PolicyLineError::UnknownName(name.to_owned()));
        };
        if self.quorum.replace(quorum).is_some() {
            return Err(PolicyLineError::SecondQuorum);
        }
        Ok(())
    }

    fn claim_key(&mut self, key: &VerifierKey) -> Result<(), PolicyLineError> {
        if !self.keys.insert(*key.public_key()) {
            return Err(PolicyLineError::DuplicateKey);
        }
        Ok(())
    }

    fn claim_name(&mut self, name: &str) -> Result<(), PolicyLineError> {
        if name == NO_QUORUM || self.names.insert(name.to_owned(), false).is_some() {
            return Err(PolicyLineError::DuplicateName(name.to_owned()));
        }
        Ok(())
    }
}

/// Why a text is not a [`TrustPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text exceeds [`MAX_POLICY_LEN`].
    #[error("policy has {bytes} bytes, at most {MAX_POLICY_LEN} are allowed")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// The last line does not end in a newline, as if the file were cut.
    #[error("last line of the policy does not end in a newline")]
    Unterminated,
    /// A line is wrong.
    #[error("line {line} of the policy: {source}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: PolicyLineError,
    },
    /// There is no quorum line.
    #[error("policy has no quorum line")]
    NoQuorum,
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyLineError {
    /// The line has a control character other than tab.
    #[error("control character")]
    ControlCharacter,
    /// The line does not start with `log`, `witness`, `group` or `quorum`.
    #[error("unknown keyword")]
    Keyword,
    /// The line has too few or too many items for its keyword.
    #[error("wrong number of items")]
    Items,
    /// The key is not a vkey.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key of a log is not of type [`SignatureType::Ed25519`].
    #[error("key of a log is not of type 0x01")]
    LogKeyType,
    /// The key of a witness is not of type [`SignatureType::CosignatureV1`].
    #[error("key of a witness is not of type 0x04")]
    WitnessKeyType,
    /// The public key is on an earlier line.
    #[error("public key is used twice")]
    DuplicateKey,
    /// The name is that of an earlier witness or group, or `none`.
    #[error("name {0} is taken")]
    DuplicateName(String),
    /// The name is not that of an earlier witness or group.
    #[error("name {0} is not defined above")]
    UnknownName(String),
    /// The name is a member of a group already.
    #[error("{0} is a member of a group twice")]
    MemberTwice(String),
    /// The threshold is not `any`, `all` or a number from 1 to the number of members.
    #[error("threshold of a group is not any, all or 1 to the number of its members")]
    Threshold,
    /// There is a quorum line above.
    #[error("second quorum line")]
    SecondQuorum,
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The policy asks for witnesses, which is not evaluated here.
    #[error("quorum {name} is not supported, only none is")]
    UnsupportedQuorum {
        /// Name of the witness or group.
        name: String,
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
