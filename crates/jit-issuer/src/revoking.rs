//! The right to take one credential back, and what comes of it.

use jit_core::{
    Case, Code, CredentialDescriptor, CredentialId, Kind, LeafHash, Recorded, RevocationState, Timestamp, code,
};

use crate::{authorization::AuthorizationError, binding::in_place, issuer::CredentialIssuer};

/// What allows a credential to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokeBasis {
    /// The leaf of a recorded `revocation.intended`.
    Recorded(LeafHash),
    /// The store does not take records. Taking back only reduces privilege, so it may precede its record, which
    /// follows and says that it is late.
    StoreDown {
        /// Why it could not wait.
        reason: Code,
    },
}

/// The right to take one credential back.
#[derive(Debug)]
pub struct RevokeAuthorization {
    credential: CredentialId,
    basis: RevokeBasis,
    at: Timestamp,
    end: Option<Kind>,
}

impl RevokeAuthorization {
    /// Accepts the case's own `revocation.intended` that still lacks its outcome.
    ///
    /// # Errors
    /// [`AuthorizationError`] with any other record.
    pub fn recorded(case: &Case, intended: &Recorded) -> Result<Self, AuthorizationError> {
        in_place(intended, case.log(), case.stream(), Kind::RevocationIntended)?;
        let header = intended.header();
        let pending = header.refs.credential.filter(|id| {
            case.credentials()
                .get(id)
                .is_some_and(|c| c.revocation == RevocationState::Pending && c.revocation_leaf == Some(intended.leaf()))
        });
        let credential = pending.ok_or(AuthorizationError::NotPending(header.id))?;
        let end = case.grant().and_then(|grant| grant.end.as_ref()).map(|end| end.kind.clone());
        Ok(Self { credential, basis: RevokeBasis::Recorded(intended.leaf()), at: header.at, end })
    }

    /// Takes a credential back before its record, because the store is down at this moment.
    #[must_use]
    pub fn store_down(reason: Code, at: Timestamp, descriptor: &CredentialDescriptor) -> Self {
        Self { credential: descriptor.id, basis: RevokeBasis::StoreDown { reason }, at, end: None }
    }

    /// Whether this credential of this issuer may be taken back.
    ///
    /// # Errors
    /// [`RevokeError::Refused`] if not.
    pub fn meant_for(
        &self,
        descriptor: &CredentialDescriptor,
        issuer: &dyn CredentialIssuer,
    ) -> Result<(), RevokeError> {
        if self.credential == descriptor.id && descriptor.issuer == *issuer.name() {
            Ok(())
        } else {
            Err(RevokeError::Refused { cause: code!("other_credential") })
        }
    }

    /// The credential.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// What allows it.
    #[must_use]
    pub fn basis(&self) -> &RevokeBasis {
        &self.basis
    }

    /// When it was allowed: issuers take the moment of a revocation from here.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How the grant ended, where that is known.
    #[must_use]
    pub fn end(&self) -> Option<&Kind> {
        self.end.as_ref()
    }
}

/// What taking a credential back led to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevokeOutcome {
    /// It is dead, and this was seen.
    Revoked {
        /// What was seen.
        finding: Code,
    },
    /// It was dead before.
    AlreadyGone,
    /// It cannot be taken back.
    CannotRevoke {
        /// When it dies by itself, verifiers' leeway included; `None` if it does not.
        until: Option<Timestamp>,
    },
    /// It stands on a list of revoked ones. Who honours the list refuses it from a moment on; looking again after that gives
    /// [`Observed::Gone`](crate::Observed::Gone).
    Listed {
        /// When the last copy of the list from before has run out.
        honoured_by: Timestamp,
    },
    /// It opens nothing new, but sessions that it opened go on.
    Partial {
        /// How many.
        sessions_left: u32,
    },
}

/// A credential was not taken back, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The authorisation is for another credential, or the credential is another issuer's. Nothing happened.
    #[error("issuer refuses to revoke: {cause}")]
    Refused {
        /// Why.
        cause: Code,
    },
    /// It lives on; another attempt may succeed.
    #[error("revoking failed: {cause}")]
    Failed {
        /// Why.
        cause: Code,
    },
    /// It may be dead. The next attempt finds out.
    #[error("outcome of revoking is unknown: {cause}")]
    Unknown {
        /// Why.
        cause: Code,
    },
}

impl RevokeError {
    /// The cause, for the record.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { cause } | Self::Failed { cause } | Self::Unknown { cause } => cause.clone(),
        }
    }
}
