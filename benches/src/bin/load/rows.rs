//! The rows of records as they are stored, for the raw loads: the same bytes in the same columns. Digests are random,
//! because nothing is hashed, and sit in the indexes like real ones.

use std::error::Error;

use jit_benches::cases::records;
use jit_core::{Record, Recorder};

/// How many leaves a full tile has.
pub(crate) const TILE: i64 = 256;

/// Everything that one record brings into the tables.
pub(crate) struct StoredRow {
    pub(crate) id: [u8; 16],
    pub(crate) stream: [u8; 32],
    pub(crate) n: i64,
    pub(crate) leaf: [u8; 32],
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    /// One look-up entry and one piece of work, as such a record has.
    pub(crate) projection: Option<Projection>,
}

pub(crate) struct Projection {
    pub(crate) lookup: [u8; 32],
    pub(crate) due: [u8; 32],
    pub(crate) at_us: i64,
    pub(crate) work: Vec<u8>,
}

/// Batches as they are when each of so many callers appends its next record.
pub(crate) fn batches(
    recorder: &Recorder,
    callers: usize,
    count: usize,
    bytes: usize,
) -> Result<Vec<Vec<StoredRow>>, Box<dyn Error>> {
    let mut batches: Vec<Vec<StoredRow>> = (0..count).map(|_| Vec::with_capacity(callers)).collect();
    for own in records(recorder, callers, count, bytes)? {
        let mut stream = [0; 32];
        for (batch, record) in batches.iter_mut().zip(own) {
            if record.header().n == 0 {
                stream = recorder.random()?;
            }
            batch.push(StoredRow::new(recorder, &record, stream)?);
        }
    }
    Ok(batches)
}

impl StoredRow {
    fn new(recorder: &Recorder, record: &Record, stream: [u8; 32]) -> Result<Self, Box<dyn Error>> {
        let header = record.header();
        let projection = match header.refs.credential {
            None => None,
            Some(credential) => Some(Projection {
                lookup: recorder.random()?,
                due: recorder.random()?,
                at_us: header.at.as_micros(),
                work: format!(r#"{{"of":"{credential}","stream":"{}","task":"resolve_mint"}}"#, header.stream)
                    .into_bytes(),
            }),
        };
        Ok(Self {
            id: *header.id.as_bytes(),
            stream,
            n: header.n.cast_signed(),
            leaf: *record.leaf().as_bytes(),
            header: record.header_bytes().to_vec(),
            payload: record.payload().ok_or("a record without payload")?.to_bytes()?,
            projection,
        })
    }
}
