//! What a grant gives, and what the server shows of it.

use jit_issuer::CredentialReason;

use crate::*;

#[tokio::test]
async fn a_member_reads_what_the_group_may_read() {
    let world = World::new().await;
    let mut case = world.case(1);
    let member = world.member(1);
    assert!(!world.reads(&member).await);
    let authorization = case.authorize(&world.issuer);
    let Minting::Done(minted) = world.issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    assert!(minted.secret.is_none());
    assert!(world.reads(&member).await);
    assert!(!world.reads(&world.member(2)).await);

    let descriptor = minted.descriptor;
    assert_eq!(descriptor.serial.as_str(), format!("{}/{member}", world.group.as_str()));
    assert_eq!(descriptor.window, authorization.issued());
    let sql = "SELECT credential::text, group_role, member_role, origin, reason FROM jit.membership";
    let mark = world.admin.query_one(sql, &[]).await.unwrap();
    let column = |n: usize| mark.get::<_, String>(n);
    assert_eq!(column(0), descriptor.id.to_string());
    assert_eq!((column(1), column(2), column(3)), (world.group.as_str().into(), member.clone(), "granted".into()));
    assert_eq!(column(4).parse(), Ok(CredentialReason::of(&authorization)));
    let sql = "SELECT bool_or(admin_option) FROM pg_auth_members WHERE member = $1::text::regrole";
    assert!(!world.admin.query_one(sql, &[&member]).await.unwrap().get::<_, bool>(0), "a member gives no membership");
}

#[tokio::test]
async fn what_is_minted_twice_is_one_membership() {
    let world = World::new().await;
    let mut case = world.case(1);
    let authorization = case.authorize(&world.issuer);
    let Minting::Done(first) = world.issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let Minting::Done(second) = world.issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    assert_eq!(first.descriptor, second.descriptor);
    assert_eq!((world.memberships().await, world.marks().await), (1, 1));
}

#[tokio::test]
async fn grants_that_overlap_have_one_membership_and_a_mark_each() {
    let world = World::new().await;
    let (mut one, mut other) = (world.case_of(1, 7), world.case_of(2, 7));
    let (a, b) = (world.mint(&mut one).await, world.mint(&mut other).await);
    assert_eq!(a.serial, b.serial);
    assert_ne!(a.fingerprint, b.fingerprint);
    assert_eq!((world.memberships().await, world.marks().await), (1, 2));
    // Whoever takes one back has made sure that no other is live.
    assert_eq!(world.revoke(&a).await, removed());
    assert_eq!((world.memberships().await, world.marks().await), (0, 0));
    assert_eq!(world.look(&other, b.id).await, Observed::Gone);
    assert_eq!(world.revoke(&b).await, RevokeOutcome::AlreadyGone);
}

#[tokio::test]
async fn who_was_a_member_before_stays_one() {
    let world = World::new().await;
    let (group, member) = (world.group.as_str(), world.member(1));
    world.run(&format!("GRANT {group} TO {member}")).await;
    let (mut one, mut other) = (world.case_of(1, 1), world.case_of(2, 1));
    let a = world.mint(&mut one).await;
    assert_eq!(a.serial.as_str(), format!("already_member:{group}/{member}"));
    let Observed::Exists(seen) = world.look(&one, a.id).await else { panic!("gone") };
    assert_eq!(*seen, a);
    let b = world.mint(&mut other).await;
    assert_eq!(a.serial, b.serial);
    let left = RevokeOutcome::Revoked { finding: code!("already_member") };
    assert_eq!(world.revoke(&b).await, left);
    assert!(world.reads(&member).await);
    assert_eq!(world.marks().await, 0);
    assert_eq!(world.revoke(&a).await, left);
    // Taken away meanwhile by whoever gave it.
    let c = world.mint(&mut world.case_of(3, 1)).await;
    world.run(&format!("REVOKE {group} FROM {member}")).await;
    assert_eq!(world.revoke(&c).await, RevokeOutcome::AlreadyGone);
}

#[tokio::test]
async fn what_somebody_took_away_is_given_anew_and_counts_as_given() {
    let world = World::new().await;
    let (group, member) = (world.group.as_str(), world.member(1));
    let (mut one, mut other) = (world.case_of(1, 1), world.case_of(2, 1));
    let a = world.mint(&mut one).await;
    world.run(&format!("REVOKE {group} FROM {member}")).await;
    let b = world.mint(&mut other).await;
    assert_eq!(world.look(&one, a.id).await, Observed::Gone, "the first was taken away, and stays so on record");
    assert_eq!(world.look(&other, b.id).await, Observed::Exists(Box::new(b.clone())));
    assert_eq!(world.revoke(&b).await, removed());
}
