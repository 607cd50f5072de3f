//! JWT-SVIDs (SPIFFE JWT-SVID specification): workloads by their SPIFFE id.

use jit_core::{ExternalId, Principal, PrincipalId, SpiffeId, Timestamp, code};

use crate::{
    algorithm::Algorithm,
    error::TokenError,
    issuer::{Admitted, for_audience},
    key_set::KeySet,
    rules::{Iat, Rules},
    token::{Signed, Typ},
    trust_domain::TrustDomain,
    verified::Verified,
};

/// A workload of a trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Svid {
    /// Its id.
    pub spiffe_id: SpiffeId,
}

impl Svid {
    /// The workload.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::Workload { spiffe_id: self.spiffe_id.clone() }
    }
}

/// A trust domain whose JWT-SVIDs are believed, for one audience.
///
/// The keys are those of the domain's bundle: a JWK Set whose keys for JWT-SVIDs say `"use": "jwt-svid"`.
///
/// ```
/// # fn read(bundle: &[u8], token: &str, now: jit_core::Timestamp) -> Result<(), Box<dyn std::error::Error>> {
/// use jit_core::ExternalId;
/// use jit_identity::{JwtSvids, KeySet};
/// let workloads = JwtSvids::new("prod.example".parse()?, ExternalId::new("access-broker")?, KeySet::parse(bundle)?);
/// let workload = workloads.verify(token, now)?.content().principal();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct JwtSvids {
    domain: TrustDomain,
    audience: ExternalId,
    keys: KeySet,
    rules: Rules,
}

impl JwtSvids {
    /// The trust domain, the `aud` that its tokens must have, and the keys of its bundle.
    #[must_use]
    pub fn new(domain: TrustDomain, audience: ExternalId, keys: KeySet) -> Self {
        Self { domain, audience, keys, rules: Rules::default() }
    }

    /// Takes other rules than the defaults. EdDSA is never accepted in a JWT-SVID.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Takes the keys that the bundle has now.
    #[must_use]
    pub fn with_keys(self, keys: KeySet) -> Self {
        Self { keys, ..self }
    }

    /// Verifies a JWT-SVID: its expiry is mandatory, its `iat` is not.
    ///
    /// # Errors
    /// [`TokenError`] with the first rule that it breaks.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified<Svid>, TokenError> {
        let signed = Signed::verify(token, Typ::Svid, &self.keys, &self.rules)?;
        if signed.algorithm == Algorithm::Ed25519 {
            return Err(TokenError::Algorithm);
        }
        for_audience(&signed.claims, &self.audience)?;
        let lifetime = self.rules.in_time(&signed.claims, now, Iat::Optional)?;
        let spiffe_id: SpiffeId = signed.claims.required_as("sub")?;
        if !self.domain.has(&spiffe_id) {
            return Err(TokenError::TrustDomain);
        }
        let issuer = self.domain.issuer().map_err(|_| TokenError::TrustDomain)?;
        let subject = PrincipalId::Workload(spiffe_id.clone());
        Admitted::new(signed, code!("jwt_svid"), issuer, subject, lifetime).verified(Svid { spiffe_id }, None)
    }
}
