//! From a line of a real PostgreSQL's log to the case, and from there to what was granted and what was used.
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
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jit_audit::usage;
use jit_core::*;
use jit_issuer::{
    observation::{CsvRecords, PostgresLineError, PostgresUse, RolePrefix},
    postgres::{GroupRoles, PostgresIssuer, PostgresTarget, RoleName},
};
use jit_testkit::{SeededEntropy, TestPostgres};
use support::{HOUR, World, person, request_within, scope};
use tokio_postgres::NoTls;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(since.as_micros().try_into().unwrap()).unwrap()
}

/// A server that logs as `docs/observation.md` says.
fn server() -> TestPostgres {
    TestPostgres::with_settings(&[
        "fsync=off",
        "max_prepared_transactions=20",
        "logging_collector=on",
        "log_destination=csvlog",
        "log_directory=log",
        "log_filename=postgresql.log",
        "log_timezone=UTC",
        "log_connections=on",
        "log_statement=all",
    ])
}

/// The uses that the log tells of so far, and how many other records it has.
fn logged(server: &TestPostgres, prefix: &RolePrefix) -> (Vec<PostgresUse>, usize) {
    let log = fs::read(server.data_folder().join("log/postgresql.csv")).unwrap_or_default();
    let (mut records, mut uses, mut others) = (CsvRecords::default(), Vec::new(), 0);
    // A reader gets a log piece by piece, and the pieces end anywhere.
    for piece in log.chunks(97) {
        for record in records.push(piece) {
            match PostgresUse::read(&record.unwrap(), prefix) {
                Ok(used) => uses.push(used),
                Err(PostgresLineError::Unrelated) => others += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    (uses, others)
}

#[tokio::test]
async fn a_minted_role_acts_and_the_log_leads_back_to_its_case() {
    let server = server();
    let database = server.database().await;
    let admin = database.connect().await;
    let group = RoleName::new("orders_reader").unwrap();
    admin
        .batch_execute(
            "CREATE TABLE orders (id int); CREATE ROLE orders_reader; GRANT SELECT ON orders TO orders_reader",
        )
        .await
        .unwrap();
    let prefix = RolePrefix::default();
    let mut config = server.config();
    config.dbname(database.name());
    let issuer = PostgresIssuer::connect(
        IssuerName::new("orders-db").unwrap(),
        PostgresTarget::new(config),
        GroupRoles::new().with(scope("database:prod/orders", "read"), group),
        prefix.clone(),
        Arc::new(SeededEntropy::new(9)),
    )
    .await
    .unwrap();

    let world = World::with_issuer(Arc::new(issuer)).await;
    let start = now();
    world.clock.set(start);
    let window = Window::new(start, start.saturating_add(HOUR)).unwrap();
    let request = request_within("alice", "database:prod/orders", "read", window).build().unwrap();
    let case = world.approved("a", request).await;
    let issued = world.issue(case, &person("alice").id()).await.unwrap();
    let descriptor = issued.descriptor;
    let grant = Lookup::new(LookupFamily::Grant, world.broker.case(case).await.unwrap().grant_id());
    assert!(usage(world.broker.log(), &grant).await.unwrap()[0].is_unused());

    // Its holder reads, in a statement of two lines with both kinds of quotes, one of them somebody else's line.
    let forged = format!("2026-01-01 00:00:00 UTC,\"{}\"", prefix.role(CredentialId::v8([9; 16])).as_str());
    let statement = format!("SELECT count(*) AS \"a \"\"count\"\"\"\nFROM orders WHERE '{forged}' <> ''");
    let mut login = server.tcp_config();
    login.dbname(database.name()).user(descriptor.serial.as_str()).password(issued.secret.unwrap().expose());
    let (client, connection) = login.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.simple_query(&statement).await.unwrap();
    client.query("SELECT id FROM orders WHERE id = $1", &[&42_i32]).await.unwrap();
    // Others claim its name and are not let in.
    login.password("guessed");
    assert!(login.connect(NoTls).await.is_err());

    let until = Instant::now() + Duration::from_secs(20);
    let (uses, others) = loop {
        let (uses, others) = logged(&server, &prefix);
        if uses.len() >= 3 {
            break (uses, others);
        }
        assert!(Instant::now() < until, "{} uses and {others} other records are logged", uses.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let acts: Vec<_> = uses.iter().map(|used| (used.act.as_str(), used.text.as_str())).collect();
    assert_eq!(acts.len(), 3, "{acts:?}");
    assert!(acts[0].0 == "login" && acts[0].1.starts_with(&format!("user={}", descriptor.serial.as_str())), "{acts:?}");
    assert_eq!(acts[1..], [("statement", statement.as_str()), ("statement", "SELECT id FROM orders WHERE id = $1")]);
    assert!(uses.iter().all(|used| used.credential == descriptor.id && used.source.starts_with("127.0.0.1:")));
    assert!(others > 10, "the issuer's own statements are logged too");

    let system = SystemName::new("postgresql:orders-db").unwrap();
    for (again, used) in [false, true].into_iter().flat_map(|again| uses.iter().map(move |used| (again, used))) {
        let recorded = world.broker.observe(&used.observed(system.clone())).await.unwrap().unwrap();
        assert_eq!((recorded.case, recorded.credential), (case, descriptor.id));
        assert_eq!((recorded.repeated, recorded.findings.as_slice()), (again, [].as_slice()));
    }
    let told = usage(world.broker.log(), &Lookup::new(LookupFamily::Subject, person("alice").id())).await.unwrap();
    assert_eq!((told.len(), told[0].is_unused(), told[0].credentials[0].uses.len()), (1, false, 3));
    assert_eq!(told[0].findings().count(), 0);
    world.assert_invariants().await;
}
