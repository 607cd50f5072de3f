//! From any one name of a case to all the others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use jit_audit::trace;
use jit_core::{Lookup, LookupFamily};
use support::{Plan, World, person};

#[tokio::test]
async fn every_name_leads_to_every_other() {
    let world = World::new().await;
    let case = world.run("a", Plan::Granted).await;
    let by = |family, value: String| Lookup::new(family, value);
    let all = trace(&world.log, &by(LookupFamily::Request, case.to_string())).await.unwrap();
    assert_eq!(all.len(), 1);
    let found = &all[0];
    assert_eq!((found.case, found.decisions.len(), found.approvals.len(), found.credentials.len()), (case, 2, 1, 1));
    assert!(found.policies.contains(&world.policy()) && found.entitlement.is_some());
    assert!(found.subjects.contains(&person("u-1042").id()) && found.subjects.contains(&person("lead-7").id()));

    let resource = found.resource.clone().unwrap();
    let credential = found.credentials.iter().next().unwrap();
    for name in [
        by(LookupFamily::Decision, found.decisions[1].to_string()),
        by(LookupFamily::Approval, found.approvals[0].to_string()),
        by(LookupFamily::Grant, found.grant.unwrap().to_string()),
        by(LookupFamily::Credential, credential.to_string()),
        by(LookupFamily::Resource, resource.to_string()),
        by(LookupFamily::Subject, person("u-1042").id().to_string()),
        by(LookupFamily::Subject, person("lead-7").id().to_string()),
    ] {
        assert_eq!(trace(&world.log, &name).await.unwrap(), all, "{name:?}");
    }
    assert_eq!(trace(&world.log, &by(LookupFamily::Subject, "idp.example|nobody".to_owned())).await.unwrap(), []);
}

#[tokio::test]
async fn a_name_of_several_cases_gives_them_all_in_order() {
    let world = World::new().await;
    let (first, second) = (world.run("a", Plan::Denied).await, world.run("b", Plan::Granted).await);
    let found = trace(&world.log, &Lookup::new(LookupFamily::Resource, "database:prod/orders")).await.unwrap();
    assert_eq!(found.iter().map(|traced| traced.case).collect::<Vec<_>>(), [first, second]);
}
