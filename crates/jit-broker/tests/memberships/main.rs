//! Memberships at real targets, from request to end: what two grants share goes with the last, and what somebody changed is found.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests may panic"
)]

mod halting;
mod ldap;
mod postgres;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use async_trait::async_trait;
use halting::Halting;
use jit_core::*;
use jit_issuer::{CredentialIssuer, membership::Strays};
use support::*;

/// A target with a group for whoever may read `database:prod/orders`, and with Alice and Dave, who are not in it.
#[async_trait]
pub trait Target: Send + Sync {
    fn issuer(&self, strays: Strays) -> Arc<dyn CredentialIssuer>;

    /// Whether somebody is in the group, as the target says.
    async fn is_member(&self, who: &str) -> bool;

    /// Puts somebody into the group behind the broker's back.
    async fn add(&self, who: &str);

    /// Takes somebody out of the group behind the broker's back.
    async fn remove(&self, who: &str);
}

const ORDERS: &str = "database:prod/orders";

/// The session that minted may be there a moment longer; then nothing is found out.
async fn reconcile(world: &World) -> jit_broker::Reconciled {
    loop {
        let found = world.broker.reconcile(world.issuer_name(), start()).await.unwrap();
        if !found.unclear.contains(&code!("mint_under_way")) {
            return found;
        }
    }
}

async fn finding(world: &World, case: CaseId) -> Option<Code> {
    let records = world.broker.log().stream(&StreamId::Case(case)).await.unwrap();
    records.iter().find_map(|record| match record.record().event().unwrap() {
        Event::GrantExternallyModified(end) => Some(end.finding),
        Event::RevocationConfirmed(confirmed) => Some(confirmed.finding),
        _ => None,
    })
}

pub async fn the_last_of_two_grants_takes_the_membership(target: impl Target) {
    let world = World::with_issuer(target.issuer(Strays::Remove)).await;
    let (a, _) = world.active("a", "alice", ORDERS).await;
    let (b, _) = world.active("b", "alice", ORDERS).await;
    assert!(target.is_member("alice").await && !target.is_member("dave").await);
    let quiet = reconcile(&world).await;
    assert_eq!((quiet.checked, quiet.modified.len(), quiet.orphans.len(), quiet.unclear.len()), (2, 0, 0, 0));

    let alice = person("alice").id();
    // The later one first: what is left is known under the earlier one alone.
    world.broker.terminate(&key("b"), b, alice.clone(), None).await.unwrap();
    let grant = world.broker.case(a).await.unwrap().grant().unwrap().id;
    assert_eq!(world.end(b).await.ending.still_justified_by, [grant]);
    assert!(world.kinds(b).await.contains(&"credential.handed_over".to_owned()));
    assert!(target.is_member("alice").await);
    let quiet = reconcile(&world).await;
    assert_eq!((quiet.checked, quiet.modified.len(), quiet.orphans.len(), quiet.unclear.len()), (1, 0, 0, 0));

    world.broker.terminate(&key("a"), a, alice, None).await.unwrap();
    assert_eq!(finding(&world, a).await, Some(code!("membership_removed")));
    assert!(!target.is_member("alice").await);
    assert_eq!(world.unsettled().await, []);
    assert!(world.broker.case(a).await.unwrap().is_closed() && world.broker.case(b).await.unwrap().is_closed());
    world.assert_invariants().await;
}

pub async fn what_stood_before_a_grant_stands_after_it(target: impl Target) {
    target.add("alice").await;
    let world = World::with_issuer(target.issuer(Strays::Report)).await;
    let (case, credential) = world.active("a", "alice", ORDERS).await;
    let known = world.broker.case(case).await.unwrap();
    let serial = known.credentials()[&credential].descriptor.clone().unwrap().serial;
    assert!(serial.as_str().starts_with("already_member:"), "{serial}");
    assert_eq!(reconcile(&world).await.orphans, [], "a record explains it while the grant lives");
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert_eq!(finding(&world, case).await, Some(code!("already_member")));
    assert!(target.is_member("alice").await);
    assert_eq!(world.unsettled().await, []);
    // No grant explains it any more.
    let found = reconcile(&world).await;
    assert_eq!((found.orphans.len(), found.orphans_ended, found.unclear), (1, vec![], vec![code!("only_reported")]));
    world.assert_invariants().await;
}

pub async fn what_somebody_removed_ends_the_grant(target: impl Target) {
    let world = World::with_issuer(target.issuer(Strays::Report)).await;
    let (case, _) = world.active("a", "alice", ORDERS).await;
    let (kept, _) = world.active("b", "dave", ORDERS).await;
    target.remove("alice").await;
    let found = reconcile(&world).await;
    assert_eq!((found.checked, found.modified, found.orphans, found.unclear), (2, vec![case], vec![], vec![]));
    assert_eq!(finding(&world, case).await, Some(code!("gone")));
    assert!(world.broker.case(case).await.unwrap().is_closed());
    assert_eq!(world.broker.case(kept).await.unwrap().phase(), Phase::Activated);
    // Somebody adds them again: that is nobody's grant.
    target.add("alice").await;
    assert_eq!(reconcile(&world).await.orphans.len(), 1);
    assert!(target.is_member("alice").await && target.is_member("dave").await);
    world.assert_invariants().await;
}

pub async fn what_somebody_added_is_found_and_removed_if_configured(target: impl Target) {
    let world = World::with_issuer(target.issuer(Strays::Report)).await;
    target.add("dave").await;
    for _ in 0..2 {
        let found = reconcile(&world).await;
        assert_eq!(
            (found.orphans.len(), found.orphans_ended.len(), found.unclear),
            (1, 0, vec![code!("only_reported")])
        );
    }
    assert!(target.is_member("dave").await);
    let world = World::with_issuer(target.issuer(Strays::Remove)).await;
    let (case, _) = world.active("a", "alice", ORDERS).await;
    let found = reconcile(&world).await;
    assert_eq!((found.orphans.len(), found.orphans_ended.len(), found.unclear), (1, 1, vec![]));
    let story = world.broker.log().find(&Lookup::orphan(world.issuer_name(), &found.orphans[0]), 0, 9).await.unwrap();
    let kinds: Vec<Kind> = story.iter().map(|record| record.record().header().kind.clone()).collect();
    assert_eq!(kinds, [Kind::OrphanFound, Kind::OrphanEnded]);
    assert!(!target.is_member("dave").await && target.is_member("alice").await);
    assert_eq!(world.broker.case(case).await.unwrap().phase(), Phase::Activated);
    assert_eq!(reconcile(&world).await.orphans, []);
    world.assert_invariants().await;
}

/// A broker compares while another is between its mint and the record of it.
pub async fn a_mint_that_is_not_recorded_yet_is_no_orphan(target: impl Target) {
    let halting = Arc::new(Halting::before_answers(target.issuer(Strays::Remove)));
    let world = World::with_issuer(halting.clone()).await;
    let case = world.approved("a", request("alice", ORDERS, "read")).await;
    let issuing = tokio::spawn({
        let (broker, name) = (world.broker.clone(), world.issuer_name().clone());
        async move { broker.issue(&key("issue"), case, &person("alice").id(), &name).await }
    });
    halting.minted.notified().await;
    assert!(target.is_member("alice").await);
    let found = reconcile(&world).await;
    assert_eq!((found.orphans, found.unclear), (vec![], vec![]), "its intent explains it");
    halting.go_on.notify_one();
    let _issued = issuing.await.unwrap().unwrap();
    assert!(target.is_member("alice").await);
    assert_eq!(reconcile(&world).await.modified, []);
    world.assert_invariants().await;
}
