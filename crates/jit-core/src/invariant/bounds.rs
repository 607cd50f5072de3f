//! INV-05 and INV-06: what is issued lies within what was approved, and that within what was asked for.

use std::collections::HashMap;

use super::{
    finding::Report,
    id::InvariantId::{Inv05, Inv06},
    view::{CaseStream, Entry},
};
use crate::{
    decision::EvaluationPurpose,
    event::{Event, Kind},
    ids::CredentialId,
    window::Window,
};

pub(super) fn needs(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::RequestSubmitted
            | Kind::PolicyEvaluated
            | Kind::ExtensionRequested
            | Kind::ExtensionFailed
            | Kind::ApprovalNarrowed
            | Kind::GrantApproved
            | Kind::GrantExtended
            | Kind::GrantActivated
            | Kind::CredentialIntended
            | Kind::CredentialPrepared
            | Kind::CredentialIssued
    )
}

/// INV-05. `requested` ⊇ narrowed ⊇ `approved` ⊇ `issued` ⊇ the descriptor's window, each against the latest before it; the requested
/// window against `max_duration` of the decision that the grant or the extension names.
pub(super) fn windows(case: &CaseStream<'_>, report: &mut Report) {
    let mut requested = None;
    let mut extension = None;
    let mut approved: Option<Window> = None;
    let mut issued: HashMap<CredentialId, Window> = HashMap::new();
    let within = |inner: &Window, outer: Option<&Window>| outer.is_some_and(|outer| inner.is_within(outer));
    for entry in case.entries() {
        let Ok(event) = &entry.event else { continue };
        let credential = entry.refs().credential;
        let holds = match event {
            Event::RequestSubmitted(e) => {
                requested.get_or_insert(e.requested);
                true
            }
            Event::ApprovalNarrowed(e) => {
                let narrower = within(&e.approved, requested.as_ref());
                requested = Some(e.approved);
                narrower
            }
            Event::ExtensionRequested(e) => {
                extension = Some(e.requested);
                true
            }
            Event::ExtensionFailed(_) => {
                extension = None;
                true
            }
            Event::GrantApproved(e) => {
                approved = Some(e.approved);
                within(&e.approved, requested.as_ref())
                    && within_maximum(case, entry, EvaluationPurpose::Request, requested.as_ref())
            }
            Event::GrantExtended(e) => {
                let asked = extension.take();
                // It keeps the start and moves the end on, before that has come.
                let follows = approved.is_some_and(|before| {
                    before.start() == e.approved.start()
                        && before.end() < e.approved.end()
                        && entry.header().at < before.end()
                });
                approved = Some(e.approved);
                follows
                    && within(&e.approved, asked.as_ref())
                    && within_maximum(case, entry, EvaluationPurpose::Extension, asked.as_ref())
                    && !entry.refs().approvals.is_empty()
            }
            Event::GrantActivated(e) => approved.is_some_and(|window| window.contains(e.actual_start)),
            Event::CredentialIntended(e) => {
                issued.extend(credential.map(|id| (id, e.issued)));
                within(&e.issued, approved.as_ref())
            }
            Event::CredentialPrepared(e) => intended(&issued, credential, &e.descriptor.window),
            Event::CredentialIssued(e) => intended(&issued, credential, &e.descriptor.window),
            _ => true,
        };
        if !holds {
            report.violated(Inv05, &[entry], "its window is not within the one before it");
        }
    }
}

/// A credential without an intent is INV-01's to report.
fn intended(issued: &HashMap<CredentialId, Window>, credential: Option<CredentialId>, window: &Window) -> bool {
    credential.and_then(|id| issued.get(&id)).is_none_or(|intended| window.is_within(intended))
}

/// For an extension the decision must be its own and permit; for a request a missing decision is INV-01's to report.
fn within_maximum(
    case: &CaseStream<'_>,
    entry: &Entry<'_>,
    purpose: EvaluationPurpose,
    window: Option<&Window>,
) -> bool {
    match case.earlier(entry.refs().decision, entry).map(|decision| &decision.event) {
        Some(Ok(Event::PolicyEvaluated(e))) if e.purpose == purpose => {
            let max = e.decision.obligations.max_duration();
            let longest = max.is_none_or(|max| window.is_some_and(|w| w.duration() <= max.to_duration()));
            longest && (purpose == EvaluationPurpose::Request || e.decision.permits())
        }
        _ => purpose == EvaluationPurpose::Request,
    }
}

/// INV-06. `request.submitted` ⊇ `approval.narrowed` ⊇ `grant.approved` ⊇ `credential.intended`, by scope.
pub(super) fn scopes(case: &CaseStream<'_>, report: &mut Report) {
    let mut requested = case.request().map(|(_, request)| &request.scope);
    let mut approved = None;
    for entry in case.entries() {
        let (scope, outer) = match &entry.event {
            Ok(Event::ApprovalNarrowed(e)) => (&e.scope, requested.replace(&e.scope)),
            Ok(Event::GrantApproved(e)) => {
                approved = Some(&e.scope);
                (&e.scope, requested)
            }
            Ok(Event::CredentialIntended(e)) => (&e.scope, approved),
            _ => continue,
        };
        if outer.is_some_and(|outer| !scope.is_within(outer)) {
            report.violated(Inv06, &[entry], "its scope is not within the one before it");
        }
    }
}
