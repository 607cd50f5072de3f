//! Who asks and who acts, as the input names them: a person `issuer|subject`, a workload by its SPIFFE id, an AI agent with
//! everything that makes it accountable.

use jit_core::{
    Agent, AgentBuild, AgentMode, Delegation, Identity, InitiatingEvent, Principal, PrincipalId, TextError, Timestamp,
    ToolCall,
};

use crate::members::{InputError, Members};

/// A person, or a workload if the text is a SPIFFE id.
pub(crate) fn actor(text: &str) -> Result<Principal, NameError> {
    if text.starts_with("spiffe://") {
        return Ok(Principal::Workload { spiffe_id: text.parse()? });
    }
    Ok(Principal::human(identity(text)?))
}

/// Reads the requester: exactly one of `human`, `workload` and `agent`.
pub(crate) fn requester(mut from: Members, asked_at: Timestamp) -> Result<Principal, InputError> {
    let human = from.optional_parsed("human", identity)?.map(Principal::human);
    let workload = from.optional_text("workload")?.map(|spiffe_id| Principal::Workload { spiffe_id });
    let agent = from.optional_object("agent")?.map(|agent| read_agent(agent, asked_at)).transpose()?;
    match (human, workload, agent) {
        (Some(one), None, None) | (None, Some(one), None) | (None, None, Some(one)) => {
            from.finish()?;
            Ok(one)
        }
        _ => Err(from.shape("requester", "one of `human`, `workload` and `agent`")),
    }
}

fn read_agent(mut from: Members, asked_at: Timestamp) -> Result<Principal, InputError> {
    let build = AgentBuild { version: from.text("version")?, model: from.text("model")? };
    let mode = match from.optional_parsed("on_behalf_of", identity)? {
        Some(principal) => {
            let one_hop = Delegation::new(PrincipalId::Identity(principal), Vec::new());
            AgentMode::OnBehalfOf(one_hop.map_err(|error| from.refused("on_behalf_of", &error))?)
        }
        None => AgentMode::Autonomous,
    };
    let event = initiating_event(from.object("initiating_event")?, asked_at)?;
    let tool_call = from.optional_object("tool_call")?.map(tool_call).transpose()?;
    let agent = Agent::new(
        from.parsed("id", identity)?,
        from.parsed("owner", identity)?,
        build,
        mode,
        event,
        from.text("task")?,
        from.text("workload")?,
    )
    .map_err(|error| from.refused("on_behalf_of", &error))?;
    from.finish()?;
    let agent = match tool_call {
        Some(call) => agent.with_tool_call(call),
        None => agent,
    };
    Ok(Principal::Agent(Box::new(agent)))
}

fn initiating_event(mut from: Members, asked_at: Timestamp) -> Result<InitiatingEvent, InputError> {
    let event = InitiatingEvent {
        kind: from.text("kind")?,
        source: from.text("source")?,
        id: from.text("id")?,
        at: asked_at.saturating_sub(from.duration("before_s")?),
        digest: from.parsed("digest", str::parse)?,
    };
    from.finish()?;
    Ok(event)
}

fn tool_call(mut from: Members) -> Result<ToolCall, InputError> {
    let call = ToolCall { tool: from.text("tool")?, arguments: from.parsed("arguments", str::parse)? };
    from.finish()?;
    Ok(call)
}

/// A text names nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameError {
    #[error("not of the form issuer|subject")]
    Form,
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Spiffe(#[from] jit_core::SpiffeIdError),
}

/// The identity that a text `issuer|subject` names.
pub(crate) fn identity(text: &str) -> Result<Identity, NameError> {
    let (issuer, subject) = text.split_once('|').ok_or(NameError::Form)?;
    Ok(Identity::new(issuer, subject)?)
}
