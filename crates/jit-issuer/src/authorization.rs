//! The right to mint one credential, made from its recorded intent and nothing else.

use jit_core::{
    Case, CaseDecision, CaseGrant, CaseId, Condition, CredentialDescriptor, CredentialId, CredentialIntended, GrantId,
    HolderKey, IssuerCapabilities, IssuerName, Kind, LeafHash, LogOrigin, MintState, Principal, PrincipalId, RecordId,
    Recorded, Scope, Timestamp, Window, code,
};
use zeroize::Zeroizing;

use crate::{
    binding::{Binding, RecordMismatch, in_place},
    issuer::CredentialIssuer,
    minting::{MintError, Prepared},
    sealed::{Sealed, SecretError},
};

/// A record does not authorise the effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// It is not a record of the kind needed in this case.
    #[error(transparent)]
    Record(#[from] RecordMismatch),
    /// It is not an intent of this case that still lacks its outcome.
    #[error("record {0} is not a pending intent of its case")]
    NotPending(RecordId),
    /// The grant has ended, or there never was one.
    #[error("case {0} has no live grant")]
    NoLiveGrant(CaseId),
    /// The approvals that count do not meet what the decision asks for (INV-01).
    #[error("grant {0} is not approved as its decision demands")]
    NotApproved(GrantId),
    /// The decision at issuance is missing or does not permit (INV-08).
    #[error("no decision permits to issue credential {0}")]
    NotPermitted(CredentialId),
    /// The intent goes beyond the grant in window, scope or subject (INV-05, INV-06).
    #[error("credential {0} is intended beyond its grant")]
    BeyondGrant(CredentialId),
}

/// The right to mint the one credential that a recorded `credential.intended` names.
///
/// Only [`MintAuthorization::new`] makes one, from a case and a record proven to be in the log. The record's place in the
/// chain of the case commits to the decision and the approvals before it (INV-01). It is not `Clone`, and is lent to
/// [`CredentialIssuer::mint`](crate::CredentialIssuer::mint): whoever mints twice under it mints the same credential id.
///
/// ```
/// use jit_core::{Case, Recorded};
/// use jit_issuer::{AuthorizationError, CredentialIssuer, MintAuthorization, MintError, Minting};
///
/// async fn mint(
///     issuer: &dyn CredentialIssuer,
///     case: &Case,
///     intended: &Recorded,
/// ) -> Result<Result<Minting, MintError>, AuthorizationError> {
///     let authorization = MintAuthorization::new(case, intended)?;
///     Ok(issuer.mint(&authorization).await)
/// }
/// ```
#[derive(Debug)]
pub struct MintAuthorization {
    binding: Binding,
    index: u64,
    at: Timestamp,
    case: CaseId,
    grant: GrantId,
    decision: RecordId,
    requester: Principal,
    conditions: Vec<Condition>,
    intended: CredentialIntended,
}

impl MintAuthorization {
    /// Accepts the case's own pending `credential.intended`, while its grant is approved, live, and not exceeded.
    ///
    /// # Errors
    /// [`AuthorizationError`] naming what is missing.
    pub fn new(case: &Case, intended: &Recorded) -> Result<Self, AuthorizationError> {
        in_place(intended, case.log(), case.stream(), Kind::CredentialIntended)?;
        let header = intended.header();
        let (id, credential) = header
            .refs
            .credential
            .and_then(|id| case.credentials().get_key_value(&id))
            .filter(|(_, c)| c.intended_leaf == intended.leaf() && c.mint == MintState::Pending)
            .ok_or(AuthorizationError::NotPending(header.id))?;
        let no_grant = AuthorizationError::NoLiveGrant(case.id());
        let (Some(grant), Some(request)) = (case.grant().filter(|g| g.end.is_none()), case.request()) else {
            return Err(no_grant);
        };
        if header.refs.approved_by != Some(grant.leaf) || !is_approved(case) {
            return Err(AuthorizationError::NotApproved(grant.id));
        }
        let decision = case
            .decisions()
            .iter()
            .find(|d| Some(d.leaf) == credential.decision && d.decision.permits())
            .ok_or(AuthorizationError::NotPermitted(*id))?;
        if !is_within(&credential.intended, grant) {
            return Err(AuthorizationError::BeyondGrant(*id));
        }
        Ok(Self {
            binding: Binding {
                log: case.log().clone(),
                stream: case.stream(),
                credential: *id,
                intended: intended.leaf(),
            },
            index: intended.index(),
            at: header.at,
            case: case.id(),
            grant: grant.id,
            decision: decision.id,
            requester: request.submitted.requester.clone(),
            conditions: grant.approved.conditions.clone(),
            intended: credential.intended.clone(),
        })
    }

    /// The id that the credential carries at its target.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.binding.credential
    }

    /// The grant.
    #[must_use]
    pub fn grant(&self) -> GrantId {
        self.grant
    }

    /// The case.
    #[must_use]
    pub fn case(&self) -> CaseId {
        self.case
    }

    /// The record of the decision at issuance.
    #[must_use]
    pub fn decision(&self) -> RecordId {
        self.decision
    }

    /// The log in which the evidence is.
    #[must_use]
    pub fn log(&self) -> &LogOrigin {
        &self.binding.log
    }

    /// The place of the intent in the log: a number that no other credential of this log has.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// When the mint was intended: issuers take the moment of an issuance from here.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The evidence digest that the credential carries: the leaf of its `credential.intended`.
    #[must_use]
    pub fn evidence(&self) -> LeafHash {
        self.binding.intended
    }

    /// The issuer that was meant.
    #[must_use]
    pub fn issuer(&self) -> &IssuerName {
        &self.intended.issuer
    }

    /// What the issuer said it can do when the mint was intended.
    #[must_use]
    pub fn capabilities(&self) -> &IssuerCapabilities {
        &self.intended.capabilities
    }

    /// Whom the credential identifies: the recipient of the grant.
    #[must_use]
    pub fn subject(&self) -> &PrincipalId {
        &self.intended.subject
    }

    /// What it allows.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.intended.scope
    }

    /// When it works. What is minted must lie within.
    #[must_use]
    pub fn issued(&self) -> Window {
        self.intended.issued
    }

    /// The key of its holder that the credential must be bound to.
    #[must_use]
    pub fn holder_key(&self) -> Option<&HolderKey> {
        self.intended.holder_key.as_ref()
    }

    /// For issuers whose credentials work for whoever has them.
    ///
    /// # Errors
    /// [`MintError::Refused`] with `cannot_bind` if the credential must be bound to a key of its holder.
    pub fn needs_no_binding(&self) -> Result<(), MintError> {
        if self.holder_key().is_some() { Err(MintError::Refused { cause: code!("cannot_bind") }) } else { Ok(()) }
    }

    /// The conditions of the grant.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Who asked; an agent's owner and the chain on whose behalf it acts are in it.
    #[must_use]
    pub fn requester(&self) -> &Principal {
        &self.requester
    }

    /// Whether this issuer was meant, with the capabilities it has.
    ///
    /// # Errors
    /// [`MintError::Refused`] if not.
    pub fn meant_for(&self, issuer: &dyn CredentialIssuer) -> Result<(), MintError> {
        if self.issuer() == issuer.name() && *self.capabilities() == issuer.capabilities() {
            Ok(())
        } else {
            Err(MintError::Refused { cause: code!("other_issuer_intended") })
        }
    }

    /// Seals a minted secret until the `credential.issued` of this credential is recorded.
    ///
    /// # Errors
    /// [`SecretError`] if the secret is empty or too long; it is erased then.
    pub fn seal(&self, secret: Zeroizing<Vec<u8>>) -> Result<Sealed, SecretError> {
        Sealed::new(self.binding.clone(), secret)
    }

    /// What a target prepared under this authorisation; it is committed by the `credential.prepared` of this credential.
    pub fn prepare(&self, descriptor: CredentialDescriptor, secret: Option<Sealed>) -> Prepared {
        Prepared::new(self.binding.clone(), descriptor, secret)
    }
}

/// Whether the approvals that count meet the quorum of each decision that the grant rests on, the one on the request and
/// those on extensions; a rule's approval does if it asks for none.
fn is_approved(case: &Case) -> bool {
    let is_met = |decided: &CaseDecision| {
        let approvals: Vec<_> = case.approvals_for(decided.leaf).collect();
        let groups: Vec<_> = approvals.iter().filter_map(|a| a.approval.group.clone()).collect();
        let quorum = decided.decision.obligations.approvals();
        decided.decision.permits() && !approvals.is_empty() && quorum.is_none_or(|quorum| quorum.is_met(&groups))
    };
    case.first_decision().is_some() && case.standing_decisions().all(is_met)
}

fn is_within(intended: &CredentialIntended, grant: &CaseGrant) -> bool {
    let approved = &grant.approved;
    intended.issued.is_within(&approved.approved)
        && intended.scope.is_within(&approved.scope)
        && intended.subject == approved.recipient
}
