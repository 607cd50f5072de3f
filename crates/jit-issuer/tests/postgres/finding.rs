//! After a crash everything is found by its name.

use jit_issuer::{Cursor, MintError, ObserveError, Observed, ReconcileQuery};
use jit_testkit::ProvenLog;

use crate::*;

fn query(case: &RecordedCase, credential: CredentialId) -> ReconcileQuery {
    ReconcileQuery::new(credential, case.case().credentials()[&credential].intended.clone())
}

#[tokio::test]
async fn a_role_is_found_in_every_state() {
    let (world, mut case) = (World::new("states").await, case(1));
    let authorization = case.authorize(&world.issuer);
    let query = query(&case, authorization.credential());
    assert_eq!(world.issuer.reconcile(&query).await.unwrap(), Observed::Gone);
    let Minting::Prepared(prepared) = world.issuer.mint(&authorization).await.unwrap() else { panic!("done") };
    let descriptor = prepared.descriptor().clone();
    let Observed::Exists(found) = world.issuer.reconcile(&query).await.unwrap() else { panic!("gone") };
    assert_eq!((found.id, &found.serial, found.window), (descriptor.id, &descriptor.serial, descriptor.window));
    let recorded = case.prepared(&descriptor);
    let _ = world.issuer.commit(prepared, &recorded).await.unwrap();
    assert_eq!(world.issuer.reconcile(&query).await.unwrap(), Observed::Exists(Box::new(descriptor.clone())));
    world.revoke(&descriptor).await;
    assert_eq!(world.issuer.reconcile(&query).await.unwrap(), Observed::Gone);
}

#[tokio::test]
async fn a_prepared_role_survives_a_crash_and_is_resolved_either_way() {
    let crashing = Box::leak(Box::new(TestPostgres::with_settings(&["max_prepared_transactions=5"])));
    let world = World::on(crashing, "crash").await;
    let (mut one, mut other) = (case(1), case(2));
    let (_, kept) = world.prepare(&mut one).await;
    let (_, lost) = world.prepare(&mut other).await;
    crashing.kill9();
    crashing.start();
    let recorded = one.prepared(kept.descriptor());
    let minted = world.issuer.commit(kept, &recorded).await.unwrap();
    let outcome = world.revoke(lost.descriptor()).await;
    assert_eq!(outcome, RevokeOutcome::Revoked { finding: code!("prepared_role_rolled_back") });
    let admin = world.database.connect().await;
    let names = admin.query("SELECT rolname::text FROM pg_roles WHERE rolname ~ '^t_crash_'", &[]).await.unwrap();
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, [minted.descriptor.serial.as_str()]);
}

#[tokio::test]
async fn a_commit_is_repeated_or_refused_by_what_is_there() {
    let (world, mut case) = (World::new("again").await, case(1));
    let (_, prepared) = world.prepare(&mut case).await;
    // The answer to the first commit was lost.
    let sql = format!("COMMIT PREPARED 't_again:{}'", prepared.descriptor().id.as_uuid().simple());
    world.admin.batch_execute(&sql).await.unwrap();
    let recorded = case.prepared(prepared.descriptor());
    let _ = world.issuer.commit(prepared, &recorded).await.unwrap();

    let mut case = crate::case(2);
    let (_, prepared) = world.prepare(&mut case).await;
    let sql = sql.replacen("COMMIT", "ROLLBACK", 1);
    let sql = format!("{}:{}'", sql.split(':').next().unwrap(), prepared.descriptor().id.as_uuid().simple());
    world.admin.batch_execute(&sql).await.unwrap();
    let recorded = case.prepared(prepared.descriptor());
    let error = world.issuer.commit(prepared, &recorded).await.unwrap_err();
    assert_eq!(error, MintError::Failed { cause: code!("not_prepared_any_more") });
}

#[tokio::test]
async fn a_mint_under_way_is_not_taken_for_none() {
    let (world, mut case) = (World::new("underway").await, case(1));
    let authorization = case.authorize(&world.issuer);
    // A process that is gone has sent its statements; the server is still at them.
    let mut config = world.server.config();
    config.dbname(world.database.name()).application_name(world.prefix.role(authorization.credential()).as_str());
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.simple_query("SELECT 1").await.unwrap();
    let query = query(&case, authorization.credential());
    let under_way = ObserveError::Unknown { cause: code!("mint_under_way") };
    assert_eq!(world.issuer.reconcile(&query).await.unwrap_err(), under_way);
    drop(client);
    connection.await.unwrap().unwrap();
    loop {
        match world.issuer.reconcile(&query).await {
            Ok(observed) => break assert_eq!(observed, Observed::Gone),
            Err(error) => assert_eq!(error, under_way),
        }
    }
}

#[tokio::test]
async fn what_somebody_altered_is_seen() {
    let (world, mut case) = (World::new("altered").await, case(1));
    let (descriptor, _) = world.mint(&mut case).await;
    let query = query(&case, descriptor.id);
    let role = descriptor.serial.as_str();
    let later = descriptor.window.end().saturating_add(Duration::from_secs(3600));
    world.admin.batch_execute(&format!("ALTER ROLE \"{role}\" VALID UNTIL '{later}'")).await.unwrap();
    let Observed::Exists(found) = world.issuer.reconcile(&query).await.unwrap() else { panic!("gone") };
    assert_eq!(found.window.end(), later);
    world.admin.batch_execute(&format!("ALTER ROLE \"{role}\" VALID UNTIL 'infinity'")).await.unwrap();
    let Observed::Exists(found) = world.issuer.reconcile(&query).await.unwrap() else { panic!("gone") };
    assert_eq!(found.window.end(), Timestamp::MAX);
    world.admin.batch_execute("CREATE ROLE altered_other").await.unwrap();
    for (alter, back) in [
        ("ALTER ROLE {} CONNECTION LIMIT -1", "ALTER ROLE {} CONNECTION LIMIT 10"),
        ("GRANT altered_other TO {}", "REVOKE altered_other FROM {}"),
        ("ALTER ROLE {} CREATEROLE", "ALTER ROLE {} NOCREATEROLE"),
        ("COMMENT ON ROLE {} IS 'nothing to see here'", "SELECT"),
    ] {
        world.admin.batch_execute(&alter.replace("{}", role)).await.unwrap();
        let Observed::Exists(found) = world.issuer.reconcile(&query).await.unwrap() else { panic!("gone") };
        assert_ne!(found.fingerprint, descriptor.fingerprint, "{alter}");
        world.admin.batch_execute(&back.replace("{}", role)).await.unwrap();
    }
}

#[tokio::test]
async fn a_listing_has_every_role_and_prepared_one_and_no_others() {
    let world = World::new("list").await;
    let mut expected = Vec::new();
    for seed in 0..3 {
        expected.push(world.mint(&mut case(seed)).await.0.id);
    }
    let (_, prepared) = world.prepare(&mut case(3)).await;
    expected.push(prepared.descriptor().id);
    world.admin.batch_execute("CREATE ROLE t_list_of_mine; CREATE ROLE \"t_listX07\"").await.unwrap();
    let page = world.issuer.list(Timestamp::from_micros(0).unwrap(), None).await.unwrap();
    let mut found: Vec<_> = page.found.iter().map(|found| found.credential.unwrap()).collect();
    found.sort();
    expected.sort();
    assert_eq!((found, page.next), (expected, None));
    let after = Cursor::new(page.found[1].serial.clone());
    let rest = world.issuer.list(Timestamp::from_micros(0).unwrap(), Some(&after)).await.unwrap();
    assert_eq!(rest.found, page.found[2..]);
    let later = now().saturating_add(Duration::from_secs(60));
    assert_eq!(world.issuer.list(later, None).await.unwrap().found, []);
}

#[tokio::test]
async fn what_no_record_explains_is_ended_by_the_record_that_found_it() {
    let world = World::new("orphan").await;
    let (descriptor, secret) = world.mint(&mut case(1)).await;
    let (_, prepared) = world.prepare(&mut case(2)).await;
    let _session = world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
    // Another log, which knows nothing of them.
    let mut log = ProvenLog::new("log.example/other", [8; 32]);
    let page = world.issuer.list(Timestamp::EPOCH, None).await.unwrap();
    assert_eq!(page.found.len(), 2);
    assert_eq!(page.found.iter().filter(|found| found.credential == Some(prepared.descriptor().id)).count(), 1);
    for found in &page.found {
        for (issuer, ends) in [("another-db", false), ("orders-db", true)] {
            let authorization = log.orphan_found(IssuerName::new(issuer).unwrap(), found.serial.clone());
            let ended = world.issuer.end_orphan(&authorization).await;
            assert_eq!(matches!(ended, Ok(RevokeOutcome::Revoked { .. })), ends, "{ended:?}");
        }
    }
    assert_eq!((world.roles().await, world.prepared().await, world.sessions().await), (0, 0, 0));
}
