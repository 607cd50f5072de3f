//! The conformance suite, on a server with prepared transactions and on one without.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use jit_testkit::conformance::issuer::IssuerFactory;

use crate::*;

/// Issuers of a server, whose roles are told apart by a prefix for each case.
struct OnPostgres(&'static TestPostgres);

#[async_trait]
impl IssuerFactory for OnPostgres {
    type Target = World;

    async fn fresh(&self) -> World {
        static CASES: AtomicU32 = AtomicU32::new(0);
        World::on(self.0, &format!("case_{}", CASES.fetch_add(1, Ordering::SeqCst))).await
    }

    async fn issuer(&self, world: &World) -> Arc<dyn CredentialIssuer> {
        let mut config = world.server.config();
        config.dbname(world.database.name());
        Arc::new(connect(&config, &world.group, &world.prefix).await.unwrap())
    }

    fn setup(&self, seed: u64) -> CaseSetup {
        let window = Window::new(now(), now().saturating_add(Duration::from_secs(3600))).unwrap();
        CaseSetup { seed, window, ..CaseSetup::default() }
    }

    async fn opens(&self, world: &World, credential: &CredentialDescriptor, secret: Option<&[u8]>) -> Option<bool> {
        let role = world.prefix.role(credential.id);
        if let Some(password) = secret {
            return Some(world.log_in(role.as_str(), password).await.is_ok());
        }
        let sql = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname = $1";
        Some(world.admin.query_one(sql, &[&role.as_str()]).await.unwrap().get::<_, i64>(0) > 0)
    }
}

mod preparing {
    jit_testkit::issuer_conformance!(super::OnPostgres(crate::server()));
}

mod plain {
    jit_testkit::issuer_conformance!(super::OnPostgres(crate::plain()));
}
