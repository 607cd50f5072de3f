//! INV-15: what is derived from a grant stays within it and ends with it.

use std::collections::BTreeSet;

use super::{
    ending::{ending, needs_ends},
    finding::{Reason, Report},
    id::InvariantId::Inv15,
    view::{CaseStream, Entry, pick},
};
use crate::{
    event::{Event, Kind, RequestSubmitted},
    ids::GrantId,
    request::{MAX_DEPTH, ParentGrant},
};

pub(super) fn needs(kind: &Kind) -> bool {
    needs_ends(kind) || matches!(kind, Kind::RequestSubmitted | Kind::GrantActivated | Kind::CredentialIntended)
}

/// INV-15. The child's request against the copy it carries of its parent; that copy, `path` included, against the parent's
/// own records; then, by log index, the child's intents and its end against the end of its parent.
pub(super) fn children(case: &CaseStream<'_>, report: &mut Report) {
    let Some((entry, request)) = case.request() else { return };
    let Some(parent) = &request.parent else { return };
    if let Err(detail) = within(case, entry, request, parent) {
        return report.violated(Inv15, &[entry], detail);
    }
    let Some(above) = case.view.case(parent.case) else {
        if case.view.is_whole() {
            return report.violated(Inv15, &[entry], "there is no parent case");
        }
        return report.not_provable(Inv15, Reason::OtherStream, Some(entry), "the parent case is not here");
    };
    if let Some((reason, at)) = above.obstacle(needs) {
        return report.not_provable(Inv15, reason, at, "the parent case is not here in full");
    }
    match parent_grant(&above, entry, parent) {
        Err(detail) if case.view.overdue(entry.header().at) => report.violated(Inv15, &[entry], detail),
        Err(_) => {}
        Ok(grant) => alongside(case, &above, grant, report),
    }
}

fn within(
    case: &CaseStream<'_>,
    entry: &Entry<'_>,
    request: &RequestSubmitted,
    parent: &ParentGrant,
) -> Result<(), &'static str> {
    let own = case.events(pick!(Event::GrantApproved)).filter_map(|(grant, _)| grant.refs().grant);
    let line: Vec<GrantId> = parent.path.iter().copied().chain([parent.grant]).chain(own.take(1)).collect();
    if line.iter().collect::<BTreeSet<_>>().len() != line.len() {
        return Err("the grants above form a cycle");
    }
    if parent.depth() > MAX_DEPTH {
        return Err("too many grants above");
    }
    if entry.refs().parent != Some(parent.grant) {
        return Err("the record names another parent than the request");
    }
    if !request.scope.is_within(&parent.scope) || !request.requested.is_within(&parent.window) {
        return Err("the request is not within its parent");
    }
    Ok(())
}

/// The parent's grant, if it is what the child says it is.
fn parent_grant<'v>(
    above: &CaseStream<'v>,
    child: &Entry<'_>,
    parent: &ParentGrant,
) -> Result<&'v Entry<'v>, &'static str> {
    let mut grants = above.events(pick!(Event::GrantApproved));
    let (grant, approved) = grants
        .find(|(grant, _)| grant.refs().grant == Some(parent.grant) && grant.index < child.index)
        .ok_or("there was no such parent grant")?;
    let extended = above.events(pick!(Event::GrantExtended)).filter(|(e, _)| e.index < child.index);
    let window = extended.last().map_or(approved.approved, |(_, e)| e.approved);
    if !parent.scope.is_within(&approved.scope) || !parent.window.is_within(&window) {
        return Err("the parent grant allows less than the child says");
    }
    let path: Vec<GrantId> = match above.request().and_then(|(_, request)| request.parent.as_ref()) {
        Some(next) => next.path.iter().copied().chain([next.grant]).collect(),
        None => Vec::new(),
    };
    if path == parent.path { Ok(grant) } else { Err("the path is not that of the parent") }
}

fn alongside(case: &CaseStream<'_>, above: &CaseStream<'_>, parent: &Entry<'_>, report: &mut Report) {
    let active = above.entries().find(|e| *e.kind() == Kind::GrantActivated);
    let parent_end = end(above);
    for (intent, _) in case.events(pick!(Event::CredentialIntended)) {
        let since = active.is_some_and(|active| active.index < intent.index);
        if !since && case.view.overdue(intent.header().at) || parent_end.is_some_and(|end| end.index < intent.index) {
            report.violated(Inv15, &[parent, intent], "a mint is intended while the parent is not active");
        }
    }
    let Some(parent_end) = parent_end else { return };
    let Some((grant, _)) = case.events(pick!(Event::GrantApproved)).next().filter(|(g, _)| g.index < parent_end.index)
    else {
        return;
    };
    match end(case) {
        None => {
            if case.view.overdue(parent_end.header().at) {
                report.violated(Inv15, &[grant, parent_end], "the parent has ended, and the child has not");
            }
        }
        // Time, its holder or somebody else may end the child too; an end by nobody must name the parent's.
        Some(own) if own.index > parent_end.index => {
            let by_nobody = own.event.as_ref().ok().and_then(ending).is_some_and(|e| e.actor.is_none());
            let cause = own.refs().cause;
            if *own.kind() == Kind::GrantRevoked && by_nobody && cause != Some(parent_end.leaf()) {
                report.violated(Inv15, &[own, parent_end], "the end of the child does not name the end of its parent");
            }
        }
        Some(_) => {}
    }
}

fn end<'v>(case: &CaseStream<'v>) -> Option<&'v Entry<'v>> {
    case.entries().find(|entry| crate::project::is_end(entry.kind()))
}
