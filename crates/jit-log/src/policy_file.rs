//! How a trust policy is written (C2SP tlog-policy).

use std::collections::{BTreeMap, BTreeSet};

use crate::decimal;
use crate::key::{KeyError, SignatureType, VerifierKey};
use crate::policy::{Log, PolicyWitness, TrustPolicy};
use crate::policy_quorum::{Group, Member, Quorum};

pub(crate) const NO_QUORUM: &str = "none";

/// Longest policy accepted, in bytes.
pub const MAX_POLICY_LEN: usize = 1 << 20;

pub(crate) fn parse(text: &str) -> Result<TrustPolicy, PolicyError> {
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
    Ok(TrustPolicy {
        logs: parser.logs,
        witnesses: parser.witnesses,
        groups: parser.groups,
        quorum: parser.quorum.ok_or(PolicyError::NoQuorum)?,
    })
}

#[derive(Default)]
struct Parser {
    logs: Vec<Log>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    keys: BTreeSet<[u8; 32]>,
    /// What each name stands for, and whether it is a member of a group already.
    names: BTreeMap<String, (Member, bool)>,
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
        self.claim_name(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness { name: name.to_owned(), key, url: url.map(|url| (*url).to_owned()) });
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
        let mut resolved = Vec::with_capacity(members.len());
        for member in members {
            let unknown = || PolicyLineError::UnknownName((*member).to_owned());
            let (place, taken) = self.names.get_mut(*member).ok_or_else(unknown)?;
            if std::mem::replace(taken, true) {
                return Err(PolicyLineError::MemberTwice((*member).to_owned()));
            }
            resolved.push(*place);
        }
        self.claim_name(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: name.to_owned(), threshold, members: resolved });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), PolicyLineError> {
        let quorum = if name == NO_QUORUM {
            Quorum::None
        } else if let Some((member, _)) = self.names.get(name) {
            Quorum::Of(*member)
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

    fn claim_name(&mut self, name: &str, member: Member) -> Result<(), PolicyLineError> {
        if name == NO_QUORUM || self.names.insert(name.to_owned(), (member, false)).is_some() {
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
