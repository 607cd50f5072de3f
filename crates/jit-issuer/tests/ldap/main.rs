//! Memberships in groups of a real OpenLDAP: given, used, taken back, told from what others made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

mod conformance;
mod connecting;
mod ending;
mod finding;
mod giving;
mod proxy;
mod refusing;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jit_core::*;
use jit_issuer::{
    CredentialIssuer, Found, Minted, Minting, Observed, ReconcileQuery, RevokeAuthorization, RevokeOutcome,
    ldap::{
        Dn, EntryUuid, GroupShape, LdapGroupIssuer, LdapIssuerError, LdapSecurity, LdapTarget, ManagedGroup,
        ManagedGroups, MemberNames,
    },
    membership::Strays,
};
use jit_testkit::{CaseSetup, RecordedCase, TestSlapd};
use zeroize::Zeroizing;

/// A person for each seed.
pub const PEOPLE: u64 = 64;
pub const NOBODY: &str = "cn=nobody,dc=example,dc=org";

/// The directory that the tests share, with its people.
pub fn slapd() -> &'static TestSlapd {
    static SERVER: OnceLock<TestSlapd> = OnceLock::new();
    SERVER.get_or_init(|| peopled(TestSlapd::new()))
}

pub fn peopled(slapd: TestSlapd) -> TestSlapd {
    let person = |seed: u64| {
        format!(
            "dn: {}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: {seed}\nsn: {seed}\nuserPassword: {}\n\n",
            member(seed),
            TestSlapd::PASSWORD
        )
    };
    slapd.modify(&(0..=PEOPLE).chain([1000]).map(person).collect::<String>());
    slapd
}

pub fn member(seed: u64) -> String {
    format!("uid=u{seed},ou=people,dc=example,dc=org")
}

pub fn dn(text: &str) -> Dn {
    text.parse().unwrap()
}

/// A group, a vault that its members may read, and an issuer for it.
pub struct World {
    pub slapd: &'static TestSlapd,
    pub issuer: LdapGroupIssuer,
    pub uuid: EntryUuid,
    pub name: String,
}

impl World {
    pub async fn new() -> Self {
        Self::on(slapd()).await
    }

    pub async fn on(slapd: &'static TestSlapd) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("g{}", NEXT.fetch_add(1, Ordering::SeqCst));
        slapd.modify(&format!(
            "dn: cn={name},ou=groups,dc=example,dc=org\nchangetype: add\nobjectClass: groupOfNames\nmember: {NOBODY}\n\
             description: Readers of the vault\n\n\
             dn: cn={name},ou=vaults,dc=example,dc=org\nchangetype: add\nobjectClass: applicationProcess\ndescription: open\n"
        ));
        let uuid = entry_uuid(slapd, &format!("cn={name},ou=groups,dc=example,dc=org"));
        let issuer = connect(target(slapd.port()), managed(&name, uuid)).await.unwrap();
        Self { slapd, issuer, uuid, name }
    }

    pub fn group(&self) -> String {
        format!("cn={},ou=groups,dc=example,dc=org", self.name)
    }

    pub fn serial(&self, seed: u64) -> String {
        format!("{}/{}", self.uuid, member(seed))
    }

    /// The issuer with something else.
    pub fn with(self, change: impl FnOnce(LdapGroupIssuer) -> LdapGroupIssuer) -> Self {
        Self { issuer: change(self.issuer), ..self }
    }

    /// Whether somebody who logs in now can read the vault.
    pub fn reads(&self, seed: u64) -> bool {
        let vault = format!("cn={},ou=vaults,dc=example,dc=org", self.name);
        self.slapd.values(&vault, "description", &member(seed)).is_some_and(|found| found == ["open"])
    }

    pub fn members(&self) -> Vec<String> {
        self.slapd.values(&self.group(), "member", TestSlapd::ADMIN).unwrap()
    }

    pub fn marks(&self) -> Vec<String> {
        let mut marks = self.slapd.values(&self.group(), "description", TestSlapd::ADMIN).unwrap();
        marks.retain(|text| text.starts_with("jit:"));
        marks
    }

    /// Changes values of the group as its administrator.
    pub fn change(&self, act: &str, attribute: &str, value: &str) {
        let group = self.group();
        self.slapd.modify(&format!("dn: {group}\nchangetype: modify\n{act}: {attribute}\n{attribute}: {value}\n"));
    }

    pub async fn mint(&self, case: &mut RecordedCase) -> CredentialDescriptor {
        let authorization = case.authorize(&self.issuer);
        let Minting::Done(Minted { descriptor, secret: None }) = self.issuer.mint(&authorization).await.unwrap() else {
            panic!("prepared, or with a secret")
        };
        let _ = case.issued(&descriptor);
        descriptor
    }

    pub async fn revoke(&self, descriptor: &CredentialDescriptor) -> RevokeOutcome {
        let authorization = RevokeAuthorization::store_down(code!("test"), descriptor.window.start(), descriptor);
        self.issuer.revoke(&authorization, descriptor).await.unwrap()
    }

    pub async fn look(&self, case: &RecordedCase, credential: CredentialId) -> Observed {
        self.issuer.reconcile(&query(case, credential)).await.unwrap()
    }

    pub async fn list(&self) -> Vec<Found> {
        self.issuer.list(Timestamp::EPOCH, None).await.unwrap().found
    }
}

/// The first case of somebody.
pub fn case(seed: u64) -> RecordedCase {
    case_of(seed, seed)
}

/// One of several cases of one person.
pub fn case_of(seed: u64, person: u64) -> RecordedCase {
    let requester = Principal::human(Identity::new("idp.example", format!("u{person}")).unwrap());
    RecordedCase::approved(CaseSetup { seed, requester, ..CaseSetup::default() })
}

pub fn query(case: &RecordedCase, credential: CredentialId) -> ReconcileQuery {
    ReconcileQuery::new(credential, case.case().credentials()[&credential].intended.clone())
}

pub fn removed() -> RevokeOutcome {
    RevokeOutcome::Revoked { finding: code!("membership_removed") }
}

pub fn entry_uuid(slapd: &TestSlapd, entry: &str) -> EntryUuid {
    slapd.values(entry, "entryUUID", TestSlapd::ADMIN).unwrap()[0].parse().unwrap()
}

pub fn managed(name: &str, uuid: EntryUuid) -> ManagedGroups {
    let group = ManagedGroup::new(dn(&format!("cn={name},ou=groups,dc=example,dc=org")), uuid);
    ManagedGroups::new().with(CaseSetup::default().scope, group)
}

pub fn password() -> Zeroizing<String> {
    Zeroizing::new(TestSlapd::PASSWORD.to_owned())
}

pub fn target(port: u16) -> LdapTarget {
    LdapTarget::new("127.0.0.1", port, LdapSecurity::Loopback, dn(TestSlapd::SERVICE), password())
}

pub fn people() -> MemberNames {
    let issuer = Issuer::new("idp.example").unwrap();
    MemberNames::new().of_issuer(issuer, "uid", dn("ou=people,dc=example,dc=org")).unwrap()
}

pub async fn connect(target: LdapTarget, groups: ManagedGroups) -> Result<LdapGroupIssuer, LdapIssuerError> {
    let name = IssuerName::new("staff-groups").unwrap();
    LdapGroupIssuer::connect(name, target, groups, GroupShape::group_of_names(dn(NOBODY)), people()).await
}
