//! A SPIFFE trust domain: whose workloads are believed.

use std::{fmt, str::FromStr};

use jit_core::{Issuer, SpiffeId, SpiffeIdError};

/// The name of a trust domain, `prod.example` (SPIFFE-ID specification, section 2.1).
///
/// ```
/// use jit_identity::TrustDomain;
/// let domain: TrustDomain = "prod.example".parse()?;
/// assert!(domain.has(&"spiffe://prod.example/ci/deployer".parse()?));
/// assert!("Prod.example/x".parse::<TrustDomain>().is_err());
/// # Ok::<(), jit_core::SpiffeIdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a workload is of this domain.
    #[must_use]
    pub fn has(&self, workload: &SpiffeId) -> bool {
        let rest = workload.as_str().strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(self.as_str()));
        rest.is_some_and(|path| path.starts_with('/'))
    }

    /// The domain as the one who vouches for its workloads.
    pub(crate) fn issuer(&self) -> Result<Issuer, SpiffeIdError> {
        Issuer::new(format!("spiffe://{self}")).map_err(|_| SpiffeIdError)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;
    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        // What may follow it in an id decides nothing about the domain.
        format!("spiffe://{text}/x").parse::<SpiffeId>()?;
        let domain = Self(text.to_owned());
        if text.contains('/') {
            return Err(SpiffeIdError);
        }
        domain.issuer().map(|_| domain)
    }
}
