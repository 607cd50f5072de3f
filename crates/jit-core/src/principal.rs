//! Who acts: people, workloads, agents, services and rules, each bound to a durable identity.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    agent::Agent,
    digest::PolicyDigest,
    text::{Issuer, RuleId, Subject, TextError},
};

/// A durable identity: a pseudonymous subject under the issuer that vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Who vouches for the subject.
    pub issuer: Issuer,
    /// The subject under that issuer.
    pub subject: Subject,
}

impl Identity {
    /// An identity from its two parts.
    ///
    /// # Errors
    /// [`TextError`] if a part is blank, too long or has a character that is not allowed.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Result<Self, TextError> {
        Ok(Self { issuer: Issuer::new(issuer)?, subject: Subject::new(subject)? })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.issuer, self.subject)
    }
}

/// A text is not a SPIFFE id (SPIFFE-ID specification, section 2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SPIFFE id of the form spiffe://trust-domain/path")]
pub struct SpiffeIdError;

/// A workload identity, `spiffe://<trust domain>/<path>` (SPIFFE-ID specification, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId(String);

impl SpiffeId {
    /// The id as a URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;
    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        let rest = text.strip_prefix("spiffe://").ok_or(SpiffeIdError)?;
        let (domain, path) = rest.split_once('/').ok_or(SpiffeIdError)?;
        let domain_ok = !domain.is_empty()
            && domain.len() <= 255
            && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
        let path_ok = path.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        });
        if domain_ok && path_ok && text.len() <= 2048 { Ok(Self(text.to_owned())) } else { Err(SpiffeIdError) }
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;
    fn try_from(text: String) -> Result<Self, SpiffeIdError> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> String {
        id.0
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Someone or something that asks for, approves or ends access.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Principal {
    /// A person.
    Human {
        /// The durable identity.
        identity: Identity,
    },
    /// A workload with a SPIFFE id.
    Workload {
        /// The workload identity.
        spiffe_id: SpiffeId,
    },
    /// An AI agent, with everything that makes its acts accountable.
    Agent(Box<Agent>),
    /// A service account or system.
    Service {
        /// The durable identity.
        identity: Identity,
    },
    /// A rule of a policy, when it approves by itself.
    Rule {
        /// The rule.
        rule: RuleId,
        /// The snapshot it stands in.
        policy: PolicyDigest,
    },
}

/// The identity of a principal, by which two acts are recognised as one actor's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalId {
    /// A subject under an issuer.
    Identity(Identity),
    /// A workload.
    Workload(SpiffeId),
    /// A rule.
    Rule(RuleId),
}

impl Principal {
    /// A person.
    #[must_use]
    pub fn human(identity: Identity) -> Self {
        Self::Human { identity }
    }

    /// The identity by which acts are attributed.
    #[must_use]
    pub fn id(&self) -> PrincipalId {
        match self {
            Self::Human { identity } | Self::Service { identity } => PrincipalId::Identity(identity.clone()),
            Self::Workload { spiffe_id } => PrincipalId::Workload(spiffe_id.clone()),
            Self::Agent(agent) => PrincipalId::Identity(agent.identity().clone()),
            Self::Rule { rule, .. } => PrincipalId::Rule(rule.clone()),
        }
    }

    /// Who receives a privilege this principal asks for, unless the request names another.
    #[must_use]
    pub fn default_recipient(&self) -> PrincipalId {
        match self {
            Self::Agent(agent) => PrincipalId::Workload(agent.workload().clone()),
            other => other.id(),
        }
    }

    /// Who answers for an agent; it may not approve for it either, unless a policy says so (INV-07).
    #[must_use]
    pub fn owner(&self) -> Option<PrincipalId> {
        match self {
            Self::Agent(agent) => Some(PrincipalId::Identity(agent.owner().clone())),
            _ => None,
        }
    }

    /// Everyone whose interest this principal's acts serve, itself included: none of them may approve for it (INV-07).
    #[must_use]
    pub fn interested(&self) -> Vec<PrincipalId> {
        let mut all = vec![self.id()];
        if let Self::Agent(agent) = self {
            all.push(PrincipalId::Workload(agent.workload().clone()));
            all.extend(agent.mode().principals().cloned());
        }
        all
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => fmt::Display::fmt(identity, f),
            Self::Workload(id) => fmt::Display::fmt(id, f),
            Self::Rule(rule) => write!(f, "rule|{rule}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_ids_are_strict() {
        assert!("spiffe://example.org/ns/prod/deployer".parse::<SpiffeId>().is_ok());
        for bad in
            ["spiffe://example.org", "spiffe:///x", "https://a/b", "spiffe://A/b", "spiffe://a/b/", "spiffe://a/../b"]
        {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }
}
