//! A fresh credential takes the place of an earlier one: the intent to take the earlier one back is on record together with
//! the issuance, so that it is not forgotten if the process ends in between.

use jit_core::{
    CaseId, Command, CrashClass, CredentialDescriptor, CredentialId, LeafHash, RevocationState, StepOrigin, code,
};

use crate::{
    broker::Broker,
    error::BrokerError,
    turn::{NotTaken, Turn},
};

impl Broker {
    /// Records that a credential exists, and the intents to take back those that it supersedes.
    pub(crate) async fn issued_turn(
        &self,
        id: CaseId,
        credential: CredentialId,
        descriptor: &CredentialDescriptor,
        renew: bool,
    ) -> Result<Turn, BrokerError> {
        loop {
            let case = self.load_existing(id).await?;
            let retain = case.retain().cloned().ok_or(BrokerError::NoSuchCase(id))?;
            let now = self.clock.now().at;
            let resolve_at = now.saturating_add(self.settings.resolve_after);
            // Of what is one state of the target there is nothing earlier to take away.
            let replaces = renew && descriptor.capabilities.class != CrashClass::RemoteShared;
            let superseded = case.superseded_by(descriptor, now).filter(|_| replaces);
            let take_back =
                |credential| Command::IntendRevocation { credential, cause: code!("superseded"), resolve_at };
            let mut commands = vec![Command::Issued { credential, descriptor: descriptor.clone() }];
            commands.extend(superseded.map(take_back));
            match self.try_turn(case, &commands, &StepOrigin::internal(retain), Vec::new()).await {
                Ok(turn) => return Ok(turn),
                // Each conflict means that somebody else got further, so this ends when they are done.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    /// Takes back what a turn intended to, the new credential apart. What fails stays due.
    pub(crate) async fn take_superseded_back(&self, turn: &Turn, fresh: CredentialId) {
        // Others may be taking others back: only what this turn put on record is its own to do.
        let recorded = match &turn.appended {
            Some(appended) => appended.receipt().await.map(|r| r.recorded().iter().map(|r| r.leaf()).collect()),
            None => return,
        };
        let recorded: Vec<LeafHash> = match recorded {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::warn!(case = %turn.case.id(), %error, "superseded credentials stay for now");
                return;
            }
        };
        let own = |leaf: Option<LeafHash>| leaf.is_some_and(|leaf| recorded.contains(&leaf));
        let pending = turn.case.credentials().iter().filter(|(_, c)| c.revocation == RevocationState::Pending);
        for (credential, _) in pending.filter(|(id, c)| **id != fresh && own(c.revocation_leaf)) {
            if let Err(error) = self.take_back(turn, *credential).await {
                tracing::warn!(case = %turn.case.id(), %credential, %error, "a superseded credential stays for now");
            }
        }
    }
}
