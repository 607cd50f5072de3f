//! What cannot be served is refused before anything happens.

use jit_issuer::{MintError, MintPlan, RevokeError, postgres::PostgresIssuerError};

use crate::*;

#[tokio::test]
async fn a_plan_that_the_server_cannot_keep_is_refused() {
    let world = World::new("plan").await;
    let condition = |id: &str, value: &str| Condition {
        id: Code::new(id).unwrap(),
        value: canonical::Value::parse(value.as_bytes()).unwrap(),
        enforcement: Enforcement::Target,
    };
    let wider = Scope::new("database:prod".parse().unwrap(), [Action::new("read").unwrap()]).unwrap();
    let setups = [
        (CaseSetup { scope: wider, ..CaseSetup::default() }, "no_role_for_scope"),
        (CaseSetup { conditions: vec![condition("mfa", "true")], ..CaseSetup::default() }, "condition_not_enforceable"),
        (
            CaseSetup { conditions: vec![condition("connection_limit", "0")], ..CaseSetup::default() },
            "connection_limit_invalid",
        ),
    ];
    for (setup, cause) in setups {
        let mut case = RecordedCase::approved(setup);
        let plan = MintPlan::new(case.case().grant().unwrap(), case.case().grant().unwrap().approved.approved);
        assert_eq!(world.issuer.preflight(&plan).await.unwrap_err().cause.as_str(), cause);
        let error = world.issuer.mint(&case.authorize(&world.issuer)).await.unwrap_err();
        assert_eq!(error, MintError::Refused { cause: Code::new(cause).unwrap() });
    }
    assert_eq!((world.roles().await, world.prepared().await), (0, 0));
}

#[tokio::test]
async fn another_credential_is_not_taken_back() {
    let (world, mut case) = (World::new("other").await, case(1));
    let (descriptor, _) = world.mint(&mut case).await;
    let (other, _) = world.mint(&mut crate::case(2)).await;
    let authorization = RevokeAuthorization::store_down(code!("test"), now(), &other);
    let error = world.issuer.revoke(&authorization, &descriptor).await.unwrap_err();
    assert_eq!(error, RevokeError::Refused { cause: code!("other_credential") });
    assert_eq!(world.roles().await, 2);
}

#[tokio::test]
async fn a_server_that_is_not_set_up_is_refused_at_once() {
    let world = World::new("setup").await;
    let sql = "CREATE ROLE setup_member LOGIN; CREATE ROLE setup_weak LOGIN CREATEROLE; \
               CREATE ROLE setup_issuer LOGIN CREATEROLE IN ROLE pg_signal_backend";
    world.admin.batch_execute(sql).await.unwrap();
    let config = |user: &str| {
        let mut config = world.server.config();
        config.dbname(world.database.name()).user(user);
        config
    };
    let role = |name: &str| RoleName::new(name).unwrap();
    let refused =
        async |user: &str, group: &str| connect(&config(user), &role(group), &world.prefix).await.unwrap_err();
    for absent in ["nobody_here", "setup_member"] {
        assert_eq!(refused("postgres", absent).await, PostgresIssuerError::Group(role(absent)));
    }
    let group = world.group.as_str();
    assert_eq!(refused("setup_weak", group).await, PostgresIssuerError::CannotEndSessions);
    let member = refused("setup_member", group).await;
    assert_eq!(member, PostgresIssuerError::CannotEndSessions);
    assert!(matches!(refused("not_there", group).await, PostgresIssuerError::Unavailable { .. }));

    // Not a superuser: may give membership in the group once it has been given that right.
    world.admin.batch_execute(&format!("GRANT \"{group}\" TO setup_issuer WITH ADMIN OPTION")).await.unwrap();
    let issuer = connect(&config("setup_issuer"), &world.group, &world.prefix).await.unwrap();
    let world = World { issuer, ..world };
    let (descriptor, secret) = world.mint(&mut case(1)).await;
    let holder = world.log_in(descriptor.serial.as_str(), &secret).await.unwrap();
    holder.batch_execute("CREATE TABLE mine (id int)").await.unwrap();
    let kept = RevokeOutcome::Revoked { finding: code!("role_dropped_objects_kept") };
    assert_eq!(world.revoke(&descriptor).await, kept);
    assert_eq!((world.roles().await, world.sessions().await), (0, 0));
}

#[tokio::test]
async fn an_unreachable_server_has_minted_nothing() {
    let gone = Box::leak(Box::new(TestPostgres::fast()));
    let (world, mut case) = (World::on(gone, "gone").await, case(1));
    let authorization = case.authorize(&world.issuer);
    gone.kill9();
    assert!(matches!(world.issuer.mint(&authorization).await.unwrap_err(), MintError::Failed { .. }));
}
