//! One record by itself: its header, its place under the checkpoint, its payload.

use jit_core::{Header, Kind, Record, Recorded, StreamFamily, StreamId};
use jit_log::{Hash, InclusionProof, VerifiedCheckpoint};

use crate::{
    bundle::BundleRecord,
    verify::{reason::Reason, report::Place},
};

/// A record of a bundle, read and judged by itself.
#[derive(Debug)]
pub struct ExaminedRecord {
    place: Place,
    record: Option<Record>,
    purged_by: Option<u64>,
    proven: bool,
    sound: bool,
}

impl ExaminedRecord {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The record, if its header can be read; without payload where that is purged or not what the header commits to.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether its header is proven to be under a checkpoint that is trusted.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// The record, if nothing is wrong with it by itself.
    pub(crate) fn sound(&self) -> Option<&Record> {
        self.record.as_ref().filter(|_| self.sound)
    }

    /// The index of the purge that is said to have removed its payload.
    pub(super) fn purged_by(&self) -> Option<u64> {
        self.purged_by
    }
}

/// Reads a record and judges it by itself. Without a checkpoint everything but its place in the log is judged.
pub(super) fn examine(
    entry: &BundleRecord,
    logs: usize,
    checkpoint: Option<&VerifiedCheckpoint>,
) -> (ExaminedRecord, Result<(), Reason>) {
    let header = Header::parse(entry.header.as_bytes());
    let place = Place {
        log: entry.log,
        index: entry.index,
        id: header.as_ref().ok().map(|h| h.id),
        kind: header.as_ref().ok().map(|h| h.kind.clone()),
    };
    let included = include(entry, logs, checkpoint);
    let read = read(entry);
    let proven = matches!(included, Ok(true));
    // Without its payload the header alone still says where the record stands in its stream.
    let alone = || Record::parse(entry.header.clone().into_bytes(), None).ok();
    let (record, judged) = match (included, read) {
        (Ok(_), Ok(record)) => (Some(record), Ok(())),
        (Err(reason), _) | (Ok(_), Err(reason)) => (alone(), Err(reason)),
    };
    let sound = judged.is_ok();
    (ExaminedRecord { place, record, purged_by: entry.purged, proven, sound }, judged)
}

/// Whether the header is under the checkpoint; `Ok(false)` if there is none to hold it against.
fn include(entry: &BundleRecord, logs: usize, checkpoint: Option<&VerifiedCheckpoint>) -> Result<bool, Reason> {
    if usize::try_from(entry.log).is_ok_and(|log| log >= logs) {
        return Err(Reason::NoSuchLog(entry.log));
    }
    let hashes: Result<Vec<Hash>, _> = entry.proof.iter().map(|hash| Hash::from_base64(hash)).collect();
    let proof = InclusionProof::from_hashes(hashes.map_err(|_| Reason::Proof)?).map_err(|_| Reason::Proof)?;
    let Some(checkpoint) = checkpoint else {
        return Ok(false);
    };
    Recorded::verify_under(entry.header.as_bytes(), entry.index, &proof, checkpoint)?;
    Ok(true)
}

fn read(entry: &BundleRecord) -> Result<Record, Reason> {
    let payload = match (&entry.fields, entry.purged) {
        (Some(fields), None) => Some(fields.to_bytes()?),
        (None, Some(_)) => None,
        _ => return Err(Reason::PayloadShape),
    };
    let record = Record::parse(entry.header.clone().into_bytes(), payload.as_deref()).map_err(Reason::Payload)?;
    let header = record.header();
    if !may_stand_in(&header.kind, header.stream) {
        return Err(Reason::Stream { kind: header.kind.to_string(), stream: header.stream });
    }
    Ok(record)
}

/// Whether a kind may stand in a stream; an unknown one may stand anywhere.
fn may_stand_in(kind: &Kind, stream: StreamId) -> bool {
    let Some(family) = kind.family() else { return true };
    match stream {
        StreamId::Case(_) => matches!(family, StreamFamily::Case | StreamFamily::CaseOrOps),
        StreamId::Ops(_) => matches!(family, StreamFamily::Ops | StreamFamily::CaseOrOps),
        StreamId::Entitlement(_) => family == StreamFamily::Entitlement,
        StreamId::Gov => family == StreamFamily::Gov,
        StreamId::Erasure => family == StreamFamily::Erasure,
        StreamId::Policy => family == StreamFamily::Policy,
    }
}
