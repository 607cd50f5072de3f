//! INV-10, INV-16 and INV-19: what a request must say, and what an emergency owes.

use super::{
    approving::interested,
    finding::Report,
    id::InvariantId::{Inv10, Inv16, Inv19},
    view::{CaseStream, Entry, pick},
};
use crate::{
    canonical::Value,
    code,
    event::{Event, Kind, ObligationOpened},
    principal::{Principal, PrincipalId},
    text::Code,
};

/// The members of an agent without which nobody answers for it.
const ACCOUNTABLE: [&str; 5] = ["owner", "mode", "initiating_event", "task", "workload"];

pub(super) fn needs(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::RequestSubmitted
            | Kind::ExtensionRequested
            | Kind::BreakGlassInvoked
            | Kind::ObligationOpened
            | Kind::ObligationClosed
    )
}

pub(super) fn needs_request(kind: &Kind) -> bool {
    *kind == Kind::RequestSubmitted
}

fn obligation<'v>(case: &CaseStream<'v>, task: &Code) -> Option<(&'v Entry<'v>, &'v ObligationOpened)> {
    case.events(pick!(Event::ObligationOpened)).find(|(_, opened)| opened.task == *task)
}

/// INV-10. `request.submitted` has a field `justification`, erased or not, or it is an emergency that says it has none and
/// opens an obligation `justification`. `extension.requested` has the field too.
pub(super) fn justification(case: &CaseStream<'_>, report: &mut Report) {
    let given = |entry: &Entry<'_>| {
        let names = entry.record.payload().into_iter().flat_map(|payload| payload.fields().keys());
        names.into_iter().any(|name| name.as_str() == "justification")
    };
    for (extension, _) in case.events(pick!(Event::ExtensionRequested)) {
        if !given(extension) {
            report.violated(Inv10, &[extension], "more time is asked for without a justification");
        }
    }
    let Some((entry, request)) = case.request() else { return };
    if request.justified && given(entry) {
        return;
    }
    if request.justified || request.break_glass.is_none() {
        report.violated(Inv10, &[entry], "there is no justification");
    } else if obligation(case, &code!("justification")).is_none() && case.is_overdue_after(entry) {
        report.violated(Inv10, &[entry], "the justification is deferred, and no obligation is open");
    }
}

/// INV-16. The recipient of an agent's request is the workload identity that the agent names, and the tokens that vouch for it
/// say what they are named for. The rest of an agent's accountability is in its type: a record without it does not read.
pub(super) fn agents(case: &CaseStream<'_>, report: &mut Report) {
    let Some((entry, request)) = case.request() else { return };
    if let Principal::Agent(agent) = &request.requester
        && request.recipient != PrincipalId::Workload(agent.workload().clone())
    {
        report.violated(Inv16, &[entry], "the privilege goes to another workload than the agent names");
    }
    if request.provenance.as_ref().is_some_and(|provenance| provenance.check(&request.requester).is_err()) {
        report.violated(Inv16, &[entry], "who asserted what of the requester does not fit the requester");
    }
}

/// INV-16, for requests that do not read: an agent without one of the members that make it accountable.
pub(super) fn unreadable_agents(case: &CaseStream<'_>, report: &mut Report) {
    for entry in case.entries().filter(|e| e.event.is_err() && *e.kind() == Kind::RequestSubmitted) {
        let fields = entry.record.payload().into_iter().flat_map(|payload| payload.fields());
        let mut requester =
            fields.filter(|(name, _)| name.as_str() == "requester").filter_map(|(_, field)| field.value());
        if let Some(Value::Object(agent)) = requester.next()
            && agent.get("kind").and_then(Value::as_str) == Some("agent")
            && ACCOUNTABLE.iter().any(|member| agent.get(member).is_none())
        {
            report.violated(Inv16, &[entry], "the agent's request does not name who answers for it");
        }
    }
}

/// INV-19. A request with an emergency has `break_glass.invoked` and an obligation `review`; whoever closes that has no
/// interest in the request, and the case is not closed before.
pub(super) fn reviews(case: &CaseStream<'_>, report: &mut Report) {
    let Some((entry, request)) = case.request() else { return };
    let invoked = case.entries().find(|e| *e.kind() == Kind::BreakGlassInvoked);
    let review = obligation(case, &code!("review"));
    match (request.break_glass.is_some(), invoked) {
        (false, None) => return,
        (true, Some(_)) if review.is_some() => {}
        (true, _) if !case.is_overdue_after(entry) => return,
        _ => return report.violated(Inv19, &[entry], "an emergency is not declared, or opens no review"),
    }
    let Some((_, opened)) = review else { return };
    let barred = interested(request);
    let mut closings = case.events(pick!(Event::ObligationClosed)).filter(|(_, e)| e.obligation == opened.obligation);
    match closings.next() {
        Some((closing, closed)) if barred.contains(&closed.by) || !matches!(closed.by, PrincipalId::Identity(_)) => {
            report.violated(Inv19, &[closing], "somebody with an interest in the access closed its review");
        }
        Some(_) => {}
        None => {
            if let Some(close) = case.closed() {
                report.violated(Inv19, &[close], "the case is closed, and its review is open");
            }
        }
    }
}
