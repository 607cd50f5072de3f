//! A target that keeps one state for all grants of the same access: what another grant justifies stays, and then it goes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_broker::UnsettledState;
use jit_core::*;
use jit_testkit::{MemoryTarget, Step, Trouble};
use support::*;

async fn membership() -> (World, Arc<MemoryTarget>) {
    let target = Arc::new(MemoryTarget::new().shared());
    (World::with_issuer(target.clone()).await, target)
}

#[tokio::test]
async fn a_membership_goes_with_the_last_grant_that_has_it() {
    let (world, target) = membership().await;
    let (a, _) = world.active("a", "alice", "database:prod/orders").await;
    let (b, _) = world.active("b", "alice", "database:prod/orders").await;
    let (other, _) = world.active("c", "alice", "database:prod/billing").await;
    assert_eq!(target.names().len(), 2);
    let alice = person("alice").id();

    world.broker.terminate(&key("a"), a, alice.clone(), None).await.unwrap();
    let grant_b = world.broker.case(b).await.unwrap().grant().unwrap().id;
    let end = world.end(a).await.ending;
    assert_eq!((end.still_justified_by, end.residual.credentials[0].why.as_str()), (vec![grant_b], "still_justified"));
    let kinds = world.kinds(a).await;
    assert!(
        kinds.ends_with(&["grant.terminated", "credential.handed_over", "case.closed"].map(str::to_owned)),
        "{kinds:?}"
    );
    assert_eq!((target.names().len(), world.unsettled().await), (2, vec![]));

    world.broker.terminate(&key("b"), b, alice.clone(), None).await.unwrap();
    assert_eq!(world.end(b).await.ending.still_justified_by, []);
    assert!(world.kinds(b).await.contains(&"revocation.confirmed".to_owned()));
    assert_eq!(target.names().len(), 1);
    // The other access has its own membership, and its window ends that.
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    assert!(world.broker.case(other).await.unwrap().is_closed());
    assert!(target.names().is_empty());
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_lost_mint_of_one_does_not_take_away_what_the_other_has() {
    for trouble in [Trouble::LostBefore, Trouble::LostAfter] {
        let (world, target) = membership().await;
        let (_, _) = world.active("a", "alice", "database:prod/orders").await;
        target.trouble(Step::Mint, trouble);
        let lost = world.approved("b", request("alice", "database:prod/orders", "read")).await;
        assert!(world.issue(lost, &person("alice").id()).await.is_err());
        assert_eq!(world.unsettled().await, [(lost, UnsettledState::MintUnknown)]);
        world.clock.advance(std::time::Duration::from_secs(120));
        world.broker.sweep().await.unwrap();
        assert_eq!((target.names().len(), world.unsettled().await), (1, vec![]), "{trouble:?}");
        world.assert_invariants().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_ends_at_once_leave_nothing_and_an_end_beside_a_mint_leaves_the_new_one() {
    for round in 0..12 {
        let (world, target) = membership().await;
        let alice = person("alice").id();
        let (a, _) = world.active("a", "alice", "database:prod/orders").await;
        let b = world.approved("b", request("alice", "database:prod/orders", "read")).await;
        let both = round % 2 == 0;
        if both {
            let _ = world.issue(b, &alice).await.unwrap();
        }
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let beside = tokio::spawn({
            let (broker, barrier, alice, name) =
                (world.broker.clone(), barrier.clone(), alice.clone(), world.issuer_name().clone());
            async move {
                barrier.wait().await;
                if both {
                    broker.terminate(&key("b"), b, alice, None).await.unwrap();
                    return true;
                }
                broker.issue(&key("i"), b, &alice, &name).await.is_ok()
            }
        });
        barrier.wait().await;
        world.broker.terminate(&key("a"), a, alice.clone(), None).await.unwrap();
        let done = beside.await.unwrap();
        // What a lease kept from being done is done when it falls due.
        let released = done && !both;
        for _ in 0..20 {
            if target.names().len() == usize::from(released) {
                break;
            }
            world.clock.advance(std::time::Duration::from_secs(60));
            world.restarted().await.sweep().await.unwrap();
        }
        assert_eq!(target.names().len(), usize::from(released), "round {round}");
        assert_eq!(world.broker.case(b).await.unwrap().is_active(world.clock.now().at), released);
        world.assert_invariants().await;
    }
}
