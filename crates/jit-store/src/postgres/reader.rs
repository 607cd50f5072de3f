//! Everything that needs no lock of the log, on connections of a pool.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::future::{join4, try_join, try_join3};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row as SqlRow};

use super::config::{PostgresConfig, SchemaName};
use super::connection::Connector;
use super::error::{failed, outcome_of_whole, pool_failed, unavailable};
use super::sql::{self, PAGE_ROWS};
use super::value::{
    bound, checkpoint_row, concat, due_row, fixed, get, hash, head, limit, lookup_entry, record_row, signed,
    stream_state, unsigned,
};
use crate::backend::BackendError;
use crate::row::{
    BlobKey, CheckpointRow, DueKey, DueRow, HashBytes, Head, Lease, LeaseKey, LeaseRequest, LookupKey, RecordKey, Row,
    StreamKey, StreamState, TileRow, TreeNodes, TreeRead,
};

/// A lease for longer is one for good.
const LONGEST_LEASE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A pool of connections, with the questions a log asks on them.
#[derive(Debug)]
pub(super) struct Reader {
    pool: Pool,
    schema: SchemaName,
    patience: Duration,
    /// A log was seen; none is ever deleted.
    created: AtomicBool,
}

impl Reader {
    pub(super) fn new(connector: Connector, config: &PostgresConfig) -> Result<Self, BackendError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(connector.config(), connector, settings);
        let pool = Pool::builder(manager)
            .max_size(config.readers)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(config.patience()))
            .create_timeout(Some(config.connect_timeout))
            .build();
        let pool = pool.map_err(|source| BackendError::Refused { source: source.into() })?;
        Ok(Self { pool, schema: config.schema.clone(), patience: config.patience(), created: AtomicBool::new(false) })
    }

    pub(super) async fn meta(&self) -> Result<Option<Vec<u8>>, BackendError> {
        let rows = self.ask(sql::CREATED, &[]).await?;
        rows.first().map(|row| get(row, 0)).transpose()
    }

    pub(super) async fn head(&self) -> Result<Head, BackendError> {
        let client = self.client().await?;
        let reading = async {
            let statement = client.prepare_cached(&self.schema.fill(sql::HEAD)).await?;
            let row = client.query_opt(&statement, &[]).await?;
            // On the same connection, which would not have outlived a crash in between.
            if row.as_ref().is_some_and(|row| row.try_get(3).unwrap_or(true)) {
                client.batch_execute(sql::FLUSH).await?;
            }
            Ok(row)
        };
        let row = timeout(self.patience, reading).await;
        head(&Self::answered(client, row)?.ok_or(BackendError::NotCreated)?)
    }

    pub(super) async fn stream_head(&self, key: StreamKey) -> Result<Option<StreamState>, BackendError> {
        let rows = self.read(sql::STREAM_HEAD, &[&key.as_bytes().as_slice()]).await?;
        rows.first().map(|row| stream_state(row, 0)).transpose()
    }

    pub(super) async fn rows(&self, range: Range<u64>) -> Result<Vec<Row>, BackendError> {
        let rows = self.read(sql::ROWS, &[&bound(range.start), &bound(range.end), &PAGE_ROWS]).await?;
        rows.iter().map(record_row).collect()
    }

    pub(super) async fn stream_rows(&self, key: StreamKey, from_n: u64, rows: usize) -> Result<Vec<Row>, BackendError> {
        let rows = limit(rows).min(PAGE_ROWS);
        let rows = self.read(sql::STREAM_ROWS, &[&key.as_bytes().as_slice(), &bound(from_n), &rows]).await?;
        rows.iter().map(record_row).collect()
    }

    pub(super) async fn lookup(&self, key: LookupKey, from: u64, rows: usize) -> Result<Vec<Row>, BackendError> {
        let rows = limit(rows).min(PAGE_ROWS);
        let rows = self.read(sql::LOOKUP, &[&key.as_bytes().as_slice(), &bound(from), &rows]).await?;
        rows.iter().map(record_row).collect()
    }

    pub(super) async fn tree(&self, want: TreeRead) -> Result<TreeNodes, BackendError> {
        self.must_be_created().await?;
        let leaf_first: Vec<i64> = want.leaves.iter().map(|range| bound(range.start)).collect();
        let leaf_past: Vec<i64> = want.leaves.iter().map(|range| bound(range.end)).collect();
        let tile_level: Vec<i16> = want.tiles.iter().map(|key| i16::from(key.level)).collect();
        let tile_index: Vec<i64> = want.tiles.iter().map(|key| bound(key.index)).collect();
        let root_level: Vec<i16> = want.roots.iter().map(|(level, _)| i16::from(*level)).collect();
        let root_first: Vec<i64> = want.roots.iter().map(|(_, range)| bound(range.start)).collect();
        let root_past: Vec<i64> = want.roots.iter().map(|(_, range)| bound(range.end)).collect();
        let client = self.client().await?;
        let reading = async {
            let (leaves, tiles, roots) = (
                self.schema.fill(sql::TREE_LEAVES),
                self.schema.fill(sql::TREE_TILES),
                self.schema.fill(sql::TREE_ROOTS),
            );
            let (leaves, tiles, roots) =
                try_join3(client.prepare_cached(&leaves), client.prepare_cached(&tiles), client.prepare_cached(&roots))
                    .await?;
            try_join3(
                client.query(&leaves, &[&leaf_first, &leaf_past]),
                client.query(&tiles, &[&tile_level, &tile_index]),
                client.query(&roots, &[&root_level, &root_first, &root_past]),
            )
            .await
        };
        let answers = timeout(self.patience, reading).await;
        let (leaves, tiles, roots) = Self::answered(client, answers)?;
        Ok(TreeNodes {
            leaves: leaves_by_range(want.leaves.len(), &leaves)?,
            tiles: tiles.iter().zip(want.tiles).map(|(row, key)| tile(row, key)).collect::<Result<_, _>>()?,
            roots: roots_by_range(&want.roots, &roots)?,
        })
    }

    pub(super) async fn due(
        &self,
        after: Option<(i64, DueKey)>,
        before_us: i64,
        rows: usize,
    ) -> Result<Vec<DueRow>, BackendError> {
        let (at_us, key) = match &after {
            Some((at_us, key)) => (*at_us, key.as_bytes().as_slice()),
            None => (i64::MIN, &[][..]),
        };
        let rows = self.read(sql::DUE, &[&at_us, &key, &before_us, &limit(rows)]).await?;
        rows.iter().map(due_row).collect()
    }

    pub(super) async fn scan_streams(
        &self,
        after: Option<StreamKey>,
        rows: usize,
    ) -> Result<Vec<(StreamKey, StreamState)>, BackendError> {
        let after = after.as_ref().map_or(&[][..], |key| key.as_bytes());
        let rows = self.read(sql::SCAN_STREAMS, &[&after, &limit(rows)]).await?;
        rows.iter().map(|row| Ok((StreamKey::from_bytes(fixed(row, 0)?), stream_state(row, 1)?))).collect()
    }

    pub(super) async fn scan_stream_bounds(
        &self,
        after: Option<StreamKey>,
        rows: usize,
    ) -> Result<Vec<(StreamKey, bool)>, BackendError> {
        let after = after.as_ref().map_or(&[][..], |key| key.as_bytes());
        let rows = self.read(sql::SCAN_STREAM_BOUNDS, &[&after, &limit(rows)]).await?;
        rows.iter().map(|row| Ok((StreamKey::from_bytes(fixed(row, 0)?), get(row, 1)?))).collect()
    }

    pub(super) async fn scan_lookups(
        &self,
        after: Option<(LookupKey, u64)>,
        rows: usize,
    ) -> Result<Vec<(LookupKey, u64)>, BackendError> {
        let (key, index) = match &after {
            Some((key, index)) => (key.as_bytes().as_slice(), bound(*index)),
            None => (&[][..], 0),
        };
        let rows = self.read(sql::SCAN_LOOKUPS, &[&key, &index, &limit(rows)]).await?;
        rows.iter().map(lookup_entry).collect()
    }

    pub(super) async fn scan_records(
        &self,
        after: Option<RecordKey>,
        rows: usize,
    ) -> Result<Vec<(RecordKey, u64)>, BackendError> {
        let after = after.as_ref().map_or(&[][..], |key| key.as_bytes());
        let rows = self.read(sql::SCAN_RECORDS, &[&after, &limit(rows)]).await?;
        rows.iter().map(|row| Ok((RecordKey::from_bytes(fixed(row, 0)?), unsigned(row, 1)?))).collect()
    }

    pub(super) async fn claim(
        &self,
        before_us: i64,
        rows: usize,
        request: LeaseRequest,
    ) -> Result<Vec<(DueRow, Lease)>, BackendError> {
        self.read(sql::LEASES_EXPIRED, &[]).await?;
        let holder = request.holder;
        let params: Params<'_> = &[&before_us, &holder.as_bytes().as_slice(), &limit(rows), &micros(request.ttl)];
        let claimed = self.read(sql::CLAIM, params).await?;
        let claim = |row| {
            let due: DueRow = due_row(row)?;
            let lease = Lease { key: due.key.into(), holder, fence: unsigned(row, 3)? };
            Ok((due, lease))
        };
        claimed.iter().map(claim).collect()
    }

    pub(super) async fn lease(&self, key: LeaseKey, request: LeaseRequest) -> Result<Option<Lease>, BackendError> {
        let holder = request.holder;
        let params: Params<'_> = &[&key.as_bytes().as_slice(), &holder.as_bytes().as_slice(), &micros(request.ttl)];
        let rows = self.read(sql::LEASE, params).await?;
        rows.first().map(|row| Ok(Lease { key, holder, fence: unsigned(row, 0)? })).transpose()
    }

    pub(super) async fn release(&self, lease: Lease) -> Result<(), BackendError> {
        let params: Params<'_> =
            &[&lease.key.as_bytes().as_slice(), &lease.holder.as_bytes().as_slice(), &bound(lease.fence)];
        self.read(sql::RELEASE, params).await.map(drop)
    }

    pub(super) async fn blob(&self, key: BlobKey) -> Result<Option<Vec<u8>>, BackendError> {
        let rows = self.read(sql::BLOB, &[&key.as_bytes().as_slice()]).await?;
        rows.first().map(|row| get(row, 0)).transpose()
    }

    pub(super) async fn save_checkpoint(&self, after: Option<u64>, row: CheckpointRow) -> Result<bool, BackendError> {
        self.must_be_created().await?;
        let (size, after) = (signed(row.size)?, after.map(signed).transpose()?);
        let frontier = concat(&row.frontier);
        let client = self.client().await?;
        let (lock, add) = (self.schema.fill(sql::CHECKPOINT_LOCK), self.schema.fill(sql::CHECKPOINT_ADD));
        let preparing = try_join(client.prepare_cached(&lock), client.prepare_cached(&add));
        let Ok(prepared) = timeout(self.patience, preparing).await else {
            drop(Object::take(client));
            return Err(unavailable("the server does not answer"));
        };
        let (lock, add) = prepared.map_err(failed)?;
        let answers = timeout(
            self.patience,
            join4(
                client.batch_execute(sql::BEGIN),
                client.execute(&lock, &[]),
                client.execute(&add, &[&size, &row.note, &frontier, &after]),
                client.batch_execute("COMMIT"),
            ),
        )
        .await;
        let Ok((began, locked, added, committed)) = answers else {
            drop(Object::take(client));
            return Err(BackendError::OutcomeUnknown { source: "the server does not answer".into() });
        };
        let saved = matches!(added, Ok(1));
        let outcome = outcome_of_whole(vec![began.map(|()| 0), locked, added, committed.map(|()| 0)]);
        if matches!(outcome, Err(BackendError::OutcomeUnknown { .. })) {
            drop(Object::take(client));
        }
        outcome.map(|()| saved)
    }

    pub(super) async fn checkpoint(&self, at_least: Option<u64>) -> Result<Option<CheckpointRow>, BackendError> {
        let rows = match at_least {
            Some(size) => self.read(sql::CHECKPOINT_FROM, &[&bound(size)]).await?,
            None => self.read(sql::CHECKPOINT_LAST, &[]).await?,
        };
        rows.first().map(checkpoint_row).transpose()
    }

    async fn must_be_created(&self) -> Result<(), BackendError> {
        if !self.created.load(Ordering::Relaxed) {
            self.meta().await?.ok_or(BackendError::NotCreated)?;
            self.created.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn read(&self, sql: &str, params: Params<'_>) -> Result<Vec<SqlRow>, BackendError> {
        self.must_be_created().await?;
        self.ask(sql, params).await
    }

    async fn ask(&self, sql: &str, params: Params<'_>) -> Result<Vec<SqlRow>, BackendError> {
        let client = self.client().await?;
        let reading = async {
            let statement = client.prepare_cached(&self.schema.fill(sql)).await?;
            client.query(&statement, params).await
        };
        let rows = timeout(self.patience, reading).await;
        Self::answered(client, rows)
    }

    async fn client(&self) -> Result<Object, BackendError> {
        self.pool.get().await.map_err(pool_failed)
    }

    /// An answer that does not come takes its connection with it.
    fn answered<T, E>(client: Object, answer: Result<Result<T, Error>, E>) -> Result<T, BackendError> {
        match answer {
            Ok(answer) => answer.map_err(failed),
            Err(_) => {
                drop(Object::take(client));
                Err(unavailable("the server does not answer"))
            }
        }
    }
}

fn micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.min(LONGEST_LEASE).as_micros()).unwrap_or(i64::MAX)
}

fn tile(row: &SqlRow, key: crate::row::TileKey) -> Result<Option<TileRow>, BackendError> {
    match get::<Option<Vec<u8>>>(row, 0)? {
        Some(hashes) => Ok(Some(TileRow { key, hashes, root: hash(row, 1)? })),
        None => Ok(None),
    }
}

/// Columns `ord, leaf`; the numbers count from 1.
fn leaves_by_range(ranges: usize, rows: &[SqlRow]) -> Result<Vec<Vec<HashBytes>>, BackendError> {
    let mut found = vec![Vec::new(); ranges];
    for row in rows {
        if let Some(leaves) =
            usize::try_from(get::<i64>(row, 0)?).ok().and_then(|ord| found.get_mut(ord.checked_sub(1)?))
        {
            leaves.push(hash(row, 1)?);
        }
    }
    Ok(found)
}

/// Columns `ord, idx, root`, up to the first index of each range that is not there.
fn roots_by_range(ranges: &[(u8, Range<u64>)], rows: &[SqlRow]) -> Result<Vec<Vec<HashBytes>>, BackendError> {
    let mut found = vec![Vec::new(); ranges.len()];
    for row in rows {
        let Some(at) = usize::try_from(get::<i64>(row, 0)?).ok().and_then(|ord| ord.checked_sub(1)) else { continue };
        let (Some(roots), Some((_, range))) = (found.get_mut(at), ranges.get(at)) else { continue };
        if unsigned(row, 1)? == range.start.saturating_add(roots.len() as u64) {
            roots.push(hash(row, 2)?);
        }
    }
    Ok(found)
}
