//! The target is a PostgreSQL server, on which roles are those of one test.

use std::sync::atomic::{AtomicU32, Ordering};

use jit_issuer::postgres::{
    GroupRoles, PostgresTarget, RoleName,
    membership::{MARKS_TABLE, MemberRoles, PostgresMembershipIssuer},
};
use jit_testkit::{TestDatabase, TestPostgres};
use tokio_postgres::Client;

use super::*;

struct OnPostgres {
    database: TestDatabase,
    admin: Client,
    issuers: [Arc<PostgresMembershipIssuer>; 2],
    name: String,
}

impl OnPostgres {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("m{}", NEXT.fetch_add(1, Ordering::SeqCst));
        let database = TestPostgres::shared().database().await;
        let admin = database.connect().await;
        let sql = format!(
            "{MARKS_TABLE} CREATE ROLE readers_{name}; CREATE ROLE alice_{name} LOGIN; CREATE ROLE dave_{name} LOGIN"
        );
        admin.batch_execute(&sql).await.unwrap();
        let issuers = [
            Arc::new(issuer(&database, &name, Strays::Report).await),
            Arc::new(issuer(&database, &name, Strays::Remove).await),
        ];
        Self { database, admin, issuers, name }
    }

    async fn run(&self, sql: String) {
        self.admin.batch_execute(&sql).await.unwrap();
    }
}

async fn issuer(database: &TestDatabase, name: &str, strays: Strays) -> PostgresMembershipIssuer {
    let role = |who: &str| RoleName::new(format!("{who}_{name}")).unwrap();
    let groups = GroupRoles::new().with(scope(ORDERS, "read"), role("readers"));
    let members = MemberRoles::new().with(person("alice").id(), role("alice")).with(person("dave").id(), role("dave"));
    let target = PostgresTarget::new(database.config.clone());
    let issuer = IssuerName::new("orders-members").unwrap();
    PostgresMembershipIssuer::connect(issuer, target, groups, members).await.unwrap().with_strays(strays)
}

#[async_trait]
impl Target for OnPostgres {
    fn issuer(&self, strays: Strays) -> Arc<dyn CredentialIssuer> {
        let [report, remove] = &self.issuers;
        if strays == Strays::Remove { remove.clone() } else { report.clone() }
    }

    async fn is_member(&self, who: &str) -> bool {
        let mut config = self.database.config.clone();
        config.user(format!("{who}_{}", self.name));
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql = format!("SELECT pg_has_role('readers_{}', 'USAGE')", self.name);
        client.query_one(&sql, &[]).await.unwrap().get(0)
    }

    async fn add(&self, who: &str) {
        self.run(format!("GRANT readers_{0} TO {who}_{0}", self.name)).await;
    }

    async fn remove(&self, who: &str) {
        self.run(format!("REVOKE readers_{0} FROM {who}_{0}", self.name)).await;
    }
}

#[tokio::test]
async fn the_last_of_two_grants_takes_the_membership() {
    super::the_last_of_two_grants_takes_the_membership(OnPostgres::new().await).await;
}

#[tokio::test]
async fn what_stood_before_a_grant_stands_after_it() {
    super::what_stood_before_a_grant_stands_after_it(OnPostgres::new().await).await;
}

#[tokio::test]
async fn what_somebody_removed_ends_the_grant() {
    super::what_somebody_removed_ends_the_grant(OnPostgres::new().await).await;
}

#[tokio::test]
async fn what_somebody_added_is_found_and_removed_if_configured() {
    super::what_somebody_added_is_found_and_removed_if_configured(OnPostgres::new().await).await;
}

#[tokio::test]
async fn a_mint_that_is_not_recorded_yet_is_no_orphan() {
    super::a_mint_that_is_not_recorded_yet_is_no_orphan(OnPostgres::new().await).await;
}
