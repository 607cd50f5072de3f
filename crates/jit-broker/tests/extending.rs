//! More time is a decision of its own; whatever is not given leaves the grant as it was.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{sync::Arc, time::Duration};

use jit_broker::{ApprovalAct, BrokerError, Extension};
use jit_core::*;
use jit_testkit::MemoryTarget;
use support::*;
use tokio::sync::Barrier;

const MINUTE: Duration = Duration::from_secs(60);

fn why() -> Justification {
    Justification::new("the restore takes longer, INC-7").unwrap()
}

fn until(from_start: Duration) -> Timestamp {
    start().saturating_add(from_start)
}

async fn extend(world: &World, k: &str, case: CaseId, who: &str, to: Duration) -> Result<Extension, BrokerError> {
    world.broker.extend(&key(k), case, person(who).id(), until(to), why()).await
}

async fn approve(world: &World, k: &str, case: CaseId, who: &str) -> Result<Phase, BrokerError> {
    let approver = person(who);
    let content = world.broker.approval_content(case, &approver).await?.unwrap();
    let (comment, authentication, signature) = (None, None, None);
    let act = ApprovalAct { approver, group: group("sre"), content, comment, authentication, signature };
    world.broker.approve(&key(k), case, act).await
}

async fn window_of(world: &World, case: CaseId) -> Window {
    world.broker.case(case).await.unwrap().grant().unwrap().approved.approved
}

async fn failures(world: &World, case: CaseId) -> Vec<String> {
    let case = world.broker.case(case).await.unwrap();
    let failed = case.extensions().iter().filter_map(|e| match &e.state {
        ExtensionState::Failed(cause) => Some(cause.to_string()),
        _ => None,
    });
    failed.collect()
}

/// A person's access for an hour, with a credential that the target can take back.
async fn held() -> (World, Arc<MemoryTarget>, CaseId) {
    let target = Arc::new(MemoryTarget::new());
    let world = World::with_issuer(target.clone()).await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(case, &person("alice").id()).await.unwrap();
    (world, target, case)
}

#[tokio::test]
async fn access_lasts_longer_once_the_policy_and_people_say_so() {
    let (world, target, case) = held().await;
    let first = target.working();
    world.clock.advance(HOUR / 2);
    assert_eq!(extend(&world, "x", case, "alice", HOUR * 2).await.unwrap(), Extension::AwaitingApprovals);
    assert_eq!(window_of(&world, case).await, window(Duration::ZERO, HOUR));
    assert_eq!(approve(&world, "ax", case, "bob").await.unwrap(), Phase::Activated);
    assert_eq!(window_of(&world, case).await, window(Duration::ZERO, HOUR * 2));
    // The answer under the same key is what has come of it since.
    let again = extend(&world, "x", case, "alice", HOUR * 2).await.unwrap();
    assert_eq!(again, Extension::Granted(window(Duration::ZERO, HOUR * 2)));
    assert!(matches!(extend(&world, "x", case, "alice", HOUR * 3).await, Err(BrokerError::KeyReused(_))));

    // The credential is as it was, until the holder gets one for the longer window; then it is dead at its target.
    assert_eq!(target.working(), first);
    let alice = person("alice").id();
    let renewed = world.broker.renew(&key("r"), case, &alice, world.issuer_name()).await.unwrap();
    assert_eq!(renewed.descriptor.window, window(HOUR / 2, HOUR * 3 / 2));
    assert!(renewed.secret.is_some());
    assert_eq!(target.working(), [renewed.descriptor.id]);
    let repeated = world.broker.renew(&key("r"), case, &alice, world.issuer_name()).await;
    assert!(
        matches!(&repeated, Err(BrokerError::Refused { refusal: Refusal::SecretNotRetained(d), .. }) if **d == renewed.descriptor),
        "{repeated:?}"
    );
    assert_eq!(
        world.kinds(case).await[9..],
        [
            "extension.requested",
            "policy.evaluated",
            "policy.evaluated",
            "approval.recorded",
            "grant.extended",
            "policy.evaluated",
            "credential.intended",
            "credential.issued",
            "revocation.intended",
            "revocation.confirmed",
        ]
    );
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    let now = world.broker.case(case).await.unwrap();
    assert!(now.is_active(world.clock.now().at) && now.grant().unwrap().end.is_none());
    world.assert_invariants().await;
    world.clock.advance(HOUR / 2);
    world.broker.sweep().await.unwrap();
    let now = world.broker.case(case).await.unwrap();
    assert_eq!(now.grant().unwrap().end.clone().unwrap().ending.planned_end, until(HOUR * 2));
    assert!(now.is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn what_is_not_given_leaves_the_grant_as_it_was() {
    let (world, target, case) = held().await;
    let before = (window_of(&world, case).await, target.working());
    // Five hours in all, where the policy allows four.
    let too_long = extend(&world, "long", case, "alice", HOUR * 5).await.unwrap();
    assert_eq!(too_long, Extension::Failed(code!("exceeds_max_duration")));

    assert_eq!(extend(&world, "denied", case, "alice", HOUR * 2).await.unwrap(), Extension::AwaitingApprovals);
    let own = approve(&world, "own", case, "alice").await;
    assert!(matches!(own, Err(BrokerError::Refused { refusal: Refusal::Interested(_), .. })), "{own:?}");
    let second = extend(&world, "second", case, "alice", HOUR * 3).await;
    assert!(matches!(second, Err(BrokerError::Refused { refusal: Refusal::ExtensionPending, .. })), "{second:?}");
    world.broker.deny(&key("d"), case, person("bob"), group("sre"), None).await.unwrap();

    assert_eq!(extend(&world, "withdrawn", case, "alice", HOUR * 2).await.unwrap(), Extension::AwaitingApprovals);
    let shown = world.broker.approval_content(case, &person("bob")).await.unwrap().unwrap();
    let stranger = world.broker.withdraw_extension(&key("w1"), case, person("dave").id(), None).await;
    assert!(matches!(stranger, Err(BrokerError::Refused { refusal: Refusal::NotOwn(_), .. })), "{stranger:?}");
    world.broker.withdraw_extension(&key("w2"), case, person("alice").id(), None).await.unwrap();
    world.broker.withdraw_extension(&key("w2"), case, person("alice").id(), None).await.unwrap();

    for (k, who, to) in
        [("not longer", "alice", HOUR), ("a stranger", "dave", HOUR * 2), ("years", "alice", HOUR * 24 * 365)]
    {
        let refused = extend(&world, k, case, who, to).await;
        assert!(matches!(refused, Err(BrokerError::Refused { .. })), "{k}: {refused:?}");
    }
    let stricter = format!(
        "{RULES}\n@id(\"closed\")\nforbid(principal, action, resource in Jit::Resource::\"database:prod/orders\");\n"
    );
    world.broker.publish(snapshot_of(&stricter), person("policy-owner").id()).await.unwrap();
    assert_eq!(
        extend(&world, "forbidden", case, "alice", HOUR * 2).await.unwrap(),
        Extension::Failed(code!("forbidden"))
    );
    world.broker.adopt(snapshot()).await.unwrap();

    // One that nobody decides on ends with the grant; what was shown for another one approves nothing.
    assert_eq!(extend(&world, "lapsed", case, "alice", HOUR * 2).await.unwrap(), Extension::AwaitingApprovals);
    let (comment, authentication, signature) = (None, None, None);
    let act = ApprovalAct {
        approver: person("bob"),
        group: group("sre"),
        content: shown,
        comment,
        authentication,
        signature,
    };
    let other = world.broker.approve(&key("stale"), case, act).await;
    assert!(matches!(other, Err(BrokerError::Refused { refusal: Refusal::Content, .. })), "{other:?}");
    assert_eq!((window_of(&world, case).await, target.working()), before);
    world.clock.advance(HOUR);
    let late = approve(&world, "late", case, "bob").await;
    assert!(matches!(late, Err(BrokerError::Refused { refusal: Refusal::WindowOver(_), .. })), "{late:?}");
    world.broker.sweep().await.unwrap();
    assert_eq!(window_of(&world, case).await, before.0);
    let causes = failures(&world, case).await;
    let expected = ["exceeds_max_duration", "denied_by_approver", "withdrawn", "forbidden", "lapsed"];
    assert_eq!(causes, expected);
    assert!(world.broker.case(case).await.unwrap().is_closed());
}

#[tokio::test]
async fn after_the_end_there_is_nothing_to_extend() {
    let (world, _, case) = held().await;
    world.clock.advance(HOUR);
    // Before anything has swept, the window alone says so.
    let late = extend(&world, "x", case, "alice", HOUR * 2).await;
    assert!(matches!(late, Err(BrokerError::Refused { refusal: Refusal::WindowOver(_), .. })), "{late:?}");
    let ended = world.broker.case(case).await.unwrap();
    assert_eq!((ended.phase(), ended.grant().unwrap().approved.approved), (Phase::Ended, window(Duration::ZERO, HOUR)));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_rule_extends_without_people_and_the_ledger_knows() {
    let world = World::new().await;
    let short = || {
        let why = Justification::new("release 1.4.2").unwrap();
        let by = deployment().requester().clone();
        let half = window(Duration::ZERO, HOUR / 2);
        Request::builder(by, scope("cluster:prod/web", "deploy"), half, why, class("access")).build().unwrap()
    };
    let deployer = deployment().requester().id();
    let mut cases = Vec::new();
    for k in ["a", "b"] {
        let case = world.broker.submit(&key(k), short()).await.unwrap().case;
        let _ = world.issue(case, &deployer).await.unwrap();
        cases.push(case);
    }
    let more = world.broker.extend(&key("x"), cases[0], deployer.clone(), until(HOUR), why()).await.unwrap();
    assert_eq!(more, Extension::Granted(window(Duration::ZERO, HOUR)));
    let too_much = world.broker.extend(&key("y"), cases[0], deployer.clone(), until(HOUR * 2), why()).await.unwrap();
    assert_eq!(too_much, Extension::Failed(code!("exceeds_max_duration")));
    // The second grant expires, and what it gave is still justified by the first, longer one.
    world.clock.advance(HOUR / 2);
    world.broker.sweep().await.unwrap();
    let (a, b) = (world.broker.case(cases[0]).await.unwrap(), world.broker.case(cases[1]).await.unwrap());
    let end = b.grant().unwrap().end.clone().unwrap();
    assert_eq!(end.ending.still_justified_by, [a.grant().unwrap().id]);
    // The first credential has died by itself; within the longer window there is another, and not beyond it.
    let again = world.broker.issue(&key("again"), cases[0], &deployer, world.issuer_name()).await.unwrap();
    assert_eq!(again.descriptor.window, window(HOUR / 2, HOUR / 2));
    world.clock.advance(HOUR);
    world.broker.sweep().await.unwrap();
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_child_does_not_outlast_its_parent() {
    let world = World::new().await;
    let parent = world.approved("parent", request("alice", "database:prod/orders", "read")).await;
    let _ = world.issue(parent, &person("alice").id()).await.unwrap();
    let above = world.broker.case(parent).await.unwrap();
    let grant = above.grant().unwrap();
    let derived = ParentGrant {
        case: parent,
        grant: grant.id,
        scope: grant.approved.scope.clone(),
        window: grant.approved.approved,
        path: vec![],
        holders: above.barred(),
    };
    let asked = request_within("dave", "database:prod/orders/invoices", "read", window(Duration::ZERO, HOUR / 2));
    let child = world.approved("child", asked.parent(derived).build().unwrap()).await;
    let _ = world.issue(child, &person("dave").id()).await.unwrap();

    let beyond = extend(&world, "beyond", child, "dave", HOUR * 2).await;
    assert!(matches!(beyond, Err(BrokerError::Refused { refusal: Refusal::BeyondParent(_), .. })), "{beyond:?}");
    extend(&world, "parent", parent, "alice", HOUR * 2).await.unwrap();
    approve(&world, "ap", parent, "bob").await.unwrap();
    assert_eq!(extend(&world, "within", child, "dave", HOUR * 2).await.unwrap(), Extension::AwaitingApprovals);
    approve(&world, "ac", child, "bob").await.unwrap();
    assert_eq!(window_of(&world, child).await, window(Duration::ZERO, HOUR * 2));
    // With the parent the child ends, however long it was to last.
    world.broker.terminate(&key("e"), parent, person("alice").id(), None).await.unwrap();
    assert_eq!(world.broker.case(child).await.unwrap().phase(), Phase::Ended);
    let gone = extend(&world, "gone", child, "dave", HOUR * 3).await;
    assert!(matches!(gone, Err(BrokerError::Refused { refusal: Refusal::Phase(_), .. })), "{gone:?}");
    world.assert_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_and_an_end_at_the_same_moment_leave_one_order() {
    for round in 0..12 {
        let world = World::new().await;
        let deployer = deployment().requester().id();
        let half = window(Duration::ZERO, HOUR / 2);
        let asked = Request::builder(
            deployment().requester().clone(),
            scope("cluster:prod/web", "deploy"),
            half,
            why(),
            class("access"),
        );
        let case = world.broker.submit(&key("k"), asked.build().unwrap()).await.unwrap().case;
        let _ = world.issue(case, &deployer).await.unwrap();
        let barrier = Arc::new(Barrier::new(2));
        let (b, broker, by) = (barrier.clone(), world.broker.clone(), deployer.clone());
        let extending = tokio::spawn(async move {
            b.wait().await;
            broker.extend(&key("x"), case, by, until(HOUR), why()).await
        });
        let (broker, by) = (world.broker.clone(), deployer.clone());
        let ending = tokio::spawn(async move {
            barrier.wait().await;
            broker.terminate(&key("e"), case, by, None).await
        });
        let extended = extending.await.unwrap();
        assert_eq!(ending.await.unwrap().unwrap(), Phase::Ended);
        let kinds = world.kinds(case).await;
        let at = |kind: &str| kinds.iter().position(|k| k == kind);
        match extended {
            Ok(Extension::Granted(_)) => assert!(at("grant.extended") < at("grant.terminated"), "round {round}"),
            Err(BrokerError::Refused { .. }) => assert_eq!(at("grant.extended"), None, "round {round}"),
            other => panic!("round {round}: {other:?}"),
        }
        world.assert_invariants().await;
    }
}

#[tokio::test]
async fn who_asks_again_and_again_is_stopped() {
    let (world, _, case) = held().await;
    for i in 0..MAX_EXTENSIONS {
        extend(&world, &format!("x{i}"), case, "alice", HOUR * 5).await.unwrap();
        world.clock.advance(MINUTE / 600);
    }
    let one_more = extend(&world, "one more", case, "alice", HOUR * 2).await;
    assert!(matches!(one_more, Err(BrokerError::Refused { refusal: Refusal::TooManyExtensions, .. })), "{one_more:?}");
}
