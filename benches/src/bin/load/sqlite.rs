//! SQLite: the raw limit, which is the same rows in batches by one connection, with the same durability.

use std::error::Error;
use std::time::Instant;

use jit_bench_load::{Setting, Tally, Window};
use jit_benches::evidence_log::recorder;
use jit_store::SqliteBackend;
use rusqlite::{Connection, params};

use crate::rows::{StoredRow, TILE, batches};

pub(crate) async fn raw(setting: &Setting) -> Result<String, Box<dyn Error>> {
    drop(SqliteBackend::create_new(&setting.url).await?);
    let mut connection = Connection::open(&setting.url)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let batches = batches(&recorder()?, setting.callers, setting.plenty() / setting.callers, setting.bytes)?;

    let window = Window::open(setting.time);
    let mut tally = Tally::default();
    let mut index = 0;
    for batch in &batches {
        if !window.is_open() {
            return Ok(tally.line(&window));
        }
        let begun = Instant::now();
        let transaction = connection.transaction()?;
        insert(&transaction, batch, index)?;
        transaction.commit()?;
        for _ in batch {
            tally.done(begun);
        }
        index += batch.len().cast_signed() as i64;
    }
    tally.ran_dry();
    Ok(tally.line(&window))
}

fn insert(connection: &Connection, rows: &[StoredRow], first: i64) -> rusqlite::Result<()> {
    let mut record = connection
        .prepare_cached("INSERT INTO record (idx, id, stream, n, leaf, header) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut payload = connection.prepare_cached("INSERT INTO payload (idx, bytes) VALUES (?1, ?2)")?;
    let mut stream = connection.prepare_cached(
        "INSERT INTO stream (key, next, leaf, closed) VALUES (?1, ?2, ?3, 0)
         ON CONFLICT (key) DO UPDATE SET next = excluded.next, leaf = excluded.leaf",
    )?;
    let mut lookup = connection.prepare_cached("INSERT INTO lookup (key, idx) VALUES (?1, ?2)")?;
    let mut due = connection.prepare_cached("INSERT INTO due (key, at_us, work) VALUES (?1, ?2, ?3)")?;
    let mut tile = connection.prepare_cached("INSERT INTO tile (level, idx, root, hashes) VALUES (0, ?1, ?2, ?3)")?;
    for (at, row) in (first..).zip(rows) {
        record.execute(params![at, row.id, row.stream, row.n, row.leaf, row.header])?;
        payload.execute(params![at, row.payload])?;
        stream.execute(params![row.stream, row.n + 1, row.leaf])?;
        if let Some(projection) = &row.projection {
            lookup.execute(params![projection.lookup, at])?;
            due.execute(params![projection.due, projection.at_us, projection.work])?;
        }
        if (at + 1) % TILE == 0 {
            tile.execute(params![at / TILE, row.leaf, [7_u8; 32 * TILE as usize].as_slice()])?;
        }
    }
    Ok(())
}
