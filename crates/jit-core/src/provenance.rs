//! Who says so: for every value that a requester states about itself, who asserted it, and the tokens that vouched for it.
//!
//! An agent that says of itself who owns it is believed less than an identity provider whose signature was verified. The record keeps
//! the two apart: each [`Aspect`] of the requester is [`Asserted`] by somebody, or absent with a reason (INV-16).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    agent::{Agent, AgentBuild, AgentMode, DelegationError, InitiatingEvent, MAX_CHAIN, ToolCall},
    canonical::Text,
    digest::ExternalDigest,
    principal::{Identity, Principal, PrincipalId, SpiffeId},
    text::{Code, ExternalId, Issuer, Line, SystemName},
    time::Timestamp,
};

/// The most tokens one request may carry the facts of.
pub const MAX_TOKENS: usize = 8;

/// Who asserts a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AssertedBy {
    /// The requester itself; nobody checked it.
    Requester,
    /// The broker, which saw it itself.
    Broker,
    /// The issuer of a token that was verified, named by the token's digest.
    Token(ExternalDigest),
    /// An inventory that the broker asked.
    Registry(SystemName),
    /// Somebody who attested the software or machine.
    Attester(SystemName),
}

impl AssertedBy {
    /// Whether somebody else than the requester stands for it.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        *self != Self::Requester
    }
}

/// A value and who asserts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// The value.
    pub value: T,
    /// Who says so.
    pub by: AssertedBy,
}

impl<T> Stated<T> {
    /// What the requester says of itself.
    #[must_use]
    pub fn by_requester(value: T) -> Self {
        Self { value, by: AssertedBy::Requester }
    }

    /// What an inventory says.
    #[must_use]
    pub fn by_registry(value: T, registry: SystemName) -> Self {
        Self { value, by: AssertedBy::Registry(registry) }
    }
}

/// Why a value is absent (evidence format, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsenceKind {
    /// There is no such thing here.
    NotApplicable,
    /// It exists, and could not be had.
    NotAvailable,
    /// Whether it exists was not found out.
    NotEstablished,
}

/// An absence that is itself evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absence {
    /// What kind of absence.
    #[serde(rename = "$absent")]
    pub kind: AbsenceKind,
    /// Why, as a code.
    pub reason: Code,
}

/// A value that somebody asserts, or whose absence has a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaybeStated<T> {
    /// It is stated.
    Stated(Stated<T>),
    /// It is not.
    Absent(Absence),
}

impl<T> MaybeStated<T> {
    fn split(self) -> (Option<T>, Asserted) {
        match self {
            Self::Stated(Stated { value, by }) => (Some(value), Asserted::By { by }),
            Self::Absent(absence) => (None, Asserted::Absent(absence)),
        }
    }
}

/// Who asserted an aspect, or why it is absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Asserted {
    /// Somebody did.
    By {
        /// Who.
        by: AssertedBy,
    },
    /// Nobody did.
    Absent(Absence),
}

/// What is asserted of a requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Aspect {
    /// Who it is.
    Requester,
    /// For whom it acts, and through whom.
    Principal,
    /// Who is accountable for the agent.
    Owner,
    /// Which running instance it is.
    Instance,
    /// Its version and model.
    Build,
    /// What set it off.
    InitiatingEvent,
    /// The task it is on.
    Task,
    /// The workload identity that receives the privilege.
    Workload,
    /// The tool call that needs the access.
    ToolCall,
}

impl Aspect {
    /// What is asserted of an agent. Of anybody else it is [`Aspect::Requester`] alone.
    pub const OF_AGENTS: [Self; 9] = [
        Self::Requester,
        Self::Principal,
        Self::Owner,
        Self::Instance,
        Self::Build,
        Self::InitiatingEvent,
        Self::Task,
        Self::Workload,
        Self::ToolCall,
    ];

    /// Its name in records and facts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Principal => "principal",
            Self::Owner => "owner",
            Self::Instance => "instance",
            Self::Build => "build",
            Self::InitiatingEvent => "initiating_event",
            Self::Task => "task",
            Self::Workload => "workload",
            Self::ToolCall => "tool_call",
        }
    }
}

/// What is kept of a token that was verified: never the token, nor what could be used as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFacts {
    /// What kind of token, `oidc_id_token` for example.
    pub kind: Code,
    /// Whose signature was verified.
    pub issuer: Issuer,
    /// SHA-256 of the token as presented.
    pub digest: ExternalDigest,
    /// Its own id (`jti`), if it has one.
    pub id: Option<ExternalId>,
    /// The algorithm that verified it.
    pub algorithm: Code,
    /// The id of the key that verified it, if the token names one.
    pub key: Option<ExternalId>,
    /// Whom it is about.
    pub subject: PrincipalId,
    /// Who acts for the subject, the present actor first, as `act` nests them (RFC 8693 section 4.1).
    pub actors: Vec<PrincipalId>,
    /// When it was issued, if it says so.
    pub issued: Option<Timestamp>,
    /// When it expires.
    pub expires: Timestamp,
    /// What a transaction token says beyond that.
    pub transaction: Option<TransactionFacts>,
}

impl TokenFacts {
    /// Who presents it: the present actor, or the subject if nobody acts for it.
    #[must_use]
    pub fn presenter(&self) -> &PrincipalId {
        self.actors.first().unwrap_or(&self.subject)
    }
}

/// The kept claims of a transaction token (draft-ietf-oauth-transaction-tokens). `tctx` and `rctx` are personal and stay in its claims.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionFacts {
    /// The transaction (`txn`).
    pub txn: ExternalId,
    /// What it may be used for (`scope`, `purp` in older drafts).
    pub scope: Line,
    /// The workload that asked for the token (`req_wl`).
    pub workload: Option<ExternalId>,
}

/// The claims of a token, byte for byte. They are personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenClaims {
    /// The token.
    pub token: ExternalDigest,
    /// Its claims as it carried them: JSON, or a certificate in PEM.
    pub claims: Text,
}

/// A token that was verified: what is kept of it, and its claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// What is kept.
    pub facts: TokenFacts,
    /// Its claims, which are erasable.
    pub claims: Text,
}

/// Provenance does not fit the requester.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvenanceError {
    /// Nothing is said of an aspect that the requester has.
    #[error("nobody is named who asserts {0:?}, and no reason is given")]
    Unsaid(Aspect),
    /// An aspect is said to be absent and is there, or the reverse.
    #[error("{0:?} is not as the requester has it")]
    Contradicts(Aspect),
    /// A token is named that is not there.
    #[error("{aspect:?} is asserted by token {token}, which is not there")]
    UnknownToken {
        /// What it was to assert.
        aspect: Aspect,
        /// The token.
        token: ExternalDigest,
    },
    /// A token says something else.
    #[error("token {token} does not say {aspect:?}")]
    NotSaid {
        /// What it was to assert.
        aspect: Aspect,
        /// The token.
        token: ExternalDigest,
    },
    /// Claims are those of a token that is not named.
    #[error("there are claims of token {0}, which is not there")]
    StrayClaims(ExternalDigest),
    /// Too many tokens, or actors in one.
    #[error("more than {MAX_TOKENS} tokens, or {MAX_CHAIN} actors in one")]
    TooMany,
    /// The delegation chain does not construct.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
}

/// Who asserted what of a requester, and the tokens that were verified for it.
///
/// ```
/// use jit_core::*;
/// let person = Principal::human(Identity::new("idp.example", "u-1042")?);
/// // The broker itself authenticated the person, by a client certificate for example.
/// let provenance = Provenance::of_requester(&person, AssertedBy::Broker, Vec::new())?;
/// assert!(provenance.asserted()[&Aspect::Requester] == Asserted::By { by: AssertedBy::Broker });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    asserted: BTreeMap<Aspect, Asserted>,
    tokens: Vec<TokenFacts>,
}

impl Provenance {
    /// The provenance of a requester that is no agent.
    ///
    /// # Errors
    /// [`ProvenanceError`] if a token is named that is not there or is about somebody else.
    pub fn of_requester(
        requester: &Principal,
        by: AssertedBy,
        tokens: Vec<TokenFacts>,
    ) -> Result<Self, ProvenanceError> {
        let provenance = Self { asserted: [(Aspect::Requester, Asserted::By { by })].into(), tokens };
        provenance.check(requester)?;
        Ok(provenance)
    }

    /// Who asserted each aspect.
    #[must_use]
    pub fn asserted(&self) -> &BTreeMap<Aspect, Asserted> {
        &self.asserted
    }

    /// The tokens that were verified.
    #[must_use]
    pub fn tokens(&self) -> &[TokenFacts] {
        &self.tokens
    }

    /// Whether an aspect is asserted by somebody else than the requester.
    #[must_use]
    pub fn is_verified(&self, aspect: Aspect) -> bool {
        matches!(self.asserted.get(&aspect), Some(Asserted::By { by }) if by.is_verified())
    }

    /// Whether this is said of that requester, and the tokens say what they are named for.
    ///
    /// # Errors
    /// [`ProvenanceError`] naming the first aspect of which it is not so.
    pub fn check(&self, requester: &Principal) -> Result<(), ProvenanceError> {
        if self.tokens.len() > MAX_TOKENS || self.tokens.iter().any(|token| token.actors.len() > MAX_CHAIN) {
            return Err(ProvenanceError::TooMany);
        }
        let aspects: &[Aspect] = match requester {
            Principal::Agent(_) => &Aspect::OF_AGENTS,
            _ => &[Aspect::Requester],
        };
        if let Some(unsaid) = aspects.iter().find(|aspect| !self.asserted.contains_key(aspect)) {
            return Err(ProvenanceError::Unsaid(*unsaid));
        }
        for (aspect, asserted) in &self.asserted {
            let stated = aspects.contains(aspect).then(|| is_stated(requester, *aspect));
            match (stated, asserted) {
                (Some(true), Asserted::By { by: AssertedBy::Token(digest) }) => {
                    self.says(requester, *aspect, *digest)?
                }
                (Some(true), Asserted::By { .. }) | (Some(false), Asserted::Absent(_)) => {}
                _ => return Err(ProvenanceError::Contradicts(*aspect)),
            }
        }
        Ok(())
    }

    fn says(&self, requester: &Principal, aspect: Aspect, digest: ExternalDigest) -> Result<(), ProvenanceError> {
        let token = self.tokens.iter().find(|token| token.digest == digest);
        let token = token.ok_or(ProvenanceError::UnknownToken { aspect, token: digest })?;
        let said = match (aspect, requester) {
            (Aspect::Requester, _) => *token.presenter() == requester.id(),
            (Aspect::Principal, Principal::Agent(agent)) => names_chain(token, agent),
            (Aspect::Workload, Principal::Agent(agent)) => {
                *token.presenter() == PrincipalId::Workload(agent.workload().clone())
            }
            // Other claims have no one place in tokens; which claim it was, the claims show.
            _ => true,
        };
        if said { Ok(()) } else { Err(ProvenanceError::NotSaid { aspect, token: digest }) }
    }
}

fn is_stated(requester: &Principal, aspect: Aspect) -> bool {
    let Principal::Agent(agent) = requester else { return aspect == Aspect::Requester };
    match aspect {
        Aspect::Principal => matches!(agent.mode(), AgentMode::OnBehalfOf(_)),
        Aspect::Instance => agent.instance().is_some(),
        Aspect::ToolCall => agent.tool_call().is_some(),
        _ => true,
    }
}

/// Whether a token names exactly this agent's chain: the principal as subject, the agent as present actor, and in between the
/// same actors in the same order.
fn names_chain(token: &TokenFacts, agent: &Agent) -> bool {
    let AgentMode::OnBehalfOf(delegation) = agent.mode() else { return false };
    let own = PrincipalId::Identity(agent.identity().clone());
    let chain = std::iter::once(&own).chain(delegation.through().iter().rev());
    token.subject == *delegation.principal() && token.actors.iter().eq(chain)
}

/// Everything about an agent with who asserts it: the way to an [`Agent`] with its [`Provenance`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatement {
    /// The agent's durable identity.
    pub identity: Stated<Identity>,
    /// For whom it acts.
    pub mode: Stated<AgentMode>,
    /// The person or team accountable for it.
    pub owner: Stated<Identity>,
    /// Its version and model.
    pub build: Stated<AgentBuild>,
    /// What set it off.
    pub initiating_event: Stated<InitiatingEvent>,
    /// The task it is on, by its id.
    pub task: Stated<ExternalId>,
    /// The workload identity that receives the privilege.
    pub workload: Stated<SpiffeId>,
    /// The running instance.
    pub instance: MaybeStated<ExternalId>,
    /// The tool call that needs the access.
    pub tool_call: MaybeStated<ToolCall>,
}

impl AgentStatement {
    /// The agent, and who asserted what of it.
    ///
    /// # Errors
    /// [`ProvenanceError`] if the chain does not construct, or a token is named that does not say what it is named for.
    pub fn into_agent(self, tokens: Vec<TokenFacts>) -> Result<(Principal, Provenance), ProvenanceError> {
        let by = |by: AssertedBy| Asserted::By { by };
        let mode = match self.mode.value {
            AgentMode::Autonomous => {
                Asserted::Absent(Absence { kind: AbsenceKind::NotApplicable, reason: crate::code!("autonomous") })
            }
            AgentMode::OnBehalfOf(_) => by(self.mode.by),
        };
        let (instance, instance_by) = self.instance.split();
        let (tool_call, tool_call_by) = self.tool_call.split();
        let asserted = [
            (Aspect::Requester, by(self.identity.by)),
            (Aspect::Principal, mode),
            (Aspect::Owner, by(self.owner.by)),
            (Aspect::Instance, instance_by),
            (Aspect::Build, by(self.build.by)),
            (Aspect::InitiatingEvent, by(self.initiating_event.by)),
            (Aspect::Task, by(self.task.by)),
            (Aspect::Workload, by(self.workload.by)),
            (Aspect::ToolCall, tool_call_by),
        ];
        let mut agent = Agent::new(
            self.identity.value,
            self.owner.value,
            self.build.value,
            self.mode.value,
            self.initiating_event.value,
            self.task.value,
            self.workload.value,
        )?;
        if let Some(instance) = instance {
            agent = agent.with_instance(instance);
        }
        if let Some(call) = tool_call {
            agent = agent.with_tool_call(call);
        }
        let (principal, provenance) =
            (Principal::Agent(Box::new(agent)), Provenance { asserted: asserted.into(), tokens });
        provenance.check(&principal)?;
        Ok((principal, provenance))
    }
}
