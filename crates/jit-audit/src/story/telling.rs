//! Events in words.

use jit_core::{
    Agent, AgentMode, Decision, Ending, Event, Header, Obligation, Principal, PrincipalId, RequestSubmitted, Scope,
    Window, canonical,
};
use serde::Serialize;

use super::{asserting, one_line, who};

/// One line that says what happened, and what belongs to it.
pub(super) fn tell(event: &Event, header: &Header) -> (String, Vec<String>) {
    match event {
        Event::RequestSubmitted(e) => submitted(e),
        Event::RequestRefused(e) => {
            (format!("request of {} refused: {}", maybe(e.requester.as_ref()), e.code), Vec::new())
        }
        Event::RequestWithdrawn(e) => {
            (format!("{} took the request back", who(&e.by)), said("reason", e.reason.as_ref().map(|r| r.as_str())))
        }
        Event::RequestLapsed(e) => (format!("nobody decided until {}; the request lapsed", e.deadline), Vec::new()),
        Event::PolicyEvaluated(e) => {
            let about = e.about.as_ref().map_or(String::new(), |about| format!(" of {}", who(about)));
            (
                format!("policy asked ({}{about}): {}", words(&e.purpose), words(&e.decision.outcome)),
                decision(&e.decision),
            )
        }
        Event::ApprovalRecorded(e) => {
            let group = e.group.as_ref().map_or("by rule".to_owned(), |group| format!("for group {group}"));
            let mut details = vec![format!("{}, {}", scope(&e.scope), window(&e.approved))];
            details.extend(e.list.as_ref().map(|list| format!("in one act with a list of {}", list.contents().len())));
            details.extend(
                e.signature.as_ref().map(|s| format!("signed ({}) by key {}", s.scheme, one_line(s.key.as_str()))),
            );
            details.extend(said("comment", e.comment.as_ref().map(|c| c.as_str())));
            (format!("{} approved {group}", who(&e.approver)), details)
        }
        Event::ApprovalNarrowed(e) => (
            format!("{} narrowed the request", who(&e.by)),
            vec![format!("{}, {}", scope(&e.scope), window(&e.approved))],
        ),
        Event::ApprovalWithdrawn(e) => {
            (format!("{} took an approval back", who(&e.by)), said("reason", e.reason.as_ref().map(|r| r.as_str())))
        }
        Event::ApprovalVoided(e) => (format!("approvals no longer count: {}", e.cause), Vec::new()),
        Event::ApprovalEscalated(e) => {
            (format!("group {} did not answer; group {} was asked", e.from, e.to), Vec::new())
        }
        Event::GrantApproved(e) => (
            format!("access approved for {}", who(&e.recipient)),
            vec![format!("{}, {}", scope(&e.scope), window(&e.approved))],
        ),
        Event::GrantDenied(e) => {
            let by = e.by.as_ref().map_or("the policy's default".to_owned(), who);
            (format!("access denied by {by}: {}", e.cause), said("reason", e.reason.as_ref().map(|r| r.as_str())))
        }
        Event::GrantActivated(e) => (format!("access active since {}", e.actual_start), Vec::new()),
        Event::ExtensionRequested(e) => (
            format!("{} asked for more time, {}", who(&e.by), window(&e.requested)),
            said("justification", e.justification.as_ref().map(|j| j.as_str())),
        ),
        Event::ExtensionFailed(e) => {
            let by = e.by.as_ref().map_or(String::new(), |by| format!(" by {}", who(by)));
            let reason = said("reason", e.reason.as_ref().map(|r| r.as_str()));
            (format!("no more time was given{by}: {}", e.cause), reason)
        }
        Event::GrantExtended(e) => (format!("access extended, {}", window(&e.approved)), Vec::new()),
        Event::CredentialIntended(e) => {
            let what = format!("{}, {}", scope(&e.scope), window(&e.issued));
            (
                format!("credential {} is about to be minted by {} for {}", about(header), e.issuer, who(&e.subject)),
                vec![what],
            )
        }
        Event::CredentialIssued(e) => {
            let d = &e.descriptor;
            let details = vec![
                format!("serial {}, fingerprint {}", one_line(&d.serial.to_string()), d.fingerprint),
                format!("for {}, {}", who(&d.subject), window(&d.window)),
            ];
            (format!("credential {} issued by {}", d.id, d.issuer), details)
        }
        Event::CredentialFailed(e) => (format!("credential {} was not minted: {}", about(header), e.cause), Vec::new()),
        Event::CredentialUnknown(e) => {
            (format!("whether credential {} exists is unknown: {}", about(header), e.cause), Vec::new())
        }
        Event::CredentialReconciled(e) => {
            let exists = if e.exists { "exists" } else { "does not exist" };
            (format!("credential {} {exists}: {}", about(header), e.finding), Vec::new())
        }
        Event::CredentialExpired(e) => {
            (format!("credential {} stopped working by itself at {}", about(header), e.expired_at), Vec::new())
        }
        Event::GrantExpired(e) => ("access ended with its window".to_owned(), ending(&e.ending)),
        Event::GrantRevoked(e) => ended("access revoked", &e.ending, e.reason.as_ref().map(|r| r.as_str())),
        Event::GrantTerminated(e) => ended("access given back", &e.ending, e.reason.as_ref().map(|r| r.as_str())),
        Event::GrantSuperseded(e) => (format!("access superseded by grant {}", e.by_grant), ending(&e.ending)),
        Event::GrantEligibilityWithdrawn(e) => {
            ("access ended: it is no longer permitted".to_owned(), ending(&e.ending))
        }
        Event::GrantExternallyModified(e) => {
            (format!("access changed at its target: {}", e.finding), ending(&e.ending))
        }
        Event::RevocationIntended(e) => {
            (format!("credential {} is to be taken back: {}", about(header), e.cause), Vec::new())
        }
        Event::RevocationConfirmed(e) => (format!("credential {} seen dead: {}", about(header), e.finding), Vec::new()),
        Event::RevocationFailed(e) => (
            format!("credential {} not taken back: {}; next try at {}", about(header), e.cause, e.retry_at),
            Vec::new(),
        ),
        Event::RevocationUnknown(e) => {
            (format!("whether credential {} is dead is unknown: {}", about(header), e.cause), Vec::new())
        }
        Event::RevocationIrrevocable(e) => {
            let until =
                e.until.map_or("with no end of its own".to_owned(), |until| format!("dies by itself at {until}"));
            (format!("credential {} cannot be taken back: {}; {until}", about(header), e.cause), Vec::new())
        }
        Event::RevocationDemanded(e) => (
            format!("{} demanded that credential {} be tried again", who(&e.by), about(header)),
            said("because", e.reason.as_ref().map(|r| r.as_str())),
        ),
        Event::CredentialHandedOver(e) => {
            (format!("what credential {} stands for stays, under grant {}", about(header), e.to), Vec::new())
        }
        Event::ConditionReported(e) => {
            let was = if e.enforced { "was" } else { "was not" };
            (format!("{} reports that condition {} {was} enforced", who(&e.by), e.condition), Vec::new())
        }
        Event::BreakGlassInvoked(e) => {
            (format!("{} declared an emergency: {}", who(&e.by), e.emergency.emergency), Vec::new())
        }
        Event::ObligationOpened(e) => (format!("obligation `{}` opened, due at {}", e.task, e.due), Vec::new()),
        Event::ObligationClosed(e) => (
            format!("{} met an obligation: {}", who(&e.by), e.finding),
            said("text", e.text.as_ref().map(|t| t.as_str())),
        ),
        Event::ObligationOverdue(e) => (format!("obligation `{}` was not met until {}", e.task, e.due), Vec::new()),
        Event::BreakGlassAnnounced(e) => {
            let text = match (&e.failure, e.retry_at) {
                (None, _) => format!("the emergency was told by {}", e.channel),
                (Some(failure), Some(at)) => format!("nobody was told by {}: {failure}; next try at {at}", e.channel),
                (Some(failure), None) => format!("nobody was told by {}: {failure}; given up", e.channel),
            };
            (text, Vec::new())
        }
        Event::CommandRefused(e) => (format!("{} tried to {}; refused: {}", who(&e.by), e.act, e.code), Vec::new()),
        Event::AccessObserved(e) => {
            let by = e.by.as_ref().map(|by| format!("by {}", who(by)));
            let detail = said("logged", e.detail.as_ref().map(|d| d.as_str()));
            let text = format!("{} reports that the access was used at {}: {}", e.system, e.occurred_at, e.act);
            (text, by.into_iter().chain(detail).collect())
        }
        Event::EntitlementChanged(e) => {
            let text =
                if e.held { "entered in the ledger of this access" } else { "struck from the ledger of this access" };
            (text.to_owned(), vec![format!("grants that justify it then: {}", e.live.len())])
        }
        Event::PolicyProposed(e) => (format!("policy proposed by {}", who(&e.by)), Vec::new()),
        Event::PolicyApproved(e) => (format!("policy approved by {}", who(&e.by)), Vec::new()),
        Event::PolicyPublished(e) => {
            (format!("policy published by {}", who(&e.by)), vec![format!("policy {}", e.snapshot)])
        }
        Event::LogOpened(e) => {
            ("log opened".to_owned(), e.keys.iter().map(|key| format!("key {}", one_line(key))).collect())
        }
        Event::CaseClosed(e) => (format!("case closed with {} records", e.count), Vec::new()),
        other => (other.kind().to_string(), Vec::new()),
    }
}

fn submitted(e: &RequestSubmitted) -> (String, Vec<String>) {
    let requester = e.requester.id();
    let mut details = vec![format!("{}, {}", scope(&e.scope), window(&e.requested))];
    if e.recipient != requester {
        details.push(format!("the privilege goes to {}", who(&e.recipient)));
    }
    match (&e.justification, e.justified) {
        (Some(justification), _) => details.extend(said("because", Some(justification.as_str()))),
        (None, true) => details.push("a justification was given, and is not shown".to_owned()),
        (None, false) => details.push("no justification was given yet".to_owned()),
    }
    if let Principal::Agent(agent) = &e.requester {
        details.extend(agent_details(agent));
    }
    details.extend(e.provenance.iter().flat_map(asserting::told));
    if let Some(parent) = &e.parent {
        details.push(format!("under grant {} of case {}", parent.grant, parent.case));
    }
    for reference in &e.external {
        details.push(format!("see {} {}", reference.system, one_line(&reference.id.to_string())));
    }
    (format!("{} {} asked for access", kind_of(&e.requester), who(&requester)), details)
}

fn agent_details(agent: &Agent) -> Vec<String> {
    let mode = match agent.mode() {
        AgentMode::Autonomous => "acting on its own".to_owned(),
        AgentMode::OnBehalfOf(delegation) => {
            let through: Vec<String> =
                delegation.through().iter().map(|hop| format!(" through {}", who(hop))).collect();
            format!("acting for {}{}", who(delegation.principal()), through.concat())
        }
    };
    let event = agent.initiating_event();
    let call = agent.tool_call().map(|call| format!("to call {} with arguments {}", call.tool, call.arguments));
    let mut details = vec![
        format!("an agent owned by {}, {mode}", one_line(&agent.owner().to_string())),
        format!("task: {}", one_line(agent.task().as_str())),
        format!("set off by {} {} from {} at {}", event.kind, one_line(&event.id.to_string()), event.source, event.at),
    ];
    details.extend(call);
    details
}

fn decision(decision: &Decision) -> Vec<String> {
    let engine = &decision.engine;
    let mut details = vec![
        format!("policy {}", decision.policy),
        format!(
            "engine {} {}, language {}",
            engine.name,
            one_line(&engine.version.to_string()),
            one_line(&engine.language.to_string())
        ),
    ];
    for rule in &decision.determining {
        details.push(format!("rule {} {}s", rule.rule, words(&rule.effect)));
    }
    for error in &decision.errors {
        details.push(format!("error {}", error.code));
    }
    for obligation in Vec::<Obligation>::from(decision.obligations.clone()) {
        details.push(match obligation {
            Obligation::Approvals(quorum) => {
                let then = |group| {
                    quorum.escalation(group).iter().map(|s| format!(", then {} after {} s", s.to, s.after.get()))
                };
                let demand = |(group, count)| format!("{count} of {group}{}", then(group).collect::<String>());
                let groups: Vec<String> = quorum.groups().map(demand).collect();
                format!("demands approvals: {}", groups.join(" and "))
            }
            Obligation::MaxDuration(longest) => format!("demands at most {} seconds", longest.get()),
            Obligation::Condition(condition) => format!("demands condition {}", condition.id),
            Obligation::ApprovalDeadline(within) => format!("demands approvals within {} seconds", within.get()),
            Obligation::Justification(_) => "demands a justification of a certain form".to_owned(),
            _ => "demands something that this version does not know".to_owned(),
        });
    }
    details
}

fn ended(what: &str, end: &Ending, reason: Option<&str>) -> (String, Vec<String>) {
    let mut details = ending(end);
    details.extend(said("reason", reason));
    (format!("{what} by {}: {}", end.actor.as_ref().map_or("nobody in person".to_owned(), who), end.cause), details)
}

fn ending(end: &Ending) -> Vec<String> {
    let mut details = vec![format!("planned end {}, asked for or due at {}", end.planned_end, end.requested_end)];
    for residual in &end.residual.credentials {
        let until = residual.until.map_or("nobody knows when".to_owned(), |until| until.to_string());
        details.push(format!(
            "residual access: credential {} may work until {until} ({})",
            residual.credential, residual.why
        ));
    }
    if end.residual.sessions {
        details.push("residual access: a session opened before may go on".to_owned());
    }
    if end.residual.credentials.is_empty() && !end.residual.sessions {
        details.push("residual access: none".to_owned());
    }
    for grant in &end.still_justified_by {
        details.push(format!("the same access is still justified by grant {grant}"));
    }
    details
}

fn about(header: &Header) -> String {
    header.refs.credential.map_or("without an id".to_owned(), |id| id.to_string())
}

fn kind_of(principal: &Principal) -> &'static str {
    match principal {
        Principal::Human { .. } => "person",
        Principal::Workload { .. } => "workload",
        Principal::Agent(_) => "agent",
        Principal::Service { .. } => "service",
        _ => "principal",
    }
}

fn maybe(id: Option<&PrincipalId>) -> String {
    id.map_or("somebody who is not shown".to_owned(), who)
}

fn scope(scope: &Scope) -> String {
    let actions: Vec<&str> = scope.actions().iter().map(|action| action.as_str()).collect();
    format!("{} on {}", actions.join(", "), one_line(&scope.resource().to_string()))
}

fn window(window: &Window) -> String {
    format!("from {} until {}", window.start(), window.end())
}

/// The name that the evidence uses for a value of an enumeration.
fn words(value: &impl Serialize) -> String {
    canonical::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What somebody said, verbatim but for line ends.
fn said(what: &str, text: Option<&str>) -> Vec<String> {
    let Some(text) = text else { return Vec::new() };
    text.lines()
        .enumerate()
        .map(|(i, line)| {
            let line = one_line(line);
            if i == 0 { format!("{what}: {line}") } else { format!("  {line}") }
        })
        .collect()
}
