//! What stands in the directory is told by its marks, whoever looks.

use jit_issuer::{Cursor, RevokeError};
use jit_testkit::ProvenLog;

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
    let _a = world.mint(&mut case_of(1, 1)).await;
    let b = world.mint(&mut case_of(2, 1)).await;
    let long = format!("cn={},dc=example,dc=org", "x".repeat(250));
    for stray in ["UID=U3,ou=People,dc=example,dc=org", member(4).as_str(), &long] {
        world.change("add", "member", stray);
    }
    let c = world.mint(&mut case_of(3, 4)).await;
    let found = world.list().await;
    let seen: Vec<_> = found.iter().map(|f| (f.serial.as_str().to_owned(), f.credential)).collect();
    let (uuid, digest) =
        (world.uuid, seen.iter().find_map(|(name, _)| name.split_once("/sha256:")).unwrap().1.to_owned());
    assert_eq!(digest.len(), 64, "a name that no record has room for");
    let mut expected = [
        (format!("already_member:{}", world.serial(4)), Some(c.id)),
        (format!("{uuid}/sha256:{digest}"), None),
        (world.serial(1), Some(b.id)),
        (world.serial(3), None),
    ];
    expected.sort();
    assert_eq!(seen, expected);
    for n in 0..found.len() {
        let after = Cursor::new(found[n].serial.clone());
        let rest = world.issuer.list(Timestamp::EPOCH, Some(&after)).await.unwrap();
        assert_eq!(rest.found, found[n + 1..]);
    }
    let world = world.with(|issuer| issuer.with_strays(Strays::Remove));
    assert_eq!(end_orphan(&world, "staff-groups", &format!("{uuid}/sha256:{digest}")).await, Ok(removed()));
    assert!(!world.members().contains(&long));
}

#[tokio::test]
async fn a_stray_is_reported_or_removed_as_configured() {
    let world = World::new().await.with(|issuer| issuer.with_standing(&dn(&member(5))));
    world.change("add", "member", &member(3));
    world.change("add", "member", &member(5));
    let name = world.serial(3);
    assert_eq!(names(&world.list().await), [&name], "neither the placeholder nor who may stand in the group");
    let refused = |cause| Err(RevokeError::Refused { cause });
    assert_eq!(end_orphan(&world, "staff-groups", &name).await, refused(code!("only_reported")));
    assert!(world.reads(3));
    for (issuer, name) in [
        ("another", name.clone()),
        ("staff-groups", world.serial(5)),
        ("staff-groups", format!("{}/{NOBODY}", world.uuid)),
        ("staff-groups", format!("5d7fbd2e-5cbb-103f-8b2b-1f6d1c6b5c3a/{}", member(3))),
        ("staff-groups", member(3)),
    ] {
        assert_eq!(end_orphan(&world, issuer, &name).await, refused(code!("other_credential")), "{name}");
    }
    let world = world.with(|issuer| issuer.with_strays(Strays::Remove));
    assert_eq!(end_orphan(&world, "staff-groups", &name).await, Ok(removed()));
    assert_eq!(end_orphan(&world, "staff-groups", &name).await, Ok(RevokeOutcome::AlreadyGone));
    assert!(!world.reads(3) && world.reads(5));
}

#[tokio::test]
async fn what_bears_our_mark_is_removed_and_what_was_there_before_unmarked() {
    let world = World::new().await;
    world.change("add", "member", &member(2));
    let (a, b) = (world.mint(&mut case(1)).await, world.mint(&mut case(2)).await);
    assert_eq!(end_orphan(&world, "staff-groups", &world.serial(2)).await, Ok(RevokeOutcome::AlreadyGone));
    assert_eq!(world.marks().len(), 2);
    assert_eq!(end_orphan(&world, "staff-groups", a.serial.as_str()).await, Ok(removed()));
    let unmarked = RevokeOutcome::Revoked { finding: code!("already_member") };
    assert_eq!(end_orphan(&world, "staff-groups", b.serial.as_str()).await, Ok(unmarked));
    assert_eq!((world.members(), world.marks().len()), (vec![NOBODY.to_owned(), member(2)], 0));
    assert_eq!(names(&world.list().await), [world.serial(2)], "it is a stray now");
}

#[tokio::test]
async fn what_somebody_changed_is_seen() {
    let world = World::new().await;
    let mut case = case(1);
    let descriptor = world.mint(&mut case).await;
    let mark = world.marks().swap_remove(0);
    for forged in [mark.replace("\"g\"", "\"x\""), mark.replace(" granted ", " already_member ")] {
        world.change("delete", "description", &mark);
        world.change("add", "description", &forged);
        let Observed::Exists(seen) = world.look(&case, descriptor.id).await else { panic!("gone") };
        assert_ne!(*seen, descriptor, "{forged}");
        world.change("delete", "description", &forged);
        assert_eq!(world.look(&case, descriptor.id).await, Observed::Gone, "without its mark it is nobody's");
        world.change("add", "description", &mark);
    }
    assert_eq!(world.look(&case, descriptor.id).await, Observed::Exists(Box::new(descriptor.clone())));
    // It is taken back by what the record says, whatever the entry does.
    world.change("delete", "description", &mark);
    assert_eq!(world.revoke(&descriptor).await, removed());
    assert!(!world.reads(1));
}
