//! The queries, in which `{schema}` stands for the schema's name.
//!
//! A plan is made once for a connection, perhaps while the tables are empty, so it must not depend on how large they are. A list
//! of keys is looked up one by one (`LATERAL … LIMIT 1`, which the planner cannot turn into a join over a whole table), never
//! with `= ANY`, and what an index serves in order is neither scanned nor sorted (the settings of a session).

/// No more records than this are read at once.
pub(super) const PAGE_ROWS: i64 = 1024;

pub(super) const CREATED: &str = r#"SELECT meta FROM "{schema}".log"#;
pub(super) const HEAD: &str = r#"SELECT size, root, frontier, lazy FROM "{schema}".head"#;
/// Ends a process of the server, if it is still there, and says whether it is gone. When it started may be hidden from this user,
/// who may not end it either.
pub(super) const END: &str = r"
    SELECT coalesce(bool_and(CASE
        WHEN $2::text IS NULL OR backend_start IS NULL THEN false
        WHEN extract(epoch FROM backend_start)::text = $2 THEN pg_terminate_backend(pid, 5000)
        ELSE true
    END), true)
    FROM pg_stat_activity WHERE pid = $1 AND pid <> pg_backend_pid()";
/// Commits, so that the write-ahead log is flushed up to here, and writes nothing but to it. A standby writes nothing, and has
/// nothing that its primary has not flushed.
pub(super) const FLUSH: &str = "SELECT pg_logical_emit_message(true, 'jit-store', '') WHERE NOT pg_is_in_recovery()";

pub(super) const STREAM_HEAD: &str = r#"SELECT next, leaf, closed FROM "{schema}".stream_head WHERE stream = $1"#;

/// The columns of a record, from a source called `l`, cut off where the page has bytes enough.
macro_rules! page {
    ($from:literal) => {
        concat!(
            // Sizes are known without reading what was stored out of line.
            "SELECT idx, record, stream, n, leaf, header, payload FROM (SELECT l.*, p.payload, sum(octet_length(l.header) + \
             coalesce(octet_length(p.payload), 0)) OVER (ORDER BY l.place ROWS UNBOUNDED PRECEDING) AS bytes FROM ",
            $from,
            " LEFT JOIN LATERAL (SELECT payload FROM \"{schema}\".payload WHERE idx = l.idx LIMIT 1) AS p ON true) AS page \
             WHERE bytes - octet_length(header) - coalesce(octet_length(payload), 0) < 8388608 ORDER BY place"
        )
    };
}

pub(super) const ROWS: &str =
    page!("(SELECT *, idx AS place FROM \"{schema}\".leaf WHERE idx >= $1 AND idx < $2 ORDER BY idx LIMIT $3) AS l");

pub(super) const STREAM_ROWS: &str = page!(
    "(SELECT *, n AS place FROM \"{schema}\".leaf WHERE stream = $1 AND n >= $2 \
     AND idx >= (SELECT first_idx FROM \"{schema}\".stream_head WHERE stream = $1) \
     AND idx <= (SELECT last_idx FROM \"{schema}\".stream_head WHERE stream = $1) ORDER BY n LIMIT $3) AS l"
);

pub(super) const LOOKUP: &str = page!(
    "(SELECT r.*, r.idx AS place FROM (SELECT idx FROM \"{schema}\".lookup WHERE key = $1 AND idx >= $2 ORDER BY idx \
     LIMIT $3) AS f CROSS JOIN LATERAL (SELECT * FROM \"{schema}\".leaf WHERE idx = f.idx LIMIT 1) AS r) AS l"
);

pub(super) const TREE_LEAVES: &str = r#"
    SELECT w.ord, l.leaf FROM unnest($1::int8[], $2::int8[]) WITH ORDINALITY AS w (first, past, ord)
    CROSS JOIN LATERAL (SELECT idx, leaf FROM "{schema}".leaf WHERE idx >= w.first AND idx < w.past ORDER BY idx) AS l
    ORDER BY w.ord, l.idx"#;
pub(super) const TREE_TILES: &str = r#"
    SELECT t.hashes, t.root FROM unnest($1::int2[], $2::int8[]) WITH ORDINALITY AS w (level, idx, ord)
    LEFT JOIN LATERAL (SELECT hashes, root FROM "{schema}".tile WHERE level = w.level AND idx = w.idx LIMIT 1) AS t ON true
    ORDER BY w.ord"#;
pub(super) const TREE_ROOTS: &str = r#"
    SELECT w.ord, t.idx, t.root
    FROM unnest($1::int2[], $2::int8[], $3::int8[]) WITH ORDINALITY AS w (level, first, past, ord)
    CROSS JOIN LATERAL (
        SELECT idx, root FROM "{schema}".tile WHERE level = w.level AND idx >= w.first AND idx < w.past ORDER BY idx
    ) AS t
    ORDER BY w.ord, t.idx"#;

pub(super) const DUE: &str = r#"
    SELECT key, at_us, work FROM "{schema}".due WHERE (at_us, key) > ($1, $2) AND at_us < $3 ORDER BY at_us, key LIMIT $4"#;
pub(super) const SCAN_STREAMS: &str = r#"
    SELECT stream, next, leaf, closed FROM "{schema}".stream_head WHERE stream > $1 ORDER BY stream LIMIT $2"#;
/// Whether the bounds between which [`STREAM_ROWS`] looks are right.
pub(super) const SCAN_STREAM_BOUNDS: &str = r#"
    SELECT s.stream,
        coalesce((SELECT l.stream = s.stream AND l.n = 0 FROM "{schema}".leaf AS l WHERE l.idx = s.first_idx), false)
        AND coalesce((SELECT l.stream = s.stream AND l.n = s.next - 1 FROM "{schema}".leaf AS l WHERE l.idx = s.last_idx), false)
    FROM "{schema}".stream_head AS s WHERE s.stream > $1 ORDER BY s.stream LIMIT $2"#;
pub(super) const SCAN_LOOKUPS: &str = r#"
    SELECT key, idx FROM "{schema}".lookup WHERE (key, idx) > ($1, $2) ORDER BY key, idx LIMIT $3"#;
pub(super) const SCAN_RECORDS: &str = r#"
    SELECT record, idx FROM "{schema}".record WHERE record > $1 ORDER BY record LIMIT $2"#;
pub(super) const BLOB: &str = r#"SELECT bytes FROM "{schema}".blob WHERE key = $1"#;

pub(super) const CHECKPOINT_LAST: &str =
    r#"SELECT size, note, frontier FROM "{schema}".checkpoint ORDER BY size DESC LIMIT 1"#;
pub(super) const CHECKPOINT_FROM: &str =
    r#"SELECT size, note, frontier FROM "{schema}".checkpoint WHERE size >= $1 ORDER BY size LIMIT 1"#;
/// Two that compare and set at once would both find the same.
pub(super) const CHECKPOINT_LOCK: &str =
    r#"SELECT pg_advisory_xact_lock(hashtext('jit-store checkpoint'), hashtext('{schema}'))"#;
pub(super) const CHECKPOINT_ADD: &str = r#"
    INSERT INTO "{schema}".checkpoint (size, note, frontier) SELECT $1, $2, $3
    WHERE (SELECT max(size) FROM "{schema}".checkpoint) IS NOT DISTINCT FROM $4 AND ($4::int8 IS NULL OR $1 > $4)"#;

pub(super) const LEASES_EXPIRED: &str = r#"
    DELETE FROM "{schema}".lease WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM "{schema}".lease WHERE until < statement_timestamp() - interval '1 minute'
        ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED
    ))"#;
/// What is locked by another claim is about to be leased to it.
pub(super) const CLAIM: &str = r#"
    WITH free AS MATERIALIZED (
        SELECT d.key, d.at_us, d.work FROM "{schema}".due AS d
        LEFT JOIN LATERAL (
            SELECT l.key FROM "{schema}".lease AS l
            WHERE l.key = d.key AND l.holder <> $2 AND l.until > clock_timestamp() LIMIT 1
        ) AS held ON true
        WHERE d.at_us < $1 AND held.key IS NULL
        ORDER BY d.at_us, d.key LIMIT $3 FOR UPDATE OF d SKIP LOCKED
    ), taken AS (
        INSERT INTO "{schema}".lease AS l (key, holder, fence, until)
        SELECT key, $2, nextval('"{schema}".lease_fence'), clock_timestamp() + $4::int8 * interval '1 microsecond' FROM free
        ON CONFLICT (key) DO UPDATE SET
            holder = excluded.holder, until = excluded.until,
            fence = CASE WHEN l.holder = excluded.holder AND l.until > clock_timestamp() THEN l.fence ELSE excluded.fence END
        WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()
        RETURNING l.key, l.fence
    )
    SELECT key, at_us, work, fence FROM free JOIN taken USING (key) ORDER BY at_us, key"#;
pub(super) const LEASE: &str = r#"
    INSERT INTO "{schema}".lease AS l (key, holder, fence, until)
    VALUES ($1, $2, nextval('"{schema}".lease_fence'), clock_timestamp() + $3::int8 * interval '1 microsecond')
    ON CONFLICT (key) DO UPDATE SET
        holder = excluded.holder, until = excluded.until,
        fence = CASE WHEN l.holder = excluded.holder AND l.until > clock_timestamp() THEN l.fence ELSE excluded.fence END
    WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()
    RETURNING l.fence"#;
pub(super) const RELEASE: &str = r#"DELETE FROM "{schema}".lease WHERE key = $1 AND holder = $2 AND fence = $3"#;

// What a transaction asks and writes.

/// Whatever the defaults of the server or the user are.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Statements take as long as the log is large, and the locks wait no longer than always.
pub(super) const BEGIN_REBUILD: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                                        SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on";

pub(super) const LOCK_HEAD: &str = r#"SELECT size, root, frontier, room FROM "{schema}".head FOR UPDATE"#;
pub(super) const WANTED_STREAMS: &str = r#"
    SELECT s.next, s.leaf, s.closed FROM unnest($1::bytea[]) WITH ORDINALITY AS w (stream, ord)
    LEFT JOIN LATERAL (
        SELECT next, leaf, closed FROM "{schema}".stream_head WHERE stream = w.stream LIMIT 1
    ) AS s ON true
    ORDER BY w.ord"#;
pub(super) const WANTED_RECORDS: &str = r#"
    SELECT k.idx, k.leaf FROM unnest($1::bytea[]) WITH ORDINALITY AS w (record, ord)
    LEFT JOIN LATERAL (
        SELECT r.idx, (SELECT l.leaf FROM "{schema}".leaf AS l WHERE l.idx = r.idx) AS leaf
        FROM "{schema}".record AS r WHERE r.record = w.record LIMIT 1
    ) AS k ON true
    ORDER BY w.ord"#;
pub(super) const WANTED_LEAVES: &str = r#"SELECT leaf FROM "{schema}".leaf WHERE idx >= $1 ORDER BY idx LIMIT $2"#;

pub(super) const MAKE_ROOM: &str = r#"SELECT "{schema}".make_room($1)"#;

/// A whole batch, which fails as a whole if the head is not the one that is assumed, or a stream does not end with the leaf beside it
/// or takes no more.
///
/// Where this is a transaction of its own, all of it sees what was committed before it began, the lock not yet held (`$8`). That is
/// what there is once it holds the lock: whoever writes moves the head, and a head that was moved meanwhile is not the one assumed.
/// A rebuild moves nothing and has a lock of its own, which is tried before that of the head.
pub(super) const WRITE: &str = r#"
    WITH moved AS (
        UPDATE "{schema}".head SET size = $1, root = $2, frontier = $3, lazy = $4
        WHERE size = $5 AND root = $6 AND frontier = $7
            AND ($8 OR pg_try_advisory_xact_lock_shared(hashtext('jit-store rebuild'), hashtext('{schema}')))
        RETURNING 1
    ), changed AS (
        SELECT FROM unnest($9::bytea[], $10::bytea[]) AS w (stream, leaf)
        LEFT JOIN LATERAL (SELECT leaf, closed FROM "{schema}".stream_head WHERE stream = w.stream LIMIT 1) AS s ON true
        WHERE s.leaf IS DISTINCT FROM w.leaf OR s.closed
    ), leaves AS (
        INSERT INTO "{schema}".leaf (idx, n, record, stream, leaf, header)
        SELECT * FROM unnest($11::int8[], $12::int8[], $13::bytea[], $14::bytea[], $15::bytea[], $16::bytea[])
    ), records AS (
        INSERT INTO "{schema}".record (record, idx) SELECT * FROM unnest($13::bytea[], $11::int8[])
    ), payloads AS (
        INSERT INTO "{schema}".payload (idx, payload) SELECT * FROM unnest($17::int8[], $18::bytea[])
    ), tiles AS (
        INSERT INTO "{schema}".tile (level, idx, root, hashes)
        SELECT * FROM unnest($19::int2[], $20::int8[], $21::bytea[], $22::bytea[])
    ), blobs AS (
        INSERT INTO "{schema}".blob (key, bytes) SELECT * FROM unnest($23::bytea[], $24::bytea[])
        ON CONFLICT (key) DO NOTHING
    ), streams AS (
        INSERT INTO "{schema}".stream_head (stream, next, first_idx, last_idx, leaf, closed)
        SELECT * FROM unnest($25::bytea[], $26::int8[], $27::int8[], $28::int8[], $29::bytea[], $30::bool[])
        ON CONFLICT (stream) DO UPDATE SET
            next = excluded.next, last_idx = excluded.last_idx, leaf = excluded.leaf, closed = excluded.closed
    ), lookups AS (
        INSERT INTO "{schema}".lookup (key, idx) SELECT * FROM unnest($31::bytea[], $32::int8[])
    ), unscheduled AS (
        DELETE FROM "{schema}".due WHERE ctid = ANY (ARRAY (
            SELECT d.ctid FROM unnest($33::bytea[]) AS w (key)
            CROSS JOIN LATERAL (SELECT ctid FROM "{schema}".due WHERE key = w.key LIMIT 1) AS d
        ))
    ), scheduled AS (
        INSERT INTO "{schema}".due (key, at_us, work) SELECT * FROM unnest($34::bytea[], $35::int8[], $36::bytea[])
        ON CONFLICT (key) DO UPDATE SET at_us = excluded.at_us, work = excluded.work
    )
    SELECT 1 / ((SELECT count(*) FROM moved) * (SELECT (count(*) = 0)::int FROM changed)),
        CASE WHEN $4 THEN set_config('synchronous_commit', 'off', true) END"#;

pub(super) const CREATE: &str = r#"INSERT INTO "{schema}".log (meta) VALUES ($1)"#;
pub(super) const CREATE_HEAD: &str = r#"
    INSERT INTO "{schema}".head (size, root, frontier) VALUES (0, $1, $2)"#;

// A rebuild.

/// Comes before the lock of the head, and keeps out whoever writes without having read under that.
pub(super) const REBUILD_LOCK: &str =
    r#"SELECT pg_advisory_xact_lock(hashtext('jit-store rebuild'), hashtext('{schema}'))"#;
pub(super) const FORGET: &str =
    r#"DELETE FROM "{schema}".stream_head; DELETE FROM "{schema}".lookup; DELETE FROM "{schema}".due"#;
/// Where a stream begins and ends is read from the records.
pub(super) const STREAM_BOUNDS: &str = r#"
    SELECT
        coalesce((SELECT min(l.idx) FROM "{schema}".leaf AS l WHERE l.stream = w.stream AND l.n = 0), 0),
        coalesce((SELECT max(l.idx) FROM "{schema}".leaf AS l WHERE l.stream = w.stream AND l.n = w.next - 1), $3)
    FROM unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS w (stream, next, ord) ORDER BY w.ord"#;
