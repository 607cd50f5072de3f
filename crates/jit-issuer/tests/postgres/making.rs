//! What a role is, and what its holder can do.

use std::process::Command;

use jit_issuer::{CredentialReason, MintError};
use jit_testkit::Canary;

use crate::*;

#[tokio::test]
async fn a_prepared_role_exists_from_its_commit_on() {
    let (world, mut case) = (World::new("commit").await, case(1));
    assert!(world.issuer.capabilities().prepares);
    let (authorization, prepared) = world.prepare(&mut case).await;
    assert_eq!((world.roles().await, world.prepared().await), (0, 1));
    let descriptor = prepared.descriptor().clone();
    assert_eq!(descriptor.window, authorization.issued());
    let recorded = case.prepared(&descriptor);
    let minted = world.issuer.commit(prepared, &recorded).await.unwrap();
    assert_eq!((world.roles().await, world.prepared().await), (1, 0));

    let issued = case.issued(&descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    let role = descriptor.serial.as_str();
    let holder = world.log_in(role, secret.expose()).await.unwrap();
    assert_eq!(holder.query_one("SELECT id FROM orders", &[]).await.unwrap().get::<_, i32>(0), 42);
    assert!(holder.execute("DELETE FROM orders", &[]).await.is_err(), "no more than the group");
    assert!(holder.batch_execute("CREATE ROLE another").await.is_err());
    assert!(world.log_in(role, b"another password").await.is_err());

    let sql = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1";
    let comment: String = world.admin.query_one(sql, &[&role]).await.unwrap().get(0);
    assert_eq!(comment.parse(), Ok(CredentialReason::of(&authorization)));
    let sql = "SELECT array_agg(g.rolname::text) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid \
               JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = $1";
    let groups: Vec<String> = world.admin.query_one(sql, &[&role]).await.unwrap().get(0);
    assert_eq!(groups, [world.group.as_str()]);
}

#[tokio::test]
async fn the_password_is_nowhere_on_the_server() {
    let (world, mut case) = (World::new("canary").await, case(1));
    let (descriptor, secret) = world.mint(&mut case).await;
    world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
    world.admin.batch_execute("CHECKPOINT").await.unwrap();
    // Its tables, its write-ahead log and its log of statements.
    let folder = world.server.data_folder();
    let found = |text: &str| {
        Command::new("grep").args(["-rqaF", text]).arg(folder.parent().unwrap()).status().unwrap().success()
    };
    assert!(found(descriptor.serial.as_str()));
    assert!(!found(std::str::from_utf8(&secret).unwrap()));
    let canary = Canary::new(&secret);
    canary.assert_absent("debug output", format!("{:?} {descriptor:?}", world.issuer));
}

#[tokio::test]
async fn a_password_stops_working_at_the_end_of_the_window() {
    let world = World::new("until").await;
    let start = now().saturating_sub(Duration::from_secs(7200));
    let window = Window::new(start, start.saturating_add(Duration::from_secs(3600))).unwrap();
    let mut case = RecordedCase::approved(CaseSetup { window, ..CaseSetup::default() });
    let (descriptor, secret) = world.mint(&mut case).await;
    assert!(world.log_in(descriptor.serial.as_str(), &secret).await.is_err());
    assert!(!descriptor.capabilities.native_expiry, "which no session heeds");
}

#[tokio::test]
async fn the_condition_limits_connections() {
    let world = World::new("limit").await;
    let limit = Condition {
        id: code!("connection_limit"),
        value: canonical::Value::parse(b"1").unwrap(),
        enforcement: Enforcement::Target,
    };
    let window = case(1).case().grant().unwrap().approved.approved;
    let mut case = RecordedCase::approved(CaseSetup { window, conditions: vec![limit], ..CaseSetup::default() });
    let (descriptor, secret) = world.mint(&mut case).await;
    let role = descriptor.serial.as_str();
    let _first = world.log_in(role, &secret).await.unwrap();
    assert!(world.log_in(role, &secret).await.is_err());
}

#[tokio::test]
async fn what_is_minted_twice_is_not_known_to_have_failed() {
    let (world, mut case) = (World::new("twice").await, case(1));
    let authorization = case.authorize(&world.issuer);
    let Minting::Prepared(prepared) = world.issuer.mint(&authorization).await.unwrap() else { panic!("done") };
    let again = world.issuer.mint(&authorization).await.unwrap_err();
    assert_eq!(again, MintError::Unknown { cause: code!("exists_already") });
    let recorded = case.prepared(prepared.descriptor());
    let _ = world.issuer.commit(prepared, &recorded).await.unwrap();
    let again = world.issuer.mint(&authorization).await.unwrap_err();
    assert_eq!(again, MintError::Unknown { cause: code!("exists_already") });
    assert_eq!(world.roles().await, 1);
}

#[tokio::test]
async fn a_server_without_prepared_transactions_makes_roles_at_once() {
    let (world, mut case) = (World::on(plain(), "plain").await, case(1));
    assert!(!world.issuer.capabilities().prepares);
    let (descriptor, secret) = world.mint(&mut case).await;
    world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
    assert!(matches!(world.revoke(&descriptor).await, RevokeOutcome::Revoked { .. }));
    assert_eq!(world.roles().await, 0);
}
