//! AI agents: who owns one, what set it off, for whom it acts and which workload receives the privilege (INV-16).

use serde::{Deserialize, Serialize};

use crate::{
    digest::ExternalDigest,
    principal::{Identity, PrincipalId, SpiffeId},
    text::{Code, ExternalId, ModelName, SystemName, Version},
    time::Timestamp,
};

/// The most hops between the principal acted for and the agent.
pub const MAX_CHAIN: usize = 16;

/// A delegation chain is too long or names somebody twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// More than [`MAX_CHAIN`] hops.
    #[error("delegation chain longer than {MAX_CHAIN} hops")]
    TooDeep,
    /// Somebody appears twice.
    #[error("delegation chain names {0} twice")]
    Cycle(PrincipalId),
}

/// What set an agent off: the event, where it came from, and the digest of its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitiatingEvent {
    /// What kind of event, `chat_message` for example.
    pub kind: Code,
    /// The system it came from.
    pub source: SystemName,
    /// Its id there.
    pub id: ExternalId,
    /// When it happened.
    pub at: Timestamp,
    /// SHA-256 of its content.
    pub digest: ExternalDigest,
}

/// A call of a tool, named by the digest of its arguments and never by the arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool.
    pub tool: Code,
    /// SHA-256 of the arguments.
    pub arguments: ExternalDigest,
}

/// For whom an agent acts, and through whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "DelegationParts", into = "DelegationParts")]
pub struct Delegation {
    principal: PrincipalId,
    through: Vec<PrincipalId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DelegationParts {
    principal: PrincipalId,
    through: Vec<PrincipalId>,
}

impl Delegation {
    /// A delegation from `principal` to the agent, by way of `through` (in order, empty for one hop).
    ///
    /// # Errors
    /// [`DelegationError`] if the chain is too long or names somebody twice.
    pub fn new(principal: PrincipalId, through: Vec<PrincipalId>) -> Result<Self, DelegationError> {
        if through.len() >= MAX_CHAIN {
            return Err(DelegationError::TooDeep);
        }
        let mut seen = vec![&principal];
        for hop in &through {
            if seen.contains(&hop) {
                return Err(DelegationError::Cycle(hop.clone()));
            }
            seen.push(hop);
        }
        Ok(Self { principal, through })
    }

    /// The principal acted for.
    #[must_use]
    pub fn principal(&self) -> &PrincipalId {
        &self.principal
    }

    /// The actors between the principal and the agent.
    #[must_use]
    pub fn through(&self) -> &[PrincipalId] {
        &self.through
    }
}

impl TryFrom<DelegationParts> for Delegation {
    type Error = DelegationError;
    fn try_from(parts: DelegationParts) -> Result<Self, DelegationError> {
        Self::new(parts.principal, parts.through)
    }
}

impl From<Delegation> for DelegationParts {
    fn from(d: Delegation) -> Self {
        Self { principal: d.principal, through: d.through }
    }
}

/// On whose behalf an agent acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentMode {
    /// On nobody's but its owner's.
    Autonomous,
    /// On a principal's.
    OnBehalfOf(Delegation),
}

impl AgentMode {
    /// Everyone in the chain above the agent.
    pub fn principals(&self) -> impl Iterator<Item = &PrincipalId> {
        let delegation = match self {
            Self::Autonomous => None,
            Self::OnBehalfOf(delegation) => Some(delegation),
        };
        delegation.into_iter().flat_map(|d| std::iter::once(&d.principal).chain(&d.through))
    }
}

/// An AI agent. Owner, initiating event, task and workload identity are arguments of the constructor: without them
/// there is no accountable agent (INV-16).
///
/// ```compile_fail
/// # fn f(identity: jit_core::Identity) {
/// let agent = jit_core::Agent::new(identity); // an agent without an owner does not compile
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    identity: Identity,
    instance: Option<ExternalId>,
    owner: Identity,
    version: Version,
    model: ModelName,
    mode: AgentMode,
    initiating_event: InitiatingEvent,
    task: ExternalId,
    workload: SpiffeId,
    tool_call: Option<ToolCall>,
}

/// What software an agent is: its version and its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentBuild {
    /// The version of the agent.
    pub version: Version,
    /// The model it runs on.
    pub model: ModelName,
}

impl Agent {
    /// An agent with everything that makes its acts accountable. `task` is an id, not a prompt: it is kept.
    ///
    /// # Errors
    /// [`DelegationError::Cycle`] if the agent itself stands in its own chain.
    pub fn new(
        identity: Identity,
        owner: Identity,
        build: AgentBuild,
        mode: AgentMode,
        initiating_event: InitiatingEvent,
        task: ExternalId,
        workload: SpiffeId,
    ) -> Result<Self, DelegationError> {
        let own = PrincipalId::Identity(identity.clone());
        if mode.principals().any(|p| *p == own) {
            return Err(DelegationError::Cycle(own));
        }
        let AgentBuild { version, model } = build;
        Ok(Self {
            identity,
            instance: None,
            owner,
            version,
            model,
            mode,
            initiating_event,
            task,
            workload,
            tool_call: None,
        })
    }

    /// Names the running instance.
    #[must_use]
    pub fn with_instance(mut self, instance: ExternalId) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Names the tool call that needs the access.
    #[must_use]
    pub fn with_tool_call(mut self, call: ToolCall) -> Self {
        self.tool_call = Some(call);
        self
    }

    /// The agent's durable identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The person or team accountable for it.
    #[must_use]
    pub fn owner(&self) -> &Identity {
        &self.owner
    }

    /// The version of the agent.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The model it runs on.
    #[must_use]
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// On whose behalf it acts.
    #[must_use]
    pub fn mode(&self) -> &AgentMode {
        &self.mode
    }

    /// What set it off.
    #[must_use]
    pub fn initiating_event(&self) -> &InitiatingEvent {
        &self.initiating_event
    }

    /// The task it is on, by its id; prompts and descriptions are personal and do not belong here.
    #[must_use]
    pub fn task(&self) -> &ExternalId {
        &self.task
    }

    /// The workload identity that receives the privilege.
    #[must_use]
    pub fn workload(&self) -> &SpiffeId {
        &self.workload
    }

    /// The running instance, if named.
    #[must_use]
    pub fn instance(&self) -> Option<&ExternalId> {
        self.instance.as_ref()
    }

    /// The tool call that needs the access, if named.
    #[must_use]
    pub fn tool_call(&self) -> Option<&ToolCall> {
        self.tool_call.as_ref()
    }
}
