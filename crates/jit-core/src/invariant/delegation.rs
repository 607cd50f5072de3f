//! INV-15: what is derived from a grant stays within it and ends with it.

use std::collections::{BTreeSet, HashMap};

use super::{
    ending::needs_ends,
    finding::{Reason, Report},
    id::InvariantId::Inv15,
    view::{CaseStream, Entry, View, pick},
};
use crate::{
    event::{Event, GrantApproved, Kind, RequestSubmitted},
    ids::{CaseId, GrantId},
    project::{ending, is_end},
    request::{MAX_DEPTH, MAX_HOLDERS, ParentGrant},
    window::Window,
};

fn needs(kind: &Kind) -> bool {
    needs_ends(kind) || matches!(kind, Kind::RequestSubmitted | Kind::GrantActivated | Kind::CredentialIntended)
}

/// INV-15. The child's request against the copy it carries of its parent; that copy, `path` included, against the parent's
/// own records; then, by log index, the child's intents and its end against the end of its parent.
pub(super) fn children(view: &View<'_>, report: &mut Report) {
    // A parent may have many children: it is read once.
    let mut parents: HashMap<CaseId, Option<Above<'_>>> = HashMap::new();
    for case in view.cases() {
        if let Some((reason, at)) = case.obstacle(needs) {
            report.not_provable(Inv15, reason, at, "the case is not here in full");
            continue;
        }
        let Some((entry, request)) = case.request() else { continue };
        let Some(parent) = &request.parent else { continue };
        if let Err(detail) = within(&case, entry, request, parent) {
            report.violated(Inv15, &[entry], detail);
            continue;
        }
        match parents.entry(parent.case).or_insert_with(|| view.case(parent.case).map(|above| Above::read(&above))) {
            None if view.is_whole() => report.violated(Inv15, &[entry], "there is no parent case"),
            None => report.not_provable(Inv15, Reason::OtherStream, Some(entry), "the parent case is not here"),
            Some(Above { obstacle: Some((reason, at)), .. }) => {
                report.not_provable(Inv15, *reason, *at, "the parent case is not here in full");
            }
            Some(above) => match above.grant_of(entry, parent) {
                Ok(grant) => alongside(&case, above, grant, report),
                Err(detail) if view.overdue(entry.header().at) => report.violated(Inv15, &[entry], detail),
                Err(_) => {}
            },
        }
    }
}

/// What decides about the children of a case.
struct Above<'v> {
    obstacle: Option<(Reason, Option<&'v Entry<'v>>)>,
    grant: Option<(&'v Entry<'v>, &'v GrantApproved)>,
    extended: Vec<(u64, Window)>,
    active: Option<&'v Entry<'v>>,
    end: Option<&'v Entry<'v>>,
    path: Vec<GrantId>,
}

impl<'v> Above<'v> {
    fn read(case: &CaseStream<'v>) -> Self {
        let parent = case.request().and_then(|(_, request)| request.parent.as_ref());
        let path = parent.map(|next| next.path.iter().copied().chain([next.grant]).collect());
        Self {
            obstacle: case.obstacle(needs),
            grant: case.events(pick!(Event::GrantApproved)).next(),
            extended: case.events(pick!(Event::GrantExtended)).map(|(entry, e)| (entry.index, e.approved)).collect(),
            active: case.entries().find(|e| *e.kind() == Kind::GrantActivated),
            end: end(case),
            path: path.unwrap_or_default(),
        }
    }

    /// The window of the grant at an index of the log.
    fn window_at(&self, index: u64) -> Option<Window> {
        let last = self.extended.partition_point(|(extended, _)| *extended < index).checked_sub(1);
        let extended = last.and_then(|last| self.extended.get(last)).map(|(_, window)| *window);
        extended.or_else(|| self.grant.map(|(_, approved)| approved.approved))
    }

    /// The grant, if it is what the child says it is.
    fn grant_of(&self, child: &Entry<'_>, parent: &ParentGrant) -> Result<&'v Entry<'v>, &'static str> {
        let named = |grant: &Entry<'_>| grant.refs().grant == Some(parent.grant) && grant.index < child.index;
        let (grant, approved) = self.grant.filter(|(grant, _)| named(grant)).ok_or("there was no such parent grant")?;
        let window = self.window_at(child.index).unwrap_or(approved.approved);
        if !parent.scope.is_within(&approved.scope) || !parent.window.is_within(&window) {
            return Err("the parent grant allows less than the child says");
        }
        if self.path == parent.path { Ok(grant) } else { Err("the path is not that of the parent") }
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
    if parent.depth() > MAX_DEPTH || parent.holders.len() > MAX_HOLDERS {
        return Err("too many grants above, or holders of them");
    }
    if entry.refs().parent != Some(parent.grant) {
        return Err("the record names another parent than the request");
    }
    if !request.scope.is_within(&parent.scope) || !request.requested.is_within(&parent.window) {
        return Err("the request is not within its parent");
    }
    Ok(())
}

fn alongside(case: &CaseStream<'_>, above: &Above<'_>, parent: &Entry<'_>, report: &mut Report) {
    let (active, parent_end) = (above.active, above.end);
    for (intent, _) in case.events(pick!(Event::CredentialIntended)) {
        let since = active.is_some_and(|active| active.index < intent.index);
        if !since && case.view.overdue(intent.header().at) || parent_end.is_some_and(|end| end.index < intent.index) {
            report.violated(Inv15, &[parent, intent], "a mint is intended while the parent is not active");
        }
    }
    for (extension, e) in case.events(pick!(Event::GrantExtended)) {
        if above.window_at(extension.index).is_none_or(|window| window.end() < e.approved.end()) {
            report.violated(Inv15, &[extension], "the extension outlasts the parent grant");
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
    case.entries().find(|entry| is_end(entry.kind()))
}
