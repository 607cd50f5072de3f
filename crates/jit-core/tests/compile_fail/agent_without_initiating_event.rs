use jit_core::{Agent, AgentBuild, AgentMode, ExternalId, Identity, SpiffeId};

fn agent(id: Identity, owner: Identity, build: AgentBuild, task: ExternalId, workload: SpiffeId) {
    let _ = Agent::new(id, owner, build, AgentMode::Autonomous, task, workload);
}

fn main() {}
