//! The right to end what stands at a target and no record explains.

use jit_core::{Event, ExternalId, IssuerName, Kind, LeafHash, Record, Recorded};

use crate::binding::{RecordMismatch, in_place};

/// The right to end one orphan: made only from the proven record that found it, so that what vanishes from a target was on
/// record before it did.
#[derive(Debug)]
pub struct OrphanAuthorization {
    issuer: IssuerName,
    name: ExternalId,
    found: LeafHash,
}

impl OrphanAuthorization {
    /// Accepts an `orphan.found` with the proof that it is recorded.
    ///
    /// # Errors
    /// [`RecordMismatch`] with any other record or proof.
    pub fn new(found: &Record, recorded: &Recorded) -> Result<Self, RecordMismatch> {
        let header = found.header();
        in_place(recorded, &header.log, header.stream, Kind::OrphanFound)?;
        match found.event() {
            Ok(Event::OrphanFound(orphan)) if found.leaf() == recorded.leaf() => {
                Ok(Self { issuer: orphan.issuer, name: orphan.name, found: recorded.leaf() })
            }
            _ => Err(RecordMismatch::OtherRecord { proven: recorded.leaf() }),
        }
    }

    /// The issuer at whose target it stands.
    #[must_use]
    pub fn issuer(&self) -> &IssuerName {
        &self.issuer
    }

    /// Its name there.
    #[must_use]
    pub fn name(&self) -> &ExternalId {
        &self.name
    }

    /// The leaf of the record that found it.
    #[must_use]
    pub fn found(&self) -> LeafHash {
        self.found
    }
}
