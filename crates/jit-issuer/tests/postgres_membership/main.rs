//! Memberships on a real PostgreSQL: given to a role that stands, used, taken back, told from what others made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod conformance;
mod ending;
mod finding;
mod giving;
mod refusing;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use jit_core::*;
use jit_issuer::{
    CredentialIssuer, Found, Minted, Minting, ObserveError, Observed, ReconcileQuery, RevokeAuthorization,
    RevokeOutcome,
    membership::Strays,
    postgres::{
        GroupRoles, PostgresTarget, RoleName,
        membership::{MARKS_TABLE, MemberRoles, PostgresMembershipError, PostgresMembershipIssuer},
    },
};
use jit_testkit::{CaseSetup, RecordedCase, TestDatabase, TestPostgres};
use tokio_postgres::{Client, Config, NoTls};

/// Members of every world, one for each seed.
pub const MEMBERS: u64 = 64;

/// The server that the tests share. Roles belong to all of it.
pub fn server() -> &'static TestPostgres {
    static SERVER: OnceLock<TestPostgres> = OnceLock::new();
    SERVER.get_or_init(|| TestPostgres::with_settings(&["fsync=off", "full_page_writes=off"]))
}

/// A database with a table that members of a group may read, members-to-be, and an issuer for it.
pub struct World {
    pub database: TestDatabase,
    pub admin: Client,
    pub group: RoleName,
    pub issuer: PostgresMembershipIssuer,
    name: String,
}

impl World {
    pub async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("w{}", NEXT.fetch_add(1, Ordering::SeqCst));
        let database = server().database().await;
        let admin = database.connect().await;
        let group = RoleName::new(format!("readers_{name}")).unwrap();
        let sql = format!(
            "{MARKS_TABLE} CREATE TABLE orders (id int); INSERT INTO orders VALUES (42); CREATE ROLE {0}; \
             GRANT SELECT ON orders TO {0}; \
             DO $$ BEGIN FOR n IN 0..{MEMBERS} LOOP EXECUTE format('CREATE ROLE %I LOGIN', '{name}_' || n); END LOOP; END $$; \
             CREATE ROLE {name}_1000 LOGIN",
            group.as_str()
        );
        admin.batch_execute(&sql).await.unwrap();
        let issuer = connect(&database.config, &group).await.unwrap();
        Self { database, admin, group, issuer, name }
    }

    /// The login role of the recipient of the case of this seed.
    pub fn member(&self, seed: u64) -> String {
        format!("{}_{seed}", self.name)
    }

    /// An approved case, for the hour that begins now, of the member of this seed.
    pub fn case(&self, seed: u64) -> RecordedCase {
        self.case_of(seed, seed)
    }

    /// One of several cases of one member.
    pub fn case_of(&self, seed: u64, member: u64) -> RecordedCase {
        let requester = Principal::human(Identity::new("idp.example", self.member(member)).unwrap());
        RecordedCase::approved(CaseSetup { seed, window: hour(), requester, ..CaseSetup::default() })
    }

    pub async fn log_in(&self, member: &str) -> Client {
        let mut config = self.database.config.clone();
        config.user(member);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Whether whoever logs in as the member now can read the table.
    pub async fn reads(&self, member: &str) -> bool {
        self.log_in(member).await.query("SELECT id FROM orders", &[]).await.is_ok()
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
        let authorization = RevokeAuthorization::store_down(code!("test"), now(), descriptor);
        self.issuer.revoke(&authorization, descriptor).await.unwrap()
    }

    /// The session that minted may be there a moment longer; then nothing is found out.
    pub async fn look(&self, case: &RecordedCase, credential: CredentialId) -> Observed {
        loop {
            match self.issuer.reconcile(&query(case, credential)).await {
                Ok(observed) => return observed,
                Err(error) => assert_eq!(error, ObserveError::Unknown { cause: code!("mint_under_way") }),
            }
        }
    }

    pub async fn list(&self) -> Vec<Found> {
        let page = self.issuer.list(Timestamp::EPOCH, None).await.unwrap();
        assert_eq!(page.next, None);
        page.found
    }

    pub async fn run(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap();
    }

    pub async fn scalar(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub async fn marks(&self) -> i64 {
        self.scalar("SELECT count(*) FROM jit.membership").await
    }

    pub async fn memberships(&self) -> i64 {
        let group = self.group.as_str();
        self.scalar(&format!("SELECT count(*) FROM pg_auth_members WHERE roleid = '{group}'::regrole")).await
    }
}

pub fn query(case: &RecordedCase, credential: CredentialId) -> ReconcileQuery {
    ReconcileQuery::new(credential, case.case().credentials()[&credential].intended.clone())
}

pub async fn connect(config: &Config, group: &RoleName) -> Result<PostgresMembershipIssuer, PostgresMembershipError> {
    let groups = GroupRoles::new().with(CaseSetup::default().scope, group.clone());
    let members = MemberRoles::new().of_issuer(Issuer::new("idp.example").unwrap());
    let name = IssuerName::new("orders-members").unwrap();
    PostgresMembershipIssuer::connect(name, PostgresTarget::new(config.clone()), groups, members).await
}

/// The server's clock is real, so windows are.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
}

pub fn hour() -> Window {
    Window::new(now(), now().saturating_add(Duration::from_secs(3600))).unwrap()
}

pub fn removed() -> RevokeOutcome {
    RevokeOutcome::Revoked { finding: code!("membership_removed") }
}

pub fn issuer(world: World, change: impl FnOnce(PostgresMembershipIssuer) -> PostgresMembershipIssuer) -> World {
    World { issuer: change(world.issuer), ..world }
}
