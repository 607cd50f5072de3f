//! Work that records schedule, and the log's own: claimed by lease, so that any number of processes share it.

use std::time::Duration;

use jit_core::{DueId, EntropyError, Timestamp};

use crate::append::AppendError;
use crate::backend::BackendError;
use crate::error::ReadError;
use crate::log::Log;
use crate::projection::read_due;
use crate::receipt::ReceiptError;
use crate::row::{DueKey, DueRow, Holder, Lease, LeaseKey, LeaseRequest};

/// How long the writing of one heartbeat may take before another process tries.
const HEARTBEAT_LEASE: Duration = Duration::from_secs(30);

/// Work that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueWork {
    key: DueKey,
    id: DueId,
    at: Timestamp,
    lease: Option<Lease>,
}

impl DueWork {
    fn read(row: &DueRow, lease: Option<Lease>) -> Result<Self, ReadError> {
        let (id, at) = read_due(row)?;
        Ok(Self { key: row.key, id, at, lease })
    }

    /// What is to be done.
    #[must_use]
    pub fn id(&self) -> &DueId {
        &self.id
    }

    /// Since when it is due.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// Where a listing of scheduled work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleCursor(i64, DueKey);

/// A part of the scheduled work.
#[derive(Clone, Debug)]
#[must_use]
pub struct Schedule {
    /// The work, by time.
    pub work: Vec<DueWork>,
    /// Where to go on; `None` at the end.
    pub next: Option<ScheduleCursor>,
}

/// No work was claimed, or no heartbeat written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The log could not be read.
    #[error("due work could not be read")]
    Read(#[from] ReadError),
    /// There is no randomness for the name of a holder.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The heartbeat was not recorded.
    #[error("the heartbeat was not recorded")]
    Append(#[from] AppendError),
    /// The heartbeat was not signed and published.
    #[error("the heartbeat was not published")]
    Receipt(#[from] ReceiptError),
}

impl From<BackendError> for WorkError {
    fn from(error: BackendError) -> Self {
        Self::Read(error.into())
    }
}

impl Log {
    /// What is due at a moment, whether or not somebody works on it, the longest due first; at most `limit`, and `after` a
    /// piece of work that was read before, which need not be there any more.
    ///
    /// ```
    /// # async fn example(log: jit_store::Log, now: jit_core::Timestamp) -> Result<(), jit_store::ReadError> {
    /// let mut page = log.due(None, now, 100).await?;
    /// while let Some(last) = page.last() {
    ///     // … what is to be done about the page …
    ///     page = log.due(Some(last), now, 100).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn due(&self, after: Option<&DueWork>, now: Timestamp, limit: usize) -> Result<Vec<DueWork>, ReadError> {
        let after = after.map(|work| (work.at.as_micros(), work.key));
        let rows = self.backend().due(after, past(now), limit).await?;
        rows.iter().map(|row| DueWork::read(row, None)).collect()
    }

    /// What is scheduled from a moment on, due or not, and whether or not somebody works on it: what is only listed
    /// ([`UNSETTLED`](jit_core::UNSETTLED)) included. By time, from `after` on, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn scheduled(
        &self,
        from: Timestamp,
        after: Option<ScheduleCursor>,
        limit: usize,
    ) -> Result<Schedule, ReadError> {
        let first = (from.as_micros().saturating_sub(1), DueKey::from_bytes([0xff; 32]));
        let after = after.map_or(first, |cursor| (cursor.0, cursor.1));
        let rows = self.backend().due(Some(after), i64::MAX, limit).await?;
        // A full page may have others behind it.
        let next = rows.last().filter(|_| rows.len() >= limit).map(|row| ScheduleCursor(row.at_us, row.key));
        let work = rows.iter().map(|row| DueWork::read(row, None)).collect::<Result<_, _>>()?;
        Ok(Schedule { work, next })
    }

    /// Takes a lease on a name, so that one process at a time does what it stands for. `None` while somebody holds it. It runs
    /// out after `ttl`, so it keeps others off work, and nothing that must hold for ever may rest on it.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn lease(&self, name: &[u8], ttl: Duration) -> Result<Option<Lease>, WorkError> {
        let key = LeaseKey::from_bytes(blake3::derive_key("jit-store/1 named lease", name));
        Ok(self.backend().lease(key, self.lease_request(ttl)?).await?)
    }

    /// Gives a lease back before it runs out.
    ///
    /// # Errors
    /// [`WorkError`]; it runs out by itself then.
    pub async fn give_back(&self, lease: Lease) -> Result<(), WorkError> {
        Ok(self.backend().release(lease).await?)
    }

    /// Claims what is due at a moment and nobody works on, the longest due first. What is not done within `lease`, or not
    /// finished by a record that says so, can be claimed again afterwards, by anybody.
    ///
    /// # Errors
    /// [`WorkError`]; nothing is claimed then for longer than `lease`.
    pub async fn claim(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<DueWork>, WorkError> {
        let request = self.lease_request(lease)?;
        let claimed = self.backend().claim(past(now), limit, request).await?;
        let work = claimed.iter().map(|(row, lease)| DueWork::read(row, Some(*lease)));
        work.collect::<Result<_, ReadError>>().map_err(WorkError::from)
    }

    /// Gives claimed work back, so that others need not wait for the lease to run out.
    ///
    /// # Errors
    /// [`WorkError`]; the lease runs out by itself then.
    pub async fn release(&self, work: DueWork) -> Result<(), WorkError> {
        match work.lease {
            Some(lease) => Ok(self.backend().release(lease).await?),
            None => Ok(()),
        }
    }

    /// Keeps claimed work from being claimed again for so long: what is due until a record says otherwise, and has been done as far
    /// as it can be. It comes back earlier where leases are lost, and goes as always with the record that says so.
    ///
    /// # Errors
    /// [`WorkError`]; the work can be claimed again after the lease it was claimed for.
    pub async fn put_off(&self, work: &DueWork, by: Duration) -> Result<(), WorkError> {
        if let Some(Lease { key, holder, .. }) = work.lease {
            self.backend().lease(key, LeaseRequest { holder, ttl: by }).await?;
        }
        Ok(())
    }

    /// Records that the log lives, if nothing was recorded for the heartbeat interval and nobody else does it. Says whether
    /// it did.
    ///
    /// # Errors
    /// [`WorkError`] if it should have and did not.
    pub async fn heartbeat(&self) -> Result<bool, WorkError> {
        let interval = u64::from(self.context().config.heartbeat_s());
        let size = self.size().await?;
        let Some(last) = size.checked_sub(1) else { return Ok(false) };
        let last = self.records(&[last]).await?;
        let last_at = last.first().map_or(Timestamp::EPOCH, |entry| entry.record().header().at);
        let silent = self.context().config.clock.now().at.since(last_at).as_secs();
        if silent < interval {
            return Ok(false);
        }
        let key = LeaseKey::from_bytes(blake3::derive_key("jit-store/1 lease", b"heartbeat"));
        let request = self.lease_request(HEARTBEAT_LEASE)?;
        let Some(lease) = self.backend().lease(key, request).await? else { return Ok(false) };
        // Somebody may have written between the look and the lease.
        let written = if self.size().await? == size {
            let silent = u32::try_from(silent).unwrap_or(u32::MAX);
            self.append_heartbeat(silent, false).await?.receipt().await?;
            true
        } else {
            false
        };
        self.backend().release(lease).await?;
        Ok(written)
    }

    /// Every claim has a holder of its own, so that work left undone by one is not handed out by the next before its lease ends.
    fn lease_request(&self, ttl: Duration) -> Result<LeaseRequest, EntropyError> {
        Ok(LeaseRequest { holder: Holder::from_bytes(self.recorder().random()?), ttl })
    }
}

/// The exclusive bound of a database for what is due at `now`.
fn past(now: Timestamp) -> i64 {
    now.as_micros().saturating_add(1)
}
