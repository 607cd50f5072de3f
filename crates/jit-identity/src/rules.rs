//! How fresh a token must be, and how it may be signed: explicit, and bounded.

use std::{collections::BTreeSet, time::Duration};

use jit_core::Timestamp;

use crate::{algorithm::Algorithm, error::TokenError, json::Members};

/// The most that clocks may differ.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);
/// The longest that a token may have been issued ago.
pub const LONGEST_AGE: Duration = Duration::from_secs(86_400);

/// Rules do not construct.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// More leeway than [`MAX_LEEWAY`].
    #[error("leeway is longer than {} seconds", MAX_LEEWAY.as_secs())]
    Leeway,
    /// No age, or more than [`LONGEST_AGE`].
    #[error("greatest age is zero or longer than {} seconds", LONGEST_AGE.as_secs())]
    Age,
    /// No algorithm.
    #[error("no algorithm is accepted")]
    Algorithms,
}

/// What is accepted beyond what a kind of token demands.
///
/// ```
/// use std::time::Duration;
/// use jit_identity::{Algorithm, Rules};
/// let rules = Rules::default()
///     .with_leeway(Duration::from_secs(5))?
///     .with_max_age(Duration::from_secs(600))?
///     .with_algorithms([Algorithm::Es256, Algorithm::Rs256])?;
/// assert!(Rules::default().with_leeway(Duration::from_secs(3600)).is_err());
/// # Ok::<(), jit_identity::RulesError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    leeway: Duration,
    max_age: Duration,
    algorithms: BTreeSet<Algorithm>,
}

impl Default for Rules {
    /// Half a minute of leeway, an hour of age, every algorithm.
    fn default() -> Self {
        Self {
            leeway: Duration::from_secs(30),
            max_age: Duration::from_secs(3600),
            algorithms: Algorithm::ALL.into_iter().collect(),
        }
    }
}

/// When a token was issued and when it expires.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    pub(crate) issued: Option<Timestamp>,
    pub(crate) expires: Timestamp,
}

impl Rules {
    /// How far the issuer's clock may be off, in either direction.
    ///
    /// # Errors
    /// [`RulesError::Leeway`] beyond [`MAX_LEEWAY`].
    pub fn with_leeway(self, leeway: Duration) -> Result<Self, RulesError> {
        if leeway > MAX_LEEWAY { Err(RulesError::Leeway) } else { Ok(Self { leeway, ..self }) }
    }

    /// How long ago a token may have been issued. One that does not say when may expire no later than this from now.
    ///
    /// # Errors
    /// [`RulesError::Age`] for zero and beyond [`LONGEST_AGE`].
    pub fn with_max_age(self, max_age: Duration) -> Result<Self, RulesError> {
        if max_age.is_zero() || max_age > LONGEST_AGE {
            return Err(RulesError::Age);
        }
        Ok(Self { max_age, ..self })
    }

    /// The algorithms accepted.
    ///
    /// # Errors
    /// [`RulesError::Algorithms`] if there is none.
    pub fn with_algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Result<Self, RulesError> {
        let algorithms: BTreeSet<_> = algorithms.into_iter().collect();
        if algorithms.is_empty() { Err(RulesError::Algorithms) } else { Ok(Self { algorithms, ..self }) }
    }

    pub(crate) fn accepts(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the token is valid now, by `exp`, `nbf` and `iat` (RFC 7519 section 4.1).
    pub(crate) fn in_time(&self, claims: &Members, now: Timestamp, iat: Iat) -> Result<Lifetime, TokenError> {
        let moment = |name| claims.seconds(name)?.map(|seconds| at(name, seconds)).transpose();
        let expires = moment("exp")?.ok_or(TokenError::Missing("exp"))?;
        if expires.saturating_add(self.leeway) <= now {
            return Err(TokenError::Expired { at: expires });
        }
        if let Some(at) = moment("nbf")?
            && at > now.saturating_add(self.leeway)
        {
            return Err(TokenError::NotYetValid { at });
        }
        let issued = moment("iat")?;
        let aged = self.max_age.saturating_add(self.leeway);
        match issued {
            None if iat == Iat::Required => return Err(TokenError::Missing("iat")),
            None if expires > now.saturating_add(aged) => return Err(TokenError::TooOld),
            None => {}
            Some(at) if at > now.saturating_add(self.leeway) => return Err(TokenError::IssuedInFuture { at }),
            Some(at) if at.saturating_add(aged) < now => return Err(TokenError::TooOld),
            Some(at) if expires <= at => return Err(TokenError::Claim("exp")),
            Some(_) => {}
        }
        Ok(Lifetime { issued, expires })
    }
}

/// Whether a kind of token must say when it was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Iat {
    Required,
    Optional,
}

fn at(name: &'static str, seconds: i64) -> Result<Timestamp, TokenError> {
    let micros = seconds.checked_mul(jit_core::MICROS_PER_SECOND).ok_or(TokenError::Claim(name))?;
    Timestamp::from_micros(micros).map_err(|_| TokenError::Claim(name))
}
