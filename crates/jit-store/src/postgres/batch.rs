//! A batch as columns, and the statement that writes them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use futures_util::future::try_join_all;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

use super::config::SchemaName;
use super::error::{failed, unavailable};
use super::sql;
use super::value::{concat, signed};
use crate::backend::BackendError;
use crate::row::{Assumed, Batch, HashBytes, Head, Projections, StreamKey};

/// More bytes than this would not fit into the parameters of a statement.
const MAX_BATCH_BYTES: usize = 512 << 20;

/// Of a stream about which nothing is known.
pub(super) const UNBOUNDED: (i64, i64) = (0, i64::MAX);

/// A statement under way. It is sent when it is polled first, so several that are polled in turn are one round trip.
pub(super) type Step<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// Runs a prepared statement.
pub(super) fn execute<'a, const N: usize>(
    client: &'a Client,
    statement: &'a Statement,
    params: [&'a (dyn ToSql + Sync); N],
) -> Step<'a> {
    Box::pin(async move { client.execute(statement, &params).await })
}

/// Runs statements without parameters.
pub(super) fn simple<'a>(client: &'a Client, sql: &'static str) -> Step<'a> {
    Box::pin(async move { client.batch_execute(sql).await.map(|()| 0) })
}

macro_rules! statements {
    ($($name:ident = $sql:expr;)*) => {
        /// What a writing connection has prepared.
        #[derive(Debug)]
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)*
        }

        impl Statements {
            pub(super) async fn prepare(client: &Client, schema: &SchemaName) -> Result<Self, BackendError> {
                let texts = [$(schema.fill($sql)),*];
                let prepared = try_join_all(texts.iter().map(|text| client.prepare(text))).await.map_err(failed)?;
                let mut prepared = prepared.into_iter();
                Ok(Self {
                    $($name: prepared.next().ok_or_else(|| unavailable("a statement was not prepared"))?,)*
                })
            }
        }
    };
}

statements! {
    create = sql::CREATE;
    create_head = sql::CREATE_HEAD;
    lock_head = sql::LOCK_HEAD;
    wanted_streams = sql::WANTED_STREAMS;
    wanted_records = sql::WANTED_RECORDS;
    wanted_leaves = sql::WANTED_LEAVES;
    make_room = sql::MAKE_ROOM;
    write = sql::WRITE;
    stream_bounds = sql::STREAM_BOUNDS;
}

type Bytes<'a> = Vec<&'a [u8]>;

/// The columns of a batch that fits where the log ends.
pub(super) struct BatchColumns<'a> {
    size: i64,
    root: &'a [u8],
    frontier: Vec<u8>,
    index: Vec<i64>,
    n: Vec<i64>,
    record: Bytes<'a>,
    stream: Bytes<'a>,
    leaf: Bytes<'a>,
    header: Bytes<'a>,
    payload_index: Vec<i64>,
    payload: Bytes<'a>,
    tile_level: Vec<i16>,
    tile_index: Vec<i64>,
    tile_root: Bytes<'a>,
    tile_hashes: Bytes<'a>,
    blob_key: Bytes<'a>,
    blob: Bytes<'a>,
    projections: ProjectionColumns<'a>,
}

impl<'a> BatchColumns<'a> {
    /// Refuses a batch that does not begin at `size`, is not dense or is larger than any that the log makes.
    pub(super) fn of(batch: &'a Batch, size: u64) -> Result<Self, BackendError> {
        check(batch, size)?;
        let rows = &batch.rows;
        let mut bounds: HashMap<StreamKey, (i64, i64)> = HashMap::new();
        for row in rows {
            let index = signed(row.index)?;
            bounds.entry(row.stream).or_insert((index, index)).1 = index;
        }
        let streams = batch.projections.streams.iter();
        let bounds = streams.map(|(key, _)| bounds.get(key).copied().unwrap_or(UNBOUNDED)).collect();
        Self::within(batch, bounds)
    }

    /// Of each stream written to, `bounds` says between which indexes its records are.
    pub(super) fn within(batch: &'a Batch, bounds: Vec<(i64, i64)>) -> Result<Self, BackendError> {
        let rows = &batch.rows;
        let payloads = || rows.iter().filter_map(|row| Some((row.index, row.payload.as_deref()?)));
        let tiles = &batch.tiles;
        Ok(Self {
            size: signed(batch.head.size)?,
            root: batch.head.root.as_bytes().as_slice(),
            frontier: concat(&batch.head.frontier),
            index: rows.iter().map(|row| signed(row.index)).collect::<Result<_, _>>()?,
            n: rows.iter().map(|row| signed(row.n)).collect::<Result<_, _>>()?,
            record: rows.iter().map(|row| row.record.as_bytes().as_slice()).collect(),
            stream: rows.iter().map(|row| row.stream.as_bytes().as_slice()).collect(),
            leaf: rows.iter().map(|row| row.leaf.as_bytes().as_slice()).collect(),
            header: rows.iter().map(|row| row.header.as_slice()).collect(),
            payload_index: payloads().map(|(index, _)| signed(index)).collect::<Result<_, _>>()?,
            payload: payloads().map(|(_, payload)| payload).collect(),
            tile_level: tiles.iter().map(|tile| i16::from(tile.key.level)).collect(),
            tile_index: tiles.iter().map(|tile| signed(tile.key.index)).collect::<Result<_, _>>()?,
            tile_root: tiles.iter().map(|tile| tile.root.as_bytes().as_slice()).collect(),
            tile_hashes: tiles.iter().map(|tile| tile.hashes.as_slice()).collect(),
            blob_key: batch.blobs.iter().map(|(key, _)| key.as_bytes().as_slice()).collect(),
            blob: batch.blobs.iter().map(|(_, blob)| blob.as_slice()).collect(),
            projections: ProjectionColumns::of(&batch.projections, bounds)?,
        })
    }

    /// Sends all of it, to be written where the log ends as `Place` says.
    pub(super) fn write<'s>(&'s self, client: &'s Client, prepared: &'s Statements, place: &'s Place<'_>) -> Step<'s> {
        let Self { projections, .. } = self;
        execute(
            client,
            &prepared.write,
            [
                &self.size,
                &self.root,
                &self.frontier,
                &place.lazy,
                &place.size,
                &place.root,
                &place.frontier,
                &place.locked,
                &place.streams,
                &place.leaves,
                &self.index,
                &self.n,
                &self.record,
                &self.stream,
                &self.leaf,
                &self.header,
                &self.payload_index,
                &self.payload,
                &self.tile_level,
                &self.tile_index,
                &self.tile_root,
                &self.tile_hashes,
                &self.blob_key,
                &self.blob,
                &projections.stream,
                &projections.next,
                &projections.first,
                &projections.last,
                &projections.leaf,
                &projections.closed,
                &projections.lookup,
                &projections.lookup_index,
                &projections.done,
                &projections.due,
                &projections.at_us,
                &projections.work,
            ],
        )
    }
}

/// Where a batch is written.
pub(super) struct Place<'a> {
    size: i64,
    root: &'a [u8],
    frontier: Vec<u8>,
    /// How streams end that are not locked.
    streams: Bytes<'a>,
    leaves: Vec<Option<&'a [u8]>>,
    /// The lock is held.
    locked: bool,
    /// The commit does not wait for the disk.
    lazy: bool,
}

impl<'a> Place<'a> {
    /// Behind a head whose lock is held.
    pub(super) fn behind(head: &'a Head, lazy: bool) -> Result<Self, BackendError> {
        let (root, frontier) = (head.root.as_bytes().as_slice(), concat(&head.frontier));
        Ok(Self { size: signed(head.size)?, root, frontier, streams: vec![], leaves: vec![], locked: true, lazy })
    }

    /// Where the log is assumed to end.
    pub(super) fn assumed(assumed: &'a Assumed, lazy: bool) -> Result<Self, BackendError> {
        let leaf = |leaf: &'a Option<HashBytes>| leaf.as_ref().map(|leaf| leaf.as_bytes().as_slice());
        Ok(Self {
            streams: assumed.streams.iter().map(|(key, _)| key.as_bytes().as_slice()).collect(),
            leaves: assumed.streams.iter().map(|(_, found)| leaf(found)).collect(),
            locked: false,
            ..Self::behind(&assumed.head, lazy)?
        })
    }
}

/// The columns of projections.
struct ProjectionColumns<'a> {
    stream: Bytes<'a>,
    next: Vec<i64>,
    first: Vec<i64>,
    last: Vec<i64>,
    leaf: Bytes<'a>,
    closed: Vec<bool>,
    lookup: Bytes<'a>,
    lookup_index: Vec<i64>,
    done: Bytes<'a>,
    due: Bytes<'a>,
    at_us: Vec<i64>,
    work: Bytes<'a>,
}

impl<'a> ProjectionColumns<'a> {
    fn of(projections: &'a Projections, bounds: Vec<(i64, i64)>) -> Result<Self, BackendError> {
        let Projections { streams, lookups, due, due_done } = projections;
        let (first, last) = bounds.into_iter().unzip();
        Ok(Self {
            stream: streams.iter().map(|(key, _)| key.as_bytes().as_slice()).collect(),
            next: streams.iter().map(|(_, state)| signed(state.next)).collect::<Result<_, _>>()?,
            first,
            last,
            leaf: streams.iter().map(|(_, state)| state.leaf.as_bytes().as_slice()).collect(),
            closed: streams.iter().map(|(_, state)| state.closed).collect(),
            lookup: lookups.iter().map(|(key, _)| key.as_bytes().as_slice()).collect(),
            lookup_index: lookups.iter().map(|(_, index)| signed(*index)).collect::<Result<_, _>>()?,
            done: due_done.iter().map(|key| key.as_bytes().as_slice()).collect(),
            due: due.iter().map(|row| row.key.as_bytes().as_slice()).collect(),
            at_us: due.iter().map(|row| row.at_us).collect(),
            work: due.iter().map(|row| row.work.as_slice()).collect(),
        })
    }
}

fn check(batch: &Batch, size: u64) -> Result<(), BackendError> {
    let mut next = size;
    for row in &batch.rows {
        if row.index != next {
            return Err(BackendError::Corrupt { what: format!("row {} does not belong at index {next}", row.index) });
        }
        next = next.saturating_add(1);
    }
    if batch.head.size != next {
        return Err(BackendError::Corrupt { what: format!("head size {} after {next} rows", batch.head.size) });
    }
    let rows = batch.rows.iter().map(|row| row.header.len().saturating_add(row.payload.as_ref().map_or(0, Vec::len)));
    let blobs = batch.blobs.iter().map(|(_, blob)| blob.len());
    if rows.chain(blobs).fold(0, usize::saturating_add) > MAX_BATCH_BYTES {
        return Err(BackendError::Refused { source: "the batch is too large for one statement".into() });
    }
    Ok(())
}
