//! The conformance suite. Whether a membership opens its target is asked by reading, as the member, what only the group may.

use async_trait::async_trait;
use jit_testkit::conformance::issuer::IssuerFactory;

use crate::*;

struct OnSlapd;

#[async_trait]
impl IssuerFactory for OnSlapd {
    type Target = World;

    async fn fresh(&self) -> World {
        World::new().await
    }

    async fn issuer(&self, world: &World) -> Arc<dyn CredentialIssuer> {
        Arc::new(connect(target(world.slapd.port()), managed(&world.name, world.uuid)).await.unwrap())
    }

    fn setup(&self, seed: u64) -> CaseSetup {
        let requester = Principal::human(Identity::new("idp.example", format!("u{seed}")).unwrap());
        CaseSetup { seed, requester, ..CaseSetup::default() }
    }

    async fn opens(&self, world: &World, credential: &CredentialDescriptor, _: Option<&[u8]>) -> Option<bool> {
        let PrincipalId::Identity(identity) = &credential.subject else { panic!("not a person") };
        Some(world.reads(identity.subject.as_str().strip_prefix('u').unwrap().parse().unwrap()))
    }
}

jit_testkit::issuer_conformance!(OnSlapd);
