//! What an end leaves, and what it does to sessions that are open.

use jit_issuer::RevokeError;

use crate::*;

#[tokio::test]
async fn an_open_session_loses_what_it_inherits_at_its_next_statement() {
    let world = World::new().await;
    let descriptor = world.mint(&mut world.case(1)).await;
    let session = world.log_in(&world.member(1)).await;
    let prepared = session.prepare("SELECT id FROM orders").await.unwrap();
    assert_eq!(session.query(&prepared, &[]).await.unwrap().len(), 1);
    assert_eq!(world.revoke(&descriptor).await, removed());
    assert!(session.query(&prepared, &[]).await.is_err(), "prepared while it was a member");
    assert!(session.batch_execute("SET ROLE NONE").await.is_ok(), "the session itself goes on");
    assert!(!descriptor.capabilities.cuts_sessions);
}

#[tokio::test]
async fn a_session_that_became_the_group_stays_it_unless_it_is_cut() {
    let world = World::new().await;
    if world.scalar("SELECT current_setting('server_version_num')::bigint").await >= 160_000 {
        return an_open_session_cannot_become_the_group(&world).await;
    }
    let group = world.group.as_str().to_owned();
    let descriptor = world.mint(&mut world.case_of(1, 1)).await;
    let session = world.log_in(&world.member(1)).await;
    session.batch_execute(&format!("SET ROLE {group}")).await.unwrap();
    assert_eq!(world.revoke(&descriptor).await, removed());
    assert!(session.query("SELECT id FROM orders", &[]).await.is_ok(), "so the documentation must say");

    let world = issuer(world, |issuer| issuer.cutting_sessions().unwrap());
    assert!(world.issuer.capabilities().cuts_sessions);
    // Nothing is left to be taken back but the session.
    let cut = RevokeOutcome::Revoked { finding: code!("sessions_of_a_former_member_cut") };
    assert_eq!(world.revoke(&descriptor).await, cut);
    assert!(session.query("SELECT id FROM orders", &[]).await.is_err());
    assert_eq!(world.revoke(&descriptor).await, RevokeOutcome::AlreadyGone);

    let again = world.mint(&mut world.case_of(2, 1)).await;
    let session = world.log_in(&world.member(1)).await;
    session.batch_execute(&format!("SET ROLE {group}")).await.unwrap();
    assert_eq!(world.revoke(&again).await, removed());
    assert!(session.query("SELECT 1", &[]).await.is_err());
}

async fn an_open_session_cannot_become_the_group(world: &World) {
    let _given = world.mint(&mut world.case(1)).await;
    let session = world.log_in(&world.member(1)).await;
    assert!(session.batch_execute(&format!("SET ROLE {}", world.group.as_str())).await.is_err());
}

#[tokio::test]
async fn rights_that_come_through_another_role_are_told() {
    let world = World::new().await;
    let (group, member) = (world.group.as_str(), world.member(1));
    world
        .run(&format!("CREATE ROLE staff_{group}; GRANT {group} TO staff_{group}; GRANT staff_{group} TO {member}"))
        .await;
    let descriptor = world.mint(&mut world.case(1)).await;
    assert_eq!(descriptor.serial.as_str(), format!("{group}/{member}"), "it was not a member by itself");
    let finding = code!("removed_member_through_another_role");
    assert_eq!(world.revoke(&descriptor).await, RevokeOutcome::Revoked { finding });
    assert!(world.reads(&member).await);
}

#[tokio::test]
async fn a_role_that_was_dropped_has_nothing_left() {
    let world = World::new().await;
    let descriptor = world.mint(&mut world.case(1)).await;
    world.run(&format!("DROP ROLE {}", world.member(1))).await;
    assert_eq!(world.revoke(&descriptor).await, RevokeOutcome::AlreadyGone);
    assert_eq!((world.memberships().await, world.marks().await), (0, 0));
}

#[tokio::test]
async fn a_revocation_behind_a_lock_has_failed_and_is_made_again() {
    let world = World::new().await;
    let descriptor = world.mint(&mut world.case(1)).await;
    let target = PostgresTarget::new(world.database.config.clone()).patience(Duration::from_millis(500));
    let groups = GroupRoles::new().with(CaseSetup::default().scope, world.group.clone());
    let name = IssuerName::new("orders-members").unwrap();
    let hasty = PostgresMembershipIssuer::connect(name, target, groups, MemberRoles::new()).await.unwrap();
    let mut locker = world.database.connect().await;
    let transaction = locker.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE jit.membership").await.unwrap();
    let authorization = RevokeAuthorization::store_down(code!("test"), now(), &descriptor);
    let failed = RevokeError::Failed { cause: code!("waited_too_long") };
    assert_eq!(hasty.revoke(&authorization, &descriptor).await, Err(failed));
    assert!(world.reads(&world.member(1)).await);
    transaction.rollback().await.unwrap();
    assert_eq!(hasty.revoke(&authorization, &descriptor).await, Ok(removed()));
}
