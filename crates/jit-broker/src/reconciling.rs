//! Comparing a target with the records: what live grants should have and is gone or altered, and what stands there unexplained.

use jit_core::{
    CaseCredential, CaseId, Code, Command, CrashClass, CredentialDescriptor, CredentialId, DueTask, EndBy, Event,
    ExternalId, IssuerName, Lookup, LookupFamily, MintState, OrphanEnded, OrphanFound, Record, Recorded, Refs,
    StepOrigin, StreamId, Timestamp, code,
};
use jit_issuer::{CredentialIssuer, Found, ObserveError, Observed, OrphanAuthorization, ReconcileQuery, RevokeOutcome};

use crate::{broker::Broker, error::BrokerError};

/// How much is read at a time.
const PAGE: usize = 256;

/// What a comparison of a target with the records found and did.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// How many live credentials were looked at.
    pub checked: usize,
    /// Grants that ended because their credential was gone or altered.
    pub modified: Vec<CaseId>,
    /// Names at the target that no record explained.
    pub orphans: Vec<ExternalId>,
    /// Those of them that were ended.
    pub orphans_ended: Vec<ExternalId>,
    /// What could not be found out or ended this time, as codes; the next comparison tries again.
    pub unclear: Vec<Code>,
}

impl Broker {
    /// Compares an issuer's target with the records, once. Live grants whose credential is gone or altered there end as
    /// `grant.externally_modified`. What looks like ours, was made at or after `since` and is explained by no record, is
    /// recorded as `orphan.found` and ended. Targets without state of their own have nothing to compare.
    ///
    /// Brokers may do so side by side; one under a lease of its own at a time is enough. Dropping the future leaves the rest to
    /// the next time.
    ///
    /// # Errors
    /// [`BrokerError`] if the log cannot be read or written. What the target does not answer is in the result.
    #[tracing::instrument(skip_all, err, fields(%issuer))]
    pub async fn reconcile(&self, issuer: &IssuerName, since: Timestamp) -> Result<Reconciled, BrokerError> {
        let issuer = &**self.issuer(issuer)?;
        let mut result = Reconciled::default();
        if matches!(issuer.capabilities().class, CrashClass::RemoteStateful | CrashClass::RemoteShared) {
            self.compare_live(issuer, &mut result).await?;
            self.find_orphans(issuer, since, &mut result).await?;
        }
        Ok(result)
    }

    /// Every live grant is scheduled to expire, so the schedule lists them.
    async fn compare_live(&self, issuer: &dyn CredentialIssuer, result: &mut Reconciled) -> Result<(), BrokerError> {
        let mut after = None;
        loop {
            let page = self.log.scheduled(self.clock.now().at, after, PAGE).await?;
            for work in &page.work {
                if let (StreamId::Case(id), DueTask::Expire) = (work.id().stream, work.id().task) {
                    self.compare_case(issuer, id, result).await?;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn compare_case(
        &self,
        issuer: &dyn CredentialIssuer,
        id: CaseId,
        result: &mut Reconciled,
    ) -> Result<(), BrokerError> {
        let case = self.load_existing(id).await?;
        let released = case.credentials().iter().filter(|(_, c)| is_live(c) && c.intended.issuer == *issuer.name());
        for (credential, known) in released {
            let Some(descriptor) = &known.descriptor else { continue };
            result.checked = result.checked.saturating_add(1);
            let query = ReconcileQuery::new(*credential, known.intended.clone());
            let finding = match self.patiently(issuer.reconcile(&query)).await {
                Some(Ok(Observed::Exists(seen))) if same(&seen, descriptor) => continue,
                Some(Ok(Observed::Exists(_))) => code!("altered"),
                Some(Ok(Observed::Gone | Observed::NeverExisted)) => code!("gone"),
                Some(Err(ObserveError::Unknown { cause })) => {
                    result.unclear.push(cause);
                    continue;
                }
                Some(Err(_)) => {
                    result.unclear.push(code!("unsupported"));
                    continue;
                }
                None => {
                    result.unclear.push(code!("timed_out"));
                    continue;
                }
            };
            // What died by itself meanwhile was not changed by anybody.
            let died = known.dies_at().is_some_and(|at| at <= self.clock.now().at);
            if !died && self.end_modified(id, *credential, finding).await? {
                result.modified.push(id);
            }
            // The grant has ended, with whatever else it has.
            return Ok(());
        }
        Ok(())
    }

    /// Ends a grant for what was found, unless it has ended or its credential is being taken back: then it was us.
    async fn end_modified(&self, id: CaseId, credential: CredentialId, finding: Code) -> Result<bool, BrokerError> {
        let case = self.load_existing(id).await?;
        let (Some(retain), true) = (case.retain().cloned(), case.credentials().get(&credential).is_some_and(is_live))
        else {
            return Ok(false);
        };
        let by = EndBy::Target { finding };
        let command = Command::End { by, cause: code!("changed_at_target"), reason: None };
        let turn = self.turn(id, &command, &StepOrigin::internal(retain)).await?;
        if turn.outcome.is_err() {
            return Ok(false);
        }
        self.after_end(turn.case).await?;
        Ok(true)
    }

    async fn find_orphans(
        &self,
        issuer: &dyn CredentialIssuer,
        since: Timestamp,
        result: &mut Reconciled,
    ) -> Result<(), BrokerError> {
        let mut after = None;
        loop {
            let page = match self.patiently(issuer.list(since, after.as_ref())).await {
                Some(Ok(page)) => page,
                Some(Err(ObserveError::Unknown { cause })) => {
                    result.unclear.push(cause);
                    return Ok(());
                }
                Some(Err(_)) => return Ok(()),
                None => {
                    result.unclear.push(code!("timed_out"));
                    return Ok(());
                }
            };
            for found in &page.found {
                // Whatever is listed has had its intent recorded before it was minted, so the records are asked now.
                if !self.is_explained(issuer.name(), found).await? {
                    self.end_orphan(issuer, found, result).await?;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether a record says that what was found may live, or will be found out to. A state that grants share is listed under one
    /// of them at most, and may live by another.
    async fn is_explained(&self, issuer: &IssuerName, found: &Found) -> Result<bool, BrokerError> {
        let by_id = found.credential.map(|id| Lookup::new(LookupFamily::Credential, id));
        for lookup in by_id.into_iter().chain([Lookup::shared(issuer, &found.serial)]) {
            if self.finds_living(issuer, &lookup).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a credential of the issuer that may live is found so.
    async fn finds_living(&self, issuer: &IssuerName, lookup: &Lookup) -> Result<bool, BrokerError> {
        let mut from = 0;
        loop {
            let records = self.log.find(lookup, from, PAGE).await?;
            let Some(last) = records.last() else { return Ok(false) };
            from = last.index().saturating_add(1);
            for record in &records {
                let header = record.record().header();
                let (StreamId::Case(case), Some(credential)) = (header.stream, header.refs.credential) else {
                    continue;
                };
                let case = self.load_existing(case).await?;
                let known = case.credentials().get(&credential);
                if known.is_some_and(|c| c.may_live() && c.intended.issuer == *issuer) {
                    return Ok(true);
                }
            }
        }
    }

    async fn end_orphan(
        &self,
        issuer: &dyn CredentialIssuer,
        found: &Found,
        result: &mut Reconciled,
    ) -> Result<(), BrokerError> {
        let (record, recorded) = self.orphan(issuer.name(), &found.serial).await?;
        result.orphans.push(found.serial.clone());
        let authorization = match OrphanAuthorization::new(&record, &recorded) {
            Ok(authorization) => authorization,
            Err(_) => {
                result.unclear.push(code!("not_authorized"));
                return Ok(());
            }
        };
        let finding = match self.patiently(issuer.end_orphan(&authorization)).await {
            Some(Ok(RevokeOutcome::Revoked { finding })) => finding,
            Some(Ok(RevokeOutcome::AlreadyGone)) => code!("already_gone"),
            Some(Ok(_)) => {
                result.unclear.push(code!("orphan_lives_on"));
                return Ok(());
            }
            Some(Err(error)) => {
                result.unclear.push(error.code());
                return Ok(());
            }
            None => {
                result.unclear.push(code!("timed_out"));
                return Ok(());
            }
        };
        let ended = OrphanEnded { issuer: issuer.name().clone(), name: found.serial.clone(), finding };
        let refs = Refs { cause: Some(record.leaf()), credential: found.credential, ..Refs::default() };
        self.note_orphan(ended.into(), refs).await?;
        result.orphans_ended.push(found.serial.clone());
        Ok(())
    }

    /// The proven `orphan.found` of a name, recorded anew unless it is on record and was not ended since: what stays does not
    /// fill the log.
    async fn orphan(&self, issuer: &IssuerName, name: &ExternalId) -> Result<(Record, Recorded), BrokerError> {
        let lookup = Lookup::orphan(issuer, name);
        let (mut open, mut from) = (None, 0);
        loop {
            let page = self.log.find(&lookup, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.index().saturating_add(1);
            for record in page {
                open = matches!(record.record().event(), Ok(Event::OrphanFound(_))).then_some(record);
            }
        }
        if let Some(open) = open {
            let recorded = self.log.receipt(&[open.index()]).await?.into_recorded().into_iter().next();
            return Ok((open.record().clone(), recorded.ok_or(BrokerError::Interrupted)?));
        }
        let found = OrphanFound { issuer: issuer.clone(), name: name.clone() };
        self.note_orphan(found.into(), Refs::default()).await
    }

    async fn note_orphan(&self, event: Event, refs: Refs) -> Result<(Record, Recorded), BrokerError> {
        let stream = StreamId::Ops(self.recorder.writer());
        let class = self.log.governance_class().clone();
        let draft = self.recorder.draft(stream, event, refs, class, self.clock.now())?;
        let (record, appended) = self.note(draft).await?;
        let receipt = appended.receipt().await?;
        let recorded = receipt.into_recorded().into_iter().find(|r| r.leaf() == record.leaf());
        Ok((record, recorded.ok_or(BrokerError::Interrupted)?))
    }
}

/// Whether a credential was released and may work, as far as the records know.
fn is_live(known: &CaseCredential) -> bool {
    known.mint == MintState::Issued && known.may_live() && !known.is_being_revoked()
}

/// Whether what stands at the target is what was issued, as far as it grants anything.
fn same(seen: &CredentialDescriptor, issued: &CredentialDescriptor) -> bool {
    seen.subject == issued.subject
        && seen.serial == issued.serial
        && seen.fingerprint == issued.fingerprint
        && seen.window.is_within(&issued.window)
}
