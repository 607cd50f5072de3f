//! A whole exported log, record by record: what a bundle cannot show, such as that no stream has a number twice.

use jit_core::{
    Header, LogOrigin, ParseRecordError, Record,
    canonical::{self, CanonicalError, Value},
};
use jit_log::{
    BoxError, DirectoryError, DirectoryReport, DirectoryVerifier, NoteError, TileId, TileSource, TrustError,
    TrustPolicy,
};
use serde::Deserialize;

use crate::verify::{Reason, Streams};

/// How many records a payload file holds.
const PAYLOAD_FILE: u64 = 256;

/// Why a log does not verify.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ScanError(#[from] DirectoryError);

impl ScanError {
    /// Whether what was exported contradicts what was signed, or itself. Otherwise it is only not provable.
    #[must_use]
    pub fn disproves(&self) -> bool {
        !matches!(self.0, DirectoryError::Source { .. } | DirectoryError::Missing { .. } | DirectoryError::Empty)
            && !matches!(&self.0, DirectoryError::Trust(trust) if !matches!(trust, TrustError::Note(NoteError::BadSignature { .. })))
    }
}

/// What a scan has verified.
#[derive(Debug)]
pub struct Scan {
    directory: DirectoryReport,
    streams: usize,
    payloads: u64,
}

impl Scan {
    /// The checkpoint, and how many entries and tiles hang under it.
    #[must_use]
    pub fn directory(&self) -> &DirectoryReport {
        &self.directory
    }

    /// How many streams there are, each whole from its first record on and with every number once.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// How many records had a payload that is what their header commits to. Of the others only the header was there.
    #[must_use]
    pub fn payloads(&self) -> u64 {
        self.payloads
    }
}

/// A record of a log is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum EntryError {
    #[error("{0}")]
    Record(#[from] ParseRecordError),
    #[error("{0}")]
    Stream(Reason),
    #[error("it names log {0}")]
    OtherLog(LogOrigin),
    #[error("{path} cannot be read: {source}")]
    Source { path: String, source: BoxError },
    #[error("{path} is malformed: {source}")]
    Malformed { path: String, source: CanonicalError },
    #[error("{path} holds records that are not its own, or not in their order")]
    Order { path: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadLine {
    index: u64,
    fields: Value,
}

/// Verifies an exported log: checkpoint, entries and tiles, every header, every stream, and the payloads that are there.
///
/// Memory grows with the number of streams and records (their ids), not with their size. `payloads` reads the same folder
/// as `tiles`; the two are apart because they are read in turns.
///
/// # Errors
/// [`ScanError`] names the first file or record that fails.
pub fn scan_log(
    tiles: &mut impl TileSource,
    payloads: &mut impl TileSource,
    trust: &TrustPolicy,
) -> Result<Scan, ScanError> {
    scan_records(tiles, payloads, trust, |_, _| {})
}

/// As [`scan_log`], and hands every record on with its index, in the order of the log, after it was judged by itself. What is
/// handed on is proved only if the scan ends well: whoever takes records waits for its result.
///
/// # Errors
/// As [`scan_log`].
pub fn scan_records(
    tiles: &mut impl TileSource,
    payloads: &mut impl TileSource,
    trust: &TrustPolicy,
    mut each: impl FnMut(u64, &Record),
) -> Result<Scan, ScanError> {
    let mut streams = Streams::default();
    let mut counted: u64 = 0;
    let mut lines: std::vec::IntoIter<PayloadLine> = Vec::new().into_iter();
    let mut log: Option<LogOrigin> = None;
    let directory = DirectoryVerifier::new(trust).verify(tiles, |index, entry| {
        if index % PAYLOAD_FILE == 0 {
            lines = payload_file(payloads, index / PAYLOAD_FILE)?.into_iter();
        }
        let line = lines.as_slice().first().is_some_and(|line| line.index == index).then(|| lines.next()).flatten();
        let payload = line.map(|line| line.fields.to_bytes()).transpose()?;
        let record = Record::parse(entry.to_vec(), payload.as_deref()).map_err(EntryError::from)?;
        let header: &Header = record.header();
        if log.get_or_insert_with(|| header.log.clone()) != &header.log {
            return Err(EntryError::OtherLog(header.log.clone()).into());
        }
        streams.add(header, record.leaf()).map_err(EntryError::Stream)?;
        counted = counted.saturating_add(u64::from(payload.is_some()));
        each(index, &record);
        Ok(())
    })?;
    if let Some(log) = log
        && log.as_origin() != directory.checkpoint().checkpoint().origin()
    {
        let source = EntryError::OtherLog(log).into();
        return Err(DirectoryError::Rejected { index: 0, source }.into());
    }
    Ok(Scan { directory, streams: streams.len(), payloads: counted })
}

/// The lines of a payload file; none if there is no such file.
fn payload_file(source: &mut impl TileSource, number: u64) -> Result<Vec<PayloadLine>, EntryError> {
    let path = TileId::new(0, number, 256).map_or_else(|_| format!("payload/{number}"), |id| id.path_below("payload"));
    let read = source.read(&path).map_err(|error| EntryError::Source { path: path.clone(), source: error.into() })?;
    let first = number.saturating_mul(PAYLOAD_FILE);
    let own = first..first.saturating_add(PAYLOAD_FILE);
    let mut lines: Vec<PayloadLine> = Vec::new();
    for line in read.as_deref().unwrap_or_default().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: PayloadLine =
            canonical::from_slice(line).map_err(|source| EntryError::Malformed { path: path.clone(), source })?;
        let follows = lines.last().is_none_or(|before| before.index < line.index);
        if !follows || !own.contains(&line.index) {
            return Err(EntryError::Order { path });
        }
        lines.push(line);
    }
    Ok(lines)
}
