//! `jit-audit fsck` as an operator runs it, on stores that were damaged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use jit_store::{PostgresBackend, PostgresConfig, SqliteBackend, SqliteError};
use jit_testkit::{TestDatabase, TestPostgres};
use rusqlite::Connection;
use support::{Plan, World};
use tokio_postgres::config::Host;

/// What is done, to SQLite and to PostgreSQL, and the lines that say so.
const DAMAGES: &[(&str, &str, &[&str])] = &[
    (
        "UPDATE record SET leaf = randomblob(32) WHERE idx = 3",
        "UPDATE leaf SET leaf = sha256(leaf) WHERE idx = 3",
        &["DAMAGE edited_leaf: the leaf hash of record 3 was changed"],
    ),
    (
        "DELETE FROM payload WHERE idx IN (3, 4)",
        "DELETE FROM payload WHERE idx IN (3, 4)",
        &[
            "DAMAGE missing_payload: the payload of record 3 is gone, and no purge covers it",
            "DAMAGE missing_payload: the payload of record 4 is gone, and no purge covers it",
        ],
    ),
    (
        "UPDATE blob SET bytes = x'00'",
        "UPDATE blob SET bytes = 'x'",
        &["DAMAGE edited_snapshot: policy $POLICY is not what its digest says"],
    ),
    ("DELETE FROM stream", "TRUNCATE stream_head", &["DAMAGE missing_stream_head: ", "DAMAGE missing_stream_head: "]),
];

/// What the program is given beside the store.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// Keeps a log's anchor for after the log is closed.
    fn of(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(world.anchor(), folder.path().join("anchor")).unwrap();
        fs::write(folder.path().join("index-key"), "07".repeat(32) + "\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fsck(&self, store: &str, more: &[&str]) -> Output {
        let trust = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/trust.policy");
        let mut command = Command::new(env!("CARGO_BIN_EXE_jit-audit"));
        command.args(["fsck", store]).arg("--policy").arg(trust).arg("--anchor").arg(self.path("anchor"));
        command.arg("--index-key").arg(self.path("index-key")).args(more).output().unwrap()
    }

    /// Status, standard output and standard error.
    fn answer(&self, store: &str, more: &[&str]) -> (i32, String, String) {
        let output = self.fsck(store, more);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn damages(out: &str) -> Vec<&str> {
    out.lines().filter(|line| line.starts_with("DAMAGE ")).collect()
}

/// Whether each line begins as expected; lines of one kind come in any order.
fn assert_named(out: &str, expected: &[&str], world: &str) {
    let (mut found, expected) = (damages(out), expected.iter().map(|line| line.replace("$POLICY", world)));
    found.sort_unstable();
    for line in expected {
        assert!(!found.is_empty() && found.remove(0).starts_with(&line), "{line} in {out}");
    }
}

/// Some cases under a policy.
async fn fill(world: &World) {
    world.run("granted", Plan::Granted).await;
    world.run("denied", Plan::Denied).await;
    world.log.publish().await.unwrap();
}

/// Waits until what was dropped has let go of the file.
async fn closed(path: &Path) {
    while let Err(error) = SqliteBackend::open(path).await {
        assert!(matches!(error, SqliteError::InUse { .. }), "{error}");
        tokio::task::yield_now().await;
    }
}

/// A copy of the file in which no trigger stands in the way.
fn copy_of_file(path: &Path, name: &str) -> (PathBuf, Connection) {
    let copied = path.with_file_name(name);
    Connection::open(path).unwrap().execute("VACUUM INTO ?1", [copied.to_str().unwrap()]).unwrap();
    let connection = Connection::open(&copied).unwrap();
    let mut triggers = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let names: Vec<String> = triggers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(triggers);
    for name in names {
        connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    (copied, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_sqlite_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.db");
    let world = World::over(Arc::new(SqliteBackend::create_new(&path).await.unwrap())).await;
    fill(&world).await;
    let (files, policy) = (Files::of(&world), world.policy().to_string());
    let (older, connection) = copy_of_file(&path, "older.db");
    connection.close().unwrap();
    world.run("another", Plan::Denied).await;
    world.log.publish().await.unwrap();
    fs::copy(world.anchor(), files.path("newer-anchor")).unwrap();

    let (status, out, error) = files.answer(path.to_str().unwrap(), &[]);
    assert_eq!((status, out.as_str()), (2, ""), "a broker has it open: {error}");
    assert!(error.starts_with("jit-audit: "), "{error}");
    drop(world);
    closed(&path).await;

    let (status, out, error) = files.answer(path.to_str().unwrap(), &[]);
    assert_eq!((status, out.lines().last()), (0, Some("clean")), "{out}");
    assert!(error.contains(" records read, 0 damages"), "{error}");
    for (number, (damage, _, expected)) in DAMAGES.iter().enumerate() {
        let (damaged, connection) = copy_of_file(&path, &format!("damaged-{number}.db"));
        connection.execute_batch(damage).unwrap();
        connection.close().unwrap();
        let (status, out, _) = files.answer(damaged.to_str().unwrap(), &[]);
        assert_eq!((status, out.lines().last()), (1, Some("not clean")), "{damage}: {out}");
        assert_named(&out, expected, &policy);
    }

    let newer = files.path("newer-anchor");
    let (status, out, error) = files.answer(older.to_str().unwrap(), &["--quiet", "--anchor", newer.to_str().unwrap()]);
    assert_eq!((status, error.as_str()), (1, ""));
    assert_named(&out, &["DAMAGE rollback: the database was rolled back: anchor 1 signs "], &policy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_postgres_is_named_beside_its_brokers() {
    let server = TestPostgres::shared();
    let database = server.database().await;
    PostgresBackend::migrate(&PostgresConfig::new(database.config.clone())).await.unwrap();
    let backend = PostgresBackend::connect(PostgresConfig::new(database.config.clone())).await.unwrap();
    let world = World::over(Arc::new(backend)).await;
    fill(&world).await;
    let (files, policy) = (Files::of(&world), world.policy().to_string());
    let (status, out, error) = files.answer(&url(&database), &[]);
    assert_eq!((status, out.lines().last()), (0, Some("clean")), "a broker works on it: {out}{error}");
    drop(world);

    for (_, damage, expected) in DAMAGES {
        idle(&database).await;
        let damaged = server.copy_of(&database).await;
        let owner = damaged.connect().await;
        let triggers = "SELECT format('ALTER TABLE %s DISABLE TRIGGER USER', oid::regclass) FROM pg_class
                        WHERE relnamespace = 'jit'::regnamespace AND relhastriggers";
        for row in owner.query(triggers, &[]).await.unwrap() {
            owner.batch_execute(row.get(0)).await.unwrap();
        }
        owner.batch_execute(&format!("SET search_path = jit; {damage}")).await.unwrap();
        let (status, out, _) = files.answer(&url(&damaged), &[]);
        assert_eq!((status, out.lines().last()), (1, Some("not clean")), "{damage}: {out}");
        assert_named(&out, expected, &policy);

        let (status, out, error) = files.answer(&url(&damaged), &["--json", "--quiet", "--limit", "1"]);
        let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((status, answer["clean"].as_bool(), error.as_str()), (1, Some(false), ""), "{out}");
        let listed = answer["damages"].as_array().unwrap();
        let (name, text) = (listed[0]["name"].as_str().unwrap(), listed[0]["text"].as_str().unwrap());
        assert!(format!("DAMAGE {name}: {text}").starts_with(&expected[0].replace("$POLICY", &policy)), "{out}");
        assert_eq!((listed.len(), answer["more"].as_u64() > Some(0)), (1, expected.len() > 1), "{out}");
    }

    let (status, out, error) = files.answer(&url(&database), &["--schema", "other"]);
    assert_eq!((status, out.as_str()), (2, ""), "{error}");
    let nobody = files.answer("postgresql://somebody:secret-7@127.0.0.1:1/evidence", &[]);
    assert_eq!((nobody.0, nobody.1.as_str()), (2, ""));
    assert!(!nobody.2.contains("secret-7"), "{}", nobody.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_whom_the_named_authority_vouches_for() {
    let server = TestPostgres::fast();
    let database = server.database().await;
    PostgresBackend::migrate(&PostgresConfig::new(database.config.clone())).await.unwrap();
    let backend = PostgresBackend::connect(PostgresConfig::new(database.config.clone())).await.unwrap();
    let world = World::over(Arc::new(backend)).await;
    fill(&world).await;
    let (files, store) = (Files::of(&world), url(&database));
    let authority = server.demand_tls().await;
    let authority = authority.to_str().unwrap();
    let (status, out, error) = files.answer(&store, &["--ca", authority]);
    assert_eq!((status, out.lines().last()), (0, Some("clean")), "{out}{error}");

    let stranger = files.path("stranger.crt");
    let mut making = Command::new("openssl");
    making.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority".split(' '));
    making.arg("-keyout").arg(files.path("stranger.key")).arg("-out").arg(&stranger);
    let made = making.output().expect("openssl is installed (Debian: openssl)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (status, out, error) = files.answer(&store, &["--ca", stranger.to_str().unwrap()]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(error.contains("certificate"), "{error}");

    let renamed = store.replace("@127.0.0.1:", "@localhost:");
    let without_tls = TestPostgres::shared().database().await;
    for (store, more) in [
        (&renamed, ["--ca", authority].as_slice()),
        (&url(&without_tls), &["--ca", authority]),
        (&store, &[]),
        (&format!("{store}?sslmode=require"), &[]),
    ] {
        let (status, out, error) = files.answer(store, more);
        assert_eq!((status, out.as_str()), (2, ""), "{store} {more:?}: {error}");
        assert!(!error.contains(TestPostgres::PASSWORD), "{error}");
    }
    let (status, out, _) = files.answer(&format!("{store}?sslmode=disable"), &["--ca", authority]);
    assert_eq!((status, out.lines().last()), (0, Some("clean")), "what is named on the command line counts: {out}");
}

#[test]
fn wrong_orders_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let nonsense = folder.path().join("nonsense");
    fs::write(&nonsense, "nonsense").unwrap();
    let trust = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/trust.policy");
    let (nonsense, trust) = (nonsense.to_str().unwrap(), trust.to_str().unwrap());
    for arguments in [
        ["fsck"].as_slice(),
        &["fsck", nonsense],
        &["fsck", "/nonexistent", "--policy", trust],
        &["fsck", nonsense, "--policy", trust],
        &["fsck", nonsense, "--policy", nonsense],
        &["fsck", nonsense, "--policy", trust, "--index-key", nonsense],
        &["fsck", nonsense, "--policy", trust, "--log", "not a name"],
        &["fsck", "postgresql://127.0.0.1:1/x", "--policy", trust, "--ca", nonsense],
        &["fsck", "postgresql://127.0.0.1:1/x", "--policy", trust, "--schema", "\"; DROP"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_jit-audit")).args(arguments).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), [].as_slice()), "{arguments:?}");
        assert!(output.stderr.starts_with(b"jit-audit: "), "{arguments:?}");
    }
}

fn url(database: &TestDatabase) -> String {
    let config = &database.tcp_config;
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("a server over TCP") };
    let password = config.get_password().map(|password| format!(":{}", String::from_utf8_lossy(password)));
    let user = format!("{}{}", config.get_user().unwrap(), password.unwrap_or_default());
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("postgresql://{user}@{host}:{port}/{}", database.name())
}

/// Waits until what was dropped has let go of the database.
async fn idle(database: &TestDatabase) {
    let (admin, connection) = TestPostgres::shared().config().connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let busy = "SELECT FROM pg_stat_activity WHERE datname = $1";
    while !admin.query(busy, &[&database.name()]).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
