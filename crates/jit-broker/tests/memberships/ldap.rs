//! The target is a directory, in which each test has a group.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

use jit_issuer::ldap::{
    GroupShape, LdapGroupIssuer, LdapSecurity, LdapTarget, ManagedGroup, ManagedGroups, MemberNames,
};
use jit_testkit::TestSlapd;

use super::*;

const NOBODY: &str = "cn=nobody,dc=example,dc=org";

/// The directory that the tests share, with its people.
fn slapd() -> &'static TestSlapd {
    static SERVER: OnceLock<TestSlapd> = OnceLock::new();
    SERVER.get_or_init(|| {
        let slapd = TestSlapd::new();
        for who in ["alice", "dave"] {
            slapd.modify(&format!(
                "dn: {}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: {who}\nsn: {who}\nuserPassword: {}\n",
                entry(who),
                TestSlapd::PASSWORD
            ));
        }
        slapd
    })
}

fn entry(who: &str) -> String {
    format!("uid={who},ou=people,dc=example,dc=org")
}

struct OnSlapd {
    group: String,
    issuers: [Arc<LdapGroupIssuer>; 2],
}

impl OnSlapd {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let group = format!("cn=g{},ou=groups,dc=example,dc=org", NEXT.fetch_add(1, Ordering::SeqCst));
        slapd().modify(&format!("dn: {group}\nchangetype: add\nobjectClass: groupOfNames\nmember: {NOBODY}\n"));
        let issuers = [Arc::new(issuer(&group, Strays::Report).await), Arc::new(issuer(&group, Strays::Remove).await)];
        Self { group, issuers }
    }

    fn change(&self, act: &str, who: &str) {
        let (group, entry) = (&self.group, entry(who));
        slapd().modify(&format!("dn: {group}\nchangetype: modify\n{act}: member\nmember: {entry}\n"));
    }
}

async fn issuer(group: &str, strays: Strays) -> LdapGroupIssuer {
    let uuid = slapd().values(group, "entryUUID", TestSlapd::ADMIN).unwrap()[0].parse().unwrap();
    let managed = ManagedGroup::new(group.parse().unwrap(), uuid);
    let password = zeroize::Zeroizing::new(TestSlapd::PASSWORD.to_owned());
    let service = TestSlapd::SERVICE.parse().unwrap();
    let issuer = LdapGroupIssuer::connect(
        IssuerName::new("staff-groups").unwrap(),
        LdapTarget::new("127.0.0.1", slapd().port(), LdapSecurity::Loopback, service, password),
        ManagedGroups::new().with(scope(ORDERS, "read"), managed),
        GroupShape::group_of_names(NOBODY.parse().unwrap()),
        MemberNames::new()
            .of_issuer(Issuer::new("idp").unwrap(), "uid", "ou=people,dc=example,dc=org".parse().unwrap())
            .unwrap(),
    );
    issuer.await.unwrap().with_strays(strays)
}

#[async_trait]
impl Target for OnSlapd {
    fn issuer(&self, strays: Strays) -> Arc<dyn CredentialIssuer> {
        let [report, remove] = &self.issuers;
        if strays == Strays::Remove { remove.clone() } else { report.clone() }
    }

    async fn is_member(&self, who: &str) -> bool {
        slapd().values(&self.group, "member", TestSlapd::ADMIN).unwrap().contains(&entry(who))
    }

    async fn add(&self, who: &str) {
        self.change("add", who);
    }

    async fn remove(&self, who: &str) {
        self.change("delete", who);
    }
}

#[tokio::test]
async fn the_last_of_two_grants_takes_the_membership() {
    super::the_last_of_two_grants_takes_the_membership(OnSlapd::new().await).await;
}

#[tokio::test]
async fn what_stood_before_a_grant_stands_after_it() {
    super::what_stood_before_a_grant_stands_after_it(OnSlapd::new().await).await;
}

#[tokio::test]
async fn what_somebody_removed_ends_the_grant() {
    super::what_somebody_removed_ends_the_grant(OnSlapd::new().await).await;
}

#[tokio::test]
async fn what_somebody_added_is_found_and_removed_if_configured() {
    super::what_somebody_added_is_found_and_removed_if_configured(OnSlapd::new().await).await;
}

#[tokio::test]
async fn a_mint_that_is_not_recorded_yet_is_no_orphan() {
    super::a_mint_that_is_not_recorded_yet_is_no_orphan(OnSlapd::new().await).await;
}
