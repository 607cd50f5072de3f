//! What is stored beside a record so that it is found again: keyed digests of names, and due work.

use jit_core::{DueId, IndexKey, Lookup, Record, Timestamp, canonical, project};

use crate::error::ReadError;
use crate::row::{DueKey, DueRow, LookupKey};

/// Turns the projections of records into keys that betray no names.
#[derive(Clone, Debug)]
pub(crate) struct Projector {
    key: IndexKey,
}

/// The projection of one record, under keys.
#[derive(Debug, Default)]
pub(crate) struct IndexedProjection {
    pub(crate) lookups: Vec<LookupKey>,
    /// In order: work that is scheduled, or no longer wanted.
    pub(crate) due: Vec<(DueKey, Option<DueRow>)>,
}

impl Projector {
    pub(crate) fn new(key: IndexKey) -> Self {
        Self { key }
    }

    pub(crate) fn project(&self, record: &Record) -> IndexedProjection {
        let projection = project(record);
        let done = projection.done.iter().filter_map(|id| Some((due_key(id)?.0, None)));
        let due = projection.due.iter().filter_map(|(id, at)| {
            let (key, work) = due_key(id)?;
            Some((key, Some(DueRow { key, at_us: at.as_micros(), work })))
        });
        IndexedProjection {
            lookups: projection.lookups.iter().map(|lookup| self.lookup(lookup)).collect(),
            due: done.chain(due).collect(),
        }
    }

    /// The key under which records of this name are filed.
    pub(crate) fn lookup(&self, lookup: &Lookup) -> LookupKey {
        LookupKey::from_bytes(self.key.lookup(lookup.family.as_str(), lookup.value.as_bytes()))
    }

    /// A value that tells whether a log is opened with the index key it was created with.
    pub(crate) fn check_value(&self) -> LookupKey {
        LookupKey::from_bytes(self.key.lookup("index key check", b""))
    }
}

/// Work as scheduled: what is to be done, and since when it could be.
pub(crate) fn read_due(row: &DueRow) -> Result<(DueId, Timestamp), ReadError> {
    let damaged = || ReadError::corrupt(format!("due work {:?} cannot be read", row.key));
    let id = canonical::from_slice(&row.work).map_err(|_| damaged())?;
    Ok((id, Timestamp::from_micros(row.at_us).map_err(|_| damaged())?))
}

/// The key of a piece of work, and its bytes. It is not secret: the headers name streams and credentials.
fn due_key(id: &DueId) -> Option<(DueKey, Vec<u8>)> {
    // Ids, and the names of tasks, always have a canonical form.
    let work = canonical::to_bytes(id).ok()?;
    Some((DueKey::from_bytes(blake3::derive_key("jit-store/1 due", &work)), work))
}
