//! What cannot be served is refused before anything happens.

use jit_issuer::{MintError, MintPlan, RevokeError};

use crate::*;

#[tokio::test]
async fn a_plan_that_the_directory_cannot_keep_is_refused() {
    let world = World::new().await;
    world.slapd.modify(&format!(
        "dn: uid=team-{0},ou=people,dc=example,dc=org\nchangetype: add\nobjectClass: groupOfNames\nobjectClass: uidObject\n\
         cn: team\nmember: {NOBODY}\n",
        world.name
    ));
    let condition = Condition {
        id: code!("mfa"),
        value: canonical::Value::parse(b"true").unwrap(),
        enforcement: Enforcement::Target,
    };
    let wider = Scope::new("database:prod".parse().unwrap(), [Action::new("read").unwrap()]).unwrap();
    let of = |issuer: &str, subject: &str| {
        let requester = Principal::human(Identity::new(issuer, subject).unwrap());
        CaseSetup { requester, ..CaseSetup::default() }
    };
    let setups = [
        (CaseSetup { scope: wider, ..of("idp.example", "u1") }, "no_group_for_scope"),
        (CaseSetup { conditions: vec![condition], ..of("idp.example", "u1") }, "condition_not_enforceable"),
        (of("elsewhere", "u1"), "no_entry_for_subject"),
        (of("idp.example", "U1"), "no_entry_for_subject"),
        (of("idp.example", "nobody-here"), "no_such_member"),
        (of("idp.example", &format!("team-{}", world.name)), "member_is_a_group"),
    ];
    for (setup, cause) in setups {
        let mut case = RecordedCase::approved(setup);
        let plan = MintPlan::new(case.case().grant().unwrap(), case.case().grant().unwrap().approved.approved);
        assert_eq!(world.issuer.preflight(&plan).await.unwrap_err().cause.as_str(), cause);
        let error = world.issuer.mint(&case.authorize(&world.issuer)).await.unwrap_err();
        assert_eq!(error, MintError::Refused { cause: Code::new(cause).unwrap() });
    }
    assert_eq!((world.members(), world.marks().len()), (vec![NOBODY.to_owned()], 0));
}

#[tokio::test]
async fn another_credential_is_not_taken_back() {
    let world = World::new().await;
    let (one, other) = (world.mint(&mut case(1)).await, world.mint(&mut case(2)).await);
    let authorization = RevokeAuthorization::store_down(code!("test"), other.window.start(), &other);
    let refused = |cause| Err(RevokeError::Refused { cause });
    assert_eq!(world.issuer.revoke(&authorization, &one).await, refused(code!("other_credential")));
    for (serial, cause) in [
        ("nothing", code!("not_the_name_of_a_membership")),
        ("5d7fbd2e-5cbb-103f-8b2b-1f6d1c6b5c3a/uid=u2", code!("group_not_managed")),
    ] {
        let strange = CredentialDescriptor { serial: ExternalId::new(serial).unwrap(), ..other.clone() };
        assert_eq!(world.issuer.revoke(&authorization, &strange).await, refused(cause));
    }
    assert_eq!(world.members().len(), 3);
}

#[tokio::test]
async fn a_directory_that_is_not_set_up_is_refused_at_once() {
    let world = World::new().await;
    let port = world.slapd.port();
    let refused = async |groups| connect(target(port), groups).await.unwrap_err();
    assert_eq!(refused(ManagedGroups::new()).await, LdapIssuerError::NoGroup);
    let absent = dn("cn=absent,ou=groups,dc=example,dc=org");
    assert_eq!(refused(managed("absent", world.uuid)).await, LdapIssuerError::NoSuchGroup(absent));
    let another = "5d7fbd2e-5cbb-103f-8b2b-1f6d1c6b5c3a".parse().unwrap();
    let group = dn(&world.group());
    let expected = LdapIssuerError::AnotherGroup { group: group.clone(), found: Some(world.uuid) };
    assert_eq!(refused(managed(&world.name, another)).await, expected);

    world.change("add", "member", &member(1));
    world.change("delete", "member", NOBODY);
    let groups = || managed(&world.name, world.uuid);
    assert_eq!(refused(groups()).await, LdapIssuerError::NoPlaceholder(group.clone()));
    let name = || IssuerName::new("staff-groups").unwrap();
    let empty = LdapGroupIssuer::connect(name(), target(port), groups(), GroupShape::may_be_empty(), people());
    assert_eq!(empty.await.unwrap_err(), LdapIssuerError::NoPlaceholder(group.clone()));
    world.change("add", "member", NOBODY);

    let elsewhere = GroupShape::group_of_names(dn(NOBODY)).with_marks_in("noSuchAttribute");
    let error = LdapGroupIssuer::connect(name(), target(port), groups(), elsewhere, people()).await.unwrap_err();
    let cause = code!("ldap_17");
    assert_eq!(
        error,
        LdapIssuerError::CannotChange { group: group.clone(), attribute: "noSuchAttribute".into(), cause }
    );
    // A person may look, and no more.
    let nosy = LdapTarget::new("127.0.0.1", port, LdapSecurity::Loopback, dn(&member(1)), password());
    let error = connect(nosy, groups()).await.unwrap_err();
    assert_eq!(error, LdapIssuerError::CannotChange { group, attribute: "member".into(), cause: code!("ldap_50") });
}
