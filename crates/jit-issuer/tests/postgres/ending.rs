//! An ended role opens nothing, and nobody is left who came in by it.

use crate::*;

fn dropped() -> RevokeOutcome {
    RevokeOutcome::Revoked { finding: code!("role_dropped") }
}

#[tokio::test]
async fn an_end_cuts_every_session() {
    let (world, mut case) = (World::new("cut").await, case(1));
    let (descriptor, secret) = world.mint(&mut case).await;
    let role = descriptor.serial.as_str();
    let mut holders = Vec::new();
    for _ in 0..3 {
        holders.push(world.log_in(role, &secret).await.unwrap());
    }
    // One of them is busy.
    let sleeping = tokio::spawn(async move {
        let busy = holders.pop().unwrap();
        busy.batch_execute("SELECT pg_sleep(60)").await.is_err()
    });
    assert_eq!(world.sessions().await, 3);
    assert_eq!(world.revoke(&descriptor).await, dropped());
    assert!(sleeping.await.unwrap());
    assert_eq!((world.roles().await, world.sessions().await), (0, 0));
    assert!(world.log_in(role, &secret).await.is_err());
    assert_eq!(world.revoke(&descriptor).await, RevokeOutcome::AlreadyGone);
}

#[tokio::test]
async fn what_a_holder_made_is_kept() {
    let (world, mut case) = (World::new("owner").await, case(1));
    let (descriptor, secret) = world.mint(&mut case).await;
    let holder = world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
    holder.batch_execute("CREATE TABLE mine (id int); INSERT INTO mine VALUES (7)").await.unwrap();
    let kept = RevokeOutcome::Revoked { finding: code!("role_dropped_objects_kept") };
    assert_eq!(world.revoke(&descriptor).await, kept);
    assert_eq!(world.roles().await, 0);
    let sql = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'mine'";
    let owner: String = world.admin.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(owner, world.group.as_str());
    assert_eq!(world.scalar("SELECT sum(id) FROM mine").await, 7);
}

#[tokio::test]
async fn a_role_that_owns_something_elsewhere_is_disabled() {
    let (world, mut case) = (World::new("elsewhere").await, case(1));
    let (descriptor, secret) = world.mint(&mut case).await;
    let role = descriptor.serial.as_str();
    let elsewhere = world.server.database().await;
    let there = elsewhere.connect().await;
    there
        .batch_execute(&format!("CREATE TABLE theirs (id int); ALTER TABLE theirs OWNER TO \"{role}\""))
        .await
        .unwrap();
    let disabled = RevokeOutcome::Revoked { finding: code!("role_disabled_owns_objects") };
    assert_eq!(world.revoke(&descriptor).await, disabled);
    assert!(world.log_in(role, &secret).await.is_err());
    assert_eq!(world.roles().await, 1, "a listing shows it");
    there.batch_execute("DROP TABLE theirs").await.unwrap();
    assert_eq!(world.revoke(&descriptor).await, dropped());
}

#[tokio::test]
async fn a_prepared_role_is_given_up() {
    let (world, mut case) = (World::new("abandon").await, case(1));
    let (_, prepared) = world.prepare(&mut case).await;
    let descriptor = prepared.descriptor().clone();
    world.issuer.abandon(prepared).await.unwrap();
    assert_eq!((world.roles().await, world.prepared().await), (0, 0));
    assert_eq!(world.revoke(&descriptor).await, RevokeOutcome::AlreadyGone);

    let (_, prepared) = world.prepare(&mut crate::case(2)).await;
    let rolled_back = RevokeOutcome::Revoked { finding: code!("prepared_role_rolled_back") };
    assert_eq!(world.revoke(prepared.descriptor()).await, rolled_back);
    assert_eq!((world.roles().await, world.prepared().await), (0, 0));
}

/// What the server knows of roles, and of the rights they were given, by row and by entry.
const CATALOGUE: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM pg_authid), (SELECT count(*) FROM pg_auth_members), \
    (SELECT count(*) FROM pg_shdescription), (SELECT count(*) FROM pg_shdepend), (SELECT count(*) FROM pg_db_role_setting), \
    (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM pg_class), \
    (SELECT sum(coalesce(cardinality(relacl), 0)) FROM pg_class), (SELECT sum(coalesce(cardinality(nspacl), 0)) FROM pg_namespace), \
    (SELECT sum(coalesce(cardinality(datacl), 0)) FROM pg_database))";

/// `JIT_SOAK_ROLES` says how many roles come and go, 100 by default.
#[tokio::test]
async fn the_catalogue_is_as_it_was_after_many_roles() {
    let roles: u64 = std::env::var("JIT_SOAK_ROLES").map_or(100, |roles| roles.parse().unwrap());
    // Nobody else makes roles there.
    let settings = ["fsync=off", "full_page_writes=off", "max_prepared_transactions=20"];
    let server: &'static TestPostgres = Box::leak(Box::new(TestPostgres::with_settings(&settings)));
    let world = World::on(server, "grow").await;
    let catalogue = async || world.admin.query_one(CATALOGUE, &[]).await.unwrap().get::<_, String>(0);
    let before = catalogue().await;
    for seed in 0..roles {
        let (descriptor, secret) = world.mint(&mut case(seed)).await;
        if seed.is_multiple_of(10) {
            assert_ne!(catalogue().await, before, "which a role changes");
            world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
        }
        assert_eq!(world.revoke(&descriptor).await, dropped());
    }
    assert_eq!((world.roles().await, world.prepared().await), (0, 0));
    assert_eq!(catalogue().await, before, "after {roles} roles");
}

#[tokio::test]
async fn the_sessions_of_a_role_that_somebody_dropped_are_cut() {
    let (world, mut case) = (World::new("dropped").await, case(1));
    let (descriptor, secret) = world.mint(&mut case).await;
    let holder = world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
    world.admin.batch_execute(&format!("DROP ROLE \"{}\"", descriptor.serial)).await.unwrap();
    assert!(holder.simple_query("SELECT 1").await.is_ok(), "a session outlives its role");
    let cut = RevokeOutcome::Revoked { finding: code!("sessions_of_a_dropped_role_cut") };
    assert_eq!(world.revoke(&descriptor).await, cut);
    assert!(holder.simple_query("SELECT 1").await.is_err());
    assert_eq!(world.revoke(&descriptor).await, RevokeOutcome::AlreadyGone);
}

#[tokio::test]
async fn a_holder_cannot_make_the_issuer_run_code() {
    let (world, mut case) = (World::new("path").await, case(1));
    let (descriptor, secret) = world.mint(&mut case).await;
    let holder = world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
    // Each would be preferred to the server's own, if the schema were in the path.
    let sql = "CREATE FUNCTION public.shobj_description(oid, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
               RAISE EXCEPTION 'called by %', current_user; END $$; \
               CREATE FUNCTION public.pg_has_role(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN \
               RAISE EXCEPTION 'called by %', current_user; END $$; \
               CREATE FUNCTION public.pg_terminate_backend(int, bigint) RETURNS bool LANGUAGE sql AS 'SELECT true'";
    holder.batch_execute(sql).await.unwrap();
    let mut config = world.server.config();
    config.dbname(world.database.name());
    connect(&config, &world.group, &world.prefix).await.unwrap();
    let query =
        jit_issuer::ReconcileQuery::new(descriptor.id, case.case().credentials()[&descriptor.id].intended.clone());
    world.issuer.reconcile(&query).await.unwrap();
    assert!(matches!(world.revoke(&descriptor).await, RevokeOutcome::Revoked { .. }));
    assert!(holder.simple_query("SELECT 1").await.is_err());
}
