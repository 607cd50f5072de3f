//! The limit: the rows that our append writes, into the same tables, in batches by one connection. Nothing is hashed, nothing
//! is checked. Each batch is one pipelined round trip.

use std::error::Error;
use std::time::Instant;

use jit_bench_load::{Setting, Tally, Window};
use jit_benches::evidence_log::recorder;
use tokio_postgres::{Client, Statement};

use crate::connecting::{connect, store};
use crate::rows::{StoredRow, TILE, batches};

pub(crate) async fn run(setting: &Setting) -> Result<String, Box<dyn Error>> {
    store(&setting.url, false).await?;
    let client = connect(&setting.url).await?;
    let batches = batches(&recorder()?, setting.callers, setting.plenty() / setting.callers, setting.bytes)?;
    let room = "INSERT INTO jit.log (meta) VALUES ('');
        INSERT INTO jit.head (size, root, frontier) VALUES (0, sha256(''), '');
        SELECT jit.make_room(1);
        SET plan_cache_mode = force_generic_plan";
    client.batch_execute(room).await?;
    let inserts = Inserts::prepare(&client).await?;

    let window = Window::open(setting.time);
    let mut tally = Tally::default();
    let mut first = 0;
    for batch in &batches {
        if !window.is_open() {
            return Ok(tally.line(&window));
        }
        let begun = Instant::now();
        inserts.write(&client, batch, first).await?;
        for _ in batch {
            tally.done(begun);
        }
        first += batch.len().cast_signed() as i64;
    }
    tally.ran_dry();
    Ok(tally.line(&window))
}

struct Inserts {
    leaf: Statement,
    payload: Statement,
    record: Statement,
    stream: Statement,
    lookup: Statement,
    due: Statement,
    tile: Statement,
    head: Statement,
}

impl Inserts {
    async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let leaf = "INSERT INTO jit.leaf (idx, n, record, stream, leaf, header)
            SELECT * FROM unnest($1::int8[], $2::int8[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])";
        let payload = "INSERT INTO jit.payload (idx, payload) SELECT * FROM unnest($1::int8[], $2::bytea[])";
        let record = "INSERT INTO jit.record (record, idx) SELECT * FROM unnest($1::bytea[], $2::int8[])";
        let stream = "INSERT INTO jit.stream_head (stream, next, first_idx, last_idx, leaf, closed)
            SELECT s, n + 1, i, i, l, false FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::bytea[]) AS u (s, n, i, l)
            ON CONFLICT (stream) DO UPDATE SET next = excluded.next, last_idx = excluded.last_idx, leaf = excluded.leaf";
        let lookup = "INSERT INTO jit.lookup (key, idx) SELECT * FROM unnest($1::bytea[], $2::int8[])";
        let due = "INSERT INTO jit.due (key, at_us, work) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[])";
        let tile =
            "INSERT INTO jit.tile (level, idx, root, hashes) SELECT 0, i, r, $3 FROM unnest($1::int8[], $2::bytea[])
            AS u (i, r)";
        Ok(Self {
            leaf: client.prepare(leaf).await?,
            payload: client.prepare(payload).await?,
            record: client.prepare(record).await?,
            stream: client.prepare(stream).await?,
            lookup: client.prepare(lookup).await?,
            due: client.prepare(due).await?,
            tile: client.prepare(tile).await?,
            head: client.prepare("UPDATE jit.head SET size = $1").await?,
        })
    }

    async fn write(&self, client: &Client, rows: &[StoredRow], first: i64) -> Result<(), tokio_postgres::Error> {
        let end = first + rows.len().cast_signed() as i64;
        let indexes: Vec<i64> = (first..end).collect();
        let n: Vec<i64> = rows.iter().map(|row| row.n).collect();
        let record: Vec<&[u8]> = rows.iter().map(|row| row.id.as_slice()).collect();
        let stream: Vec<&[u8]> = rows.iter().map(|row| row.stream.as_slice()).collect();
        let leaf: Vec<&[u8]> = rows.iter().map(|row| row.leaf.as_slice()).collect();
        let header: Vec<&[u8]> = rows.iter().map(|row| row.header.as_slice()).collect();
        let payload: Vec<&[u8]> = rows.iter().map(|row| row.payload.as_slice()).collect();
        let projected = || indexes.iter().zip(rows).filter_map(|(index, row)| Some((*index, row.projection.as_ref()?)));
        let lookup_at: Vec<i64> = projected().map(|(index, _)| index).collect();
        let lookup: Vec<&[u8]> = projected().map(|(_, projection)| projection.lookup.as_slice()).collect();
        let due: Vec<&[u8]> = projected().map(|(_, projection)| projection.due.as_slice()).collect();
        let due_at: Vec<i64> = projected().map(|(_, projection)| projection.at_us).collect();
        let work: Vec<&[u8]> = projected().map(|(_, projection)| projection.work.as_slice()).collect();
        let tiles: Vec<i64> = (first / TILE..end / TILE).collect();
        let roots: Vec<&[u8]> = tiles.iter().map(|_| [7; 32].as_slice()).collect();
        let hashes = [7_u8; 32 * TILE as usize].as_slice();

        tokio::try_join!(
            biased;
            client.batch_execute("BEGIN"),
            async { client.execute(&self.leaf, &[&indexes, &n, &record, &stream, &leaf, &header]).await },
            async { client.execute(&self.payload, &[&indexes, &payload]).await },
            async { client.execute(&self.record, &[&record, &indexes]).await },
            async { client.execute(&self.stream, &[&stream, &n, &indexes, &leaf]).await },
            async { client.execute(&self.lookup, &[&lookup, &lookup_at]).await },
            async { client.execute(&self.due, &[&due, &due_at, &work]).await },
            async { client.execute(&self.tile, &[&tiles, &roots, &hashes]).await },
            async { client.execute(&self.head, &[&end]).await },
            client.batch_execute("COMMIT"),
        )?;
        Ok(())
    }
}
