//! An issuer whose tokens are believed: its name, its keys, and whom its tokens must be for.

use std::collections::BTreeSet;

use jit_core::{
    Code, ExternalId, Issuer, PrincipalId, Timestamp, TokenFacts, TransactionFacts, VerifiedToken, canonical::Text,
};

use crate::{
    actor_chain::Naming,
    error::TokenError,
    json::{Json, Members},
    key_set::KeySet,
    rules::{Iat, Lifetime, Rules},
    token::{Signed, Typ},
    trust_domain::TrustDomain,
    verified::Verified,
};

/// An issuer whose tokens are believed, for one audience.
///
/// Each kind of token has its own method, because each has its own rules: a token of one kind never verifies as another.
///
/// ```
/// # fn read(published_keys: &[u8], token: &str, now: jit_core::Timestamp) -> Result<(), Box<dyn std::error::Error>> {
/// use jit_core::{ExternalId, Issuer, Provenance, Request};
/// use jit_identity::{KeySet, TokenIssuer};
///
/// // What the issuer publishes under its `jwks_uri`, fetched and refreshed by the caller.
/// let keys = KeySet::parse(published_keys)?;
/// let idp = TokenIssuer::new(Issuer::new("https://idp.example")?, ExternalId::new("access-broker")?, keys);
///
/// let verified = idp.id_token(token, None, now)?;
/// let person = verified.content().principal();
/// let provenance = Provenance::of_requester(&person, verified.asserts(), vec![verified.facts().clone()])?;
/// // … Request::builder(person, …).provenance(provenance).claims([verified.token().clone()])
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TokenIssuer {
    issuer: Issuer,
    naming: Naming,
    audience: ExternalId,
    keys: KeySet,
    rules: Rules,
}

/// What a kind of token demands.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) kind: Code,
    pub(crate) typ: Typ,
    /// Whether it may leave out who issued it, because its keys say so.
    pub(crate) anonymous: bool,
    /// Whether somebody may act for its subject.
    pub(crate) actors: bool,
}

/// A token that is signed, in time, from the issuer and for the audience.
#[derive(Debug)]
pub(crate) struct Admitted {
    signed: Signed,
    kind: Code,
    issuer: Issuer,
    pub(crate) subject: PrincipalId,
    actors: Vec<PrincipalId>,
    lifetime: Lifetime,
}

impl TokenIssuer {
    /// An issuer by the exact `iss` of its tokens, and the `aud` that they must have.
    #[must_use]
    pub fn new(issuer: Issuer, audience: ExternalId, keys: KeySet) -> Self {
        let naming = Naming::Own {
            subjects: issuer.clone(),
            actors: BTreeSet::from([issuer.clone()]),
            workloads: BTreeSet::new(),
        };
        Self { issuer, naming, audience, keys, rules: Rules::default() }
    }

    /// Says under which issuer its subjects are known, if not under its own name: a service that exchanges tokens names the
    /// people of an identity provider, and who approves under that provider's name must be recognised as the same person (INV-07).
    #[must_use]
    pub fn with_subjects_of(mut self, issuer: Issuer) -> Self {
        if let Naming::Own { subjects, .. } = &mut self.naming {
            *subjects = issuer;
        }
        self
    }

    /// Lets it name actors of another issuer in `act`, besides its own and those of its subjects.
    #[must_use]
    pub fn with_actors_of(mut self, issuer: Issuer) -> Self {
        if let Naming::Own { actors, .. } = &mut self.naming {
            actors.insert(issuer);
        }
        self
    }

    /// Lets it name workloads of a trust domain, as subjects and as actors.
    #[must_use]
    pub fn with_workloads_of(mut self, domain: TrustDomain) -> Self {
        if let Naming::Own { workloads, .. } = &mut self.naming {
            workloads.insert(domain);
        }
        self
    }

    /// Says that it names everybody as `issuer|subject` or by a SPIFFE id, as `jit_issuer::jwt::JwtIssuer` does. Believe that of your
    /// own broker alone: whoever may write such names may name anybody.
    #[must_use]
    pub fn with_qualified_subjects(self) -> Self {
        Self { naming: Naming::Qualified, ..self }
    }

    /// Takes other rules than the defaults.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Takes the keys that the issuer publishes now.
    #[must_use]
    pub fn with_keys(self, keys: KeySet) -> Self {
        Self { keys, ..self }
    }

    pub(crate) fn audience(&self) -> &ExternalId {
        &self.audience
    }

    pub(crate) fn admit(&self, profile: Profile, token: &str, now: Timestamp) -> Result<Admitted, TokenError> {
        let signed = Signed::verify(token, profile.typ, &self.keys, &self.rules)?;
        let claims = &signed.claims;
        match claims.text("iss")? {
            Some(issuer) if issuer == self.issuer.as_str() => {}
            None if profile.anonymous => {}
            None => return Err(TokenError::Missing("iss")),
            Some(_) => return Err(TokenError::Issuer),
        }
        for_audience(claims, &self.audience)?;
        let lifetime = self.rules.in_time(claims, now, Iat::Required)?;
        let subject = self.naming.subject(claims)?;
        if claims.contains("act") && !profile.actors {
            return Err(TokenError::Claim("act"));
        }
        let actors = self.naming.actors(claims, &subject)?;
        Ok(Admitted { kind: profile.kind, issuer: self.issuer.clone(), subject, actors, lifetime, signed })
    }
}

impl Admitted {
    pub(crate) fn new(signed: Signed, kind: Code, issuer: Issuer, subject: PrincipalId, lifetime: Lifetime) -> Self {
        Self { signed, kind, issuer, subject, actors: Vec::new(), lifetime }
    }

    pub(crate) fn claims(&self) -> &Members {
        &self.signed.claims
    }

    pub(crate) fn verified<T>(
        self,
        content: T,
        transaction: Option<TransactionFacts>,
    ) -> Result<Verified<T>, TokenError> {
        let Self { signed, kind, issuer, subject, actors, lifetime } = self;
        let facts = TokenFacts {
            kind,
            issuer,
            digest: signed.digest,
            id: signed.claims.parsed("jti")?,
            algorithm: signed.algorithm.code(),
            key: signed.key,
            subject,
            actors,
            issued: lifetime.issued,
            expires: lifetime.expires,
            transaction,
        };
        let claims = Text::new(signed.verbatim).map_err(|_| TokenError::Malformed)?;
        Ok(Verified::new(content, VerifiedToken { facts, claims }))
    }
}

/// Whether the token is for this audience, among others or alone (RFC 7519 section 4.1.3).
pub(crate) fn for_audience(claims: &Members, audience: &ExternalId) -> Result<(), TokenError> {
    let is_it = |aud: &Json| matches!(aud, Json::Text(aud) if aud == audience.as_str());
    match claims.get("aud") {
        None => Err(TokenError::Missing("aud")),
        Some(aud) if is_it(aud) => Ok(()),
        Some(Json::Array(all)) if !all.iter().all(|aud| matches!(aud, Json::Text(_))) => Err(TokenError::Claim("aud")),
        Some(Json::Array(all)) if all.iter().any(is_it) => Ok(()),
        Some(Json::Array(_) | Json::Text(_)) => Err(TokenError::Audience),
        Some(_) => Err(TokenError::Claim("aud")),
    }
}
