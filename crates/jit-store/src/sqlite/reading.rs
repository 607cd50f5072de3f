//! The queries that read.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, Params, Row as Found, params};

use crate::backend::BackendError;
use crate::lease::Leases;
use crate::row::{
    Begin, BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Incarnation, Known, Lease, LeaseRequest, Locked,
    LookupKey, RecordKey, Row, StreamKey, StreamState, TileKey, TileRow, TreeNodes, TreeRead,
};

type Result<T> = std::result::Result<T, BackendError>;

/// After so many bytes of records a page ends.
const PAGE_BYTES: usize = 8 << 20;

/// The records that a condition selects; a payload that was deleted is absent.
macro_rules! select_rows {
    ($from:literal) => {
        concat!(
            "SELECT r.idx, r.id, r.stream, r.n, r.leaf, r.header, p.bytes FROM ",
            $from,
            " LEFT JOIN payload p ON p.idx = r.idx "
        )
    };
}

pub(super) fn meta(connection: &Connection) -> Result<Option<Vec<u8>>> {
    Ok(connection.prepare_cached("SELECT meta FROM log")?.query_row([], |row| row.get(0)).optional()?)
}

pub(super) fn head(connection: &Connection) -> Result<Head> {
    let mut select = connection.prepare_cached("SELECT size, root, frontier FROM log")?;
    let head = |row: &Found<'_>| {
        Ok(Head { size: unsigned(row, 0)?, root: HashBytes::from_bytes(row.get(1)?), frontier: hashes(row, 2)? })
    };
    select.query_row([], head).optional()?.ok_or(BackendError::NotCreated)
}

/// What a transaction wants to know.
pub(super) fn locked(connection: &Connection, want: &Begin, incarnation: Incarnation) -> Result<Locked> {
    let head = head(connection)?;
    let streams = want.streams.iter().map(|key| stream_head(connection, *key)).collect::<Result<_>>()?;
    let known = want.records.iter().map(|key| known(connection, *key)).collect::<Result<_>>()?;
    let new = head.size.saturating_sub(want.leaves_from);
    let leaves = match usize::try_from(new) {
        Ok(new) if new <= Begin::MAX_LEAVES => leaves(connection, &(want.leaves_from..head.size))?,
        _ => Vec::new(),
    };
    Ok(Locked { head, streams, known, leaves, incarnation })
}

fn known(connection: &Connection, key: RecordKey) -> Result<Option<Known>> {
    let mut select = connection.prepare_cached("SELECT idx, leaf FROM record WHERE id = ?1")?;
    let known = |row: &Found<'_>| Ok(Known { index: unsigned(row, 0)?, leaf: HashBytes::from_bytes(row.get(1)?) });
    Ok(select.query_row([key.as_bytes()], known).optional()?)
}

pub(super) fn stream_head(connection: &Connection, key: StreamKey) -> Result<Option<StreamState>> {
    let mut select = connection.prepare_cached("SELECT next, leaf, closed FROM stream WHERE key = ?1")?;
    Ok(select.query_row([key.as_bytes()], |row| stream_state(row, 0)).optional()?)
}

pub(super) fn rows(connection: &Connection, range: &Range<u64>) -> Result<Vec<Row>> {
    let select = concat!(select_rows!("record r"), "WHERE r.idx >= ?1 AND r.idx < ?2 ORDER BY r.idx");
    page(connection, select, params![bound(range.start), bound(range.end)])
}

pub(super) fn stream_rows(connection: &Connection, key: StreamKey, from_n: u64, limit: usize) -> Result<Vec<Row>> {
    let select = concat!(select_rows!("record r"), "WHERE r.stream = ?1 AND r.n >= ?2 ORDER BY r.n LIMIT ?3");
    page(connection, select, params![key.as_bytes(), bound(from_n), bound(limit as u64)])
}

pub(super) fn lookup(connection: &Connection, key: LookupKey, from: u64, limit: usize) -> Result<Vec<Row>> {
    let select = concat!(
        select_rows!("lookup l CROSS JOIN record r ON r.idx = l.idx"),
        "WHERE l.key = ?1 AND l.idx >= ?2 ORDER BY l.idx LIMIT ?3"
    );
    page(connection, select, params![key.as_bytes(), bound(from), bound(limit as u64)])
}

fn page(connection: &Connection, select: &str, params: impl Params) -> Result<Vec<Row>> {
    let mut select = connection.prepare_cached(select)?;
    let mut found = select.query(params)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let row = Row {
            index: unsigned(row, 0)?,
            record: RecordKey::from_bytes(row.get(1)?),
            stream: StreamKey::from_bytes(row.get(2)?),
            n: unsigned(row, 3)?,
            leaf: HashBytes::from_bytes(row.get(4)?),
            header: row.get(5)?,
            payload: row.get(6)?,
        };
        bytes += row.header.len() + row.payload.as_ref().map_or(0, Vec::len);
        rows.push(row);
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(rows)
}

pub(super) fn tree(connection: &Connection, want: &TreeRead) -> Result<TreeNodes> {
    Ok(TreeNodes {
        leaves: want.leaves.iter().map(|range| leaves(connection, range)).collect::<Result<_>>()?,
        tiles: want.tiles.iter().map(|key| tile(connection, *key)).collect::<Result<_>>()?,
        roots: want.roots.iter().map(|(level, range)| roots(connection, *level, range)).collect::<Result<_>>()?,
    })
}

fn leaves(connection: &Connection, range: &Range<u64>) -> Result<Vec<HashBytes>> {
    let mut select = connection.prepare_cached("SELECT leaf FROM record WHERE idx >= ?1 AND idx < ?2 ORDER BY idx")?;
    let leaf = |row: &Found<'_>| Ok(HashBytes::from_bytes(row.get(0)?));
    Ok(select.query_map([bound(range.start), bound(range.end)], leaf)?.collect::<rusqlite::Result<_>>()?)
}

fn tile(connection: &Connection, key: TileKey) -> Result<Option<TileRow>> {
    let mut select = connection.prepare_cached("SELECT hashes, root FROM tile WHERE level = ?1 AND idx = ?2")?;
    let tile = |row: &Found<'_>| Ok(TileRow { key, hashes: row.get(0)?, root: HashBytes::from_bytes(row.get(1)?) });
    Ok(select.query_row(params![key.level, bound(key.index)], tile).optional()?)
}

fn roots(connection: &Connection, level: u8, range: &Range<u64>) -> Result<Vec<HashBytes>> {
    let mut select = connection
        .prepare_cached("SELECT idx, root FROM tile WHERE level = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx")?;
    let mut found = select.query(params![level, bound(range.start), bound(range.end)])?;
    let mut roots = Vec::new();
    let mut next = range.start;
    while let Some(row) = found.next()? {
        if unsigned(row, 0)? != next {
            break;
        }
        roots.push(HashBytes::from_bytes(row.get(1)?));
        next = next.saturating_add(1);
    }
    Ok(roots)
}

const DUE: &str =
    "SELECT at_us, key, work FROM due WHERE (at_us, key) > (?1, ?2) AND at_us < ?3 ORDER BY at_us, key LIMIT ?4";

pub(super) fn due(
    connection: &Connection,
    after: Option<(i64, DueKey)>,
    before_us: i64,
    limit: usize,
) -> Result<Vec<DueRow>> {
    let mut select = connection.prepare_cached(DUE)?;
    // No key is as small as an empty one.
    let (at_us, key) = after.as_ref().map_or((i64::MIN, &[][..]), |(at_us, key)| (*at_us, &key.as_bytes()[..]));
    let found = select.query_map(params![at_us, key, before_us, bound(limit as u64)], due_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Takes leases on due work in its order, until there are enough.
pub(super) fn claim(
    connection: &Connection,
    leases: &mut Leases,
    before_us: i64,
    limit: usize,
    request: LeaseRequest,
) -> Result<Vec<(DueRow, Lease)>> {
    let mut select = connection.prepare_cached(DUE)?;
    let found = select.query_map(params![i64::MIN, &[][..], before_us, i64::MAX], due_row)?;
    let mut claimed = Vec::new();
    for row in found {
        if claimed.len() >= limit {
            break;
        }
        let row = row?;
        if let Some(lease) = leases.take(row.key.into(), request) {
            claimed.push((row, lease));
        }
    }
    Ok(claimed)
}

fn due_row(row: &Found<'_>) -> rusqlite::Result<DueRow> {
    Ok(DueRow { at_us: row.get(0)?, key: DueKey::from_bytes(row.get(1)?), work: row.get(2)? })
}

pub(super) fn scan_streams(
    connection: &Connection,
    after: Option<StreamKey>,
    limit: usize,
) -> Result<Vec<(StreamKey, StreamState)>> {
    let mut select =
        connection.prepare_cached("SELECT key, next, leaf, closed FROM stream WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let after = after.as_ref().map_or(&[][..], |key| &key.as_bytes()[..]);
    let stream = |row: &Found<'_>| Ok((StreamKey::from_bytes(row.get(0)?), stream_state(row, 1)?));
    Ok(select.query_map(params![after, bound(limit as u64)], stream)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn scan_lookups(
    connection: &Connection,
    after: Option<(LookupKey, u64)>,
    limit: usize,
) -> Result<Vec<(LookupKey, u64)>> {
    let mut select = connection
        .prepare_cached("SELECT key, idx FROM lookup WHERE (key, idx) > (?1, ?2) ORDER BY key, idx LIMIT ?3")?;
    let (key, index) = after.as_ref().map_or((&[][..], 0), |(key, index)| (&key.as_bytes()[..], bound(*index)));
    let lookup = |row: &Found<'_>| Ok((LookupKey::from_bytes(row.get(0)?), unsigned(row, 1)?));
    Ok(select.query_map(params![key, index, bound(limit as u64)], lookup)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn scan_records(
    connection: &Connection,
    after: Option<RecordKey>,
    limit: usize,
) -> Result<Vec<(RecordKey, u64)>> {
    let mut select = connection.prepare_cached("SELECT id, idx FROM record WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let after = after.as_ref().map_or(&[][..], |key| &key.as_bytes()[..]);
    let record = |row: &Found<'_>| Ok((RecordKey::from_bytes(row.get(0)?), unsigned(row, 1)?));
    Ok(select.query_map(params![after, bound(limit as u64)], record)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn blob(connection: &Connection, key: BlobKey) -> Result<Option<Vec<u8>>> {
    let mut select = connection.prepare_cached("SELECT bytes FROM blob WHERE key = ?1")?;
    Ok(select.query_row([key.as_bytes()], |row| row.get(0)).optional()?)
}

pub(super) fn checkpoint(connection: &Connection, at_least: Option<u64>) -> Result<Option<CheckpointRow>> {
    let mut select = connection.prepare_cached(match at_least {
        Some(_) => "SELECT size, note, frontier FROM checkpoint WHERE size >= ?1 ORDER BY size LIMIT 1",
        None => "SELECT size, note, frontier FROM checkpoint WHERE size >= ?1 ORDER BY size DESC LIMIT 1",
    })?;
    let checkpoint =
        |row: &Found<'_>| Ok(CheckpointRow { size: unsigned(row, 0)?, note: row.get(1)?, frontier: hashes(row, 2)? });
    Ok(select.query_row([bound(at_least.unwrap_or(0))], checkpoint).optional()?)
}

/// A number to compare stored ones with: none is larger than the largest that SQLite has.
fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Found<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn stream_state(row: &Found<'_>, column: usize) -> rusqlite::Result<StreamState> {
    Ok(StreamState {
        next: unsigned(row, column)?,
        leaf: HashBytes::from_bytes(row.get(column + 1)?),
        closed: row.get(column + 2)?,
    })
}

/// Hashes that are stored one after the other.
fn hashes(row: &Found<'_>, column: usize) -> rusqlite::Result<Vec<HashBytes>> {
    let bytes: Vec<u8> = row.get(column)?;
    let (hashes, _) = bytes.as_chunks();
    Ok(hashes.iter().map(|hash| HashBytes::from_bytes(*hash)).collect())
}
