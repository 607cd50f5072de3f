//! What a verified token gives: its content, and what of it goes into the record.

use std::fmt;

use jit_core::{
    AgentMode, AssertedBy, Code, Delegation, DelegationError, Identity, PrincipalId, Stated, TokenFacts, VerifiedToken,
};

/// The content of a token or certificate that was verified, at the moment it was verified.
///
/// Only the verifiers of this crate make one. It never holds the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<T> {
    content: T,
    token: VerifiedToken,
}

impl<T> Verified<T> {
    pub(crate) fn new(content: T, token: VerifiedToken) -> Self {
        Self { content, token }
    }

    /// What it says.
    #[must_use]
    pub fn content(&self) -> &T {
        &self.content
    }

    /// What is kept of it.
    #[must_use]
    pub fn facts(&self) -> &TokenFacts {
        &self.token.facts
    }

    /// What is kept of it and its claims, verbatim: for [`RequestBuilder::claims`](jit_core::RequestBuilder::claims).
    #[must_use]
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// Names this token as the one who asserts a value.
    #[must_use]
    pub fn asserts(&self) -> AssertedBy {
        AssertedBy::Token(self.token.facts.digest)
    }

    /// A value of this token, asserted by its issuer.
    pub fn stated<V>(&self, value: impl FnOnce(&T) -> V) -> Stated<V> {
        Stated { value: value(&self.content), by: self.asserts() }
    }

    /// The identity of whoever presents it: the present actor, or the subject if nobody acts for it. A workload's issuer is its
    /// trust domain.
    ///
    /// # Errors
    /// [`NoIdentity`] if a SPIFFE id is too long for an identity.
    pub fn presenter(&self) -> Result<Stated<Identity>, NoIdentity> {
        let value = match self.facts().presenter() {
            PrincipalId::Identity(identity) => identity.clone(),
            PrincipalId::Workload(spiffe) => {
                let text = spiffe.as_str();
                let domain = text.get(..text.len() - path(text).len()).unwrap_or(text);
                Identity::new(domain, text).map_err(|_| NoIdentity)?
            }
            _ => return Err(NoIdentity),
        };
        Ok(Stated { value, by: self.asserts() })
    }

    /// On whose behalf the presenter acts, and through whom; `None` if the token names no actor.
    ///
    /// # Errors
    /// [`DelegationError`] if the chain is longer than a delegation may be.
    pub fn on_behalf_of(&self) -> Result<Option<Stated<AgentMode>>, DelegationError> {
        let facts = self.facts();
        let Some((_, through)) = facts.actors.split_first() else { return Ok(None) };
        let through = through.iter().rev().cloned().collect();
        let value = AgentMode::OnBehalfOf(Delegation::new(facts.subject.clone(), through)?);
        Ok(Some(Stated { value, by: self.asserts() }))
    }

    pub(crate) fn kind(&self) -> &Code {
        &self.token.facts.kind
    }
}

/// The path of a SPIFFE id.
fn path(spiffe: &str) -> &str {
    let rest = spiffe.strip_prefix("spiffe://").unwrap_or_default();
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

/// Shows what kind of token it was, and nothing of its content.
impl<T> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({}, {})", self.kind(), self.token.facts.digest)
    }
}

/// A presenter has no identity that records can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("presenter has no identity that records can name")]
pub struct NoIdentity;
