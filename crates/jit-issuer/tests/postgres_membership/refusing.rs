//! What cannot be served is refused before anything happens.

use jit_issuer::{MintError, MintPlan, RevokeError, postgres::PostgresIssuerError};

use crate::*;

#[tokio::test]
async fn a_plan_that_the_server_cannot_keep_is_refused() {
    let world = World::new().await;
    let sql = format!("ALTER ROLE {} SUPERUSER; ALTER ROLE {} NOLOGIN", world.member(1), world.member(2));
    world.run(&sql).await;
    let condition = Condition {
        id: code!("mfa"),
        value: canonical::Value::parse(b"true").unwrap(),
        enforcement: Enforcement::Target,
    };
    let wider = Scope::new("database:prod".parse().unwrap(), [Action::new("read").unwrap()]).unwrap();
    let person = |issuer: &str, subject: &str| Principal::human(Identity::new(issuer, subject).unwrap());
    let member =
        |seed: u64| CaseSetup { requester: person("idp.example", &world.member(seed)), ..CaseSetup::default() };
    let setups = [
        (CaseSetup { scope: wider, ..member(3) }, "no_role_for_scope"),
        (CaseSetup { conditions: vec![condition], ..member(3) }, "condition_not_enforceable"),
        (CaseSetup { requester: person("elsewhere", &world.member(3)), ..member(3) }, "no_role_for_subject"),
        (CaseSetup { requester: person("idp.example", "a/b"), ..member(3) }, "no_role_for_subject"),
        (CaseSetup { requester: person("idp.example", "nobody_here"), ..member(3) }, "no_such_member"),
        (CaseSetup { requester: person("idp.example", "postgres"), ..member(3) }, "member_is_superuser"),
        (member(1), "member_is_superuser"),
        (member(2), "member_cannot_log_in"),
    ];
    for (setup, cause) in setups {
        let mut case = RecordedCase::approved(setup);
        let plan = MintPlan::new(case.case().grant().unwrap(), case.case().grant().unwrap().approved.approved);
        assert_eq!(world.issuer.preflight(&plan).await.unwrap_err().cause.as_str(), cause);
        let error = world.issuer.mint(&case.authorize(&world.issuer)).await.unwrap_err();
        assert_eq!(error, MintError::Refused { cause: Code::new(cause).unwrap() });
    }
    assert_eq!((world.memberships().await, world.marks().await), (0, 0));
}

#[tokio::test]
async fn another_credential_is_not_taken_back() {
    let world = World::new().await;
    let (one, other) = (world.mint(&mut world.case(1)).await, world.mint(&mut world.case(2)).await);
    let authorization = RevokeAuthorization::store_down(code!("test"), now(), &other);
    let error = world.issuer.revoke(&authorization, &one).await.unwrap_err();
    assert_eq!(error, RevokeError::Refused { cause: code!("other_credential") });
    let strange = CredentialDescriptor { serial: ExternalId::new("nothing").unwrap(), ..other };
    let error = world.issuer.revoke(&authorization, &strange).await.unwrap_err();
    assert_eq!(error, RevokeError::Refused { cause: code!("not_the_name_of_a_membership") });
    assert_eq!(world.memberships().await, 2);
}

#[tokio::test]
async fn a_server_that_is_not_set_up_is_refused_at_once() {
    let world = World::new().await;
    let group = world.group.as_str();
    let weak = format!("weak_{group}");
    world.run(&format!("CREATE ROLE {weak} LOGIN; CREATE ROLE free_{group}")).await;
    let mut config = world.database.config.clone();
    config.user(&weak);
    let refused = async |config: &Config| connect(config, &world.group).await.unwrap_err();
    assert_eq!(refused(&config).await, PostgresMembershipError::CannotGive(world.group.clone()));
    world.run(&format!("GRANT {group} TO {weak} WITH ADMIN OPTION")).await;
    assert_eq!(refused(&config).await, PostgresMembershipError::Marks { cause: code!("sqlstate_42501") });
    // As the documentation says, and not more: it may make no roles, and end no sessions.
    world
        .run(&format!("GRANT USAGE ON SCHEMA jit TO {weak}; GRANT SELECT, INSERT, DELETE ON jit.membership TO {weak}"))
        .await;
    let weakly = connect(&config, &world.group).await.unwrap();
    let cannot_end = PostgresMembershipError::Server(PostgresIssuerError::CannotEndSessions);
    assert_eq!(weakly.cutting_sessions().err(), Some(cannot_end));
    let weakly = connect(&config, &world.group).await.unwrap();
    let world = World { issuer: weakly, ..world };
    let descriptor = world.mint(&mut world.case(1)).await;
    assert!(world.reads(&world.member(1)).await);
    assert_eq!(world.list().await.len(), 1, "the issuer's own role is not listed");
    assert_eq!(world.revoke(&descriptor).await, removed());

    let admin = &world.database.config;
    let (scope, other) = (CaseSetup::default().scope, "database:prod/other".parse().unwrap());
    let other = Scope::new(other, [Action::new("read").unwrap()]).unwrap();
    let name = || IssuerName::new("orders-members").unwrap();
    let twice = GroupRoles::new().with(scope, world.group.clone()).with(other, world.group.clone());
    for (groups, expected) in [
        (twice, PostgresMembershipError::SharedGroup(world.group.clone())),
        (GroupRoles::new(), PostgresIssuerError::NoGroup.into()),
    ] {
        let target = PostgresTarget::new(admin.clone());
        let error = PostgresMembershipIssuer::connect(name(), target, groups, MemberRoles::new()).await.unwrap_err();
        assert_eq!(error, expected);
    }
    let login = RoleName::new(world.member(1)).unwrap();
    assert_eq!(connect(admin, &login).await.unwrap_err(), PostgresIssuerError::Group(login).into());
    world.run("GRANT INSERT ON jit.membership TO PUBLIC").await;
    assert_eq!(connect(admin, &world.group).await.unwrap_err(), PostgresMembershipError::MarksOfEverybody);
    world.run("DROP TABLE jit.membership").await;
    let error = connect(admin, &world.group).await.unwrap_err();
    assert_eq!(error, PostgresMembershipError::Marks { cause: code!("sqlstate_42p01") });
}
