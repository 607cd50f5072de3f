use jit_core::{Agent, AgentBuild, AgentMode, ExternalId, Identity, InitiatingEvent, SpiffeId};

fn agent(id: Identity, build: AgentBuild, event: InitiatingEvent, task: ExternalId, workload: SpiffeId) {
    let _ = Agent::new(id, build, AgentMode::Autonomous, event, task, workload);
}

fn main() {}
