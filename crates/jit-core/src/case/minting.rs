//! From an approved grant to a credential that exists, or provably does not.

use std::time::Duration;

use crate::{
    case::{
        Case, CaseCredential, CaseGrant, MintState, Phase, RevocationState,
        command::{Context, Decided, Intend, Step},
        refusal::Refusal,
    },
    code,
    credential::{CredentialDescriptor, IssuerCapabilities},
    event::{
        CredentialExpired, CredentialFailed, CredentialIntended, CredentialIssued, CredentialPrepared,
        CredentialReconciled, CredentialUnknown, Event, GrantActivated,
    },
    ids::CredentialId,
    text::Code,
    time::Timestamp,
    window::Window,
};

/// How long before the decision the issued window may have been computed: targets and policies are asked in between.
const MAX_LAG: Duration = Duration::from_secs(60);

impl Case {
    /// The window a credential minted now may have at most: what is left of the approved one, its start set back by no
    /// more than `backdate` and never before the approved start, its end never moved, capped by what the issuer can do.
    ///
    /// # Errors
    /// [`Refusal`] if there is no live grant, its window is not open, or what is left is shorter than the issuer can mint.
    pub fn issuable_window(
        &self,
        now: Timestamp,
        backdate: Duration,
        capabilities: &IssuerCapabilities,
    ) -> Result<Window, Refusal> {
        let grant = self.live_grant()?;
        let closed = Refusal::WindowNotOpen { now };
        if !grant.approved.approved.contains(now) {
            return Err(closed);
        }
        let longest = longest(capabilities, backdate);
        let window = grant
            .approved
            .approved
            .remainder(now.saturating_sub(backdate))
            .and_then(|w| w.shortened_to(longest))
            .ok_or(closed)?;
        if window.end().since(now) < Duration::from_secs(capabilities.min_ttl_s.into()) {
            return Err(Refusal::TooShort(capabilities.min_ttl_s));
        }
        Ok(window)
    }

    pub(super) fn live_grant(&self) -> Result<&CaseGrant, Refusal> {
        match (&self.grant, self.phase()) {
            (Some(grant), Phase::Approved | Phase::Activated) => Ok(grant),
            (_, phase) => Err(Refusal::Phase(phase)),
        }
    }

    /// Whether a mint may be intended now, before the policy is asked again. A credential that lives stands against it,
    /// unless it is to be renewed; one that has died by itself does not.
    ///
    /// # Errors
    /// [`Refusal`] naming what stands against it; [`Refusal::SecretNotRetained`] if a credential is issued already.
    pub fn may_mint(&self, now: Timestamp, renew: bool) -> Result<(), Refusal> {
        let grant = self.live_grant()?;
        if let Some(condition) = self.conditions_unmet().next() {
            return Err(Refusal::ConditionUnmet(condition.id.clone()));
        }
        for (id, credential) in &self.credentials {
            if credential.is_unresolved() {
                return Err(Refusal::Unresolved(*id));
            }
            let lives = credential.may_live() && credential.dies_at().is_none_or(|at| now < at);
            if let (true, Some(descriptor)) = (lives && !renew, &credential.descriptor) {
                return Err(Refusal::SecretNotRetained(Box::new(descriptor.clone())));
            }
        }
        if grant.approved.approved.contains(now) { Ok(()) } else { Err(Refusal::WindowNotOpen { now }) }
    }

    /// The credentials whose place a fresh one takes: of the same issuer, still living, not being taken back.
    pub fn superseded_by(&self, fresh: &CredentialDescriptor, now: Timestamp) -> impl Iterator<Item = CredentialId> {
        let lives = move |c: &CaseCredential| {
            matches!(c.mint, MintState::Issued | MintState::FoundExisting)
                && matches!(c.revocation, RevocationState::None | RevocationState::Failed)
                && c.may_live()
                && c.dies_at().is_none_or(|at| now < at)
        };
        let others = self.credentials.iter().filter(|(id, c)| **id != fresh.id && c.intended.issuer == fresh.issuer);
        others.filter(move |(_, c)| lives(c)).map(|(id, _)| *id)
    }

    pub(super) fn intend(&self, intend: &Intend, renew: bool, context: &Context) -> Decided {
        match self.try_intend(intend, renew, context) {
            Ok(decided) => decided,
            Err(refusal) => Decided::refused(refusal),
        }
    }

    fn try_intend(&self, intend: &Intend, renew: bool, context: &Context) -> Result<Decided, Refusal> {
        self.may_mint(context.now, renew)?;
        let grant = self.live_grant()?;
        if self.credentials.contains_key(&intend.credential) {
            return Err(Refusal::Credential(intend.credential));
        }
        self.has_parent(intend.parent)?;
        let allowed = self.issuable_window(context.now, intend.backdate, &intend.capabilities)?;
        // Time has passed since it was computed, so that it may start earlier than one computed now, within bounds; the rest
        // of what is allowed only narrows or moves on.
        let earliest = context.now.saturating_sub(intend.backdate).saturating_sub(MAX_LAG);
        let fits = intend.issued.is_within(&grant.approved.approved)
            && earliest <= intend.issued.start()
            && intend.issued.end() <= allowed.end()
            && intend.issued.duration() <= longest(&intend.capabilities, intend.backdate);
        if !fits {
            return Err(Refusal::BeyondApproved);
        }
        let record = match self.decide_anew(&intend.evaluated, context)? {
            Ok(record) => record,
            Err(withdrawn) => return Ok(withdrawn),
        };
        let intent = CredentialIntended {
            issuer: intend.issuer.clone(),
            capabilities: intend.capabilities.clone(),
            subject: grant.approved.recipient.clone(),
            scope: grant.approved.scope.clone(),
            issued: intend.issued,
            backdate_s: u32::try_from(intend.backdate.as_secs()).unwrap_or(u32::MAX),
            holder_key: intend.holder_key.clone(),
            resolve_at: intend.resolve_at,
        };
        let mut decided = Decided::done([record]);
        decided.steps.push(Step { event: intent.into(), about: Some(intend.credential) });
        Ok(decided)
    }

    fn in_state(&self, credential: CredentialId, states: &[MintState]) -> Result<&CaseCredential, Refusal> {
        self.credentials.get(&credential).filter(|c| states.contains(&c.mint)).ok_or(Refusal::Credential(credential))
    }

    pub(super) fn prepared(&self, credential: CredentialId, descriptor: &CredentialDescriptor) -> Decided {
        match self.in_state(credential, &[MintState::Pending]) {
            Ok(c) if as_intended(c, credential, descriptor) => {
                Decided::about(credential, [CredentialPrepared { descriptor: descriptor.clone() }.into()])
            }
            Ok(_) => Decided::refused(Refusal::NotAsIntended(credential)),
            Err(refusal) => Decided::refused(refusal),
        }
    }

    pub(super) fn issued(
        &self,
        credential: CredentialId,
        descriptor: &CredentialDescriptor,
        context: &Context,
    ) -> Decided {
        let intended = match self.in_state(credential, &[MintState::Pending, MintState::Prepared]) {
            Ok(intended) => intended,
            Err(refusal) => return Decided::refused(refusal),
        };
        let issued = CredentialIssued { descriptor: descriptor.clone() }.into();
        if !as_intended(intended, credential, descriptor) {
            // Something exists that nobody approved. It is not recorded as issued, which would claim so, nor as failed, which
            // would forget it: it is looked for at once, and taken back.
            let astray = CredentialUnknown { cause: code!("not_as_intended"), reconcile_at: context.now };
            return Decided::about(credential, [astray.into()]).but(Refusal::NotAsIntended(credential));
        }
        let Ok(grant) = self.live_grant() else {
            return Decided::about(credential, [issued]).but(Refusal::EndedMeanwhile(credential));
        };
        if !grant.approved.approved.contains(context.now) {
            return Decided::about(credential, [issued]).but(Refusal::EndedMeanwhile(credential));
        }
        let mut events: Vec<Event> = vec![issued];
        if grant.activated.is_none() {
            events.push(GrantActivated { actual_start: context.now.max(descriptor.window.start()) }.into());
        }
        Decided::about(credential, events)
    }

    pub(super) fn mint_failed(&self, credential: CredentialId, cause: &Code) -> Decided {
        match self.in_state(credential, &[MintState::Pending, MintState::Prepared]) {
            Ok(_) => Decided::about(credential, [CredentialFailed { cause: cause.clone() }.into()]),
            Err(refusal) => Decided::refused(refusal),
        }
    }

    pub(super) fn mint_unknown(&self, credential: CredentialId, cause: &Code, reconcile_at: Timestamp) -> Decided {
        match self.in_state(credential, &[MintState::Pending, MintState::Prepared]) {
            Ok(_) => Decided::about(credential, [CredentialUnknown { cause: cause.clone(), reconcile_at }.into()]),
            Err(refusal) => Decided::refused(refusal),
        }
    }

    pub(super) fn mint_reconciled(
        &self,
        credential: CredentialId,
        existing: Option<&CredentialDescriptor>,
        finding: &Code,
    ) -> Decided {
        if let Err(refusal) = self.in_state(credential, &[MintState::Unknown]) {
            return Decided::refused(refusal);
        }
        let record = CredentialReconciled {
            exists: existing.is_some(),
            finding: finding.clone(),
            descriptor: existing.cloned(),
        };
        Decided::about(credential, [record.into()])
    }

    pub(super) fn credential_expired(&self, credential: CredentialId, context: &Context) -> Decided {
        match self.in_state(credential, &[MintState::Issued, MintState::FoundExisting]) {
            // An attempt under way ends first, so that its outcome is on record (INV-03).
            Ok(c) if c.is_being_revoked() => Decided::refused(Refusal::Unresolved(credential)),
            Ok(c) if c.may_live() => match c.dies_at() {
                Some(expired_at) if expired_at <= context.now => {
                    Decided::about(credential, [CredentialExpired { expired_at }.into()])
                }
                Some(at) => Decided::refused(Refusal::NotDue(at)),
                None => Decided::refused(Refusal::Credential(credential)),
            },
            Ok(_) => Decided::refused(Refusal::Credential(credential)),
            Err(refusal) => Decided::refused(refusal),
        }
    }
}

/// How long a window may be at most that an issuer can serve.
fn longest(capabilities: &IssuerCapabilities, backdate: Duration) -> Duration {
    Duration::from_secs(capabilities.max_ttl_s.into()).saturating_add(backdate)
}

/// Whether what exists is what was intended: same id, issuer and subject, and no longer life (R36, R39).
fn as_intended(c: &CaseCredential, id: CredentialId, descriptor: &CredentialDescriptor) -> bool {
    descriptor.id == id
        && descriptor.issuer == c.intended.issuer
        && descriptor.subject == c.intended.subject
        && descriptor.capabilities == c.intended.capabilities
        && descriptor.window.is_within(&c.intended.issued)
}
