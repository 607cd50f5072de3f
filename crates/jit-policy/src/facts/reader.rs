//! How a team's own systems are read: one question, one answer, and when that was true.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jit_core::{Code, Seconds, Timestamp};

/// An answer, and when it was read where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<V> {
    /// The answer.
    pub value: V,
    /// When it was read. What was kept in between keeps the moment at which it was read first.
    pub fetched_at: Timestamp,
}

impl<V> Reading<V> {
    /// Whether it is older at `now` than it may be.
    #[must_use]
    pub fn is_stale(&self, max_age: Seconds, now: Timestamp) -> bool {
        now.since(self.fetched_at) > max_age.to_duration()
    }
}

/// A system gave no answer. The code goes into the record of the decision, the message does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ReaderError {
    /// What went wrong, as a stable code.
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
}

/// Reads a team's own system: a directory, a schedule, a ticket system.
///
/// ```
/// use std::collections::BTreeSet;
/// use jit_core::{GroupName, PrincipalId, Timestamp};
/// use jit_policy::{Reader, ReaderError, Reading};
///
/// struct Directory;
///
/// #[async_trait::async_trait]
/// impl Reader<PrincipalId, BTreeSet<GroupName>> for Directory {
///     async fn read(&self, of: &PrincipalId, now: Timestamp) -> Result<Reading<BTreeSet<GroupName>>, ReaderError> {
///         // Ask it here.
///         Ok(Reading { value: BTreeSet::new(), fetched_at: now })
///     }
/// }
/// ```
///
/// # Contract
///
/// 1. It only reads, so dropping the future is harmless.
/// 2. `fetched_at` is when the answer was true in the system that is asked, not when something in between repeated it.
/// 3. Not knowing is an error. An empty answer says that there is nothing.
#[async_trait]
pub trait Reader<K: Sync, V>: Send + Sync + 'static {
    /// The answer at `now`.
    ///
    /// # Errors
    /// [`ReaderError`] if there is none; the decision is indeterminate then.
    async fn read(&self, of: &K, now: Timestamp) -> Result<Reading<V>, ReaderError>;
}

/// Keeps the answers of a reader for a while, within two bounds: how old an answer may be, and how many there are. An answer
/// keeps the moment at which it was read, so that what a decision rests on is as old as it says. Failures are not kept.
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
/// use jit_core::Seconds;
/// use jit_policy::Cached;
/// # fn example<R>(directory: R) -> Cached<R, jit_core::PrincipalId, u8> {
/// let a_minute = Seconds::new(NonZeroU32::new(60).unwrap());
/// Cached::new(directory, a_minute, NonZeroUsize::new(10_000).unwrap())
/// # }
/// ```
pub struct Cached<R, K, V> {
    reader: R,
    max_age: Seconds,
    max_entries: NonZeroUsize,
    kept: Mutex<Kept<K, V>>,
}

/// Answers by question, and questions by when they were read.
struct Kept<K, V> {
    answers: BTreeMap<K, (Reading<V>, u64)>,
    order: BTreeMap<(Timestamp, u64), K>,
    next: u64,
}

impl<R, K: Ord + Clone, V: Clone> Cached<R, K, V> {
    /// Keeps at most `max_entries` answers of `reader`, none for longer than `max_age`.
    #[must_use]
    pub fn new(reader: R, max_age: Seconds, max_entries: NonZeroUsize) -> Self {
        let kept = Kept { answers: BTreeMap::new(), order: BTreeMap::new(), next: 0 };
        Self { reader, max_age, max_entries, kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<K, V>> {
        // Every change leaves both maps whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone, V: Clone> Kept<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some((reading, number)) = self.answers.remove(key) {
            self.order.remove(&(reading.fetched_at, number));
        }
    }

    fn insert(&mut self, key: K, reading: Reading<V>, max_entries: usize) {
        self.remove(&key);
        while self.answers.len() >= max_entries {
            // The oldest goes.
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.answers.remove(&oldest);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.order.insert((reading.fetched_at, number), key.clone());
        self.answers.insert(key, (reading, number));
    }
}

#[async_trait]
impl<R, K, V> Reader<K, V> for Cached<R, K, V>
where
    R: Reader<K, V>,
    K: Ord + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    async fn read(&self, of: &K, now: Timestamp) -> Result<Reading<V>, ReaderError> {
        let known = self.kept().answers.get(of).map(|(reading, _)| reading.clone());
        if let Some(reading) = known.filter(|reading| !reading.is_stale(self.max_age, now)) {
            return Ok(reading);
        }
        let read = self.reader.read(of, now).await;
        let mut kept = self.kept();
        match read {
            Ok(reading) => {
                kept.insert(of.clone(), reading.clone(), self.max_entries.get());
                Ok(reading)
            }
            Err(error) => {
                kept.remove(of);
                Err(error)
            }
        }
    }
}

impl<R: fmt::Debug, K, V> fmt::Debug for Cached<R, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("reader", &self.reader).field("max_age", &self.max_age).finish_non_exhaustive()
    }
}
