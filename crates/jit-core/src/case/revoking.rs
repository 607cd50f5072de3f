//! Taking a credential back: intent, outcome, and what to do when nobody knows.

use crate::{
    case::{
        Case, MintState, RevocationState,
        command::{Decided, RevocationOutcome},
        refusal::Refusal,
    },
    event::{
        Event, RevocationConfirmed, RevocationFailed, RevocationIntended, RevocationIrrevocable, RevocationReconciled,
        RevocationUnknown,
    },
    ids::CredentialId,
    text::Code,
    time::Timestamp,
};

impl Case {
    pub(super) fn intend_revocation(&self, credential: CredentialId, cause: &Code, resolve_at: Timestamp) -> Decided {
        let open = self.credentials.get(&credential).filter(|c| {
            matches!(c.mint, MintState::Issued | MintState::FoundExisting)
                && c.may_live()
                && matches!(c.revocation, RevocationState::None | RevocationState::Failed)
        });
        let Some(open) = open else {
            return Decided::refused(Refusal::Credential(credential));
        };
        let attempt = open.attempts.saturating_add(1);
        Decided::about(credential, [RevocationIntended { cause: cause.clone(), attempt, resolve_at }.into()])
    }

    pub(super) fn revocation(&self, credential: CredentialId, outcome: &RevocationOutcome) -> Decided {
        if self.credentials.get(&credential).is_none_or(|c| c.revocation != RevocationState::Pending) {
            return Decided::refused(Refusal::Credential(credential));
        }
        let event: Event = match outcome.clone() {
            RevocationOutcome::Confirmed { finding } => RevocationConfirmed { finding }.into(),
            RevocationOutcome::Failed { cause, retry_at } => RevocationFailed { cause, retry_at }.into(),
            RevocationOutcome::Unknown { cause, reconcile_at } => RevocationUnknown { cause, reconcile_at }.into(),
            RevocationOutcome::Irrevocable { cause, until } => RevocationIrrevocable { cause, until }.into(),
        };
        Decided::about(credential, [event])
    }

    pub(super) fn revocation_reconciled(
        &self,
        credential: CredentialId,
        dead: bool,
        finding: &Code,
        retry_at: Option<Timestamp>,
    ) -> Decided {
        if self.credentials.get(&credential).is_none_or(|c| c.revocation != RevocationState::Unknown) {
            return Decided::refused(Refusal::Credential(credential));
        }
        let record = RevocationReconciled { dead, finding: finding.clone(), retry_at };
        Decided::about(credential, [record.into()])
    }
}
