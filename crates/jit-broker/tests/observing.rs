//! A use that a target reports stands in its case, and nowhere else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use jit_broker::BrokerError;
use jit_core::*;
use support::*;

fn seen(world: &World) -> AccessObserved {
    AccessObserved {
        system: SystemName::new("orders.example").unwrap(),
        occurred_at: world.clock.now().at,
        act: code!("query"),
        detail: Prose::new("select 42").ok(),
    }
}

#[tokio::test]
async fn a_use_is_recorded_with_its_credential_while_the_case_is_open() {
    let world = World::new().await;
    let (case, credential) = world.active("k", "alice", "database:prod/orders").await;
    world.broker.observe(case, credential, seen(&world)).await.unwrap();
    let records = world.broker.log().stream(&StreamId::Case(case)).await.unwrap();
    let record = records.last().unwrap().record();
    assert_eq!(record.header().refs.credential, Some(credential));
    assert_eq!(record.event().unwrap(), Event::AccessObserved(seen(&world)));

    let size = world.broker.log().size().await.unwrap();
    let other = CredentialId::v8([9; 16]);
    let refused = world.broker.observe(case, other, seen(&world)).await;
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::Credential(id), .. }) if id == other));
    let nowhere = world.broker.observe(CaseId::v8([9; 16]), credential, seen(&world)).await;
    assert!(matches!(nowhere, Err(BrokerError::NoSuchCase(_))), "{nowhere:?}");
    assert_eq!(world.broker.log().size().await.unwrap(), size);

    world.clock.advance(HOUR * 2);
    while world.broker.sweep().await.unwrap().done > 0 {}
    assert!(world.broker.case(case).await.unwrap().is_closed());
    let late = world.broker.observe(case, credential, seen(&world)).await;
    assert!(matches!(late, Err(BrokerError::Refused { refusal: Refusal::Closed, .. })), "{late:?}");
    world.assert_invariants().await;
}
