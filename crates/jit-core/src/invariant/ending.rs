//! INV-04 and INV-22: a grant ends once, and its credentials with it.

use std::collections::{BTreeMap, HashSet};

use super::{
    finding::Report,
    id::InvariantId::{Inv04, Inv22},
    view::{CaseStream, Entry},
};
use crate::{
    credential::IssuerCapabilities,
    event::{Event, Kind},
    ids::CredentialId,
    project::{ending, is_end},
    time::Timestamp,
    window::Window,
};

pub(super) fn needs_ends(kind: &Kind) -> bool {
    is_end(kind) || matches!(kind, Kind::GrantApproved | Kind::GrantExtended)
}

/// INV-04. At most one end in a case with a grant; one once the approved or extended window has passed, or the case is
/// closed.
pub(super) fn one_end(case: &CaseStream<'_>, report: &mut Report) {
    let mut window: Option<(&Entry<'_>, Window)> = None;
    let mut first: Option<&Entry<'_>> = None;
    for entry in case.entries() {
        match &entry.event {
            Ok(Event::GrantApproved(e)) => window = Some((entry, e.approved)),
            Ok(Event::GrantExtended(e)) => window = Some((entry, e.approved)),
            Ok(event) if ending(event).is_some() => match first {
                Some(first) => report.violated(Inv04, &[first, entry], "the grant ends twice"),
                None => first = Some(entry),
            },
            _ => {}
        }
    }
    if let (Some((entry, window)), None) = (window, first)
        && (case.closed().is_some() || case.view.overdue(window.end()))
    {
        report.violated(Inv04, &[entry], "the window has passed, and no end is recorded");
    }
}

/// A credential that exists, by the records so far.
struct Living<'v> {
    entry: &'v Entry<'v>,
    dies_at: Option<Timestamp>,
    /// Whether it came to be known as existing; an unknown mint that is not found out is INV-03's to report.
    exists: bool,
    taking_back: TakingBack,
}

/// What is known of taking a credential back.
enum TakingBack {
    NotTried,
    /// Without an outcome, or with an unknown one: INV-03's to report.
    Awaited,
    Retry(Timestamp),
    /// Listed as one that cannot be taken back, with its reason.
    Irrevocable,
}

/// Whether the event says what became of a mint, even if that is not known.
fn mint_outcome(event: &Event) -> bool {
    matches!(
        event,
        Event::CredentialIssued(_)
            | Event::CredentialFailed(_)
            | Event::CredentialUnknown(_)
            | Event::CredentialReconciled(_)
    )
}

/// INV-22. Every credential that may live when its grant ends is in `residual` of the end; afterwards it is dead, seen or by
/// itself, or listed as irrevocable, when its own end, the retry that was announced, or the sweep is overdue.
pub(super) fn credentials(case: &CaseStream<'_>, report: &mut Report) {
    let mut living: BTreeMap<CredentialId, Living<'_>> = BTreeMap::new();
    let mut intended: BTreeMap<CredentialId, (&IssuerCapabilities, Window)> = BTreeMap::new();
    let mut under_way: HashSet<CredentialId> = HashSet::new();
    let mut end: Option<&Entry<'_>> = None;
    for entry in case.entries() {
        let Ok(event) = &entry.event else { continue };
        if let Some(ending) = ending(event) {
            let listed: HashSet<_> = ending.residual.credentials.iter().map(|residual| residual.credential).collect();
            // A second end is INV-04's to report.
            if end.is_none() && !living.keys().chain(&under_way).all(|id| listed.contains(id)) {
                report.violated(Inv22, &[entry], "a credential that may live is not listed at the end");
            }
            end.get_or_insert(entry);
        }
        let Some(id) = entry.refs().credential else { continue };
        let mut lives = |exists, capabilities: &IssuerCapabilities, window: &Window| {
            let dies_at = capabilities.dies_at(window);
            living.insert(id, Living { entry, dies_at, exists, taking_back: TakingBack::NotTried });
        };
        if mint_outcome(event) {
            under_way.remove(&id);
        }
        match event {
            Event::CredentialIntended(e) => {
                intended.insert(id, (&e.capabilities, e.issued));
                under_way.insert(id);
            }
            Event::CredentialIssued(e) => lives(true, &e.descriptor.capabilities, &e.descriptor.window),
            Event::CredentialUnknown(_) => {
                if let Some((capabilities, window)) = intended.get(&id) {
                    lives(false, capabilities, window);
                }
            }
            Event::CredentialReconciled(e) => match (&e.descriptor, intended.get(&id)) {
                (Some(descriptor), _) if e.exists => lives(true, &descriptor.capabilities, &descriptor.window),
                (None, Some((capabilities, window))) if e.exists => lives(true, capabilities, window),
                _ => {
                    living.remove(&id);
                }
            },
            Event::CredentialExpired(_) | Event::RevocationConfirmed(_) | Event::CredentialHandedOver(_) => {
                living.remove(&id);
            }
            Event::RevocationReconciled(e) if e.dead => {
                living.remove(&id);
            }
            _ => {
                let known = living.get_mut(&id);
                if let (Some(known), Some(state)) = (known, taking_back(event, entry.header().at)) {
                    known.taking_back = state;
                }
            }
        }
    }
    let Some(end) = end else { return };
    for credential in living.values().filter(|c| c.exists) {
        let since = credential.entry.header().at.max(end.header().at);
        let deadline = match (&credential.taking_back, credential.dies_at) {
            (TakingBack::Awaited, _) | (TakingBack::Irrevocable, None) => continue,
            (_, Some(dies_at)) => dies_at,
            (TakingBack::Retry(at), None) => *at,
            (TakingBack::NotTried, None) => since,
        };
        if case.closed().is_some() || case.view.overdue(deadline) {
            report.violated(Inv22, &[credential.entry, end], "nothing says what became of a credential after the end");
        }
    }
}

fn taking_back(event: &Event, at: Timestamp) -> Option<TakingBack> {
    match event {
        Event::RevocationIntended(_) | Event::RevocationUnknown(_) => Some(TakingBack::Awaited),
        Event::RevocationFailed(e) => Some(TakingBack::Retry(e.retry_at)),
        Event::RevocationDemanded(_) => Some(TakingBack::Retry(at)),
        Event::RevocationReconciled(e) => Some(e.retry_at.map_or(TakingBack::NotTried, TakingBack::Retry)),
        Event::RevocationIrrevocable(_) => Some(TakingBack::Irrevocable),
        _ => None,
    }
}
