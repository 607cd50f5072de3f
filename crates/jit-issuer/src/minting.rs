//! What an issuer is asked to mint, and what comes of it.

use jit_core::{
    CaseGrant, Code, Condition, CredentialDescriptor, HolderKey, Kind, PrincipalId, Recorded, Scope, Window, code,
};

use crate::{
    binding::{Binding, RecordMismatch},
    sealed::Sealed,
};

/// What is about to be minted, for a check before anything is intended. It authorises nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintPlan {
    subject: PrincipalId,
    scope: Scope,
    conditions: Vec<Condition>,
    window: Window,
    holder_key: Option<HolderKey>,
}

impl MintPlan {
    /// The plan to mint for a grant in a window.
    #[must_use]
    pub fn new(grant: &CaseGrant, window: Window) -> Self {
        let approved = &grant.approved;
        Self {
            subject: approved.recipient.clone(),
            scope: approved.scope.clone(),
            conditions: approved.conditions.clone(),
            window,
            holder_key: None,
        }
    }

    /// Plans to bind the credential to a key of its holder.
    #[must_use]
    pub fn with_holder_key(mut self, key: Option<HolderKey>) -> Self {
        self.holder_key = key;
        self
    }

    /// Whom the credential will identify.
    #[must_use]
    pub fn subject(&self) -> &PrincipalId {
        &self.subject
    }

    /// What it will allow.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Under which conditions.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// When it will work.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The key of its holder that it will be bound to.
    #[must_use]
    pub fn holder_key(&self) -> Option<&HolderKey> {
        self.holder_key.as_ref()
    }

    /// For issuers whose credentials work for whoever has them.
    ///
    /// # Errors
    /// [`PlanRefused`] with `cannot_bind` if the credential is to be bound to a key of its holder.
    pub fn needs_no_binding(&self) -> Result<(), PlanRefused> {
        if self.holder_key.is_some() { Err(PlanRefused { cause: code!("cannot_bind") }) } else { Ok(()) }
    }
}

/// An issuer cannot serve a plan. Nothing has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("issuer refuses the plan: {cause}")]
pub struct PlanRefused {
    /// Why.
    pub cause: Code,
}

/// What minting led to.
#[derive(Debug)]
#[must_use = "what was minted must be recorded, or taken back"]
pub enum Minting {
    /// The credential exists.
    Done(Minted),
    /// The target holds it ready; it works after [`CredentialIssuer::commit`](crate::CredentialIssuer::commit).
    Prepared(Prepared),
}

/// A credential that exists, with its secret if it has one.
#[derive(Debug)]
#[must_use = "what was minted must be recorded, or taken back"]
pub struct Minted {
    /// The credential.
    pub descriptor: CredentialDescriptor,
    /// Its secret; absent for a grant that is no secret, a group membership for example.
    pub secret: Option<Sealed>,
}

/// A credential that its target holds ready and that does not work yet. Its [`Minted`] comes out only with the
/// `credential.prepared` that follows from the same intent.
#[derive(Debug)]
#[must_use = "what was prepared must be committed or abandoned"]
pub struct Prepared {
    binding: Binding,
    minted: Minted,
}

impl Prepared {
    pub(crate) fn new(binding: Binding, descriptor: CredentialDescriptor, secret: Option<Sealed>) -> Self {
        Self { binding, minted: Minted { descriptor, secret } }
    }

    /// The credential, for its `credential.prepared`.
    #[must_use]
    pub fn descriptor(&self) -> &CredentialDescriptor {
        &self.minted.descriptor
    }

    /// What to commit at the target, once it is recorded as prepared.
    ///
    /// # Errors
    /// [`RecordMismatch`] with any other record; the secret is erased then, and the target must abandon.
    pub fn authorized(self, prepared: &Recorded) -> Result<Minted, RecordMismatch> {
        self.binding.check(prepared, Kind::CredentialPrepared)?;
        Ok(self.minted)
    }
}

/// Nothing usable was minted, or nobody knows. Causes are codes, so that no secret can be in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The issuer does not act on this authorisation or record. Nothing was minted, and nothing will be.
    #[error("issuer refuses to mint: {cause}")]
    Refused {
        /// Why.
        cause: Code,
    },
    /// Nothing was minted. A new intent may succeed.
    #[error("minting failed: {cause}")]
    Failed {
        /// Why.
        cause: Code,
    },
    /// Something may have been minted. Never tried again blindly: the credential is reconciled by its id.
    #[error("outcome of minting is unknown: {cause}")]
    Unknown {
        /// Why.
        cause: Code,
    },
}

impl MintError {
    /// The cause, for the record.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { cause } | Self::Failed { cause } | Self::Unknown { cause } => cause.clone(),
        }
    }
}
