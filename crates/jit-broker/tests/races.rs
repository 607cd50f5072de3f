//! What two cases must agree on is decided by the log: ends of two grants on one entitlement, a child issued while its
//! parent ends. A gate holds both sides at the last moment before they write.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_broker::{Broker, BrokerError};
use jit_core::*;
use jit_issuer::CredentialIssuer as _;
use jit_policy::{Eligibility, EntityDirectory, FactError, FactQuery, FactSource, Gathered};
use jit_testkit::{Calls, Fault, MemoryTarget, Step, Trouble};
use support::*;
use tokio::sync::{Barrier, Notify};

/// A source of facts that waits before it answers, once it is armed.
struct Gate {
    name: SystemName,
    armed: std::sync::atomic::AtomicBool,
    reached: Notify,
    open: Notify,
}

#[async_trait::async_trait]
impl FactSource for Gate {
    fn name(&self) -> &SystemName {
        &self.name
    }

    async fn resolve(&self, _: FactQuery<'_>) -> Result<Gathered, FactError> {
        if self.armed.swap(false, std::sync::atomic::Ordering::SeqCst) {
            self.reached.notify_one();
            self.open.notified().await;
        }
        Ok(Gathered::default())
    }
}

fn gated(world: &World) -> (Broker, Arc<Gate>) {
    let gate = Arc::new(Gate {
        name: SystemName::new("gate").unwrap(),
        armed: false.into(),
        reached: Notify::new(),
        open: Notify::new(),
    });
    let directory = EntityDirectory::parse(SystemName::new("directory").unwrap(), DIRECTORY.as_bytes()).unwrap();
    let directory = Arc::new(directory);
    let eligibility: Arc<dyn Eligibility> = directory.clone();
    let broker = Broker::builder(world.broker.log().clone(), eligibility)
        .facts(directory)
        .facts(gate.clone())
        .issuer(world.effects.clone())
        .build();
    (broker, gate)
}

/// A child of an active grant of Alice's.
async fn child_of(world: &World, parent: CaseId) -> CaseId {
    child_named(world, "child", parent).await
}

async fn child_named(world: &World, key_text: &str, parent: CaseId) -> CaseId {
    let asked = child_request(world, parent).await;
    world.approved(key_text, asked).await
}

/// What Dave asks for under a grant.
async fn child_request(world: &World, parent: CaseId) -> Request {
    let above = world.broker.case(parent).await.unwrap();
    let grant = above.grant().unwrap();
    let parent = ParentGrant {
        case: parent,
        grant: grant.id,
        scope: grant.approved.scope.clone(),
        window: grant.approved.approved,
        path: vec![],
        holders: above.barred(),
    };
    let window = parent.window;
    request_within("dave", "database:prod/orders/invoices", "read", window).parent(parent).build().unwrap()
}

#[tokio::test]
async fn a_child_is_not_issued_while_its_parent_ends() {
    let world = World::new().await;
    let alice = person("alice").id();
    let parent = world.approved("parent", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(parent, &alice).await.unwrap();
    let child = child_of(&world, parent).await;

    let (broker, gate) = gated(&world);
    broker.adopt(snapshot()).await.unwrap();
    gate.armed.store(true, std::sync::atomic::Ordering::SeqCst);
    let name = world.issuer_name().clone();
    let issuing = tokio::spawn(async move { broker.issue(&key("i"), child, &person("dave").id(), &name).await });
    // The child has seen its parent active, and is about to write.
    gate.reached.notified().await;
    world.broker.terminate(&key("e"), parent, alice, None).await.unwrap();
    gate.open.notify_one();
    let refused = issuing.await.unwrap();
    assert!(matches!(refused, Err(BrokerError::Refused { .. })), "{refused:?}");
    assert!(!world.kinds(child).await.contains(&"credential.intended".to_owned()));
    assert_eq!(world.effects.all().len(), 1);
    let ended = world.broker.case(child).await.unwrap();
    let end = ended.grant().unwrap().end.clone().unwrap();
    assert_eq!((end.kind, end.ending.cause.as_str()), (Kind::GrantRevoked, "parent_ended"));
    world.assert_invariants().await;
}

#[tokio::test]
async fn what_waits_below_a_grant_is_denied_with_its_end_and_what_is_submitted_meanwhile_is_refused() {
    let world = World::new().await;
    let (parent, _) = world.active("parent", "alice", "database:prod/orders").await;
    let asked = child_request(&world, parent).await;
    let waiting = world.broker.submit(&key("waiting"), asked.clone()).await.unwrap().case;

    let (broker, gate) = gated(&world);
    broker.adopt(snapshot()).await.unwrap();
    gate.armed.store(true, std::sync::atomic::Ordering::SeqCst);
    let submitting = tokio::spawn(async move { broker.submit(&key("late"), asked).await });
    // It has seen its parent active, and is about to write.
    gate.reached.notified().await;
    world.broker.terminate(&key("e"), parent, person("alice").id(), None).await.unwrap();
    gate.open.notify_one();
    let refused = submitting.await.unwrap();
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::ParentGone, .. })), "{refused:?}");

    let parent_end = world.end(parent).await.leaf;
    let denied = world.broker.case(waiting).await.unwrap();
    assert_eq!((denied.phase(), denied.denied_because()), (Phase::Denied, Some(parent_end)));
    assert!(denied.is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn ending_a_parent_ends_its_issued_children_each_with_its_cause() {
    let world = World::new().await;
    let alice = person("alice").id();
    let parent = world.approved("parent", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(parent, &alice).await.unwrap();
    let child = child_of(&world, parent).await;
    let _ = world.issue(child, &person("dave").id()).await.unwrap();
    world.broker.terminate(&key("e"), parent, alice, None).await.unwrap();

    let parent_end = world.broker.case(parent).await.unwrap().grant().unwrap().end.clone().unwrap().leaf;
    let records = world.broker.log().stream(&StreamId::Case(child)).await.unwrap();
    let end = records.iter().find(|r| r.record().header().kind == Kind::GrantRevoked).unwrap();
    assert_eq!(end.record().header().refs.cause, Some(parent_end));
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    world.assert_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_ends_on_one_entitlement_exactly_one_counts_on_the_other() {
    for round in 0..8 {
        let world = World::new().await;
        let alice = person("alice").id();
        let a = world.approved("a", request("alice", "database:prod/orders", "read")).await;
        let b = world.approved("b", request("alice", "database:prod/orders", "read")).await;
        for case in [a, b] {
            let _ = world.issue(case, &alice).await.unwrap();
        }
        let barrier = Arc::new(Barrier::new(2));
        let end = |case| {
            let (broker, barrier, alice) = (world.broker.clone(), barrier.clone(), alice.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                broker.terminate(&key("e"), case, alice, None).await.unwrap();
            })
        };
        let (one, other) = (end(a), end(b));
        one.await.unwrap();
        other.await.unwrap();
        let mut counted = Vec::new();
        for case in [a, b] {
            let case = world.broker.case(case).await.unwrap();
            let grant = case.grant().unwrap();
            counted.push(grant.end.clone().unwrap().ending.still_justified_by);
        }
        counted.sort();
        assert_eq!((counted[0].len(), counted[1].len()), (0, 1), "round {round}: {counted:?}");
        world.assert_invariants().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_an_end_is_done_even_if_it_fails_at_first() {
    for k in 1..=8 {
        let target = Arc::new(MemoryTarget::new());
        let world = World::with_issuer(target.clone()).await;
        let alice = person("alice").id();
        let parent = world.approved("parent", request("alice", "database:prod/orders", "read")).await;
        let _ = world.issue(parent, &alice).await.unwrap();
        let child = child_of(&world, parent).await;
        let _ = world.issue(child, &person("dave").id()).await.unwrap();

        world.backend.fail_at(k, Calls::Commits, Fault::Before);
        let ended = world.broker.terminate(&key("e"), parent, alice.clone(), None).await;
        world.backend.heal(Calls::All);
        if k == 1 {
            assert!(ended.is_err());
            world.broker.terminate(&key("e"), parent, alice, None).await.unwrap();
        }
        // Long before anything expires by itself.
        for _ in 0..4 {
            world.clock.advance(std::time::Duration::from_secs(60));
            tokio::time::advance(std::time::Duration::from_secs(60)).await;
            world.broker.sweep().await.unwrap();
        }
        assert_eq!(world.broker.case(child).await.unwrap().phase(), Phase::Ended, "commit {k}");
        assert_eq!(target.working(), [], "commit {k}");
        world.assert_invariants().await;
    }
}

#[tokio::test]
async fn whoever_holds_a_grant_further_up_cannot_approve() {
    let world = World::new().await;
    let parent = world.approved("parent", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(parent, &person("alice").id()).await.unwrap();
    let child = child_of(&world, parent).await;
    let _ = world.issue(child, &person("dave").id()).await.unwrap();
    let above = world.broker.case(child).await.unwrap();
    let grant = above.grant().unwrap();
    let claim = |holders| ParentGrant {
        case: child,
        grant: grant.id,
        scope: grant.approved.scope.clone(),
        window: grant.approved.approved,
        path: vec![above.request().unwrap().submitted.parent.clone().unwrap().grant],
        holders,
    };
    let ask = |holders| {
        let window = grant.approved.approved;
        request_within("dave", "database:prod/orders/invoices", "read", window).parent(claim(holders)).build().unwrap()
    };
    // Leaving Alice out is refused, and naming her keeps her from approving.
    let hidden = world.broker.submit(&key("hidden"), ask(above.interested())).await;
    assert!(matches!(hidden, Err(BrokerError::Refused { refusal: Refusal::ParentGone, .. })), "{hidden:?}");
    let case = world.broker.submit(&key("honest"), ask(above.barred())).await.unwrap().case;
    let own = world.approve(case, "alice", "sre").await;
    assert!(matches!(own, Err(BrokerError::Refused { refusal: Refusal::Interested(_), .. })), "{own:?}");
}

#[tokio::test]
async fn strangers_leave_a_bounded_trace_in_a_case() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap().case;
    let mallory = person("mallory").id();
    for i in 0..MAX_REFUSALS + 5 {
        let refused = world.broker.withdraw(&key(&format!("w{i}")), case, mallory.clone(), None).await;
        assert!(matches!(refused, Err(BrokerError::Refused { .. })), "{refused:?}");
    }
    assert_eq!(world.kinds(case).await.len(), 2 + MAX_REFUSALS);
}

#[tokio::test(start_paused = true)]
async fn a_parent_without_credentials_is_not_closed_before_its_children_have_ended() {
    for k in 2..=6 {
        let target = Arc::new(MemoryTarget::new());
        let world = World::with_issuer(target.clone()).await;
        let alice = person("alice").id();
        let later = request_within("alice", "database:prod/orders", "read", window(HOUR, HOUR)).build().unwrap();
        let parent = world.approved("parent", later).await;
        world.clock.advance(HOUR);
        world.broker.sweep().await.unwrap();
        let child = child_of(&world, parent).await;
        let _ = world.issue(child, &person("dave").id()).await.unwrap();

        world.backend.fail_at(k, Calls::Commits, Fault::Before);
        let ended = world.broker.terminate(&key("e"), parent, alice.clone(), None).await;
        world.backend.heal(Calls::All);
        assert!(k > 2 || ended.is_err(), "{ended:?}");
        let again = world.broker.terminate(&key("again"), parent, alice, None).await;
        assert!(matches!(again, Err(BrokerError::Refused { .. })), "commit {k}: {again:?}");
        for _ in 0..4 {
            world.clock.advance(std::time::Duration::from_secs(60));
            tokio::time::advance(std::time::Duration::from_secs(60)).await;
            world.broker.sweep().await.unwrap();
        }
        assert_eq!(world.broker.case(child).await.unwrap().phase(), Phase::Ended, "commit {k}");
        assert!(world.broker.case(parent).await.unwrap().is_closed(), "commit {k}");
        assert_eq!(target.working(), [], "commit {k}");
        world.assert_invariants().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_parent_loses_its_own_credentials_first_and_no_child_keeps_the_others() {
    let second = std::time::Duration::from_secs(1);
    let (own, below) = (Arc::new(MemoryTarget::new().named("own")), Arc::new(MemoryTarget::new().named("below")));
    let world = World::with_issuer(own.clone()).await;
    let broker = world.rebuilt(|broker| broker.issuer(below.clone())).await;
    let (alice, dave) = (person("alice").id(), person("dave").id());
    let parent = world.approved("parent", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(parent, &alice).await.unwrap();
    let child = child_of(&world, parent).await;
    let _ = broker.issue(&key("i"), child, &dave, below.name()).await.unwrap();
    below.trouble(Step::Revoke, Trouble::Hangs);
    let ended = tokio::time::timeout(second, broker.terminate(&key("e"), parent, alice, None)).await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(own.working(), []);

    for k in 2..=6 {
        let target = Arc::new(MemoryTarget::new());
        let world = World::with_issuer(target.clone()).await;
        let parent = world.approved("parent", request("alice", "database:prod/orders", "read")).await;
        let _ = world.issue(parent, &person("alice").id()).await.unwrap();
        for k in ["child", "another"] {
            let child = child_named(&world, k, parent).await;
            let _ = world.issue(child, &dave).await.unwrap();
        }
        world.backend.fail_at(k, Calls::Commits, Fault::Before);
        let ended = world.broker.terminate(&key("e"), parent, person("alice").id(), None).await;
        world.backend.heal(Calls::All);
        assert!(target.working().len() <= 1, "commit {k}: {ended:?}");
        assert!(!world.broker.case(parent).await.unwrap().is_closed() || ended.is_ok(), "commit {k}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_renewals_each_takes_back_only_what_it_said_it_would() {
    let target = Arc::new(MemoryTarget::new());
    let world = World::with_issuer(target.clone()).await;
    let alice = person("alice").id();
    let (case, first) = world.active("k", "alice", "database:prod/orders").await;
    target.trouble(Step::Revoke, Trouble::Hangs);
    let renewing = tokio::spawn({
        let (broker, alice, name) = (world.broker.clone(), alice.clone(), world.issuer_name().clone());
        async move { broker.renew(&key("r1"), case, &alice, &name).await }
    });
    while target.working().contains(&first) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let _ = world.broker.renew(&key("r2"), case, &alice, world.issuer_name()).await.unwrap();
    let known = world.broker.case(case).await.unwrap();
    assert_eq!(known.credentials()[&first].revocation, RevocationState::Pending);
    let _ = renewing.await.unwrap().unwrap();
    assert_eq!(world.broker.case(case).await.unwrap().credentials()[&first].revocation, RevocationState::Unknown);
    assert!(!world.kinds(case).await.contains(&"revocation.failed".to_owned()));
    world.assert_invariants().await;
}
