//! How one process at a time brings checkpoints to the witnesses (evidence format, section 6).

use std::sync::Arc;
use std::time::Duration;

use jit_log::VerifiedCheckpoint;
use tokio::time::{Instant, sleep};

use crate::publisher::Publisher;
use crate::receipt::ReceiptError;
use crate::row::{Lease, LeaseKey, LeaseRequest};
use crate::witness::cosigning::Cosigning;

/// How long a lease outlasts the wait for the witnesses.
const MARGIN: Duration = Duration::from_secs(5);

/// How often to look whether another process is done.
const LOOK: Duration = Duration::from_millis(20);

impl Publisher {
    /// Has a checkpoint of at least `needed` records cosigned and keeps it, or finds that another process did.
    ///
    /// The order is cosigned, then kept: the database holds each size once, and what it holds is what readers get. A process that
    /// dies in between leaves the witnesses ahead of the database's checkpoints, never of its records.
    pub(crate) async fn cosign_and_keep(
        &mut self,
        cosigning: &Cosigning,
        needed: u64,
    ) -> Result<Arc<VerifiedCheckpoint>, ReceiptError> {
        let ttl = cosigning.patience().saturating_add(MARGIN);
        let request = LeaseRequest { holder: self.holder(), ttl };
        let key = LeaseKey::from_bytes(blake3::derive_key("jit-store/1 lease", b"publisher"));
        let started = Instant::now();
        loop {
            if let Some(kept) = self.kept_and_cosigned(needed).await? {
                return Ok(kept);
            }
            match self.backend().lease(key, request).await? {
                Some(lease) => {
                    let kept = self.cosign_under(cosigning, needed, lease, request).await;
                    // A lease that is not given back ends by itself.
                    if let Err(error) = self.backend().release(lease).await {
                        tracing::warn!(%error, "the publisher's lease was not given back");
                    }
                    if let Some(kept) = kept? {
                        return Ok(kept);
                    }
                }
                None if started.elapsed() > ttl.saturating_mul(2) => return Err(ReceiptError::Contended),
                None => sleep(LOOK).await,
            }
        }
    }

    /// What another process has had cosigned, if it suffices.
    async fn kept_and_cosigned(&mut self, needed: u64) -> Result<Option<Arc<VerifiedCheckpoint>>, ReceiptError> {
        let Some(row) = self.backend().checkpoint(None).await?.filter(|row| row.size >= needed) else {
            return Ok(None);
        };
        let kept = self.adopt(&row.note).await?;
        Ok(Some(kept).filter(|kept| self.suffices(kept)))
    }

    /// Signs everything that is durable, has it cosigned, and keeps it if the lease is still the same; `None` if not.
    async fn cosign_under(
        &mut self,
        cosigning: &Cosigning,
        needed: u64,
        lease: Lease,
        request: LeaseRequest,
    ) -> Result<Option<Arc<VerifiedCheckpoint>>, ReceiptError> {
        // The largest size there is: a witness may hold one that a process now dead has signed.
        let head = self.backend().head().await?.size;
        self.grow(needed.max(head)).await?;
        let signed = self.sign().await?;
        let cosigned = cosigning.cosign(self.backend(), &signed).await.map_err(Arc::new)?;
        let now = self.backend().lease(lease.key, request).await?;
        if now.is_none_or(|now| now.fence != lease.fence) {
            return Ok(None);
        }
        let cosigned = Arc::new(cosigned);
        let kept = self.keep(Arc::clone(&cosigned)).await?;
        // Where a checkpoint of this size was kept before effects required cosignatures, it stays.
        Ok(Some(if self.suffices(&kept) { kept } else { cosigned }))
    }
}
