//! Roles on a real PostgreSQL: made in two phases, used, taken back, found after a crash.
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
mod making;
mod refusing;
mod skew;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use jit_core::*;
use jit_issuer::{
    CredentialIssuer, MintAuthorization, Minted, Minting, Prepared, RevokeAuthorization, RevokeOutcome,
    postgres::{GroupRoles, PostgresIssuer, PostgresTarget, RoleName, RolePrefix},
};
use jit_testkit::{CaseSetup, RecordedCase, SeededEntropy, TestDatabase, TestPostgres};
use tokio_postgres::{Client, Config, NoTls};

/// The server that the tests share: with prepared transactions, and a log of every statement.
pub fn server() -> &'static TestPostgres {
    static SERVER: OnceLock<TestPostgres> = OnceLock::new();
    let settings = ["fsync=off", "full_page_writes=off", "max_prepared_transactions=20", "log_statement=all"];
    SERVER.get_or_init(|| TestPostgres::with_settings(&settings))
}

/// Another one, without prepared transactions.
pub fn plain() -> &'static TestPostgres {
    static SERVER: OnceLock<TestPostgres> = OnceLock::new();
    SERVER.get_or_init(|| TestPostgres::with_settings(&["fsync=off", "max_prepared_transactions=0"]))
}

/// A database with a table that members of a group may read, and an issuer for it.
pub struct World {
    pub server: &'static TestPostgres,
    pub database: TestDatabase,
    pub admin: Client,
    pub group: RoleName,
    pub prefix: RolePrefix,
    pub issuer: PostgresIssuer,
}

impl World {
    pub async fn new(name: &str) -> Self {
        Self::on(server(), name).await
    }

    /// Roles belong to the server: `name` keeps those of one test from those of another.
    pub async fn on(server: &'static TestPostgres, name: &str) -> Self {
        let database = server.database().await;
        let admin = database.connect().await;
        let group = RoleName::new(format!("readers_{name}")).unwrap();
        let sql = format!(
            "CREATE TABLE orders (id int); INSERT INTO orders VALUES (42); CREATE ROLE {0}; GRANT SELECT ON orders TO {0}; \
             GRANT CREATE ON SCHEMA public TO {0}",
            group.as_str()
        );
        admin.batch_execute(&sql).await.unwrap();
        let prefix = RolePrefix::new(format!("t_{name}")).unwrap();
        let mut config = server.config();
        config.dbname(database.name());
        let issuer = connect(&config, &group, &prefix).await.unwrap();
        Self { server, database, admin, group, prefix, issuer }
    }

    pub async fn scalar(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub async fn roles(&self) -> i64 {
        self.scalar(&format!("SELECT count(*) FROM pg_roles WHERE rolname LIKE '{}'", self.like())).await
    }

    pub async fn sessions(&self) -> i64 {
        self.scalar(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE '{}'", self.like())).await
    }

    pub async fn prepared(&self) -> i64 {
        let database = self.database.name();
        self.scalar(&format!("SELECT count(*) FROM pg_prepared_xacts WHERE database = '{database}'")).await
    }

    fn like(&self) -> String {
        self.prefix.role(CredentialId::v8([0; 16])).as_str().split("_0000").next().unwrap().replace('_', "\\_") + "\\_%"
    }

    /// Logs in over TCP, where a password is asked for.
    pub async fn log_in(&self, role: &str, password: &[u8]) -> Result<Client, tokio_postgres::Error> {
        let mut config = self.server.tcp_config();
        config.dbname(self.database.name()).user(role).password(password);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Mints to the end, and gives the secret as its caller gets it.
    pub async fn mint(&self, case: &mut RecordedCase) -> (CredentialDescriptor, Vec<u8>) {
        let authorization = case.authorize(&self.issuer);
        let minted = match self.issuer.mint(&authorization).await.unwrap() {
            Minting::Done(minted) => minted,
            Minting::Prepared(prepared) => {
                let recorded = case.prepared(prepared.descriptor());
                self.issuer.commit(prepared, &recorded).await.unwrap()
            }
        };
        let Minted { descriptor, secret } = minted;
        let issued = case.issued(&descriptor);
        let secret = secret.unwrap().open(&issued).unwrap();
        (descriptor, secret.expose().to_vec())
    }

    pub async fn prepare(&self, case: &mut RecordedCase) -> (MintAuthorization, Prepared) {
        let authorization = case.authorize(&self.issuer);
        let Minting::Prepared(prepared) = self.issuer.mint(&authorization).await.unwrap() else { panic!("done") };
        (authorization, prepared)
    }

    pub async fn revoke(&self, descriptor: &CredentialDescriptor) -> RevokeOutcome {
        let authorization = RevokeAuthorization::store_down(code!("test"), now(), descriptor);
        self.issuer.revoke(&authorization, descriptor).await.unwrap()
    }
}

pub async fn connect(
    config: &Config,
    group: &RoleName,
    prefix: &RolePrefix,
) -> Result<PostgresIssuer, jit_issuer::postgres::PostgresIssuerError> {
    let groups = GroupRoles::new().with(CaseSetup::default().scope, group.clone());
    let target = PostgresTarget::new(config.clone());
    let name = IssuerName::new("orders-db").unwrap();
    PostgresIssuer::connect(name, target, groups, prefix.clone(), Arc::new(SeededEntropy::new(9))).await
}

/// The server's clock is real, so windows are.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
}

/// An approved case for the hour that begins now.
pub fn case(seed: u64) -> RecordedCase {
    let window = Window::new(now(), now().saturating_add(Duration::from_secs(3600))).unwrap();
    RecordedCase::approved(CaseSetup { seed, window, ..CaseSetup::default() })
}
