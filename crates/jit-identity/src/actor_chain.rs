//! Who acts for whom: the `act` claim (RFC 8693 section 4.1), which nests the actors, the present one outermost.

use std::collections::BTreeSet;

use jit_core::{Identity, Issuer, MAX_CHAIN, PrincipalId, SpiffeId, Subject};

use crate::{
    error::TokenError,
    json::{Json, Members},
    trust_domain::TrustDomain,
};

/// For whom an issuer speaks, and how it names them.
#[derive(Debug, Clone)]
pub(crate) enum Naming {
    /// Its subjects are those of one issuer; it may name actors of some others, and workloads of some trust domains.
    Own { subjects: Issuer, actors: BTreeSet<Issuer>, workloads: BTreeSet<TrustDomain> },
    /// Anybody, as `issuer|subject` or by a SPIFFE id.
    Qualified,
}

impl Naming {
    /// Whom a `sub` names that stands beside this `iss`, if it has one of its own.
    fn principal(&self, name: &str, issuer: Option<Issuer>, claim: &'static str) -> Result<PrincipalId, TokenError> {
        let wrong = || TokenError::Claim(claim);
        let identity = |issuer: Issuer, name: &str| {
            let subject = Subject::new(name).map_err(|_| wrong())?;
            Ok(PrincipalId::Identity(Identity { issuer, subject }))
        };
        if let Ok(workload) = name.parse::<SpiffeId>() {
            return match self {
                Self::Own { workloads, .. } if !workloads.iter().any(|domain| domain.has(&workload)) => {
                    Err(TokenError::NotItsOwn)
                }
                _ => Ok(PrincipalId::Workload(workload)),
            };
        }
        match (self, issuer) {
            (Self::Own { subjects, .. }, None) => identity(subjects.clone(), name),
            (Self::Own { subjects, actors, .. }, Some(issuer)) if issuer == *subjects || actors.contains(&issuer) => {
                identity(issuer, name)
            }
            (Self::Own { .. }, Some(_)) => Err(TokenError::NotItsOwn),
            (Self::Qualified, Some(issuer)) => identity(issuer, name),
            (Self::Qualified, None) => {
                // Neither part can have a bar in it.
                let (issuer, name) = name.split_once('|').ok_or_else(wrong)?;
                identity(Issuer::new(issuer).map_err(|_| wrong())?, name)
            }
        }
    }

    /// The subject of a token.
    pub(crate) fn subject(&self, claims: &Members) -> Result<PrincipalId, TokenError> {
        self.principal(claims.required("sub")?, None, "sub")
    }

    /// The actors of a token, the present one first.
    pub(crate) fn actors(&self, claims: &Members, subject: &PrincipalId) -> Result<Vec<PrincipalId>, TokenError> {
        let wrong = |_| TokenError::Claim("act");
        let mut actors: Vec<PrincipalId> = Vec::new();
        let mut next = claims.get("act");
        while let Some(act) = next {
            let Json::Object(act) = act else { return Err(TokenError::Claim("act")) };
            if actors.len() >= MAX_CHAIN {
                return Err(TokenError::ChainTooDeep);
            }
            let issuer = act.parsed("iss").map_err(wrong)?;
            let actor = self.principal(act.required("sub").map_err(wrong)?, issuer, "act")?;
            if actor == *subject || actors.contains(&actor) {
                return Err(TokenError::ChainLoop);
            }
            actors.push(actor);
            next = act.get("act");
        }
        Ok(actors)
    }
}
