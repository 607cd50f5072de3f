//! Which key signs when, and which keys verifiers are shown.

use std::{sync::Arc, time::Duration};

use jit_core::{Seconds, Timestamp};

use crate::key::{KeyError, PublicKey, SigningKey, Thumbprint};

/// A key cannot follow in a schedule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The key is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is in the schedule already.
    #[error("key {0} is in the schedule already")]
    Twice(Thumbprint),
    /// It would sign no later than the key before it.
    #[error("a key cannot sign from {from} on, no later than the one before it from {before} on")]
    NotLater {
        /// When it would sign.
        from: Timestamp,
        /// When the key before it does.
        before: Timestamp,
    },
}

/// The signing keys of an issuer, one after another. The first is published and signs from the beginning; each later one is
/// published for a while before it signs, so that no verifier meets a key it could not have fetched; and each stays published until
/// the last token under it is dead.
///
/// ```
/// use std::{num::NonZeroU32, sync::Arc};
/// use jit_core::Seconds;
/// use jit_issuer::{jwt::KeySchedule, key::LocalKey};
///
/// // From a key store, never constants.
/// let (this_year, next_year) = (LocalKey::from_ed25519_seed([7; 32]), LocalKey::from_ed25519_seed([8; 32]));
/// let day = Seconds::new(NonZeroU32::new(86_400).ok_or("zero")?);
/// let schedule = KeySchedule::new(Arc::new(this_year))?
///     .with_next(Arc::new(next_year), "2026-12-30T00:00:00.000000Z".parse()?, day)?; // signs from the 31st on
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeySchedule {
    first: Turn,
    /// Ascending by `from`.
    later: Vec<Turn>,
    end: Option<Timestamp>,
}

/// A key's time.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) key: Arc<dyn SigningKey>,
    pub(super) public: PublicKey,
    /// `None` from the beginning.
    published: Option<Timestamp>,
    from: Timestamp,
}

impl KeySchedule {
    /// A schedule of one key.
    ///
    /// # Errors
    /// [`KeyError`] if the key does not keep its contract.
    pub fn new(key: Arc<dyn SigningKey>) -> Result<Self, KeyError> {
        let public = PublicKey::of(&*key)?;
        let first = Turn { key, public, published: None, from: Timestamp::EPOCH };
        Ok(Self { first, later: Vec::new(), end: None })
    }

    /// Lets another key follow: published from `published` on, and signing after verifiers had `lead` to fetch it. Take the longest
    /// time for which a verifier keeps a key set, and the largest error of a clock.
    ///
    /// # Errors
    /// [`ScheduleError`] if the key is not usable or not new, or would not sign later than the one before it.
    pub fn with_next(
        mut self,
        key: Arc<dyn SigningKey>,
        published: Timestamp,
        lead: Seconds,
    ) -> Result<Self, ScheduleError> {
        let public = PublicKey::of(&*key)?;
        let name = public.thumbprint();
        if self.turns().any(|turn| turn.public.thumbprint() == name) {
            return Err(ScheduleError::Twice(name));
        }
        let (from, before) = (published.saturating_add(lead.to_duration()), self.last().from);
        if from <= before {
            return Err(ScheduleError::NotLater { from, before });
        }
        self.later.push(Turn { key, public, published: Some(published), from });
        Ok(self)
    }

    /// Lets no token live past a moment, the end of the last key for example.
    #[must_use]
    pub fn with_end(mut self, end: Timestamp) -> Self {
        self.end = Some(end);
        self
    }

    /// When the last token is dead, if a moment is set.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.end
    }

    /// The keys shown at a moment to verifiers of tokens that may be accepted for `life` after they were signed: the signing one
    /// first.
    pub fn published_at(&self, at: Timestamp, life: Duration) -> impl Iterator<Item = &PublicKey> {
        let signing = self.signing_at(at).from;
        let shown = move |turn: &&Turn| {
            let next = self.later.iter().find(|later| later.from > turn.from);
            let dead = next.is_some_and(|next| next.from.saturating_add(life) <= at);
            turn.from != signing && turn.published.is_none_or(|published| published <= at) && !dead
        };
        [self.signing_at(at)].into_iter().chain(self.turns().filter(shown)).map(|turn| &turn.public)
    }

    pub(super) fn signing_at(&self, at: Timestamp) -> &Turn {
        self.later.iter().rev().find(|turn| turn.from <= at).unwrap_or(&self.first)
    }

    pub(super) fn turns(&self) -> impl Iterator<Item = &Turn> {
        [&self.first].into_iter().chain(&self.later)
    }

    fn last(&self) -> &Turn {
        self.later.last().unwrap_or(&self.first)
    }
}
