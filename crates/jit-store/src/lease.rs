//! Leases in the memory of one process, for databases that only one process writes.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::row::{Holder, Lease, LeaseKey, LeaseRequest};

/// Below so many leases nobody looks for expired ones.
const FEW: usize = 1024;

/// Who holds what, on the monotonic clock of this process.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: HashMap<LeaseKey, Held>,
    fence: u64,
    sweep_at: usize,
}

#[derive(Debug)]
struct Held {
    holder: Holder,
    fence: u64,
    until: Option<Instant>,
}

impl Held {
    fn lives(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Leases {
    /// Nobody holds anything, and every fence will be larger than `fence`.
    #[cfg(feature = "sqlite")]
    pub(crate) fn after(fence: u64) -> Self {
        Self { fence, ..Self::default() }
    }

    /// Takes or renews a lease; `None` while somebody else holds it.
    pub(crate) fn take(&mut self, key: LeaseKey, request: LeaseRequest) -> Option<Lease> {
        let now = Instant::now();
        let fence = match self.held.get(&key).filter(|held| held.lives(now)) {
            Some(held) if held.holder != request.holder => return None,
            Some(held) => held.fence,
            None => {
                self.fence = self.fence.saturating_add(1);
                self.fence
            }
        };
        if self.held.len() >= self.sweep_at.max(FEW) {
            self.held.retain(|_, held| held.lives(now));
            self.sweep_at = self.held.len().saturating_mul(2);
        }
        let holder = request.holder;
        // A deadline beyond what the clock can express is no deadline.
        let until = now.checked_add(request.ttl);
        self.held.insert(key, Held { holder, fence, until });
        Some(Lease { key, holder, fence })
    }

    /// Gives a lease back, if it is still the current one.
    pub(crate) fn give_back(&mut self, lease: Lease) {
        if self.held.get(&lease.key).is_some_and(|held| held.holder == lease.holder && held.fence == lease.fence) {
            self.held.remove(&lease.key);
        }
    }
}
