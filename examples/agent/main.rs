//! An AI agent that needs access, without a model and without a server: `cargo run --example agent`.
//!
//! A scripted agent calls tools for a person. One tool moves money and wants a token. The agent asks for one with two tokens of its own,
//! which are verified: who wrote the message it acts on, and which workload it runs as. A Cedar policy decides on behalf of that person,
//! another person approves, the broker issues a short-lived token, the tool checks that token itself and reports its use, and the agent
//! gives the access back. What the evidence says about it is then read from a bundle that was verified, and from nothing else.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a program that tells what it does"
)]

mod agent;
#[path = "../quickstart/clock.rs"]
mod clock;
mod company;
mod desk;
mod issuers;
mod report;
mod tools;

use std::{error::Error, fs, path::Path, process::ExitCode, sync::Arc, time::Duration};

use agent::{Call, Need, PROMPT, Plan, Seen};
use clock::DrivenClock;
use company::Company;
use desk::{Asked, DeskError, person};
use jit_broker::{ApprovalAct, BrokerError};
use jit_core::{
    Action, CaseId, Clock as _, Code, ExternalDigest, ExternalId, GroupName, IdempotencyKey, InitiatingEvent,
    Justification, Phase, Principal, Prose, Scope, SystemName, Timestamp, ToolCall, Window, canonical::Value, code,
};
use sha2::{Digest as _, Sha256};
use tools::ToolError;

/// How long the agent wants the access.
const FOR: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nagent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An access that the agent holds.
struct Held {
    case: CaseId,
    agent: Principal,
    token: String,
}

async fn run() -> Result<(), Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = examples.parent().ok_or("the examples are not in a workspace")?.join("target/agent");
    fs::create_dir_all(&out)?;
    // A checkpoint of an earlier run vouches for another log.
    let _none = fs::remove_file(out.join("checkpoint"));
    let clock = Arc::new(DrivenClock::starting_now()?);
    let company = Company::open(&out, &examples.join("agent/policy"), &clock).await?;

    println!("u-3001 writes: {PROMPT}\n");
    let mut seen = Vec::new();
    let mut held: Option<Held> = None;
    let answer = loop {
        match agent::next(&seen) {
            Plan::Call(call) => {
                println!("The agent calls {} {}", call.tool, call.arguments);
                let token = held.as_ref().map(|held| held.token.as_str());
                let now = clock.now().at;
                seen.push(match company.tools.call(&call, token, now) {
                    Ok(done) => {
                        println!("  the tool answers {}", done.answer);
                        if let Some(used) = &done.used {
                            let recorded = company.broker.observe(used).await?;
                            let explained = recorded.is_some_and(|recorded| recorded.findings.is_empty());
                            println!("  the use is {}", if explained { "on record" } else { "not explained" });
                        }
                        Seen::Answered(done.answer)
                    }
                    Err(ToolError::Needs(need)) => {
                        println!("  the tool wants a token for {} on {}", need.action, need.resource);
                        Seen::Needs(need, call)
                    }
                    Err(error) => {
                        println!("  the tool refuses: {error}");
                        Seen::Refused(error.to_string())
                    }
                });
                clock.advance_to(now.saturating_add(Duration::from_secs(2)));
            }
            Plan::AskFor { access, call } => {
                held = Some(ask(&company, &clock, &access, &call).await?);
                seen.push(Seen::Granted);
            }
            Plan::Answer(text) => break text,
        }
    };
    println!("The agent answers: {answer}\n");
    if !answer.starts_with("Order 42 is refunded. Order 43 is not") {
        return Err("the loop did not come out as planned".into());
    }

    let held = held.ok_or("the agent never had access")?;
    let reason = Prose::new("the refund is done")?;
    company.broker.terminate(&IdempotencyKey::new("give-back")?, held.case, held.agent.id(), Some(reason)).await?;
    // The token cannot be recalled: the case is closed when it is dead.
    let dead = clock.now().at.saturating_add(FOR + Duration::from_secs(120));
    clock.advance_to(dead);
    while company.broker.sweep().await?.done > 0 {}
    report::tell(&company, held.case, &out).await
}

/// Asks for access as the person who wrote the message, has another person approve it, and fetches the token.
async fn ask(company: &Company, clock: &DrivenClock, need: &Need, call: &Call) -> Result<Held, Box<dyn Error>> {
    let now = clock.now().at;
    let key = |text: &str| IdempotencyKey::new(text);

    let long_ago = now.saturating_sub(Duration::from_secs(600));
    let stale = asked(company, need, call, long_ago, now).await?;
    match company.desk.submit(&key("stale")?, stale, now).await {
        Err(DeskError::Token(error)) => println!("  with the tokens of ten minutes ago: refused and recorded, {error}"),
        other => return Err(format!("a stale token was not refused: {other:?}").into()),
    }

    let request = asked(company, need, call, now, now).await?;
    let (agent, submitted) = company.desk.submit(&key("refund-42")?, request, now).await?;
    let Phase::AwaitingApprovals = submitted.phase else {
        return Err(format!("not as planned: {:?}", submitted.phase).into());
    };
    println!("  with fresh ones: the policy permits it on behalf of u-3001, if a support lead agrees");

    match approve(company, submitted.case, "u-3001").await {
        Err(error) if refusal(&*error) == Some(code!("interested")) => {
            println!("  u-3001 is a lead, and may not approve what is done for u-3001: refused and recorded");
        }
        other => return Err(format!("u-3001 approved for themselves: {other:?}").into()),
    }
    approve(company, submitted.case, "u-3002").await?;
    println!("  u-3002 approves exactly that");
    let issued = company.broker.issue(&key("token")?, submitted.case, &agent.id(), &company.issuer).await?;
    println!("  a token for {}, until {}", issued.descriptor.subject, issued.descriptor.window.end());
    let secret = issued.secret.ok_or("there is no token")?;
    let token = String::from_utf8(secret.expose().to_vec())?;
    Ok(Held { case: submitted.case, agent, token })
}

/// What the agent hands in, with the tokens that it was given at a moment.
async fn asked(
    company: &Company,
    need: &Need,
    call: &Call,
    given: Timestamp,
    now: Timestamp,
) -> Result<Asked, Box<dyn Error>> {
    let (transaction, svid) = company.credentials(given).await?;
    let sha256 = |bytes: &[u8]| ExternalDigest::from_bytes(Sha256::digest(bytes).into());
    let arguments = Value::parse(call.arguments.to_string().as_bytes())?.to_bytes()?;
    Ok(Asked {
        transaction,
        svid,
        event: InitiatingEvent {
            kind: code!("chat_message"),
            source: SystemName::new("chat.example")?,
            id: ExternalId::new("m-5150")?,
            at: now,
            digest: sha256(PROMPT.as_bytes()),
        },
        task: ExternalId::new("CASE-7731")?,
        call: ToolCall { tool: Code::new(call.tool)?, arguments: sha256(&arguments) },
        scope: Scope::new(need.resource.parse()?, [Action::new(need.action)?])?,
        window: Window::new(now, now.saturating_add(FOR))?,
        why: Justification::new("The customer got a broken kettle; refund order 42")?,
    })
}

async fn approve(company: &Company, case: CaseId, who: &str) -> Result<Phase, Box<dyn Error>> {
    let approver = Principal::human(person(who)?);
    let content = company.broker.approval_content(case, &approver).await?.ok_or("nothing awaits an approval")?;
    let act = ApprovalAct {
        approver,
        group: GroupName::new("support-leads")?,
        content,
        comment: Some(Prose::new("photo of the kettle seen")?),
        authentication: None,
        signature: None,
    };
    Ok(company.broker.approve(&IdempotencyKey::new(format!("approve-{who}"))?, case, act).await?)
}

fn refusal(error: &(dyn Error + 'static)) -> Option<Code> {
    match error.downcast_ref() {
        Some(BrokerError::Refused { refusal, .. }) => Some(refusal.code()),
        _ => None,
    }
}
