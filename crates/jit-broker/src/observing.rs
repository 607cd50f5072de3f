//! Use of access that targets report, joined to its case and put on record there, once.

use jit_core::{
    AccessObserved, Case, CaseCredential, CaseId, Command, CredentialId, Event, Expected, Lookup, LookupFamily, Refs,
    Refusal, StepOrigin, StreamId, UseFinding,
};
use jit_issuer::{ObservedUse, UseBinding};
use jit_store::{AppendError, AppendRequest};

use crate::{broker::Broker, error::BrokerError, turn::NotTaken};

/// How much is read at a time.
const PAGE: usize = 16;

/// A use of access that is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "findings say what is wrong with the use"]
pub struct RecordedUse {
    /// The case.
    pub case: CaseId,
    /// The credential that was used.
    pub credential: CredentialId,
    /// What is wrong with the use, held against the records as they stand now. Empty if nothing is.
    pub findings: Vec<UseFinding>,
    /// Whether it was on record before; nothing was written then.
    pub repeated: bool,
}

impl Broker {
    /// Puts a use of access on record, as `access.observed` about the credential that was used. The same line read twice is recorded once.
    /// What is wrong with the use is no reason not to record it: the answer says so, and so does whoever asks the log later.
    ///
    /// `None` if no record explains the use: nobody recorded an intent for such a credential, or the reason that the target logged is not the
    /// credential's. Nothing is recorded then, least of all in another case; who reads the target's log should be alarmed.
    ///
    /// The record stands in the case, up to [`MAX_USES`](jit_core::MAX_USES), and in a stream beside it afterwards, or when the case is
    /// closed; it is found under the credential either way.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError`] if the log cannot be read or written.
    #[tracing::instrument(skip_all, err, fields(system = %used.event.system))]
    pub async fn observe(&self, used: &ObservedUse) -> Result<Option<RecordedUse>, BrokerError> {
        loop {
            let Some((case, credential)) = self.explaining(used.binding).await? else { return Ok(None) };
            match Box::pin(self.observe_in(case, credential, &used.event)).await {
                Ok(recorded) => return Ok(Some(recorded)),
                // Each conflict means that somebody else got further, so this ends when they are done.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    async fn observe_in(
        &self,
        case: Case,
        credential: CredentialId,
        used: &AccessObserved,
    ) -> Result<RecordedUse, NotTaken> {
        let (id, findings) = (case.id(), case.judge_use(credential, used).unwrap_or_default());
        let recorded = |repeated| RecordedUse { case: id, credential, findings, repeated };
        let command = self.index_key.observed_use(credential, used);
        let beside = self.index_key.act_stream(command);
        let known = |event: Option<&Event>| matches!(event, Some(Event::AccessObserved(_)));
        if known(case.caused_by(command)) || known(self.ops_stream(beside).await?.under(command)) {
            return Ok(recorded(true));
        }
        let (Some(retain), Some(intended)) = (case.retain().cloned(), case.credentials().get(&credential)) else {
            return Err(BrokerError::NoSuchCase(id).into());
        };
        let refs = Refs {
            request: Some(id),
            grant: case.grant().map(|grant| grant.id),
            credential: Some(credential),
            cause: Some(intended.intended_leaf),
            command: Some(command),
            ..Refs::default()
        };
        let origin = StepOrigin::command(command, retain.clone());
        let observe = [Command::Observe { credential, used: used.clone() }];
        if !case.is_closed() {
            let turn = self.try_turn(case, &observe, &origin, Vec::new()).await?;
            match turn.outcome {
                Ok(()) => return Ok(recorded(false)),
                Err(Refusal::Closed | Refusal::TooManyUses) => {}
                Err(refusal) => return Err(BrokerError::Refused { case: id, refusal }.into()),
            }
        }
        let draft = self.recorder.draft(beside, used.clone().into(), refs, retain, self.clock.now())?;
        let record = draft.seal(None, None)?;
        let request = AppendRequest::new().records(beside, Expected::Empty, vec![record]);
        match self.append(request).await {
            Ok(_) => Ok(recorded(false)),
            Err(AppendError::Conflict { .. }) => Err(NotTaken::Conflict),
            Err(error) => Err(NotTaken::Failed(error.into())),
        }
    }

    /// The case whose records explain what a target logged, and the credential.
    async fn explaining(&self, binding: UseBinding) -> Result<Option<(Case, CredentialId)>, BrokerError> {
        let lookup = match binding {
            UseBinding::Credential(id) => Lookup::new(LookupFamily::Credential, id),
            UseBinding::Reason(reason) => Lookup::new(LookupFamily::Grant, reason.grant),
        };
        for record in self.log.find(&lookup, 0, PAGE).await? {
            let StreamId::Case(id) = record.record().header().stream else { continue };
            let case = self.load_existing(id).await?;
            let named = case.credentials().iter().find(|(id, known)| names(binding, &case, **id, known));
            if let Some(credential) = named.map(|(id, _)| *id) {
                return Ok(Some((case, credential)));
            }
        }
        Ok(None)
    }
}

/// Whether a target that logs this means this credential of the case.
fn names(binding: UseBinding, case: &Case, credential: CredentialId, known: &CaseCredential) -> bool {
    match binding {
        UseBinding::Credential(id) => credential == id,
        // All three must be those of one credential: a text that mixes them is nobody's.
        UseBinding::Reason(reason) => {
            let decision = case.decisions().iter().find(|decision| Some(decision.leaf) == known.decision);
            known.intended_leaf == reason.evidence
                && case.grant().is_some_and(|grant| grant.id == reason.grant)
                && decision.is_some_and(|decision| decision.id == reason.decision)
        }
    }
}
