//! INV-10, INV-16 and INV-19: what a request must say, and what an emergency owes.

use super::{
    approving::{interested_and_owner, judged},
    finding::Report,
    id::InvariantId::{self, Inv10, Inv16, Inv19},
    view::{CaseStream, Entry, pick},
};
use crate::{
    canonical::Value,
    code,
    decision::EvaluationPurpose,
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
            | Kind::ObligationOverdue
            | Kind::ObligationClosed
            | Kind::PolicyEvaluated
            | Kind::GrantApproved
            | Kind::GrantExtended
    )
}

pub(super) fn needs_request(kind: &Kind) -> bool {
    *kind == Kind::RequestSubmitted
}

fn obligation<'v>(case: &CaseStream<'v>, task: &Code) -> Option<(&'v Entry<'v>, &'v ObligationOpened)> {
    case.events(pick!(Event::ObligationOpened)).find(|(_, opened)| opened.task == *task)
}

/// INV-10. `request.submitted` has a field `justification`, erased or not, or it is an emergency that says it has none and
/// opens an obligation `justification`, which is closed in time or said to be late. `extension.requested` has the field too, and what is
/// granted has what the policy demands of it.
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
    demands(case, report);
    told_of_delay(case, &code!("justification"), Inv10, report);
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

/// What is granted has a justification as the decision on it demands, as far as erasures have left it.
fn demands(case: &CaseStream<'_>, report: &mut Report) {
    let mut given = None;
    for entry in case.entries() {
        let granted = match &entry.event {
            Ok(Event::RequestSubmitted(e)) => {
                given = e.justification.as_ref();
                continue;
            }
            Ok(Event::ExtensionRequested(e)) => {
                given = e.justification.as_ref();
                continue;
            }
            Ok(Event::GrantApproved(_) | Event::GrantExtended(_)) => case.earlier(entry.refs().decision, entry),
            _ => continue,
        };
        let Some(Ok(Event::PolicyEvaluated(decided))) = granted.map(|decision| &decision.event) else { continue };
        let demand = decided.decision.obligations.justification();
        let external = case.request().map(|(_, request)| request.external.as_slice()).unwrap_or_default();
        // Each text is read once, however many records say that it was enough.
        if let (Some(demand), Some(given)) = (demand, given.take())
            && demand.check(given, external).is_err()
        {
            report.violated(Inv10, &[entry], "granted on a justification that lacks what the policy demands");
        }
    }
}

/// An obligation is closed in time, or it is recorded, once and not before, that it was not.
fn told_of_delay(case: &CaseStream<'_>, task: &Code, id: InvariantId, report: &mut Report) {
    let Some((_, opened)) = obligation(case, task) else { return };
    let mut closed = case.events(pick!(Event::ObligationClosed)).filter(|(_, e)| e.obligation == opened.obligation);
    let closed = closed.next().map(|(entry, _)| entry);
    let mut overdue = case.events(pick!(Event::ObligationOverdue)).filter(|(_, e)| e.obligation == opened.obligation);
    match overdue.next() {
        Some((entry, late)) => {
            let after_close = closed.is_some_and(|closing| closing.n() < entry.n());
            if late.due != opened.due || after_close || overdue.next().is_some() {
                report.violated(id, &[entry], "no such deadline had passed");
            }
        }
        None => {
            let until = closed.map_or(case.view.as_of, |closing| closing.header().at);
            if opened.due.checked_add(case.view.history.sweep).is_some_and(|latest| latest < until) {
                let at = closed.or(case.request().map(|(entry, _)| entry));
                report.violated(id, at.as_slice(), "a deadline passed, and no record says so");
            }
        }
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
/// interest in the request and, where a policy was asked, is let by it; the case is not closed before, and once the deadline has
/// passed, a record says so.
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
    told_of_delay(case, &code!("review"), Inv19, report);
    let barred = interested_and_owner(request);
    let mut closings = case.events(pick!(Event::ObligationClosed)).filter(|(_, e)| e.obligation == opened.obligation);
    match closings.next() {
        Some((closing, closed)) if barred.contains(&closed.by) || !matches!(closed.by, PrincipalId::Identity(_)) => {
            report.violated(Inv19, &[closing], "somebody with an interest in the access closed its review");
        }
        Some((closing, closed))
            if closed
                .eligibility
                .is_some_and(|leaf| judged(case, closing, leaf, &closed.by, EvaluationPurpose::Review).is_none()) =>
        {
            report.violated(Inv19, &[closing], "the decision it names does not let the reviewer review");
        }
        Some(_) => {}
        None => {
            if let Some(close) = case.closed() {
                report.violated(Inv19, &[close], "the case is closed, and its review is open");
            }
        }
    }
}
