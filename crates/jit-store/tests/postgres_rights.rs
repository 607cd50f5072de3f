//! What the database itself refuses: every change of evidence by every role, and every deletion of a payload that no record of
//! the same transaction covers, or that a hold forbids.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod postgres_support;

use jit_store::{Backend, BlobKey, CheckpointRow, LookupKey, TileKey, TileRow};
use jit_testkit::TestDatabase;
use postgres_support::{batch, connected, count, hash, migrated};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const ROLES: [&str; 5] = ["jit_auditor", "jit_writer", "jit_retention", "jit_owner", "postgres"];
const EVIDENCE: [(&str, &str); 8] = [
    ("log", "meta"),
    ("leaf", "header"),
    ("leaf_0", "header"),
    ("payload", "payload"),
    ("record", "idx"),
    ("tile", "hashes"),
    ("checkpoint", "note"),
    ("blob", "bytes"),
];

/// A log with a row in every table.
async fn filled() -> TestDatabase {
    let database = migrated().await;
    let backend = connected(&database).await;
    let mut first = batch(0, 8);
    first.tiles = vec![TileRow { key: TileKey { level: 0, index: 0 }, hashes: vec![1; 8192], root: hash(1) }];
    first.blobs = vec![(BlobKey::from_bytes([9; 32]), vec![1, 2, 3])];
    first.projections.lookups = vec![(LookupKey::from_bytes([5; 32]), 1)];
    backend.create(b"meta".to_vec(), first).await.unwrap();
    let checkpoint = CheckpointRow { size: 8, note: vec![1], frontier: vec![] };
    assert!(backend.save_checkpoint(None, checkpoint).await.unwrap());
    database
}

async fn acting_as(database: &TestDatabase, role: &str) -> Client {
    let client = database.connect().await;
    client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    client
}

/// Whether the server refuses the right to do it.
async fn refused(client: &Client, sql: &str) -> bool {
    match client.batch_execute(sql).await {
        Ok(()) => false,
        Err(error) => {
            client.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error:?}");
            true
        }
    }
}

#[tokio::test]
async fn nobody_changes_or_deletes_evidence() {
    let database = filled().await;
    for role in ROLES {
        let client = acting_as(&database, role).await;
        for (table, column) in EVIDENCE {
            for sql in [
                format!("UPDATE jit.{table} SET {column} = {column}"),
                format!("DELETE FROM jit.{table}"),
                format!("TRUNCATE jit.{table} CASCADE"),
            ] {
                assert!(refused(&client, &sql).await, "{role}: {sql}");
            }
        }
        for sql in [
            "DELETE FROM jit.payload_0",
            "TRUNCATE jit.payload_0",
            "UPDATE jit.payload_0 SET payload = ''",
            "DELETE FROM jit.head",
            "TRUNCATE jit.head",
            "UPDATE jit.head SET size = size - 1",
            "UPDATE jit.head SET root = decode(repeat('00', 32), 'hex')",
            "UPDATE jit.head SET room = room - 1",
            "SELECT jit.make_room(100000000)",
        ] {
            assert!(refused(&client, sql).await, "{role}: {sql}");
        }
    }
    let client = database.connect().await;
    for (table, rows) in
        [("log", 1), ("leaf", 8), ("payload", 8), ("record", 8), ("tile", 1), ("checkpoint", 1), ("blob", 1)]
    {
        assert_eq!(count(&client, &format!("jit.{table}")).await, rows, "{table}");
    }
}

#[tokio::test]
async fn each_role_changes_only_its_projections() {
    let database = filled().await;
    // By role: may it update, delete, truncate?
    let (none, update, all) = ([false; 3], [true, false, false], [true, true, false]);
    let allowed = [
        ("jit_auditor", [none, none, none, none]),
        ("jit_writer", [update, none, all, all]),
        ("jit_retention", [[true, true, false], [false, true, false], all, all]),
    ];
    for (role, tables) in allowed {
        let client = acting_as(&database, role).await;
        for ((table, column), may) in
            [("stream_head", "closed"), ("lookup", "idx"), ("due", "work"), ("lease", "fence")].into_iter().zip(tables)
        {
            for (sql, may) in [
                format!("UPDATE jit.{table} SET {column} = {column}"),
                format!("DELETE FROM jit.{table}"),
                format!("TRUNCATE jit.{table}"),
            ]
            .into_iter()
            .zip(may)
            {
                assert_eq!(refused(&client, &sql).await, !may, "{role}: {sql}");
            }
        }
        for table in ["migration", "removal"] {
            for sql in [format!("DELETE FROM jit.{table}"), format!("INSERT INTO jit.{table} DEFAULT VALUES")] {
                assert!(refused(&client, &sql).await, "{role}: {sql}");
            }
        }
        for sql in
            ["CREATE TABLE jit.mine (x int)", "ALTER TABLE jit.leaf DISABLE TRIGGER ALL", "DROP TABLE jit.leaf_0"]
        {
            assert!(refused(&client, sql).await, "{role}: {sql}");
        }
    }
    let auditor = acting_as(&database, "jit_auditor").await;
    for table in
        ["log", "head", "leaf", "payload", "record", "tile", "checkpoint", "blob", "stream_head", "due", "lease"]
    {
        assert!(refused(&auditor, &format!("INSERT INTO jit.{table} SELECT * FROM jit.{table}")).await, "{table}");
        count(&auditor, &format!("jit.{table}")).await;
    }
}

/// A log whose records have headers that the rule for payloads reads.
struct Held {
    database: TestDatabase,
    client: Client,
    retention: Client,
    size: i64,
    numbers: std::collections::HashMap<&'static str, i64>,
}

impl Held {
    /// Records 0 to 7: of stream `case:a` and class `access`, except 3 (`case:b`), 4 (class `other`), 5 (another kind) and 6
    /// (later).
    async fn new() -> Self {
        let database = migrated().await;
        connected(&database).await.create(vec![], batch(0, 0)).await.unwrap();
        let client = database.connect().await;
        client.batch_execute("SELECT jit.make_room(100)").await.unwrap();
        let retention = acting_as(&database, "jit_retention").await;
        let mut held = Self { database, client, retention, size: 0, numbers: Default::default() };
        for index in 0..8 {
            let stream = if index == 3 { "case:b" } else { "case:a" };
            let class = if index == 4 { "other" } else { "access" };
            let kind = if index == 5 { "request.refused" } else { "request.submitted" };
            let at = if index == 6 { "2027-01-01T00:00:00.000000Z" } else { "2026-01-01T00:00:00.000000Z" };
            held.add(stream, kind, class, at, "{}").await;
        }
        held
    }

    async fn add(&mut self, stream: &'static str, kind: &str, class: &str, at: &str, facts: &str) {
        let sql = self.inserting(stream, kind, class, at, facts);
        self.client.batch_execute(&sql).await.unwrap();
        self.added(stream);
    }

    fn added(&mut self, stream: &'static str) {
        self.size += 1;
        *self.numbers.entry(stream).or_default() += 1;
    }

    /// The statements that append a record.
    fn inserting(&self, stream: &'static str, kind: &str, class: &str, at: &str, facts: &str) -> String {
        let n = self.numbers.get(stream).copied().unwrap_or(0);
        let (key, leaf) = (stream_key(stream), leaf(&header(stream, n, kind, class, at, facts)));
        let (index, next) = (self.size, self.size + 1);
        let row = self.row(index, stream, kind, class, at, facts);
        format!(
            "{row};
             INSERT INTO jit.payload VALUES ({index}, 'p');
             INSERT INTO jit.stream_head (stream, next, first_idx, last_idx, leaf, closed)
                 VALUES ('\\x{key}', {n} + 1, {index}, {index}, '\\x{leaf}', false)
                 ON CONFLICT (stream) DO UPDATE SET next = excluded.next, last_idx = excluded.last_idx;
             UPDATE jit.head SET size = {next}, root = decode(lpad(to_hex({next}), 64, '0'), 'hex')",
        )
    }

    /// The statement that writes the row of a record, and does not make it one of the log.
    fn row(&self, index: i64, stream: &str, kind: &str, class: &str, at: &str, facts: &str) -> String {
        let n = self.numbers.get(stream).copied().unwrap_or(0);
        let header = header(stream, n, kind, class, at, facts);
        let (key, leaf) = (stream_key(stream), leaf(&header));
        format!(
            "INSERT INTO jit.leaf (idx, n, record, stream, leaf, header) VALUES ({index}, {n},
                 decode(lpad(to_hex({index}), 32, '0'), 'hex'), '\\x{key}', '\\x{leaf}', '{header}')",
        )
    }

    /// The leaf of a record, in hexadecimal.
    async fn leaf(&self, index: i64) -> String {
        let leaf = "SELECT encode(leaf, 'hex') FROM jit.leaf WHERE idx = $1";
        self.client.query_one(leaf, &[&index]).await.unwrap().get(0)
    }

    fn erasing(&self, kind: &str, facts: &str) -> String {
        self.inserting("erasure", kind, "governance", "2026-06-01T00:00:00.000000Z", facts)
    }

    async fn hold(&mut self, kind: &str, facts: &str) {
        self.add("gov", kind, "governance", "2026-02-01T00:00:00.000000Z", facts).await;
    }

    /// Whether the retention role is refused to delete payloads in a transaction that also does something else. Nothing is
    /// kept.
    async fn refuses(&self, indexes: &str, also: &str) -> bool {
        // Checked as at a commit, and then taken back.
        let deleting =
            format!("BEGIN; DELETE FROM jit.payload WHERE idx IN ({indexes}); {also}; SET CONSTRAINTS ALL IMMEDIATE");
        let refused = refused(&self.retention, &deleting).await;
        self.retention.batch_execute("ROLLBACK").await.unwrap();
        refused
    }
}

fn header(stream: &str, n: i64, kind: &str, class: &str, at: &str, facts: &str) -> String {
    format!(r#"{{"at":"{at}","facts":{facts},"kind":"{kind}","n":{n},"retain":"{class}","stream":"{stream}"}}"#)
}

fn stream_key(stream: &str) -> String {
    data_encoding::HEXLOWER.encode(&blake3::derive_key("jit-store/1 stream", stream.as_bytes()))
}

fn leaf(header: &str) -> String {
    data_encoding::HEXLOWER.encode(jit_log::leaf_hash(header.as_bytes()).as_bytes())
}

fn purge(class: &str, ranges: &str) -> String {
    format!(
        r#"{{"class":"{class}","count":1,"cutoff":"2026-05-01T00:00:00.000000Z","ranges":[{ranges}],"root":"sha256:00"}}"#
    )
}

#[tokio::test]
async fn a_payload_goes_only_with_a_record_that_covers_it() {
    let mut log = Held::new().await;
    let covering = |facts: &str| log.erasing("purge.executed", facts);
    assert!(log.refuses("1", "SELECT 1").await, "nothing covers it");
    assert!(!log.refuses("1", &covering(&purge("access", r#"{"start":0,"end":3}"#))).await);
    assert!(
        !log.refuses("0, 1, 2, 5", &covering(&purge("access", r#"{"start":0,"end":3},{"start":5,"end":6}"#))).await
    );
    assert!(log.refuses("0, 3", &covering(&purge("access", r#"{"start":0,"end":3}"#))).await, "3 is beyond the range");
    assert!(log.refuses("0, 4", &covering(&purge("access", r#"{"start":0,"end":8}"#))).await, "4 is of another class");
    let erased = format!(r#"{{"actors":[],"basis":"order","leaf":"sha256:{}","names":["x"]}}"#, log.leaf(2).await);
    assert!(!log.refuses("2", &log.erasing("field.erased", &erased)).await);
    assert!(log.refuses("1", &log.erasing("field.erased", &erased)).await, "it covers another record");
    assert!(log.refuses("2", &log.erasing("other.kind", &erased)).await, "another kind covers nothing");
    let forged = log.inserting("case:a", "purge.executed", "x", "2026", &purge("access", r#"{"start":0,"end":8}"#));
    assert!(log.refuses("1", &forged).await, "another stream covers nothing");

    // A record of an earlier transaction covers nothing.
    log.add("erasure", "purge.executed", "governance", "2026", &purge("access", r#"{"start":0,"end":8}"#)).await;
    assert!(log.refuses("1", "SELECT 1").await);

    // Committed, and the same for the owner and for a partition by its own name.
    for (role, table, index) in
        [("jit_retention", "payload", 0), ("jit_owner", "payload", 1), ("jit_owner", "payload_0", 2)]
    {
        let client = acting_as(&log.database, role).await;
        let delete = format!("DELETE FROM jit.{table} WHERE idx = {index}");
        assert!(refused(&client, &format!("BEGIN; {delete}; COMMIT")).await);
        let cover = log.erasing("purge.executed", &purge("access", r#"{"start":0,"end":3}"#));
        client.batch_execute(&format!("BEGIN; {delete}; {cover}; COMMIT")).await.unwrap();
        log.added("erasure");
        assert_eq!(count(&log.client, &format!("jit.payload WHERE idx = {index}")).await, 0);
    }
    assert_eq!(count(&log.client, "jit.removal").await, 0);
    let writer = acting_as(&log.database, "jit_writer").await;
    let cover = log.erasing("purge.executed", &purge("access", r#"{"start":0,"end":8}"#));
    assert!(refused(&writer, &format!("BEGIN; DELETE FROM jit.payload WHERE idx = 5; {cover}; COMMIT")).await);
}

#[tokio::test]
async fn a_payload_under_a_hold_stays() {
    let all = r#"{"start":0,"end":8}"#;
    let cover = |log: &Held| format!("{}; ", log.erasing("purge.executed", &purge("access", all)));
    // Which selector keeps records 0 (the plain one), 3 (another stream), 5 (another kind), 6 (later)?
    let mut log = Held::new().await;
    for (at, (selector, kept)) in [
        ("{}", [true, true, true, true]),
        (r#"{"streams":["case:a"]}"#, [true, false, true, true]),
        (r#"{"class":"access"}"#, [true, true, true, true]),
        (r#"{"class":"other"}"#, [false; 4]),
        (r#"{"kinds":["request.refused","x"]}"#, [false, false, true, false]),
        (r#"{"from":"2026-06-01T00:00:00.000000Z"}"#, [false, false, false, true]),
        (r#"{"until":"2026-01-01T00:00:00.000001Z"}"#, [true, true, true, false]),
        (r#"{"until":"2026-01-01T00:00:00.000000Z"}"#, [false; 4]),
        (r#"{"kinds":["request.refused"],"streams":["case:b"]}"#, [false; 4]),
    ]
    .into_iter()
    .enumerate()
    {
        log.hold("hold.placed", &format!(r#"{{"authority":"court","hold":"h{at}","selector":{selector}}}"#)).await;
        for (index, kept) in ["0", "3", "5", "6"].into_iter().zip(kept) {
            assert_eq!(log.refuses(index, &cover(&log)).await, kept, "{selector}: {index}");
        }
        log.hold("hold.released", r#"{"actors":[],"hold":"another"}"#).await;
        assert_eq!(log.refuses("0", &cover(&log)).await, kept[0], "another hold was released");
        log.hold("hold.extended", &format!(r#"{{"hold":"h{at}","stream":"case:b"}}"#)).await;
        let extended = kept[1] || selector == r#"{"streams":["case:a"]}"#;
        assert_eq!(log.refuses("3", &cover(&log)).await, extended, "{selector}: extended");
        log.hold("hold.released", &format!(r#"{{"actors":[],"hold":"h{at}"}}"#)).await;
        assert!(!log.refuses("0, 3, 5, 6", &cover(&log)).await, "{selector}: released");
    }
}

#[tokio::test]
async fn a_row_that_is_not_in_the_log_covers_and_releases_nothing() {
    let mut log = Held::new().await;
    let all = purge("access", r#"{"start":0,"end":8}"#);
    let honest = log.erasing("purge.executed", &all);
    assert!(!log.refuses("1", &honest).await);
    for beyond in [0, 1, 1_000, 1_000_000] {
        let row = log.row(log.size + beyond, "erasure", "purge.executed", "governance", "2026", &all);
        assert!(log.refuses("1", &row).await, "{beyond} beyond the head");
    }
    let leaf = leaf(&header("erasure", 0, "purge.executed", "governance", "2026-06-01T00:00:00.000000Z", &all));
    assert!(honest.contains(&leaf));
    assert!(log.refuses("1", &honest.replace(&leaf, &"0".repeat(64))).await, "its leaf is not that of its header");

    log.hold("hold.placed", r#"{"authority":"court","hold":"h","selector":{}}"#).await;
    let covered = log.erasing("purge.executed", &all);
    let released = r#"{"actors":[],"hold":"h"}"#;
    let row = log.row(log.size + 1_000, "gov", "hold.released", "governance", "2026", released);
    assert!(log.refuses("1", &format!("{covered}; {row}")).await, "it is released only beyond the head");
    // Not even one of an earlier transaction.
    log.client.batch_execute(&row).await.unwrap();
    assert!(log.refuses("1", &covered).await);
    log.hold("hold.released", released).await;
    assert!(!log.refuses("1", &log.erasing("purge.executed", &all)).await);
}
