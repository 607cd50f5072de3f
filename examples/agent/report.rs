//! What the evidence says, read from a bundle that was verified.

use std::{error::Error, fs, path::Path};

use jit_audit::{BundleBuilder, Examination, VerifyOptions};
use jit_core::{AgentMode, Asserted, AssertedBy, CaseId, Principal, Provenance};

use crate::{company::Company, desk::person_id};

/// Takes the case out of the log as one file, verifies the file with the log's public key, and tells what it says.
pub(crate) async fn tell(company: &Company, case: CaseId, out: &Path) -> Result<(), Box<dyn Error>> {
    let trust = company.log.trust();
    let bundle = BundleBuilder::case(&company.log, case, person_id("u-7001")?)
        .record_export(company.desk.retain.clone())
        .build()
        .await?;
    let (file, policy) = (out.join("refund.json"), out.join("trust.policy"));
    fs::write(&file, bundle.to_bytes()?)?;
    fs::write(&policy, trust.to_text())?;

    let examined = Examination::new(&fs::read(&file)?, Some(trust), &VerifyOptions::default());
    if !examined.report().verdict().is_proved() {
        return Err(format!("the bundle does not verify: {:?}", examined.report().verdict()).into());
    }
    let proven = examined.cases().get(&case).ok_or("the case is not in the bundle")?;
    let request = &proven.request().ok_or("there is no request")?.submitted;
    let Principal::Agent(agent) = &request.requester else { return Err("the requester is no agent".into()) };
    let AgentMode::OnBehalfOf(delegation) = agent.mode() else { return Err("nobody is acted for".into()) };
    let provenance = request.provenance.as_ref().ok_or("nobody said who asserted what")?;

    println!("Proved, from {} and the log's public key alone:", file.display());
    println!("  human       {}", delegation.principal());
    println!("  agent       {}, {} on {}", agent.identity(), agent.version(), agent.model());
    println!("  owner       {}", agent.owner());
    println!("  workload    {}", agent.workload());
    println!("  task        {}", agent.task());
    let event = agent.initiating_event();
    println!("  set off by  {} {} of {}, {}", event.kind, event.id, event.source, event.digest);
    if let Some(call) = agent.tool_call() {
        println!("  for         {} with arguments {}", call.tool, call.arguments);
    }
    for (aspect, asserted) in provenance.asserted() {
        println!("  {:<17} {}", aspect.as_str(), said(provenance, asserted));
    }
    println!("  records     {}", proven.head().map_or(0, |head| head.n + 1));
    if !proven.is_closed() {
        return Err("the case is not closed".into());
    }
    println!("\nTry next\n  jit-audit show {} --policy {}", file.display(), policy.display());
    Ok(())
}

fn said(provenance: &Provenance, asserted: &Asserted) -> String {
    match asserted {
        Asserted::By { by: AssertedBy::Token(digest) } => {
            let token = provenance.tokens().iter().find(|token| token.digest == *digest);
            token.map_or_else(|| "said by a token".to_owned(), |t| format!("said by {} in a {}", t.issuer, t.kind))
        }
        Asserted::By { by: AssertedBy::Requester } => "said by the agent itself".to_owned(),
        Asserted::By { by: AssertedBy::Registry(registry) } => format!("said by {registry}"),
        Asserted::By { by } => format!("said by {by:?}"),
        Asserted::Absent(absence) => format!("absent: {}", absence.reason),
    }
}
