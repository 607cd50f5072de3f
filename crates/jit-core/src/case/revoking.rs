//! Taking a credential back: intent, outcome, what to do when nobody knows, and what stays because another grant has it.

use crate::{
    case::{
        Case, MintState, RevocationState,
        command::{Decided, RevocationOutcome},
        refusal::Refusal,
    },
    code,
    event::{
        CredentialHandedOver, Event, RevocationConfirmed, RevocationDemanded, RevocationFailed, RevocationIntended,
        RevocationIrrevocable, RevocationReconciled, RevocationUnknown,
    },
    ids::{CredentialId, GrantId},
    principal::PrincipalId,
    text::{Code, Prose},
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

    /// Has an irrevocable credential tried again: its attempts are counted anew.
    pub(super) fn demand_revocation(
        &self,
        credential: CredentialId,
        by: &PrincipalId,
        reason: Option<&Prose>,
    ) -> Decided {
        let given_up = self
            .credentials
            .get(&credential)
            .is_some_and(|c| c.may_live() && c.revocation == RevocationState::Irrevocable);
        if !given_up {
            return self.refused_act(by.clone(), code!("demand_revocation"), Refusal::Credential(credential));
        }
        Decided::about(credential, [RevocationDemanded { by: by.clone(), reason: reason.cloned() }.into()])
    }

    /// Leaves what a credential without secret stands for to another grant that has it too.
    pub(super) fn hand_over(&self, credential: CredentialId, to: GrantId) -> Decided {
        let ended = self.grant.as_ref().is_some_and(|g| g.end.is_some());
        let known = self.credentials.get(&credential).filter(|c| {
            // One that was never released goes back whether or not its grant has ended.
            (ended || c.mint == MintState::FoundExisting)
                && self.grant_id() != to
                && c.is_shared()
                && matches!(c.mint, MintState::Issued | MintState::FoundExisting)
                && c.may_live()
                && !c.is_being_revoked()
        });
        match known {
            Some(_) => Decided::about(credential, [CredentialHandedOver { to }.into()]),
            None => Decided::refused(Refusal::Credential(credential)),
        }
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
