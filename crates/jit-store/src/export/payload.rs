//! Payload files: one for 256 records, one line for each record that has its payload, rewritten as they grow and when
//! payloads are erased (evidence format, section 6).

use jit_log::TileId;

use crate::append::LogRecord;
use crate::export::error::ExportError;

/// The checkpoint below which all payload files are written.
pub(crate) const PAYLOAD_CHECKPOINT_PATH: &str = "payload/checkpoint";

/// What stands between the fields and the index of a record.
const INDEX: &[u8] = b",\"index\":";

/// Where the payloads of tile `number` of level 0 lie, numbered like the tile.
pub(crate) fn payload_path(number: u64) -> String {
    // Full, whatever the tile's width: the file is rewritten as it grows.
    TileId::new(0, number, 256).map_or_else(|_| format!("payload/{number}"), |id| id.path_below("payload"))
}

/// Adds the line of a record, if it has its payload.
pub(crate) fn append_line(lines: &mut Vec<u8>, entry: &LogRecord) -> Result<(), ExportError> {
    let Some(fields) = entry.record().payload() else { return Ok(()) };
    let index = entry.index();
    let fields = fields.to_bytes().map_err(|error| ExportError::Record { index, reason: error.to_string() })?;
    // Keys in canonical order; the fields are canonical themselves.
    lines.extend_from_slice(b"{\"fields\":");
    lines.extend_from_slice(&fields);
    lines.extend_from_slice(INDEX);
    lines.extend_from_slice(format!("{index}}}\n").as_bytes());
    Ok(())
}

/// The index of the last record in a payload file.
pub(crate) fn last_index(lines: &[u8]) -> Option<u64> {
    let line = lines.strip_suffix(b"}\n")?;
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, index) = line.split_at_checked(line.len().checked_sub(digits)?)?;
    if !before.ends_with(INDEX) {
        return None;
    }
    std::str::from_utf8(index).ok()?.parse().ok()
}
