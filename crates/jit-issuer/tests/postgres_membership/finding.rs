//! What stands at the server is told by its marks, whoever looks.

use jit_issuer::{Cursor, MintError, RevokeError};
use jit_testkit::{Cut, CuttingProxy, ProvenLog};

use crate::*;

/// What ending an orphan of this name comes to, once it is on record.
async fn end_orphan(world: &World, issuer: &str, name: &str) -> Result<RevokeOutcome, RevokeError> {
    let mut log = ProvenLog::new("log.example/other", [8; 32]);
    let found = log.orphan_found(IssuerName::new(issuer).unwrap(), ExternalId::new(name).unwrap());
    world.issuer.end_orphan(&found).await
}

fn names(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.serial.as_str()).collect()
}

#[tokio::test]
async fn a_listing_has_every_member_and_the_latest_of_its_grants() {
    let world = World::new().await;
    let (group, stray) = (world.group.as_str(), world.member(3));
    let _a = world.mint(&mut world.case_of(1, 1)).await;
    let b = world.mint(&mut world.case_of(2, 1)).await;
    world.run(&format!("GRANT {group} TO {stray}, {}", world.member(4))).await;
    let c = world.mint(&mut world.case_of(3, 4)).await;
    // The name of a role may have nearly everything in it.
    world.run(&format!("CREATE ROLE \"zz/{group} \"\"é\"; GRANT {group} TO \"zz/{group} \"\"é\"")).await;
    let found = world.list().await;
    let expected = [
        (format!("{group}/{}", world.member(1)), Some(b.id)),
        (format!("{group}/{stray}"), None),
        (format!("already_member:{group}/{}", world.member(4)), Some(c.id)),
        (format!("{group}/zz/{group} \"é"), None),
    ];
    let seen: Vec<_> = found.iter().map(|f| (f.serial.as_str().to_owned(), f.credential)).collect();
    assert_eq!(seen, expected);
    for n in 0..found.len() {
        let after = Cursor::new(found[n].serial.clone());
        let rest = world.issuer.list(Timestamp::EPOCH, Some(&after)).await.unwrap();
        assert_eq!(rest.found, found[n + 1..]);
    }
    let strange = format!("{group}/zz/{group} \"é");
    let world = issuer(world, |issuer| issuer.with_strays(Strays::Remove));
    assert_eq!(end_orphan(&world, "orders-members", &strange).await, Ok(removed()));
    // Not to be passed over: its bearer would not be found.
    world.run(&format!("CREATE ROLE \"a\nb{0}\"; GRANT {0} TO \"a\nb{0}\"", world.group.as_str())).await;
    let unclear = ObserveError::Unknown { cause: code!("member_name_not_printable") };
    assert_eq!(world.issuer.list(Timestamp::EPOCH, None).await, Err(unclear));
}

#[tokio::test]
async fn a_stray_is_reported_or_removed_as_configured() {
    let world = World::new().await;
    let (group, stray, admin) = (world.group.as_str().to_owned(), world.member(3), world.member(5));
    world.run(&format!("GRANT {group} TO {stray}; GRANT {group} TO {admin} WITH ADMIN OPTION")).await;
    let world = issuer(world, |issuer| issuer.with_standing(RoleName::new(&admin).unwrap()));
    let name = format!("{group}/{stray}");
    assert_eq!(names(&world.list().await), [&name], "whoever administers the group may stand in it");
    let refused = |cause| Err(RevokeError::Refused { cause });
    assert_eq!(end_orphan(&world, "orders-members", &name).await, refused(code!("only_reported")));
    assert!(world.reads(&stray).await);
    for (issuer, name) in [
        ("another", name.clone()),
        ("orders-members", format!("pg_read_all_data/{stray}")),
        ("orders-members", format!("{group}/{admin}")),
        ("orders-members", stray.clone()),
    ] {
        assert_eq!(end_orphan(&world, issuer, &name).await, refused(code!("other_credential")), "{name}");
    }
    let world = issuer(world, |issuer| issuer.with_strays(Strays::Remove));
    assert_eq!(end_orphan(&world, "orders-members", &name).await, Ok(removed()));
    assert_eq!(end_orphan(&world, "orders-members", &name).await, Ok(RevokeOutcome::AlreadyGone));
    assert!(!world.reads(&stray).await);
    assert!(world.reads(&admin).await);
}

#[tokio::test]
async fn what_bears_our_mark_is_removed_and_what_was_there_before_unmarked() {
    let world = World::new().await;
    let (group, before) = (world.group.as_str().to_owned(), world.member(2));
    world.run(&format!("GRANT {group} TO {before}")).await;
    let (a, b) = (world.mint(&mut world.case(1)).await, world.mint(&mut world.case(2)).await);
    // Its name tells what it was found to be: under another one it is not ended.
    assert_eq!(
        end_orphan(&world, "orders-members", &format!("{group}/{before}")).await,
        Ok(RevokeOutcome::AlreadyGone)
    );
    assert_eq!(world.marks().await, 2);
    assert_eq!(end_orphan(&world, "orders-members", a.serial.as_str()).await, Ok(removed()));
    let unmarked = RevokeOutcome::Revoked { finding: code!("already_member") };
    assert_eq!(end_orphan(&world, "orders-members", b.serial.as_str()).await, Ok(unmarked));
    assert_eq!((world.memberships().await, world.marks().await), (1, 0));
    assert_eq!(names(&world.list().await), [format!("{group}/{before}")], "it is a stray now");
}

#[tokio::test]
async fn what_somebody_changed_is_seen() {
    let world = World::new().await;
    let (group, member) = (world.group.as_str(), world.member(1));
    let mut case = world.case(1);
    let descriptor = world.mint(&mut case).await;
    for (change, back) in [
        (
            format!("GRANT {group} TO {member} WITH ADMIN OPTION"),
            format!("REVOKE ADMIN OPTION FOR {group} FROM {member}"),
        ),
        ("UPDATE jit.membership SET reason = 'forged'".to_owned(), String::new()),
        ("UPDATE jit.membership SET origin = 'already_member'".to_owned(), String::new()),
    ] {
        world.run(&change).await;
        let Observed::Exists(seen) = world.look(&case, descriptor.id).await else { panic!("gone") };
        assert_ne!(*seen, descriptor, "{change}");
        world.run(&back).await;
    }
    // It is taken back by what the record says, whatever the table does.
    assert_eq!(world.revoke(&descriptor).await, removed());
    let again = world.mint(&mut world.case_of(2, 1)).await;
    world.run("DELETE FROM jit.membership").await;
    assert_eq!(world.revoke(&again).await, removed());
    assert!(!world.reads(&member).await);
}

#[tokio::test]
async fn a_mint_under_way_is_not_taken_for_none() {
    let world = World::new().await;
    let mut case = world.case(1);
    let authorization = case.authorize(&world.issuer);
    let mut config = world.database.config.clone();
    config.application_name(format!("jit-membership:{}", authorization.credential().as_uuid().simple()));
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
async fn a_lost_answer_is_unknown_until_somebody_looks() {
    let world = World::new().await;
    let proxy = CuttingProxy::before(&world.database.tcp_config).await;
    let behind = connect(&proxy.config(&world.database.tcp_config), &world.group).await.unwrap();
    for (seed, cut) in [(1, Cut::BeforeCommit), (3, Cut::AfterCommit)] {
        let there = cut == Cut::AfterCommit;
        let mut case = world.case(seed);
        let authorization = case.authorize(&behind);
        proxy.cut_at_commit(cut);
        let error = behind.mint(&authorization).await.unwrap_err();
        assert_eq!(error, MintError::Unknown { cause: code!("answer_lost") }, "{cut:?}");
        let seen = world.look(&case, authorization.credential()).await;
        let reads = world.reads(&world.member(seed)).await;
        assert_eq!((matches!(seen, Observed::Exists(_)), reads), (there, there), "{cut:?}");

        let descriptor = world.mint(&mut world.case(seed + 1)).await;
        let authorization = RevokeAuthorization::store_down(code!("test"), now(), &descriptor);
        proxy.cut_at_commit(cut);
        let error = behind.revoke(&authorization, &descriptor).await.unwrap_err();
        assert_eq!(error, RevokeError::Unknown { cause: code!("answer_lost") }, "{cut:?}");
        let again = world.revoke(&descriptor).await;
        assert_eq!(again, if there { RevokeOutcome::AlreadyGone } else { removed() });
        assert!(!world.reads(&world.member(seed + 1)).await);
    }
    assert_eq!(proxy.cuts(), 4);
}
