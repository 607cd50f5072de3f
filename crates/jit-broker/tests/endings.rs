//! Every way in which grants end: one by one, many by one act, with their identity; and what a bar keeps out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_broker::BrokerError;
use jit_core::*;
use jit_testkit::{Calls, Fault, MemoryTarget};
use support::*;

async fn stateful() -> (World, Arc<MemoryTarget>) {
    let target = Arc::new(MemoryTarget::new());
    (World::with_issuer(target.clone()).await, target)
}

#[tokio::test]
async fn another_grant_takes_the_place_of_one() {
    let (world, target) = stateful().await;
    let root = person("root").id();
    let (old, _) = world.active("old", "alice", "database:prod/orders").await;
    let (new, kept) = world.active("new", "alice", "database:prod/orders/invoices").await;
    let (others, _) = world.active("others", "dave", "database:prod/orders").await;
    // Not by itself, nor by somebody else's.
    for (k, by_case) in [("self", old), ("others", others)] {
        let refused = world.broker.supersede(&key(k), old, by_case, root.clone()).await;
        assert!(
            matches!(refused, Err(BrokerError::Refused { refusal: Refusal::NotAnotherGrant(_), .. })),
            "{refused:?}"
        );
    }
    let phase = world.broker.supersede(&key("s"), old, new, root.clone()).await.unwrap();
    assert_eq!(phase, Phase::Ended);
    let size = world.broker.log().size().await.unwrap();
    assert_eq!(world.broker.supersede(&key("s"), old, new, root.clone()).await.unwrap(), Phase::Ended);
    assert_eq!(world.broker.log().size().await.unwrap(), size, "once under its key");

    let heir = world.broker.case(new).await.unwrap().grant().unwrap().clone();
    let end = world.end(old).await;
    assert_eq!((end.kind, end.cause, end.ending.actor), (Kind::GrantSuperseded, Some(heir.leaf), Some(root)));
    assert_eq!(end.ending.planned_end, start().saturating_add(HOUR));
    assert_eq!(end.ending.requested_end, start());
    assert_eq!(end.ending.residual.credentials[0].why, code!("revocation_follows"));
    assert!(target.working().contains(&kept));
    assert_eq!(target.working().len(), 2);
    world.assert_invariants().await;
}

#[tokio::test]
async fn all_grants_of_a_subject_end_once_each_with_the_act_as_its_cause() {
    let (world, target) = stateful().await;
    let root = person("root").id();
    let (a, _) = world.active("a", "alice", "database:prod/orders").await;
    let (b, _) = world.active("b", "alice", "database:prod/billing").await;
    let unissued = world.approved("c", request("alice", "database:prod/stock", "read")).await;
    let (before, _) = world.active("d", "alice", "database:prod/parts").await;
    world.broker.terminate(&key("t"), before, person("alice").id(), None).await.unwrap();
    // Bob approved all of these, and Dave has one: neither is ended.
    let (dave, _) = world.active("e", "dave", "database:prod/orders").await;

    let selector = EndSelector::Subject(person("alice").id());
    let end = async |cause| world.broker.end_all(&key("bulk"), root.clone(), selector.clone(), cause, None).await;
    let ended = end(code!("incident")).await.unwrap();
    let mut expected = vec![a, b, unissued];
    expected.sort();
    assert_eq!((ended.ended, ended.already_ended, ended.failed.len()), (expected.clone(), vec![before], 0));
    let acts: Vec<_> = {
        let mut causes = Vec::new();
        for case in expected.iter() {
            let end = world.end(*case).await;
            assert_eq!((end.kind, end.ending.cause), (Kind::GrantRevoked, code!("incident")));
            causes.push(end.cause.unwrap());
        }
        causes
    };
    assert!(acts.iter().all(|act| *act == acts[0]));
    assert_eq!(world.broker.case(dave).await.unwrap().phase(), Phase::Activated);
    assert_eq!(target.working().len(), 1);

    // Repeated, it answers the same and writes nothing; it does not reach what was asked for after it.
    let (later, _) = world.active("later", "alice", "database:prod/orders").await;
    let size = world.broker.log().size().await.unwrap();
    let again = end(code!("incident")).await.unwrap();
    assert_eq!((again.ended, again.already_ended), (expected, vec![before]));
    assert_eq!(world.broker.log().size().await.unwrap(), size);
    assert_eq!(world.broker.case(later).await.unwrap().phase(), Phase::Activated);
    assert!(matches!(end(code!("other")).await, Err(BrokerError::ActKeyReused)));
    world.assert_invariants().await;
}

#[tokio::test]
async fn grants_end_by_policy_by_parent_and_by_the_owner_of_an_agent() {
    let (world, _) = stateful().await;
    let root = person("root").id();
    let end = async |k: &str, selector| {
        let ended = world.broker.end_all(&key(k), root.clone(), selector, code!("review"), None).await.unwrap();
        assert!(ended.failed.is_empty(), "{ended:?}");
        ended.ended
    };
    let (parent, _) = world.active("parent", "alice", "database:prod/orders").await;
    let above = world.broker.case(parent).await.unwrap();
    let grant = above.grant().unwrap();
    let link = ParentGrant {
        case: parent,
        grant: grant.id,
        scope: grant.approved.scope.clone(),
        window: grant.approved.approved,
        path: vec![],
        holders: above.barred(),
    };
    let asked =
        request_within("dave", "database:prod/orders/invoices", "read", link.window).parent(link).build().unwrap();
    let child = world.approved("child", asked).await;
    let _ = world.issue(child, &person("dave").id()).await.unwrap();
    let agent = agent_deployment("robot");
    let by_agent = world.broker.submit(&key("agent"), agent.clone()).await.unwrap().case;
    let _ = world.issue(by_agent, agent.recipient()).await.unwrap();

    assert_eq!(end("owner", EndSelector::AgentOwner(person("alice").id())).await, [by_agent]);
    assert_eq!(end("parent", EndSelector::Parent(grant.id)).await, [child]);
    assert_eq!(world.broker.case(parent).await.unwrap().phase(), Phase::Activated);
    let digest = snapshot().document().digest();
    assert_eq!(end("policy", EndSelector::Policy(digest)).await, [parent]);
    assert_eq!(end("none", EndSelector::Policy(PolicyDigest::from_bytes([1; 32]))).await, []);
    world.assert_invariants().await;
}

#[tokio::test]
async fn who_leaves_loses_every_grant_and_gets_none_until_reinstated() {
    let (world, target) = stateful().await;
    let (alice, root) = (person("alice").id(), person("root").id());
    let (own, _) = world.active("own", "alice", "database:prod/orders").await;
    let agent = agent_deployment("robot");
    let owned = world.broker.submit(&key("agent"), agent.clone()).await.unwrap().case;
    let _ = world.issue(owned, agent.recipient()).await.unwrap();
    let pending = world.broker.submit(&key("p"), request("alice", "database:prod/stock", "read")).await.unwrap().case;
    let daves = world.broker.submit(&key("d"), request("dave", "database:prod/stock", "read")).await.unwrap().case;

    let offboard = async |k: &str| {
        world.broker.offboard(&key(k), &alice, root.clone(), code!("left"), Some(Prose::new("last day").unwrap())).await
    };
    let ended = offboard("off").await.unwrap();
    assert_eq!((ended.ended.len(), ended.failed.len()), (3, 0), "{ended:?}");
    let bar = world.broker.bar(&alice).await.unwrap().unwrap();
    for case in [own, owned] {
        let end = world.end(case).await;
        assert_eq!((end.kind, end.cause), (Kind::GrantEligibilityWithdrawn, Some(bar.leaf)));
    }
    assert_eq!(target.working(), []);
    let size = world.broker.log().size().await.unwrap();
    for k in ["off", "another key"] {
        assert_eq!(offboard(k).await.unwrap().ended.len(), 3);
    }
    assert_eq!(world.broker.log().size().await.unwrap(), size);

    // What she had asked for before is denied, and can be approved by nobody. Neither she nor her agent can ask again.
    let denied = world.broker.log().stream(&StreamId::Case(pending)).await.unwrap();
    let denied = denied.iter().rev().nth(1).unwrap().record();
    let Event::GrantDenied(denial) = denied.event().unwrap() else { panic!("{:?}", world.kinds(pending).await) };
    assert_eq!(
        (denial.by, denial.cause, denied.header().refs.cause),
        (Some(root.clone()), code!("left"), Some(bar.leaf))
    );
    assert!(world.broker.case(pending).await.unwrap().is_closed());
    assert_eq!(world.broker.approval_content(pending, &person("bob")).await.unwrap(), None);
    assert_eq!(world.broker.case(daves).await.unwrap().phase(), Phase::AwaitingApprovals);
    for (k, asked) in [("new", request("alice", "database:prod/orders", "read")), ("robot", agent_deployment("robot2"))]
    {
        let refused = world.broker.submit(&key(k), asked).await;
        assert!(
            matches!(refused, Err(BrokerError::Refused { refusal: Refusal::Barred(ref who), .. }) if *who == alice),
            "{refused:?}"
        );
    }
    // Dave is somebody else, also when he has agents of hers act for him no more.
    world.active("dave", "dave", "database:prod/orders").await;

    world.broker.reinstate(&key("on"), &alice, root.clone(), None).await.unwrap();
    world.broker.reinstate(&key("on"), &alice, root.clone(), None).await.unwrap();
    assert_eq!(world.broker.bar(&alice).await.unwrap(), None);
    // She may ask anew; what was asked for before is over.
    let refused = world.issue(pending, &alice).await;
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::Phase(Phase::Denied), .. })), "{refused:?}");
    world.active("back", "alice", "database:prod/orders").await;
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_request_that_waits_is_denied_by_an_act_on_many_grants_and_its_approver_comes_too_late() {
    let (world, target) = stateful().await;
    let root = person("root").id();
    let waiting = world.broker.submit(&key("w"), request("alice", "database:prod/stock", "read")).await.unwrap().case;
    let selector = EndSelector::Subject(person("alice").id());
    let end = async || {
        world.broker.end_all(&key("bulk"), root.clone(), selector.clone(), code!("incident"), None).await.unwrap()
    };
    assert_eq!(end().await.ended, [waiting]);
    let size = world.broker.log().size().await.unwrap();
    assert_eq!(end().await.ended, [waiting], "answered the same");
    assert_eq!(world.broker.log().size().await.unwrap(), size);
    assert_eq!(world.broker.case(waiting).await.unwrap().phase(), Phase::Denied);
    assert!(world.issue(waiting, &person("alice").id()).await.is_err());
    // It is about what was asked for before it.
    world.active("later", "alice", "database:prod/stock").await;
    assert_eq!(target.working().len(), 1);
    world.assert_invariants().await;
}

/// A bar that dies on its way is lifted before any sweep, and somebody approves meanwhile what it was to deny.
#[tokio::test]
async fn no_request_from_before_a_bar_outlives_it_wherever_the_bar_dies() {
    let mut k = 1;
    loop {
        let (mut world, target) = stateful().await;
        let (alice, root) = (person("alice").id(), person("root").id());
        world.active("own", "alice", "database:prod/orders").await;
        let waiting = request("alice", "database:prod/stock", "read");
        let waiting = world.broker.submit(&key("w"), waiting).await.unwrap().case;
        world.backend.fail_from(k, Calls::Commits, Fault::Before);
        let first = world.broker.offboard(&key("off"), &alice, root.clone(), code!("left"), None).await;
        let fell = world.backend.counted() >= k;
        world.backend.heal(Calls::All);
        world.broker = world.restarted().await;
        let barred = world.broker.bar(&alice).await.unwrap().is_some();
        assert!(barred || first.is_err(), "commit {k}");
        if barred {
            if world.broker.approval_content(waiting, &person("bob")).await.unwrap().is_some() {
                world.approve(waiting, "bob", "sre").await.unwrap();
            }
            world.clock.advance(std::time::Duration::from_secs(120));
            world.broker.reinstate(&key("on"), &alice, root, None).await.unwrap();
            assert_eq!(world.broker.bar(&alice).await.unwrap(), None, "commit {k}");
            assert!(world.issue(waiting, &alice).await.is_err(), "commit {k}");
            assert_eq!(world.broker.sweep().await.unwrap().failed, 0, "commit {k}");
            assert_eq!(target.working(), [], "commit {k}");
            world.active("anew", "alice", "database:prod/orders").await;
        }
        world.assert_invariants().await;
        if !fell {
            assert!(k > 4, "{k}");
            return;
        }
        k += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_submission_that_races_with_a_bar_is_refused_or_ends_with_it() {
    for round in 0..16 {
        let (world, target) = stateful().await;
        let (alice, root) = (person("alice").id(), person("root").id());
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let asking = tokio::spawn({
            let (broker, barrier, name) = (world.broker.clone(), barrier.clone(), world.issuer_name().clone());
            async move {
                let agent = agent_deployment("robot");
                barrier.wait().await;
                let case = broker.submit(&key("k"), agent.clone()).await?.case;
                broker.issue(&key("i"), case, agent.recipient(), &name).await
            }
        });
        barrier.wait().await;
        world.broker.offboard(&key("off"), &alice, root, code!("left"), None).await.unwrap();
        let asked = asking.await.unwrap();
        // Whichever came first: nothing works when both are done, at the latest after a sweep.
        world.broker.sweep().await.unwrap();
        assert_eq!(target.working(), [], "round {round}: {asked:?}");
        world.assert_invariants().await;
    }
}

#[tokio::test]
async fn a_bulk_act_that_dies_on_its_way_is_finished_by_the_sweep() {
    let mut k = 1;
    loop {
        let (world, target) = stateful().await;
        for n in 0..3 {
            world.active(&format!("k{n}"), "alice", &format!("database:prod/{n}")).await;
        }
        world.backend.fail_from(k, Calls::Commits, Fault::Before);
        let selector = EndSelector::Subject(person("alice").id());
        let by = person("root").id();
        let end = async |broker: &jit_broker::Broker| {
            broker.end_all(&key("bulk"), by.clone(), selector.clone(), code!("incident"), None).await
        };
        let first = end(&world.broker).await;
        let fell = world.backend.counted() >= k;
        world.backend.heal(Calls::All);
        let broker = world.restarted().await;
        if first.is_err() {
            // Nothing may have been ordered; then nothing has ended, and asking again does all.
            end(&broker).await.unwrap();
        }
        world.clock.advance(std::time::Duration::from_secs(120));
        assert_eq!(broker.sweep().await.unwrap().failed, 0, "commit {k}");
        assert_eq!(target.working(), [], "commit {k}");
        let done = end(&broker).await.unwrap();
        assert_eq!((done.ended.len(), done.already_ended.len(), done.failed.len()), (3, 0, 0), "commit {k}");
        assert_invariants(broker.log(), world.clock.now().at).await;
        if !fell {
            assert!(k > 5, "{k}");
            return;
        }
        k += 1;
    }
}
