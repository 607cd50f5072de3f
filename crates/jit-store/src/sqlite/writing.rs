//! The statements that write.

use rusqlite::{Connection, params};

use super::reading;
use crate::backend::BackendError;
use crate::row::{Batch, CheckpointRow, HashBytes, Head, Projections, Row, TileRow};

type Result<T> = std::result::Result<T, BackendError>;

/// Begins a log, if there is none.
pub(super) fn create(connection: &Connection, meta: &[u8], first: &Batch) -> Result<()> {
    match reading::head(connection) {
        Err(BackendError::NotCreated) => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(BackendError::AlreadyExists),
    }
    let Head { size, root, frontier } = &first.head;
    let insert = "INSERT INTO log (one, meta, size, root, frontier) VALUES (1, ?1, ?2, ?3, ?4)";
    connection.prepare_cached(insert)?.execute(params![meta, number(*size)?, root.as_bytes(), joined(frontier)])?;
    add(connection, first, 0)
}

/// Continues a log of `size` records.
pub(super) fn append(connection: &Connection, batch: &Batch, size: u64) -> Result<()> {
    let Head { size: grown, root, frontier } = &batch.head;
    let update = "UPDATE log SET size = ?1, root = ?2, frontier = ?3";
    connection.prepare_cached(update)?.execute(params![number(*grown)?, root.as_bytes(), joined(frontier)])?;
    add(connection, batch, size)
}

fn add(connection: &Connection, batch: &Batch, size: u64) -> Result<()> {
    check_dense(batch, size)?;
    insert_rows(connection, &batch.rows)?;
    insert_tiles(connection, &batch.tiles)?;
    add_projections(connection, &batch.projections)?;
    let mut insert =
        connection.prepare_cached("INSERT INTO blob (key, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for (key, bytes) in &batch.blobs {
        insert.execute(params![key.as_bytes(), bytes])?;
    }
    Ok(())
}

fn check_dense(batch: &Batch, size: u64) -> Result<()> {
    let mut next = size;
    for row in &batch.rows {
        if row.index != next {
            return Err(corrupt(format!("row {} does not belong at index {next}", row.index)));
        }
        next = next.saturating_add(1);
    }
    if batch.head.size != next {
        return Err(corrupt(format!("head size {} after {next} rows", batch.head.size)));
    }
    Ok(())
}

fn insert_rows(connection: &Connection, rows: &[Row]) -> Result<()> {
    let mut record = connection
        .prepare_cached("INSERT INTO record (idx, id, stream, n, leaf, header) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut payload = connection.prepare_cached("INSERT INTO payload (idx, bytes) VALUES (?1, ?2)")?;
    for row in rows {
        let index = number(row.index)?;
        let (stream, n) = (row.stream.as_bytes(), number(row.n)?);
        record.execute(params![index, row.record.as_bytes(), stream, n, row.leaf.as_bytes(), row.header])?;
        if let Some(bytes) = &row.payload {
            payload.execute(params![index, bytes])?;
        }
    }
    Ok(())
}

fn insert_tiles(connection: &Connection, tiles: &[TileRow]) -> Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT INTO tile (level, idx, root, hashes) VALUES (?1, ?2, ?3, ?4)")?;
    for tile in tiles {
        insert.execute(params![tile.key.level, number(tile.key.index)?, tile.root.as_bytes(), tile.hashes])?;
    }
    Ok(())
}

pub(super) fn add_projections(connection: &Connection, added: &Projections) -> Result<()> {
    let mut stream = connection.prepare_cached(
        "INSERT INTO stream (key, next, leaf, closed) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key) DO UPDATE SET next = excluded.next, leaf = excluded.leaf, closed = excluded.closed",
    )?;
    for (key, state) in &added.streams {
        stream.execute(params![key.as_bytes(), number(state.next)?, state.leaf.as_bytes(), state.closed])?;
    }
    let mut lookup =
        connection.prepare_cached("INSERT INTO lookup (key, idx) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for (key, index) in &added.lookups {
        lookup.execute(params![key.as_bytes(), number(*index)?])?;
    }
    let mut done = connection.prepare_cached("DELETE FROM due WHERE key = ?1")?;
    for key in &added.due_done {
        done.execute([key.as_bytes()])?;
    }
    let mut due = connection.prepare_cached(
        "INSERT INTO due (key, at_us, work) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET at_us = excluded.at_us, work = excluded.work",
    )?;
    for row in &added.due {
        due.execute(params![row.key.as_bytes(), row.at_us, row.work])?;
    }
    Ok(())
}

pub(super) fn clear_projections(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch("DELETE FROM stream; DELETE FROM lookup; DELETE FROM due;")?)
}

/// Adds a checkpoint if the largest one is `after` and smaller; `false` otherwise.
pub(super) fn save_checkpoint(connection: &Connection, after: Option<u64>, row: &CheckpointRow) -> Result<bool> {
    reading::head(connection)?;
    let largest = reading::checkpoint(connection, None)?.map(|largest| largest.size);
    if largest != after || largest.is_some_and(|size| row.size <= size) {
        return Ok(false);
    }
    let insert = "INSERT INTO checkpoint (size, note, frontier) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(insert)?.execute(params![number(row.size)?, row.note, joined(&row.frontier)])?;
    Ok(true)
}

fn joined(hashes: &[HashBytes]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// A number as it is stored.
fn number(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| corrupt(format!("{number} is more than a database counts")))
}

fn corrupt(what: String) -> BackendError {
    BackendError::Corrupt { what }
}
