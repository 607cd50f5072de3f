//! What a grant gives, and what the directory shows of it.

use jit_issuer::CredentialReason;

use crate::*;

#[tokio::test]
async fn a_member_reads_what_the_group_may_read() {
    let (world, mut case) = (World::new().await, case(1));
    assert!(!world.reads(1));
    let authorization = case.authorize(&world.issuer);
    let Minting::Done(minted) = world.issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    assert!(minted.secret.is_none());
    assert!(world.reads(1) && !world.reads(2));
    assert_eq!(world.members(), [NOBODY.to_owned(), member(1)]);
    let descriptor = minted.descriptor;
    assert_eq!((descriptor.serial.as_str(), descriptor.window), (world.serial(1).as_str(), authorization.issued()));
    let reason = CredentialReason::of(&authorization);
    let mark = format!("jit:staff-groups {} granted {reason} {}", descriptor.id, member(1));
    assert_eq!(world.marks(), [mark]);
    let described = world.slapd.values(&world.group(), "description", TestSlapd::ADMIN).unwrap();
    assert!(described.contains(&"Readers of the vault".to_owned()), "what others wrote stays");
}

#[tokio::test]
async fn what_is_minted_twice_is_one_membership() {
    let (world, mut case) = (World::new().await, case(1));
    let authorization = case.authorize(&world.issuer);
    let Minting::Done(first) = world.issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let Minting::Done(second) = world.issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    assert_eq!(first.descriptor, second.descriptor);
    assert_eq!((world.members().len(), world.marks().len()), (2, 1));
}

#[tokio::test]
async fn grants_that_overlap_have_one_membership_and_a_mark_each() {
    let world = World::new().await;
    let (mut one, mut other) = (case_of(1, 7), case_of(2, 7));
    let (a, b) = (world.mint(&mut one).await, world.mint(&mut other).await);
    assert_eq!(a.serial, b.serial);
    assert_ne!(a.fingerprint, b.fingerprint);
    assert_eq!((world.members().len(), world.marks().len()), (2, 2));
    // Whoever takes one back has made sure that no other is live.
    assert_eq!(world.revoke(&a).await, removed());
    assert_eq!((world.members().len(), world.marks().len()), (1, 0));
    assert_eq!(world.look(&other, b.id).await, Observed::Gone);
    assert_eq!(world.revoke(&b).await, RevokeOutcome::AlreadyGone);
}

#[tokio::test]
async fn who_was_a_member_before_stays_one() {
    let world = World::new().await;
    // As somebody else spelled it.
    world.change("add", "member", "UID=U1, OU=People,dc=example,dc=org");
    let (mut one, mut other) = (case_of(1, 1), case_of(2, 1));
    let a = world.mint(&mut one).await;
    assert_eq!(a.serial.as_str(), format!("already_member:{}", world.serial(1)));
    assert_eq!(world.look(&one, a.id).await, Observed::Exists(Box::new(a.clone())));
    let b = world.mint(&mut other).await;
    assert_eq!(a.serial, b.serial);
    let left = RevokeOutcome::Revoked { finding: code!("already_member") };
    assert_eq!(world.revoke(&b).await, left);
    assert!(world.reads(1));
    assert_eq!(world.marks(), Vec::<String>::new());
    assert_eq!(world.revoke(&a).await, left);
    let c = world.mint(&mut case_of(3, 1)).await;
    world.change("delete", "member", &member(1));
    assert_eq!(world.revoke(&c).await, RevokeOutcome::AlreadyGone);
}

#[tokio::test]
async fn what_somebody_took_away_is_given_anew_and_counts_as_given() {
    let world = World::new().await;
    let (mut one, mut other) = (case_of(1, 1), case_of(2, 1));
    let a = world.mint(&mut one).await;
    world.change("delete", "member", &member(1));
    let b = world.mint(&mut other).await;
    assert_eq!(world.look(&one, a.id).await, Observed::Gone, "the first was taken away, and stays so on record");
    assert_eq!(world.look(&other, b.id).await, Observed::Exists(Box::new(b.clone())));
    assert_eq!(world.marks().len(), 1);
    assert_eq!(world.revoke(&b).await, removed());
}

#[tokio::test]
async fn a_name_that_means_something_to_ldap_is_a_name_like_any_other() {
    let world = World::new().await;
    // RFC 4514 has `#` in the beginning escaped, and RFC 4515 has parentheses and `*` mean something in filters.
    let issuer = Issuer::new("idp.example").unwrap();
    let odd = dn("ou=people,dc=example,dc=org").child("uid", "#o,ou=admins+(cn=*)\\").unwrap();
    world.slapd.modify(&format!(
        "dn: {odd}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: odd\nsn: odd\nuserPassword: {}\n",
        TestSlapd::PASSWORD
    ));
    let recipient = PrincipalId::Identity(Identity::new(issuer.as_str(), "odd").unwrap());
    let members = MemberNames::new().with(recipient, odd.clone());
    let name = IssuerName::new("staff-groups").unwrap();
    let shape = GroupShape::group_of_names(dn(NOBODY));
    let groups = managed(&world.name, world.uuid);
    let issuer = LdapGroupIssuer::connect(name, target(world.slapd.port()), groups, shape, members).await.unwrap();
    let world = world.with(|_| issuer);
    let requester = Principal::human(Identity::new("idp.example", "odd").unwrap());
    let mut case = RecordedCase::approved(CaseSetup { requester, ..CaseSetup::default() });
    let descriptor = world.mint(&mut case).await;
    let vault = format!("cn={},ou=vaults,dc=example,dc=org", world.name);
    let reads = || world.slapd.values(&vault, "description", &odd.to_string()).is_some();
    assert!(reads());
    assert_eq!(world.look(&case, descriptor.id).await, Observed::Exists(Box::new(descriptor.clone())));
    assert_eq!(world.list().await[0].serial, descriptor.serial);
    assert_eq!(world.revoke(&descriptor).await, removed());
    assert!(!reads());
}
