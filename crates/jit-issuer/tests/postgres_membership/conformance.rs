//! The conformance suite. Whether a membership opens its target is asked by logging in as the member, and reading.

use async_trait::async_trait;
use jit_testkit::conformance::issuer::IssuerFactory;

use crate::*;

struct OnPostgres;

#[async_trait]
impl IssuerFactory for OnPostgres {
    type Target = World;

    async fn fresh(&self) -> World {
        World::new().await
    }

    async fn issuer(&self, world: &World) -> Arc<dyn CredentialIssuer> {
        let groups = GroupRoles::new().with(CaseSetup::default().scope, world.group.clone());
        let name = IssuerName::new("orders-members").unwrap();
        let target = PostgresTarget::new(world.database.config.clone());
        // What is known of a case is its seed, and every world has its own members.
        let members = (0..=MEMBERS).chain([1000]).fold(MemberRoles::new(), |members, seed| {
            members.with(person(seed).id(), RoleName::new(world.member(seed)).unwrap())
        });
        Arc::new(PostgresMembershipIssuer::connect(name, target, groups, members).await.unwrap())
    }

    fn setup(&self, seed: u64) -> CaseSetup {
        CaseSetup { seed, window: hour(), requester: person(seed), ..CaseSetup::default() }
    }

    async fn opens(&self, world: &World, credential: &CredentialDescriptor, _: Option<&[u8]>) -> Option<bool> {
        let PrincipalId::Identity(identity) = &credential.subject else { panic!("not a person") };
        let seed: u64 = identity.subject.as_str().parse().unwrap();
        Some(world.reads(&world.member(seed)).await)
    }
}

fn person(seed: u64) -> Principal {
    Principal::human(Identity::new("hr.example", seed.to_string()).unwrap())
}

jit_testkit::issuer_conformance!(OnPostgres);
