//! INV-03: every intent has one outcome, and what is unknown is found out.

use std::collections::BTreeMap;

use super::{
    finding::Report,
    id::InvariantId::Inv03,
    view::{CaseStream, Entry},
};
use crate::{
    event::{Event, Kind},
    ids::CredentialId,
    time::Timestamp,
};

pub(super) fn needs(kind: &Kind) -> bool {
    super::ending::needs_ends(kind)
        || matches!(
            kind,
            Kind::CredentialIntended
                | Kind::CredentialIssued
                | Kind::CredentialFailed
                | Kind::CredentialUnknown
                | Kind::CredentialReconciled
                | Kind::CredentialExpired
                | Kind::RevocationIntended
                | Kind::RevocationConfirmed
                | Kind::RevocationFailed
                | Kind::RevocationUnknown
                | Kind::RevocationReconciled
                | Kind::RevocationIrrevocable
        )
}

/// Where the latest intent of one sort about a credential stands.
#[derive(Default)]
enum Intent<'v> {
    #[default]
    None,
    /// No outcome yet; due at the moment given.
    Open(&'v Entry<'v>, Timestamp),
    /// The outcome is unknown; to be found out at the moment given.
    Unknown(&'v Entry<'v>, Timestamp),
    Settled,
}

impl<'v> Intent<'v> {
    fn is_unsettled(&self) -> bool {
        matches!(self, Self::Open(..) | Self::Unknown(..))
    }

    /// Takes an outcome in; `false` if none was awaited.
    fn outcome(&mut self, entry: &'v Entry<'v>, reconcile_at: Option<Timestamp>) -> bool {
        let awaited = matches!(self, Self::Open(..));
        *self = reconcile_at.map_or(Self::Settled, |at| Self::Unknown(entry, at));
        awaited
    }

    fn reconciled(&mut self) -> bool {
        let awaited = matches!(self, Self::Unknown(..));
        *self = Self::Settled;
        awaited
    }
}

/// INV-03. For each credential, in order: `credential.intended`, one outcome, and a reconciliation if that is unknown; the
/// same for each `revocation.intended`, whose outcomes name it by `refs.cause`. Missing ones are due at `resolve_at` and
/// `reconcile_at`, or when the case is closed.
pub(super) fn intents(case: &CaseStream<'_>, report: &mut Report) {
    let mut credentials: BTreeMap<CredentialId, (Intent<'_>, Intent<'_>)> = BTreeMap::new();
    for entry in case.entries() {
        let (Some(id), Ok(event)) = (entry.refs().credential, &entry.event) else { continue };
        let (mint, revocation) = credentials.entry(id).or_default();
        let answers = |revocation: &Intent<'_>| match revocation {
            Intent::Open(intent, _) => entry.refs().cause == Some(intent.leaf()),
            _ => true,
        };
        let holds = match event {
            Event::CredentialIntended(e) => {
                let first = matches!(mint, Intent::None);
                *mint = Intent::Open(entry, e.resolve_at);
                first
            }
            // Without any intent it is INV-01's to report.
            Event::CredentialIssued(_) => matches!(mint, Intent::None) || mint.outcome(entry, None),
            Event::CredentialFailed(_) => mint.outcome(entry, None),
            Event::CredentialUnknown(e) => mint.outcome(entry, Some(e.reconcile_at)),
            Event::CredentialReconciled(_) => mint.reconciled(),
            Event::RevocationIntended(e) => {
                let settled = !revocation.is_unsettled();
                *revocation = Intent::Open(entry, e.resolve_at);
                settled
            }
            Event::RevocationConfirmed(_) | Event::RevocationFailed(_) | Event::RevocationIrrevocable(_) => {
                answers(revocation) && revocation.outcome(entry, None)
            }
            Event::RevocationUnknown(e) => answers(revocation) && revocation.outcome(entry, Some(e.reconcile_at)),
            Event::RevocationReconciled(_) => revocation.reconciled(),
            _ => true,
        };
        if !holds {
            report.violated(Inv03, &[entry], "it is not the one record that was awaited about this credential");
        }
    }
    let closed = case.closed().is_some();
    for intent in credentials.values().flat_map(|(mint, revocation)| [mint, revocation]) {
        match intent {
            Intent::Open(entry, due) if closed || case.view.overdue(*due) => {
                report.violated(Inv03, &[entry], "the intent has no outcome");
            }
            Intent::Unknown(entry, due) if closed || case.view.overdue(*due) => {
                report.violated(Inv03, &[entry], "the unknown outcome was not found out");
            }
            _ => {}
        }
    }
}
